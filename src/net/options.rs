use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::SockRef;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::Socket;

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

/// Gives a socket the settings of another one, as far as it takes them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn carry_over(from: &Socket, to: &Socket) {
    fn carry<V>(value: io::Result<V>, set: impl FnOnce(V) -> io::Result<()>) {
        // What one family lacks, or what takes a right that is gone by now, the other settings do without.
        let _ = value.and_then(set);
    }
    carry(from.reuse_address(), |on| to.set_reuse_address(on));
    carry(from.reuse_port(), |on| to.set_reuse_port(on));
    carry(from.only_v6(), |on| to.set_only_v6(on));
    carry(from.freebind_v4(), |on| to.set_freebind_v4(on));
    carry(from.device(), |name| to.bind_device(name.as_deref()));
    carry(from.mark(), |mark| if mark == 0 { Ok(()) } else { to.set_mark(mark) });
    carry(from.broadcast(), |on| to.set_broadcast(on));
    carry(from.ttl_v4(), |hops| to.set_ttl_v4(hops));
    carry(from.tos_v4(), |class| to.set_tos_v4(class));
    carry(from.unicast_hops_v6(), |hops| to.set_unicast_hops_v6(hops));
    carry(from.tclass_v6(), |class| to.set_tclass_v6(class));
    // Linux tells twice what was asked for.
    carry(from.recv_buffer_size(), |bytes| to.set_recv_buffer_size(bytes / 2));
    carry(from.send_buffer_size(), |bytes| to.set_send_buffer_size(bytes / 2));
}
