use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::World;
use super::arena::Key;
use super::passage::{Carried, Flight};
use super::sockets::Reader;
use crate::fault::Packets;
use crate::sim::{Happened, SimError};
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::PathError;

/// The hosts that receive what one of them sends to all, and who has joined which group.
#[derive(Default, Debug)]
pub(super) struct Segments {
    all: Vec<Segment>,
    /// How many programs of a host have joined.
    joined: BTreeMap<(usize, IpAddr), u32>,
}

#[derive(Debug)]
struct Segment {
    /// In the order in which they were named.
    hosts: Vec<usize>,
    broadcast: Ipv4Addr,
}

impl Segment {
    /// How many bits of an address are those of the broadcast address, from its beginning: of the addresses of a host the
    /// one with the most is that on this segment, and of its segments the one with the most is that of an address.
    fn nearness(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => (address.to_bits() ^ self.broadcast.to_bits()).leading_zeros(),
            IpAddr::V6(_) => 0,
        }
    }

    /// The address of a host on this segment.
    fn address_of(&self, addresses: &[IpAddr]) -> Option<IpAddr> {
        // The first of several that are as near.
        addresses.iter().rev().filter(|it| it.is_ipv4()).max_by_key(|it| self.nearness(**it)).copied()
    }
}

impl Segments {
    /// The segment over which a host sends to such an address: that of the source, else the first one it is on.
    fn towards(&self, host: usize, source: Option<IpAddr>, to: IpAddr) -> Option<&Segment> {
        let own = || self.all.iter().filter(|it| it.hosts.contains(&host));
        if to.is_multicast() || to == IpAddr::V4(Ipv4Addr::BROADCAST) {
            own().rev().max_by_key(|it| source.map_or(0, |source| it.nearness(source)))
        } else {
            own().find(|it| to == it.broadcast)
        }
    }

    fn has_joined(&self, host: usize, group: IpAddr) -> bool {
        ALL_HOSTS.contains(&group) || self.joined.contains_key(&(host, group))
    }

    pub(super) fn leave(&mut self, host: usize, group: IpAddr) {
        if let Some(count) = self.joined.get_mut(&(host, group)) {
            *count -= 1;
            if *count == 0 {
                self.joined.remove(&(host, group));
            }
        }
    }
}

/// What a scenario changes.
impl<A> World<A> {
    pub(in crate::sim) fn add_segment(&mut self, hosts: Vec<usize>, broadcast: Ipv4Addr) -> Result<(), SimError> {
        if self.topology.host_at(broadcast.into()).is_some() {
            return Err(SimError::AddressTaken(broadcast.into()));
        }
        self.segments.all.push(Segment { hosts, broadcast });
        Ok(())
    }

    pub(in crate::sim) fn join(&mut self, host: usize, group: IpAddr) -> Result<(), SimError> {
        if !group.is_multicast() {
            return Err(SimError::NotAGroup(group));
        }
        *self.segments.joined.entry((host, group)).or_default() += 1;
        Ok(())
    }

    pub(in crate::sim) fn leave(&mut self, host: usize, group: IpAddr) {
        self.segments.leave(host, group);
    }

    /// Until it leaves, or is closed.
    pub(in crate::sim) fn join_socket(&mut self, socket: Key, group: IpAddr) -> Result<(), SimError> {
        let Some(joining) = self.sockets.get_mut(socket).filter(|it| !it.groups.contains(&group)) else {
            return Ok(());
        };
        let host = joining.host;
        self.join(host, group)?;
        if let Some(joined) = self.sockets.get_mut(socket) {
            joined.groups.push(group);
        }
        Ok(())
    }

    pub(in crate::sim) fn leave_socket(&mut self, socket: Key, group: IpAddr) {
        let Some(leaving) = self.sockets.get_mut(socket) else { return };
        if let Some(place) = leaving.groups.iter().position(|it| *it == group) {
            leaving.groups.swap_remove(place);
            self.segments.leave(leaving.host, group);
        }
    }

    pub(in crate::sim) fn allow_broadcast(&mut self, socket: Key) {
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.may_broadcast = true;
        }
    }
}

