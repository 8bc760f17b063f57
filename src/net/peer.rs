use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::sys;

/// Whom a socket is connected to, and over which device: what the system forgets when a socket is disconnected, and what
/// changes its number when an interface is made anew.
#[derive(Debug)]
pub(super) struct Peer {
    address: SocketAddr,
    /// The interface of a link-local address, whose number is only good until it is made anew.
    link: Option<String>,
    /// The device that the caller bound the socket to, as long as it is known.
    device: Option<Vec<u8>>,
}

impl Peer {
    /// The peer of a socket, connected or about to be.
    pub(super) fn of(socket: &UdpSocket, address: SocketAddr) -> Self {
        let link = match address {
            SocketAddr::V6(address) if address.scope_id() != 0 => sys::interface_name(socket, address.scope_id()),
            _ => None,
        };
        Self { address, link, device: None }
    }

    #[inline]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Remembers the device, while the socket is connected: afterwards it has none.
    ///
    /// # Errors
    ///
    /// The device is gone, and was never asked for before: to disconnect now would let datagrams leave over another one.
    pub(super) fn remember_device(&mut self, socket: &UdpSocket) -> io::Result<()> {
        match sys::device(socket) {
            Ok(device) => self.device = device,
            Err(_) if self.device.is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Connects a socket that has no peer: first to the device, so that nothing leaves over another.
    pub(super) fn connect(&mut self, socket: &UdpSocket) -> io::Result<()> {
        if let Some(device) = &self.device {
            sys::bind_device(socket, device)?;
        }
        if let (SocketAddr::V6(address), Some(link)) = (&mut self.address, &self.link) {
            if let Some(number) = sys::interface_number(socket, link) {
                address.set_scope_id(number);
            }
        }
        socket.connect(self.address)
    }

    /// Whether a datagram came from the peer, which has two addresses where the system replaces the one that is given, as
    /// it does 0.0.0.0.
    pub(super) fn is(&self, socket: &UdpSocket, from: SocketAddr) -> bool {
        let same = |peer: SocketAddr| (peer.ip(), peer.port()) == (from.ip(), from.port());
        same(self.address) || socket.peer_addr().is_ok_and(same)
    }

    /// Whether a socket must leave its address, which is another now and on no device that is up. Loopback does not move.
    pub(super) fn is_lost(&self, own: IpAddr) -> bool {
        !own.is_loopback() && self.present_address().is_ok_and(|present| present != own) && !sys::has_address(own)
    }

    /// The address that a new socket would leave from.
    fn present_address(&self) -> io::Result<IpAddr> {
        let socket = UdpSocket::from(Socket::new(Domain::for_address(self.address), Type::DGRAM, None)?);
        if let Some(device) = &self.device {
            sys::bind_device(&socket, device)?;
        }
        socket.connect(self.address)?;
        Ok(socket.local_addr()?.ip())
    }
}
