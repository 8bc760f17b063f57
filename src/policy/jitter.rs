use core::time::Duration;

use super::PolicyError;
use super::fixed::{ONE, Ppb, fraction, ppb};
use crate::time::{Ns, checked_ns};

/// How intervals vary from request to request, so that clients that failed together do not retry together.
///
/// The interval after a transmission is the wait for its reply. Jitter that shortens it causes retransmissions
/// that nothing called for (71 % of healthy requests with full jitter on a tuned timer, 1 % with
/// [`UPWARD`](Self::UPWARD)), so prefer factors of 1 and more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Jitter {
    /// The smallest factor.
    pub(super) lo: Ppb,
    /// The largest factor.
    pub(super) hi: Ppb,
    /// An absolute deviation on top, in either direction.
    pub(super) plus_minus: Ns,
    pub(super) drawn: Drawn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drawn {
    /// Every interval has its own draw.
    Each,
    /// One draw serves every interval of a request.
    Once,
    /// Every interval has its own draw and grows from the interval before it as it was drawn.
    Compounding,
}

impl Jitter {
    /// No jitter: every request waits the same.
    pub const NONE: Self = Self { lo: ONE, hi: ONE, plus_minus: 0, drawn: Drawn::Each };
    /// Factors from 1 to 1.5, the range of RFC 7252 §4.2, drawn for every interval.
    pub const UPWARD: Self = Self { lo: ONE, hi: ONE + ONE / 2, plus_minus: 0, drawn: Drawn::Each };
    /// Factors from 0 to 1: for a pause after an explicit rejection, harmful on a timer that waits for a reply.
    pub const FULL: Self = Self { lo: 0, hi: ONE, plus_minus: 0, drawn: Drawn::Each };
    /// Factors from 0.5 to 1: as [`FULL`](Self::FULL), half as wide.
    pub const EQUAL: Self = Self { lo: ONE / 2, hi: ONE, plus_minus: 0, drawn: Drawn::Each };

    /// Factors from `lo` to `hi`, drawn for every interval.
    ///
    /// # Errors
    ///
    /// [`JitterOutOfRange`](PolicyError::JitterOutOfRange) unless both are numbers from 0 to 10⁹ and `hi` is above
    /// 0, [`JitterInverted`](PolicyError::JitterInverted) if `lo` exceeds `hi`.
    pub const fn between(lo: f64, hi: f64) -> Result<Self, PolicyError> {
        Self::drawn(lo, hi, Drawn::Each)
    }

    /// One factor from `lo` to `hi` for all intervals of a request (RFC 7252 §4.2).
    ///
    /// # Errors
    ///
    /// As [`between`](Self::between).
    pub const fn once(lo: f64, hi: f64) -> Result<Self, PolicyError> {
        Self::drawn(lo, hi, Drawn::Once)
    }

    /// Factors from `lo` to `hi` for every interval, which then grows from the interval before it as that was
    /// drawn (RFC 5080 §2.2.1, RFC 9915 §15).
    ///
    /// # Errors
    ///
    /// As [`between`](Self::between), and [`CompoundingOneSided`](PolicyError::CompoundingOneSided) unless
    /// lo ≤ 1 ≤ hi; [`Backoff::with_jitter`](super::Backoff::with_jitter) checks that the intervals grow.
    pub const fn compounding(lo: f64, hi: f64) -> Result<Self, PolicyError> {
        Self::drawn(lo, hi, Drawn::Compounding)
    }

    /// Up to `deviation` more or less, whatever the interval (RFC 2131 §4.1), drawn for every interval.
    ///
    /// # Errors
    ///
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub const fn plus_minus(deviation: Duration) -> Result<Self, PolicyError> {
        match checked_ns(deviation) {
            Some(plus_minus) => Ok(Self { plus_minus, ..Self::NONE }),
            None => Err(PolicyError::TooLong { duration: deviation }),
        }
    }

    /// Factors of parts per billion.
    pub(super) const fn of(lo: Ppb, hi: Ppb, drawn: Drawn) -> Result<Self, PolicyError> {
        Self::checked((lo, hi), drawn, (fraction(lo), fraction(hi)))
    }

    const fn drawn(lo: f64, hi: f64, drawn: Drawn) -> Result<Self, PolicyError> {
        match (ppb(lo), ppb(hi)) {
            (Some(lo_ppb), Some(hi_ppb)) => Self::checked((lo_ppb, hi_ppb), drawn, (lo, hi)),
            _ => Err(PolicyError::JitterOutOfRange { lo, hi }),
        }
    }

    /// `given`: the same factors as the caller wrote them, for the errors. Two that differ may be one part per billion.
    const fn checked((lo, hi): (Ppb, Ppb), drawn: Drawn, given: (f64, f64)) -> Result<Self, PolicyError> {
        let most = ONE * ONE;
        if hi == 0 || lo > most || hi > most {
            Err(PolicyError::JitterOutOfRange { lo: given.0, hi: given.1 })
        } else if lo > hi || given.0 > given.1 {
            Err(PolicyError::JitterInverted { lo: given.0, hi: given.1 })
        } else if matches!(drawn, Drawn::Compounding) && (lo > ONE || hi < ONE) {
            Err(PolicyError::CompoundingOneSided { lo: given.0, hi: given.1 })
        } else {
            Ok(Self { lo, hi, plus_minus: 0, drawn })
        }
    }
}
