//! Which of a host's addresses a datagram came to, and an answer leaves from.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmsg, sendmmsg,
    setsockopt, sockopt,
};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::net::endpoint::{Arrival, Origin};

/// Has the system report, with each datagram, which of the own addresses it came to and over which interface.
pub(in crate::net) fn report_own_address(socket: &UdpSocket) -> io::Result<()> {
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        // Of IPv4 too, where it is mapped.
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Takes a datagram, with what the socket's options have the system report. Allocates nothing.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8], flags: RecvFlags) -> Result<Arrival, Errno> {
    let flags = MsgFlags::from_bits_truncate(number(flags.bits()));
    let (len, mut control) = (buffer.len(), Control::new());
    let mut payload = [IoSliceMut::new(buffer)];
    let message: RecvMsg<'_, '_, SockaddrStorage> =
        recvmsg(socket.as_raw_fd(), &mut payload, Some(&mut control.0), flags).map_err(named)?;
    let (local, interface) = reported(&message);
    let remote = message.address.and_then(|address| address_of(&address));
    let from = remote.map(|remote| Origin { remote, local, interface });
    Ok(Arrival { len: message.bytes.min(len), actual: message.bytes, from, waited: 0 })
}

/// Sends without waiting, from this address of the host.
pub(in crate::net) fn transmit_from(
    socket: &UdpSocket,
    from: SocketAddr,
    to: SocketAddr,
    datagram: &[u8],
) -> io::Result<()> {
    match send_from(socket, from, to, datagram) {
        // So Linux says that the source is no address of this host, or not any more.
        Err(Errno::INVAL) => Err(Errno::ADDRNOTAVAIL.into()),
        sent => Ok(sent?),
    }
}

fn send_from(socket: &UdpSocket, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> Result<(), Errno> {
    match from {
        SocketAddr::V4(from) => {
            let ipi_spec_dst = in_addr { s_addr: u32::from_ne_bytes(from.ip().octets()) };
            let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: in_addr { s_addr: 0 } };
            V4.try_with(|header| send_with(header, socket, to, datagram, ControlMessage::Ipv4PacketInfo(&info)))
        }
        SocketAddr::V6(from) => {
            // It has an interface only where it means nothing without: else routes decide by which one to answer.
            let ipi6_ifindex = number(from.scope_id());
            let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.ip().octets() }, ipi6_ifindex };
            V6.try_with(|header| send_with(header, socket, to, datagram, ControlMessage::Ipv6PacketInfo(&info)))
        }
    }
    // A thread that is ending has no memory any more.
    .unwrap_or(Err(Errno::NOMEM))
}

fn send_with(
    header: &Header,
    socket: &UdpSocket,
    to: SocketAddr,
    datagram: &[u8],
    source: ControlMessage<'_>,
) -> Result<(), Errno> {
    let payload = [IoSlice::new(datagram)];
    let (flags, to) = (MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL, [Some(SockaddrStorage::from(to))]);
    let header = &mut *header.borrow_mut();
    sendmmsg(socket.as_raw_fd(), header, [&payload], to, [source], flags).map(drop).map_err(named)
}

/// The header of one message, with space for its source: made once per thread, because nix's `sendmsg` allocates one for
/// each datagram.
type Header = RefCell<MultiHeaders<SockaddrStorage>>;

thread_local! {
    static V4: Header = RefCell::new(MultiHeaders::preallocate(1, Some(cmsg_space!(in_pktinfo))));
    static V6: Header = RefCell::new(MultiHeaders::preallocate(1, Some(cmsg_space!(in6_pktinfo))));
}

/// The own address that answers have to leave from, and the interface; unknown where the socket's options do not ask for
/// them, or ask for more than there is space for.
fn reported(message: &RecvMsg<'_, '_, SockaddrStorage>) -> (Option<IpAddr>, Option<NonZeroU32>) {
    let found = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            // Of a broadcast or multicast datagram that is the interface's own address.
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                Some((address.into(), number(info.ipi_ifindex)))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some((Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), number(info.ipi6_ifindex)))
            }
            _ => None,
        })
    });
    let Some((address, interface)) = found else { return (None, None) };
    // Nothing can leave from a group.
    (Some(address).filter(|address: &IpAddr| !address.is_multicast()), NonZeroU32::new(interface))
}

pub(super) fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddrV4::from(v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddrV6::from(v6).into()))
}

/// The system's types of the same number differ in their signs.
pub(super) fn number<N: TryInto<M>, M: Default>(number: N) -> M {
    number.try_into().unwrap_or_default()
}

pub(super) fn named(error: nix::Error) -> Errno {
    Errno::from_raw_os_error(error as i32)
}

/// Space for what the system reports with a datagram, as it aligns it: more than all options together ask for.
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; 512]);

impl Control {
    pub(super) const fn new() -> Self {
        Self([0; 512])
    }
}
