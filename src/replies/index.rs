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
        let mut place = self.home(fragment);
        loop {
            let value = self.get(place);
            if value == EMPTY {
                return None;
            }
            if fragment_of(value) == fragment && is_it(slot_of(value)) {
                return Some(slot_of(value));
            }
            place = self.after(place);
        }
    }

    /// Adds a slot; there are never more than entries, so that a place is empty.
    #[inline]
    pub(super) fn insert(&mut self, fragment: u32, slot: u32) {
        let mut place = self.home(fragment);
        while self.get(place) != EMPTY {
            place = self.after(place);
        }
        self.put(place, value(fragment, slot));
    }

    /// Takes a slot out, if it is there. What stands behind and could not stand where its fragment says moves up: no search
    /// ends at a gap before it.
    #[inline]
    pub(super) fn remove(&mut self, fragment: u32, slot: u32) {
        let mut gap = self.home(fragment);
        while self.get(gap) != value(fragment, slot) {
            if self.get(gap) == EMPTY {
                return;
            }
            gap = self.after(gap);
        }
        let mut place = self.after(gap);
        while self.get(place) != EMPTY {
            let moved = self.get(place);
            if self.distance(self.home(fragment_of(moved)), place) >= self.distance(gap, place) {
                self.put(gap, moved);
                gap = place;
            }
            place = self.after(place);
        }
        self.put(gap, EMPTY);
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.places)
    }

    #[inline]
    fn get(&self, place: usize) -> u64 {
        self.places.get(place).copied().unwrap_or(EMPTY)
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 < self.places.len() { place + 1 } else { 0 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
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

fn value(fragment: u32, slot: u32) -> u64 {
    u64::from(fragment) << 32 | u64::from(slot)
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
