use alloc::boxed::Box;
use alloc::vec;

use crate::entropy::{IdSource, uniform};

/// A set of ids, from which one is drawn at random.
#[derive(Debug)]
pub(super) struct FreeIds {
    /// A bit for each id, which has these many bits itself.
    words: Box<[u64]>,
    bits: u32,
    len: u32,
}

impl FreeIds {
    pub(super) fn all(bits: u32) -> Self {
        Self { words: vec![u64::MAX; 1 << bits >> 6].into_boxed_slice(), bits, len: 1 << bits }
    }

    #[inline]
    pub(super) fn is_less_than_half(&self) -> bool {
        self.len < 1 << (self.bits - 1)
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
        // As long as half are free, two tries are needed on average.
        for _ in 0..NUMBERS {
            let mut number = ids.number();
            for _ in 0..u64::BITS / u16::BITS {
                let id = low(number) & (u16::MAX >> (u16::BITS - self.bits));
                if self.has(id) {
                    self.remove(id);
                    return Some(id);
                }
                number >>= u16::BITS;
            }
        }
        self.draw_few(ids)
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
