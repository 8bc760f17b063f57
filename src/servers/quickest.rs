use crate::time::{Ns, Timestamp};

/// The quickest round trip of the present period and the one before: what a reply takes where nothing waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quickest {
    recent: Ns,
    older: Ns,
    /// When this period began.
    since: Timestamp,
}

impl Quickest {
    pub(super) const NONE: Self = Self { recent: Ns::MAX, older: Ns::MAX, since: Timestamp::ZERO };

    pub(super) fn add(&mut self, now: Timestamp, round_trip: Ns, period: Ns) {
        let passed = now.since_ns(self.since);
        if passed >= period {
            self.older = if passed < period.saturating_mul(2) { self.recent } else { Ns::MAX };
            (self.recent, self.since) = (Ns::MAX, now);
        }
        self.recent = self.recent.min(round_trip);
    }

    pub(super) fn get(&self) -> Ns {
        self.recent.min(self.older)
    }
}
