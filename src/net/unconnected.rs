use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use socket2::SockRef;

use super::calls::uninterrupted;
use super::cancel::{Cancel, CancelHandle};
use super::endpoint::{Arrival, Endpoint, Waited};
use super::seed::system_key;
use super::{UNKNOWN, classify, options, sys};
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Transport};

/// A server's end: a UDP socket that hears and answers anybody.
///
/// What it hears comes with a [`Route`]; sending to that route answers. Linux reports no refusals on such a
/// socket.
#[derive(Debug)]
pub struct UnconnectedUdp {
    endpoint: Endpoint,
    local: SocketAddr,
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
        Self::around(Endpoint::own(UdpSocket::bind(address)?)?)
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

    /// Takes over a bound socket with all its settings, which stay the caller's, as does the blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_socket(socket: UdpSocket) -> io::Result<Self> {
        Self::around(Endpoint::given(socket)?)
    }

    fn around(endpoint: Endpoint) -> io::Result<Self> {
        options::allow_large_sends(SockRef::from(endpoint.socket()))?;
        let local = endpoint.socket().local_addr()?;
        Ok(Self { endpoint, local })
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

    /// Lends the socket, for options of the caller's; a datagram then costs a system call more, as no wait may depend on a
    /// timeout that others can change.
    #[must_use]
    pub fn as_socket(&self) -> &UdpSocket {
        self.endpoint.lend()
    }

    /// A handle that ends a wait from any thread, so that a server can be stopped.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.endpoint.cancel_handle()
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
        let sent = uninterrupted(|| sys::transmit_to(self.endpoint.socket(), to.remote, datagram));
        match sent.map_err(|error| classify(&error)) {
            Ok(_) => {
                self.endpoint.on_sent();
                Ok(())
            }
            Err(PathError::TooBig { .. }) => Err(PathError::too_big(Some(IpFamily::of(to.remote.ip()).max_plpmtu()))),
            Err(error) => Err(error),
        }
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<Route> {
        match self.endpoint.receive_until(buffer, false, now, until) {
            Waited::Arrival(Arrival { len, actual, from }, at) => {
                let from = Route { remote: from.unwrap_or(UNKNOWN), local: self.local };
                Incoming::Datagram(Received::new(from, len, actual, at.min(until)))
            }
            Waited::TimeUp(at) => Incoming::TimeUp(at),
            Waited::Cancelled => Incoming::Cancelled,
            Waited::Failed(error, quoted) => Incoming::PathError { path: None, error, quoted },
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
