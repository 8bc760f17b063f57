use core::time::Duration;

use super::PolicyError;
use crate::time::{Ns, Timestamp, checked_ns, saturating_ns};

/// The retransmission timeout that a path calls for, from its measured round trips (RFC 6298). Keep one for each
/// peer, across requests.
///
/// - Only unambiguous round trips count: those of requests that were sent once (Karn's rule, RFC 6298 §3).
/// - A timeout doubles the value, and it **stays doubled across requests** until a clean round trip: that is what
///   keeps clients from flooding a server that has become slow.
/// - It cannot stick: a doubling that no clean round trip has ended, and an estimate that no sample has renewed, are
///   forgotten after `max_age`.
///
/// | setting | default | source |
/// |---|---|---|
/// | `initial`, without a sample | 1 s | RFC 6298 §2.1 |
/// | `floor` | 1 s | RFC 6298 §2.4 |
/// | `cap` | 60 s | RFC 6298 §2.5 |
/// | `max_age` | 10 min | RFC 8489 §6.2.1 |
///
/// ```
/// use core::time::Duration;
/// use udp_retry::RetryPolicy;
/// use udp_retry::policy::RttEstimator;
/// use udp_retry::time::Timestamp;
///
/// # fn main() -> Result<(), udp_retry::policy::PolicyError> {
/// let ms = Duration::from_millis;
/// let mut rtt = RttEstimator::new(ms(1000), ms(50), ms(60_000))?;
/// let now = Timestamp::ZERO;
/// assert_eq!(rtt.rto(now), ms(1000));
/// rtt.on_reply(now, Some(ms(100)));
/// assert_eq!(rtt.rto(now), ms(300));
/// rtt.on_expiry(now, ms(300));
/// assert_eq!(rtt.rto(now), ms(600));
/// rtt.on_reply(now, None); // after a retransmission: whose reply is it?
/// assert_eq!(rtt.rto(now), ms(600));
///
/// let policy = RetryPolicy::default().starting_at(rtt.rto(now));
/// assert_eq!(policy.backoff().initial(), ms(600));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "RTO")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RttEstimator {
    initial: Ns,
    floor: Ns,
    cap: Ns,
    max_age: Ns,
    estimate: Option<Estimate>,
    backed_off: Option<BackedOff>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Estimate {
    srtt: Ns,
    rttvar: Ns,
    /// When the latest sample came.
    at: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BackedOff {
    rto: Ns,
    /// When the first timeout since the last clean round trip came.
    since: Timestamp,
}

impl RttEstimator {
    /// An estimator that knows nothing yet: `initial` is its timeout until the first round trip, `floor` and `cap`
    /// bound it.
    ///
    /// # Errors
    ///
    /// [`EstimatorBounds`](PolicyError::EstimatorBounds) unless 0 < floor ≤ initial ≤ cap, and
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub const fn new(initial: Duration, floor: Duration, cap: Duration) -> Result<Self, PolicyError> {
        let Some(cap_ns) = checked_ns(cap) else {
            return Err(PolicyError::TooLong { duration: cap });
        };
        let (initial_ns, floor_ns) = (saturating_ns(initial), saturating_ns(floor));
        if floor_ns == 0 || floor_ns > initial_ns || initial_ns > cap_ns {
            return Err(PolicyError::EstimatorBounds { floor, initial, cap });
        }
        Ok(Self {
            initial: initial_ns,
            floor: floor_ns,
            cap: cap_ns,
            max_age: 600 * 1_000_000_000,
            estimate: None,
            backed_off: None,
        })
    }

    /// Forgets estimates and doublings that are older than this.
    ///
    /// # Errors
    ///
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub const fn with_max_age(self, max_age: Duration) -> Result<Self, PolicyError> {
        match checked_ns(max_age) {
            Some(max_age) => Ok(Self { max_age, ..self }),
            None => Err(PolicyError::TooLong { duration: max_age }),
        }
    }

    /// A reply arrived at `now`, with this round trip if it was unambiguous. Only such a one counts, and it also
    /// ends the doubling (RFC 6298 §5.3, RFC 8961 §4).
    pub fn on_reply(&mut self, now: Timestamp, round_trip: Option<Duration>) {
        let Some(round_trip) = round_trip else { return };
        let sample = saturating_ns(round_trip);
        let (srtt, rttvar) = match self.fresh_estimate(now) {
            // RFC 6298 §2.2
            None => (sample, sample / 2),
            // RFC 6298 §2.3: RTTVAR first, with the SRTT of before; alpha = 1/8, beta = 1/4.
            Some(Estimate { srtt, rttvar, .. }) => {
                (weighted(srtt, sample, 8), weighted(rttvar, srtt.abs_diff(sample), 4))
            }
        };
        self.estimate = Some(Estimate { srtt, rttvar, at: now });
        self.backed_off = None;
    }

    /// A wait ended at `now` without a reply; `rto` is the timeout that was in use for it, before jitter. The next
    /// one is at least twice that (RFC 6298 §5.5), so that several losses at once count as one.
    pub fn on_expiry(&mut self, now: Timestamp, rto: Duration) {
        let doubled = saturating_ns(rto).saturating_mul(2).clamp(self.floor, self.cap);
        let since = self.fresh_backoff(now).map_or(now, |backed_off| backed_off.since);
        self.backed_off = Some(BackedOff { rto: doubled.max(self.rto_ns(now)), since });
    }

    /// The timeout to start the next request with.
    #[must_use]
    pub const fn rto(&self, now: Timestamp) -> Duration {
        Duration::from_nanos(self.rto_ns(now))
    }

    /// The smoothed round trip; `None` before the first sample, or when it has grown too old.
    #[must_use]
    pub const fn srtt(&self, now: Timestamp) -> Option<Duration> {
        match self.fresh_estimate(now) {
            Some(estimate) => Some(Duration::from_nanos(estimate.srtt)),
            None => None,
        }
    }

    /// The variation of the round trip; `None` as for [`srtt`](Self::srtt).
    #[must_use]
    pub const fn rttvar(&self, now: Timestamp) -> Option<Duration> {
        match self.fresh_estimate(now) {
            Some(estimate) => Some(Duration::from_nanos(estimate.rttvar)),
            None => None,
        }
    }

    const fn rto_ns(&self, now: Timestamp) -> Ns {
        if let Some(backed_off) = self.fresh_backoff(now) {
            return backed_off.rto;
        }
        let Some(Estimate { srtt, rttvar, .. }) = self.fresh_estimate(now) else {
            return self.initial;
        };
        // RFC 6298 §2.2, §2.3: SRTT + max(G, 4·RTTVAR)
        let spread = rttvar.saturating_mul(4);
        let rto = srtt.saturating_add(if spread > GRANULARITY { spread } else { GRANULARITY });
        // RFC 6298 §2.4, §2.5
        if rto < self.floor {
            self.floor
        } else if rto > self.cap {
            self.cap
        } else {
            rto
        }
    }

    const fn fresh_estimate(&self, now: Timestamp) -> Option<Estimate> {
        match self.estimate {
            Some(estimate) if saturating_ns(now.since(estimate.at)) <= self.max_age => Some(estimate),
            _ => None,
        }
    }

    const fn fresh_backoff(&self, now: Timestamp) -> Option<BackedOff> {
        match self.backed_off {
            Some(backed_off) if saturating_ns(now.since(backed_off.since)) <= self.max_age => Some(backed_off),
            _ => None,
        }
    }
}

impl Default for RttEstimator {
    /// The values of RFC 6298: initial 1 s, floor 1 s, cap 60 s.
    fn default() -> Self {
        const SECOND: Ns = 1_000_000_000;
        Self {
            initial: SECOND,
            floor: SECOND,
            cap: 60 * SECOND,
            max_age: 600 * SECOND,
            estimate: None,
            backed_off: None,
        }
    }
}

/// The average of `old`, which counts share − 1 times, and `new`, to the nearest. In 128 bits: no input overflows it.
const fn weighted(old: Ns, new: Ns, share: u8) -> Ns {
    let sum = old as u128 * (share as u128 - 1) + new as u128 + share as u128 / 2;
    #[expect(clippy::cast_possible_truncation, reason = "an average is between the two")]
    {
        (sum / share as u128) as Ns
    }
}

/// G of RFC 6298: timers and clocks here are finer than a millisecond, but the hosts that answer may not be.
const GRANULARITY: Ns = 1_000_000;
