//! Which of a host's addresses an answer leaves from.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use rustix::io::Errno;

/// Sends without waiting, from this address of the host.
pub(in crate::net) fn transmit_from(
    socket: &impl AsRawFd,
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

fn send_from(socket: &impl AsRawFd, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> Result<(), Errno> {
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
    socket: &impl AsRawFd,
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

/// The system's types of the same number differ in their signs.
pub(super) fn number<N: TryInto<M>, M: Default>(number: N) -> M {
    number.try_into().unwrap_or_default()
}

pub(super) fn named(error: nix::Error) -> Errno {
    Errno::from_raw_os_error(error as i32)
}
