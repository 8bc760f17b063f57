use core::fmt;
use core::num::NonZeroU32;

use super::GiveUp;
use crate::size::Plpmtu;
use crate::time::Timestamp;
use crate::transport::PathError;

/// Why a transaction ended without a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The schedule ended; the reason says which part of it.
    TimedOut(GiveUp),
    /// The schedule ended, and nothing but refusals came back.
    Refused,
    /// The schedule ended, and nothing but "unreachable" came back.
    Unreachable,
    /// The request exceeds what the path, the interface or a datagram at all can be. It was not sent again.
    #[non_exhaustive]
    TooLarge {
        /// Bytes of the request.
        len: u32,
        /// What would fit, where it is known.
        limit: Option<Plpmtu>,
    },
    /// The reply came, but the receive buffer was too small for it.
    #[non_exhaustive]
    Truncated {
        /// Bytes that fitted.
        received: u32,
        /// Bytes of the reply.
        actual: u32,
    },
    /// Nothing could be sent, or nothing received, for a reason of this host.
    Local(PathError),
    /// The matcher tells no ids, so only a fresh source port would keep late replies to earlier requests away; but the port
    /// is the caller's choice, or all that this kind of transport has.
    NoFreshPort,
    /// The request lacks the id that the matcher looks for, so no reply could be told.
    Unmatchable,
    /// Every id of one or two bytes was used within the last two minutes, and the port cannot change: a late reply to
    /// an earlier request could be taken for the reply to this one.
    #[non_exhaustive]
    IdsResting {
        /// The first id is free again.
        until: Timestamp,
    },
    /// The caller no longer wanted the reply.
    Cancelled,
    /// The server has restarted, and its [envelope](crate::envelope) says that an earlier incarnation may have executed the
    /// request. The present one has not, and will not. Of several servers each that was asked has said so.
    ServerRestarted,
    /// What drives the requests has ended: it was shut down, or the runtime that it ran in was.
    Stopped,
    /// A request with this id of the caller's is in flight.
    IdInUse,
    /// The group is another requester's.
    UnknownPeer,
    /// There are 256 policies already, and the request brings another one.
    TooManyPolicies,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(GiveUp::OverBudget) => write!(f, "no reply, and the retry budget is spent"),
            Self::TimedOut(GiveUp::Deadline) => write!(f, "no reply within the deadline"),
            Self::TimedOut(_) => write!(f, "no reply"),
            Self::Refused => write!(f, "refused: nobody listens there"),
            Self::Unreachable => write!(f, "destination unreachable"),
            Self::TooLarge { len, limit: None } => write!(f, "a request of {len} bytes is too large"),
            Self::TooLarge { len, limit: Some(limit) } => {
                write!(f, "a request of {len} bytes is too large: {} would fit", limit.bytes())
            }
            Self::Truncated { received, actual } => {
                write!(f, "the reply of {actual} bytes exceeds the buffer of {received}")
            }
            Self::Local(error) => write!(f, "{error}"),
            Self::NoFreshPort => write!(f, "requests without ids need fresh source ports, and this one cannot change"),
            Self::Unmatchable => write!(f, "the request lacks the id that its reply would repeat"),
            Self::IdsResting { until } => {
                write!(f, "every id was used less than two minutes ago: the first is free at {until:?}")
            }
            Self::Cancelled => write!(f, "cancelled"),
            Self::ServerRestarted => write!(f, "the server restarted: it may have run the request before, or not"),
            Self::Stopped => write!(f, "what drives the requests has ended"),
            Self::IdInUse => write!(f, "a request with this id is in flight"),
            Self::UnknownPeer => write!(f, "no such peer, or group"),
            Self::TooManyPolicies => write!(f, "more than 256 different policies"),
        }
    }
}

impl core::error::Error for Failure {}

