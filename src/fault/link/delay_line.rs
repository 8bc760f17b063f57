use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use slab::Slab;

use super::fate::Delivery;
use crate::fault::capacity::{Admission, Capacity, Held};
use crate::time::Timestamp;

/// Delayed datagrams of several peers `P`, each of which comes out at its own time; those of one time come out in the
/// order of going in.
///
/// What [`admission`](Self::admission) admits is within the capacity. Buffers are used again, so that nothing is
/// allocated once the line has been as full as it gets.
#[derive(Debug)]
pub(crate) struct DelayLine<P, K> {
    /// When, the how-manieth to go in, and which of `waiting`. A heap alone keeps no order among equals.
    due: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    waiting: Slab<Waiting<P, K>>,
    pushed: u64,
    /// Buffers that hold nothing at present.
    spare: Vec<Vec<u8>>,
    held: Held,
    /// Of each peer that has something inside, and of some that have not.
    shares: BTreeMap<P, Held>,
    /// The capacity of all buffers there are: inside, spare, or taken out and not yet given back.
    kept_bytes: usize,
    capacity: Capacity,
}

#[derive(Debug)]
struct Waiting<P, K> {
    peer: P,
    key: K,
    datagram: Vec<u8>,
}

impl<P: Copy + Ord, K: Copy> DelayLine<P, K> {
    pub(crate) const fn new(capacity: Capacity) -> Self {
        Self {
            due: BinaryHeap::new(),
            waiting: Slab::new(),
            pushed: 0,
            spare: Vec::new(),
            held: Held { datagrams: 0, bytes: 0 },
            shares: BTreeMap::new(),
            kept_bytes: 0,
            capacity,
        }
    }

    /// Holds for what goes in from now on.
    pub(crate) fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// What there is for a datagram of a peer, of which what is due by `now` needs none, if anything can leave then.
    #[inline]
    pub(crate) fn admission(&self, peer: P, now: Option<Timestamp>) -> Admission {
        // Most lines are empty, and cost no search.
        let of_peer = if self.due.is_empty() { None } else { self.shares.get(&peer) };
        Admission { capacity: self.capacity, of_all: self.held, of_peer: of_peer.copied().unwrap_or_default(), now }
    }

    /// Takes in a copy of a datagram that was admitted, impaired as the delivery says.
    pub(crate) fn push(&mut self, peer: P, key: K, delivery: &Delivery, datagram: &[u8]) {
        let left = datagram.get(..delivery.len).unwrap_or(datagram);
        let mut copy = self.spare.pop().unwrap_or_default();
        let kept = copy.capacity();
        copy.clear();
        copy.extend_from_slice(left);
        delivery.flips.apply(&mut copy);
        self.kept_bytes += copy.capacity() - kept;
        self.held.add(left.len());
        self.shares.entry(peer).or_default().add(left.len());
        let place = self.waiting.insert(Waiting { peer, key, datagram: copy });
        self.due.push(Reverse((delivery.at, self.pushed, place)));
        self.pushed += 1;
    }

    /// When the next one comes out.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Shows the next one that is due, and when it was, and forgets it.
    pub(crate) fn pop_due<R>(&mut self, now: Timestamp, show: impl FnOnce(P, K, Timestamp, &[u8]) -> R) -> Option<R> {
        let (peer, key, at, datagram) = self.take_due(now)?;
        let shown = show(peer, key, at, &datagram);
        self.give_back(datagram);
        Some(shown)
    }

    /// Takes out the next one that is due, and when it was; its buffer is to be [given back](Self::give_back).
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(P, K, Timestamp, Vec<u8>)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((at, _, place)) = self.due.pop()?;
        let Waiting { peer, key, datagram } = self.waiting.try_remove(place)?;
        self.held.remove(datagram.len());
        if let Some(share) = self.shares.get_mut(&peer) {
            share.remove(datagram.len());
            // Kept as long as there are few, as buffers are: else each datagram of a quiet peer would allocate one.
            if share.datagrams == 0 && self.shares.len() > MOST_SHARES {
                self.shares.remove(&peer);
            }
        }
        Some((peer, key, at, datagram))
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
    /// What is held bounds the contents alone. A buffer keeps the capacity of the largest datagram it ever held, so
    /// without this check many small datagrams could hold on to buffers made for large ones.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.kept_bytes > self.capacity.bytes() {
            self.kept_bytes -= buffer.capacity();
        } else {
            self.spare.push(buffer);
        }
    }

    /// Whether something of a peer is inside.
    #[cfg(feature = "proxy")]
    pub(crate) fn holds(&self, peer: P) -> bool {
        !self.due.is_empty() && self.shares.get(&peer).is_some_and(|share| share.datagrams > 0)
    }

    /// How many are inside.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// Forgets all, and returns how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        let count = self.len();
        while self.pop_due(Timestamp::MAX, |_, _, _, _| ()).is_some() {}
        count
    }
}

