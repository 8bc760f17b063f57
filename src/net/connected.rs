use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::cancel::{CancelHandle, Cancellable};
use super::ports::RecentPorts;
use super::seed::system_key;
use super::sys::Receiver;
use super::wait::{Arrival, Clock, Wait, Waited, drain, receive_until, uninterrupted};
use super::{UNKNOWN, classify, options, pmtu, sys};
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};

/// A client's end: a UDP socket connected to one peer, on a port of its own.
///
/// The system shows it no datagram from anybody else, and reports refusals. It waits to within some 0.05 ms on
/// Linux, and never returns early.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::ConnectedUdp;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::transport::{Incoming, PathIndex, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let mut client = ConnectedUdp::connect(server.local_addr())?;
/// client.send(PathIndex::FIRST, b"hello")?;
///
/// let mut buffer = [0; 16];
/// let now = server.now();
/// let Incoming::Datagram(received) = server.recv(&mut buffer, now, now.after(Duration::from_secs(1))) else {
///     return Err("nothing came".into());
/// };
/// assert_eq!((&buffer[..received.len], received.from.remote), (&b"hello"[..], client.local_addr()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConnectedUdp {
    socket: UdpSocket,
    peer: SocketAddr,
    clock: Clock,
    receiver: Receiver,
    used_ports: RecentPorts,
    cancellable: Cancellable,
    /// A fresh port was asked for, and no way led to the peer then.
    disconnected: bool,
    /// Receives in a row that failed.
    failures: u32,
}

impl ConnectedUdp {
    /// Connects to the first of these addresses that the system accepts, from a port that it picks.
    ///
    /// # Errors
    ///
    /// That of the last address, or of the name resolution.
    pub fn connect(peer: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for peer in peer.to_socket_addrs()? {
            match Self::connect_to(peer) {
                Ok(transport) => return Ok(transport),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Takes over a connected socket with all its settings.
    ///
    /// If it was bound to a port of the caller's choice, the port cannot change, and matchers without an id
    /// ([`any_reply`](crate::any_reply)) will not work.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`], or what else the system says.
    pub fn from_socket(socket: UdpSocket) -> io::Result<Self> {
        let peer = socket.peer_addr()?;
        socket.set_nonblocking(false)?;
        let mut transport = Self {
            socket,
            peer,
            clock: Clock::new(),
            receiver: Receiver::new(),
            used_ports: RecentPorts::remembering(PORTS_AVOIDED),
            cancellable: Cancellable::new(),
            disconnected: false,
            failures: 0,
        };
        // A datagram that came between bind and connect is in the queue, whoever sent it.
        transport.drain();
        Ok(transport)
    }

    fn connect_to(peer: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(options::any_address(peer))?;
        options::allow_large_sends(SockRef::from(&socket))?;
        socket.connect(peer)?;
        Self::from_socket(socket)
    }

    /// The own address, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(UNKNOWN)
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The socket, for options of the caller's.
    #[must_use]
    pub fn as_socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Gives the socket back, without a timeout. Its handles cancel nothing any more.
    #[must_use]
    pub fn into_socket(mut self) -> UdpSocket {
        // One that was cancelled is replaced; if that fails, its first use tells why.
        self.cancellable.take();
        let _ = self.ensure_sound();
        sys::forget_timeout(&self.socket);
        self.socket
    }

    /// A handle that ends a wait from any thread.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.cancellable.handle(&self.socket)
    }

    /// A socket that a cancellation has shut is replaced before it is used again, one that lost its peer is connected.
    #[inline]
    fn ensure_sound(&mut self) -> Result<(), PathError> {
        if self.cancellable.is_sound() && !self.disconnected { Ok(()) } else { self.repair() }
    }

    #[cold]
    fn repair(&mut self) -> Result<(), PathError> {
        if self.disconnected {
            self.socket.connect(self.peer).map_err(|error| classify(&error))?;
            self.disconnected = false;
            self.drain();
        }
        let replaced = self.cancellable.replace(&mut self.socket, self.peer);
        // Another socket, even if it is not connected yet, and it has no timeout.
        self.receiver = Receiver::new();
        if replaced.map_err(|error| classify(&error))? {
            self.drain();
        }
        Ok(())
    }

    /// Waits without the socket: it has no peer, or reports nothing but errors. An error here would make the driver loop
    /// without pause; the next send reports what is wrong.
    #[cold]
    fn wait_apart(&mut self, until: Timestamp) -> Incoming<PathIndex> {
        // Nothing wakes this wait, so one that can be cancelled proceeds in steps.
        let step = if self.cancellable.is_possible() { Duration::from_millis(10) } else { Duration::MAX };
        loop {
            if self.cancellable.take() {
                return Incoming::Cancelled;
            }
            let now = self.clock.now();
            if now >= until {
                return Incoming::TimeUp(now);
            }
            thread::sleep(until.since(now).min(step));
        }
    }

    #[cold]
    fn failed(&mut self, error: PathError) -> Incoming<PathIndex> {
        self.failures += 1;
        let error = match error {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::deliverable(&self.socket) },
            error => error,
        };
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 }
    }

    /// Empties the receive queue, errors included.
    fn drain(&mut self) {
        let Self { socket, receiver, .. } = self;
        drain(|| matches!(receiver.receive(socket, &mut [], true, Duration::ZERO), Ok(None)));
    }
}

impl Transport for ConnectedUdp {
    /// There is one path, the first.
    type Peer = PathIndex;

    #[inline]
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[inline]
    fn send(&mut self, _to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        if self.cancellable.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        self.ensure_sound()?;
        uninterrupted(|| sys::transmit(&self.socket, datagram)).map(drop).map_err(|error| match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::sendable(&self.socket) },
            error => error,
        })
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        if self.failures >= MOST_FAILURES || self.ensure_sound().is_err() {
            self.failures = 0;
            return self.wait_apart(until);
        }
        let Self { socket, clock, receiver, cancellable, .. } = self;
        let wait = Wait { now, until, cancellable: Some(cancellable) };
        match receive_until(socket, receiver, clock, buffer, &wait) {
            Waited::Arrival(Arrival { len, actual, .. }, at) => {
                self.failures = 0;
                // It may have waited in the queue for a reader that was late.
                Incoming::Datagram(Received::new(PathIndex::FIRST, len, actual, at.min(until)))
            }
            Waited::TimeUp(at) => {
                self.failures = 0;
                Incoming::TimeUp(at)
            }
            Waited::Cancelled => {
                self.cancellable.take();
                Incoming::Cancelled
            }
            Waited::Failed(error) => self.failed(error),
        }
    }

    fn renew(&mut self, _path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
        if !self.cancellable.is_sound() {
            self.repair()?;
        }
        const TRIES: u32 = 64;
        self.used_ports.insert(self.local_addr().port());
        for _ in 0..TRIES {
            self.disconnected = true;
            sys::reconnect(&mut self.socket, self.peer).map_err(|error| classify(&error))?;
            self.disconnected = false;
            let port = self.local_addr().port();
            if !self.used_ports.contains(port) {
                self.drain();
                return Ok(Renewed::FreshPort);
            }
        }
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }
}

/// Errors in a row, after which the socket is left alone until the end of the wait.
const MOST_FAILURES: u32 = 16;
/// What a renewal avoids, because the system may hand a port out again at once while replies to it are still on their way.
const PORTS_AVOIDED: usize = 256;
