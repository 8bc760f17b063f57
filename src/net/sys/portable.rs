//! Every other platform, by the standard library alone.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::options;
use super::pmtu::Fragmentation;
use super::wait::Arrival;
use crate::size::{IpFamily, LARGEST_DATAGRAM};
use crate::time::{Ns, saturating_ns};

/// Nanoseconds since this was first asked for.
pub(super) fn monotonic() -> Ns {
    static START: OnceLock<Instant> = OnceLock::new();
    saturating_ns(START.get_or_init(Instant::now).elapsed())
}

/// Receives into a buffer that no datagram exceeds, because a cut one is reported differently everywhere, and its
/// true length nowhere.
#[derive(Debug)]
pub(super) struct Receiver {
    whole: Vec<u8>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { whole: vec![0; LARGEST_DATAGRAM] }
    }

    /// The beginning of a wait is like the rest of it.
    pub(super) fn receive_first(
        &mut self,
        _socket: &UdpSocket,
        _buffer: &mut [u8],
        _connected: bool,
        _wait: Ns,
    ) -> io::Result<Option<Arrival>> {
        Ok(None)
    }

    /// Takes a datagram that is there, or the first one within `wait`. `None` does not mean that the time is up.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        _connected: bool,
        wait: Duration,
    ) -> io::Result<Option<Arrival>> {
        // A timeout of zero would be refused, and one below the clock's step might mean "for ever".
        const SHORTEST: Duration = Duration::from_millis(1);
        socket.set_nonblocking(wait.is_zero())?;
        if !wait.is_zero() {
            socket.set_read_timeout(Some(wait.max(SHORTEST)))?;
        }
        let received = socket.recv_from(&mut self.whole);
        socket.set_nonblocking(false)?;
        match received {
            Ok((actual, from)) => {
                let len = actual.min(buffer.len());
                let (kept, whole) = (buffer.get_mut(..len), self.whole.get(..len));
                if let (Some(kept), Some(whole)) = (kept, whole) {
                    kept.copy_from_slice(whole);
                }
                Ok(Some(Arrival { len, actual, from: Some(from) }))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Sends, and waits for room if there is none.
pub(super) fn transmit(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    socket.send(datagram)
}

/// A wait that can be cancelled proceeds in steps, as nothing wakes it.
pub(super) const LONGEST_DEAF: Duration = Duration::from_millis(10);
pub(super) const WAKING_SHUTS: bool = false;

pub(super) fn wake(_socket: &UdpSocket) {}

pub(super) fn home(socket: &UdpSocket) -> io::Result<SocketAddr> {
    Ok(SocketAddr::new(socket.local_addr()?.ip(), 0))
}

pub(super) fn replace(socket: &mut UdpSocket, _home: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    reconnect(socket, peer)
}

/// Replaces the socket by a new one to the same peer.
pub(super) fn reconnect(socket: &mut UdpSocket, peer: SocketAddr) -> io::Result<()> {
    let fresh = UdpSocket::bind(home(socket)?)?;
    options::allow_large_sends(SockRef::from(&fresh))?;
    fresh.connect(peer)?;
    *socket = fresh;
    Ok(())
}

/// Undoes what the waits of a [`Receiver`] left behind.
pub(super) fn forget_timeout(socket: &UdpSocket) {
    // Whoever takes the socket over will see if this failed: his reads end early.
    let _ = socket.set_read_timeout(None);
}

pub(super) fn set_fragmentation(_socket: &UdpSocket, _family: IpFamily, _mode: Fragmentation) -> io::Result<bool> {
    Ok(false)
}

pub(super) fn fragmentation(_socket: &UdpSocket, _family: IpFamily) -> io::Result<Fragmentation> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn kernel_pmtu(_socket: &UdpSocket, _family: IpFamily) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}
