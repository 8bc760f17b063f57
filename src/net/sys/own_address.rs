//! Which of a host's addresses an answer leaves from.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::libc::{IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO};
use rustix::io::Errno;

use super::control::{Control, transmit_with};

/// Sends without waiting, from this address of the host.
pub(in crate::net) fn transmit_from(
    socket: &impl AsFd,
    from: SocketAddr,
    to: SocketAddr,
    datagram: &[u8],
) -> io::Result<()> {
    match transmit_with(socket, &source(from), Some(to), &[IoSlice::new(datagram)]) {
        // So Linux says that the source is no address of this host, or not any more.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Err(Errno::ADDRNOTAVAIL.into()),
        sent => sent.map(drop),
    }
}

/// `struct in_pktinfo` has an interface, the source, and an address that only receivers are told; `struct in6_pktinfo` the
/// source and an interface.
fn source(from: SocketAddr) -> Control {
    match from {
        SocketAddr::V4(from) => {
            let [a, b, c, d] = from.ip().octets();
            Control::new(IPPROTO_IP, IP_PKTINFO, [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0])
        }
        SocketAddr::V6(from) => {
            // It has an interface only where it means nothing without: else routes decide by which one to answer.
            let mut says = [0; 20];
            let (source, interface) = says.split_at_mut(16);
            source.copy_from_slice(&from.ip().octets());
            interface.copy_from_slice(&from.scope_id().to_ne_bytes());
            Control::new(IPPROTO_IPV6, IPV6_PKTINFO, says)
        }
    }
}
