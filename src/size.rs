//! Sizes of a path: IP packets and UDP payloads are different numbers, so they are different types.

use core::fmt;
use core::net::IpAddr;

/// The version of IP under a datagram; it decides the size of the headers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IpFamily {
    /// IPv4: 20 bytes of header without options.
    V4,
    /// IPv6: 40 bytes of header without extensions.
    V6,
}

impl IpFamily {
    /// The family of the packets that reach this address: an IPv4-mapped one (`::ffff:192.0.2.7`) is reached by IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => Self::V6,
            _ => Self::V4,
        }
    }

    /// Bytes of IP and UDP header around a payload: 28 or 48.
    #[must_use]
    pub const fn overhead(self) -> u32 {
        match self {
            Self::V4 => 28,
            Self::V6 => 48,
        }
    }

    /// The largest payload that the length fields of the headers can express: 65,507 or 65,527 bytes.
    #[must_use]
    pub const fn max_plpmtu(self) -> Plpmtu {
        match self {
            Self::V4 => Plpmtu(65_507),
            Self::V6 => Plpmtu(65_527),
        }
    }
}

/// A path MTU: the largest IP packet, headers included, that a path carries whole, in bytes (RFC 8899 §2).
///
/// 32 bits, because the loopback interface reports 65,536.
#[doc(alias = "MTU")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pmtu(u32);

impl Pmtu {
    /// The path MTU of `bytes`.
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        Self(bytes)
    }

    /// Bytes of the IP packet.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// The largest UDP payload that fits into one such packet, never more than a datagram can have at all.
    ///
    /// ```
    /// use udp_retry::size::{IpFamily, Pmtu};
    ///
    /// assert_eq!(Pmtu::new(1500).plpmtu(IpFamily::V4).bytes(), 1472);
    /// assert_eq!(Pmtu::new(65_536).plpmtu(IpFamily::V4).bytes(), 65_507);
    /// ```
    #[must_use]
    pub const fn plpmtu(self, family: IpFamily) -> Plpmtu {
        let payload = self.0.saturating_sub(family.overhead());
        let most = family.max_plpmtu();
        if payload >= most.0 as u32 {
            return most;
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 65,527")]
        Plpmtu(payload as u16)
    }
}

impl fmt::Display for Pmtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-byte packets", self.0)
    }
}

/// A packetization-layer path MTU: the largest UDP payload that a path carries in one packet, in bytes
/// (RFC 8899 §2).
#[doc(alias = "DPLPMTUD")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Plpmtu(u16);

impl Plpmtu {
    /// The payload size of `bytes`.
    #[must_use]
    pub const fn new(bytes: u16) -> Self {
        Self(bytes)
    }

    /// Bytes of UDP payload.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Plpmtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-byte payloads", self.0)
    }
}

/// More bytes than the payload of any datagram: a buffer of this size receives each of them whole.
#[cfg(any(feature = "std", feature = "fault"))]
pub(crate) const LARGEST_DATAGRAM: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_packets_less_headers_within_what_a_datagram_can_be() {
        for (pmtu, family, payload) in [
            (0, IpFamily::V4, 0),
            (28, IpFamily::V4, 0),
            (576, IpFamily::V4, 548),
            (1280, IpFamily::V6, 1232),
            (1500, IpFamily::V6, 1452),
            (65_535, IpFamily::V4, 65_507),
            (65_536, IpFamily::V6, 65_488),
            (65_575, IpFamily::V6, 65_527),
            (u32::MAX, IpFamily::V6, 65_527),
        ] {
            assert_eq!(Pmtu::new(pmtu).plpmtu(family).bytes(), payload, "{pmtu} {family:?}");
        }
    }
}
