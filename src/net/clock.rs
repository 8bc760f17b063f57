use std::sync::OnceLock;

use super::sys;
use crate::time::{Ns, Timestamp};

/// Monotonic time since the process first asked for it: one origin for all transports, so that their moments compare.
///
/// Nothing counts while the system sleeps, where its clock is CLOCK_MONOTONIC (Linux).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Ns,
}

impl Clock {
    pub(super) fn new() -> Self {
        static ORIGIN: OnceLock<Ns> = OnceLock::new();
        Self { origin: *ORIGIN.get_or_init(sys::monotonic) }
    }

    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        // It never runs backwards.
        Timestamp::from_nanos(sys::monotonic().wrapping_sub(self.origin))
    }
}
