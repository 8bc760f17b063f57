use std::io;
use std::net::{SocketAddr, UdpSocket};

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
}
