use core::time::Duration;

use crate::policy::{RetryPolicy, RttEstimator};
use crate::time::Timestamp;

/// The policy of the present transaction: the caller's own, or what an estimator makes of it.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    policy: RetryPolicy,
    estimator: Option<RttEstimator>,
    present: RetryPolicy,
}

impl Pace {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, estimator: None, present: policy }
    }

    pub(super) fn adaptive(self, estimator: RttEstimator) -> Self {
        Self { estimator: Some(estimator), ..self }
    }

    pub(super) fn present(&self) -> &RetryPolicy {
        &self.present
    }

    pub(super) fn estimator(&self) -> Option<&RttEstimator> {
        self.estimator.as_ref()
    }

    /// A transaction begins: with the timeout that the path calls for by now.
    pub(super) fn restart(&mut self, now: Timestamp) {
        if let Some(estimator) = &self.estimator {
            self.present = self.policy.starting_at(estimator.rto(now));
        }
    }

    /// The wait after slot `slot` ended without a reply.
    #[cold]
    pub(super) fn on_expiry(&mut self, now: Timestamp, slot: u32) {
        let rto = self.present.backoff().interval(slot);
        if let Some(estimator) = &self.estimator {
            estimator.on_expiry(now, rto);
        }
    }

    pub(super) fn on_reply(&mut self, now: Timestamp, round_trip: Option<Duration>) {
        if let Some(estimator) = &self.estimator {
            estimator.on_reply(now, round_trip);
        }
    }
}
