use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::PathError;

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
    /// What is scheduled to happen when something arrives here.
    pub(super) watch: Option<u64>,
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
    /// Its place in the order of all arrivals in the network.
    pub(super) order: u64,
    pub(super) from: SocketAddr,
    /// The address that it was sent to.
    pub(super) to: SocketAddr,
    pub(super) datagram: Vec<u8>,
}

impl Socket {
    pub(super) fn new(host: usize, address: SocketAddr, peer: Option<SocketAddr>, reader: Reader) -> Self {
        let queue = VecDeque::new();
        Self { host, address, peer, reader, queue, queued_bytes: 0, capacity: CAPACITY, pending: None, watch: None }
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
#[derive(Default, Debug)]
pub(super) struct Sockets {
    all: Vec<Socket>,
    bound: HashMap<SocketAddr, usize>,
    /// Those that have every address of a host, by host, family and port.
    wildcards: HashMap<(usize, IpFamily, u16), usize>,
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

    /// The socket of a host that takes what is sent to this address of it.
    #[inline]
    pub(super) fn receiving(&self, host: usize, to: SocketAddr) -> Option<usize> {
        self.at(to).or_else(|| self.wildcard(host, to.ip(), to.port()))
    }

    fn wildcard(&self, host: usize, ip: IpAddr, port: u16) -> Option<usize> {
        self.wildcards.get(&(host, family(ip), port)).copied()
    }

    /// Whether a socket could be bound there. `addresses` are all those of the host.
    pub(super) fn is_free(&self, host: usize, address: SocketAddr, addresses: &[IpAddr]) -> bool {
        let free = |ip: IpAddr| {
            !self.bound.contains_key(&SocketAddr::new(ip, address.port()))
                && self.wildcard(host, ip, address.port()).is_none()
        };
        match address.ip() {
            ip if ip.is_unspecified() => {
                let covered = covered(ip);
                let wildcards =
                    covered.iter().all(|&family| !self.wildcards.contains_key(&(host, family, address.port())));
                wildcards && addresses.iter().filter(|it| covered.contains(&family(**it))).all(|&ip| free(ip))
            }
            ip => free(ip),
        }
    }

    pub(super) fn is_given_up(&self, address: SocketAddr) -> bool {
        self.given_up.contains(&address)
    }

    pub(super) fn bind(&mut self, socket: Socket) -> usize {
        let (number, host, address) = (self.all.len(), socket.host, socket.address);
        self.all.push(socket);
        self.register(number, host, address);
        number
    }

    fn register(&mut self, socket: usize, host: usize, address: SocketAddr) {
        if address.ip().is_unspecified() {
            self.wildcards.extend(covered(address.ip()).iter().map(|&family| ((host, family, address.port()), socket)));
        } else {
            self.bound.insert(address, socket);
        }
    }

    fn unregister(&mut self, host: usize, address: SocketAddr) {
        if address.ip().is_unspecified() {
            for &family in covered(address.ip()) {
                self.wildcards.remove(&(host, family, address.port()));
            }
        } else {
            self.bound.remove(&address);
        }
    }

    /// Closes it, and frees its address.
    pub(super) fn unbind(&mut self, socket: usize) {
        if let Some(closed) = self.all.get_mut(socket) {
            closed.reader = Reader::Closed;
            let (host, address) = (closed.host, closed.address);
            self.unregister(host, address);
        }
    }

    /// A port at this address, or wildcard, of the host that nothing is bound to, other than the ones before.
    pub(super) fn fresh_address(&mut self, host: usize, ip: IpAddr, addresses: &[IpAddr]) -> Option<SocketAddr> {
        // A wildcard takes its ports from the row of the host's first address.
        let row = if ip.is_unspecified() { *addresses.first()? } else { ip };
        let mut next = self.next_port.get(&row).copied().unwrap_or(FIRST_PORT);
        let found = (FIRST_PORT..=u16::MAX).find_map(|_| {
            let address = SocketAddr::new(ip, next);
            next = next.checked_add(1).unwrap_or(FIRST_PORT);
            let given_up = self.given_up.contains(&SocketAddr::new(row, address.port()));
            (!given_up && self.is_free(host, address, addresses)).then_some(address)
        });
        self.next_port.insert(row, next);
        found
    }

    /// Gives the socket a fresh address, and forgets the errors of the old one.
    pub(super) fn rebind(&mut self, socket: usize, addresses: &[IpAddr]) -> bool {
        let Some((host, old)) = self.all.get(socket).map(|it| (it.host, it.address)) else { return false };
        let Some(fresh) = self.fresh_address(host, old.ip(), addresses) else { return false };
        if let Some(moved) = self.all.get_mut(socket) {
            moved.address = fresh;
            moved.pending = None;
        }
        self.unregister(host, old);
        self.register(socket, host, fresh);
        true
    }

    /// Every open socket of the host gets a fresh address without its knowledge, and gives up the old one. What is
    /// queued or pending stays: the socket itself has not changed.
    pub(super) fn forget_mappings(&mut self, host: usize, addresses: &[IpAddr]) {
        for socket in 0..self.all.len() {
            let open = self.all.get(socket).filter(|it| it.host == host && it.reader != Reader::Closed);
            let Some(old) = open.map(|it| it.address) else { continue };
            let Some(fresh) = self.fresh_address(host, old.ip(), addresses) else { continue };
            if let Some(moved) = self.all.get_mut(socket) {
                moved.address = fresh;
            }
            self.unregister(host, old);
            let of_wildcard = |it: &IpAddr| old.ip().is_unspecified() && covered(old.ip()).contains(&family(*it));
            let left = addresses.iter().filter(|it| **it == old.ip() || of_wildcard(it));
            self.given_up.extend(left.map(|&ip| SocketAddr::new(ip, old.port())));
            self.register(socket, host, fresh);
        }
    }
}

/// The families that a socket takes which is bound to this wildcard; one of `[::]` takes both (Linux).
const fn covered(wildcard: IpAddr) -> &'static [IpFamily] {
    match wildcard {
        IpAddr::V4(_) => &[IpFamily::V4],
        IpAddr::V6(_) => &[IpFamily::V4, IpFamily::V6],
    }
}

const fn family(ip: IpAddr) -> IpFamily {
    match ip {
        IpAddr::V4(_) => IpFamily::V4,
        IpAddr::V6(_) => IpFamily::V6,
    }
}

/// Where systems begin to count the ports that they pick.
const FIRST_PORT: u16 = 49_152;
/// What Linux grants unless asked for more, and about what it charges for a datagram besides its bytes.
const CAPACITY: usize = 212_992;
const OVERHEAD: usize = 768;
