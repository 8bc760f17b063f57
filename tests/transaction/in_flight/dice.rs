//! What chance decides in a world.

use std::ops::RangeInclusive;

use udp_retry::Seed;

/// The draws of one seed, one after the other.
pub(super) struct Dice {
    seed: Seed,
    drawn: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed: Seed::new(seed), drawn: 0 }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.seed.draw(self.drawn)
    }

    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (lo, hi) = range.into_inner();
        lo + self.draw() % (hi - lo + 1)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.draw() % n == 0
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        (self.draw() % len as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}
