use alloc::collections::BTreeMap;
use core::task::Waker;

use crate::time::Timestamp;

/// Whom to wake, and when; those of one moment in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<Timer, Waker>,
    /// How many were ever set.
    count: u64,
}

/// One that is set.
pub(super) type Timer = (Timestamp, u64);

impl Timers {
    /// The end of time sets none.
    pub(super) fn set(&mut self, at: Timestamp, waker: Waker) -> Option<Timer> {
        if at == Timestamp::MAX {
            return None;
        }
        self.count += 1;
        let timer = (at, self.count);
        self.due.insert(timer, waker);
        Some(timer)
    }

    pub(super) fn remove(&mut self, timer: Timer) -> Option<Waker> {
        self.due.remove(&timer)
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|(timer, _)| timer.0)
    }

    /// One whose time has come.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Waker> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}
