use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::arena::{Arena, Key};
use crate::sim::fold::Lookup;
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::{Fragmentation, PathError};

/// A socket as Linux has it: a bounded queue, and at most one pending error.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: usize,
    /// A wildcard if it has every address of its host.
    pub(super) address: SocketAddr,
    /// If set, it receives from there alone, refusals included.
    pub(super) peer: Option<SocketAddr>,
    pub(super) reader: Reader,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    pub(super) capacity: usize,
    /// The latest error that no call has reported yet. The next send or receive does, and a send then sends nothing.
    pub(super) pending: Option<PathError>,
    /// Bytes of the datagram that the error is of, where they are known.
    pub(super) quoted: Vec<u8>,
    /// Whether what it sends may be fragmented.
    pub(super) fragmentation: Fragmentation,
    /// Whether it may send to broadcast addresses.
    pub(super) may_broadcast: bool,
    /// What it has joined.
    pub(super) groups: Vec<IpAddr>,
    /// What is scheduled to happen when something arrives here.
    pub(super) watch: Option<Watch>,
}

/// Something that is scheduled, by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) number: u64,
    /// Whether a timer stands for it already.
    pub(super) timed: bool,
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
    /// Its place in the order of all arrivals in the network.
    pub(super) order: u64,
    pub(super) from: SocketAddr,
    /// The address that it was sent to.
    pub(super) to: SocketAddr,
    pub(super) datagram: Vec<u8>,
}

impl Socket {
    pub(super) fn new(host: usize, address: SocketAddr, peer: Option<SocketAddr>, reader: Reader) -> Self {
        Self {
            host,
            address,
            peer,
            reader,
            queue: VecDeque::new(),
            queued_bytes: 0,
            capacity: CAPACITY,
            pending: None,
            quoted: Vec::new(),
            fragmentation: Fragmentation::ByEstimate,
            may_broadcast: false,
            groups: Vec::new(),
            watch: None,
        }
    }

    /// Gives the datagram back if the buffer is full.
    pub(super) fn enqueue(&mut self, queued: Queued) -> Result<(), Vec<u8>> {
        let charge = queued.datagram.len() + OVERHEAD;
        if self.queued_bytes + charge > self.capacity {
            return Err(queued.datagram);
        }
        self.queued_bytes += charge;
        self.queue.push_back(queued);
        Ok(())
    }

