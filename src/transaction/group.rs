use core::time::Duration;

use crate::servers::{Paths, ServerSet};
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::PathIndex;

/// The servers of one service: what all requests to them share.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) set: ServerSet,
    /// A server has replied after all were dead, and what was parked is yet to be released.
    released: bool,
    /// Dead servers whose probe a request has taken on that has not sent it yet.
    probing: Paths,
}

impl Group {
    pub(super) fn new(set: ServerSet) -> Self {
        Self { set, released: false, probing: Paths::NONE }
    }

    /// A server has answered something that no request waits for any more.
    pub(super) fn on_sign_of_life(&mut self, at: Timestamp, path: PathIndex) {
        self.on_reply(at, path, None);
    }

    /// Whether what is parked is to be released, once.
    pub(super) fn take_released(&mut self) -> bool {
        core::mem::take(&mut self.released)
    }

    /// A dead server whose probe is due, and that no request has taken on.
    pub(super) fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        self.set.probe_due(now).filter(|&path| !self.probing.contains(path))
    }

    /// When to have a probe sent, unless a request is about to.
    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        self.set.next_probe().filter(|_| self.probing.is_empty())
    }

    pub(super) fn on_reply(&mut self, at: Timestamp, path: PathIndex, round_trip: Option<Ns>) {
        self.released |= self.set.on_reply(at, path, round_trip.map(Duration::from_nanos));
    }

    pub(super) fn failover_ns(&self, now: Timestamp, path: PathIndex, interval: Ns) -> Ns {
        saturating_ns(self.set.failover_after(now, path, Duration::from_nanos(interval))).max(1)
    }

    /// A request is about to send the probe that is due there.
    pub(super) fn on_probe_taken(&mut self, path: PathIndex) {
        self.probing = self.probing.with(path);
    }

    /// It has, or does not.
    pub(super) fn on_probe_left(&mut self, path: PathIndex) {
        self.probing = self.probing.without(path);
    }
}
