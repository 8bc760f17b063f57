use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use super::event::digest;
use super::shrink::Plan;
use super::socket::{Reader, Socket, Sockets};
use super::topology::Topology;
use super::{Endpoint, Happened, NetStats, Outbox, SimEvent};
use crate::entropy::Seed;
use crate::fault::{DelayLine, Delivery, Fate};
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::PathError;

/// Everything that is in a simulated network, and what happens next.
pub(super) struct World<A> {
    pub(super) now: Timestamp,
    pub(super) topology: Topology,
    pub(super) sockets: Sockets,
    /// On their way.
    flights: DelayLine<Flight>,
    /// Answers that their servers still work on.
    departures: DelayLine<Departure>,
    timers: BinaryHeap<Reverse<(Timestamp, u64, Timer)>>,
    timers_set: u64,
    actions: BTreeMap<u64, A>,
    residents: Vec<Option<Resident>>,
    outbox: Outbox,
    /// How often a transport has asked for entropy.
    keys_drawn: u64,
    pub(super) stats: NetStats,
    pub(super) hash: u64,
    pub(super) record: Option<Vec<SimEvent>>,
}

/// What [`World::step`] has done.
pub(super) enum Step<A> {
    /// Nothing is due by then.
    Idle,
    Done,
    /// The caller has to do it, as it may change the world.
    Act(A),
}

#[derive(Clone, Copy)]
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    /// Not the datagram itself but the news, for `to`, that nobody listens at `from`.
    refusal: bool,
}

#[derive(Clone, Copy)]
struct Departure {
    socket: usize,
    to: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Wake(usize),
    Action(u64),
}

/// An endpoint, where it lives, and when it will be woken.
struct Resident {
    endpoint: Box<dyn Endpoint>,
    socket: usize,
    wake: Option<Timestamp>,
}

impl<A> World<A> {
    pub(super) fn new(seed: Seed, plan: Plan, recording: bool) -> Self {
        Self {
            now: Timestamp::ZERO,
            topology: Topology::new(seed, plan),
            sockets: Sockets::default(),
            flights: DelayLine::with_room(MOST_ON_THEIR_WAY, MOST_BYTES),
            departures: DelayLine::with_room(MOST_ON_THEIR_WAY, MOST_BYTES),
            timers: BinaryHeap::new(),
            timers_set: 0,
            actions: BTreeMap::new(),
            residents: Vec::new(),
            outbox: Outbox::default(),
            keys_drawn: 0,
            stats: NetStats::default(),
            hash: seed.number(),
            record: recording.then(Vec::new),
        }
    }

