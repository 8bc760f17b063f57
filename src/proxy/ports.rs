use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use core::time::Duration;

use crate::time::Timestamp;

/// The ports that sessions gave up: a reply that comes late to one of them must not reach another client.
///
/// One whose session was owed a reply rests until none is expected any more. One that was owed none may serve again, if
/// there is no better; in any case the port given up the longest ago comes first.
#[derive(Debug, Default)]
pub(super) struct GivenUpPorts {
    /// A bit for each port: whether it is in one of the sets.
    known: Box<[u64]>,
    /// By the time at which their rest ends.
    owed: BTreeSet<(Timestamp, u16)>,
    /// By the time at which they were given up.
    settled: BTreeSet<(Timestamp, u16)>,
}

impl GivenUpPorts {
    /// A session ends now; `owed_since` is when it sent last, if it was owed a reply.
    pub(super) fn insert(&mut self, port: u16, now: Timestamp, owed_since: Option<Timestamp>) {
        if self.known.is_empty() {
            self.known = vec![0; 1 << 10].into_boxed_slice();
        }
        if self.contains(port) {
            return;
        }
        match owed_since {
            Some(sent) => self.owed.insert((sent.after(REST), port)),
            None => self.settled.insert((now, port)),
        };
        self.mark(port, true);
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        self.known.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    /// The port that has rested for longest, if its rest is over; it is forgotten.
    pub(super) fn take_rested(&mut self, now: Timestamp) -> Option<u16> {
        let owed = self.owed.first().copied();
        let settled = self.settled.first().map(|&(since, port)| (since.after(REST), port));
        let (over, port) = [owed, settled].into_iter().flatten().min().filter(|&(over, _)| over <= now)?;
        if Some((over, port)) == owed {
            self.owed.pop_first()
        } else {
            self.settled.pop_first()
        };
        self.mark(port, false);
        Some(port)
    }

    /// The port that was given up the longest ago of those to which no reply was owed; it is forgotten.
    pub(super) fn take_settled(&mut self) -> Option<u16> {
        let (_, port) = self.settled.pop_first()?;
        self.mark(port, false);
        Some(port)
    }

    fn mark(&mut self, port: u16, known: bool) {
        if let Some(word) = self.known.get_mut(usize::from(port / 64)) {
            *word = *word & !(1 << (port % 64)) | u64::from(known) << (port % 64);
        }
    }
}

/// Whether a late reply may still come to a session that sent something at `sent`.
pub(super) fn is_owed(sent: Timestamp, now: Timestamp) -> bool {
    sent.after(REST) > now
}

/// How long a reply may be under way: clients of DNS, NTP and CoAP have given up a datagram by then, and a NAT on the path
/// may forget a flow of one datagram after it.
pub(super) const REST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_port_that_is_owed_a_reply_rests_from_its_last_datagram_on() {
        let mut ports = GivenUpPorts::default();
        ports.insert(1, at(20), Some(at(10)));
        assert!(ports.contains(1) && !ports.contains(2) && !ports.contains(65));
        assert_eq!((ports.take_rested(at(39)), ports.take_settled()), (None, None));
        assert!(is_owed(at(10), at(39)) && !is_owed(at(10), at(40)));
        assert_eq!(ports.take_rested(at(40)), Some(1));
        assert!(!ports.contains(1));
        assert_eq!(ports.take_rested(at(99)), None);
    }

    #[test]
    fn the_port_that_has_rested_for_longest_comes_first() {
        let mut ports = GivenUpPorts::default();
        ports.insert(3, at(5), None);
        ports.insert(1, at(6), Some(at(3)));
        ports.insert(2, at(7), Some(at(4)));
        ports.insert(4, at(8), None);
        // Again, as no port is given up twice: it keeps its place.
        ports.insert(1, at(8), None);
        let order = [33, 33, 34, 35, 38].map(|now| ports.take_rested(at(now)));
        assert_eq!(order, [Some(1), None, Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_settled_port_may_serve_again_at_once_and_an_owed_one_not() {
        let mut ports = GivenUpPorts::default();
        ports.insert(40_000, at(1), Some(at(1)));
        ports.insert(40_001, at(2), None);
        ports.insert(40_002, at(2), None);
        assert_eq!(ports.take_rested(at(2)), None);
        assert_eq!([(); 3].map(|()| ports.take_settled()), [Some(40_001), Some(40_002), None]);
        assert!(ports.contains(40_000) && !ports.contains(40_001));
    }
}
