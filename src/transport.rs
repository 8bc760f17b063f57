//! The seam between logic and the world: what a request travels over, and what can go wrong there.

use core::fmt::{self, Debug};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::num::NonZeroU32;

use crate::size::Plpmtu;
use crate::time::Timestamp;

/// One end of a UDP path: sends datagrams, waits for them, and owns the clock.
///
/// Because waiting belongs to the transport, a fault injector can release delayed datagrams inside it and a
/// simulation can advance its clock inside it; everything above runs on either unchanged. A wrapper that forwards the
/// five required methods loses nothing that a front acts on.
///
/// At a client's end a `Peer` is a [`PathIndex`], and only datagrams of the peers that it is connected to are shown. At an
/// unconnected end, such as a server's, it is a [`Route`].
pub trait Transport {
    /// Where datagrams go to and come from.
    type Peer: Copy + Ord + Debug;

    /// The present moment. Never runs backwards.
    fn now(&self) -> Timestamp;

    /// Sends one datagram, without waiting for space in a queue.
    ///
    /// # Errors
    ///
    /// An error means that nothing of this datagram has left or will leave. It may concern an *earlier* datagram,
    /// which a connected socket reports on whatever call comes next; so offer the same bytes again. The same bytes
    /// offered next to the same peer are the same datagram: a fault injector deals them one fate.
    /// [`PathError::Cancelled`] where a cancellation waits; the next [`recv`](Self::recv) takes it.
    fn send(&mut self, to: Self::Peer, datagram: &[u8]) -> Result<(), PathError>;

    /// Sends several datagrams to one peer, one after the other, until one does not leave. Returns how many have left, and why
    /// the next one has not: as [`send`](Self::send) says it.
    ///
    /// One `send` for each by default, so a wrapper need not forward it; sockets have the system take several in one call.
    fn send_many(&mut self, to: Self::Peer, datagrams: &[&[u8]]) -> (usize, Result<(), PathError>) {
        for (sent, datagram) in datagrams.iter().enumerate() {
            if let Err(error) = self.send(to, datagram) {
                return (sent, Err(error));
            }
        }
        (datagrams.len(), Ok(()))
    }

    /// Waits until `until` for a datagram or an error, and returns what is queued already at any time.
    ///
    /// `now` was read a moment ago. What arrives exactly at `until` is returned. With `until` in the past nothing
    /// waits: the answer is what is queued, or [`Incoming::TimeUp`] with the time, just read.
    ///
    /// Whoever waits asks again after an error, at once. So where every call fails, such as under a filter of system calls,
    /// the transport lets time pass between its errors: those of `net` do after 16 in a row.
    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<Self::Peer>;

    /// Moves a path to a fresh source port with nothing queued in either direction, so that no reply to anything sent
    /// before can arrive any more. An end whose port is its owner's choice stays, and empties its queue; one that others
    /// use too moves only if that is [`Required`](Renewal::Required).
    ///
    /// # Errors
    ///
    /// [`PathError::Unsupported`] where this kind of end has one port for good, else what the system says.
    fn renew(&mut self, path: Self::Peer, need: Renewal) -> Result<Renewed, PathError>;

    /// Fills `key` with bytes that no one else can know, for the ids of requests. Each call gives others.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`]; a weaker source is never used instead.
    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy>;

    /// The largest payload that a send to this peer takes at present, where that is known without sending;
    /// [`send`](Self::send) refuses more as [`PathError::TooBig`]. Not known by default.
    ///
    /// Only what sends late asks, such as a fault injector: so a wrapper need not forward it.
    fn max_plpmtu(&self, to: Self::Peer) -> Option<Plpmtu> {
        let _ = to;
        None
    }
}

/// A path of a client's end, by its number; 0 where there is only one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PathIndex(u32);

impl PathIndex {
    /// The first path, and the only one of a socket that is connected to one peer.
    pub const FIRST: Self = Self(0);

    /// The path of this number, from 0.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PathIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path {}", self.0)
    }
}

/// Who sent a datagram to an unconnected end, and to which of the own addresses: an answer goes back along it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The other end.
    pub remote: SocketAddr,
    /// The own end: the address that was asked, from which an answer leaves; a wildcard where the system picks it. No answer
    /// can leave from the address of a broadcast or of a group: there it is the interface's own, with IPv6 the wildcard.
    pub local: SocketAddr,
    /// The interface that the datagram came in on, by its number; `None` where it is not known. An answer may leave by
    /// another one, as the host's routes say.
    pub interface: Option<NonZeroU32>,
}

