use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::time::Timestamp;
use crate::transport::PathError;

/// A socket as Linux has it: a bounded queue, and at most one pending error.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: usize,
    pub(super) address: SocketAddr,
    /// If set, it receives from there alone, refusals included.
    pub(super) peer: Option<SocketAddr>,
    pub(super) reader: Reader,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    pub(super) capacity: usize,
    /// The latest error that no call has reported yet. The next send or receive does, and a send then sends nothing.
    pub(super) pending: Option<PathError>,
}

/// Who takes the datagrams of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    /// A transport, when it gets round to it.
    Transport,
    /// An endpoint, at once.
    Endpoint(usize),
    /// No one.
    Closed,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) at: Timestamp,
    pub(super) datagram: Vec<u8>,
}

impl Socket {
    pub(super) fn new(host: usize, address: SocketAddr, peer: Option<SocketAddr>, reader: Reader) -> Self {
        let (queue, pending) = (VecDeque::new(), None);
        Self { host, address, peer, reader, queue, queued_bytes: 0, capacity: CAPACITY, pending }
    }

    /// Gives the datagram back if the buffer is full.
    pub(super) fn enqueue(&mut self, at: Timestamp, datagram: Vec<u8>) -> Result<(), Vec<u8>> {
        let charge = datagram.len() + OVERHEAD;
        if self.queued_bytes + charge > self.capacity {
            return Err(datagram);
        }
        self.queued_bytes += charge;
        self.queue.push_back(Queued { at, datagram });
        Ok(())
    }

    pub(super) fn dequeue(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.datagram.len() + OVERHEAD;
        Some(queued)
    }
}

/// All sockets of a network, by address.
#[derive(Default, Debug)]
pub(super) struct Sockets {
    all: Vec<Socket>,
    bound: HashMap<SocketAddr, usize>,
    /// What arrives there vanishes: the mappings that a NAT has forgotten.
    given_up: BTreeSet<SocketAddr>,
    next_port: HashMap<IpAddr, u16>,
}

impl Sockets {
    pub(super) fn get(&self, socket: usize) -> Option<&Socket> {
        self.all.get(socket)
    }

    pub(super) fn get_mut(&mut self, socket: usize) -> Option<&mut Socket> {
        self.all.get_mut(socket)
    }

    pub(super) fn at(&self, address: SocketAddr) -> Option<usize> {
        self.bound.get(&address).copied()
    }

    pub(super) fn is_given_up(&self, address: SocketAddr) -> bool {
        self.given_up.contains(&address)
    }

    pub(super) fn bind(&mut self, socket: Socket) -> usize {
        self.bound.insert(socket.address, self.all.len());
        self.all.push(socket);
        self.all.len() - 1
    }

    /// Closes it, and frees its address.
    pub(super) fn unbind(&mut self, socket: usize) {
        if let Some(closed) = self.all.get_mut(socket) {
            closed.reader = Reader::Closed;
            self.bound.remove(&closed.address);
        }
    }

    /// An address of the host that nothing is bound to, other than the ones before.
    pub(super) fn fresh_address(&mut self, host: IpAddr) -> Option<SocketAddr> {
        let next = self.next_port.entry(host).or_insert(FIRST_PORT);
        (FIRST_PORT..=u16::MAX).find_map(|_| {
            let address = SocketAddr::new(host, *next);
            *next = next.checked_add(1).unwrap_or(FIRST_PORT);
            (!self.bound.contains_key(&address) && !self.given_up.contains(&address)).then_some(address)
        })
    }

    /// Gives the socket a fresh address, and forgets the errors of the old one.
    pub(super) fn rebind(&mut self, socket: usize) -> bool {
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

    /// Every open socket of the host gets a fresh address without its knowledge, and gives up the old one. What is
    /// queued or pending stays: the socket itself has not changed.
    pub(super) fn forget_mappings(&mut self, host: usize) {
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
