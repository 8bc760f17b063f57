use alloc::vec::Vec;
use core::net::SocketAddr;

use super::World;
use super::arena::Key;
use super::sockets::{Reader, Socket};
use crate::fault::{Direction, Fate};
use crate::sim::event::{digest, head};
use crate::sim::{Happened, SimEvent};
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::PathError;

/// Where a datagram comes from and goes to.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    /// Not the datagram itself but the message to `to` that nothing listens at `from`.
    refusal: bool,
}

/// A datagram in its link: its number there, and what the link makes of it.
struct Entered {
    path: u64,
    direction: Direction,
    n: u64,
    fate: Fate,
}

/// What keeps a datagram from its link, or from a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    Partition,
    HostDown,
    ForgottenMapping,
    NothingListens,
    OtherPeer,
    EndpointPanicked,
}

impl From<Obstacle> for Happened {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Partition => Self::Partitioned,
            Obstacle::HostDown | Obstacle::ForgottenMapping => Self::Vanished,
            Obstacle::NothingListens => Self::Refused,
            Obstacle::OtherPeer => Self::Foreign,
            Obstacle::EndpointPanicked => Self::Panicked,
        }
    }
}

/// From a socket into the network.
impl<A> World<A> {
    /// Sends a datagram from a socket. Reports at once what the sender's own host finds wrong with it.
    ///
    /// # Errors
    ///
    /// The datagram has not left, and does not count as sent.
    pub(super) fn transmit(&mut self, socket: Key, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        let (host, from) = self.sockets.get(socket).map(|it| (it.host, it.address)).ok_or(PathError::Unsupported)?;
        let destination = self.topology.host_at(to.ip()).filter(|_| from.is_ipv4() == to.is_ipv4());
        let destination = destination.ok_or(PathError::Unreachable)?;
        let limit = IpFamily::of(to.ip()).max_plpmtu();
        if datagram.len() > limit.bytes() {
            return Err(PathError::TooBig { limit: Some(limit) });
        }
        let event = self.event(from, to, datagram);
        match self.enter(host, destination, datagram) {
            Ok(Entered { path, direction, n, fate }) => {
                self.note(SimEvent { what: Happened::Sent { path, direction, n, fate }, ..event });
                self.deal_out(Flight { from, to, refusal: false }, fate, datagram)
            }
            Err(obstacle) => {
                self.stats.sent += 1;
                // Its sender cannot know.
                self.stats.partitioned += 1;
                self.note(SimEvent { what: obstacle.into(), ..event });
                Ok(())
            }
        }
    }

    /// Puts a datagram into the link between two hosts, unless something keeps it from there.
    #[inline]
    fn enter(&mut self, from: usize, to: usize, datagram: &[u8]) -> Result<Entered, Obstacle> {
        let now = self.now;
        if self.topology.is_silent(from) {
            return Err(Obstacle::HostDown);
        }
        let link = self.topology.link_between(from, to).ok_or(Obstacle::Partition)?;
        if link.is_closed() {
            return Err(Obstacle::Partition);
        }
        let (path, direction) = (link.path, link.direction);
        let (fate, n) = link.transmit(now, datagram);
        // Choices count datagrams in the order of sending, whatever link they take.
        let fate = self.topology.plan().choose(self.stats.sent + 1, fate);
        Ok(Entered { path, direction, n, fate })
    }

    /// Lets a datagram meet its fate.
    #[inline]
    fn deal_out(&mut self, flight: Flight, fate: Fate, datagram: &[u8]) -> Result<(), PathError> {
        let copies = match fate {
            Fate::Delivered(copies) => copies,
            Fate::Dropped(_) => {
                self.stats.sent += 1;
                self.stats.dropped += 1;
                return Ok(());
            }
            Fate::TooBig { limit } => return Err(PathError::TooBig { limit: Some(limit) }),
        };
        self.stats.sent += 1;
        self.stats.delivered += copies.as_slice().len() as u64;
        self.stats.duplicates += copies.as_slice().len().saturating_sub(1) as u64;
        for copy in &copies {
            let fits = self.flights.push(flight, copy, datagram);
            self.stats.discarded += u64::from(!fits);
        }
        Ok(())
    }

    #[inline]
    fn event(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> SimEvent {
        let (len, digest, head) = (datagram.len(), digest(datagram), head(datagram));
        SimEvent { at: self.now, from, to, len, digest, head, what: Happened::Arrived }
    }
}

/// Out of the network to a socket.
impl<A> World<A> {
    /// A copy of a datagram, or a refusal, reaches the host that it was sent to.
    pub(super) fn arrive(&mut self, flight: Flight, at: Timestamp, datagram: Vec<u8>) {
        let Flight { from, to, refusal } = flight;
        let event = self.event(from, to, &datagram);
        if refusal {
            self.flights.give_back(datagram);
            self.refusal_arrives(event);
            return;
        }
        match self.reader_of(from, to) {
            Ok((_, Reader::Endpoint(resident))) => {
                self.stats.arrived += 1;
                self.note(event);
                self.call(resident, |endpoint, now, out| endpoint.on_datagram(now, from, &datagram, out));
                self.flights.give_back(datagram);
            }
            Ok((socket, _)) => self.enqueue(socket, at, event, datagram),
            Err(obstacle) => {
                self.lose(event, obstacle.into(), datagram);
                if obstacle == Obstacle::NothingListens {
                    self.send_refusal(to, from);
                }
            }
        }
    }

