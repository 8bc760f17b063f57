//! Everything that is in a simulated network, and what happens next in it.
//!
//! | file | holds |
//! |---|---|
//! | here | the verbs that change a network, its clock, and the order of what is due |
//! | `history` | what is kept of an event |
//! | `captured` | what is written of a datagram for others to read |
//! | `passage` | one datagram: from a socket into its link, and out of it to another socket |
//! | `transports`, `ends` | what a program does with its sockets; how they are bound, connected and watched |
//! | `icmp` | messages of refusals, and of what is too large; what a kernel remembers of path MTUs |
//! | `residents` | endpoints: when they are called, and what becomes of what they send |
//! | `segments` | what is sent to all: broadcast and multicast |
//! | `sockets`, `topology` | who is where, and what lies between |
//! | `met` | which faults have met a datagram |
//! | `arena` | keys of sockets and endpoints, which come and go by the million |
//! | `guard` | how much happens, and when it is too much |

mod arena;
mod captured;
mod ends;
mod guard;
mod history;
mod icmp;
mod met;
mod passage;
mod residents;
mod segments;
mod sockets;
mod topology;
mod transports;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use self::arena::Arena;
pub(super) use self::arena::Key;
use self::captured::Captured;
pub(super) use self::guard::Guard;
use self::icmp::PathMtus;
use self::passage::Flight;
use self::residents::{Departure, Resident};
use self::segments::Segments;
use self::sockets::{Reader, Socket, Sockets};
pub(super) use self::topology::MadePath;
use self::topology::Topology;
use super::observer::Observer;
use super::plan::Plan;
use super::{Endpoint, NetStats, SimError, SimEvent, Unmet};
use crate::entropy::Seed;
use crate::fault::{Capacity, DelayLine, Profile};
use crate::time::Timestamp;
use crate::transport::PathError;

/// A simulated network; `A` is what a caller may schedule in it.
///
/// Hosts are known by their numbers, in the order in which they were made; sockets and endpoints, which come and go, by
/// keys that are never used again.
pub(super) struct World<A> {
    now: Timestamp,
    topology: Topology,
    sockets: Sockets,
    mtus: PathMtus,
    segments: Segments,
    /// Copies of datagrams, and ICMP messages, until they arrive.
    flights: DelayLine<(), Flight>,
    /// Answers that their servers still work on.
    departures: DelayLine<(), Departure>,
    /// By time, then by the order in which they were set.
    timers: BinaryHeap<Reverse<(Timestamp, u64, Timer)>>,
    timers_set: u64,
    /// Those among them of residents and watches that have changed their mind, or gone.
    timers_void: usize,
    scheduled: BTreeMap<u64, A>,
    residents: Arena<Resident>,
    /// Errors of sends that are still to come to the endpoints that sent.
    reports: VecDeque<(Key, PathError)>,
    /// How often a transport has asked for entropy.
    keys_drawn: u64,
    /// Datagrams that a socket has queued so far.
    arrivals: u64,
    stats: NetStats,
    hash: u64,
    record: Option<Vec<SimEvent>>,
    observer: Option<Rc<RefCell<dyn Observer>>>,
    captured: Captured,
    pub(super) guard: Guard,
}

/// What [`World::step`] has done.
pub(super) enum Step<A> {
    /// Nothing is due by then, or nothing may happen any more.
    Idle,
    Done,
    /// The caller has to do it, as it may change the world.
    Act(A),
}

