use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::World;
use super::arena::Key;
use super::sockets::{Queued, Reader};
use crate::fault::{Direction, Fate, Packets};
use crate::sim::event::digest;
use crate::sim::{Happened, SimEvent};
use crate::size::{IpFamily, Pmtu};
use crate::time::Timestamp;
use crate::transport::PathError;

/// Where a datagram comes from and goes to.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) what: Carried,
}

/// What it is that arrives.
#[derive(Clone, Copy)]
pub(super) enum Carried {
    Datagram,
    /// The message to `to` that nothing listens at `from`.
    Refusal,
    /// The message to `to` that no larger packets than these get to `from`; what it is about begins with its bytes.
    Report(Pmtu),
}

/// A datagram in its link: its number there, and what the link makes of it.
struct Entered {
    path: u64,
    direction: Direction,
    n: u64,
    fate: Fate,
    /// The MTU that a router reports of it.
    reported: Option<Pmtu>,
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
    /// Sends a datagram from a socket, and from the address that is named, if one is. Reports at once what the sender's
    /// own host finds wrong with it.
    ///
    /// # Errors
    ///
    /// The datagram has not left, except for [`PathError::TooBig`] by the link's MTU, which counts as dropped.
    pub(super) fn transmit(
        &mut self,
        socket: Key,
        named: Option<IpAddr>,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), PathError> {
        let (host, bound) = self.sockets.get(socket).map(|it| (it.host, it.address)).ok_or(PathError::Unsupported)?;
        let source = match named {
            Some(ip) if ip == bound.ip() => Some(ip),
            Some(ip) => Some(ip).filter(|ip| self.topology.addresses_of(host).contains(ip)),
            None if bound.ip().is_unspecified() => self.topology.source_towards(host, to.ip()),
            None => Some(bound.ip()),
        };
        let from = SocketAddr::new(source.ok_or(PathError::Unreachable)?, bound.port());
        let destination = self.topology.host_at(to.ip()).filter(|_| from.is_ipv4() == to.is_ipv4());
        let destination = destination.ok_or(PathError::Unreachable)?;
        let limit = IpFamily::of(to.ip()).max_plpmtu();
        if datagram.len() > limit.bytes() {
            return Err(PathError::TooBig { limit: Some(limit) });
        }
        let packets = self.packets(socket, host, to.ip(), datagram.len())?;
        self.stats.sent += 1;
        let event = self.event(from, to, datagram);
        match self.enter(host, destination, datagram, packets) {
            Ok(Entered { path, direction, n, fate, reported }) => {
                self.note(SimEvent { what: Happened::Sent { path, direction, n, fate }, ..event });
                if let Some(pmtu) = reported {
                    self.send_report(to, from, pmtu, datagram);
                }
                self.deal_out(Flight { from, to, what: Carried::Datagram }, fate, datagram)
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
    fn enter(&mut self, from: usize, to: usize, datagram: &[u8], packets: Packets) -> Result<Entered, Obstacle> {
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
        let (fate, n, reported) = link.transmit(now, datagram, packets);
        // Choices count datagrams in the order of sending, whatever link they take.
        let fate = self.topology.plan().choose(self.stats.sent, fate);
        Ok(Entered { path, direction, n, fate, reported })
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
    pub(super) fn event(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> SimEvent {
        SimEvent { at: self.now, from, to, len: datagram.len(), digest: digest(datagram), what: Happened::Arrived }
    }
}

/// Out of the network to a socket.
impl<A> World<A> {
    /// A copy of a datagram, or an ICMP message, reaches the host that it was sent to.
    pub(super) fn arrive(&mut self, flight: Flight, at: Timestamp, datagram: Vec<u8>) {
        let Flight { from, to, what } = flight;
        let event = self.event(from, to, &datagram);
        match what {
            Carried::Datagram => {}
            Carried::Refusal => {
                self.flights.give_back(datagram);
                return self.refusal_arrives(event);
            }
            Carried::Report(pmtu) => {
                self.report_arrives(event, pmtu, &datagram);
                return self.flights.give_back(datagram);
            }
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
    fn reader_of(&self, from: SocketAddr, to: SocketAddr) -> Result<(Key, Reader), Obstacle> {
        let up = self.topology.host_at(to.ip()).filter(|&host| !self.topology.is_down(host));
        let host = up.ok_or(Obstacle::HostDown)?;
        let found = self.sockets.receiving(host, to).and_then(|number| Some((number, self.sockets.get(number)?)));
        match found {
            // A NAT drops what it has no mapping for, where a host would refuse it.
            None if self.sockets.is_given_up(to) => Err(Obstacle::ForgottenMapping),
            None => Err(Obstacle::NothingListens),
            Some((_, socket)) if socket.peer.is_some_and(|peer| peer != from) => Err(Obstacle::OtherPeer),
            Some((number, socket)) => Ok((number, socket.reader)),
        }
    }

    #[inline]
    fn enqueue(&mut self, socket: Key, at: Timestamp, event: SimEvent, datagram: Vec<u8>) {
        let order = self.arrivals;
        let SimEvent { from, to, .. } = event;
        let queued = match self.sockets.get_mut(socket) {
            Some(socket) => socket.enqueue(Queued { at, order, from, to, datagram }),
            None => Err(datagram),
        };
        match queued {
            Ok(()) => {
                self.arrivals += 1;
                self.stats.arrived += 1;
                self.note(event);
                self.rouse(socket);
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
}
