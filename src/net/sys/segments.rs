//! Several datagrams in one system call, which the kernel carries through its layers as one and divides at the end.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;

use nix::libc::{SOL_UDP, UDP_SEGMENT};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{Timestamping, UdpGsoSegment};
use rustix::io::Errno;

use super::control::{Control, transmit_with};

/// Whether the kernel divides: Linux 4.18 and later. One before ignores the request, and would send one large datagram.
pub(in crate::net) fn divides(socket: &UdpSocket) -> bool {
    static DIVIDES: OnceLock<bool> = OnceLock::new();
    *DIVIDES.get_or_init(|| getsockopt(socket, UdpGsoSegment).is_ok())
}

/// Whether the system may report when datagrams leave (`SO_TIMESTAMPING`).
pub(in crate::net) fn stamps_transmissions(socket: &UdpSocket) -> bool {
    getsockopt(socket, Timestamping).is_ok_and(|flags| !flags.is_empty())
}

/// Sends up to [`MOST_SEGMENTS`] datagrams of `len` bytes each without waiting, all or none; without an address to the peer.
pub(in crate::net) fn transmit_segments(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    datagrams: &[&[u8]],
    len: u16,
) -> io::Result<()> {
    let mut payload = [IoSlice::new(&[]); MOST_SEGMENTS];
    payload.iter_mut().zip(datagrams).for_each(|(slice, datagram)| *slice = IoSlice::new(datagram));
    let divided = Control::new(SOL_UDP, UDP_SEGMENT, len.to_ne_bytes());
    transmit_with(socket, &divided, to, payload.get(..datagrams.len()).unwrap_or_default()).map(drop)
}

/// Whether such a call failed because of what it asks for: a path encrypted by the kernel, a device with a small MTU, a
/// socket without checksums.
pub(in crate::net) fn does_not_divide(error: &io::Error) -> bool {
    let met = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(met, Some(Errno::IO | Errno::INVAL | Errno::MSGSIZE | Errno::OPNOTSUPP | Errno::NOPROTOOPT))
}

/// What kernels take; those of 2023 and later take twice as many.
pub(in crate::net) const MOST_SEGMENTS: usize = 64;
