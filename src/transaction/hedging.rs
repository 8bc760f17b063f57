//! Copies to a second server, where the first takes longer than it does as a rule.

use super::course::{Flag, Place};
use super::grant::Grants;
use super::path_state::States;
use super::several::Asking;
use crate::servers::Choice;
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::PathIndex;

impl<S: States> Asking<'_, S> {
    /// The hedge of this round has waited as long as its server may take.
    pub(super) fn expire_hedge(&mut self, now: Timestamp) {
        let Some(path) = self.course.hedged.path() else { return };
        if now >= self.course.hedge_at.after_ns(self.group.failover_ns(now, path, Ns::MAX)) {
            self.on_expired(now, path, self.course.hedge_at);
            self.forget_hedge();
        }
    }

    pub(super) fn forget_hedge(&mut self) {
        (self.course.hedged, self.course.hedge_at) = (Place::NONE, Timestamp::MAX);
    }

    pub(super) fn is_hedge_due(&self) -> bool {
        self.course.next_hedge().is_some()
    }

    /// Plans a copy to a second server, if the first takes longer than it does as a rule.
    pub(super) fn plan_hedge(&mut self, now: Timestamp, path: PathIndex, hop: Ns) {
        let after = self.group.set.hedge_after(now, path).map(saturating_ns);
        if let Some(after) = after.filter(|&after| self.course.is(Flag::REPEATABLE) && after < hop) {
            self.course.hedge_at = now.after_ns(after);
        }
    }

    pub(super) fn find_hedge(&mut self, now: Timestamp, looked: Timestamp, budget: &Grants) -> Option<PathIndex> {
        // Not while its reply may be queued.
        if !self.is_hedge_due() || now < self.course.hedge_at || looked < self.course.hedge_at {
            return None;
        }
        self.forget_hedge();
        if !budget.is_half_full() {
            return None;
        }
        match self.group.set.choose(now, self.course.tried) {
            Choice::Ask(path) if budget.take() => Some(path),
            _ => None,
        }
    }
}
