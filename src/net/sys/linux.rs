//! Linux and Android, by safe system calls.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{setsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::io::Errno;
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, recvfrom, send, sendto};
use socket2::SockRef;

use super::endpoint::{Arrival, Ask, Endpoint, Origin};
use crate::time::Ns;
use crate::transport::Route;

#[cfg(feature = "proxy")]
mod answering;
mod control;
#[cfg(feature = "proxy")]
mod dropped;
mod own_address;
mod path_mtu;
mod reported;
mod segments;

#[cfg(feature = "proxy")]
pub(crate) use answering::{answer_from, ask_own_address, receive_asked};
#[cfg(feature = "proxy")]
pub(crate) use dropped::kernel_dropped;
pub(super) use own_address::transmit_from;
pub(super) use path_mtu::{carry_over_fragmentation, fragmentation, kernel_pmtu, set_fragmentation};
pub(super) use reported::{queued_error, report_arrival_time, report_own_address};
pub(super) use segments::{MOST_SEGMENTS, divides, does_not_divide, stamps_transmissions, transmit_segments};

/// A clock of the system's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum System {
    /// Stands still while the system sleeps.
    Monotonic,
    Boottime,
}

impl System {
    pub(super) const fn counting_sleep() -> Option<Self> {
        Some(Self::Boottime)
    }
}

/// The system's own nanoseconds: what an `Instant` adds to them costs more than reading them, twice an exchange.
#[inline]
pub(super) fn nanoseconds(clock: System) -> Ns {
    let clock = match clock {
        System::Monotonic => ClockId::CLOCK_MONOTONIC,
        System::Boottime => ClockId::CLOCK_BOOTTIME,
    };
    // No Linux lacks these clocks.
    let Ok(now) = clock_gettime(clock) else { return 0 };
    #[expect(clippy::cast_sign_loss, reason = "neither is negative")]
    let (seconds, rest) = (now.tv_sec() as Ns, now.tv_nsec() as Ns);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

/// Receives into the caller's buffer; the kernel reports the true length.
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
    pub(super) fn block(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        ask: Ask,
        wait: Ns,
    ) -> io::Result<Option<Arrival>> {
        if !self.suited.contains(&wait) && !self.suit(socket, wait)? {
            return Ok(None);
        }
        arrival(socket, buffer, ask, RecvFlags::TRUNC)
    }

    /// As [`block`](Self::block), of a connected socket: how many bytes are in the buffer, and how many were on the wire.
    #[inline]
    pub(super) fn block_plain(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        wait: Ns,
    ) -> io::Result<Option<(usize, usize)>> {
        if !self.suited.contains(&wait) && !self.suit(socket, wait)? {
            return Ok(None);
        }
        awaited(recv(socket, buffer, RecvFlags::TRUNC))
    }

    /// As [`block_plain`](Self::block_plain), of a socket that is bound to `own`, and the route of an answer.
    #[inline]
    pub(super) fn block_routed(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        own: SocketAddr,
        ask: Ask,
        wait: Ns,
    ) -> io::Result<Option<(usize, usize, Option<Route>)>> {
        if !self.suited.contains(&wait) && !self.suit(socket, wait)? {
            return Ok(None);
        }
        awaited(match ask {
            // But the time in the queue: it is reported only where others have the socket too, and no wait begins here.
            Ask::Everything => reported::receive(socket, buffer, RecvFlags::TRUNC)
                .map(|it| (it.len, it.actual, it.from.map(|from| from.route(own)))),
            Ask::Sender | Ask::Nothing => receive_from(socket, buffer, RecvFlags::TRUNC)
                .map(|(len, actual, from)| (len, actual, from.map(|from| Route::new(from, own)))),
        })
    }

    /// Sets a timeout for waits like this one; `false` if it is too short for any.
    #[cold]
    fn suit(&mut self, socket: &UdpSocket, wait: Ns) -> io::Result<bool> {
        if wait >= ENDLESS {
            // Without one the system sets no timer for each wait.
            socket.set_read_timeout(None)?;
            self.suited = ENDLESS..Ns::MAX;
            return Ok(true);
        }
        let Some(timeout) = timeout_within(wait) else { return Ok(false) };
        socket.set_read_timeout(Some(Duration::from_nanos(timeout)))?;
        self.suited = waits_around(timeout);
        Ok(true)
    }

    /// Takes a datagram that is there, without a wait.
    pub(super) fn look(&mut self, socket: &UdpSocket, buffer: &mut [u8], ask: Ask) -> io::Result<Option<Arrival>> {
        arrival(socket, buffer, ask, RecvFlags::TRUNC | RecvFlags::DONTWAIT)
    }
}

