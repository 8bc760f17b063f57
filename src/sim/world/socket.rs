use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::time::Timestamp;
use crate::transport::PathError;

/// A socket as Linux has it: a bounded queue, and room for one error.
#[derive(Debug)]
pub(in crate::sim) struct Socket {
    pub(in crate::sim) host: usize,
    pub(in crate::sim) address: SocketAddr,
    /// Only from there does it hear anything, refusals included.
    pub(in crate::sim) peer: Option<SocketAddr>,
    pub(in crate::sim) reader: Reader,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    pub(in crate::sim) capacity: usize,
    /// The latest error that no call has reported; the next send or receive does, and a send is then not sent.
    pub(in crate::sim) pending: Option<PathError>,
}

/// Who takes the datagrams of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim) enum Reader {
    /// A transport, when it gets round to it.
    Transport,
    /// An endpoint, at once.
    Endpoint(usize),
    /// Nobody: it is closed.
    Nobody,
}

#[derive(Debug)]
pub(in crate::sim) struct Queued {
    pub(in crate::sim) at: Timestamp,
    pub(in crate::sim) datagram: Vec<u8>,
}

impl Socket {
    pub(in crate::sim) fn new(host: usize, address: SocketAddr, peer: Option<SocketAddr>, reader: Reader) -> Self {
        let (queue, pending) = (VecDeque::new(), None);
        Self { host, address, peer, reader, queue, queued_bytes: 0, capacity: CAPACITY, pending }
    }

    /// Gives the datagram back if the buffer is full.
    pub(in crate::sim) fn enqueue(&mut self, at: Timestamp, datagram: Vec<u8>) -> Result<(), Vec<u8>> {
        let charge = datagram.len() + OVERHEAD;
        if self.queued_bytes + charge > self.capacity {
            return Err(datagram);
        }
        self.queued_bytes += charge;
        self.queue.push_back(Queued { at, datagram });
        Ok(())
    }

    pub(in crate::sim) fn dequeue(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.datagram.len() + OVERHEAD;
        Some(queued)
    }
}

/// All sockets of a network, by address.
#[derive(Default, Debug)]
pub(in crate::sim) struct Sockets {
    all: Vec<Socket>,
    bound: HashMap<SocketAddr, usize>,
    /// What arrives there vanishes: the mappings that a NAT has forgotten.
    given_up: BTreeSet<SocketAddr>,
    next_port: HashMap<IpAddr, u16>,
}

impl Sockets {
    pub(in crate::sim) fn get(&self, socket: usize) -> Option<&Socket> {
        self.all.get(socket)
    }

    pub(in crate::sim) fn get_mut(&mut self, socket: usize) -> Option<&mut Socket> {
        self.all.get_mut(socket)
    }

    pub(in crate::sim) fn at(&self, address: SocketAddr) -> Option<usize> {
        self.bound.get(&address).copied()
    }

    pub(in crate::sim) fn is_given_up(&self, address: SocketAddr) -> bool {
        self.given_up.contains(&address)
    }

    pub(in crate::sim) fn bind(&mut self, socket: Socket) -> usize {
        self.bound.insert(socket.address, self.all.len());
        self.all.push(socket);
        self.all.len() - 1
    }

    /// It is closed, and its address free.
    pub(in crate::sim) fn unbind(&mut self, socket: usize) {
        if let Some(closed) = self.all.get_mut(socket) {
            closed.reader = Reader::Nobody;
            self.bound.remove(&closed.address);
        }
    }

    /// An address of the host that nothing is bound to, other than the ones before.
    pub(in crate::sim) fn fresh_address(&mut self, host: IpAddr) -> Option<SocketAddr> {
        let next = self.next_port.entry(host).or_insert(FIRST_PORT);
        (FIRST_PORT..=u16::MAX).find_map(|_| {
            let address = SocketAddr::new(host, *next);
            *next = next.checked_add(1).unwrap_or(FIRST_PORT);
            (!self.bound.contains_key(&address) && !self.given_up.contains(&address)).then_some(address)
        })
    }

    /// Gives the socket a fresh address, and forgets the errors of the old one.
    pub(in crate::sim) fn rebind(&mut self, socket: usize) -> bool {
        let Some(old) = self.all.get(socket).map(|it| it.address) else { return false };
        let Some(fresh) = self.fresh_address(old.ip()) else { return false };
        if let Some(moved) = self.all.get_mut(socket) {
            moved.address = fresh;
            moved.pending = None;
        }
        self.bound.remove(&old);
        self.bound.insert(fresh, socket);
        true
    }

    /// Every open socket of the host gets a fresh address without its knowledge, and gives up the old one.
    pub(in crate::sim) fn forget_mappings(&mut self, host: usize) {
        for socket in 0..self.all.len() {
            let Some(old) = self.all.get(socket).filter(|it| it.host == host).map(|it| it.address) else { continue };
            let Some(fresh) = (self.at(old) == Some(socket)).then(|| self.fresh_address(old.ip())).flatten() else {
                continue;
            };
            if let Some(moved) = self.all.get_mut(socket) {
                moved.address = fresh;
            }
            self.bound.remove(&old);
            self.given_up.insert(old);
            self.bound.insert(fresh, socket);
        }
    }
}

/// Where systems begin to count the ports that they pick.
const FIRST_PORT: u16 = 49_152;
/// What Linux grants unless asked for more, and about what it charges for a datagram besides its bytes.
const CAPACITY: usize = 212_992;
const OVERHEAD: usize = 768;
