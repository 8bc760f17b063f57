use crate::time::{Ns, Timestamp};

/// Transmissions whose wait has ended and whose replies may still come: what tells a late reply from any other that was not
/// measured. Forgotten after one to two periods.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Overdue {
    /// Of this period, and of the one before.
    recent: u32,
    older: u32,
    /// When this period began.
    since: Timestamp,
}

impl Overdue {
    /// A wait has ended.
    pub(super) fn add(&mut self, now: Timestamp, period: Ns) {
        self.forget(now, period);
        self.recent = self.recent.saturating_add(1);
    }

    /// A reply came that may be to one of them: to the oldest. Returns whether there was one.
    pub(super) fn take(&mut self, now: Timestamp, period: Ns) -> bool {
        self.forget(now, period);
        let from = if self.older > 0 { &mut self.older } else { &mut self.recent };
        let taken = from.checked_sub(1);
        *from = taken.unwrap_or(0);
        taken.is_some()
    }

    fn forget(&mut self, now: Timestamp, period: Ns) {
        let passed = now.since_ns(self.since);
        if passed >= period {
            self.older = if passed < period.saturating_mul(2) { self.recent } else { 0 };
            (self.recent, self.since) = (0, now);
        }
    }
}
