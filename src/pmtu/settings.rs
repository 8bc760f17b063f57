use core::num::{NonZeroU8, NonZeroU16};
use core::time::Duration;

use super::odds::Odds;
use crate::size::{IpFamily, Plpmtu};

/// From where to where a [`PlpmtuSearch`](super::PlpmtuSearch) searches, how fine, and when it gives a size up.
///
/// | setting | default | source |
/// |---|---|---|
/// | [`with_sizes`](Self::with_sizes) `min` | 548 bytes of payload, 1232 over IPv6 | RFC 8085 §3.2, RFC 8899 §5.1.2, RFC 8200 §5 |
/// | `base` | 1200, 1232 over IPv6 | RFC 8899 §5.1.2; IPv6 guarantees more than 1200 |
/// | `max` | what a datagram can be; the system refuses what its interface cannot send | RFC 8899 §5.1.2 |
/// | [`with_granularity`](Self::with_granularity) | [`Granularity::UsualSizes`] | RFC 8899 §5.3.2 |
/// | [`with_max_probes`](Self::with_max_probes) | [`MaxProbes::Odds`] of 10⁻³ | RFC 8899 §5.1.2 says 3 |
/// | [`with_raise_after`](Self::with_raise_after) | 10 min | RFC 8899 §5.1.1, RFC 8201 §4 |
///
/// ```
/// use udp_retry::pmtu::SearchSettings;
/// use udp_retry::size::{IpFamily, Plpmtu};
///
/// let settings = SearchSettings::new(IpFamily::V4);
/// // The peer takes no more than 4096 bytes.
/// let settings = settings.with_sizes(settings.min(), settings.base(), Plpmtu::new(4096))?;
/// # Ok::<(), udp_retry::pmtu::SearchError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SearchSettings {
    pub(super) family: IpFamily,
    pub(super) min: u16,
    pub(super) base: u16,
    pub(super) max: u16,
    pub(super) granularity: Granularity,
    pub(super) max_probes: MaxProbes,
    pub(super) raise_after: Duration,
}

/// How near to what the path carries a search ends (RFC 8899 §5.3.2, the minimum useful gain).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Granularity {
    /// At the largest of some sizes that paths usually have: exact on those, and at most 79 bytes short of others from 1280 to
    /// 1500.
    UsualSizes,
    /// This many bytes short, less one, at most: the gap between two usual sizes is halved until it is no wider (RFC 4821 §7.3).
    /// Each halving costs up to one loss.
    Bytes(NonZeroU16),
}

/// How many losses give a size up (RFC 8899 §5.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MaxProbes {
    /// This many. Three, as the RFC has it, are wrong for one size in 8 where a third is lost in each direction.
    Fixed(NonZeroU8),
    /// As many as the measured loss of the path makes this rare for a size that it carries, 3 at least and 24 at most (RFC 8899
    /// §3: a search has to bear that probes are lost for other reasons). The
    /// loss is measured by probes of a size that is already confirmed, which are sent where it is not known well enough.
    Odds(Odds),
}

impl SearchSettings {
    /// The defaults.
    #[must_use]
    pub const fn new(family: IpFamily) -> Self {
        let (min, base) = match family {
            IpFamily::V4 => (548, 1200),
            // RFC 8200 §5: each link carries 1280 bytes, so 1200 would prove less than is guaranteed.
            IpFamily::V6 => (1232, 1232),
        };
        Self {
            family,
            min,
            base,
            max: most(family),
            granularity: Granularity::UsualSizes,
            max_probes: MaxProbes::Odds(Odds::THOUSANDTH),
            raise_after: Duration::from_secs(600),
        }
    }

