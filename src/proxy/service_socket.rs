use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;

use super::sockets;
use super::unserved::NoSession;
use crate::net::kernel_dropped;
use crate::transport::{PeerAddress, Route};

/// A session's socket towards the service, on a port of its own.
#[derive(Debug)]
pub(super) struct ServiceSocket {
    pub(super) socket: UdpSocket,
    /// The address of the service that it was made for.
    pub(super) service: SocketAddr,
    /// As other sockets of this host see it; a wildcard where any port of the service may answer.
    pub(super) own: SocketAddr,
    /// Where the next datagram goes, if any port of the service may answer: to the one that did last.
    next: Option<SocketAddr>,
}

/// A datagram from the service's end.
pub(super) struct Reply {
    pub(super) len: usize,
    /// The sender, where it is not sure to be the service.
    from: Option<SocketAddr>,
}

impl ServiceSocket {
    /// A socket that is bound, and receives from the service alone: from the address, or if `any_port` is set from all its
    /// ports.
    pub(super) fn towards(socket: UdpSocket, service: SocketAddr, any_port: bool) -> Result<Self, NoSession> {
        if !any_port {
            sockets::connect(&socket, service).map_err(NoSession::of_service)?;
        }
        let own = identity(socket.local_addr().map_err(NoSession::of_socket)?);
        let next = any_port.then(|| on_this_host(service));
        Ok(Self { socket, service, own, next })
    }

    /// Where the next datagram goes.
    pub(super) fn peer(&self) -> SocketAddr {
        self.next.unwrap_or(self.service)
    }

    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self.next {
            None => self.socket.send(datagram),
            Some(next) => self.socket.send_to(datagram, next),
        }
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Reply> {
        if self.next.is_none() {
            return Ok(Reply { len: self.socket.recv(buffer)?, from: None });
        }
        let (len, from) = self.socket.recv_from(buffer)?;
        Ok(Reply { len, from: Some(from) })
    }

    /// Replies that the system dropped, as far as it tells.
    pub(super) fn kernel_dropped(&self) -> u64 {
        kernel_dropped(&self.socket).unwrap_or(0).into()
    }

    /// Whether it is the service that answers, from whatever port; what the client sends next goes there. `listener` is the
    /// proxy's own address.
    pub(super) fn accepts(&mut self, reply: &Reply, listener: SocketAddr) -> bool {
        let (Some(next), Some(from)) = (self.next, reply.from) else { return true };
        let host = |address: SocketAddr| {
            let mut host = identity(address);
            host.set_port(0);
            host
        };
        let accepted = host(from) == host(next) && !sockets::receives(listener, from);
        if accepted {
            self.next = Some(from);
        }
        accepted
    }
}

/// Who is at an address, however it is written.
pub(super) fn identity(address: SocketAddr) -> SocketAddr {
    Route::from(address).identity()
}

/// What is sent to a wildcard reaches this host, which then answers from here.
fn on_this_host(mut service: SocketAddr) -> SocketAddr {
    match service.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => service.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => service.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    service
}
