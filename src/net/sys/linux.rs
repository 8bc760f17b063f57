//! Linux and Android, by safe system calls.

use std::io;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ip_mtu_discover, ipv6_mtu, ipv6_mtu_discover,
    set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, recvfrom, send};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::options;
use super::pmtu::Fragmentation;
use super::wait::Arrival;
use crate::size::IpFamily;
use crate::time::Ns;

/// The system's own nanoseconds: what an `Instant` adds to them costs more than reading them, twice an exchange.
#[inline]
pub(super) fn monotonic() -> Ns {
    // No Linux lacks this clock.
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    #[expect(clippy::cast_sign_loss, reason = "neither is negative")]
    let (seconds, rest) = (now.tv_sec() as Ns, now.tv_nsec() as Ns);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

/// Receives into the caller's buffer; the kernel tells the true length.
#[derive(Debug)]
pub(super) struct Receiver {
    /// The waits that the timeout of the socket itself suits; none until one is set. Having one costs nothing, setting
    /// one 0.2 µs.
    suited: Range<Ns>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { suited: 0..0 }
    }

    /// The beginning of a long wait blocks in `recv` itself: a reply that comes in the first half of it, as most do,
    /// costs no other system call. `None` does not mean that the time is up, nor that there was a wait.
    #[inline]
    pub(super) fn receive_first(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        connected: bool,
        wait: Ns,
    ) -> io::Result<Option<Arrival>> {
        if !self.suited.contains(&wait) && !self.suit(socket, wait)? {
            return Ok(None);
        }
        arrival(socket, buffer, connected, RecvFlags::TRUNC)
    }

    /// Sets a timeout for waits like this one; `false` if it is too short for any.
    #[cold]
    fn suit(&mut self, socket: &UdpSocket, wait: Ns) -> io::Result<bool> {
        let Some(timeout) = timeout_within(wait) else { return Ok(false) };
        socket.set_read_timeout(Some(Duration::from_nanos(timeout)))?;
        self.suited = waits_around(timeout);
        Ok(true)
    }

    /// Takes a datagram that is there, or the first one within `wait`. `None` does not mean that the time is up: a
    /// signal, a datagram with a bad checksum or the coarse part of a long wait end it early.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        connected: bool,
        wait: Duration,
    ) -> io::Result<Option<Arrival>> {
        if !wait.is_zero() && !readable(socket, coarse(wait))? {
            return Ok(None);
        }
        arrival(socket, buffer, connected, RecvFlags::TRUNC | RecvFlags::DONTWAIT)
    }
}

