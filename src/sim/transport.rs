use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::waiting::{catch_up, wait};
use super::world::{Key, Read};
use super::{SimError, SimNet};
use crate::size::{IpFamily, Plpmtu, Pmtu};
use crate::time::Timestamp;
use crate::transport::{
    Fragmentation, Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport,
};

/// A client's end in a [`SimNet`], with a connected socket for each of its paths: the time of the whole network moves
/// while it waits.
///
/// Each socket behaves like a connected UDP socket on Linux. One error can be pending, and the next call reports it: a
/// send on that path then sends nothing, a receive leaves the reply behind it in the queue. It receives from its peer
/// alone, and its receive buffer is bounded. Dropping the end closes them all; one that was [stopped](SimNet::stop) sends
/// nothing, receives nothing and stays closed.
///
/// A wait until the end of time in which nothing will ever happen returns [`Incoming::TimeUp`] with that time, at once, and
/// moves no clock.
///
/// With several paths a receive takes from any of them: errors first, then what arrived first, wherever it did.
#[derive(Debug)]
pub struct SimTransport {
    net: SimNet,
    first: Path,
    others: Vec<Path>,
    late: Duration,
}

/// A socket, and whom it is connected to.
#[derive(Clone, Copy, Debug)]
struct Path {
    socket: Key,
    peer: SocketAddr,
}

impl SimTransport {
    /// Connects a socket to each peer, in this order.
    pub(super) fn connect(
        net: &SimNet,
        host: usize,
        first: SocketAddr,
        others: &[SocketAddr],
    ) -> Result<Self, SimError> {
        let connect = |peer| Ok(Path { socket: net.world.borrow_mut().connect(host, peer)?, peer });
        let mut end = Self { net: net.clone(), first: connect(first)?, others: Vec::new(), late: Duration::ZERO };
        for &peer in others {
            // If this one fails, those before are closed with the end.
            end.others.push(connect(peer)?);
        }
        Ok(end)
    }

    /// Makes every wait in vain end this much too late, as on a busy machine. Zero by default.
    #[must_use]
    pub fn late_by(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Sets the capacity of each receive buffer, in bytes; a datagram takes its length and 768. 212,992 by default, as
    /// on Linux.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        for socket in self.sockets() {
            self.net.world.borrow_mut().set_receive_buffer(socket, bytes);
        }
        self
    }

    /// The own address of the first path at present, as its peer sees it; `None` once it was [stopped](SimNet::stop).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr_of(PathIndex::FIRST)
    }

    /// The own address of a path at present; `None` if there is no such path, or once it was stopped.
    #[must_use]
    pub fn local_addr_of(&self, path: PathIndex) -> Option<SocketAddr> {
        self.net.world.borrow().local_addr(self.path(path).ok()?.socket)
    }

    /// The address of the first path's peer.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.first.peer
    }

    /// The address of a path's peer; `None` if there is no such path.
    #[must_use]
    pub fn peer_addr_of(&self, path: PathIndex) -> Option<SocketAddr> {
        self.path(path).ok().map(|path| path.peer)
    }

    /// Chooses whether datagrams may be fragmented, on every path. [`Fragmentation::ByEstimate`] by default, as on Linux;
    /// see [`SimNet::report`] for what each mode makes of routers' reports.
    pub fn set_fragmentation(&mut self, mode: Fragmentation) {
        self.sockets().for_each(|socket| self.net.world.borrow_mut().set_fragmentation(socket, mode));
    }

    /// Whether datagrams may be fragmented on a path; `None` if there is no such path, or once it was stopped.
    #[must_use]
    pub fn fragmentation_of(&self, path: PathIndex) -> Option<Fragmentation> {
        self.net.world.borrow().fragmentation(self.path(path).ok()?.socket)
    }

    /// What the own host knows of the first path, in IP packet bytes; `None` if nothing limits it as far as is
    /// known.
    #[must_use]
    pub fn kernel_pmtu(&self) -> Option<Pmtu> {
        self.kernel_pmtu_of(PathIndex::FIRST)
    }

    /// What the own host knows of a path.
    #[must_use]
    pub fn kernel_pmtu_of(&self, path: PathIndex) -> Option<Pmtu> {
        let Path { socket, peer } = self.path(path).ok()?;
        self.net.world.borrow().kernel_pmtu(socket, peer.ip())
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &SimNet {
        &self.net
    }

    fn path(&self, path: PathIndex) -> Result<Path, PathError> {
        let found = match path.number().checked_sub(1) {
            None => Some(&self.first),
            Some(nth) => usize::try_from(nth).ok().and_then(|nth| self.others.get(nth)),
        };
        found.copied().ok_or(PathError::Unsupported)
    }

    fn sockets(&self) -> impl Iterator<Item = Key> {
        core::iter::once(&self.first).chain(&self.others).map(|path| path.socket)
    }
}

impl Transport for SimTransport {
    /// By the place of its server among those that it was connected to; of one server, the first.
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.net.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        let Path { socket, peer } = self.path(to)?;
        catch_up(&self.net);
        let sent = self.net.world.borrow_mut().send(socket, peer, datagram);
        self.net.leave_if_over();
        sent
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        wait(&self.net, until, self.late, || {
            let mut world = self.net.world.borrow_mut();
            let (nth, read) = match self.others.is_empty() {
                // The usual case, looked at again after everything that happens.
                true => (0, world.receive(self.first.socket, buffer)?),
                false => world.receive_any(self.sockets(), buffer)?,
            };
            let path = PathIndex::new(u32::try_from(nth).unwrap_or(u32::MAX));
            Some(match read {
                Read::Error(error, quoted) => Incoming::PathError { path: Some(path), error, quoted },
                Read::Datagram { at, len, actual, .. } => Incoming::Datagram(Received::new(path, len, actual, at)),
            })
        })
    }

    fn renew(&mut self, path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
        let Path { socket, .. } = self.path(path)?;
        catch_up(&self.net);
        self.net.world.borrow_mut().renew(socket)?;
        Ok(Renewed::FreshPort)
    }

    /// From the seed of the network, so that a run can be repeated; other bytes at each call.
    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.net.world.borrow_mut().entropy(key);
        Ok(())
    }

    fn max_plpmtu(&self, to: PathIndex) -> Option<Plpmtu> {
        self.peer_addr_of(to).map(|peer| IpFamily::of(peer.ip()).max_plpmtu())
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        self.sockets().for_each(|socket| self.net.close(socket));
    }
}
