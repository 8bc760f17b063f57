//! A set and its clock, for tests of single promises.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSet, ServerSettings};
use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;

pub(crate) struct Servers {
    pub(crate) set: ServerSet,
    pub(crate) now: Timestamp,
}

impl Servers {
    pub(crate) fn new(count: usize, settings: ServerSettings) -> Self {
        Self { set: ServerSet::new(count, settings, Seed::new(7)).unwrap(), now: Timestamp::from_nanos(1) }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(crate) fn choose(&mut self) -> Option<u32> {
        match self.set.choose(self.now, Paths::NONE) {
            Choice::Ask(path) => Some(path.number()),
            Choice::TriedAll | Choice::Park => None,
        }
    }

    /// A request to this server that is answered after this time.
    pub(crate) fn answered(&mut self, path: u32, after: Duration) {
        self.set.on_transmitted(self.now, at(path), Sent::Request);
        self.pass(after);
        assert!(!self.set.on_reply(self.now, at(path), Some(after)));
        self.set.on_settled(at(path));
    }

    /// A request to this server that is not answered within this time.
    pub(crate) fn expired(&mut self, path: u32, after: Duration) {
        let sent = self.now;
        self.set.on_transmitted(sent, at(path), Sent::Request);
        self.pass(after);
        self.set.on_expired(self.now, at(path), sent);
        self.set.on_settled(at(path));
    }

    pub(crate) fn die(&mut self, path: u32) {
        while !self.is_dead(path) {
            self.expired(path, ms(250));
        }
    }

    pub(crate) fn is_dead(&self, path: u32) -> bool {
        matches!(self.health(path), Health::Dead { .. })
    }

    pub(crate) fn health(&self, path: u32) -> Health {
        self.set.health(self.now, at(path))
    }

    pub(crate) fn loss(&self, path: u32) -> f64 {
        match self.health(path) {
            Health::Good { loss, .. } => loss,
            other => panic!("server {path} is {other:?}"),
        }
    }

    /// When probes are sent within this time by a driver that looks at every moment that one is due, in ms from now.
    pub(crate) fn probes(&mut self, within: Duration) -> Vec<(u64, u32)> {
        let (start, end, mut sent) = (self.now, self.now.after(within), Vec::new());
        while let Some(due) = self.set.next_probe().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let path = self.set.probe_due(self.now).expect("none is due when it says");
            self.set.on_transmitted(self.now, path, Sent::Probe);
            sent.push((self.now.since(start).as_millis() as u64, path.number()));
        }
        self.now = end;
        sent
    }
}

pub(crate) fn at(path: u32) -> PathIndex {
    PathIndex::new(path)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
