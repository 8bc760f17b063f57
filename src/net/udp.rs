use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use super::cancel::{CancelHandle, Cancellable};
use super::sys::Receiver;
use super::{classify, options, pmtu, sys};
use crate::time::Timestamp;
use crate::transport::{PathError, Received, Transport};

/// A client's end: a UDP socket connected to one peer, on a port of its own.
///
/// The system shows it no datagram from anybody else, and reports refusals. It waits to within some 0.05 ms on
/// Linux, and never returns early.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::ConnectedUdp;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::transport::Transport;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let mut client = ConnectedUdp::connect(server.local_addr())?;
/// client.send(0, b"hello")?;
///
/// let mut buffer = [0; 16];
/// let soon = server.now().after(Duration::from_secs(1));
/// let heard = server.recv_until(&mut buffer, soon)?.ok_or("nothing came")?;
/// assert_eq!((&buffer[..heard.len], heard.from.remote), (&b"hello"[..], client.local_addr()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConnectedUdp {
    socket: UdpSocket,
    peer: SocketAddr,
    clock: Clock,
    receiver: Receiver,
    used_ports: UsedPorts,
    cancellable: Cancellable,
    /// A fresh port was asked for, and no way led to the peer then.
    disconnected: bool,
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
            used_ports: UsedPorts::default(),
            cancellable: Cancellable::new(),
            disconnected: false,
        };
        // A datagram that came between bind and connect is in the queue, whoever sent it.
        transport.drain();
        Ok(transport)
    }

    fn connect_to(peer: SocketAddr) -> io::Result<Self> {
        let any = match peer {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0))?;
        options::allow_large_sends(&socket)?;
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

    /// Waits as long as the socket has no peer. That is no error here, which would be repeated at once and for ever: the
    /// next send tells it.
    #[cold]
    fn hear_nobody(&mut self, until: Timestamp) -> Option<Received<usize>> {
        let Self { socket, clock, receiver, cancellable, .. } = self;
        while clock.now() < until {
            let wait = Wait { now: clock.now(), until, cancellable: Some(cancellable) };
            // Anything else is from a stranger, or news of what was sent before.
            if matches!(receive_until(socket, receiver, clock, &mut [], &wait), Ok(None)) {
                break;
            }
        }
        None
    }

    /// Empties the receive queue, errors included. What a peer sends meanwhile may be endless, what was queued before
    /// is not: it ends at the number that the largest receive buffer holds of the smallest datagrams.
    fn drain(&mut self) {
        const MOST_QUEUED: u32 = 1 << 20;
        let nowhere = &mut [];
        for _ in 0..MOST_QUEUED {
            let empty = self.receiver.receive(&self.socket, nowhere, true, Duration::ZERO);
            if matches!(empty, Ok(None)) {
                return;
            }
        }
    }
}

impl Transport for ConnectedUdp {
    /// There is one path, number 0.
    type Peer = usize;

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[inline]
    fn send(&mut self, _to: usize, datagram: &[u8]) -> Result<(), PathError> {
        self.ensure_sound()?;
        uninterrupted(|| sys::transmit(&self.socket, datagram)).map_err(|error| match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::sendable(&self.socket) },
            error => error,
        })
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<usize>>, PathError> {
        self.recv_within(buffer, self.now(), until)
    }

    #[inline]
    fn recv_within(
        &mut self,
        buffer: &mut [u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Received<usize>>, PathError> {
        if self.ensure_sound().is_err() {
            return Ok(self.hear_nobody(until));
        }
        let Self { socket, clock, receiver, cancellable, .. } = self;
        let wait = Wait { now, until, cancellable: Some(cancellable) };
        let arrival = receive_until(socket, receiver, clock, buffer, &wait).map_err(|error| match error {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::deliverable(socket) },
            error => error,
        })?;
        Ok(arrival.map(|(arrival, at)| Received { from: 0, len: arrival.len, actual: arrival.actual, at }))
    }

    #[inline]
    fn take_cancelled(&mut self) -> bool {
        self.cancellable.take()
    }

    fn renew(&mut self) -> Result<(), PathError> {
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
            if !self.used_ports.contain(port) {
                self.drain();
                return Ok(());
            }
        }
        Err(PathError::Unsupported)
    }
}

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
        options::allow_large_sends(&socket)?;
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

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn send(&mut self, to: Route, datagram: &[u8]) -> Result<(), PathError> {
        uninterrupted(|| self.socket.send_to(datagram, to.remote)).map_err(|error| match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: None },
            error => error,
        })
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<Route>>, PathError> {
        let Self { socket, local, clock, receiver } = self;
        let wait = Wait { now: clock.now(), until, cancellable: None };
        let arrival = receive_until(socket, receiver, clock, buffer, &wait)?;
        Ok(arrival.map(|(arrival, at)| {
            let from = Route { remote: arrival.from.unwrap_or(UNKNOWN), local: *local };
            Received { from, len: arrival.len, actual: arrival.actual, at }
        }))
    }

    /// A server's clients know it by its port.
    fn renew(&mut self) -> Result<(), PathError> {
        Err(PathError::Unsupported)
    }
}

/// Monotonic time since the transport was made.
#[derive(Debug)]
struct Clock {
    origin: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { origin: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.origin.elapsed())
    }
}

struct Wait<'w> {
    /// Not later than the present moment.
    now: Timestamp,
    until: Timestamp,
    /// Of a connected socket.
    cancellable: Option<&'w Cancellable>,
}

/// The loop that every wait needs: the remaining time is computed anew each turn, so neither signals nor spurious
/// wake-ups nor coarse timers shorten or stretch it, and the queue is looked at once more when it is over.
#[inline]
fn receive_until(
    socket: &UdpSocket,
    receiver: &mut Receiver,
    clock: &Clock,
    buffer: &mut [u8],
    wait: &Wait<'_>,
) -> Result<Option<(sys::Arrival, Timestamp)>, PathError> {
    let &Wait { now, until, cancellable } = wait;
    let cancelled = || cancellable.is_some_and(Cancellable::is_cancelled);
    let connected = cancellable.is_some();
    let longest = if cancellable.is_some_and(Cancellable::is_possible) { sys::LONGEST_DEAF } else { Duration::MAX };
    if cancelled() {
        return Ok(None);
    }
    let mut remaining = Duration::MAX;
    let mut received = receiver.receive_first(socket, buffer, connected, until.since_ns(now));
    loop {
        match received {
            // A wait that was cancelled may look like an empty datagram, or like one that is always about to come.
            _ if cancelled() => return Ok(None),
            Ok(Some(arrival)) => return Ok(Some((arrival, clock.now()))),
            Ok(None) if remaining.is_zero() => return Ok(None),
            Ok(None) => {}
            Err(error) => return Err(classify(&error)),
        }
        remaining = until.since(clock.now());
        received = receiver.receive(socket, buffer, connected, remaining.min(longest));
    }
}

/// A signal is no reason not to send.
#[inline]
fn uninterrupted(send: impl Fn() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent.map(|_| ()),
        }
    }
}

/// The latest source ports: the system may hand one out again at once, and replies to it may still be on their way.
#[derive(Debug)]
struct UsedPorts {
    ports: [u16; 256],
    next: u8,
}

impl Default for UsedPorts {
    fn default() -> Self {
        Self { ports: [0; 256], next: 0 }
    }
}

impl UsedPorts {
    fn insert(&mut self, port: u16) {
        if let Some(oldest) = self.ports.get_mut(usize::from(self.next)) {
            *oldest = port;
        }
        self.next = self.next.wrapping_add(1);
    }

    fn contain(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }
}

/// Stands for an address that the system would not tell.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
