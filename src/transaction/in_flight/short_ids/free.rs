use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::entropy::{IdSource, uniform};

/// A set of ids, from which one is drawn at random.
#[derive(Debug)]
pub(super) struct FreeIds {
    /// A bit for each id: of one byte, in the first of these.
    words: Box<[u64; WORDS]>,
    /// The greatest id: all its bits are set.
    mask: u16,
    len: u32,
}

impl FreeIds {
    pub(super) fn all(bits: u32) -> Self {
        // Made where it stays: not all stacks have this much.
        let mut words = vec![0; WORDS].try_into().unwrap_or_else(|_| Box::new([0; WORDS]));
        words.iter_mut().take(1 << bits >> 6).for_each(|word| *word = u64::MAX);
        Self { words, mask: u16::MAX >> (u16::BITS - bits), len: 1 << bits }
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) fn has(&self, id: u16) -> bool {
        self.words.get(usize::from(id >> 6)).is_some_and(|word| word >> (id & 63) & 1 == 1)
    }

    /// Takes this many out, each with the same chance, and puts them into an empty hand: fewer where few are free, but one if
    /// there is any.
    pub(super) fn draw(&mut self, most: u32, ids: &mut IdSource, hand: &mut Vec<u16>) {
        let most = most.min(self.len);
        // And a place behind them for what is looked at and not taken.
        hand.resize(most as usize + 1, 0);
        let (mut drawn, mut in_vain) = (0, 0);
        while drawn < most && in_vain < NUMBERS {
            let (number, before) = (ids.number(), drawn);
            for shift in [0, 16, 32, 48] {
                let id = low(number >> shift) & self.mask;
                // No branch: where half are free, no one can foresee which of them are, a processor neither.
                let is_taken = self.has(id) & (drawn < most);
                self.remove(id, is_taken);
                if let Some(place) = hand.get_mut(drawn as usize) {
                    *place = id;
                }
                drawn += u32::from(is_taken);
            }
            in_vain = if drawn > before { 0 } else { in_vain + 1 };
        }
        self.len -= drawn;
        hand.truncate(drawn as usize);
        if drawn == 0 {
            hand.extend(self.draw_few(ids));
        }
    }

    /// Of a few: so many tries would be needed that counting takes less.
    #[cold]
    fn draw_few(&mut self, ids: &mut IdSource) -> Option<u16> {
        let mut before = uniform(0, self.len.checked_sub(1)?.into(), ids.number());
        for (first, &word) in (0..=u16::MAX).step_by(64).zip(self.words.iter()) {
            let here = u64::from(word.count_ones());
            if before < here {
                let mut of_word = (first..=first | 63).filter(|id| word >> (id & 63) & 1 == 1);
                let id = of_word.nth(usize::try_from(before).unwrap_or_default())?;
                self.remove(id, true);
                self.len -= 1;
                return Some(id);
            }
            before -= here;
        }
        None
    }

    /// Takes one out, if it is to be.
    #[inline]
    fn remove(&mut self, id: u16, is_taken: bool) {
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word &= !(u64::from(is_taken) << (id & 63));
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

/// For ids of two bytes.
const WORDS: usize = 1 << 16 >> 6;
/// Of random numbers in a row that have no free id among their four, before all ids are gone through: where half are free, one
/// in four thousand million times.
const NUMBERS: u32 = 8;
