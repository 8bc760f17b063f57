use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use super::arena::{Arena, Key};
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
    Endpoint(Key),
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
#[derive(Debug)]
pub(super) struct Sockets {
    open: Arena<Socket>,
    bound: HashMap<SocketAddr, Key>,
    /// What arrives there vanishes: the mappings that a NAT has forgotten, until it gives the port to another.
    given_up: BTreeSet<SocketAddr>,
    next_port: HashMap<IpAddr, u16>,
}

impl Sockets {
    pub(super) fn new() -> Self {
        Self { open: Arena::new(), bound: HashMap::new(), given_up: BTreeSet::new(), next_port: HashMap::new() }
    }

    #[inline]
    pub(super) fn get(&self, socket: Key) -> Option<&Socket> {
        self.open.get(socket)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, socket: Key) -> Option<&mut Socket> {
        self.open.get_mut(socket)
    }

    #[inline]
    pub(super) fn at(&self, address: SocketAddr) -> Option<Key> {
        self.bound.get(&address).copied()
    }

    pub(super) fn is_given_up(&self, address: SocketAddr) -> bool {
        self.given_up.contains(&address)
    }

    /// Opens a socket at an address that must be free.
    pub(super) fn bind(&mut self, socket: Socket) -> Key {
        let address = socket.address;
        let key = self.open.insert(socket);
        self.occupy(address, key);
        key
    }

    /// Closes it, and frees its address. Returns it with what is queued there.
    pub(super) fn unbind(&mut self, socket: Key) -> Option<Socket> {
        let closed = self.open.remove(socket)?;
        self.bound.remove(&closed.address);
        Some(closed)
    }

    /// An address of the host that nothing is bound to: the port after the one taken last. Ports that a NAT has given up
    /// come again when all others have been taken, so that they never run out.
    pub(super) fn fresh_address(&mut self, host: IpAddr) -> Option<SocketAddr> {
        let next = self.next_port.entry(host).or_insert(FIRST_PORT);
        (FIRST_PORT..=u16::MAX).find_map(|_| {
            let address = SocketAddr::new(host, *next);
            *next = next.checked_add(1).unwrap_or(FIRST_PORT);
            (!self.bound.contains_key(&address)).then_some(address)
        })
    }

    /// Gives an open socket a fresh address, and forgets the errors of the old one; `None` if the host has no free port.
    pub(super) fn rebind(&mut self, socket: Key) -> Option<()> {
        let old = self.open.get(socket)?.address;
        let fresh = self.fresh_address(old.ip())?;
        let moved = self.open.get_mut(socket)?;
        moved.address = fresh;
        moved.pending = None;
        self.bound.remove(&old);
        self.occupy(fresh, socket);
        Some(())
    }

    /// Every open socket of the host gets a fresh address without its knowledge, and gives up the old one. What is
    /// queued or pending stays: the socket itself has not changed. `None`, and nothing moves, if there are too few ports.
    pub(super) fn forget_mappings(&mut self, host: usize, ip: IpAddr) -> Option<()> {
        let of_host = self.open.iter().filter(|(_, socket)| socket.host == host);
        let mut moving: Vec<_> = of_host.map(|(key, socket)| (key, socket.address)).collect();
        let taken = moving.iter().filter(|(_, address)| address.port() >= FIRST_PORT).count();
        if moving.len() > PORTS - taken {
            return None;
        }
        moving.sort_unstable();
        for (socket, _) in &moving {
            // The old addresses are all bound still, so that none of them is given to another socket.
            let fresh = self.fresh_address(ip)?;
            if let Some(moved) = self.open.get_mut(*socket) {
                moved.address = fresh;
            }
            self.occupy(fresh, *socket);
        }
        for (_, old) in moving {
            self.bound.remove(&old);
            self.given_up.insert(old);
        }
        Some(())
    }

    fn occupy(&mut self, address: SocketAddr, socket: Key) {
        self.given_up.remove(&address);
        self.bound.insert(address, socket);
    }
}

/// Where systems begin to count the ports that they pick.
const FIRST_PORT: u16 = 49_152;
const PORTS: usize = (u16::MAX - FIRST_PORT) as usize + 1;
/// What Linux grants unless asked for more, and about what it charges for a datagram besides its bytes.
const CAPACITY: usize = 212_992;
const OVERHEAD: usize = 768;
