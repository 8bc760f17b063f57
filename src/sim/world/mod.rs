//! Everything that is in a simulated network, and what happens next in it.
//!
//! | file | holds |
//! |---|---|
//! | here | the verbs that change a network, its clock, and the order of what is due |
//! | `passage` | one datagram: from a socket into its link, and out of it to another socket |
//! | `residents` | endpoints: when they are called, and what becomes of what they send |
//! | `sockets`, `topology` | who is where, and what lies between |

mod passage;
mod residents;
mod sockets;
mod topology;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};

use self::passage::Flight;
use self::residents::{Departure, Resident};
use self::sockets::{Reader, Socket, Sockets};
use self::topology::Topology;
use super::shrink::{Fault, Plan, faults_of};
use super::{Dose, Endpoint, NetStats, Outbox, SimError, SimEvent};
use crate::entropy::{Seed, labels};
use crate::fault::{DelayLine, Profile};
use crate::time::Timestamp;
use crate::transport::{Incoming, PathError, PathIndex, Received};

/// A simulated network; `A` is what a caller may schedule in it.
///
/// Hosts and sockets are known by their numbers, in the order in which they were made.
pub(super) struct World<A> {
    now: Timestamp,
    topology: Topology,
    sockets: Sockets,
    /// Copies of datagrams, and refusals, until they arrive.
    flights: DelayLine<Flight>,
    /// Answers that their servers still work on.
    departures: DelayLine<Departure>,
    /// By time, then by the order in which they were set.
    timers: BinaryHeap<Reverse<(Timestamp, u64, Timer)>>,
    timers_set: u64,
    scheduled: BTreeMap<u64, A>,
    /// A place stays empty once its resident has gone: sockets and timers name it by number.
    residents: Vec<Option<Resident>>,
    outbox: Outbox,
    /// How often a transport has asked for entropy.
    keys_drawn: u64,
    stats: NetStats,
    hash: u64,
    record: Option<Vec<SimEvent>>,
}

/// What [`World::step`] has done.
pub(super) enum Step<A> {
    /// Nothing is due by then.
    Idle,
    Done,
    /// The caller has to do it, as it may change the world.
    Act(A),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Wake(usize),
    Scheduled(u64),
}

impl<A> World<A> {
    pub(super) fn new(seed: Seed, plan: Plan, recording: bool) -> Self {
        Self {
            now: Timestamp::ZERO,
            topology: Topology::new(seed, plan),
            sockets: Sockets::default(),
            flights: DelayLine::bounded(MOST_DATAGRAMS, MOST_BYTES),
            departures: DelayLine::bounded(MOST_DATAGRAMS, MOST_BYTES),
            timers: BinaryHeap::new(),
            timers_set: 0,
            scheduled: BTreeMap::new(),
            residents: Vec::new(),
            outbox: Outbox::default(),
            keys_drawn: 0,
            stats: NetStats::default(),
            hash: seed.number(),
            record: recording.then(Vec::new),
        }
    }
}

/// What a scenario changes.
impl<A> World<A> {
    pub(super) fn add_host(&mut self, address: IpAddr) -> Result<usize, SimError> {
        self.topology.add_host(address).ok_or(SimError::AddressTaken(address))
    }

    pub(super) fn set_path(&mut self, client: usize, server: usize, profile: &Profile) {
        self.topology.set_path(client, server, profile);
    }

    /// What is in flight from one host to the other arrives now.
    pub(super) fn release(&mut self, from: usize, to: usize) {
        if let Some(link) = self.topology.link_between(from, to) {
            link.link.release();
        }
        let Self { flights, topology, now, .. } = self;
        flights.hasten(*now, |flight| flight.leads(from, to, |address| topology.host_at(address)));
    }

    pub(super) fn dose(&mut self, from: usize, to: usize, dose: Dose) {
        if let Some(link) = self.topology.link_between(from, to) {
            link.dose = Some(dose);
        }
    }