/// What a read of a socket finds.
pub(super) enum Read {
    /// An error of something sent before, and how many bytes of that lie in the buffer.
    Error(PathError, usize),
    /// A datagram, which lies in the buffer.
    Datagram { at: Timestamp, from: SocketAddr, to: SocketAddr, len: usize, actual: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Wake(Key),
    Scheduled(u64),
}

impl<A> World<A> {
    pub(super) fn new(seed: Seed, plan: Plan, guard: Guard, observer: Option<Rc<RefCell<dyn Observer>>>) -> Self {
        Self {
            now: Timestamp::ZERO,
            topology: Topology::new(seed, plan),
            sockets: Sockets::new(),
            mtus: PathMtus::default(),
            segments: Segments::default(),
            flights: DelayLine::new(CAPACITY),
            departures: DelayLine::new(CAPACITY),
            timers: BinaryHeap::new(),
            timers_set: 0,
            timers_void: 0,
            scheduled: BTreeMap::new(),
            residents: Arena::new(),
            reports: VecDeque::new(),
            keys_drawn: 0,
            arrivals: 1,
            stats: NetStats::default(),
            hash: seed.number(),
            record: None,
            observer,
            captured: Captured::NONE,
            guard,
        }
    }
}

/// What a scenario changes.
impl<A> World<A> {
    pub(super) fn add_host(&mut self, address: IpAddr) -> Result<usize, SimError> {
        one_host(address)?;
        self.topology.add_host(address).ok_or(SimError::AddressTaken(address))
    }

