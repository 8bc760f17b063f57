use alloc::boxed::Box;
use alloc::vec;

/// Where each request that is remembered stands, by a fragment of its tag: a table of fixed size, a third of it empty.
///
/// A place names fragment and whereabouts, so that other requests are passed by without a look at them, each of which is a
/// miss in the processor's memory. A search goes from the place that the fragment names on to the first empty one.
pub(super) struct Index {
    /// The fragment, of 31 bits, and below it the whereabouts; or [`EMPTY`].
    places: Box<[u64]>,
}

/// Where a request is recognised: one that was replied to by what stands before its reply, so that a copy is answered without
/// a look at its entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// In the entry of this slot.
    Entry(u32),
    /// In the ring of replies, where its reply begins.
    Reply(u32),
}

impl Index {
    pub(super) fn new(entries: u32) -> Self {
        let entries = entries as usize;
        Self { places: vec![EMPTY; entries + entries / 2 + 1].into() }
    }

    /// The one with this fragment of which `is_it` is true.
    #[inline]
    pub(super) fn find(&self, fragment: u32, is_it: impl Fn(At) -> bool) -> Option<At> {
        let mut place = self.home(fragment);
        loop {
            let value = self.get(place);
            if value == EMPTY {
                return None;
            }
            if fragment_of(value) == fragment && is_it(at(value)) {
                return Some(at(value));
            }
            place = self.after(place);
        }
    }

    /// Adds one; there are never more than entries, so that a place is empty.
    #[inline]
    pub(super) fn insert(&mut self, fragment: u32, added: At) {
        let mut place = self.home(fragment);
        while self.get(place) != EMPTY {
            place = self.after(place);
        }
        self.put(place, value(fragment, added));
    }

    /// One that is there is found elsewhere from now on.
    #[inline]
    pub(super) fn replace(&mut self, fragment: u32, from: At, to: At) {
        if let Some(place) = self.place(fragment, from) {
            self.put(place, value(fragment, to));
        }
    }

    /// Takes one out, if it is there. What stands behind and could not stand where its fragment says moves up: no search
    /// ends at a gap before it.
    #[inline]
    pub(super) fn remove(&mut self, fragment: u32, removed: At) {
        let Some(mut gap) = self.place(fragment, removed) else { return };
        let (mut place, mut from_gap) = (self.after(gap), 1);
        loop {
            let moved = self.get(place);
            if moved == EMPTY {
                break;
            }
            if self.distance(self.home(fragment_of(moved)), place) >= from_gap {
                self.put(gap, moved);
                (gap, from_gap) = (place, 0);
            }
            (place, from_gap) = (self.after(place), from_gap + 1);
        }
        self.put(gap, EMPTY);
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.places)
    }

    #[inline]
    fn place(&self, fragment: u32, of: At) -> Option<usize> {
        let (value, mut place) = (value(fragment, of), self.home(fragment));
        while self.get(place) != value {
            if self.get(place) == EMPTY {
                return None;
            }
            place = self.after(place);
        }
        Some(place)
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
        ((u64::from(fragment) * self.places.len() as u64) >> FRAGMENT) as usize
    }

    #[inline]
    fn put(&mut self, place: usize, value: u64) {
        if let Some(at) = self.places.get_mut(place) {
            *at = value;
        }
    }
}

fn value(fragment: u32, at: At) -> u64 {
    let (is_reply, number) = match at {
        At::Entry(slot) => (0, slot),
        At::Reply(place) => (1, place),
    };
    u64::from(fragment) << 33 | is_reply << 32 | u64::from(number)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn at(value: u64) -> At {
    if value >> 32 & 1 == 0 { At::Entry(value as u32) } else { At::Reply(value as u32) }
}

fn fragment_of(value: u64) -> u32 {
    (value >> 33) as u32
}

/// Bits of a fragment.
const FRAGMENT: u32 = 31;
/// No reply begins there.
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
                let fragment = u32::MAX / 2 - (draw >> 40) as u32 % 7 * 0x0800_0000;
                match naive.iter().position(|&(_, _, it)| it == slot) {
                    Some(at) if draw >> 60 < 5 => {
                        // The number of a reply is often that of an entry, too.
                        let to = if draw >> 60 == 0 { At::Entry(slot) } else { At::Reply(slot * 3 / 2) };
                        let (fragment, from, _): (u32, At, u32) = naive[at];
                        index.replace(fragment, from, to);
                        naive[at].1 = to;
                    }
                    Some(at) => {
                        let (fragment, removed, _) = naive.swap_remove(at);
                        index.remove(fragment, removed);
                    }
                    None => {
                        index.insert(fragment, At::Entry(slot));
                        naive.push((fragment, At::Entry(slot), slot));
                    }
                }
                // Were never there.
                index.remove(fragment, At::Entry(u32::MAX));
                index.replace(fragment, At::Reply(u32::MAX - 1), At::Entry(0));
                for slot in 0..entries {
                    let of = naive.iter().find(|it| it.2 == slot).copied();
                    let found = of.and_then(|of| index.find(of.0, |it| it == of.1));
                    assert_eq!(found, of.map(|of| of.1), "seed {seed}, step {n}, slot {slot}");
                    let elsewhere = of.and_then(|of| index.find(of.0 ^ 1, |it| it == of.1));
                    assert_eq!(elsewhere, None, "seed {seed}, step {n}");
                }
                let used = index.places.iter().filter(|&&it| it != EMPTY).count();
                assert_eq!(used, naive.len(), "seed {seed}, step {n}");
            }
        }
    }
}