    /// Nothing passes from one host to the other, until it does again.
    pub(super) fn partition(&mut self, from: usize, to: usize, partitioned: bool) {
        if let Some(link) = self.topology.link_between(from, to) {
            link.partitioned = partitioned;
        }
    }

    pub(super) fn take_down(&mut self, host: usize) {
        self.topology.set_down(host, true);
    }

    pub(super) fn bring_up(&mut self, host: usize) {
        self.topology.set_down(host, false);
    }

    pub(super) fn serve(&mut self, at: SocketAddr, endpoint: Box<dyn Endpoint>) -> Result<(), SimError> {
        let host = self.topology.host_at(at.ip()).ok_or(SimError::NoSuchHost(at.ip()))?;
        if self.sockets.at(at).is_some() {
            return Err(SimError::InUse(at));
        }
        self.settle(endpoint, host, at, None);
        Ok(())
    }

    pub(super) fn serve_connected(
        &mut self,
        host: usize,
        peer: SocketAddr,
        endpoint: Box<dyn Endpoint>,
    ) -> Result<SocketAddr, SimError> {
        let at = self.address_towards(host, peer)?;
        self.settle(endpoint, host, at, Some(peer));
        Ok(at)
    }

    /// A socket that is read when its owner gets round to it. Returns its number.
    pub(super) fn connect(&mut self, host: usize, peer: SocketAddr) -> Result<usize, SimError> {
        let at = self.address_towards(host, peer)?;
        Ok(self.sockets.bind(Socket::new(host, at, Some(peer), Reader::Transport)))
    }

    fn address_towards(&mut self, host: usize, peer: SocketAddr) -> Result<SocketAddr, SimError> {
        let fresh = self.topology.address_of(host).and_then(|address| self.sockets.fresh_address(address));
        let at = fresh.ok_or(SimError::NoPort)?;
        if at.is_ipv4() != peer.is_ipv4() {
            return Err(SimError::OtherFamily(peer));
        }
        Ok(at)
    }

    /// Ends whatever listens there; `false` if nothing did.
    pub(super) fn stop(&mut self, at: SocketAddr) -> bool {
        let Some(socket) = self.sockets.at(at) else { return false };
        self.dismiss_reader(socket);
        self.close(socket);
        true
    }

    /// The host's NAT forgets its mappings.
    pub(super) fn rebind(&mut self, host: usize) {
        self.sockets.forget_mappings(host);
    }

    pub(super) fn schedule(&mut self, at: Timestamp, action: A) {
        let number = self.timers_set;
        self.scheduled.insert(number, action);
        self.set_timer(at, Timer::Scheduled(number));
    }

    pub(super) fn start_recording(&mut self) {
        self.record.get_or_insert_default();
    }
}

/// What a transport does with its socket.
impl<A> World<A> {
    /// Sends, unless an error is pending: the call that reports it sends nothing (Linux).
    pub(super) fn send(&mut self, socket: usize, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        if let Some(error) = self.sockets.get_mut(socket).and_then(|socket| socket.pending.take()) {
            return Err(error);
        }
        self.transmit(socket, to, datagram)
    }

