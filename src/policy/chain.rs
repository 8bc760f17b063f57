use super::fixed::{Fixed, ONE, Ppb, fixed, part};
use crate::time::Ns;

/// The factors of a compounding jitter, in 64.64 fixed point: each interval is the initial one times the first factor
/// times a step for every interval since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chain {
    /// The smallest first factor: lo, or what the floor makes of it.
    first_lo: Fixed,
    /// The smallest step: multiplier − 1 + lo.
    step_lo: Fixed,
    /// How far above the smallest each may be drawn.
    first_width: Fixed,
    step_width: Fixed,
}

impl Chain {
    pub(super) const NONE: Self = Self { first_lo: 0, step_lo: 0, first_width: 0, step_width: 0 };

    pub(super) const fn new(initial: Ns, floor: Ns, multiplier: Ppb, lo: Ppb, hi: Ppb) -> Self {
        // Rounded up: no draw falls below the floor.
        let floor = ((floor as u128) << 64).div_ceil(initial as u128);
        let first_lo = if floor > fixed(lo) { floor } else { fixed(lo) };
        Self {
            first_lo,
            step_lo: fixed(multiplier - ONE + lo),
            first_width: fixed(hi).saturating_sub(first_lo),
            step_width: fixed(hi) - fixed(lo),
        }
    }

    /// The first interval over the initial one.
    pub(super) const fn first(&self, draw: u64) -> Fixed {
        self.first_lo + part(self.first_width, draw)
    }

    /// Each later interval over the one before.
    pub(super) const fn step(&self, draw: u64) -> Fixed {
        self.step_lo + part(self.step_width, draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixed::times_down;

    #[test]
    fn the_smallest_first_factor_leads_to_the_floor_and_not_below_it() {
        let (initial, floor) = (17_500_602_374_792_826_964, 12_772_667_541_043_343_308);
        for floor in [1, 2, 3, floor - 1, floor, floor + 1, initial - 1, initial] {
            let chain = Chain::new(initial, floor, 10 * ONE, 0, ONE);
            let first = times_down(initial, chain.first(0));
            assert!((floor..=floor + 1).contains(&first), "{first} for {floor}");
        }
    }
}
