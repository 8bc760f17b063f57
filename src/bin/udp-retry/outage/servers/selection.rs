//! What a row of the table decides; everything else is the client's, and the same for all rows.

use std::time::Duration;

use udp_retry::RetryBudget;
use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSet};
use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;

/// A way to choose among servers, of one client. The methods are those of [`ServerSet`]; what a shape of the field does
/// not have, it leaves out.
pub(crate) trait Selection {
    /// Whom to ask next, in a round in which these were `tried`; `last` is whom the request asked before.
    fn choose(&mut self, now: Timestamp, tried: Paths, last: Option<PathIndex>) -> Choice;

    /// How long to wait for this server before the next one is asked, where the policy waits for `interval` in this
    /// round, the first of which is 0.
    fn wait(&self, now: Timestamp, path: PathIndex, interval: Duration, round: u32) -> Duration;

    /// Whether a server is left to be asked in this round. Behind the last one the policy's own interval is waited for.
    fn is_one_left(&self, _now: Timestamp, _tried: Paths) -> bool {
        true
    }

    /// How long after the latest transmission of a round the next round begins, at the earliest.
    fn round_wait(&self, interval: Duration) -> Duration {
        interval
    }

    fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent);

    /// Returns whether that releases what is parked.
    fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool;

    /// A wait of this length, for what was sent then, has ended in vain.
    fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp, wait: Duration);

    fn on_settled(&mut self, _path: PathIndex) {}

    fn probe_due(&self, _now: Timestamp) -> Option<PathIndex> {
        None
    }

    fn next_probe(&self) -> Option<Timestamp> {
        None
    }

    fn hedge_after(&self, _now: Timestamp, _path: PathIndex) -> Option<Duration> {
        None
    }

    fn never_replied(&self, _path: PathIndex) -> bool {
        false
    }

    /// Of what may be sent again.
    fn budget(&self) -> RetryBudget {
        RetryBudget::unlimited()
    }

    /// Whether a reply counts that comes after the next server was asked.
    fn keeps_listening(&self) -> bool {
        true
    }
}

/// The crate's own.
impl Selection for ServerSet {
    fn choose(&mut self, now: Timestamp, tried: Paths, _last: Option<PathIndex>) -> Choice {
        Self::choose(self, now, tried)
    }

    fn wait(&self, now: Timestamp, path: PathIndex, interval: Duration, _round: u32) -> Duration {
        self.failover_after(now, path, interval)
    }

    fn is_one_left(&self, now: Timestamp, tried: Paths) -> bool {
        self.states(now).any(|state| !tried.contains(state.path) && !matches!(state.health, Health::Dead { .. }))
    }

    fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent) {
        Self::on_transmitted(self, now, path, what);
    }

    fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        Self::on_reply(self, now, path, round_trip)
    }

    fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp, _wait: Duration) {
        Self::on_expired(self, now, path, sent);
    }

    fn on_settled(&mut self, path: PathIndex) {
        Self::on_settled(self, path);
    }

    fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        Self::probe_due(self, now)
    }

    fn next_probe(&self) -> Option<Timestamp> {
        Self::next_probe(self)
    }

    fn hedge_after(&self, now: Timestamp, path: PathIndex) -> Option<Duration> {
        Self::hedge_after(self, now, path)
    }

    fn never_replied(&self, path: PathIndex) -> bool {
        Self::never_replied(self, path)
    }

    /// What the requesters of several servers have by default.
    fn budget(&self) -> RetryBudget {
        // No rule is broken: the fallback is never taken.
        RetryBudget::new(0.2, BURST, BURST).unwrap_or_default()
    }
}

/// What the budget of the crate's own holds, at the start as well.
pub(crate) const BURST: u32 = 20;
