//! What the system reports with a datagram, where options of the socket ask for it: which of the own addresses it came to,
//! over which interface, and when; and what it keeps of the errors that datagrams met.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::net::endpoint::{Arrival, Origin};
use crate::net::swallowed::QueuedError;
use crate::time::{Ns, saturating_ns};

/// Has the system report, with each datagram, which of the own addresses it came to and over which interface.
pub(in crate::net) fn report_own_address(socket: &impl AsFd, local: SocketAddr) -> io::Result<()> {
    match local {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        // Of IPv4 too, where it is mapped.
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Has the system report, with each datagram, when it arrived.
pub(in crate::net) fn report_arrival_time(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Takes a datagram, with what the system reports of it. Allocates nothing.
pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8], flags: RecvFlags) -> Result<Arrival, Errno> {
    let flags = MsgFlags::from_bits_truncate(number(flags.bits()));
    CONTROL.with_borrow_mut(|control| {
        let len = buffer.len();
        let mut payload = [IoSliceMut::new(buffer)];
        let message = recvmsg(socket.as_raw_fd(), &mut payload, Some(&mut control.0), flags).map_err(named)?;
        let Reported { local, interface, waited } = reported(&message);
        let remote = message.address.and_then(|address| address_of(&address));
        let from = remote.map(|remote| Origin { remote, local, interface });
        Ok(Arrival { len: message.bytes.min(len), actual: message.bytes, from, waited })
    })
}

thread_local! {
    /// Made once per thread: to clear one for each datagram takes longer than to read what is in it.
    static CONTROL: RefCell<Control> = const { RefCell::new(Control([0; 512])) };
}

/// What is unknown where the options do not ask for it, or ask for more than there is space for.
#[derive(Default)]
struct Reported {
    /// The own address that answers have to leave from.
    local: Option<IpAddr>,
    interface: Option<NonZeroU32>,
    /// How long the datagram has lain in the queue.
    waited: Ns,
}

fn reported(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Reported {
    let mut reported = Reported::default();
    let Ok(messages) = message.cmsgs() else { return reported };
    let mut came_to = |address: IpAddr, interface: u32| {
        // Nothing can leave from a group.
        reported.local = Some(address).filter(|address| !address.is_multicast());
        reported.interface = NonZeroU32::new(interface);
    };
    for message in messages {
        match message {
            // Of a broadcast or multicast datagram that is the interface's own address.
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                came_to(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into(), number(info.ipi_ifindex));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                came_to(Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), number(info.ipi6_ifindex));
            }
            ControlMessageOwned::ScmTimestampns(at) => reported.waited = ago(at),
            _ => {}
        }
    }
    reported
}

/// How long ago a moment of the wall clock was, in which the system notes arrivals.
fn ago(at: TimeSpec) -> Ns {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).map_or(at, TimeSpec::from);
    saturating_ns(Duration::from(now).saturating_sub(Duration::from(at)))
}

/// Takes an entry off the queue of errors, which else wakes every wait, and fills the receive buffer; `None` if there is none.
/// What the datagram held that met the error is in the buffer.
#[cold]
pub(in crate::net) fn queued_error(socket: &UdpSocket, buffer: &mut [u8]) -> Option<QueuedError> {
    let len = buffer.len();
    let (mut payload, mut control) = ([IoSliceMut::new(buffer)], Control([0; 512]));
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut payload, Some(&mut control.0), flags).ok()?;
    let error = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
            _ => None,
        })
    });
    let met = error.filter(|error| ORIGINS_OF_ERRORS.contains(&error.ee_origin)).map(|error| number(error.ee_errno));
    Some(QueuedError { quoted: message.bytes.min(len), met: met.map(io::Error::from_raw_os_error) })
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddrV4::from(v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddrV6::from(v6).into()))
}

/// This host, ICMP and ICMPv6, by the numbers of `linux/errqueue.h`. Other entries, such as times of transmission, are no
/// errors.
const ORIGINS_OF_ERRORS: [u8; 3] = [1, 2, 3];

/// As the system aligns what it writes there; more than all options together ask for.
#[repr(C, align(8))]
struct Control([u8; 512]);

/// The system's types of the same number differ in their signs.
fn number<N: TryInto<M>, M: Default>(number: N) -> M {
    number.try_into().unwrap_or_default()
}

fn named(error: nix::Error) -> Errno {
    Errno::from_raw_os_error(error as i32)
}
