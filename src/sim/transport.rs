use core::net::SocketAddr;
use core::time::Duration;

use super::SimNet;
use super::world::Key;
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};

/// A client's connected socket in a [`SimNet`]: the time of the whole network moves while it waits.
///
/// It behaves like a connected UDP socket on Linux. One error can be pending, and the next call reports it: a send
/// then sends nothing, a receive leaves the reply behind it in the queue. It receives from its peer alone, and its
/// receive buffer is bounded. Dropping it closes it; one that was [stopped](SimNet::stop) sends nothing,
/// receives nothing and stays closed.
///
/// A wait until the end of time in which nothing will ever happen returns [`Incoming::TimeUp`] with that time, at once, and
/// moves no clock.
#[derive(Debug)]
pub struct SimTransport {
    net: SimNet,
    socket: Key,
    peer: SocketAddr,
    late: Duration,
}

impl SimTransport {
    pub(super) fn new(net: SimNet, socket: Key, peer: SocketAddr) -> Self {
        Self { net, socket, peer, late: Duration::ZERO }
    }

    /// Makes every wait in vain end this much too late, as on a busy machine. Zero by default.
    #[must_use]
    pub fn late_by(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Sets the capacity of the receive buffer, in bytes; a datagram takes its length and 768. 212,992 by default, as
    /// on Linux.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        self.net.world.borrow_mut().set_receive_buffer(self.socket, bytes);
        self
    }

    /// The own address at present, as the peer sees it; `None` once it was [stopped](SimNet::stop).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.world.borrow().local_addr(self.socket)
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

    /// What a read finds now.
    fn read(&self, buffer: &mut [u8]) -> Option<Incoming<PathIndex>> {
        let read = self.net.world.borrow_mut().receive(self.socket, buffer);
        self.net.leave_if_over();
        read
    }

    /// Lets happen what is due by now, before this socket does anything.
    fn catch_up(&self) {
        while self.net.step(self.now()) {}
    }
}

impl Transport for SimTransport {
    /// There is one path, the first.
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.net.now()
    }

    fn send(&mut self, _to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.catch_up();
        let sent = self.net.world.borrow_mut().send(self.socket, self.peer, datagram);
        self.net.leave_if_over();
        sent
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        loop {
            self.catch_up();
            if let Some(incoming) = self.read(buffer) {
                return incoming;
            }
            if self.now() >= until {
                return Incoming::TimeUp(self.now());
            }
            if !self.net.step(until) {
                if until == Timestamp::MAX {
                    // Nothing will ever come. A driver must not wait for it again, and the clock must not go there: for
                    // whatever is asked next, it would be too late.
                    return Incoming::TimeUp(until);
                }
                // Nothing can come any more in time: the whole wait passes at once.
                self.net.run_until(until.after(self.late).min(LATEST));
                // A wait that ends late finds what has come meanwhile.
                return self.read(buffer).unwrap_or_else(|| Incoming::TimeUp(self.now()));
            }
        }
    }

    fn renew(&mut self, _path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
        self.catch_up();
        self.net.world.borrow_mut().renew(self.socket)?;
        Ok(Renewed::FreshPort)
    }

    /// From the seed of the network, so that a run can be repeated; other bytes at each call.
    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.net.world.borrow_mut().entropy(key);
        Ok(())
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        match self.net.world.try_borrow_mut() {
            Ok(mut world) => world.close(self.socket),
            // An endpoint drops it while it is called.
            Err(_) => self.net.abandoned.borrow_mut().push(self.socket),
        }
    }
}

/// Before the end of time, which no clock reaches.
const LATEST: Timestamp = Timestamp::from_nanos(u64::MAX - 1);