    pub(super) fn add_address(&mut self, host: usize, address: IpAddr) -> Result<(), SimError> {
        one_host(address)?;
        if self.topology.add_address(host, address) { Ok(()) } else { Err(SimError::AddressTaken(address)) }
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

    pub(super) fn set_capacity(&mut self, capacity: Capacity) {
        self.flights.set_capacity(capacity);
        self.departures.set_capacity(capacity);
    }

    /// Nothing passes from one host to the other, until it does again.
    pub(super) fn partition(&mut self, from: usize, to: usize, both_ways: bool) {
        self.topology.partition(from, to, both_ways, self.now);
    }

    pub(super) fn heal(&mut self, one: usize, other: usize) {
        self.topology.heal(one, other);
    }

    pub(super) fn take_down(&mut self, host: usize) {
        self.topology.take_down(host, self.now);
    }

    pub(super) fn bring_up(&mut self, host: usize) {
        self.topology.bring_up(host);
    }

    pub(super) fn serve(&mut self, at: SocketAddr, endpoint: Box<dyn Endpoint>) -> Result<(), SimError> {
        let host = self.topology.host_at(at.ip()).ok_or(SimError::NoSuchHost(at.ip()))?;
        if at.port() == 0 {
            return Err(SimError::PortZero(at));
        }
        if !self.sockets.is_free(host, at, self.topology.addresses_of(host)) {
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

    /// A socket that is read when its owner gets round to it. Returns its key.
    pub(super) fn connect(&mut self, host: usize, peer: SocketAddr) -> Result<Key, SimError> {
        let at = self.address_towards(host, peer)?;
        Ok(self.sockets.bind(Socket::new(host, at, Some(peer), Reader::Transport)))
    }

    fn address_towards(&mut self, host: usize, peer: SocketAddr) -> Result<SocketAddr, SimError> {
        let Some(source) = self.topology.source_towards(host, peer.ip()) else {
            return Err(SimError::OtherFamily(peer));
        };
        self.sockets.fresh_address(host, source, self.topology.addresses_of(host)).ok_or(SimError::NoPort)
    }

    /// Ends whatever listens there, and hands out the endpoint if it was one; `None` if nothing listened.
    pub(super) fn stop(&mut self, at: SocketAddr) -> Option<Option<Box<dyn Endpoint>>> {
        let host = self.topology.host_at(at.ip())?;
        let reader = self.unbind(self.sockets.receiving(host, at)?)?;
        Some(self.dismiss(reader))
    }

    /// The host's NAT forgets its mappings.
    pub(super) fn rebind(&mut self, host: usize) -> Result<(), SimError> {
        self.sockets.forget_mappings(host, self.topology.addresses_of(host)).ok_or(SimError::NoPort)
    }

    pub(super) fn schedule(&mut self, at: Timestamp, action: A) {
        let number = self.timers_set;
        self.scheduled.insert(number, action);
        self.set_timer(at, Timer::Scheduled(number));
    }

    /// Everything that could still act on its own, taken out of the world.
    pub(super) fn end(&mut self) -> (BTreeMap<u64, A>, Vec<Box<dyn Endpoint>>) {
        self.timers.clear();
        self.timers_void = 0;
        (core::mem::take(&mut self.scheduled), self.dismiss_all())
    }

    pub(super) fn start_recording(&mut self) {
        self.record.get_or_insert_default();
    }
}

/// Time, and what happens in it.
impl<A> World<A> {
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves the time to `time`, unless it is past that already. Everything due by then must have happened.
    pub(super) fn advance(&mut self, time: Timestamp) {
        self.guard.reaches(time);
        self.now = self.now.max(time);
    }

    /// Moves the time at the wish of the scenario.
    pub(super) fn let_pass(&mut self, time: Timestamp) {
        self.guard.step(self.now.max(time));
        self.advance(time);
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let reports = (!self.reports.is_empty()).then_some(self.now);
        [reports, self.departures.next_due(), self.flights.next_due(), self.next_timer()].into_iter().flatten().min()
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does the next thing that is due by `until`, and moves the time there.
    ///
    /// Of what is due at one moment, endpoints learn first what became of their sends, as a program that sends does. Then
    /// answers leave, as their work was begun before anything else that happens now. Datagrams arrive before timers fire, so that a reply that arrives at the very end of a wait is in time.
    pub(super) fn step(&mut self, until: Timestamp) -> Step<A> {
        let Some(next) = self.next_due().filter(|&next| next <= until && next < Timestamp::MAX) else {
            // What is due at the end of time is meant never to happen.
            return Step::Idle;
        };
        if !self.guard.step(self.now.max(next)) || !self.guard.reaches(next) {
            return Step::Idle;
        }
        self.advance(next);
        if !self.reports.is_empty() {
            self.report();
        } else if self.departures.next_due() == Some(next) {
            self.depart(next);
        } else if self.flights.next_due() == Some(next) {
            if let Some(((), flight, at, datagram)) = self.flights.take_due(next) {
                self.arrive(flight, at, datagram);
            }
        } else if let Some(action) = self.fire() {
            return Step::Act(action);
        }
        Step::Done
    }

    /// The next timer fires; what was scheduled is the caller's to do.
    fn fire(&mut self) -> Option<A> {
        let Reverse((_, set, timer)) = self.timers.pop()?;
        match timer {
            Timer::Scheduled(number) => {
                let action = self.scheduled.remove(&number);
                self.timers_void -= usize::from(action.is_none());
                action
            }
            Timer::Wake(resident) => {
                self.wake(resident, set);
                None
            }
        }
    }

    /// A time in the past is now. Returns the number of the timer.
    fn set_timer(&mut self, at: Timestamp, timer: Timer) -> u64 {
        let number = self.timers_set;
        self.timers.push(Reverse((at.max(self.now), number, timer)));
        self.timers_set += 1;
        number
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

    /// The paths in the order in which they were made, if a plan of faults is in force.
    pub(super) fn made_paths(&self) -> &[MadePath] {
        self.topology.made_paths()
    }

    /// Faults that have met no datagram.
    pub(super) fn unmet(&self) -> Vec<Unmet> {
        self.topology.unmet()
    }
}

/// An address that can be one host's alone.
fn one_host(address: IpAddr) -> Result<(), SimError> {
    let canonical = address.to_canonical();
    if canonical.is_unspecified() || canonical.is_multicast() || canonical == Ipv4Addr::BROADCAST {
        return Err(SimError::NotAHost(address));
    }
    Ok(())
}

/// Far more than any scenario needs, and less than memory: a scenario that loops ends in drops for want of capacity.
const CAPACITY: Capacity = Capacity::of(1 << 22, 1 << 30);