/// `None` if there was nothing, or a signal came first.
#[inline]
fn arrival(socket: &UdpSocket, buffer: &mut [u8], ask: Ask, flags: RecvFlags) -> io::Result<Option<Arrival>> {
    let received = match ask {
        Ask::Nothing => recv(socket, buffer, flags).map(|(len, actual)| Arrival { len, actual, from: None, waited: 0 }),
        Ask::Sender => receive_from(socket, buffer, flags).map(|(len, actual, from)| {
            let from = from.map(|remote| Origin { remote, local: None, interface: None });
            Arrival { len, actual, from, waited: 0 }
        }),
        Ask::Everything => reported::receive(socket, buffer, flags),
    };
    awaited(received)
}

#[inline]
fn receive_from(
    socket: &UdpSocket,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, usize, Option<SocketAddr>), Errno> {
    let (len, actual, from) = recvfrom(socket, buffer, flags)?;
    Ok((len, actual, from.and_then(|from| SocketAddr::try_from(from).ok())))
}

#[inline]
fn awaited<R>(received: Result<R, Errno>) -> io::Result<Option<R>> {
    match received {
        Ok(received) => Ok(Some(received)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Wakes a wait from another thread.
#[derive(Debug)]
pub(super) struct Bell {
    event: OwnedFd,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    pub(super) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.event, PollFlags::IN)
    }

    pub(super) fn ring(&self) {
        // It fails only where it has been rung 2⁶⁴ times, and rings all the same.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    pub(super) fn silence(&self) {
        // It fails if it has not been rung.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
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

/// No wait that has an end is as long: 146 years.
const ENDLESS: Ns = 1 << 62;
/// The shortest wait that is worth a timeout.
const SHORTEST: Ns = 25_000_000;
const TICKS: Ns = 12_000_000;

/// Sends without waiting: a full buffer is an error like any other, as a wait for room could outlast the deadline.
#[inline]
pub(super) fn transmit(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    Ok(send(socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// As [`transmit`], to any address.
pub(super) fn transmit_to(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
    Ok(sendto(socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &to)?)
}

/// What a socket needs before it is used: nothing here.
pub(super) fn prepare(_socket: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// Leaves the peer, and the port too if the system picked it. Linux also takes the socket off the device that it is
/// bound to, and says nothing; all other settings stay.
pub(super) fn disconnect(endpoint: &mut Endpoint) -> io::Result<()> {
    Ok(connect_unspec(endpoint.socket())?)
}

/// The device that a connected socket is bound to.
pub(super) fn device(socket: &UdpSocket) -> io::Result<Option<Vec<u8>>> {
    SockRef::from(socket).device()
}

pub(super) fn bind_device(socket: &UdpSocket, device: &[u8]) -> io::Result<()> {
    SockRef::from(socket).bind_device(Some(device))
}

pub(super) fn interface_name(socket: &UdpSocket, number: u32) -> Option<String> {
    index_to_name(socket, number).ok()
}

pub(super) fn interface_number(socket: &UdpSocket, name: &str) -> Option<u32> {
    name_to_index(socket, name).ok()
}

/// Whether a device that is up has an address.
pub(super) fn has_address(address: IpAddr) -> bool {
    const UP: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_RUNNING);
    // Who cannot ask stays where he is.
    let Ok(mut all) = getifaddrs() else { return true };
    all.any(|of| {
        let ip = of.address.and_then(|of| match address.to_canonical() {
            IpAddr::V4(_) => of.as_sockaddr_in().map(|of| IpAddr::V4(of.ip())),
            IpAddr::V6(_) => of.as_sockaddr_in6().map(|of| IpAddr::V6(of.ip())),
        });
        ip == Some(address.to_canonical()) && of.flags.contains(UP)
    })
}

/// Has the kernel report every ICMP error, also those that it keeps to itself by default (network and host unreachable),
/// and quote the datagram that met it.
pub(super) fn report_all_errors(socket: &UdpSocket, report: bool) {
    // A kernel that refuses reports fewer.
    let _ = setsockopt(socket, sockopt::Ipv4RecvErr, &report);
    let _ = setsockopt(socket, sockopt::Ipv6RecvErr, &report);
}

/// Whether a socket of our own then tells by a queue of errors whose an error is.
pub(super) const QUEUES_ERRORS: bool = true;

/// Undoes the settings that only a socket of our own has.
pub(super) fn forget_settings(socket: &UdpSocket) {
    // Who takes the socket over will see if this failed: his reads end early.
    let _ = socket.set_read_timeout(None);
    report_all_errors(socket, false);
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
