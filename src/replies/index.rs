use alloc::boxed::Box;
use alloc::vec;

/// Where each request that is remembered stands, by a fragment of its tag: a table of fixed size, a third of it empty.
///
/// A place names fragment and slot, so that other requests are passed by without a look at their entries, each of which
/// is a miss in the processor's memory. A search goes from the place that the fragment names on to the first empty one.
pub(super) struct Index {
    /// The fragment, and below it the slot; or [`EMPTY`].
    places: Box<[u64]>,
}

impl Index {
    pub(super) fn new(entries: u32) -> Self {
        let entries = entries as usize;
        Self { places: vec![EMPTY; entries + entries / 2 + 1].into() }
    }

    /// The slot with this fragment of which `is_it` is true.
    #[inline]
    pub(super) fn find(&self, fragment: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = self.from(fragment).map(|(_, value)| value).take_while(|&value| value != EMPTY);
        candidates.filter(|&value| fragment_of(value) == fragment).map(slot_of).find(|&slot| is_it(slot))
    }

    /// Adds a slot; there are never more than entries, so that a place is empty.
    #[inline]
    pub(super) fn insert(&mut self, fragment: u32, slot: u32) {
        let empty = self.from(fragment).find(|&(_, value)| value == EMPTY);
        if let Some((place, _)) = empty {
            self.put(place, u64::from(fragment) << 32 | u64::from(slot));
        }
    }

    /// Takes a slot out, if it is there. What stands behind and could not stand where its fragment says moves up: no search
    /// ends at a gap before it.
    #[inline]
    pub(super) fn remove(&mut self, fragment: u32, slot: u32) {
        let sought = u64::from(fragment) << 32 | u64::from(slot);
        let end = self.from(fragment).find(|&(_, value)| value == EMPTY || value == sought);
        let Some((mut gap, _)) = end.filter(|&(_, value)| value == sought) else { return };
        let len = self.places.len();
        let back = |from: usize, to: usize| if from >= to { from - to } else { from + len - to };
        let mut place = gap;
        loop {
            place = if place + 1 == len { 0 } else { place + 1 };
            let Some(&value) = self.places.get(place).filter(|&&value| value != EMPTY) else { break };
            if back(place, self.home(fragment_of(value))) >= back(place, gap) {
                self.put(gap, value);
                gap = place;
            }
        }
        self.put(gap, EMPTY);
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// All places with what stands there, from the one on that the fragment names.
    #[inline]
    fn from(&self, fragment: u32) -> impl Iterator<Item = (usize, u64)> {
        let (before, after) = self.places.split_at_checked(self.home(fragment)).unwrap_or_default();
        let after = after.iter().enumerate().map(|(n, &value)| (before.len() + n, value));
        after.chain(before.iter().copied().enumerate())
    }

    #[inline]
    fn home(&self, fragment: u32) -> usize {
        ((u64::from(fragment) * self.places.len() as u64) >> 32) as usize
    }

    #[inline]
    fn put(&mut self, place: usize, value: u64) {
        if let Some(at) = self.places.get_mut(place) {
            *at = value;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn slot_of(value: u64) -> u32 {
    value as u32
}

fn fragment_of(value: u64) -> u32 {
    (value >> 32) as u32
}

/// No slot has this number.
const EMPTY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    #[test]
    fn it_agrees_with_a_list_whatever_is_added_and_removed() {
        for seed in 0..200 {
            let draws = Seed::new(seed).draws();
            let entries = 1 + u32::try_from(seed % 40).unwrap();
            let (mut index, mut naive) = (Index::new(entries), Vec::new());
            for n in 0..1_000 {
                let draw = draws.draw(n);
                let slot = u32::try_from(draw >> 8).unwrap_or_else(|_| (draw >> 8) as u32 % entries) % entries;
                // Few fragments, many of them at the last places.
                let fragment = u32::MAX - (draw >> 40) as u32 % 7 * 0x1000_0000;
                match naive.iter().position(|&(_, it)| it == slot) {
                    Some(at) => {
                        let (fragment, slot) = naive.swap_remove(at);
                        index.remove(fragment, slot);
                    }
                    None => {
                        index.insert(fragment, slot);
                        naive.push((fragment, slot));
                    }
                }
                index.remove(fragment, u32::MAX - 1); // was never there
                for slot in 0..entries {
                    let at = naive.iter().find(|it| it.1 == slot);
                    let found = at.and_then(|it| index.find(it.0, |it| it == slot));
                    assert_eq!(found, at.map(|it| it.1), "seed {seed}, step {n}, slot {slot}");
                    assert_eq!(index.find(fragment ^ 1, |it| it == slot), None, "seed {seed}, step {n}");
                }
                let used = index.places.iter().filter(|&&it| it != EMPTY).count();
                assert_eq!(used, naive.len(), "seed {seed}, step {n}");
            }
        }
    }
}
