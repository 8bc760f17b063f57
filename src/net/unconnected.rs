#[cfg(feature = "tokio")]
use core::task::Context;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use socket2::SockRef;

use super::calls::uninterrupted;
use super::cancel::{Cancel, CancelHandle};
use super::endpoint::{Arrival, Ask, Endpoint, Origin, Waited};
use super::seed::system_key;
use super::segments::{Divided, one_after_the_other};
use super::{UNKNOWN, classify, options, pmtu, sys};
#[cfg(feature = "tokio")]
use super::{endpoint::Looked, pollable::Look};
use crate::size::{IpFamily, Plpmtu};
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Route, Transport};

/// A server's end: a UDP socket that receives from any sender, and answers.
///
/// What it receives comes with a [`Route`]; to send to that route is to answer. Linux reports no refusals on such a
/// socket.
///
/// Bound to a wildcard (`0.0.0.0`, `[::]`), it has every address of the host, and where it answers from matters: a client
/// that connected its socket sees nothing that comes from another address than it asked.
///
/// - On Linux and Android an answer leaves from the very address that was asked, also to IPv4 clients of an IPv6 socket
///   ([`bind`](Self::bind) sets `IP_PKTINFO` or `IPV6_RECVPKTINFO`).
/// - Elsewhere the system picks the source of an answer by its routes, and [`Route::local`] is the wildcard: on a host with
///   several addresses, bind a socket to each.
///
/// ```
/// use std::time::Duration;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::transport::{Incoming, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = UnconnectedUdp::bind("0.0.0.0:0")?;
/// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(("127.0.0.1", server.local_addr().port()))?;
/// client.send(b"ping")?;
///
/// let (mut buffer, now) = ([0; 512], server.now());
/// let soon = now.after(Duration::from_secs(2));
/// let Incoming::Datagram(received) = server.recv(&mut buffer, now, soon) else { panic!() };
/// assert_eq!(received.from.remote, client.local_addr()?);
/// server.send(received.from, &buffer[..received.len])?;
/// # client.set_read_timeout(Some(Duration::from_secs(2)))?;
/// assert_eq!(client.recv(&mut [0; 512])?, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnconnectedUdp {
    endpoint: Endpoint,
    local: SocketAddr,
    ask: Ask,
    /// It has failed too often in a row: until then its errors are no news to a runtime.
    #[cfg(feature = "tokio")]
    rests_until: Timestamp,
}

impl UnconnectedUdp {
    /// Listens on the first of these addresses that the system accepts; port 0 lets the system pick one.
    ///
    /// # Errors
    ///
    /// That of the last address, or of the name resolution.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        options::allow_large_sends(SockRef::from(&socket))?;
        let server = Self::around(Endpoint::own(socket)?)?;
        if server.ask == Ask::Everything {
            sys::report_own_address(server.endpoint.socket(), server.local)?;
        }
        Ok(server)
    }

    /// As [`bind`](Self::bind), and allowed to send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// A connected socket would never hear the replies to a broadcast, as they come from other addresses.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_broadcast(address: impl ToSocketAddrs) -> io::Result<Self> {
        let server = Self::bind(address)?;
        server.endpoint.socket().set_broadcast(true)?;
        Ok(server)
    }

    /// Takes over a bound socket with all its settings, which stay the caller's, as does the blocking mode (but on Windows).
    ///
    /// So no option is set: bound to a wildcard, it answers from the address that was asked only if the caller has set
    /// `IP_PKTINFO` (IPv4) or `IPV6_RECVPKTINFO`, before or after; otherwise [`Route::local`] is the wildcard.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_socket(socket: UdpSocket) -> io::Result<Self> {
        Self::around(Endpoint::given(socket)?)
    }

    /// Another end of the same socket, for another thread: each datagram comes to one of them, and all answer from the same
    /// port. Each has cancel handles of its own.
    ///
    /// None of them waits in `recv` from then on, as with [`as_socket`](Self::as_socket).
    ///
    /// # Errors
    ///
    /// What the system says; it takes a descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            endpoint: self.endpoint.try_clone()?,
            local: self.local,
            ask: self.ask,
            #[cfg(feature = "tokio")]
            rests_until: Timestamp::ZERO,
        })
    }

    fn around(endpoint: Endpoint) -> io::Result<Self> {
        let local = endpoint.socket().local_addr()?;
        let ask = if local.ip().is_unspecified() { Ask::Everything } else { Ask::Sender };
        Ok(Self {
            endpoint,
            local,
            ask,
            #[cfg(feature = "tokio")]
            rests_until: Timestamp::ZERO,
        })
    }

    /// The own address, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The route to an address that has not asked before; if the socket has every address, the system picks the source.
    #[must_use]
    pub fn route_to(&self, remote: SocketAddr) -> Route {
        Route::new(remote, self.local)
    }

    /// The route of the answer to a datagram.
    fn route_of(&self, origin: Option<Origin>) -> Route {
        origin.map_or_else(|| self.route_to(UNKNOWN), |origin| origin.route(self.local))
    }

    fn incoming(&self, waited: Waited, until: Timestamp) -> Incoming<Route> {
        match waited {
            Waited::Arrival(Arrival { len, actual, from, .. }, at) => {
                Incoming::Datagram(Received::new(self.route_of(from), len, actual, at.min(until)))
            }
            Waited::TimeUp(at) => Incoming::TimeUp(at),
            Waited::Cancelled => Incoming::Cancelled,
            Waited::Failed(error, quoted) => Incoming::PathError { path: None, error, quoted },
        }
    }

    fn transmit(&self, to: Route, datagram: &[u8]) -> io::Result<()> {
        let socket = self.endpoint.socket();
        uninterrupted(|| match self.leaves_from_own(to) {
            true => sys::transmit_to(socket, to.remote, datagram).map(drop),
            false => sys::transmit_from(socket, to.local, to.remote, datagram),
        })
    }

    /// Whether the system picks the source, or has no choice.
    fn leaves_from_own(&self, to: Route) -> bool {
        to.local == self.local || to.local.ip().is_unspecified() || to.local.ip() == self.local.ip()
    }

    /// Sends as many of these as can leave at once, and returns how many. A refusal that the call meets is one that a single
    /// send would meet.
    fn send_first_of(&mut self, to: Route, datagrams: &[&[u8]]) -> Result<usize, PathError> {
        let Some(&first) = datagrams.first() else { return Ok(0) };
        if self.leaves_from_own(to) && !self.endpoint.is_cancelled() {
            match self.endpoint.transmit_segments(Some(to.remote), datagrams) {
                Divided::Sent(sent) => return Ok(sent),
                Divided::Failed(error) => return Err(classify(&error)),
                Divided::Alone => {}
            }
        }
        self.send(to, first).map(|()| 1)
    }

    /// Lends the socket, for options of the caller's; a datagram that is waited for then costs a system call more, as no wait
    /// may depend on a timeout that others can change. One of many that are queued does not.
    #[must_use]
    pub fn as_socket(&self) -> &UdpSocket {
        self.endpoint.lend()
    }

    /// As [`set_receive_buffer`](super::set_receive_buffer), without lending the socket.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        options::set_receive_buffer(self.endpoint.socket(), bytes)
    }

    /// How much the receive buffer holds, in bytes as [`set_receive_buffer`](super::set_receive_buffer) counts them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        SockRef::from(self.endpoint.socket()).recv_buffer_size()
    }

    /// A handle that ends a wait from any thread, so that a server can be stopped.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.endpoint.cancel_handle()
    }

    /// Whether it was cancelled, which is forgotten then; if it was not, a cancellation wakes this task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_cancelled(&self, context: &Context<'_>) -> bool {
        self.endpoint.cancellation().poll(context)
    }

    /// Gives the socket back, without a timeout of ours.
    #[must_use]
    pub fn into_socket(self) -> UdpSocket {
        self.endpoint.into_socket()
    }
}

