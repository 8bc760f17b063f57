use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::{Ns, Timestamp, saturating_ns};

/// How much an [`InFlight`](super::InFlight) may hold, and how long short ids rest. What exceeds it is refused, never lost.
///
/// | limit | default | of what |
/// |---|---|---|
/// | [`requests`](Self::requests) | 65,536 | requests that have not ended, on the wire or waiting |
/// | [`bytes`](Self::bytes) | 64 MiB | memory for their bytes |
/// | [`window`](Self::window) | 64 | requests on the wire at a peer; the others wait inside, in order |
/// | [`rest`](Self::rest) | 1 s, 60 s | before a short id is used again |
///
/// ```
/// use core::num::NonZeroU32;
/// use udp_retry::transaction::Limits;
///
/// let small = Limits::default().requests(NonZeroU32::new(1000).unwrap()).bytes(1 << 20);
/// assert_eq!(format!("{small:?}"), "Limits { requests: 1000, bytes: 1048576, window: 64, rest: (1s, 60s) }");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) requests: NonZeroU32,
    pub(super) bytes: usize,
    pub(super) window: NonZeroU32,
    pub(super) rest: Rest,
}

/// How long an id of one or two bytes is not used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rest {
    /// After one transmission and one reply.
    pub(super) clean: Ns,
    pub(super) other: Ns,
}

impl Limits {
    /// At most this many requests at a time.
    ///
    /// **Where more may come than the servers do, and requests have a deadline, choose about what they do within it**, such as
    /// 500 for 150 a second and 5 s: what is refused at once can be told so. Else the queue in front of the window grows, and as
    /// it is kept in order, soon each request leaves too late to be answered in time, and nearly all fail.
    #[must_use]
    pub const fn requests(self, requests: NonZeroU32) -> Self {
        Self { requests, ..self }
    }

    /// At most this much memory for their bytes, in pieces of 64 KiB, and at least one of those.
    #[must_use]
    pub const fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// At most this many requests on the wire at a peer.
    ///
    /// More than the socket buffers of both ends hold is a trap: what overflows is lost, and so are its retransmissions, in
    /// step. Linux's default buffers hold 256 small datagrams, and 90 of 1,200 bytes.
    #[must_use]
    pub const fn window(self, window: NonZeroU32) -> Self {
        Self { window, ..self }
    }

    /// Lets an id of one or two bytes rest: so long after a request that took one transmission and one reply, of which only
    /// the network could still bring a copy, and so long after any other, of which replies may be on their way.
    ///
    /// There are 65,536 ids of two bytes, so a rest of one second allows 65,536 requests a second to all peers together. More
    /// takes a shorter rest, or another socket.
    #[must_use]
    pub const fn rest(self, clean: Duration, other: Duration) -> Self {
        Self { rest: Rest { clean: saturating_ns(clean), other: saturating_ns(other) }, ..self }
    }
}

#[cfg(feature = "std")]
impl Limits {
    /// The most requests on the wire at once, at this many peers.
    pub(crate) fn on_wire(&self, peers: usize) -> usize {
        let [window, requests] =
            [self.window, self.requests].map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
        window.saturating_mul(peers).min(requests)
    }
}

impl Default for Limits {
    fn default() -> Self {
        let rest = Rest { clean: 1_000_000_000, other: 60_000_000_000 };
        Self { requests: REQUESTS, bytes: 64 << 20, window: WINDOW, rest }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, bytes, window, rest } = self;
        let rest = (Duration::from_nanos(rest.clean), Duration::from_nanos(rest.other));
        f.debug_struct("Limits")
            .field("requests", requests)
            .field("bytes", bytes)
            .field("window", window)
            .field("rest", &rest)
            .finish()
    }
}

/// Why a request was not taken in. Nothing of it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many requests, or bytes of them, are held as the [`Limits`] allow. There is space when one of them has ended.
    #[error("as many requests are in flight as the limits allow")]
    Full,
    /// Every id is in use or rests.
    #[error("every id is in use, or was used a moment ago")]
    #[non_exhaustive]
    IdsUsedUp {
        /// When the first of those that rest is free again; `None` if all are in use.
        until: Option<Timestamp>,
    },
    /// A request to this peer has this id of the caller's.
    #[error("a request with this id is in flight")]
    IdInUse,
    /// The request has no id that a reply could repeat, or one of more than 16 bytes; or it should be stamped and there is no
    /// source of ids.
    #[error("the request lacks the id that its reply would repeat")]
    Unmatchable,
    /// It exceeds what a datagram can be.
    #[error("a request of {len} bytes is too large")]
    #[non_exhaustive]
    TooLarge {
        /// Bytes of the request.
        len: usize,
    },
    /// The peer, or one of the group, was removed, or never added. A number of another engine's may name a peer of this one.
    #[error("no such peer, or group")]
    UnknownPeer,
    /// There are 256 policies already, and the request brings another one.
    #[error("more than 256 different policies")]
    TooManyPolicies,
}

const REQUESTS: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
const WINDOW: NonZeroU32 = NonZeroU32::new(64).unwrap();
