use std::io;
use std::net::UdpSocket;

use socket2::SockRef;

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
pub(super) fn allow_large_sends(socket: &UdpSocket) -> io::Result<()> {
    const LARGEST: usize = 65_535;
    let socket = SockRef::from(socket);
    if socket.send_buffer_size()? < LARGEST { socket.set_send_buffer_size(LARGEST) } else { Ok(()) }
}
