//! Every other platform, by what all have in common: `poll`, and receiving without a wait.
#![expect(clippy::disallowed_methods, reason = "this is where clocks live")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use socket2::SockRef;

use super::endpoint::{Arrival, Ask, Endpoint, Origin};
use super::options;
use super::swallowed::QueuedError;
use crate::size::{IpFamily, LARGEST_DATAGRAM};
use crate::time::{Ns, saturating_ns};
use crate::transport::{Fragmentation, Route};

/// A clock of the system's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum System {
    /// Whether it goes on while the system sleeps differs.
    Monotonic,
}

impl System {
    pub(super) const fn counting_sleep() -> Option<Self> {
        None
    }
}

/// Nanoseconds since this was first asked for.
pub(super) fn nanoseconds(_clock: System) -> Ns {
    static START: OnceLock<Instant> = OnceLock::new();
    saturating_ns(START.get_or_init(Instant::now).elapsed())
}

/// Receives into a buffer that no datagram exceeds, because a truncated one is reported differently everywhere, and its
/// true length nowhere.
#[derive(Debug)]
pub(super) struct Receiver {
    whole: Vec<u8>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { whole: vec![0; LARGEST_DATAGRAM] }
    }

    /// No wait begins in `recv` here: the timeouts of sockets are too coarse, 500 ms at least on some versions of Windows.
    pub(super) fn block(
        &mut self,
        _socket: &UdpSocket,
        _buffer: &mut [u8],
        _ask: Ask,
        _wait: Ns,
    ) -> io::Result<Option<Arrival>> {
        Ok(None)
    }

    /// As [`block`](Self::block).
    pub(super) fn block_plain(
        &mut self,
        _socket: &UdpSocket,
        _buffer: &mut [u8],
        _wait: Ns,
    ) -> io::Result<Option<(usize, usize)>> {
        Ok(None)
    }

    /// As [`block`](Self::block).
    pub(super) fn block_routed(
        &mut self,
        _socket: &UdpSocket,
        _buffer: &mut [u8],
        _own: SocketAddr,
        _ask: Ask,
        _wait: Ns,
    ) -> io::Result<Option<(usize, usize, Option<Route>)>> {
        Ok(None)
    }

    /// Takes a datagram that is there, without a wait.
    pub(super) fn look(&mut self, socket: &UdpSocket, buffer: &mut [u8], _ask: Ask) -> io::Result<Option<Arrival>> {
        match calls::receive(socket, &mut self.whole) {
            Ok((actual, from)) => {
                let from = from.map(|remote| Origin { remote, local: None, interface: None });
                let len = actual.min(buffer.len());
                let (kept, whole) = (buffer.get_mut(..len), self.whole.get(..len));
                if let (Some(kept), Some(whole)) = (kept, whole) {
                    kept.copy_from_slice(whole);
                }
                Ok(Some(Arrival { len, actual, from, waited: 0 }))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// No queue of errors can be read here.
pub(super) fn queued_error(_socket: &UdpSocket, _buffer: &mut [u8]) -> Option<QueuedError> {
    None
}

/// Wakes a wait from another thread: a socket that hears itself alone, because nothing else can be polled everywhere.
#[derive(Debug)]
pub(super) struct Bell {
    socket: UdpSocket,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let socket =
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).or_else(|_| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))?;
        socket.connect(socket.local_addr()?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    pub(super) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.socket, PollFlags::IN)
    }

    pub(super) fn ring(&self) {
        // It fails only where the queue is full, which rings all the same.
        let _ = self.socket.send(&[]);
    }

    pub(super) fn silence(&self) {
        while self.socket.recv(&mut []).is_ok() {}
    }
}

/// Sends without waiting: a full buffer is an error like any other, as a wait for room could outlast the deadline.
pub(super) fn transmit(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    calls::send(socket, datagram)
}

/// As [`transmit`], to any address.
pub(super) fn transmit_to(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
    calls::send_to(socket, to, datagram)
}

/// As [`transmit_to`]: from which address, the system decides.
pub(super) fn transmit_from(socket: &UdpSocket, _from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
    transmit_to(socket, to, datagram).map(drop)
}

/// Whether several datagrams can leave in one call: nowhere here.
pub(super) fn divides(_socket: &UdpSocket) -> bool {
    false
}