impl Route {
    /// The route between these two ends, over any interface.
    #[must_use]
    pub const fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self { remote, local, interface: None }
    }
}

/// The way to a server that has sent nothing yet: from any own address, over any interface.
impl From<SocketAddr> for Route {
    fn from(remote: SocketAddr) -> Self {
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self::new(remote, SocketAddr::new(any, 0))
    }
}

/// An address under which a front with many requests in flight knows its peers: a [`PathIndex`], or a [`Route`].
pub trait PeerAddress: Copy + Ord + Debug + Send + Sync + Unpin + 'static {
    /// What all datagrams of one peer have in common.
    type Identity: Copy + Ord + Debug + Send + Sync;

    /// Who is at the address: the same for the one that is asked and the one that its replies come from, which can differ in
    /// all else.
    fn identity(&self) -> Self::Identity;

    /// The socket address of the peer, if this says it.
    fn socket_addr(&self) -> Option<SocketAddr>;
}

impl PeerAddress for PathIndex {
    type Identity = Self;

    #[inline]
    fn identity(&self) -> Self {
        *self
    }

    fn socket_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl PeerAddress for Route {
    /// The other end. A reply has an own address and an interface, which the request left to the system; a socket of IPv6
    /// shows the addresses of IPv4 as its own; and no flow label comes back.
    type Identity = SocketAddr;

    #[inline]
    fn identity(&self) -> SocketAddr {
        match self.remote {
            SocketAddr::V4(_) => self.remote,
            SocketAddr::V6(remote) => match remote.ip().to_canonical() {
                IpAddr::V4(ip) => (ip, remote.port()).into(),
                // Each interface may have the same one.
                IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                    SocketAddrV6::new(ip, remote.port(), 0, remote.scope_id()).into()
                }
                IpAddr::V6(ip) => (ip, remote.port()).into(),
            },
        }
    }

    fn socket_addr(&self) -> Option<SocketAddr> {
        Some(self.remote)
    }
}

/// What a wait of a [`Transport`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum Incoming<P> {
    /// A datagram; its payload is in the buffer.
    Datagram(Received<P>),
    /// An error of something sent earlier. A datagram may be queued behind it: look again before deciding anything.
    PathError {
        /// Whose error it is, where that is known.
        path: Option<P>,
        /// The error.
        error: PathError,
        /// Bytes, in the buffer, of the datagram that met it, from its beginning; 0 where the system does not quote it.
        quoted: usize,
    },
    /// `until` has come, and nothing was queued at this time, just read.
    TimeUp(Timestamp),
    /// The wait was cancelled from outside. Each cancellation is returned once.
    Cancelled,
}

impl<P> Incoming<P> {
    /// The time that came with it; where there is none, read the clock.
    #[must_use]
    #[inline]
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Datagram(received) => Some(received.at),
            Self::TimeUp(at) => Some(*at),
            Self::PathError { .. } | Self::Cancelled => None,
        }
    }
}

/// A datagram that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Received<P> {
    /// Where it came from.
    pub from: P,
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes that it had on the wire; more than `len` if the buffer was too small.
    pub actual: usize,
    /// When it arrived. A transport that cannot know says when it was read, or `until` if that was earlier, so that a
    /// reply that waited in a queue is never taken for one that came too late.
    pub at: Timestamp,
}

impl<P> Received<P> {
    /// A datagram of `actual` bytes, of which `len` are in the buffer.
    #[must_use]
    pub const fn new(from: P, len: usize, actual: usize, at: Timestamp) -> Self {
        Self { from, len, actual, at }
    }
}

/// Whether the datagrams of a socket may be fragmented on their way.
#[doc(alias = "IP_MTU_DISCOVER")]
#[doc(alias = "dont_fragment")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Fragmentation {
    /// Linux's default: forbidden on the wire, but what exceeds the kernel's estimate is sent in fragments. The first
    /// datagram above a smaller path MTU is lost and reported.
    ByEstimate,
    /// Allowed everywhere; routers fragment too (IPv4).
    Allowed,
    /// Forbidden, and what exceeds the kernel's estimate is refused as "message too long". Anyone can forge the ICMP messages
    /// that the estimate follows: a request that has left once is not ended by them, but the next one may be too large.
    Forbidden,
    /// Forbidden on the wire, and the kernel's estimate is ignored: for probing a path.
    Probing,
}

