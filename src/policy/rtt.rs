use alloc::sync::Arc;
use core::fmt;
use core::hint;
use core::time::Duration;

use super::PolicyError;
use super::latch::Latch;
use super::measured::{BackedOff, Estimate, Measured, RttBounds};
use crate::time::{Ns, Timestamp, checked_ns, saturating_ns};

/// The retransmission timeout that a path calls for, from its measured round trips (RFC 6298): a handle to share.
///
/// **Clones share what they learn.** Keep one for each peer, across requests, and give a clone to every requester of
/// that peer, on any thread; [`unmeasured`](Self::unmeasured) makes one for another peer.
///
/// - Only unambiguous round trips count: those of requests that were sent once, or whose transmissions differ (Karn's
///   rule, RFC 6298 §3).
/// - A timeout doubles the value, and it **stays doubled across requests** until a clean round trip: that is what
///   keeps clients from flooding a server that has become slow.
/// - It cannot stick: what is older than `max_age` is forgotten, a doubling that no clean round trip has cured and
///   an estimate that no sample has renewed.
///
/// | setting | default | source |
/// |---|---|---|
/// | `initial`, without a sample | 1 s | RFC 6298 §2.1 |
/// | `floor` | 1 s | RFC 6298 §2.4 |
/// | `cap` | 60 s | RFC 6298 §2.5 |
/// | `max_age` | 10 min | RFC 8489 §6.2.1 |
///
/// # What it costs on a lossy path
///
/// It takes a loss for a sign of load, so where datagrams are lost and nothing is overloaded it waits too long, and a
/// request with a deadline is sent less often. Answered within a deadline of 5 s, with the default policy, the default
/// estimator, a round trip of 40 ms and independent loss, if what is carried over is not capped:
///
/// | loss each way | without an estimator | with one, equal transmissions | with one, an id for each transmission |
/// |---|---|---|---|
/// | 10 % | 99.3 % | 98.2 % | 99.2 % |
/// | 20 % | 95.2 % | 89.4 % | 94.1 % |
/// | 35 % | 80.7 % | 64.0 % | 72.2 % |
/// | 50 % | 57.1 % | 36.4 % | 40.2 % |
///
/// **Build each transmission with an id of its own** where the protocol allows that: then every reply is a measurement,
/// and the first one ends the doubling. [`RetryPolicy::starting_within`](super::RetryPolicy::starting_within) leaves
/// time for three transmissions before a deadline whatever is carried over: with it, and this deadline, as many requests
/// are answered as without an estimator, in every row. That has a price of its own: a doubling that may not outgrow a short
/// deadline no longer calms a storm (`guide::storms`). There the row `rtt-estimator` recovers after 3 s, and never if
/// its wait is capped so; `recommended`, with a budget, after 3 s either way. So set a [budget](super::RetryBudget), too.
///
/// # Moments
///
/// All that share one have to count time from one origin. The transports of `net` do, in one process, so a
/// clone may follow the peer to another socket; those of one simulated network do, too.
///
/// # Threads
///
/// No lock, and no reader waits: the values are atomics that change together, so that a timeout never mixes the
/// measurements of two moments. Where two updates meet, the second one gives way: a sample is dropped, as the next one
/// is as good. An expiry is tried up to 100 times before it is dropped: a doubling that is lost leaves a timeout
/// in use that has just proved too short, and every request sends twice until the next one expires.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::RetryPolicy;
/// use udp_retry::policy::RttEstimator;
/// use udp_retry::time::Timestamp;
///
/// # fn main() -> Result<(), udp_retry::policy::PolicyError> {
/// let ms = Duration::from_millis;
/// let rtt = RttEstimator::new(ms(1000), ms(50), ms(60_000))?;
/// let now = Timestamp::ZERO;
/// assert_eq!(rtt.rto(now), ms(1000));
/// rtt.on_reply(now, Some(ms(100)));
/// assert_eq!(rtt.rto(now), ms(300));
/// rtt.on_expiry(now, ms(300));
/// assert_eq!(rtt.rto(now), ms(600));
/// rtt.on_reply(now, None); // after a retransmission: whose reply is it?
/// assert_eq!(rtt.rto(now), ms(600));
/// assert_eq!(rtt.clone().rto(now), ms(600));
///
/// let policy = RetryPolicy::default().starting_within(rtt.rto(now), None);
/// assert_eq!(policy.backoff().initial(), ms(600));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "RTO")]
#[derive(Clone)]
pub struct RttEstimator {
    settings: RttBounds,
    measured: Arc<Latch<5>>,
}

impl RttEstimator {
    /// An estimator that knows nothing yet: `initial` is its timeout until the first round trip, `floor` and `cap`
    /// bound it.
    ///
    /// # Errors
    ///
    /// [`EstimatorBounds`](PolicyError::EstimatorBounds) unless 0 < floor ≤ initial ≤ cap, and
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub fn new(initial: Duration, floor: Duration, cap: Duration) -> Result<Self, PolicyError> {
        let Some(cap_ns) = checked_ns(cap) else {
            return Err(PolicyError::TooLong { duration: cap });
        };
        let (initial_ns, floor_ns) = (saturating_ns(initial), saturating_ns(floor));
        if floor_ns == 0 || floor_ns > initial_ns || initial_ns > cap_ns {
            return Err(PolicyError::EstimatorBounds { floor, initial, cap });
        }
        Ok(Self::with(RttBounds { initial: initial_ns, floor: floor_ns, cap: cap_ns, max_age: 600 * SECOND }))
    }

