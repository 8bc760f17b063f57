use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use socket2::SockRef;

use super::seed::system_key;
use super::sys::Receiver;
use super::wait::{Arrival, Clock, Wait, Waited, receive_until, uninterrupted};
use super::{UNKNOWN, classify, options, sys};
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Transport};

/// A server's end: a UDP socket that hears and answers anybody.
///
/// What it hears comes with a [`Route`]; sending to that route answers. Linux reports no refusals on such a
/// socket.
#[derive(Debug)]
pub struct UnconnectedUdp {
    socket: UdpSocket,
    local: SocketAddr,
    clock: Clock,
    receiver: Receiver,
}

/// Who sent a datagram, and to which of the own addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a plain pair")]
pub struct Route {
    /// The other end.
    pub remote: SocketAddr,
    /// The own end; a wildcard address if the server listens on every interface.
    pub local: SocketAddr,
}

impl UnconnectedUdp {
    /// Listens on the first of these addresses that the system accepts; port 0 lets the system pick one.
    ///
    /// # Errors
    ///
    /// That of the last address, or of the name resolution.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::from_socket(UdpSocket::bind(address)?)
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
        server.socket.set_broadcast(true)?;
        Ok(server)
    }

    /// Takes over a bound socket with all its settings.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_socket(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        options::allow_large_sends(SockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, clock: Clock::new(), receiver: Receiver::new() })
    }

    /// The own address, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The route to an address that was not heard of before.
    #[must_use]
    pub fn route_to(&self, remote: SocketAddr) -> Route {
        Route { remote, local: self.local }
    }

    /// The socket, for options of the caller's.
    #[must_use]
    pub fn as_socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Gives the socket back, without a timeout.
    #[must_use]
    pub fn into_socket(self) -> UdpSocket {
        sys::forget_timeout(&self.socket);
        self.socket
    }
}

impl Transport for UnconnectedUdp {
    type Peer = Route;

    #[inline]
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn send(&mut self, to: Route, datagram: &[u8]) -> Result<(), PathError> {
        uninterrupted(|| self.socket.send_to(datagram, to.remote)).map(drop).map_err(|error| match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: None },
            error => error,
        })
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<Route> {
        let Self { socket, local, clock, receiver } = self;
        let wait = Wait { now, until, cancellable: None };
        match receive_until(socket, receiver, clock, buffer, &wait) {
            Waited::Arrival(Arrival { len, actual, from }, at) => {
                let from = Route { remote: from.unwrap_or(UNKNOWN), local: *local };
                Incoming::Datagram(Received::new(from, len, actual, at.min(until)))
            }
            Waited::TimeUp(at) => Incoming::TimeUp(at),
            Waited::Cancelled => Incoming::Cancelled,
            Waited::Failed(error) => Incoming::PathError { path: None, error, quoted: 0 },
        }
    }

    /// A server's clients know it by its port.
    fn renew(&mut self, _path: Route, _need: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }
}
