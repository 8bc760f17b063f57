use crate::sim::explore::Budget;
use crate::sim::{Limits, Stopped};
use crate::time::Timestamp;

/// Counts what happens in a network, and stops it at its limits.
pub(in crate::sim) struct Guard {
    limits: Limits,
    instant: Timestamp,
    at_one_instant: u64,
    steps: u64,
    stopped: Option<Stopped>,
    /// If set, a scenario is explored, and left once its network is stopped or the budget is spent.
    explored: Option<Budget>,
    spent: bool,
}

impl Guard {
    pub(in crate::sim) fn new(limits: Limits, explored: Option<Budget>) -> Self {
        Self { limits, instant: Timestamp::ZERO, at_one_instant: 0, steps: 0, stopped: None, explored, spent: false }
    }

    pub(in crate::sim) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(in crate::sim) const fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }

    /// Whether no real time was left to go on.
    pub(in crate::sim) const fn is_spent(&self) -> bool {
        self.spent
    }

    /// Whether the scenario has to be left.
    pub(in crate::sim) const fn is_left(&self) -> bool {
        self.explored.is_some() && (self.stopped.is_some() || self.spent)
    }

    /// Counts a step; `false` once nothing may happen any more.
    #[inline]
    pub(super) fn step(&mut self, now: Timestamp) -> bool {
        if self.stopped.is_some() || self.spent {
            return false;
        }
        if now > self.instant {
            (self.instant, self.at_one_instant) = (now, 0);
        }
        self.at_one_instant += 1;
        self.steps += 1;
        if self.at_one_instant > self.limits.steps_at_one_instant() {
            self.stopped = Some(Stopped::AtOneInstant { at: now, limit: self.limits.steps_at_one_instant() });
        } else if self.steps > self.limits.steps() {
            self.stopped = Some(Stopped::Steps { at: now, limit: self.limits.steps() });
        } else if self.steps % STEPS_A_LOOK == 0 {
            self.spent = self.explored.is_some_and(|budget| budget.is_spent());
        }
        self.stopped.is_none() && !self.spent
    }

    /// Whether time may get there.
    #[inline]
    pub(super) fn reaches(&mut self, time: Timestamp) -> bool {
        if time > self.limits.last_moment() && self.stopped.is_none() {
            self.stopped = Some(Stopped::Time { limit: self.limits.last_moment() });
        }
        self.stopped.is_none()
    }
}

/// A look at the clock takes as long as some steps.
const STEPS_A_LOOK: u64 = 512;