    /// What a read finds now: an error that is pending, else the datagram that has waited the longest.
    pub(super) fn receive(&mut self, socket: usize, buffer: &mut [u8]) -> Option<Incoming<PathIndex>> {
        let socket = self.sockets.get_mut(socket)?;
        if let Some(error) = socket.pending.take() {
            return Some(Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 });
        }
        let queued = socket.dequeue()?;
        let len = queued.datagram.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), queued.datagram.get(..len)) {
            to.copy_from_slice(from);
        }
        let received = Received::new(PathIndex::FIRST, len, queued.datagram.len(), queued.at);
        self.flights.give_back(queued.datagram);
        Some(Incoming::Datagram(received))
    }

    /// What stands for the entropy of a system: by the seed, and other bytes each time.
    pub(super) fn entropy(&mut self, key: &mut [u8; 32]) {
        let draws = self.topology.seed().derive(labels::NET_ENTROPY).derive(self.keys_drawn);
        self.keys_drawn += 1;
        for (n, bytes) in (0..).zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&draws.draw(n).to_le_bytes());
        }
    }

    pub(super) fn set_receive_buffer(&mut self, socket: usize, bytes: usize) {
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.capacity = bytes;
        }
    }

    pub(super) fn local_addr(&self, socket: usize) -> Option<SocketAddr> {
        self.sockets.get(socket).map(|socket| socket.address)
    }

    /// Gives the socket another address, with nothing queued; what comes to the old one is refused. `false` if the
    /// host has no free port.
    pub(super) fn renew(&mut self, socket: usize) -> bool {
        let moved = self.sockets.rebind(socket);
        if moved {
            self.discard_queue(socket);
        }
        moved
    }

    pub(super) fn close(&mut self, socket: usize) {
        self.sockets.unbind(socket);
        self.discard_queue(socket);
    }

    fn discard_queue(&mut self, socket: usize) {
        while let Some(queued) = self.sockets.get_mut(socket).and_then(Socket::dequeue) {
            // It had arrived, but will not be read.
            self.stats.arrived -= 1;
            self.stats.discarded += 1;
            self.flights.give_back(queued.datagram);
        }
    }
}

/// Time, and what happens in it.
impl<A> World<A> {
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves the time to `time`, unless it is past that already. Everything due by then must have happened.
    pub(super) fn advance(&mut self, time: Timestamp) {
        self.now = self.now.max(time);
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        [self.departures.next_due(), self.flights.next_due(), self.next_timer()].into_iter().flatten().min()
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does the next thing that is due by `until`, and moves the time there.
    ///
    /// Of what is due at one moment, answers leave first, as their work was begun before anything else that happens
    /// now. Datagrams arrive before timers fire, so that a reply that arrives at the very end of a wait is in time.
    pub(super) fn step(&mut self, until: Timestamp) -> Step<A> {
        let Some(next) = self.next_due().filter(|&next| next <= until && next < Timestamp::MAX) else {
            // What is due at the end of time is meant never to happen.
            return Step::Idle;
        };
        self.advance(next);
        if self.departures.next_due() == Some(next) {
            self.depart(next);
        } else if self.flights.next_due() == Some(next) {
            if let Some((flight, at, datagram)) = self.flights.take_due(next) {
                self.arrive(flight, at, datagram);
            }
        } else if let Some(action) = self.fire() {
            return Step::Act(action);
        }
        Step::Done
    }

    /// The next timer fires; what was scheduled is the caller's to do.
    fn fire(&mut self) -> Option<A> {
        let Reverse((at, _, timer)) = self.timers.pop()?;
        match timer {
            Timer::Scheduled(number) => self.scheduled.remove(&number),
            Timer::Wake(resident) => {
                self.wake(resident, at);
                None
            }
        }
    }

    /// A time in the past is now.
    fn set_timer(&mut self, at: Timestamp, timer: Timer) {
        self.timers.push(Reverse((at.max(self.now), self.timers_set, timer)));
        self.timers_set += 1;
    }
}

/// What has happened.
impl<A> World<A> {
    pub(super) const fn seed(&self) -> Seed {
        self.topology.seed()
    }

    pub(super) fn stats(&self) -> NetStats {
        NetStats { in_flight: self.flights.len() as u64, ..self.stats }
    }

    pub(super) const fn trace_hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn events(&self) -> &[SimEvent] {
        self.record.as_deref().unwrap_or_default()
    }

    /// What happened, as faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        faults_of(self.events(), |path, direction| self.topology.least_delay(path, direction))
    }

    #[inline]
    fn note(&mut self, event: SimEvent) {
        self.hash = event.hash(self.hash);
        if let Some(record) = &mut self.record {
            record.push(event);
        }
    }
}

/// Far more than any scenario needs, and less than memory: a scenario that loops ends in `discarded`.
const MOST_DATAGRAMS: usize = 1 << 22;
const MOST_BYTES: usize = 1 << 30;
