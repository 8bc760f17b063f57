use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use socket2::SockRef;

use super::sockets;
use crate::net::{answer_from, ask_own_address, receive_asked};
use crate::transport::Route;

/// The socket that clients send to. Bound to a wildcard, it answers from the address that was asked, where the system
/// reports that; bound to one address, it answers from there and asks for nothing, which costs less.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UdpSocket,
    pub(super) local: SocketAddr,
    /// Whether the system reports which address was asked.
    reports: bool,
}

impl Listener {
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = sockets::listening(address)?;
        let local = socket.local_addr()?;
        let reports = local.ip().is_unspecified() && ask_own_address(&SockRef::from(&socket), local)?;
        Ok(Self { socket, local, reports })
    }

    /// A datagram's length, and the route of its answers.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Route)> {
        if self.reports {
            return receive_asked(&SockRef::from(&self.socket), buffer, self.local);
        }
        let (len, client) = self.socket.recv_from(buffer)?;
        Ok((len, Route::new(client, self.local)))
    }

    /// Sends from the address that the client asked.
    pub(super) fn send(&self, route: Route, datagram: &[u8]) -> io::Result<usize> {
        if self.reports && !route.local.ip().is_unspecified() {
            return answer_from(&SockRef::from(&self.socket), route, datagram);
        }
        self.socket.send_to(datagram, route.remote)
    }
}