/// Of peers that have nothing inside.
const MOST_SHARES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64, len: usize) -> Delivery {
        Delivery::whole(Timestamp::from_nanos(ns), len)
    }

    #[test]
    fn comes_out_by_time_then_by_order() {
        let mut line = DelayLine::new(Capacity::DEFAULT);
        for (key, due) in [(0, 30), (1, 10), (2, 30), (3, 20), (4, 10)] {
            line.push((), key, &at(due, 9), &[key; 4]);
        }
        assert_eq!((line.len(), line.next_due()), (5, Some(Timestamp::from_nanos(10))));
        assert_eq!(line.pop_due(Timestamp::from_nanos(9), |_, _, _, _| ()), None);
        let late = Timestamp::from_nanos(99);
        let out: Vec<_> = core::iter::from_fn(|| line.pop_due(late, |_, key, at, _| (key, at.as_nanos()))).collect();
        assert_eq!(out, [(1, 10), (4, 10), (3, 20), (0, 30), (2, 30)]);
        assert_eq!((line.len(), line.next_due()), (0, None));
    }

    #[test]
    fn what_is_hastened_comes_out_at_once_in_the_order_that_it_had() {
        let mut line = DelayLine::new(Capacity::DEFAULT);
        for (key, due) in [(0, 30), (1, 10), (2, 30), (3, 20), (4, 5), (5, 40)] {
            line.push((), key, &at(due, 9), &[key; 4]);
        }
        let now = Timestamp::from_nanos(15);
        line.hasten(now, |&key| key != 3);
        line.push((), 6, &at(15, 9), &[6; 4]);
        let out: Vec<_> = core::iter::from_fn(|| line.pop_due(now, |(), key, at, _| (key, at.as_nanos()))).collect();
        assert_eq!(out, [(4, 5), (1, 10), (0, 15), (2, 15), (5, 15), (6, 15)]);
        assert_eq!((line.len(), line.next_due()), (1, Some(Timestamp::from_nanos(20))));
    }

    #[test]
    fn memory_is_bounded_by_number_and_by_bytes_and_comes_back() {
        let mut line = DelayLine::new(Capacity::DEFAULT);
        let large = [7; 65_507];
        let fit = fill(&mut line, 0, &large);
        assert_eq!(fit, Capacity::DEFAULT.bytes() / large.len());
        assert_eq!(line.clear(), fit);
        let fit = fill(&mut line, 0, &[]);
        assert_eq!(fit, Capacity::DEFAULT.datagrams());
        while line.pop_due(Timestamp::MAX, |_, _, _, _| ()).is_some() {}
        assert_eq!((line.held, line.shares.get(&0), line.len()), (Held::default(), Some(&Held::default()), 0));
        assert!(line.kept_bytes <= 2 * Capacity::DEFAULT.bytes());
        assert_eq!(fill(&mut line, 1, &[1]), Capacity::DEFAULT.datagrams());
    }

    #[test]
    fn a_peer_holds_no_more_than_is_still_free_of_twice_the_capacity() {
        let capacity = Capacity::new(1200, 1_200_000).unwrap();
        let mut line = DelayLine::new(capacity);
        // Each after a flood of those before.
        assert_eq!([0, 1, 2].map(|peer| fill(&mut line, peer, b"x")), [1200, 600, 300]);
        assert_eq!([0, 1, 2].map(|peer| fill(&mut line, peer, b"x")), [0, 0, 0]);
        // All at once, and as they come out.
        let mut line = DelayLine::new(capacity);
        for n in 0..20_000_u64 {
            for peer in 0..3 {
                let copy = at(n + 1000, 1);
                if line.admission(peer, Some(Timestamp::from_nanos(n))).admits(&copy) {
                    line.push(peer, (), &copy, b"x");
                }
                assert!(line.len() <= 2 * 1200);
            }
            while line.pop_due(Timestamp::from_nanos(n), |_, _, _, _| ()).is_some() {}
        }
        assert!(line.shares.values().all(|share| share.datagrams.abs_diff(600) <= 1), "{:?}", line.shares);
        // By bytes too, and what is due at once needs nothing.
        let mut line = DelayLine::new(capacity);
        assert_eq!([0, 1].map(|peer| fill(&mut line, peer, &[7; 50_000])), [24, 12]);
        assert!(line.admission(0, Some(Timestamp::from_nanos(5))).admits(&at(5, 50_000)));
        assert!(!line.admission(0, Some(Timestamp::from_nanos(4))).admits(&at(5, 50_000)));
    }

    #[test]
    fn the_copies_of_a_datagram_are_admitted_together() {
        let mut line = DelayLine::new(Capacity::new(2, 1 << 20).unwrap());
        line.push(0, (), &at(9, 1), b"x");
        let mut admission = line.admission(0, Some(Timestamp::ZERO));
        assert_eq!([9, 0, 9, 9].map(|due| admission.admits(&at(due, 1))), [true, true, false, false]);
    }

    /// As many as one peer can have.
    fn fill(line: &mut DelayLine<u32, ()>, peer: u32, datagram: &[u8]) -> usize {
        let copy = at(5, datagram.len());
        let admitted = |line: &DelayLine<u32, ()>| line.admission(peer, None).admits(&copy);
        let mut fit = 0;
        while admitted(line) {
            line.push(peer, (), &copy, datagram);
            fit += 1;
        }
        fit
    }
}