/// Not to be had here.
pub(super) fn transmit_segments(
    _socket: &UdpSocket,
    _to: Option<SocketAddr>,
    _datagrams: &[&[u8]],
    _len: u16,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn stamps_transmissions(_socket: &UdpSocket) -> bool {
    false
}

pub(super) fn does_not_divide(_error: &io::Error) -> bool {
    true
}

pub(super) const MOST_SEGMENTS: usize = 64;

/// Which of its own addresses a datagram came to, the system does not report here.
pub(super) fn report_own_address(_socket: &UdpSocket, _local: SocketAddr) -> io::Result<()> {
    Ok(())
}

/// As above, for an event loop with sockets of its own: then it has to do without the two below.
#[cfg(feature = "proxy")]
pub(crate) fn ask_own_address(_socket: &SockRef<'_>, _local: SocketAddr) -> io::Result<bool> {
    Ok(false)
}

#[cfg(feature = "proxy")]
pub(crate) fn receive_asked(_socket: &SockRef<'_>, _buffer: &mut [u8], _own: SocketAddr) -> io::Result<(usize, Route)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(feature = "proxy")]
pub(crate) fn answer_from(_socket: &SockRef<'_>, _route: Route, _datagram: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not told.
#[cfg(feature = "proxy")]
pub(crate) fn kernel_dropped<S>(_socket: &S) -> Option<u32> {
    None
}

/// What a socket needs before it is used.
pub(super) fn prepare(socket: &UdpSocket) -> io::Result<()> {
    calls::prepare(socket)
}

/// Leaves the peer. Most systems keep the port then, so a socket of our own is replaced by another one; one of the
/// caller's keeps all that it has, its port too.
pub(super) fn disconnect(endpoint: &mut Endpoint) -> io::Result<()> {
    if endpoint.is_lent() {
        return calls::disconnect(endpoint.socket());
    }
    let left = endpoint.socket();
    let fresh = UdpSocket::bind(options::any_address(left.local_addr()?))?;
    options::carry_over(SockRef::from(left), SockRef::from(&fresh));
    prepare(&fresh)?;
    endpoint.replace(fresh);
    Ok(())
}

/// A device that a socket is bound to stays so, whatever is done here.
pub(super) fn device(_socket: &UdpSocket) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

pub(super) fn bind_device(_socket: &UdpSocket, _device: &[u8]) -> io::Result<()> {
    Ok(())
}

pub(super) fn interface_name(_socket: &UdpSocket, _number: u32) -> Option<String> {
    None
}

pub(super) fn interface_number(_socket: &UdpSocket, _name: &str) -> Option<u32> {
    None
}

/// No arrival is noted here.
pub(super) fn report_arrival_time(_socket: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether this host has an address: then a socket can be bound to it.
pub(super) fn has_address(address: IpAddr) -> bool {
    !UdpSocket::bind((address, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Which errors are reported is the system's choice.
pub(super) fn report_all_errors(_socket: &UdpSocket, _report: bool) {}

pub(super) const QUEUES_ERRORS: bool = false;

/// Nothing is set that would have to be undone.
pub(super) fn forget_settings(_socket: &UdpSocket) {}

pub(super) fn set_fragmentation(_socket: &UdpSocket, _family: IpFamily, _mode: Fragmentation) -> io::Result<bool> {
    Ok(false)
}

pub(super) fn fragmentation(_socket: &UdpSocket, _family: IpFamily) -> io::Result<Fragmentation> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn carry_over_fragmentation(_from: &UdpSocket, _to: &UdpSocket) -> io::Result<()> {
    Ok(())
}

pub(super) fn kernel_pmtu(_socket: &UdpSocket, _family: IpFamily) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Single calls that do not wait, whatever the blocking mode is, and leave it alone.
#[cfg(unix)]
mod calls {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};

    use rustix::net::{RecvFlags, SendFlags, connect_unspec};

    pub(super) fn prepare(_socket: &UdpSocket) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        let (len, _, from) = rustix::net::recvfrom(socket, buffer, RecvFlags::DONTWAIT)?;
        Ok((len, from.and_then(|from| SocketAddr::try_from(from).ok())))
    }

    pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(socket, datagram, SendFlags::DONTWAIT)?)
    }

    pub(super) fn send_to(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::sendto(socket, datagram, SendFlags::DONTWAIT, &to)?)
    }

    pub(super) fn disconnect(socket: &UdpSocket) -> io::Result<()> {
        let disconnected = connect_unspec(socket);
        // macOS and the BSDs report an error of the address, and disconnect all the same.
        if socket.peer_addr().is_ok() { Ok(disconnected?) } else { Ok(()) }
    }
}

/// Single calls that do not wait: the system has no flag for that, so the socket's blocking mode changes.
#[cfg(windows)]
mod calls {
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

    pub(super) fn prepare(socket: &UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)
    }

    pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        socket.recv_from(buffer).map(|(len, from)| (len, Some(from)))
    }

    pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
        socket.send(datagram)
    }

    pub(super) fn send_to(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        socket.send_to(datagram, to)
    }

    /// To connect to no address is to disconnect.
    pub(super) fn disconnect(socket: &UdpSocket) -> io::Result<()> {
        let disconnected = match socket.local_addr()? {
            SocketAddr::V4(_) => socket.connect((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => socket.connect((Ipv6Addr::UNSPECIFIED, 0)),
        };
        if socket.peer_addr().is_ok() { disconnected } else { Ok(()) }
    }
}