/// How much depends on a fresh port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a transport must know both")]
pub enum Renewal {
    /// The request before got no answer: a fresh port leaves a source address that is gone, and a NAT mapping that is
    /// stale. Ids tell late replies from others.
    Advised,
    /// Nothing but the port tells replies to this request from those to earlier ones.
    Required,
}

/// What [`Transport::renew`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum Renewed {
    /// The path has another source port.
    FreshPort,
    /// The port was the caller's choice and stays; what was queued is gone, but late datagrams can still arrive.
    SamePort,
}

/// The system has no unpredictable bytes to give.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("no entropy for unpredictable ids")]
#[non_exhaustive]
pub struct NoEntropy;

impl NoEntropy {
    /// The error.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "an error is not a default of anything")]
    pub const fn new() -> Self {
        Self
    }
}

/// What a path reports of a datagram: information, not a verdict. None of these ends a transport.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// No program listens at that port (ICMP port unreachable).
    #[error("connection refused: nobody listens there")]
    Refused,
    /// No route, a router or the last hop gave up or forbids it, or the source address or its device is gone.
    #[error("destination unreachable")]
    Unreachable,
    /// The datagram exceeds what the path, the interface or a datagram at all can be.
    #[error("message too long{}", Limit(*limit))]
    #[non_exhaustive]
    TooBig {
        /// The largest payload that would fit, where it is known: a hint, not a proof.
        limit: Option<Plpmtu>,
    },
    /// A local rule forbids the send: a firewall, or a broadcast without permission.
    #[error("permission denied")]
    Denied,
    /// A local queue is full; sending later may work.
    #[error("no buffer space")]
    NoBuffers,
    /// This transport cannot do that at all.
    #[error("not supported")]
    Unsupported,
    /// From [`Transport::send`] only: a cancellation waits, so nothing was sent.
    #[error("cancelled")]
    Cancelled,
    /// Any other, by the system's own number.
    #[error("system error {0}")]
    Other(i32),
}

impl PathError {
    /// [`TooBig`](Self::TooBig), with the payload that would fit where it is known.
    #[must_use]
    pub const fn too_big(limit: Option<Plpmtu>) -> Self {
        Self::TooBig { limit }
    }
}

struct Limit(Option<Plpmtu>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => write!(f, ": {} bytes would fit", limit.bytes()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_from_the_peer_that_was_asked_whatever_its_route() {
        let at = |address: &str| address.parse::<SocketAddr>().unwrap();
        let asked = |address| Route::from(at(address));
        let replied =
            |remote: &str, local: &str| Route { interface: NonZeroU32::new(2), ..Route::new(at(remote), at(local)) };
        for (asked, replied, same) in [
            (asked("192.0.2.7:53"), replied("192.0.2.7:53", "192.0.2.1:700"), true),
            (asked("192.0.2.7:53"), replied("[::ffff:192.0.2.7]:53", "[::ffff:192.0.2.1]:700"), true),
            (asked("[2001:db8::7]:53"), replied("[2001:db8::7]:53", "[2001:db8::1]:700"), true),
            (asked("[2001:db8::7%3]:53"), replied("[2001:db8::7]:53", "[2001:db8::1]:700"), true),
            (asked("[fe80::7%2]:53"), replied("[fe80::7%2]:53", "[fe80::1%2]:700"), true),
            (asked("[fe80::7%2]:53"), replied("[fe80::7%3]:53", "[fe80::1%3]:700"), false),
            (asked("192.0.2.7:53"), replied("192.0.2.7:54", "192.0.2.1:700"), false),
            (asked("192.0.2.7:53"), replied("192.0.2.8:53", "192.0.2.1:700"), false),
        ] {
            assert_eq!(asked.identity() == replied.identity(), same, "{asked:?} and {replied:?}");
        }
        let labelled = Route::from(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 53, 7, 0)));
        assert_eq!(labelled.identity(), at("[::1]:53"));
    }
}
