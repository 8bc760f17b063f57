use core::time::Duration;

use crate::size::{IpFamily, Plpmtu};
use crate::transport::{Fragmentation, NoEntropy, PathError};

/// What a path carries, and how that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PathReport {
    /// The largest payload that arrived at the far end; `None` if nothing was answered.
    pub forward: Option<Plpmtu>,
    /// The largest payload that arrived from the far end, at most three times `forward`, as no responder answers more; `None`
    /// where the far end does not send what it is asked for.
    pub reverse: Option<Plpmtu>,
    /// What `forward` proves.
    pub evidence: Evidence,
    /// Probes that were sent, in both directions.
    pub probes: u32,
    /// Probes that nothing answered in time, in both directions.
    pub lost: u32,
    /// Reports of routers that were taken.
    pub reports: u32,
    /// How long it took.
    pub took: Duration,
    /// The shortest round trip of a probe.
    pub round_trip: Option<Duration>,
}

/// What the size that was found proves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Evidence {
    /// It is the path's. What is larger was refused by this host, reported by a router, or did not reach a responder that takes
    /// any size.
    Confirmed,
    /// The path carries that much. Larger datagrams were not answered, and whether the path or the service drops them can not be
    /// told: a service's own receive limit looks like a black hole (dnsmasq: 1232 bytes).
    ServiceOrPath,
    /// Nothing was answered, or the far end said at once that no one listens there: nothing is known of the path.
    Unanswered,
}

/// Why a path was not probed to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// There is no such path, or it has no socket yet.
    #[error("no such path")]
    NoSuchPath,
    /// The datagrams of this path may be fragmented, so that an answer would prove nothing (RFC 8899 §3): first set
    /// [`Fragmentation::Probing`] or [`Fragmentation::Forbidden`].
    #[error("datagrams may be fragmented here ({mode:?}), so no answer proves a size")]
    #[non_exhaustive]
    Fragmenting {
        /// The mode of the path.
        mode: Fragmentation,
    },
    /// The system neither forbids fragmentation nor says whether it does; all but Linux and Android.
    #[error("this system cannot forbid fragmentation")]
    Unsupported,
    /// The settings are for the other IP family.
    #[error("the settings are not for {family:?}, the family of this path")]
    #[non_exhaustive]
    OtherFamily {
        /// The family of the path.
        family: IpFamily,
    },
    /// The format has no datagram as short as this probe.
    #[error("no probe of this format is as short as {len}")]
    #[non_exhaustive]
    TooShort {
        /// The payload.
        len: Plpmtu,
    },
    /// No unpredictable bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// This host does not send.
    #[error("a probe could not be sent: {0}")]
    NotSent(#[source] PathError),
    /// The end was cancelled.
    #[error("cancelled")]
    Cancelled,
}