    /// Forgets what is older than this. A setting of this handle and of clones made from it; earlier clones keep
    /// theirs.
    ///
    /// # Errors
    ///
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub fn with_max_age(self, max_age: Duration) -> Result<Self, PolicyError> {
        match checked_ns(max_age) {
            Some(max_age) => Ok(Self { settings: RttBounds { max_age, ..self.settings }, ..self }),
            None => Err(PolicyError::TooLong { duration: max_age }),
        }
    }

    /// Another one with the same settings that knows nothing yet and shares nothing: for another peer.
    #[must_use]
    pub fn unmeasured(&self) -> Self {
        Self::with(self.settings)
    }

    /// A reply arrived at `now`, with this round trip if it was unambiguous. Only such a one counts, and it also
    /// ends the doubling (RFC 6298 §5.3, RFC 8961 §4).
    pub fn on_reply(&self, now: Timestamp, round_trip: Option<Duration>) {
        if let Some(round_trip) = round_trip {
            let sample = saturating_ns(round_trip);
            // Where another update is under way, that one is as good.
            let _ = self.update(|measured| self.settings.sampled(measured, now, sample));
        }
    }

    /// A wait ended at `now` without a reply; `rto` is the timeout that was in use for it, before jitter. The next
    /// one is at least twice that (RFC 6298 §5.5), so that several losses at once count as one.
    pub fn on_expiry(&self, now: Timestamp, rto: Duration) {
        let rto = saturating_ns(rto);
        for _ in 0..EXPIRY_TRIES {
            if self.update(|measured| self.settings.expired(measured, now, rto)) {
                return;
            }
            hint::spin_loop();
        }
    }

    /// The timeout to start the next request with.
    #[must_use]
    pub fn rto(&self, now: Timestamp) -> Duration {
        Duration::from_nanos(self.settings.rto(&self.measured(), now))
    }

    /// The smoothed round trip; `None` before the first sample, or when it has grown too old.
    #[must_use]
    pub fn srtt(&self, now: Timestamp) -> Option<Duration> {
        let estimate = self.settings.fresh_estimate(&self.measured(), now)?;
        Some(Duration::from_nanos(estimate.srtt))
    }

    /// The variation of the round trip; `None` as for [`srtt`](Self::srtt).
    #[must_use]
    pub fn rttvar(&self, now: Timestamp) -> Option<Duration> {
        let estimate = self.settings.fresh_estimate(&self.measured(), now)?;
        Some(Duration::from_nanos(estimate.rttvar))
    }

    fn with(settings: RttBounds) -> Self {
        Self { settings, measured: Arc::new(Latch::new(Measured::default().to_words())) }
    }

    fn measured(&self) -> Measured {
        Measured::from_words(self.measured.read())
    }

    /// False if another update is under way.
    fn update(&self, change: impl FnOnce(Measured) -> Measured) -> bool {
        self.measured.try_update(|words| change(Measured::from_words(words)).to_words())
    }
}

impl Default for RttEstimator {
    /// The values of RFC 6298: initial 1 s, floor 1 s, cap 60 s.
    fn default() -> Self {
        Self::with(RttBounds { initial: SECOND, floor: SECOND, cap: 60 * SECOND, max_age: 600 * SECOND })
    }
}

/// All that it knows, however old.
impl fmt::Debug for RttEstimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RttBounds { initial, floor, cap, max_age } = self.settings;
        let Measured { estimate, backed_off } = self.measured();
        let mut shown = f.debug_struct("RttEstimator");
        if let Some(Estimate { srtt, rttvar, at }) = estimate {
            shown.field("srtt", &Duration::from_nanos(srtt)).field("rttvar", &Duration::from_nanos(rttvar));
            shown.field("at", &at);
        }
        if let Some(BackedOff { rto, since }) = backed_off {
            shown.field("backed_off_to", &Duration::from_nanos(rto)).field("since", &since);
        }
        let settings = [("initial", initial), ("floor", floor), ("cap", cap), ("max_age", max_age)];
        for (name, setting) in settings {
            shown.field(name, &Duration::from_nanos(setting));
        }
        shown.finish()
    }
}

const SECOND: Ns = 1_000_000_000;

/// Another update takes some ten nanoseconds, so this many tries, a microsecond or two, outlast many of them. More would
/// not help where the writer was interrupted, and must not hold up a request.
const EXPIRY_TRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_never_ends_costs_a_sample_or_an_expiry_and_holds_nobody_up() {
        let rtt = RttEstimator::default();
        let before = format!("{rtt:?}");
        let held = rtt.measured.try_update(|words| {
            rtt.on_reply(Timestamp::ZERO, Some(Duration::from_secs(3)));
            rtt.on_expiry(Timestamp::ZERO, Duration::from_secs(1));
            assert_eq!(rtt.rto(Timestamp::ZERO), Duration::from_secs(1), "nor does it hold up a reader");
            words
        });
        assert!(held);
        assert_eq!(format!("{rtt:?}"), before);
        rtt.on_expiry(Timestamp::ZERO, Duration::from_secs(1));
        assert_eq!(rtt.rto(Timestamp::ZERO), Duration::from_secs(2));
    }
}
