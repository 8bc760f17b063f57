use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::World;
use super::sockets::Reader;
use crate::fault::{Direction, Fate};
use crate::sim::event::digest;
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

impl Flight {
    /// Whether it goes from one host to the other.
    pub(super) fn leads(&self, from: usize, to: usize, host_at: impl Fn(IpAddr) -> Option<usize>) -> bool {
        (host_at(self.from.ip()), host_at(self.to.ip())) == (Some(from), Some(to))
    }
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
}

impl From<Obstacle> for Happened {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Partition => Self::Partitioned,
            Obstacle::HostDown | Obstacle::ForgottenMapping => Self::Vanished,
            Obstacle::NothingListens => Self::Refused,
            Obstacle::OtherPeer => Self::Foreign,
        }
    }
}

/// From a socket into the network.
impl<A> World<A> {
    /// Sends a datagram from a socket. Reports at once what the sender's own host finds wrong with it.
    ///
    /// # Errors
    ///
    /// The datagram has not left, except for [`PathError::TooBig`] by the link's MTU, which counts as dropped.
    pub(super) fn transmit(&mut self, socket: usize, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        let (host, from) = self.sockets.get(socket).map(|it| (it.host, it.address)).ok_or(PathError::Unsupported)?;
        let destination = self.topology.host_at(to.ip()).filter(|_| from.is_ipv4() == to.is_ipv4());
        let destination = destination.ok_or(PathError::Unreachable)?;
        let limit = IpFamily::of(to.ip()).max_plpmtu();
        if datagram.len() > limit.bytes() {
            return Err(PathError::TooBig { limit: Some(limit) });
        }
        self.stats.sent += 1;
        let event = self.event(from, to, datagram);
        match self.enter(host, destination, datagram) {
            Ok(Entered { path, direction, n, fate }) => {
                self.note(SimEvent { what: Happened::Sent { path, direction, n, fate }, ..event });
                self.deal_out(Flight { from, to, refusal: false }, fate, datagram)
            }
            Err(obstacle) => {
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
        let (now, down) = (self.now, self.topology.is_down(from));
        // Before anything else, as paths are numbered by their first use, and a use by a host that is down is one.
        let link = self.topology.link_between(from, to).ok_or(Obstacle::Partition)?;
        if down {
            return Err(Obstacle::HostDown);
        }
        if link.partitioned {
            return Err(Obstacle::Partition);
        }
        let (path, direction) = (link.path, link.direction);
        let (fate, n) = link.transmit(now, datagram);
        // Choices count datagrams in the order of sending, whatever link they take.
        let fate = self.topology.plan().choose(self.stats.sent, fate);
        Ok(Entered { path, direction, n, fate })
    }

    /// Lets a datagram meet its fate.
    #[inline]
    fn deal_out(&mut self, flight: Flight, fate: Fate, datagram: &[u8]) -> Result<(), PathError> {
        match fate {
            Fate::Delivered(copies) => {
                self.stats.delivered += copies.as_slice().len() as u64;
                self.stats.duplicates += copies.as_slice().len().saturating_sub(1) as u64;
                for copy in &copies {
                    let fits = self.flights.push(flight, copy, datagram);
                    self.stats.discarded += u64::from(!fits);
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

    #[inline]
    fn event(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> SimEvent {
        SimEvent { at: self.now, from, to, len: datagram.len(), digest: digest(datagram), what: Happened::Arrived }
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
    fn reader_of(&self, from: SocketAddr, to: SocketAddr) -> Result<(usize, Reader), Obstacle> {
        if self.topology.host_at(to.ip()).is_none_or(|host| self.topology.is_down(host)) {
            return Err(Obstacle::HostDown);
        }
        let found = self.sockets.at(to).and_then(|number| Some((number, self.sockets.get(number)?)));
        match found {
            // A NAT drops what it has no mapping for, where a host would refuse it.
            None if self.sockets.is_given_up(to) => Err(Obstacle::ForgottenMapping),
            None => Err(Obstacle::NothingListens),
            Some((_, socket)) if socket.peer.is_some_and(|peer| peer != from) => Err(Obstacle::OtherPeer),
            Some((number, socket)) => Ok((number, socket.reader)),
        }
    }

    #[inline]
    fn enqueue(&mut self, socket: usize, at: Timestamp, event: SimEvent, datagram: Vec<u8>) {
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
        let found = self.topology.link_between(here, there).filter(|link| !link.partitioned);
        let Some(entered) = found else { return };
        let (path, direction) = (entered.path, entered.direction);
        let fate = entered.link.transmit(now, &REFUSAL);
        let what = Happened::RefusalSent { path, direction, n: entered.link.stats().received, fate };
        self.note(SimEvent { at: now, from: by, to: whom, len: REFUSAL.len(), digest: 0, what });
        if let Fate::Delivered(copies) = fate {
            for copy in copies.iter().take(1) {
                // Not counted if it does not fit: refusals are no part of the balance of datagrams.
                let _ = self.flights.push(Flight { from: by, to: whom, refusal: true }, copy, &REFUSAL);
            }
        }
    }

    /// A connected socket learns of it, others do not (Linux).
    fn refusal_arrives(&mut self, event: SimEvent) {
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
}

/// The bytes of an ICMP message: its header, and the headers of what it is about.
const REFUSAL: [u8; 36] = [0; 36];
