use core::net::SocketAddr;
use core::time::Duration;

use super::SimNet;
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewed, Transport};

/// A client's connected socket in a [`SimNet`]: the time of the whole network moves while it waits.
///
/// It has the ways of a connected UDP socket on Linux. One error can be pending, and the next call reports it: a send
/// is then not sent, a receive leaves the reply behind it in the queue. It hears from its peer alone, and its receive
/// buffer is bounded. Dropping it closes it.
#[derive(Debug)]
pub struct SimTransport {
    net: SimNet,
    socket: usize,
    peer: SocketAddr,
    late: Duration,
}

impl SimTransport {
    pub(super) fn new(net: SimNet, socket: usize, peer: SocketAddr) -> Self {
        Self { net, socket, peer, late: Duration::ZERO }
    }

    /// Every wait in vain ends so much too late, as on a machine with much to do.
    #[must_use]
    pub fn late_by(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// The room of the receive buffer, 212,992 bytes unless told; a datagram takes its bytes and 768.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        if let Some(socket) = self.net.world.borrow_mut().sockets.get_mut(self.socket) {
            socket.capacity = bytes;
        }
        self
    }

    /// The own address at present, as the peer sees it.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.world.borrow().sockets.get(self.socket).map(|socket| socket.address)
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &SimNet {
        &self.net
    }

    /// What a read would find now.
    fn read(&self, buffer: &mut [u8]) -> Option<Incoming<PathIndex>> {
        let mut world = self.net.world.borrow_mut();
        let socket = world.sockets.get_mut(self.socket)?;
        if let Some(error) = socket.pending.take() {
            return Some(Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 });
        }
        let queued = socket.dequeue()?;
        let len = queued.datagram.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), queued.datagram.get(..len)) {
            to.copy_from_slice(from);
        }
        let received = Received::new(PathIndex::FIRST, len, queued.datagram.len(), queued.at);
        world.give_back(queued.datagram);
        Some(Incoming::Datagram(received))
    }
}

impl Transport for SimTransport {
    /// There is one path, the first.
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.net.now()
    }

    fn send(&mut self, _to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        // What is due by now has happened before.
        while self.net.step(self.now()) {}
        let mut world = self.net.world.borrow_mut();
        if let Some(error) = world.sockets.get_mut(self.socket).and_then(|socket| socket.pending.take()) {
            return Err(error);
        }
        world.transmit(self.socket, self.peer, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        loop {
            while self.net.step(self.now()) {}
            if let Some(incoming) = self.read(buffer) {
                return incoming;
            }
            if self.now() >= until {
                return Incoming::TimeUp(self.now());
            }
            if !self.net.step(until) {
                self.net.run_until(until.after(self.late));
                // Late, it finds what has come meanwhile.
                return self.read(buffer).unwrap_or_else(|| Incoming::TimeUp(self.now()));
            }
        }
    }

    fn renew(&mut self, _path: PathIndex) -> Result<Renewed, PathError> {
        while self.net.step(self.now()) {}
        let moved = self.net.world.borrow_mut().move_socket(self.socket);
        if moved { Ok(Renewed::FreshPort) } else { Err(PathError::Unsupported) }
    }

    /// From the seed of the network, so that a run can be repeated; other bytes at each call.
    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.net.world.borrow_mut().entropy(key);
        Ok(())
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        // An action that drops it while the world is in use is none of ours.
        if let Ok(mut world) = self.net.world.try_borrow_mut() {
            world.close(self.socket);
        }
    }
}
