use std::io;
use std::net::ToSocketAddrs;

use super::UdpPaths;
use super::names::{Names, interleaved};
use super::path::Path;
use crate::net::ConnectedUdp;
use crate::servers::Paths;
use crate::transport::PathIndex;

impl UdpPaths {
    /// As [`connect`](Self::connect), to all addresses of a server, the families in turn; fails where the system accepts none.
    pub(crate) fn connect_all(server: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = interleaved(server.to_socket_addrs()?.collect());
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name has no address"));
        }
        // How many a name has is not the caller's choice.
        let mut all = Self::connect(addresses.get(..Paths::MOST).unwrap_or(&addresses))?;
        all.open_one()?;
        Ok(all)
    }

    /// Opens the first path that the system has a route to.
    ///
    /// # Errors
    ///
    /// That of the last one, if it has a route to none.
    pub(crate) fn open_one(&mut self) -> io::Result<()> {
        let Self { paths, settings, cancellable, .. } = self;
        let mut opened = Ok(());
        for path in paths.iter_mut() {
            opened = path.open(settings, cancellable).map(|_| ());
            if opened.is_ok() {
                break;
            }
        }
        self.count_open();
        opened
    }
}

/// One path, over a socket with settings of the caller's, or one that was [given](ConnectedUdp::from_socket); its handles
/// cancel what goes on here.
impl From<ConnectedUdp> for UdpPaths {
    fn from(socket: ConnectedUdp) -> Self {
        let (address, cancellable) = (socket.peer_addr(), socket.cancellation().clone());
        let mut path = Path::to(PathIndex::FIRST, address, None);
        path.socket = Some(socket);
        let mut only = Self::of(vec![path], Names::none());
        only.cancellable = cancellable;
        only.count_open();
        only
    }
}
