//! Sockets whose buffers hold a window, at both ends.
#![expect(clippy::disallowed_types, reason = "real sockets are measured")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

pub(crate) fn connected(server: SocketAddr, buffer: usize) -> UdpSocket {
    let socket = socket(buffer);
    socket.connect(server).unwrap();
    socket
}

/// With buffers of this size at least, if the system grants them.
pub(crate) fn socket(buffer: usize) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    if granted(&socket) < buffer && sockopt::set_socket_recv_buffer_size_force(&socket, buffer).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, buffer).unwrap();
    }
    let sending = sockopt::socket_send_buffer_size(&socket).unwrap();
    if sending < buffer && sockopt::set_socket_send_buffer_size_force(&socket, buffer).is_err() {
        sockopt::set_socket_send_buffer_size(&socket, buffer).unwrap();
    }
    socket
}

pub(crate) fn granted(socket: &UdpSocket) -> usize {
    sockopt::socket_recv_buffer_size(socket).unwrap()
}

pub(crate) fn is_readable(of: impl AsFd, within: Duration) -> bool {
    let within = Timespec { tv_sec: within.as_secs().try_into().unwrap(), tv_nsec: within.subsec_nanos().into() };
    poll(&mut [PollFd::new(&of, PollFlags::IN)], Some(&within)).unwrap() > 0
}

/// Datagrams in one call.
pub(crate) const BATCH: usize = 64;
pub(crate) const LONGEST: usize = 2048;
/// After this silence everything in flight is lost.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