    /// Sizes of payload (RFC 8899 §5.1.2): `min` is used where nothing larger gets through, `base` is confirmed first, `max` is
    /// the largest that the peer takes or the program sends. What the kernel knows of the path is no `max`: it may be forged or old.
    ///
    /// # Errors
    ///
    /// [`SearchError::Sizes`] unless 0 < min ≤ base ≤ max, and max is no more than a datagram of the family can be.
    pub const fn with_sizes(self, min: Plpmtu, base: Plpmtu, max: Plpmtu) -> Result<Self, SearchError> {
        let most = self.family.max_plpmtu();
        let (low, middle, high) = (payload(min), payload(base), payload(max));
        if low == 0 || low > middle || middle > high || high > payload(most) {
            return Err(SearchError::Sizes { min, base, max, most });
        }
        Ok(Self { min: low, base: middle, max: high, ..self })
    }

    /// How near to what the path carries the search ends.
    #[must_use]
    pub const fn with_granularity(self, granularity: Granularity) -> Self {
        Self { granularity, ..self }
    }

    /// How many losses give a size up.
    #[must_use]
    pub const fn with_max_probes(self, max_probes: MaxProbes) -> Self {
        Self { max_probes, ..self }
    }

    /// How long after a search has ended the next one starts, for a path that has become wider (RFC 8899 §5.1.1,
    /// PMTU_RAISE_TIMER). [`Duration::MAX`] is never; where routers report, less than five minutes is too often (RFC 8201 §4).
    ///
    /// # Errors
    ///
    /// [`SearchError::ZeroWait`].
    pub const fn with_raise_after(self, raise_after: Duration) -> Result<Self, SearchError> {
        if raise_after.is_zero() { Err(SearchError::ZeroWait) } else { Ok(Self { raise_after, ..self }) }
    }

    /// The family that the sizes are for.
    #[must_use]
    pub const fn family(&self) -> IpFamily {
        self.family
    }

    /// The size that is used where nothing larger gets through.
    #[must_use]
    pub const fn min(&self) -> Plpmtu {
        Plpmtu::new(self.min)
    }

    /// The size that is confirmed first.
    #[must_use]
    pub const fn base(&self) -> Plpmtu {
        Plpmtu::new(self.base)
    }

    /// The largest size that is probed.
    #[must_use]
    pub const fn max(&self) -> Plpmtu {
        Plpmtu::new(self.max)
    }
}

/// Why settings of a search cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Sizes that do not ascend, or that no datagram has.
    #[error("from {min} over {base} to {max}: these must not descend, from above 0 to {most}")]
    #[non_exhaustive]
    Sizes {
        /// The smallest.
        min: Plpmtu,
        /// The first.
        base: Plpmtu,
        /// The largest.
        max: Plpmtu,
        /// What a datagram of the family can be.
        most: Plpmtu,
    },
    /// A wait of zero.
    #[error("a wait of zero")]
    ZeroWait,
}

const fn most(family: IpFamily) -> u16 {
    payload(family.max_plpmtu())
}

pub(super) const fn payload(size: Plpmtu) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "a payload is counted in 16 bits")]
    let bytes = size.bytes() as u16;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_ascend_within_what_a_datagram_can_be() {
        let settings = SearchSettings::new(IpFamily::V4);
        let sizes = |min, base, max| {
            let size = Plpmtu::new;
            settings.with_sizes(size(min), size(base), size(max)).map(|it| (it.min, it.base, it.max))
        };
        for (min, base, max) in [(548, 1200, 65_507), (1, 1, 1), (1200, 1200, 1200), (1, 2, 3)] {
            assert_eq!(sizes(min, base, max), Ok((min, base, max)));
        }
        for (min, base, max) in [(0, 1200, 1472), (1201, 1200, 1472), (548, 1473, 1472), (548, 1200, 65_508)] {
            assert!(matches!(sizes(min, base, max), Err(SearchError::Sizes { .. })), "{min} {base} {max}");
        }
        let error = sizes(548, 1473, 1472).unwrap_err().to_string();
        assert!(error.contains("1473-byte payloads to 1472-byte payloads"), "{error}");
    }

    #[test]
    fn ipv6_starts_at_what_it_guarantees() {
        let v6 = SearchSettings::new(IpFamily::V6);
        assert_eq!((v6.min, v6.base, v6.max), (1232, 1232, 65_527));
    }
}
