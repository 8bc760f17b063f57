use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use socket2::SockRef;

use super::calls::uninterrupted;
use super::cancel::{Cancel, CancelHandle};
use super::endpoint::{Arrival, Endpoint, Waited};
use super::peer::Peer;
use super::pmtu::{self, Applied, Fragmentation};
use super::ports::RecentPorts;
use super::seed::system_key;
use super::swallowed::{MOST_SWALLOWED, Swallowed, is_of_this_host, is_too_big};
use super::{UNKNOWN, classify, options, sys};
use crate::size::Pmtu;
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};

/// A client's end: a UDP socket connected to one peer. The system shows it no datagram from anybody else, and
/// tells it of refusals.
///
/// What others may do to the socket:
///
/// - One made by [`connect`](Self::connect) is ours alone and costs two system calls an exchange. One that came from the
///   caller, or was [lent](Self::as_socket), costs three and may be cloned, and its options changed, at any time: no wait
///   gets longer by it.
/// - All settings of a given socket outlive a fresh port, a cancellation and a repair, the device that it is bound to
///   included.
/// - After a send and its repetition have failed for a reason of this host (no route, an address that is gone, a device
///   that was made anew), the socket is connected again, from the address that is right then.
/// - On Linux a socket that is ours alone also reports the ICMP errors that the kernel keeps to itself elsewhere (network
///   and host unreachable), and [which datagram met them](Incoming::PathError). What sends meet is kept for the next wait.
///
/// ```
/// use std::time::Duration;
/// use udp_retry::net::ConnectedUdp;
/// use udp_retry::transport::{Incoming, PathIndex, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let mut client = ConnectedUdp::connect(server.local_addr()?)?;
/// client.send(PathIndex::FIRST, b"ping")?;
///
/// let mut buffer = [0; 512];
/// let (len, from) = server.recv_from(&mut buffer)?;
/// server.send_to(&buffer[..len], from)?;
/// let now = client.now();
/// let Incoming::Datagram(received) = client.recv(&mut buffer, now, now.after(Duration::from_secs(2))) else { panic!() };
/// assert_eq!(&buffer[..received.len], b"ping");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConnectedUdp {
    endpoint: Endpoint,
    peer: Peer,
    used_ports: RecentPorts,
    /// It was disconnected, and could not be connected again yet.
    apart: bool,
    /// The latest send failed.
    stuck: bool,
    /// Errors of earlier datagrams.
    swallowed: Swallowed,
}

impl ConnectedUdp {
    /// Connects to the first of these addresses that the system accepts, from a port that it picks. It accepts any that a
    /// route leads to: whether someone answers there, no one knows yet. The name is not resolved again.
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

    /// Takes over a connected socket with all its settings, which stay the caller's, as does the blocking mode.
    ///
    /// A port of the caller's choice does not change, and matchers without an id
    /// ([`any_reply`](crate::any_reply)) will not work. A port that the system picked changes only where they do.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`], or what else the system says.
    pub fn from_socket(socket: UdpSocket) -> io::Result<Self> {
        let peer = Peer::of(&socket, socket.peer_addr()?);
        let mut transport = Self::around(Endpoint::given(socket)?, peer);
        // What the device is called, while it is there to ask.
        let Self { endpoint, peer, .. } = &mut transport;
        peer.remember_device(endpoint.socket())?;
        transport.endpoint.drain();
        Ok(transport)
    }

    fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(options::any_address(address))?;
        options::allow_large_sends(SockRef::from(&socket))?;
        sys::report_all_errors(&socket, true);
        let peer = Peer::of(&socket, address);
        let mut transport = Self::around(Endpoint::own(socket)?, peer);
        transport.attach()?;
        Ok(transport)
    }

    fn around(endpoint: Endpoint, peer: Peer) -> Self {
        Self {
            endpoint,
            peer,
            used_ports: RecentPorts::remembering(PORTS_AVOIDED),
            apart: false,
            stuck: false,
            swallowed: Swallowed::default(),
        }
    }

    /// The own address, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.endpoint.socket().local_addr().unwrap_or(UNKNOWN)
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer.address()
    }

    /// Lends the socket, for options of the caller's. From then on others may have it: a request costs a system call
    /// more, as its wait must not depend on a timeout that they can change, and the port stays unless the matcher needs
    /// a fresh one. For buffers and the path MTU there are methods that lend nothing.
    #[must_use]
    pub fn as_socket(&self) -> &UdpSocket {
        self.endpoint.lend()
    }

    /// Gives the socket back, without a timeout. Its handles cancel nothing any more.
    #[must_use]
    pub fn into_socket(mut self) -> UdpSocket {
        if self.apart {
            // If that fails, its first use tells why.
            let _ = self.attach();
        }
        self.endpoint.into_socket()
    }

    /// A handle that ends a wait from any thread.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.endpoint.cancel_handle()
    }

    /// As [`set_receive_buffer`](super::set_receive_buffer).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        options::set_receive_buffer(self.endpoint.socket(), bytes)
    }

    /// As [`set_fragmentation`](super::set_fragmentation).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_fragmentation(&self, mode: Fragmentation) -> io::Result<Applied> {
        pmtu::set_fragmentation(self.endpoint.socket(), mode)
    }

    /// As [`fragmentation`](super::fragmentation).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn fragmentation(&self) -> io::Result<Fragmentation> {
        pmtu::fragmentation(self.endpoint.socket())
    }

    /// As [`kernel_pmtu`](super::kernel_pmtu).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn kernel_pmtu(&self) -> io::Result<Pmtu> {
        pmtu::kernel_pmtu(self.endpoint.socket())
    }

    /// Sets how many routers a datagram may pass (IPv4 TTL, IPv6 hop limit).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_hops(&self, most: u8) -> io::Result<()> {
        let socket = SockRef::from(self.endpoint.socket());
        match self.peer.address() {
            SocketAddr::V4(_) => socket.set_ttl_v4(most.into()),
            SocketAddr::V6(_) => socket.set_unicast_hops_v6(most.into()),
        }
    }

    /// Gives the socket another source address and port, as far as they are not the caller's choice.
    fn reconnect(&mut self) -> io::Result<()> {
        let Self { endpoint, peer, apart, .. } = self;
        // Once it is apart it has no device any more that could be asked for.
        if !*apart && endpoint.is_lent() {
            peer.remember_device(endpoint.socket())?;
        }
        self.apart = true;
        sys::disconnect(&mut self.endpoint)?;
        self.attach()
    }

    /// Connects a socket without a peer; its queue is empty then, whoever sent to it meanwhile.
    fn attach(&mut self) -> io::Result<()> {
        const TRIES: u32 = 8;
        for _ in 0..TRIES {
            self.apart = true;
            self.peer.connect(self.endpoint.socket())?;
            // The system picks any port for it, also the very one that it is to be connected to.
            if self.endpoint.socket().local_addr()? != self.peer.address() {
                self.apart = false;
                self.endpoint.drain();
                self.swallowed.clear();
                return Ok(());
            }
            sys::disconnect(&mut self.endpoint)?;
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "the peer's address is the socket's own"))
    }

    /// Whether the port is the caller's choice: without a peer, a socket keeps no other.
    #[cold]
    fn has_chosen_port(&mut self) -> io::Result<bool> {
        self.apart = true;
        sys::disconnect(&mut self.endpoint)?;
        let chosen = self.local_addr().port() != 0;
        self.attach()?;
        Ok(chosen)
    }

    /// Nothing has left: because of what an earlier datagram met, which then is kept for the next `recv`, or for a reason
    /// of this datagram or this host.
    #[cold]
    fn not_sent(&mut self, mut error: io::Error, datagram: &[u8]) -> Result<(), PathError> {
        let mut left = MOST_SWALLOWED;
        while left > 0 && self.swallowed.takes(self.endpoint.socket(), &error, datagram.len()) {
            left -= 1;
            match self.transmit(datagram) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        if self.stuck {
            match self.insist(error, datagram) {
                Ok(()) => return Ok(()),
                Err(last) => error = last,
            }
        }
        self.stuck = true;
        Err(match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::sendable(self.endpoint.socket()) },
            error => error,
        })
    }

    /// Sends what has failed to leave twice. Either this host will not have it, or the errors of earlier datagrams come
    /// faster than they are read; where they have no queue, trying tells the two apart.
    #[cold]
    fn insist(&mut self, mut error: io::Error, datagram: &[u8]) -> io::Result<()> {
        let is_full = classify(&error) == PathError::NoBuffers;
        if is_full || is_too_big(self.endpoint.socket(), &error, datagram.len()) {
            return Err(error);
        }
        let has_queue = sys::QUEUES_ERRORS && !self.endpoint.is_lent();
        // An error may be set a moment after its entry was read.
        let tries = if has_queue { 8 } else { 64 };
        for _ in 0..tries {
            // Takes what has come since, if anything.
            let _ = self.endpoint.socket().take_error();
            match self.transmit(datagram) {
                Ok(()) => {
                    self.swallowed.took(&error);
                    return Ok(());
                }
                Err(next) => error = next,
            }
            self.swallowed.takes(self.endpoint.socket(), &error, datagram.len());
        }
        if is_of_this_host(classify(&error)) && self.reconnect().is_ok() {
            return self.transmit(datagram);
        }
        Err(error)
    }

    #[inline]
    fn transmit(&mut self, datagram: &[u8]) -> io::Result<()> {
        uninterrupted(|| sys::transmit(self.endpoint.socket(), datagram))?;
        self.stuck = false;
        self.endpoint.on_sent();
        Ok(())
    }

    #[cold]
    fn failed(&mut self, error: PathError, quoted: usize) -> Incoming<PathIndex> {
        let error = match error {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::deliverable(self.endpoint.socket()) },
            // This host has let it out: so it was a router that would not (ICMPv6 "administratively prohibited").
            PathError::Denied => PathError::Unreachable,
            error => error,
        };
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted }
    }

    #[inline]
    fn incoming(&mut self, waited: Waited, until: Timestamp) -> Incoming<PathIndex> {
        match waited {
            // It may have waited in the queue for a reader that was late.
            Waited::Arrival(Arrival { len, actual, .. }, at) => {
                Incoming::Datagram(Received::new(PathIndex::FIRST, len, actual, at.min(until)))
            }
            Waited::TimeUp(at) => Incoming::TimeUp(at),
            Waited::Cancelled => Incoming::Cancelled,
            Waited::Failed(error, quoted) => self.failed(error, quoted),
        }
    }
}

