use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::World;
use super::arena::Key;
use super::sockets::{Queued, Reader, Socket};
use crate::fault::{Fate, Packets, Record, Tag};
use crate::sim::event::{digest, head};
use crate::sim::{Happened, SimEvent};
use crate::size::{IpFamily, Pmtu};
use crate::time::Timestamp;
use crate::transport::PathError;

/// Where a datagram comes from and goes to.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Which host it goes to.
    pub(super) host: usize,
    pub(super) what: Carried,
    /// Of a copy of a datagram.
    pub(super) tag: Option<Tag>,
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

impl Flight {
    /// Whether it goes from one host to the other.
    pub(super) fn leads(&self, from: usize, to: usize, host_at: impl Fn(IpAddr) -> Option<usize>) -> bool {
        (host_at(self.from.ip()), self.host) == (Some(from), to)
    }
}

/// What keeps a datagram from its link, or from a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    Partition,
    HostDown,
    ForgottenMapping,
    NothingListens,
    OtherPeer,
    EndpointPanicked,
}

impl Obstacle {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::HostDown => "host down",
            Self::ForgottenMapping => "forgotten mapping",
            Self::NothingListens => "nothing listens",
            Self::OtherPeer => "other peer",
            Self::EndpointPanicked => "endpoint panicked",
        }
    }
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
    /// Sends a datagram from a socket, and from the address that is named, if one is. Reports at once what the sender's
    /// own host finds wrong with it.
    ///
    /// # Errors
    ///
    /// The datagram has not left, and does not count as sent.
    pub(super) fn transmit(
        &mut self,
        socket: Key,
        named: Option<IpAddr>,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), PathError> {
        let sending = self.sockets.get(socket).ok_or(PathError::Unsupported)?;
        let (host, bound, mode) = (sending.host, sending.address, sending.fragmentation);
        let limit = IpFamily::of(to.ip()).max_plpmtu();
        if datagram.len() > limit.bytes() {
            return Err(PathError::TooBig { limit: Some(limit) });
        }
        let source = named.or_else(|| Some(bound.ip()).filter(|ip| !ip.is_unspecified()));
        if named.is_some_and(|ip| ip != bound.ip() && !self.topology.addresses_of(host).contains(&ip)) {
            return Err(PathError::Unreachable);
        }
        let Some(there) = self.topology.host_at(to.ip()) else {
            return self.transmit_to_all(socket, source, to, datagram);
        };
        let source = source.or_else(|| self.topology.source_towards(host, to.ip())).ok_or(PathError::Unreachable)?;
        if source.is_ipv4() != to.is_ipv4() {
            return Err(PathError::Unreachable);
        }
        let from = SocketAddr::new(source, bound.port());
        let packets = self.packets(mode, host, to.ip(), datagram.len())?;
        self.launch(host, Flight { from, to, host: there, what: Carried::Datagram, tag: None }, datagram, packets)
    }

    /// Sends a datagram from one host to another.
    #[inline]
    pub(super) fn launch(
        &mut self,
        host: usize,
        flight: Flight,
        datagram: &[u8],
        packets: Packets,
    ) -> Result<(), PathError> {
        let Flight { from, to, host: there, .. } = flight;
        let event = self.event(from, to, datagram);
        let mut reported = None;
        match self.enter(host, there, datagram, packets, &mut reported) {
            Ok(record) => {
                let Record { link: path, direction, n, fate, .. } = record;
                self.note(SimEvent { what: Happened::Sent { path, direction, n, fate }, ..event });
                if self.captured.is_on() {
                    self.capture_entry(host, &record, (from, to), datagram);
                }
                if let Some(pmtu) = reported {
                    self.send_report(to, from, pmtu, datagram);
                }
                self.deal_out(flight, &record, datagram)
            }
            Err(obstacle) => {
                self.stats.sent += 1;
                // Its sender cannot know.
                self.stats.partitioned += 1;
                self.note(SimEvent { what: obstacle.into(), ..event });
                if self.captured.is_on() {
                    self.capture_stop(host, obstacle, (from, to), datagram);
                }
                Ok(())
            }
        }
    }

    /// Puts a datagram into the link between two hosts, unless something keeps it from there. Also returns the MTU that a
    /// router reports of it.
    #[inline]
    fn enter(
        &mut self,
        from: usize,
        to: usize,
        datagram: &[u8],
        packets: Packets,
        reported: &mut Option<Pmtu>,
    ) -> Result<Record, Obstacle> {
        let now = self.now;
        let choice = self.topology.plan().choice(self.stats.sent + 1);
        if self.topology.is_silent(from) {
            return Err(Obstacle::HostDown);
        }
        let link = self.topology.link_between(from, to).ok_or(Obstacle::Partition)?;
        if link.is_closed() {
            return Err(Obstacle::Partition);
        }
        // Choices count datagrams in the order of sending, whatever link they take.
        let chosen = choice.map(|choice| move |fate| choice.applied_to(fate));
        let mut capacity = self.flights.admission((), None);
        let (link_number, direction) = (link.path, link.direction);
        let (fate, n) = link.transmit(now, datagram, packets, reported, chosen, |copy| capacity.admits(copy));
        Ok(Record { link: link_number, direction, n, at: now, len: datagram.len(), fate })
    }

    /// Lets a datagram meet its fate.
    #[inline]
    fn deal_out(&mut self, flight: Flight, record: &Record, datagram: &[u8]) -> Result<(), PathError> {
        let copies = match &record.fate {
            Fate::Delivered(copies) => copies,
            Fate::Dropped(_) => {
                self.stats.sent += 1;
                self.stats.dropped += 1;
                return Ok(());
            }
            Fate::TooBig { limit } => return Err(PathError::TooBig { limit: Some(*limit) }),
        };
        self.stats.sent += 1;
        self.stats.delivered += copies.as_slice().len() as u64;
        self.stats.duplicates += copies.as_slice().len().saturating_sub(1) as u64;
        for (nth, copy) in copies.iter().enumerate() {
            let tag = Some(Tag::new(record, nth, copy));
            self.flights.push((), Flight { tag, ..flight }, copy, datagram);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn event(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> SimEvent {
        let (len, digest, head) = (datagram.len(), digest(datagram), head(datagram));
        SimEvent { at: self.now, from, to, len, digest, head, what: Happened::Arrived }
    }
}

/// Out of the network to a socket.
impl<A> World<A> {
    /// A copy of a datagram, or an ICMP message, reaches the host that it was sent to.
    pub(super) fn arrive(&mut self, flight: Flight, at: Timestamp, datagram: Vec<u8>) {
        let Flight { from, to, host, what, .. } = flight;
        let event = self.event(from, to, &datagram);
        match what {
            Carried::Datagram if self.topology.host_at(to.ip()) != Some(host) => {
                return self.arrive_for_all(flight, at, datagram);
            }
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
        let reader = self.reader_of(host, from, to);
        if self.captured.is_on() {
            self.capture_arrival(&flight, at, &datagram, reader.err().map(Obstacle::as_str));
        }
        match reader {
            Ok((_, Reader::Endpoint(resident))) => {
                self.stats.arrived += 1;
                self.note(event);
                self.call(resident, |endpoint, now, out| endpoint.on_datagram(now, from, &datagram, out));
                self.flights.give_back(datagram);
            }
            Ok((socket, _)) => self.enqueue(socket, at, to, event, datagram),
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
    fn reader_of(&mut self, host: usize, from: SocketAddr, to: SocketAddr) -> Result<(Key, Reader), Obstacle> {
        if self.topology.is_silent(host) {
            return Err(Obstacle::HostDown);
        }
        let found = self.sockets.receiving(host, to).and_then(|number| Some((number, self.sockets.get(number)?)));
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

    /// `own` is the address that an answer leaves from.
    #[inline]
    pub(super) fn enqueue(&mut self, socket: Key, at: Timestamp, own: SocketAddr, event: SimEvent, datagram: Vec<u8>) {
        let (order, from) = (self.arrivals, event.from);
        let queued = match self.sockets.get_mut(socket) {
            Some(socket) => {
                let watched = socket.watch.is_some();
                socket.enqueue(Queued { at, order, from, to: own, datagram }).map(|()| watched)
            }
            None => Err(datagram),
        };
        match queued {
            Ok(watched) => {
                self.arrivals += 1;
                self.stats.arrived += 1;
                self.note(event);
                if watched {
                    self.rouse(socket);
                }
            }
            Err(datagram) => self.lose(event, Happened::Overflowed, datagram),
        }
    }

    #[inline]
    pub(super) fn lose(&mut self, event: SimEvent, what: Happened, datagram: Vec<u8>) {
        self.flights.give_back(datagram);
        self.stats.lost_on_arrival += 1;
        self.note(SimEvent { what, ..event });
    }
}
