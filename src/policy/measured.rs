use crate::time::{Ns, Timestamp};

/// What bounds a timeout, and how long a measurement holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttBounds {
    pub(crate) initial: Ns,
    pub(crate) floor: Ns,
    pub(crate) cap: Ns,
    pub(crate) max_age: Ns,
}

/// What was learnt of a path: a value. [`RttEstimator`](super::RttEstimator) is a handle to one.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Measured {
    pub(crate) estimate: Option<Estimate>,
    pub(crate) backed_off: Option<BackedOff>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) srtt: Ns,
    pub(crate) rttvar: Ns,
    /// When the latest sample came.
    pub(crate) at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BackedOff {
    pub(crate) rto: Ns,
    /// When the first timeout since the last clean round trip came.
    pub(crate) since: Timestamp,
}

/// The arithmetic, of values: RFC 6298.
impl RttBounds {
    pub(crate) fn sampled(&self, before: Measured, now: Timestamp, sample: Ns) -> Measured {
        let sample = sample.min(LONGEST_SAMPLE);
        let (srtt, rttvar) = match self.fresh_estimate(&before, now) {
            // RFC 6298 §2.2
            None => (sample, sample / 2),
            // RFC 6298 §2.3: RTTVAR first, with the SRTT of before; alpha = 1/8, beta = 1/4.
            Some(Estimate { srtt, rttvar, .. }) => {
                (weighted(srtt, sample, 8), weighted(rttvar, srtt.abs_diff(sample), 4))
            }
        };
        Measured { estimate: Some(Estimate { srtt, rttvar, at: now }), backed_off: None }
    }

    pub(crate) fn expired(&self, before: Measured, now: Timestamp, rto: Ns) -> Measured {
        let doubled = rto.saturating_mul(2).clamp(self.floor, self.cap);
        let since = self.fresh_backoff(&before, now).map_or(now, |backed_off| backed_off.since);
        Measured { backed_off: Some(BackedOff { rto: doubled.max(self.rto(&before, now)), since }), ..before }
    }

    pub(crate) fn rto(&self, measured: &Measured, now: Timestamp) -> Ns {
        if let Some(backed_off) = self.fresh_backoff(measured, now) {
            return backed_off.rto;
        }
        let Some(Estimate { srtt, rttvar, .. }) = self.fresh_estimate(measured, now) else {
            return self.initial;
        };
        // RFC 6298 §2.2, §2.3: SRTT + max(G, 4·RTTVAR); §2.4, §2.5: the bounds.
        srtt.saturating_add(rttvar.saturating_mul(4).max(GRANULARITY)).clamp(self.floor, self.cap)
    }

    pub(crate) fn fresh_estimate(&self, measured: &Measured, now: Timestamp) -> Option<Estimate> {
        measured.estimate.filter(|estimate| now.since_ns(estimate.at) <= self.max_age)
    }

    fn fresh_backoff(&self, measured: &Measured, now: Timestamp) -> Option<BackedOff> {
        measured.backed_off.filter(|backed_off| now.since_ns(backed_off.since) <= self.max_age)
    }
}

impl Measured {
    /// SRTT is [`NONE`] where nothing was measured, as no sample is that long; a timeout is 0 where none has doubled, as
    /// no floor is that low.
    pub(super) fn to_words(self) -> [u64; 5] {
        let (srtt, rttvar, at) = self.estimate.map_or((NONE, 0, 0), |it| (it.srtt, it.rttvar, it.at.as_nanos()));
        let (rto, since) = self.backed_off.map_or((0, 0), |it| (it.rto, it.since.as_nanos()));
        [srtt, rttvar, at, rto, since]
    }

    pub(super) fn from_words([srtt, rttvar, at, rto, since]: [u64; 5]) -> Self {
        let estimate = Estimate { srtt, rttvar, at: Timestamp::from_nanos(at) };
        let backed_off = BackedOff { rto, since: Timestamp::from_nanos(since) };
        Self { estimate: (srtt != NONE).then_some(estimate), backed_off: (rto != 0).then_some(backed_off) }
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
/// In place of a smoothed round trip.
const NONE: Ns = Ns::MAX;
const LONGEST_SAMPLE: Ns = NONE - 1;