    /// The datagram that has waited the longest.
    pub(super) fn first(&self) -> Option<&Queued> {
        self.queue.front()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
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
    bound: Lookup<SocketAddr, Key>,
    /// Those that have every address of a host, by host, family and port.
    wildcards: Lookup<(usize, IpFamily, u16), Key>,
    /// What arrives there vanishes: the mappings that a NAT has forgotten, until it gives the port to another.
    given_up: BTreeSet<SocketAddr>,
    next_port: Lookup<IpAddr, u16>,
}

impl Sockets {
    pub(super) fn new() -> Self {
        let (bound, wildcards, next_port) = (Lookup::default(), Lookup::default(), Lookup::default());
        Self { open: Arena::new(), bound, wildcards, given_up: BTreeSet::new(), next_port }
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

    /// The socket of a host that takes what is sent to this address of it.
    #[inline]
    pub(super) fn receiving(&self, host: usize, to: SocketAddr) -> Option<Key> {
        self.at(to).or_else(|| self.wildcard(host, to.ip(), to.port()))
    }

    #[inline]
    pub(super) fn wildcard(&self, host: usize, ip: IpAddr, port: u16) -> Option<Key> {
        // Most networks have none.
        if self.wildcards.is_empty() {
            return None;
        }
        self.wildcards.get(&(host, family(ip), port)).copied()
    }

    /// Whether a socket could be bound there. `addresses` are all those of the host.
    pub(super) fn is_free(&self, host: usize, at: SocketAddr, addresses: &[IpAddr]) -> bool {
        let (ip, port) = (at.ip(), at.port());
        let free = |ip: IpAddr| self.at(SocketAddr::new(ip, port)).is_none() && self.wildcard(host, ip, port).is_none();
        if !ip.is_unspecified() {
            return free(ip);
        }
        let wildcards = covered(ip).iter().all(|&family| !self.wildcards.contains_key(&(host, family, port)));
        wildcards && addresses.iter().filter(|address| covers(ip, **address)).all(|&address| free(address))
    }

    pub(super) fn is_given_up(&self, address: SocketAddr) -> bool {
        self.given_up.contains(&address)
    }

    /// Opens a socket at an address that must be free.
    pub(super) fn bind(&mut self, socket: Socket) -> Key {
        let (host, address) = (socket.host, socket.address);
        let key = self.open.insert(socket);
        self.occupy(host, address, key);
        key
    }

    /// Closes it, and frees its address. Returns it with what is queued there.
    pub(super) fn unbind(&mut self, socket: Key) -> Option<Socket> {
        let closed = self.open.remove(socket)?;
        self.vacate(closed.host, closed.address);
        Some(closed)
    }

    /// A port at this address, or wildcard, of the host that nothing is bound to: the one after the one taken last. Ports
    /// that a NAT has given up come again when all others have been taken, so that they never run out.
    pub(super) fn fresh_address(&mut self, host: usize, ip: IpAddr, addresses: &[IpAddr]) -> Option<SocketAddr> {
        // A wildcard takes its ports from the row of the host's first address.
        let row = if ip.is_unspecified() { *addresses.first()? } else { ip };
        let mut next = self.next_port.get(&row).copied().unwrap_or(FIRST_PORT);
        let found = (FIRST_PORT..=u16::MAX).find_map(|_| {
            let address = SocketAddr::new(ip, next);
            next = next.checked_add(1).unwrap_or(FIRST_PORT);
            self.is_free(host, address, addresses).then_some(address)
        });
        self.next_port.insert(row, next);
        found
    }

    /// Gives an open socket a fresh address, and forgets the errors of the old one; `None` if the host has no free port.
    pub(super) fn rebind(&mut self, socket: Key, addresses: &[IpAddr]) -> Option<()> {
        let (host, old) = self.open.get(socket).map(|it| (it.host, it.address))?;
        let fresh = self.fresh_address(host, old.ip(), addresses)?;
        let moved = self.open.get_mut(socket)?;
        moved.address = fresh;
        moved.pending = None;
        self.vacate(host, old);
        self.occupy(host, fresh, socket);
        Some(())
    }

    /// Every open socket of the host gets a fresh address without its knowledge, and gives up the old one. What is
    /// queued or pending stays: the socket itself has not changed. `None`, and nothing moves, if there are too few ports.
    pub(super) fn forget_mappings(&mut self, host: usize, addresses: &[IpAddr]) -> Option<()> {
        let of_host = self.open.iter().filter(|(_, socket)| socket.host == host);
        let mut moving: Vec<_> = of_host.map(|(key, socket)| (key, socket.address)).collect();
        let taken = moving.iter().filter(|(_, address)| address.port() >= FIRST_PORT).count();
        if moving.len() > PORTS - taken {
            return None;
        }
        moving.sort_unstable();
        for (socket, old) in &moving {
            // The old addresses are all bound still, so that none of them is given to another socket.
            let fresh = self.fresh_address(host, old.ip(), addresses)?;
            if let Some(moved) = self.open.get_mut(*socket) {
                moved.address = fresh;
            }
            self.occupy(host, fresh, *socket);
        }
        for (_, old) in moving {
            self.vacate(host, old);
            let left = addresses.iter().filter(|&&it| it == old.ip() || covers(old.ip(), it));
            self.given_up.extend(left.map(|&ip| SocketAddr::new(ip, old.port())));
        }
        Some(())
    }

    fn occupy(&mut self, host: usize, address: SocketAddr, socket: Key) {
        if address.ip().is_unspecified() {
            self.wildcards.extend(covered(address.ip()).iter().map(|&family| ((host, family, address.port()), socket)));
        } else {
            self.given_up.remove(&address);
            self.bound.insert(address, socket);
        }
    }

    fn vacate(&mut self, host: usize, address: SocketAddr) {
        if address.ip().is_unspecified() {
            for &family in covered(address.ip()) {
                self.wildcards.remove(&(host, family, address.port()));
            }
        } else {
            self.bound.remove(&address);
        }
    }
}

/// Whether a socket bound to this wildcard has this address of its host; any other address covers none.
fn covers(wildcard: IpAddr, address: IpAddr) -> bool {
    wildcard.is_unspecified() && covered(wildcard).contains(&family(address))
}

/// The families that a socket takes which is bound to this wildcard: one of `[::]` takes both (Linux).
const fn covered(wildcard: IpAddr) -> &'static [IpFamily] {
    match wildcard {
        IpAddr::V4(_) => &[IpFamily::V4],
        IpAddr::V6(_) => &[IpFamily::V4, IpFamily::V6],
    }
}

/// The family of an address on the network, where none is mapped into the other.
const fn family(ip: IpAddr) -> IpFamily {
    match ip {
        IpAddr::V4(_) => IpFamily::V4,
        IpAddr::V6(_) => IpFamily::V6,
    }
}

/// Where systems begin to count the ports that they pick.
const FIRST_PORT: u16 = 49_152;
const PORTS: usize = (u16::MAX - FIRST_PORT) as usize + 1;
/// What Linux grants unless asked for more, and about what it charges for a datagram besides its bytes.
const CAPACITY: usize = 212_992;
const OVERHEAD: usize = 768;
