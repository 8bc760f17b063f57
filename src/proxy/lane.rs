use super::sockets::Sent;
use crate::fault::{Admission, Capacity, Deliveries, Delivery, DirectionStats, Fate, LinkStats, Transit};
use crate::time::Timestamp;

/// One direction of all sessions: sends what is due, and keeps the rest until it is.
///
/// `P` says where a datagram goes, and shares the capacity with the others.
#[derive(Debug)]
pub(super) struct Lane<P> {
    transit: Transit<P, ()>,
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

    /// Shows a fate to an observer, which may panic.
    pub(super) fn observed(&mut self, fate: &Fate, observe: impl FnOnce()) {
        self.transit.observed(fate, observe);
    }

    /// Sends each copy now or keeps it; then sends a few of those that were kept.
    pub(super) fn forward(
        &mut self,
        to: P,
        deliveries: &Deliveries,
        now: Timestamp,
        datagram: &[u8],
        mut send: impl FnMut(P, &[u8]) -> Sent,
    ) {
        for delivery in deliveries {
            if self.is_next(delivery, now) && delivery.is_whole(datagram.len()) {
                let sent = send(to, datagram);
                self.count(sent);
            } else {
                self.transit.line.push(to, (), delivery, datagram);
            }
        }
        self.release(now, A_FEW, send);
    }

    /// Sends what is due by now, `most` copies at most.
    pub(super) fn release(&mut self, now: Timestamp, most: usize, mut send: impl FnMut(P, &[u8]) -> Sent) {
        for _ in 0..most {
            match self.transit.line.pop_due(now, |to, (), _, datagram| send(to, datagram)) {
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