impl Failure {
    #[cfg(any(feature = "tokio", feature = "sim"))]
    pub(crate) fn too_large(len: usize) -> Self {
        Self::TooLarge { len: u32::try_from(len).unwrap_or(u32::MAX), limit: None }
    }

    #[cold]
    pub(super) fn truncated(received: usize, actual: usize) -> Self {
        let bytes = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self::Truncated { received: bytes(received), actual: bytes(actual) }
    }
}

/// What "nobody listens" and "no way there" do to a transaction.
///
/// Such an ICMP message is news of one transmission, and anybody can forge it; the server may come up before the
/// next one. So nothing is the default. Whoever cannot wait takes the news for a verdict.
///
/// Only those of this request's own transmissions count. A socket of our own on Linux reports
/// [which datagram](crate::transport::Incoming::PathError) met an error; where no one says so, those of earlier requests that
/// may still be refused are taken to be refused first.
///
/// Which messages the system passes on depends on the socket:
///
/// | socket | port unreachable | prohibited by a router | network or host unreachable |
/// |---|---|---|---|
/// | Linux and Android, our own, never lent | yes | yes | yes, also a neighbour that is off (after some 3 s) |
/// | Linux and Android, the caller's or lent | yes | yes | no: the kernel keeps IPv4 codes 0 and 1 and IPv6 codes 0 and 3 to itself, unless the caller sets `IP_RECVERR` or `IPV6_RECVERR` |
/// | elsewhere | as the system does | as the system does | as the system does |
///
/// That this host itself has no route is an error of the send, and counts everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum OnUnreachable {
    /// The schedule goes on to its end.
    #[default]
    KeepTrying,
    /// The first such message ends the transaction.
    FailFast,
    /// This many attempts to transmit that met one end it.
    FailAfter(NonZeroU32),
}

/// Datagrams that answered nothing, by what they were. None of them ends, delays or hastens anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct Strays {
    /// They answer one of the latest eight requests before, or this one after its end: late or second copies.
    pub stale: u32,
    /// They are empty.
    pub empty: u32,
    /// They were cut, because they exceeded the receive buffer.
    pub truncated: u32,
    /// Their [envelope](crate::envelope) is missing, of another version, or not one of an answer to what was sent.
    pub envelope: u32,
    /// Anything else: malformed, forged, or somebody else's.
    pub foreign: u32,
}

/// What kind of datagram answered nothing; [`Strays`] counts them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stray {
    /// A late or second copy of a reply.
    Stale,
    /// Without a payload.
    Empty,
    /// Cut, because it exceeded the receive buffer.
    Truncated,
    /// Its envelope is missing, of another version, or not one of an answer to what was sent.
    Envelope,
    /// Malformed, forged, or somebody else's.
    Foreign,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "stale",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Envelope => "wrong envelope",
            Self::Foreign => "foreign",
        })
    }
}

impl Strays {
    pub(super) fn add(&mut self, kind: Stray) {
        let count = match kind {
            Stray::Stale => &mut self.stale,
            Stray::Empty => &mut self.empty,
            Stray::Truncated => &mut self.truncated,
            Stray::Envelope => &mut self.envelope,
            Stray::Foreign => &mut self.foreign,
        };
        *count = count.saturating_add(1);
    }

    /// Of all kinds.
    #[must_use]
    pub const fn total(&self) -> u32 {
        let Self { stale, empty, truncated, envelope, foreign } = *self;
        stale.saturating_add(empty).saturating_add(truncated).saturating_add(envelope).saturating_add(foreign)
    }
}

/// Whether the peer may have executed the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the caller's decision hangs on all three")]
pub enum Execution {
    /// It has not: no transmission left this host.
    NotSent,
    /// It has not, if the refusals are to be believed: every transmission met one. Those that may belong to earlier
    /// requests are not counted, nor is one that the network repeats where the system quotes the datagram that met it. Ones
    /// that are forged cannot be told.
    Refused,
    /// It may have, once or several times.
    Unknown,
}
