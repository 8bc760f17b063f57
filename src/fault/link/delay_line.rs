use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use slab::Slab;

use super::fate::Delivery;
use crate::time::Timestamp;

/// Delayed datagrams, each of which comes out at its own time; those of one time come out in the order of going in.
///
/// Bounded, whatever the delay and the load: 65,536 datagrams and 64 MiB. Buffers are used again, so that nothing
/// is allocated once the line has been as full as it gets.
#[derive(Debug)]
pub(crate) struct DelayLine<K> {
    /// When, the how-manieth to go in, and which of `waiting`. A heap alone keeps no order among equals.
    due: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    waiting: Slab<Waiting<K>>,
    pushed: u64,
    /// Buffers that hold nothing at present.
    spare: Vec<Vec<u8>>,
    /// The bytes of all datagrams inside.
    held_bytes: usize,
    /// The capacity of all buffers there are: inside, spare, or taken out and not yet given back.
    kept_bytes: usize,
    most: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Waiting<K> {
    key: K,
    datagram: Vec<u8>,
}

impl<K: Copy> DelayLine<K> {
    pub(crate) const fn new() -> Self {
        Self::bounded(MOST_DATAGRAMS, MOST_BYTES)
    }

    /// With bounds of the caller's.
    pub(crate) const fn bounded(datagrams: usize, bytes: usize) -> Self {
        Self {
            due: BinaryHeap::new(),
            waiting: Slab::new(),
            pushed: 0,
            spare: Vec::new(),
            held_bytes: 0,
            kept_bytes: 0,
            most: datagrams,
            most_bytes: bytes,
        }
    }

    /// Takes in a copy of the datagram, impaired as the delivery says; `false` if the line is full.
    #[must_use]
    pub(crate) fn push(&mut self, key: K, delivery: &Delivery, datagram: &[u8]) -> bool {
        let left = datagram.get(..delivery.len).unwrap_or(datagram);
        // Two bounds, as neither implies the other: empty datagrams take a place, large ones take memory.
        if self.due.len() >= self.most || self.held_bytes.saturating_add(left.len()) > self.most_bytes {
            return false;
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        let kept = copy.capacity();
        copy.clear();
        copy.extend_from_slice(left);
        delivery.flips.apply(&mut copy);
        self.kept_bytes += copy.capacity() - kept;
        self.held_bytes += left.len();
        let place = self.waiting.insert(Waiting { key, datagram: copy });
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
        let (key, at, datagram) = self.take_due(now)?;
        let shown = show(key, at, &datagram);
        self.give_back(datagram);
        Some(shown)
    }

    /// Takes out the next one that is due, and when it was; its buffer is to be [given back](Self::give_back).
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(K, Timestamp, Vec<u8>)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((at, _, place)) = self.due.pop()?;
        let Waiting { key, datagram } = self.waiting.try_remove(place)?;
        self.held_bytes -= datagram.len();
        Some((key, at, datagram))
    }

    /// Brings forward to `now` what comes out later, of these keys, in the order in which it was to come out.
    pub(crate) fn hasten(&mut self, now: Timestamp, which: impl Fn(&K) -> bool) {
        let mut due: Vec<_> = core::mem::take(&mut self.due).into_vec();
        // The next one first.
        due.sort_unstable_by(|one, other| other.cmp(one));
        for Reverse((at, _, place)) in &mut due {
            if self.waiting.get(*place).is_some_and(|waiting| which(&waiting.key)) {
                *at = now.min(*at);
            }
        }
        // The order of going in decides among those of one time.
        due.sort_by_key(|Reverse((at, ..))| *at);
        for (n, Reverse((_, order, _))) in (self.pushed..).zip(&mut due) {
            *order = n;
        }
        self.pushed += due.len() as u64;
        self.due = due.into();
    }

    /// Keeps the buffer of a datagram that was taken out, for the next one that goes in.
    ///
    /// `held_bytes` bounds the contents alone. A buffer keeps the capacity of the largest datagram it ever held, so
    /// without this check many small datagrams could hold on to buffers made for large ones.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.kept_bytes > self.most_bytes {
            self.kept_bytes -= buffer.capacity();
        } else {
            self.spare.push(buffer);
        }
    }

    /// How many are inside.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// Forgets all, and returns how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        let count = self.len();
        while self.pop_due(Timestamp::MAX, |_, _, _| ()).is_some() {}
        count
    }
}

const MOST_DATAGRAMS: usize = 1 << 16;
const MOST_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Flips;

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
    fn what_is_hastened_comes_out_at_once_in_the_order_that_it_had() {
        let mut line = DelayLine::new();
        for (key, due) in [(0, 30), (1, 10), (2, 30), (3, 20), (4, 5), (5, 40)] {
            assert!(line.push(key, &at(due, 9), &[key; 4]));
        }
        let now = Timestamp::from_nanos(15);
        line.hasten(now, |&key| key != 3);
        assert!(line.push(6, &at(15, 9), &[6; 4]));
        let out: Vec<_> = core::iter::from_fn(|| line.pop_due(now, |key, at, _| (key, at.as_nanos()))).collect();
        assert_eq!(out, [(4, 5), (1, 10), (0, 15), (2, 15), (5, 15), (6, 15)]);
        assert_eq!((line.len(), line.next_due()), (1, Some(Timestamp::from_nanos(20))));
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