/// What is sent to all.
impl<A> World<A> {
    /// Sends a datagram to an address that is no host's: to each host of the segment, or to those that have joined, over
    /// the link there and with a fate of its own. Its own host is one of them.
    ///
    /// # Errors
    ///
    /// [`PathError::Unreachable`] if the address means no one, [`PathError::Denied`] without the permission to broadcast.
    #[cold]
    #[inline(never)]
    pub(super) fn transmit_to_all(
        &mut self,
        socket: Key,
        source: Option<IpAddr>,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), PathError> {
        let sending = self.sockets.get(socket).ok_or(PathError::Unsupported)?;
        let (host, port) = (sending.host, sending.address.port());
        let segment = self.segments.towards(host, source, to.ip()).ok_or(PathError::Unreachable)?;
        if !to.ip().is_multicast() && !sending.may_broadcast && sending.reader == Reader::Transport {
            return Err(PathError::Denied);
        }
        let on_segment = || match to {
            SocketAddr::V4(_) => segment.address_of(self.topology.addresses_of(host)),
            SocketAddr::V6(_) => self.topology.source_towards(host, to.ip()),
        };
        let source = source.or_else(on_segment);
        let from = source.filter(|source| source.is_ipv4() == to.is_ipv4()).ok_or(PathError::Unreachable)?;
        let receives = |there: &&usize| !to.ip().is_multicast() || self.segments.has_joined(**there, to.ip());
        let receiving: Vec<usize> = segment.hosts.iter().filter(receives).copied().collect();
        for there in receiving {
            let flight =
                Flight { from: SocketAddr::new(from, port), to, host: there, what: Carried::Datagram, tag: None };
            // What is wrong with one copy is no error of the others. No router reports anything of them.
            let _ = self.launch(host, flight, datagram, Packets::whole(IpFamily::of(to.ip())));
        }
        Ok(())
    }

    /// A copy of a datagram that was sent to all reaches a host: every socket there takes it that may.
    #[cold]
    #[inline(never)]
    pub(super) fn arrive_for_all(&mut self, flight: Flight, at: Timestamp, datagram: Vec<u8>) {
        let Flight { from, to, host, .. } = flight;
        let event = self.event(from, to, &datagram);
        let up = !self.topology.is_silent(host);
        let joined = !to.ip().is_multicast() || self.segments.has_joined(host, to.ip());
        let receivers = if up && joined { self.receivers(host, to) } else { Vec::new() };
        if self.captured.is_on() {
            let none = if up { "no receiver" } else { "host down" };
            self.capture_arrival(&flight, at, &datagram, receivers.is_empty().then_some(none));
        }
        if receivers.is_empty() {
            let what = if up { Happened::Ignored } else { Happened::Vanished };
            return self.lose(event, what, datagram);
        }
        let own = self.own_address(host, from.ip(), to);
        for (nth, (socket, reader)) in receivers.into_iter().enumerate() {
            // Each socket has a copy of its own.
            self.stats.delivered += u64::from(nth > 0);
            self.stats.duplicates += u64::from(nth > 0);
            if let Reader::Endpoint(resident) = reader {
                self.stats.arrived += 1;
                self.note(event);
                self.call(resident, |endpoint, now, out| endpoint.on_datagram(now, from, &datagram, out));
            } else {
                self.enqueue(socket, at, own, event, datagram.clone());
            }
        }
        self.flights.give_back(datagram);
    }

    /// The sockets of a host that take what is sent to all at this port: endpoints, and what is bound to a wildcard. One
    /// that is bound to an address of its host does not receive what was sent to another one (Linux).
    fn receivers(&self, host: usize, to: SocketAddr) -> Vec<(Key, Reader)> {
        let bound = self.topology.addresses_of(host).iter().filter_map(|&ip| {
            let key = self.sockets.at(SocketAddr::new(ip, to.port()))?;
            let reader = self.sockets.get(key).filter(|it| it.peer.is_none() && ip.is_ipv4() == to.is_ipv4())?.reader;
            let alive = matches!(reader, Reader::Endpoint(resident) if !self.has_panicked(resident));
            alive.then_some((key, reader))
        });
        let wildcard = self.sockets.wildcard(host, to.ip(), to.port());
        let wildcard = wildcard.and_then(|key| Some((key, self.sockets.get(key)?.reader)));
        bound.chain(wildcard).collect()
    }

    /// The address from which a host answers what was sent to all: that on the segment; with IPv6 the host picks it.
    fn own_address(&self, host: usize, from: IpAddr, to: SocketAddr) -> SocketAddr {
        let segment = self.segments.towards(host, Some(from), to.ip()).filter(|_| to.is_ipv4());
        let address = segment.and_then(|segment| segment.address_of(self.topology.addresses_of(host)));
        SocketAddr::new(address.unwrap_or(core::net::Ipv6Addr::UNSPECIFIED.into()), to.port())
    }
}

/// Groups that every host is in.
const ALL_HOSTS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), IpAddr::V6(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1))];
