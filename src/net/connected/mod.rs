mod attaching;
mod sending;
mod watching;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;

use super::cancel::{Cancel, CancelHandle};
use super::endpoint::{Arrival, Ask, Endpoint, Origin, Waited};
use super::peer::Peer;
use super::pmtu::{self, Applied};
use super::ports::RecentPorts;
use super::seed::system_key;
use super::segments::one_after_the_other;
use super::swallowed::Swallowed;
use super::{UNKNOWN, classify, options, sys};
use crate::size::{Plpmtu, Pmtu};
use crate::time::Timestamp;
use crate::transport::{
    Fragmentation, Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport,
};

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
/// - After a send and its repetition have failed for a reason of this host (no route, a device that was made anew), and
///   before the send after a wait in vain if this host no longer has the address that it leaves from, the socket is
///   connected again, from the address that is right then; its port changes, unless the caller chose it.
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
    /// As it was when the socket was connected; others may have changed that of a lent one.
    local: SocketAddr,
    used_ports: RecentPorts,
    /// It was disconnected, and could not be connected again yet.
    apart: bool,
    /// The latest send failed.
    stuck: bool,
    /// Nothing came since the latest send.
    in_vain: bool,
    /// What came last is a datagram, not an error.
    answers: bool,
    /// An address that no device here has and that is the socket's all the same, such as a transparent one's.
    foreign: Option<IpAddr>,
    /// Whether the port is the caller's choice, once that is known: from a disconnection, before or after which anybody may
    /// have sent to that port.
    has_chosen_port: Option<bool>,
    /// Since it was asked for its device, the socket was lent.
    lent_again: AtomicBool,
    /// Errors of earlier datagrams.
    swallowed: Swallowed,
    ask: Ask,
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

    /// Takes over a connected socket with all its settings, which stay the caller's, as does the blocking mode (on Windows
    /// it becomes non-blocking: single calls have no flag for that).
    ///
    /// A port of the caller's choice does not change, so requests without ids ([`any_reply`](crate::any_reply)) fail
    /// [at once](crate::transaction::Failure::NoFreshPort). A port that the system picked changes for these alone, and where
    /// the socket has to be connected again.
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

    /// Connects a socket of our own to one address.
    pub(super) fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(options::any_address(address))?;
        options::allow_large_sends(SockRef::from(&socket))?;
        sys::report_all_errors(&socket, true);
        let peer = Peer::of(&socket, address);
        let mut transport = Self::around(Endpoint::own(socket)?, peer);
        transport.has_chosen_port = Some(false);
        transport.attach()?;
        Ok(transport)
    }

    fn around(endpoint: Endpoint, peer: Peer) -> Self {
        Self {
            endpoint,
            peer,
            local: UNKNOWN,
            used_ports: RecentPorts::remembering(PORTS_AVOIDED),
            apart: false,
            stuck: false,
            in_vain: false,
            answers: false,
            foreign: None,
            has_chosen_port: None,
            lent_again: AtomicBool::new(false),
            swallowed: Swallowed::default(),
            ask: Ask::Nothing,
        }
    }

    /// Has the system note when datagrams arrive, so that [`Received::at`] is that moment even if the process was stopped
    /// meanwhile, or busy: else a round trip that is measured then is too long. It costs some 0.2 µs an exchange; a requester
    /// that is built to connect with an estimator asks for it. Linux and Android; has no effect elsewhere. The system begins
    /// some milliseconds after it was first asked; until then, and elsewhere, it is the moment of reading.
    #[must_use]
    pub fn with_arrival_times(mut self) -> Self {
        if sys::report_arrival_time(self.endpoint.socket()).is_ok() {
            self.ask = Ask::Everything;
        }
        self
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
        self.lent_again.store(true, Ordering::Relaxed);
        self.endpoint.lend()
    }

    /// Gives the socket back, without a timeout of ours. Its handles cancel nothing any more.
    #[must_use]
    pub fn into_socket(mut self) -> UdpSocket {
        if self.apart {
            // If that fails, its first use tells why.
            let _ = self.reconnect();
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

    /// How much the receive buffer holds, in bytes as [`set_receive_buffer`](super::set_receive_buffer) counts them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        SockRef::from(self.endpoint.socket()).recv_buffer_size()
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

    #[cold]
    fn failed(&mut self, error: PathError, quoted: usize) -> Incoming<PathIndex> {
        self.answers = false;
        let error = match error {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::deliverable(self.endpoint.socket()) },
            error => error,
        };
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted }
    }

    /// Where more than the datagram is asked for: who sent it, or when it arrived.
    fn receive_asking(&mut self, buffer: &mut [u8], mut now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        let ask = if self.has_chosen_port == Some(true) { self.ask.max(Ask::Sender) } else { self.ask };
        loop {
            match self.endpoint.receive_until(buffer, ask, now, until) {
                // The system was about to queue it when the socket was connected and its queue emptied.
                Waited::Arrival(Arrival { from: Some(Origin { remote, .. }), .. }, at)
                    if !self.peer.is(self.endpoint.socket(), remote) =>
                {
                    now = at;
                }
                waited => return self.incoming(waited, until),
            }
        }
    }

    #[inline(never)]
    fn incoming(&mut self, waited: Waited, until: Timestamp) -> Incoming<PathIndex> {
        self.in_vain = !matches!(waited, Waited::Arrival(..));
        match waited {
            // It may have waited in the queue for a reader that was late.
            Waited::Arrival(Arrival { len, actual, .. }, at) => {
                self.answers = true;
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
        self.prepare_to_send()?;
        self.transmit(datagram).or_else(|error| self.not_sent(error, datagram))
    }

    fn send_many(&mut self, _to: PathIndex, datagrams: &[&[u8]]) -> (usize, Result<(), PathError>) {
        one_after_the_other(datagrams, |left| self.send_first_of(left))
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
        if self.ask == Ask::Nothing && self.has_chosen_port != Some(true) {
            return match self.endpoint.receive_by(sys::Receiver::block_plain, buffer, Ask::Nothing, now, until) {
                Ok(((len, actual), at)) => {
                    (self.in_vain, self.answers) = (false, true);
                    // It may have waited in the queue for a reader that was late.
                    Incoming::Datagram(Received::new(PathIndex::FIRST, len, actual, at.min(until)))
                }
                Err(waited) => self.incoming(waited, until),
            };
        }
        self.receive_asking(buffer, now, until)
    }

    fn renew(&mut self, _path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        // Who shares the socket may count on its port. One that stays anyway is left connected, so that no one else is heard.
        if need == Renewal::Advised && self.endpoint.is_lent() || self.has_chosen_port == Some(true) {
            self.endpoint.drain();
            return Ok(Renewed::SamePort);
        }
        let left = if self.endpoint.is_lent() { self.local_addr() } else { self.local }.port();
        self.used_ports.insert(left);
        let mut search = self.used_ports.search();
        loop {
            self.reconnect().map_err(|error| classify(&error))?;
            if self.has_chosen_port == Some(true) {
                return Ok(Renewed::SamePort);
            }
            if search.takes(&self.used_ports, self.local.port()) {
                return Ok(Renewed::FreshPort);
            }
        }
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }

    fn max_plpmtu(&self, _to: PathIndex) -> Option<Plpmtu> {
        pmtu::accepted(self.endpoint.socket())
    }
}

/// The ports that a renewal avoids: a reply to a request that is late by this many requests meets none of them.
const PORTS_AVOIDED: usize = 8192;
