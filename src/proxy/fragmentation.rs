//! Sockets towards the service whose datagrams no router may fragment.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;

use crate::net::any_address;

/// Whether this host can forbid it at all, before clients come.
pub(super) fn can_be_forbidden(upstream: SocketAddr) -> io::Result<()> {
    forbid(&UdpSocket::bind(any_address(upstream))?)
}

/// Forbids it. The path decides over each datagram anew, not what the system remembers of it: as behind a router.
#[cfg(unix)]
pub(super) fn forbid(socket: &UdpSocket) -> io::Result<()> {
    use std::os::fd::AsFd;

    use crate::net::{Applied, Fragmentation, set_fragmentation};

    // The mode is the socket's, whichever descriptor names it.
    let same = socket.as_fd().try_clone_to_owned()?.into();
    match set_fragmentation(&same, Fragmentation::Probing)? {
        Applied::Enforced => Ok(()),
        // Of both families of an IPv6 socket only one: which one a datagram takes is not known here.
        Applied::Partial | Applied::Unsupported => Err(unsupported()),
    }
}

#[cfg(not(unix))]
pub(super) fn forbid(_socket: &UdpSocket) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system cannot forbid that datagrams are fragmented")
}