impl Cancel for UnconnectedUdp {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.cancel_handle()
    }
}

impl Transport for UnconnectedUdp {
    type Peer = Route;

    #[inline]
    fn now(&self) -> Timestamp {
        self.endpoint.now()
    }

    fn send(&mut self, to: Route, datagram: &[u8]) -> Result<(), PathError> {
        if self.endpoint.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        match self.transmit(to, datagram).map_err(|error| classify(&error)) {
            Ok(()) => {
                self.endpoint.on_sent();
                Ok(())
            }
            Err(PathError::TooBig { .. }) => {
                Err(PathError::TooBig { limit: pmtu::sendable_to(self.endpoint.socket(), to.remote) })
            }
            Err(error) => Err(error),
        }
    }

    fn send_many(&mut self, to: Route, datagrams: &[&[u8]]) -> (usize, Result<(), PathError>) {
        one_after_the_other(datagrams, |left| self.send_first_of(to, left))
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<Route> {
        let (own, ask) = (self.local, self.ask);
        let received = self.endpoint.receive_by(
            |receiver, socket, buffer, wait| receiver.block_routed(socket, buffer, own, ask, wait),
            buffer,
            ask,
            now,
            until,
        );
        match received {
            Ok(((len, actual, from), at)) => {
                let from = from.unwrap_or_else(|| self.route_to(UNKNOWN));
                // It may have waited in the queue for a reader that was late.
                Incoming::Datagram(Received::new(from, len, actual, at.min(until)))
            }
            Err(waited) => self.incoming(waited, until),
        }
    }

    /// A server's clients know it by its port.
    fn renew(&mut self, _path: Route, _need: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }

    fn max_plpmtu(&self, to: Route) -> Option<Plpmtu> {
        Some(IpFamily::of(to.remote.ip()).max_plpmtu())
    }
}

#[cfg(feature = "tokio")]
impl Look for UnconnectedUdp {
    fn prepare(&mut self) {}

    fn sockets(&self) -> impl Iterator<Item = (usize, u64, &UdpSocket)> {
        core::iter::once((0, self.endpoint.number(), self.endpoint.socket()))
    }

    fn place(_peer: Route) -> usize {
        0
    }

    fn look(&mut self, buffer: &mut [u8], began: Timestamp, now: Timestamp) -> Option<Incoming<Route>> {
        if self.endpoint.is_cancelled() && self.endpoint.cancellation().take() {
            return Some(Incoming::Cancelled);
        }
        let was_at_rest = self.rests_until > now;
        let Looked { found, rest } = self.endpoint.look(buffer, self.ask, began, false);
        if let Some(rest) = rest {
            self.rests_until = now.after(rest);
            if was_at_rest {
                return None;
            }
        }
        found.map(|found| self.incoming(found, Timestamp::MAX))
    }

    fn on_time_up(&mut self) {}
}
