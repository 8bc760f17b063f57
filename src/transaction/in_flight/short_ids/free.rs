use alloc::boxed::Box;
use alloc::vec;

use crate::entropy::{IdSource, uniform};

/// A set of ids, from which one is drawn at random.
#[derive(Debug)]
pub(super) struct FreeIds {
    /// A bit for each id.
    words: Box<[u64]>,
    /// The greatest id: all its bits are set.
    mask: u16,
    len: u32,
}

impl FreeIds {
    pub(super) fn all(bits: u32) -> Self {
        let mask = u16::MAX >> (u16::BITS - bits);
        Self { words: vec![u64::MAX; 1 << bits >> 6].into_boxed_slice(), mask, len: 1 << bits }
    }

    #[inline]
    pub(super) fn is_less_than_half(&self) -> bool {
        self.len <= u32::from(self.mask / 2)
    }

    #[inline]
    pub(super) fn has(&self, id: u16) -> bool {
        self.words.get(usize::from(id >> 6)).is_some_and(|word| word >> (id & 63) & 1 == 1)
    }

    /// Takes one out, each with the same chance.
    #[inline]
    pub(super) fn draw(&mut self, ids: &mut IdSource) -> Option<u16> {
        if self.len == 0 {
            return None;
        }
        // As long as half are free, 15 numbers of 16 have one.
        for _ in 0..NUMBERS {
            if let Some(id) = self.first_of(ids.number()) {
                self.remove(id);
                return Some(id);
            }
        }
        self.draw_few(ids)
    }

    /// The first id in this number that is free. Each is looked at, whatever came before: where half are free, which it will be
    /// cannot be foreseen.
    #[inline]
    fn first_of(&self, number: u64) -> Option<u16> {
        let ids = [0, 16, 32, 48].map(|shift| low(number >> shift) & self.mask);
        let free = ids.iter().rev().fold(0_u32, |free, &id| free << 1 | u32::from(self.has(id)));
        ids.get(free.trailing_zeros() as usize).copied()
    }

    /// Of a few: so many tries would be needed that counting takes less.
    #[cold]
    fn draw_few(&mut self, ids: &mut IdSource) -> Option<u16> {
        let mut before = uniform(0, self.len.checked_sub(1)?.into(), ids.number());
        for (first, &word) in (0..=u16::MAX).step_by(64).zip(&self.words) {
            let here = u64::from(word.count_ones());
            if before < here {
                let mut of_word = (first..=first | 63).filter(|id| word >> (id & 63) & 1 == 1);
                let id = of_word.nth(usize::try_from(before).unwrap_or_default())?;
                self.remove(id);
                return Some(id);
            }
            before -= here;
        }
        None
    }

    #[inline]
    fn remove(&mut self, id: u16) {
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word &= !(1 << (id & 63));
            self.len -= 1;
        }
    }

    #[inline]
    pub(super) fn add(&mut self, id: u16) {
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word |= 1 << (id & 63);
            self.len += 1;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "its low bits")]
#[inline]
const fn low(number: u64) -> u16 {
    number as u16
}

/// Of random numbers, four ids each, before all ids are gone through: where half are free, one in four thousand million needs more.
const NUMBERS: u32 = 8;
