use alloc::vec::Vec;
use core::time::Duration;

use super::OnUnreachable;
use super::grant::Grants;
use crate::policy::{RetryBudget, RetryPolicy};

/// What all requests to one destination share: the rules they follow and the budget they spend.
#[derive(Clone, Debug)]
pub(super) struct Destination<M> {
    pub(super) matcher: M,
    pub(super) budget: Grants,
    pub(super) on_unreachable: OnUnreachable,
    /// A request that finds the budget empty fails at once instead of listening on.
    pub(super) fails_over_budget: bool,
    /// Each request ends this long after its start at the latest.
    pub(super) deadline: Option<Duration>,
    /// Only a matcher without ids asks for a fresh port.
    pub(super) keeps_port: bool,
    policy: RetryPolicy,
    /// Those of single requests.
    others: Vec<RetryPolicy>,
}

/// What holds for a request: by what rules it is retried, and whose budget it spends.
pub(super) trait Terms {
    fn policy(&self, index: PolicyIndex) -> &RetryPolicy;
    fn budget(&self) -> &Grants;
    fn on_unreachable(&self) -> OnUnreachable;
    fn fails_over_budget(&self) -> bool;
    fn keeps_port(&self) -> bool;
}

/// One of a destination's policies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct PolicyIndex(pub(super) u8);

impl<M> Destination<M> {
    pub(super) const fn new(policy: RetryPolicy, matcher: M) -> Self {
        Self {
            matcher,
            budget: Grants::of(RetryBudget::unlimited()),
            on_unreachable: OnUnreachable::KeepTrying,
            fails_over_budget: false,
            deadline: None,
            keeps_port: false,
            policy,
            others: Vec::new(),
        }
    }

    /// Keeps a policy for the only request there is: equal ones share a place, and the last place is used again.
    pub(super) fn adopt(&mut self, policy: &RetryPolicy) -> PolicyIndex {
        if *policy == self.policy {
            return PolicyIndex(0);
        }
        let place = match self.others.iter().position(|other| other == policy) {
            Some(known) => known,
            None if self.others.len() < MOST_POLICIES => {
                self.others.push(*policy);
                self.others.len() - 1
            }
            None => {
                if let Some(last) = self.others.last_mut() {
                    *last = *policy;
                }
                self.others.len() - 1
            }
        };
        PolicyIndex(u8::try_from(place + 1).unwrap_or_default())
    }
}

impl<M> Terms for Destination<M> {
    #[inline]
    fn policy(&self, index: PolicyIndex) -> &RetryPolicy {
        match index.0.checked_sub(1) {
            None => &self.policy,
            Some(other) => self.others.get(usize::from(other)).unwrap_or(&self.policy),
        }
    }

    #[inline]
    fn budget(&self) -> &Grants {
        &self.budget
    }

    #[inline]
    fn on_unreachable(&self) -> OnUnreachable {
        self.on_unreachable
    }

    #[inline]
    fn fails_over_budget(&self) -> bool {
        self.fails_over_budget
    }

    #[inline]
    fn keeps_port(&self) -> bool {
        self.keeps_port
    }
}

/// A program has few; one that makes up a policy for each request must not fill the memory with them.
const MOST_POLICIES: usize = 8;