/// `None` if there was nothing, or a signal came first.
#[inline]
fn arrival(socket: &UdpSocket, buffer: &mut [u8], connected: bool, flags: RecvFlags) -> io::Result<Option<Arrival>> {
    let received = if connected {
        recv(socket, buffer, flags).map(|(len, actual)| Arrival { len, actual, from: None })
    } else {
        recvfrom(socket, buffer, flags).map(|(len, actual, from)| {
            let from = from.and_then(|from| SocketAddr::try_from(from).ok());
            Arrival { len, actual, from }
        })
    };
    match received {
        Ok(arrival) => Ok(Some(arrival)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How long a socket's own timeout should be within a wait: as long as it may be, less what also suits shorter ones. It
/// ends late, by up to an eighth and three ticks of 4 ms, and what is left is for `ppoll`; in a short wait there is no
/// room for that.
fn timeout_within(wait: Ns) -> Option<Ns> {
    (wait >= SHORTEST).then(|| (wait - wait / 8).saturating_sub(TICKS) / 8 * 5)
}

/// The waits that a timeout suits: from those that it just ends within to those of which it leaves most to `ppoll`.
fn waits_around(timeout: Ns) -> Range<Ns> {
    let ending_within = |most: Ns| most.saturating_add(TICKS).div_ceil(7).saturating_mul(8);
    ending_within(timeout).max(SHORTEST)..ending_within(timeout.saturating_mul(4))
}

/// The shortest wait that is worth a timeout.
const SHORTEST: Ns = 25_000_000;
const TICKS: Ns = 12_000_000;

/// The kernel may end a `ppoll` late by 0.1 % of what was asked. So a long wait first asks for a little less, and
/// then for the remainder, whose 0.1 % is nothing.
fn coarse(wait: Duration) -> Duration {
    const PRECISE: Duration = Duration::from_millis(50);
    if wait > PRECISE { wait - wait / 256 } else { wait }
}

fn readable(socket: &UdpSocket, wait: Duration) -> io::Result<bool> {
    let timeout =
        Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sends without waiting: a full buffer is an error like any other, as a wait for room could outlast the deadline.
#[inline]
pub(super) fn transmit(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    Ok(send(socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// A wait that can be cancelled is one wait.
pub(super) const LONGEST_DEAF: Duration = Duration::MAX;
/// What ends a wait also ends all receiving.
pub(super) const WAKING_SHUTS: bool = true;

/// Ends a blocked `recv` or `ppoll` on this socket. From then on a blocking `recv` returns 0 bytes, a non-blocking one
/// says `EAGAIN`, and `ppoll` says "readable" at once; nothing undoes that.
pub(super) fn wake(socket: &UdpSocket) {
    // A socket that is not connected reports so, and wakes all the same.
    let _ = SockRef::from(socket).shutdown(Shutdown::Read);
}

/// Where the caller bound the socket: unspecified and 0 where he left it to the system. Disconnects it.
pub(super) fn home(socket: &UdpSocket) -> io::Result<SocketAddr> {
    connect_unspec(socket)?;
    socket.local_addr()
}

/// Replaces the socket by one with the same settings, bound to `home` and connected to `peer`.
pub(super) fn replace(socket: &mut UdpSocket, home: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    let fresh = Socket::new(Domain::for_address(peer), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    options::carry_over(&SockRef::from(&*socket), &fresh);
    let family = IpFamily::of(peer.ip());
    let mode = fragmentation(socket, family);
    *socket = fresh.into();
    if let Ok(mode) = mode {
        set_fragmentation(socket, family, mode)?;
    }
    SockRef::from(&*socket).bind(&home.into())?;
    socket.connect(peer)
}

/// Gives the connected socket another port, or the same one if it was bound to a port of its choice. The queue and
/// all other settings stay.
pub(super) fn reconnect(socket: &mut UdpSocket, peer: SocketAddr) -> io::Result<()> {
    connect_unspec(&*socket)?;
    socket.connect(peer)
}

/// Undoes what the waits of a [`Receiver`] left behind.
pub(super) fn forget_timeout(socket: &UdpSocket) {
    // Whoever takes the socket over will see if this failed: his reads end early.
    let _ = socket.set_read_timeout(None);
}

/// Whether the mode took hold for this family.
pub(super) fn set_fragmentation(socket: &UdpSocket, family: IpFamily, mode: Fragmentation) -> io::Result<bool> {
    let applied = match family {
        IpFamily::V4 => {
            set_ip_mtu_discover(socket, v4(mode)).and_then(|()| ip_mtu_discover(socket)).map(|now| now == v4(mode))
        }
        IpFamily::V6 => {
            set_ipv6_mtu_discover(socket, v6(mode)).and_then(|()| ipv6_mtu_discover(socket)).map(|now| now == v6(mode))
        }
    };
    match applied {
        Err(rustix::io::Errno::NOPROTOOPT | rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(false),
        applied => Ok(applied?),
    }
}

pub(super) fn fragmentation(socket: &UdpSocket, family: IpFamily) -> io::Result<Fragmentation> {
    const MODES: [Fragmentation; 4] =
        [Fragmentation::ByEstimate, Fragmentation::Allowed, Fragmentation::Forbidden, Fragmentation::Probing];
    let named = match family {
        IpFamily::V4 => {
            let present = ip_mtu_discover(socket)?;
            MODES.into_iter().find(|&mode| v4(mode) == present)
        }
        IpFamily::V6 => {
            let present = ipv6_mtu_discover(socket)?;
            MODES.into_iter().find(|&mode| v6(mode) == present)
        }
    };
    named.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

pub(super) fn kernel_pmtu(socket: &UdpSocket, family: IpFamily) -> io::Result<u32> {
    let pmtu = match family {
        IpFamily::V4 => ip_mtu(socket),
        IpFamily::V6 => ipv6_mtu(socket),
    };
    Ok(pmtu?)
}

fn v4(mode: Fragmentation) -> Ipv4PathMtuDiscovery {
    match mode {
        Fragmentation::ByEstimate => Ipv4PathMtuDiscovery::WANT,
        Fragmentation::Allowed => Ipv4PathMtuDiscovery::DONT,
        Fragmentation::Forbidden => Ipv4PathMtuDiscovery::DO,
        Fragmentation::Probing => Ipv4PathMtuDiscovery::PROBE,
    }
}

fn v6(mode: Fragmentation) -> Ipv6PathMtuDiscovery {
    match mode {
        Fragmentation::ByEstimate => Ipv6PathMtuDiscovery::WANT,
        Fragmentation::Allowed => Ipv6PathMtuDiscovery::DONT,
        Fragmentation::Forbidden => Ipv6PathMtuDiscovery::DO,
        Fragmentation::Probing => Ipv6PathMtuDiscovery::PROBE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_suits_the_wait_it_is_for_and_ends_within_all_it_suits() {
        assert_eq!(timeout_within(SHORTEST - 1), None);
        for wait in [SHORTEST, 40_000_000, 100_000_000, 1_000_000_000, 5_000_000_000, 3_600_000_000_000, 1 << 62] {
            let timeout = timeout_within(wait).unwrap();
            let suited = waits_around(timeout);
            assert!(suited.contains(&wait), "{wait} within {suited:?}");
            // Jitter of a fifth either way sets no other timeout.
            assert!(
                wait < 100_000_000 || suited.contains(&(wait / 5 * 4)) && suited.contains(&(wait / 5 * 6)),
                "{wait}"
            );
            let late = timeout + timeout / 8 + TICKS;
            assert!(late <= suited.start, "{timeout} ends by {late}, within {suited:?}");
            assert!(timeout >= suited.end / 8, "{timeout} is most of what is left of {suited:?}");
        }
        assert!(waits_around(u64::MAX).is_empty());
    }
}
