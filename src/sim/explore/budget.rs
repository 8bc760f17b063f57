use core::time::Duration;
use std::time::Instant;

/// The real time that a search may take. It ends a search early and decides nothing that is reported as found.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Budget {
    until: Option<Instant>,
}

impl Budget {
    /// As long as it takes.
    pub(in crate::sim) const UNLIMITED: Self = Self { until: None };

    pub(super) fn of(time: Duration) -> Self {
        // A time that no clock reaches is none.
        Self { until: now().checked_add(time) }
    }

    pub(in crate::sim) fn is_spent(self) -> bool {
        self.until.is_some_and(|until| now() >= until)
    }
}

#[expect(clippy::disallowed_methods, reason = "real time is what is spent; no run depends on it")]
fn now() -> Instant {
    Instant::now()
}
