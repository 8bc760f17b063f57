//! Moments, as the drivers of the pure layers count them.

pub(crate) mod wheel;

use core::fmt;
use core::time::Duration;

/// Nanoseconds, as the pure layers keep them; [`Duration`] at every public edge.
pub(crate) type Ns = u64;

/// A moment: nanoseconds since an origin that the driver picks.
///
/// Only differences mean anything, so a driver may count from its own start, and a simulation from zero.
/// 64 bits last 584 years; every operation saturates, so no arithmetic here can panic or wrap.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::time::Timestamp;
///
/// let start = Timestamp::from_nanos(5_000);
/// let later = start.after(Duration::from_micros(2));
/// assert_eq!(later.since(start), Duration::from_micros(2));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(Ns);

impl Timestamp {
    /// The origin itself.
    pub const ZERO: Self = Self(0);
    /// The last moment that can be named; as a deadline it means "none".
    pub const MAX: Self = Self(Ns::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, [`Timestamp::MAX`] at most.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        self.after_ns(saturating_ns(duration))
    }

    /// The time from `earlier` until this moment; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.since_ns(earlier))
    }

    pub(crate) const fn since_ns(self, earlier: Self) -> Ns {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) const fn after_ns(self, ns: Ns) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Whole nanoseconds, or `None` past 584 years, where no policy of ours reaches.
pub(crate) const fn checked_ns(duration: Duration) -> Option<Ns> {
    match duration.as_secs().checked_mul(1_000_000_000) {
        Some(ns) => ns.checked_add(duration.subsec_nanos() as Ns),
        None => None,
    }
}

pub(crate) const fn saturating_ns(duration: Duration) -> Ns {
    match checked_ns(duration) {
        Some(ns) => ns,
        None => Ns::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::MAX.after(Duration::from_nanos(1)), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::MAX.since(Timestamp::ZERO), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_duration_past_the_range_is_told_from_the_longest_that_fits() {
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX)), Some(u64::MAX));
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(checked_ns(Duration::MAX), None);
    }
}
