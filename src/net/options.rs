use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::SockRef;

use crate::size::LARGEST_DATAGRAM;

/// Asks for room for `bytes` of datagrams that arrived and were not read yet, and returns what was granted.
///
/// The system counts its own overhead too: 212,992 bytes, the default of Linux, hold 256 small datagrams or 92 of
/// 1200 bytes (measured on Linux 6.18). What does not fit is lost without a word. Linux doubles the value asked
/// for and clamps it to `net.core.rmem_max`.
///
/// # Errors
///
/// What the system says.
pub fn set_receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(bytes)?;
    socket.recv_buffer_size()
}

/// Makes room for the largest datagram. macOS refuses whatever exceeds the send buffer, 9216 bytes by default.
pub(crate) fn allow_large_sends(socket: SockRef<'_>) -> io::Result<()> {
    match socket.send_buffer_size()? < LARGEST_DATAGRAM {
        true => socket.set_send_buffer_size(LARGEST_DATAGRAM),
        false => Ok(()),
    }
}

/// Any own address of the peer's family, any port.
pub(crate) fn any_address(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Gives a socket of our own what our methods may have set on the one that it replaces.
pub(super) fn carry_over(from: SockRef<'_>, to: SockRef<'_>) {
    fn carry<V>(value: std::io::Result<V>, set: impl FnOnce(V) -> std::io::Result<()>) {
        // What one family lacks, the other settings do without.
        let _ = value.and_then(set);
    }
    // Linux returns twice what was asked for.
    let asked = |bytes| if cfg!(any(target_os = "linux", target_os = "android")) { bytes / 2 } else { bytes };
    carry(from.recv_buffer_size(), |bytes| to.set_recv_buffer_size(asked(bytes)));
    carry(from.send_buffer_size(), |bytes| to.set_send_buffer_size(asked(bytes)));
    carry(from.ttl_v4(), |hops| to.set_ttl_v4(hops));
    carry(from.unicast_hops_v6(), |hops| to.set_unicast_hops_v6(hops));
}