    /// What stands for the entropy of a system: by the seed, and other bytes each time.
    pub(super) fn entropy(&mut self, key: &mut [u8; 32]) {
        let draws = self.topology.seed().derive(ENTROPY).derive(self.keys_drawn);
        self.keys_drawn += 1;
        for (n, bytes) in (0..).zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&draws.draw(n).to_le_bytes());
        }
    }

    /// An address for another socket of a host.
    pub(super) fn fresh_address(&mut self, host: usize) -> Option<SocketAddr> {
        self.topology.address_of(host).and_then(|address| self.sockets.fresh_address(address))
    }

    /// Ends whatever listens there; whether anybody did.
    pub(super) fn close_at(&mut self, address: SocketAddr) -> bool {
        let Some(socket) = self.sockets.at(address) else { return false };
        if let Some(Reader::Endpoint(resident)) = self.sockets.get(socket).map(|it| it.reader) {
            if let Some(place) = self.residents.get_mut(resident) {
                *place = None;
            }
        }
        self.close(socket);
        true
    }

    pub(super) fn close(&mut self, socket: usize) {
        self.sockets.unbind(socket);
        self.discard_queue(socket);
    }

    /// Gives the socket another address, with nothing queued; what comes to the old one is refused.
    pub(super) fn move_socket(&mut self, socket: usize) -> bool {
        if !self.sockets.rebind(socket) {
            return false;
        }
        self.discard_queue(socket);
        true
    }

    fn discard_queue(&mut self, socket: usize) {
        while let Some(queued) = self.sockets.get_mut(socket).and_then(Socket::dequeue) {
            self.stats.arrived -= 1;
            self.stats.discarded += 1;
            self.flights.give_back(queued.datagram);
        }
    }

    pub(super) fn settle(
        &mut self,
        endpoint: Box<dyn Endpoint>,
        host: usize,
        at: SocketAddr,
        peer: Option<SocketAddr>,
    ) {
        let resident = self.residents.len();
        let socket = self.sockets.bind(Socket::new(host, at, peer, Reader::Endpoint(resident)));
        self.residents.push(Some(Resident { endpoint, socket, wake: None }));
        self.call(resident, |_, _, _| {});
    }

    pub(super) fn act_at(&mut self, at: Timestamp, action: A) {
        let number = self.timers_set;
        self.actions.insert(number, action);
        self.set_timer(at, Timer::Action(number));
    }

    fn set_timer(&mut self, at: Timestamp, timer: Timer) {
        self.timers.push(Reverse((at.max(self.now), self.timers_set, timer)));
        self.timers_set += 1;
    }

    // What happens.

    /// Does the next thing that is due by `until`, and moves the time there.
    pub(super) fn step(&mut self, until: Timestamp) -> Step<A> {
        let departure = self.departures.next_due().unwrap_or(Timestamp::MAX);
        let flight = self.flights.next_due().unwrap_or(Timestamp::MAX);
        let timer = self.timers.peek().map_or(Timestamp::MAX, |Reverse((at, ..))| *at);
        let next = departure.min(flight).min(timer);
        if next > until || next == Timestamp::MAX {
            return Step::Idle;
        }
        self.now = self.now.max(next);
        if departure == next {
            if let Some((Departure { socket, to }, _, datagram)) = self.departures.take_due(next) {
                // A server hears nothing of what becomes of its answers, and one that was ended gives none.
                if self.sockets.get(socket).is_none_or(|it| it.reader == Reader::Nobody) {
                    self.stats.unsent += 1;
                } else {
                    let _ = self.transmit(socket, to, &datagram);
                }
                self.departures.give_back(datagram);
            }
        } else if flight == next {
            if let Some((flight, at, datagram)) = self.flights.take_due(next) {
                self.arrive(flight, at, datagram);
            }
        } else if let Some(Reverse((at, _, timer))) = self.timers.pop() {
            match timer {
                Timer::Action(number) => {
                    if let Some(action) = self.actions.remove(&number) {
                        return Step::Act(action);
                    }
                }
                Timer::Wake(resident) => self.wake(resident, at),
            }
        }
        Step::Done
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        [self.departures.next_due(), self.flights.next_due(), timer].into_iter().flatten().min()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.flights.len() as u64
    }

    /// A socket sends. What is wrong on its own host it is told at once.
    pub(super) fn transmit(&mut self, socket: usize, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        let Some((host, from)) = self.sockets.get(socket).map(|it| (it.host, it.address)) else {
            return Err(PathError::Unsupported);
        };
        let destination = self.topology.host_at(to.ip()).filter(|_| from.is_ipv4() == to.is_ipv4());
        let destination = destination.ok_or(PathError::Unreachable)?;
        let limit = IpFamily::of(to.ip()).max_plpmtu();
        if datagram.len() > limit.bytes() {
            return Err(PathError::TooBig { limit: Some(limit) });
        }
        let event =
            SimEvent { at: self.now, from, to, len: datagram.len(), digest: digest(datagram), what: Happened::Cut };
        self.stats.sent += 1;
        let down = self.topology.is_down(host);
        let now = self.now;
        let Some((path, direction, way)) = self.topology.way_between(host, destination) else {
            return Err(PathError::Unreachable);
        };
        if way.cut || down {
            self.stats.cut += 1;
            self.note(SimEvent { what: if down { Happened::Vanished } else { Happened::Cut }, ..event });
            return Ok(());
        }
        let fate = way.link.transmit(now, datagram);
        let fate = match &mut way.dose {
            Some(dose) => dose.moderate(fate, Fate::plain(now, way.link.impairments(), datagram.len())),
            None => fate,
        };
        let n = way.link.stats().received;
        let fate = self.topology.plan().choose(self.stats.sent, fate);
        self.note(SimEvent { what: Happened::Sent { path, direction, n, fate }, ..event });
        match fate {
            Fate::Delivered(copies) => {
                self.stats.delivered += copies.as_slice().len() as u64;
                self.stats.duplicates += copies.as_slice().len().saturating_sub(1) as u64;
                for copy in &copies {
                    let room = self.flights.push(Flight { from, to, refusal: false }, copy, datagram);
                    self.stats.discarded += u64::from(!room);
                }
                Ok(())
            }
            Fate::Dropped(_) => {
                self.stats.dropped += 1;
                Ok(())
            }
            Fate::TooBig { limit } => {
                self.stats.dropped += 1;
                Err(PathError::TooBig { limit: Some(limit) })
            }
        }
    }

    fn arrive(&mut self, flight: Flight, at: Timestamp, datagram: Vec<u8>) {
        let Flight { from, to, refusal } = flight;
        let event = SimEvent {
            at: self.now,
            from,
            to,
            len: datagram.len(),
            digest: digest(&datagram),
            what: Happened::Arrived,
        };
        if refusal {
            self.refuse(event);
            self.flights.give_back(datagram);
            return;
        }
        let down = self.topology.host_at(to.ip()).is_none_or(|host| self.topology.is_down(host));
        let found = self.sockets.at(to).filter(|_| !down);
        let silent = down || self.sockets.is_given_up(to);
        let socket = found.and_then(|socket| self.sockets.get_mut(socket));
        let what = match socket {
            None if silent => Happened::Vanished,
            None => Happened::Refused,
            Some(socket) if socket.peer.is_some_and(|peer| peer != from) => Happened::Foreign,
            Some(Socket { reader: Reader::Endpoint(resident), .. }) => {
                let resident = *resident;
                self.stats.arrived += 1;
                self.note(event);
                self.call(resident, |endpoint, now, out| endpoint.on_datagram(now, from, &datagram, out));
                self.flights.give_back(datagram);
                return;
            }
            Some(socket) => match socket.enqueue(at, datagram) {
                Ok(()) => {
                    self.stats.arrived += 1;
                    self.note(event);
                    return;
                }
                Err(datagram) => {
                    self.flights.give_back(datagram);
                    self.stats.lost_on_arrival += 1;
                    self.note(SimEvent { what: Happened::Overflowed, ..event });
                    return;
                }
            },
        };
        self.flights.give_back(datagram);
        self.stats.lost_on_arrival += 1;
        self.note(SimEvent { what, ..event });
        if what == Happened::Refused {
            self.send_refusal(to, from);
        }
    }

    /// The host of `by` tells `whom` that nobody listens there: an ICMP message, and as mortal as a datagram.
    fn send_refusal(&mut self, by: SocketAddr, whom: SocketAddr) {
        let ends = (self.topology.host_at(by.ip()), self.topology.host_at(whom.ip()));
        let (Some(here), Some(there)) = ends else { return };
        let now = self.now;
        let found = self.topology.way_between(here, there).filter(|(.., way)| !way.cut);
        let Some((path, direction, way)) = found else { return };
        let fate = way.link.transmit(now, &REFUSAL);
        let what = Happened::RefusalSent { path, direction, n: way.link.stats().received, fate };
        self.note(SimEvent { at: now, from: by, to: whom, len: REFUSAL.len(), digest: 0, what });
        if let Fate::Delivered(copies) = fate {
            for copy in copies.iter().take(1) {
                let _ = self.flights.push(Flight { from: by, to: whom, refusal: true }, copy, &REFUSAL);
            }
        }
    }

    /// A connected socket hears of it, others do not (Linux).
    fn refuse(&mut self, event: SimEvent) {
        let socket = self.sockets.at(event.to).and_then(|socket| self.sockets.get_mut(socket));
        let Some(socket) = socket.filter(|socket| socket.peer == Some(event.from)) else {
            self.note(SimEvent { what: Happened::RefusalLost, ..event });
            return;
        };
        let reader = socket.reader;
        if reader == Reader::Transport {
            socket.pending = Some(PathError::Refused);
        }
        self.note(SimEvent { what: Happened::RefusalArrived, ..event });
        if let Reader::Endpoint(resident) = reader {
            self.call(resident, |endpoint, now, out| endpoint.on_path_error(now, PathError::Refused, out));
        }
    }

    fn wake(&mut self, resident: usize, at: Timestamp) {
        let due = self.residents.get_mut(resident).and_then(Option::as_mut).filter(|it| it.wake == Some(at));
        if let Some(due) = due {
            due.wake = None;
            self.call(resident, |endpoint, now, out| endpoint.on_wake(now, out));
        }
    }

    /// Calls an endpoint, sends what it says, and notes when it wants to be woken.
    fn call(&mut self, resident: usize, call: impl FnOnce(&mut dyn Endpoint, Timestamp, &mut Outbox)) {
        // Both are put back below; in between the world has neither.
        let Some(mut called) = self.residents.get_mut(resident).and_then(Option::take) else { return };
        let mut out = core::mem::take(&mut self.outbox);
        call(&mut *called.endpoint, self.now, &mut out);
        let socket = called.socket;
        let wake = called.endpoint.wake_at().map(|at| at.max(self.now));
        if wake != called.wake {
            called.wake = wake;
            if let Some(at) = wake {
                self.set_timer(at, Timer::Wake(resident));
            }
        }
        if let Some(place) = self.residents.get_mut(resident) {
            *place = Some(called);
        }
        if out.is_renewed() {
            self.move_socket(socket);
        }
        for (to, datagram, after) in out.sends() {
            if after.is_zero() {
                if let Err(error) = self.transmit(socket, to, datagram) {
                    self.stats.unsent += 1;
                    let _ = error;
                }
            } else {
                let leaving = Delivery::whole(self.now.after(after), datagram.len());
                let room = self.departures.push(Departure { socket, to }, &leaving, datagram);
                self.stats.unsent += u64::from(!room);
            }
        }
        out.clear();
        self.outbox = out;
    }

    pub(super) fn give_back(&mut self, datagram: Vec<u8>) {
        self.flights.give_back(datagram);
    }

    fn note(&mut self, event: SimEvent) {
        self.hash = event.hash(self.hash);
        if let Some(record) = &mut self.record {
            record.push(event);
        }
    }
}

/// The label of what stands for entropy among the draws of a network's seed; 1 and 2 are the directions of links.
const ENTROPY: u64 = 3;
const MOST_ON_THEIR_WAY: usize = 1 << 22;
const MOST_BYTES: usize = 1 << 30;
/// The bytes of an ICMP message: its header, and the headers of what it is about.
const REFUSAL: [u8; 36] = [0; 36];
