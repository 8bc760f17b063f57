use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::Delivery;
use crate::time::Timestamp;

/// Datagrams on their way, each to come out at its own time; those of one time in the order of going in.
///
/// Bounded, whatever the delay and the load: 65,536 datagrams and 64 MiB. Buffers are used again, so that nothing
/// is allocated once the line has been as full as it gets.
#[derive(Debug)]
pub(crate) struct DelayLine<K> {
    due: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    slots: Vec<Slot<K>>,
    free: Vec<usize>,
    pushed: u64,
    held_bytes: usize,
    kept_bytes: usize,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    datagram: Vec<u8>,
}

impl<K: Copy> DelayLine<K> {
    pub(crate) const fn new() -> Self {
        Self { due: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), pushed: 0, held_bytes: 0, kept_bytes: 0 }
    }

    /// Takes in a copy of the datagram, damaged as the link says; not if the line is full.
    #[must_use]
    pub(crate) fn push(&mut self, key: K, delivery: &Delivery, datagram: &[u8]) -> bool {
        let left = datagram.get(..delivery.len).unwrap_or(datagram);
        if self.due.len() >= MOST_DATAGRAMS || self.held_bytes.saturating_add(left.len()) > MOST_BYTES {
            return false;
        }
        let place = self.free.pop().unwrap_or(self.slots.len());
        if place == self.slots.len() {
            self.slots.push(Slot { key, datagram: Vec::new() });
        }
        let Some(slot) = self.slots.get_mut(place) else { return false };
        slot.key = key;
        let kept = slot.datagram.capacity();
        slot.datagram.clear();
        slot.datagram.extend_from_slice(left);
        delivery.flips.apply(&mut slot.datagram);
        self.kept_bytes += slot.datagram.capacity() - kept;
        self.held_bytes += left.len();
        self.due.push(Reverse((delivery.at, self.pushed, place)));
        self.pushed += 1;
        true
    }

    /// When the next one comes out.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Shows the next one that is due, and when it was, and forgets it.
    pub(crate) fn pop_due<R>(&mut self, now: Timestamp, show: impl FnOnce(K, Timestamp, &[u8]) -> R) -> Option<R> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((at, _, place)) = self.due.pop()?;
        let slot = self.slots.get_mut(place)?;
        let shown = show(slot.key, at, &slot.datagram);
        self.held_bytes -= slot.datagram.len();
        if self.kept_bytes > MOST_BYTES {
            self.kept_bytes -= slot.datagram.capacity();
            slot.datagram = Vec::new();
        }
        self.free.push(place);
        Some(shown)
    }

    /// How many are on their way.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// Forgets all; tells how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        let many = self.len();
        self.free.extend(self.due.drain().map(|Reverse((.., place))| place));
        self.held_bytes = 0;
        many
    }
}

const MOST_DATAGRAMS: usize = 1 << 16;
const MOST_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::Flips;
    use super::*;

    fn at(ns: u64, len: usize) -> Delivery {
        Delivery { at: Timestamp::from_nanos(ns), len, flips: Flips::default() }
    }

    #[test]
    fn comes_out_by_time_then_by_order() {
        let mut line = DelayLine::new();
        for (key, due) in [(0, 30), (1, 10), (2, 30), (3, 20), (4, 10)] {
            assert!(line.push(key, &at(due, 9), &[key; 4]));
        }
        assert_eq!((line.len(), line.next_due()), (5, Some(Timestamp::from_nanos(10))));
        assert_eq!(line.pop_due(Timestamp::from_nanos(9), |_, _, _| ()), None);
        let late = Timestamp::from_nanos(99);
        let out: Vec<_> = core::iter::from_fn(|| line.pop_due(late, |key, at, _| (key, at.as_nanos()))).collect();
        assert_eq!(out, [(1, 10), (4, 10), (3, 20), (0, 30), (2, 30)]);
        assert_eq!((line.len(), line.next_due()), (0, None));
    }

    #[test]
    fn memory_is_bounded_by_number_and_by_bytes_and_comes_back() {
        let mut line = DelayLine::new();
        let large = [7; 65_507];
        let fit = (0..).take_while(|_| line.push((), &at(5, large.len()), &large)).count();
        assert_eq!(fit, MOST_BYTES / large.len());
        assert_eq!(line.clear(), fit);
        let fit = (0..).take_while(|_| line.push((), &at(5, 0), &[])).count();
        assert_eq!(fit, MOST_DATAGRAMS);
        while line.pop_due(Timestamp::MAX, |_, _, _| ()).is_some() {}
        assert_eq!((line.held_bytes, line.len()), (0, 0));
        assert!(line.kept_bytes <= 2 * MOST_BYTES);
        assert!(line.push((), &at(5, 1), &[1]));
    }
}
