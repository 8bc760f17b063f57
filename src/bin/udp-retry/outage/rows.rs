//! The policies that are compared: the same waits, and each its own guard against too many of them.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::policy::{Backoff, Jitter, LastWait, PolicyError, RttEstimator};

use super::guard::Guard;

/// A policy of the study.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) policy: RetryPolicy,
    /// Of a client that has asked nothing yet.
    pub(crate) guard: Guard,
    /// With the settings of each client's own.
    pub(crate) estimator: Option<RttEstimator>,
    /// The server drops requests whose deadline, told in the request, has passed.
    pub(crate) server_drops_expired: bool,
    /// Both ends have the envelope, which says how much time is left: the server drops what no one waits for.
    pub(crate) has_envelope: bool,
}

/// Every request has to be answered within it, but those of `default`.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
/// The row with waits and a deadline of its own.
pub(crate) const DEFAULT: &str = "default";
const FIRST_WAIT: Duration = Duration::from_millis(200);
const TRANSMISSIONS: u32 = 4;

/// The rows of the table: all wait 200 ms at first, send four times at most and give up after a second.
fn compared() -> Result<Vec<Row>, PolicyError> {
    let doubling = Backoff::exponential(FIRST_WAIT, Duration::from_secs(2))?;
    let plain = Row::new("exponential", doubling)?;
    let upward = doubling.with_jitter(Jitter::UPWARD)?;
    let estimator = RttEstimator::new(FIRST_WAIT, FIRST_WAIT, Duration::from_secs(60))?;
    let recommended =
        Row { guard: Guard::ours(), estimator: Some(estimator.clone()), ..Row::new("recommended", upward)? };
    Ok(vec![
        Row { policy: plain.policy.with_max_transmissions(1)?, ..plain.called("no-retry") },
        Row::new("fixed", Backoff::constant(FIRST_WAIT)?)?,
        plain.clone(),
        Row::new("exponential-full-jitter", doubling.with_jitter(Jitter::FULL)?)?,
        Row::new("exponential-upward-jitter", upward)?,
        Row { guard: Guard::aws(), ..plain.called("aws-500") },
        Row { guard: Guard::finagle(), ..plain.called("finagle") },
        Row { guard: Guard::envoy(), ..plain.called("envoy") },
        Row { guard: Guard::grpc(), ..plain.called("grpc") },
        Row { estimator: Some(estimator), ..plain.called("rtt-estimator") },
        Row { server_drops_expired: true, ..plain.called("server-drops-expired") },
        recommended.clone(),
        Row { has_envelope: true, ..recommended.called("recommended-envelope") },
    ])
}

/// All rows, with `default` at the end.
pub(crate) fn all() -> Result<Vec<Row>, PolicyError> {
    let mut rows = compared()?;
    rows.push(default());
    Ok(rows)
}

/// What a program has that sets nothing.
fn default() -> Row {
    Row {
        name: DEFAULT,
        policy: RetryPolicy::default(),
        guard: Guard::None,
        estimator: None,
        server_drops_expired: false,
        has_envelope: false,
    }
}

impl Row {
    /// After the last transmission it listens until the deadline.
    fn new(name: &'static str, backoff: Backoff) -> Result<Self, PolicyError> {
        let policy = RetryPolicy::new(backoff)
            .with_max_transmissions(TRANSMISSIONS)?
            .with_last_wait(LastWait::Initial(5))?
            .with_deadline(DEADLINE)?;
        let (guard, estimator) = (Guard::None, None);
        Ok(Self { name, policy, guard, estimator, server_drops_expired: false, has_envelope: false })
    }

    fn called(&self, name: &'static str) -> Self {
        Self { name, ..self.clone() }
    }

    /// When the last request that arrives in time is over.
    pub(crate) fn deadline(&self) -> Duration {
        self.policy.deadline().unwrap_or(DEADLINE)
    }
}
