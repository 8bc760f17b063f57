use super::sockets::Sent;
use crate::fault::{Admission, Capacity, Delivery, DirectionStats, Fate, LinkStats, Record, Tag, Transit};
use crate::time::Timestamp;

/// One direction of all sessions: sends what is due, and keeps the rest until it is.
///
/// `P` says where a datagram goes, and shares the capacity with the others.
#[derive(Debug)]
pub(super) struct Lane<P> {
    transit: Transit<P, Tag>,
    /// Errors of earlier datagrams that the system reported while later ones were sent.
    path_errors: u64,
    too_big: u64,
}

impl<P: Copy + Ord> Lane<P> {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self { transit: Transit::new(capacity), path_errors: 0, too_big: 0 }
    }

    /// What there is for a datagram that goes there now.
    pub(super) fn admission(&self, to: P, now: Timestamp) -> Admission {
        self.transit.line.admission(to, Some(now))
    }

    /// Whether something on its way there is kept.
    pub(super) fn holds(&self, to: P) -> bool {
        self.transit.line.holds(to)
    }

    /// Shows a fate to an observer, which may panic.
    pub(super) fn observed(&mut self, fate: &Fate, observe: impl FnOnce()) {
        self.transit.observed(fate, observe);
    }

    /// Sends each copy now or keeps it; then sends a few of those that were kept.
    pub(super) fn forward(
        &mut self,
        to: P,
        record: &Record,
        now: Timestamp,
        datagram: &[u8],
        mut send: impl FnMut(P, Tag, &[u8]) -> Sent,
    ) {
        let Fate::Delivered(deliveries) = &record.fate else { return };
        for (nth, delivery) in deliveries.iter().enumerate() {
            let tag = Tag::new(record, nth, delivery);
            if self.is_next(delivery, now) && delivery.is_whole(datagram.len()) {
                let sent = send(to, tag, datagram);
                self.count(sent);
            } else {
                self.transit.line.push(to, tag, delivery, datagram);
            }
        }
        self.release(now, A_FEW, send);
    }

    /// Sends what is due by now, `most` copies at most.
    pub(super) fn release(&mut self, now: Timestamp, most: usize, mut send: impl FnMut(P, Tag, &[u8]) -> Sent) {
        for _ in 0..most {
            match self.transit.line.pop_due(now, |to, tag, _, datagram| send(to, tag, datagram)) {
                Some(sent) => self.count(sent),
                None => return,
            }
        }
    }

    /// Everything that was kept is due by now.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        self.transit.line.hasten(now, |_| true);
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.transit.line.next_due()
    }

    /// Keeps the counts of a link that is about to end.
    pub(super) fn retire(&mut self, link: &LinkStats) {
        self.transit.retire(link);
    }

    pub(super) fn stats<'l>(&self, links: impl Iterator<Item = &'l LinkStats>) -> DirectionStats {
        self.transit.stats(links)
    }

    pub(super) fn path_errors(&self) -> u64 {
        self.path_errors
    }

    pub(super) fn too_big(&self) -> u64 {
        self.too_big
    }

    /// Whether it is due, and none that was kept is due before it: a delayed datagram must not be overtaken here.
    fn is_next(&self, delivery: &Delivery, now: Timestamp) -> bool {
        delivery.at <= now && self.next_due().is_none_or(|due| due > delivery.at)
    }

    fn count(&mut self, sent: Sent) {
        match sent {
            Sent::Passed => self.transit.passed += 1,
            Sent::PassedAfterError => {
                self.transit.passed += 1;
                self.path_errors += 1;
            }
            Sent::Failed => self.transit.failed += 1,
            Sent::TooBig => {
                self.transit.failed += 1;
                self.too_big += 1;
            }
            Sent::Nowhere => self.transit.discarded += 1,
        }
    }
}

/// More than the copies that one datagram adds, so that the line drains however fast datagrams come.
const A_FEW: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_copy_is_counted_once_and_what_the_system_said_beside_it() {
        let mut lane: Lane<u8> = Lane::new(Capacity::DEFAULT);
        let ends = [Sent::Passed, Sent::PassedAfterError, Sent::Failed, Sent::TooBig, Sent::Nowhere];
        for (times, sent) in (1..).zip(ends) {
            (0..times).for_each(|_| lane.count(sent));
        }
        let stats = lane.stats([].into_iter());
        assert_eq!((stats.passed, stats.failed, stats.discarded), (1 + 2, 3 + 4, 5));
        assert_eq!((lane.path_errors(), lane.too_big()), (2, 4));
    }
}