    /// The socket that takes what comes from `from`, and who reads it.
    #[inline]
    fn reader_of(&mut self, from: SocketAddr, to: SocketAddr) -> Result<(Key, Reader), Obstacle> {
        if self.topology.host_at(to.ip()).is_none_or(|host| self.topology.is_silent(host)) {
            return Err(Obstacle::HostDown);
        }
        let found = self.sockets.at(to).and_then(|number| Some((number, self.sockets.get(number)?)));
        match found {
            // A NAT drops what it has no mapping for, where a host would refuse it.
            None if self.sockets.is_given_up(to) => Err(Obstacle::ForgottenMapping),
            None => Err(Obstacle::NothingListens),
            Some((_, socket)) if socket.peer.is_some_and(|peer| peer != from) => Err(Obstacle::OtherPeer),
            Some((_, Socket { reader: Reader::Endpoint(resident), .. })) if self.has_panicked(*resident) => {
                Err(Obstacle::EndpointPanicked)
            }
            Some((number, socket)) => Ok((number, socket.reader)),
        }
    }

    #[inline]
    fn enqueue(&mut self, socket: Key, at: Timestamp, event: SimEvent, datagram: Vec<u8>) {
        let queued = match self.sockets.get_mut(socket) {
            Some(socket) => socket.enqueue(at, datagram),
            None => Err(datagram),
        };
        match queued {
            Ok(()) => {
                self.stats.arrived += 1;
                self.note(event);
            }
            Err(datagram) => self.lose(event, Happened::Overflowed, datagram),
        }
    }

    #[inline]
    fn lose(&mut self, event: SimEvent, what: Happened, datagram: Vec<u8>) {
        self.flights.give_back(datagram);
        self.stats.lost_on_arrival += 1;
        self.note(SimEvent { what, ..event });
    }

    /// The host of `by` sends an ICMP message to `whom` that nothing listens there. It takes the link like a datagram,
    /// but no dose and no plan spares it, and at most one copy of it arrives.
    fn send_refusal(&mut self, by: SocketAddr, whom: SocketAddr) {
        let ends = (self.topology.host_at(by.ip()), self.topology.host_at(whom.ip()));
        let (Some(here), Some(there)) = ends else { return };
        let now = self.now;
        let found = self.topology.link_between(here, there).filter(|link| !link.is_closed());
        let Some(entered) = found else { return };
        let (path, direction) = (entered.path, entered.direction);
        let fate = entered.link.transmit(now, &REFUSAL);
        let what = Happened::RefusalSent { path, direction, n: entered.link.stats().received, fate };
        self.note(SimEvent { at: now, from: by, to: whom, len: REFUSAL.len(), digest: 0, head: [0; 8], what });
        if let Fate::Delivered(copies) = fate {
            for copy in copies.iter().take(1) {
                // Not counted if it does not fit: refusals are no part of the balance of datagrams.
                let _ = self.flights.push(Flight { from: by, to: whom, refusal: true }, copy, &REFUSAL);
            }
        }
    }

    /// A connected socket learns of it, others do not (Linux).
    fn refusal_arrives(&mut self, event: SimEvent) {
        if self.topology.host_at(event.to.ip()).is_none_or(|host| self.topology.is_silent(host)) {
            self.note(SimEvent { what: Happened::RefusalLost, ..event });
            return;
        }
        let socket = self.sockets.at(event.to).and_then(|socket| self.sockets.get(socket));
        let reader = socket.filter(|socket| socket.peer == Some(event.from)).map(|socket| socket.reader);
        let alive = reader.filter(|reader| !matches!(reader, Reader::Endpoint(it) if self.has_panicked(*it)));
        let Some(reader) = alive else {
            self.note(SimEvent { what: Happened::RefusalLost, ..event });
            return;
        };
        if reader == Reader::Transport {
            if let Some(socket) = self.sockets.at(event.to).and_then(|socket| self.sockets.get_mut(socket)) {
                socket.pending = Some(PathError::Refused);
            }
        }
        self.note(SimEvent { what: Happened::RefusalArrived, ..event });
        if let Reader::Endpoint(resident) = reader {
            self.call(resident, |endpoint, now, out| endpoint.on_path_error(now, PathError::Refused, out));
        }
    }
}

/// The bytes of an ICMP message: its header, and the headers of what it is about.
const REFUSAL: [u8; 36] = [0; 36];