impl Cancel for ConnectedUdp {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.cancel_handle()
    }
}

impl Transport for ConnectedUdp {
    /// There is one path, the first.
    type Peer = PathIndex;

    #[inline]
    fn now(&self) -> Timestamp {
        self.endpoint.now()
    }

    #[inline]
    fn send(&mut self, _to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        if self.endpoint.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        if self.apart {
            self.attach().map_err(|error| classify(&error))?;
        }
        self.transmit(datagram).or_else(|error| self.not_sent(error, datagram))
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        if self.apart {
            // An error here would make the driver loop without pause; the next send reports what is wrong.
            let waited = self.endpoint.wait_apart(until);
            return self.incoming(waited, until);
        }
        if let Some((error, quoted)) = self.swallowed.next(buffer) {
            return self.failed(error, quoted);
        }
        let waited = self.endpoint.receive_until(buffer, true, now, until);
        self.incoming(waited, until)
    }

    fn renew(&mut self, _path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        // Who shares the socket may count on its port.
        if need == Renewal::Advised && self.endpoint.is_lent() {
            self.endpoint.drain();
            return Ok(Renewed::SamePort);
        }
        let left = self.local_addr().port();
        self.used_ports.insert(left);
        let mut search = self.used_ports.search();
        loop {
            self.reconnect().map_err(|error| classify(&error))?;
            let port = self.local_addr().port();
            if port == left && self.has_chosen_port().map_err(|error| classify(&error))? {
                return Ok(Renewed::SamePort);
            }
            if search.takes(&self.used_ports, port) {
                return Ok(Renewed::FreshPort);
            }
        }
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }
}

/// The ports that a renewal avoids: a reply to a request that is late by this many requests meets none of them.
const PORTS_AVOIDED: usize = 8192;
