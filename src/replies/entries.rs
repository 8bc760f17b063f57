use alloc::boxed::Box;
use alloc::vec;

use super::index::At;
use super::tag::Tag;
use super::verdict::Ticket;

/// The requests that are remembered, in the order in which their first copies arrived: a ring. The lifetime of all is the
/// same, so the oldest is the first to end.
pub(super) struct Entries {
    ring: Box<[Entry]>,
    /// The slot of the oldest.
    first: u32,
    len: u32,
    /// The number of the oldest: counted from the first request of all, in 64 bits, so that a ticket is never another's.
    number: u64,
}

/// A request that is remembered: half of what a processor reads from memory at once.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Entry {
    pub(super) tag: Tag,
    arrived: [u16; 3],
    /// The share of its peer.
    pub(super) share: u16,
    pub(super) state: State,
}

/// What has become of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    InProgress,
    /// It was not executed, and is not known any more; only its entry is not free yet.
    Abandoned,
    /// It was executed. Its reply is not there.
    Forgotten,
    /// It was executed, and the ring of replies has the rest, from this place on.
    Done(u32),
}

/// Milliseconds since the origin of time, which 48 bits hold for 8,900 years.
pub(super) type Ms = u64;

impl Entries {
    pub(super) fn new(capacity: u32) -> Self {
        let unused = Entry::new(Tag::default(), 0, 0);
        Self { ring: vec![unused; capacity as usize].into(), first: 0, len: 0, number: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[expect(clippy::cast_possible_truncation, reason = "made of this many")]
    pub(super) fn capacity(&self) -> u32 {
        self.ring.len() as u32
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.ring)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.ring.get(slot as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.ring.get_mut(slot as usize)
    }

    /// The oldest, and its slot.
    #[inline]
    pub(super) fn oldest(&self) -> Option<(u32, &Entry)> {
        self.at(0)
    }

    /// The newest, and its slot.
    pub(super) fn newest(&self) -> Option<(u32, &Entry)> {
        self.at(self.len.checked_sub(1)?)
    }

    /// Adds a request and returns its slot and its number. There must be space for one.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) -> (u32, u64) {
        let slot = self.slot(self.len);
        if let Some(place) = self.get_mut(slot) {
            *place = entry;
        }
        let number = self.number.wrapping_add(self.len.into());
        self.len += 1;
        (slot, number)
    }

    #[inline]
    pub(super) fn drop_oldest(&mut self) {
        self.first = self.slot(1);
        self.number = self.number.wrapping_add(1);
        self.len = self.len.saturating_sub(1);
    }

    /// Its number is given out again. So no ticket for it may be out.
    pub(super) fn drop_newest(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// The request that a ticket is for, and its slot, if it is remembered and in progress.
    #[inline]
    pub(super) fn in_progress(&self, ticket: &Ticket) -> Option<(u32, &Entry)> {
        let found = self.at(u32::try_from(ticket.number.wrapping_sub(self.number)).ok()?);
        found.filter(|(_, entry)| entry.tag.check() == ticket.check && entry.state == State::InProgress)
    }

    /// The one that is this far from the oldest.
    #[inline]
    fn at(&self, offset: u32) -> Option<(u32, &Entry)> {
        let slot = self.slot(offset);
        self.get(slot).filter(|_| offset < self.len).map(|entry| (slot, entry))
    }

    #[inline]
    fn slot(&self, offset: u32) -> u32 {
        // Both are below the capacity, and half of all numbers are.
        let slot = u64::from(self.first) + u64::from(offset);
        let capacity = u64::from(self.capacity());
        u32::try_from(if slot >= capacity { slot - capacity } else { slot }).unwrap_or(u32::MAX)
    }
}

impl Entry {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "its three parts")]
    pub(super) fn new(tag: Tag, arrived: Ms, share: u16) -> Self {
        let arrived = [arrived as u16, (arrived >> 16) as u16, (arrived >> 32) as u16];
        Self { tag, arrived, share, state: State::InProgress }
    }

    #[inline]
    pub(super) fn arrived(&self) -> Ms {
        let [low, middle, high] = self.arrived.map(u64::from);
        high << 32 | middle << 16 | low
    }

    /// Where it is recognised, if this is its slot.
    #[inline]
    pub(super) fn at(&self, slot: u32) -> At {
        match self.state {
            State::Done(place) => At::Reply(place),
            State::InProgress | State::Abandoned | State::Forgotten => At::Entry(slot),
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 32, "two of them are read at once");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_what_it_holds() {
        for arrived in [0, 1, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 0xffff_ffff_ffff] {
            let entry = Entry::new(Tag::default(), arrived, 7);
            assert_eq!((entry.arrived(), entry.state, entry.share), (arrived, State::InProgress, 7));
        }
    }

    #[test]
    fn numbers_go_on_where_the_ring_begins_again_and_past_the_last_of_them() {
        let mut entries = Entries::new(3);
        entries.number = u64::MAX - 1;
        let ticket = |number| Ticket { number, check: 0, arrived: 0 };
        for n in 0..20 {
            let number = (u64::MAX - 1).wrapping_add(n);
            assert_eq!(entries.push(Entry::new(Tag::default(), n, 0)), ((n % 3) as u32, number));
            assert_eq!(entries.oldest().unwrap().1.arrived(), n.saturating_sub(2));
            assert_eq!(entries.newest().unwrap().1.arrived(), n);
            for (past, known) in [(0, true), (1, n >= 1), (2, n >= 2), (3, false), (u64::MAX, false)] {
                let slot = entries.in_progress(&ticket(number.wrapping_sub(past))).map(|(slot, _)| slot);
                assert_eq!(slot, known.then(|| (n.wrapping_sub(past) % 3) as u32), "{n}, {past} before");
            }
            if n >= 2 {
                entries.drop_oldest();
            }
        }
    }
}
