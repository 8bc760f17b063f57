use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;
use core::time::Duration;

use super::met::{Down, Met, Partition};
use crate::entropy::Seed;
use crate::fault::{Delivery, Direction, Fate, Impairments, Link, Packets, Profile};
use crate::sim::Unmet;
use crate::sim::fold::Lookup;
use crate::sim::plan::Plan;
use crate::size::Pmtu;
use crate::time::Timestamp;

/// Which hosts there are, and what lies between them.
pub(super) struct Topology {
    seed: Seed,
    plan: Plan,
    hosts: Vec<Host>,
    host_of: Lookup<IpAddr, usize>,
    paths: Vec<Path>,
    path_of: Lookup<(usize, usize), (usize, Direction)>,
    /// Those of `paths` that were asked for, in this order.
    asked_for: Vec<usize>,
    /// Faults that have ended, and had met nothing.
    unmet: Vec<Unmet>,
    /// What a plan of faults has made of the paths, as they were made.
    made: Vec<MadePath>,
}

struct Host {
    /// In the order in which it got them; the first of a family is the source of what it sends.
    addresses: Vec<IpAddr>,
    down: Option<Down>,
}

/// Between a pair of hosts.
///
/// One that was asked for is numbered by that, from 0, and so are the draws of its links. One that is only used is
/// perfect until then, has no client, and its number says nothing but which hosts it lies between: so neither what a
/// scenario did before it asked, nor the order in which hosts happen to use such paths, changes any fate.
struct Path {
    client: usize,
    server: usize,
    asked_for: bool,
    to_server: DirectedLink,
    to_client: DirectedLink,
}

/// A path as it was made in a run of certain faults.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::sim) struct MadePath {
    pub(in crate::sim) path: u64,
    pub(in crate::sim) client: Option<IpAddr>,
    pub(in crate::sim) server: Option<IpAddr>,
    pub(in crate::sim) profile: Profile,
}

/// One direction of a path.
pub(super) struct DirectedLink {
    pub(super) path: u64,
    pub(super) direction: Direction,
    pub(super) link: Link,
    /// Nothing passes.
    partition: Option<Rc<Partition>>,
    met: Met,
}

impl DirectedLink {
    fn new(path: u64, direction: Direction, impairments: Impairments, seed: Seed) -> Self {
        let link = Link::new(impairments, direction.link_seed(seed, path));
        Self { path, direction, link, partition: None, met: Met::default() }
    }

    /// Whether a partition stops a datagram that is here now.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.partition.as_ref().is_some_and(|partition| {
            partition.met.set(true);
            true
        })
    }

    /// What becomes of a datagram, its number on this link, and the MTU that a router reports of it.
    #[inline]
    pub(super) fn transmit(
        &mut self,
        now: Timestamp,
        datagram: &[u8],
        packets: Packets,
        reported: &mut Option<Pmtu>,
        choose: Option<impl FnOnce(Fate) -> Fate>,
        admits: impl FnMut(&Delivery) -> bool,
    ) -> (Fate, u64) {
        let fate = self.link.transmit_packets(now, datagram.len(), packets, reported, choose, admits);
        self.met.note(now, &fate, self.link.impairments());
        (fate, self.link.stats().received)
    }
}

impl Topology {
    pub(super) fn new(seed: Seed, plan: Plan) -> Self {
        let (hosts, host_of) = (Vec::new(), Lookup::default());
        let (paths, path_of, asked_for) = (Vec::new(), Lookup::default(), Vec::new());
        Self { seed, plan, hosts, host_of, paths, path_of, asked_for, unmet: Vec::new(), made: Vec::new() }
    }

    pub(super) const fn seed(&self) -> Seed {
        self.seed
    }

    /// Who decides over datagrams.
    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn add_host(&mut self, address: IpAddr) -> Option<usize> {
        if self.host_of.contains_key(&address) {
            return None;
        }
        self.hosts.push(Host { addresses: alloc::vec![address], down: None });
        self.host_of.insert(address, self.hosts.len() - 1);
        Some(self.hosts.len() - 1)
    }

    /// One more address of a host; `false` if a host has it.
    pub(super) fn add_address(&mut self, host: usize, address: IpAddr) -> bool {
        let Some(owner) = self.hosts.get_mut(host).filter(|_| !self.host_of.contains_key(&address)) else {
            return false;
        };
        owner.addresses.push(address);
        self.host_of.insert(address, host);
        true
    }

    #[inline]
    pub(super) fn host_at(&self, address: IpAddr) -> Option<usize> {
        self.host_of.get(&address).copied()
    }

    /// The first address of a host, by which it is named.
    pub(super) fn address_of(&self, host: usize) -> Option<IpAddr> {
        self.addresses_of(host).first().copied()
    }

    pub(super) fn addresses_of(&self, host: usize) -> &[IpAddr] {
        self.hosts.get(host).map_or(&[], |host| &host.addresses)
    }

    /// The address that what a host sends to `to` leaves from unless its sender names one: to itself the very one.
    #[inline]
    pub(super) fn source_towards(&self, host: usize, to: IpAddr) -> Option<IpAddr> {
        let own = self.addresses_of(host);
        own.iter().find(|&&it| it == to).or_else(|| own.iter().find(|it| it.is_ipv4() == to.is_ipv4())).copied()
    }

    pub(super) fn take_down(&mut self, host: usize, now: Timestamp) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.down.get_or_insert(Down { since: now, met: false });
        }
    }

    pub(super) fn bring_up(&mut self, host: usize) {
        let Some(host) = self.hosts.get_mut(host) else { return };
        let unmet = host.down.take().and_then(|down| down.unmet(host.addresses.first().copied()?));
        self.has_ended(unmet);
    }

    /// Whether a host is silent, to which something is sent now or from which something is to leave.
    #[inline]
    pub(super) fn is_silent(&mut self, host: usize) -> bool {
        let Some(host) = self.hosts.get_mut(host) else { return true };
        host.down.as_mut().is_some_and(|down| {
            down.met = true;
            true
        })
    }

    /// Closes one direction, or both, unless they are closed already.
    pub(super) fn partition(&mut self, from: usize, to: usize, both_ways: bool, since: Timestamp) {
        let (Some(here), Some(there)) = (self.address_of(from), self.address_of(to)) else { return };
        let open = |it: &mut Self, from, to| it.link_between(from, to).is_some_and(|link| link.partition.is_none());
        let (forth, back) = (open(self, from, to), both_ways && open(self, to, from));
        let closes = |from, to, both_ways| Rc::new(Partition { from, to, both_ways, since, met: Cell::new(false) });
        let one = if forth { closes(here, there, back) } else { closes(there, here, false) };
        for (from, to) in [forth.then_some((from, to)), back.then_some((to, from))].into_iter().flatten() {
            if let Some(link) = self.link_between(from, to) {
                link.partition = Some(Rc::clone(&one));
            }
        }
    }

    /// Opens both directions.
    pub(super) fn heal(&mut self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let ended = self.link_between(from, to).and_then(|link| link.partition.take());
            self.has_ended(ended.and_then(Rc::into_inner).and_then(|partition| partition.unmet()));
        }
    }

    /// A new path, or other impairments for the one that was asked for before.
    pub(super) fn set_path(&mut self, client: usize, server: usize, profile: &Profile) {
        let found = self.path_of.get(&(client, server)).copied();
        let asked_for = found.filter(|(path, _)| self.paths.get(*path).is_some_and(|path| path.asked_for));
        let Some((path, to_server)) = asked_for else {
            self.ask_for_path(client, server, profile, found);
            return;
        };
        let (Some(here), Some(there)) = (self.address_of(client), self.address_of(server)) else { return };
        let Some(path) = self.paths.get_mut(path) else { return };
        for asked in BOTH {
            let direction = if to_server == Direction::ToServer { asked } else { asked.opposite() };
            let ends = if asked == Direction::ToServer { (here, there) } else { (there, here) };
            let directed = path.link_mut(direction);
            let impairments = self.plan.impairments(directed.path, direction, profile.direction(asked), false);
            directed.met.change(&directed.link, &impairments, ends, &mut self.unmet);
            directed.link.reconfigure(impairments);
        }
        self.unmet.truncate(MOST_UNMET);
    }

    /// The first time that this path is asked for; `used` is the one that lies there.
    fn ask_for_path(&mut self, client: usize, server: usize, profile: &Profile, used: Option<(usize, Direction)>) {
        let number = self.asked_for.len() as u64;
        let made = self.make_path(number, client, server, profile);
        let Some((place, direction)) = used else {
            self.asked_for.push(self.paths.len());
            self.place(made);
            return;
        };
        self.asked_for.push(place);
        let Some(before) = self.paths.get_mut(place) else { return };
        let mut before = core::mem::replace(before, made);
        // What was done to its directions stays.
        let Some(made) = self.paths.get_mut(place) else { return };
        for asked in BOTH {
            let was = before.link_mut(if direction == Direction::ToServer { asked } else { asked.opposite() });
            let now = made.link_mut(asked);
            now.partition = was.partition.take();
        }
        self.path_of.insert((server, client), (place, Direction::ToClient));
        self.path_of.insert((client, server), (place, Direction::ToServer));
    }

    fn make_path(&mut self, number: u64, client: usize, server: usize, profile: &Profile) -> Path {
        let link = |direction: Direction| {
            let impairments = self.plan.impairments(number, direction, profile.direction(direction), true);
            DirectedLink::new(number, direction, impairments, self.seed)
        };
        let (to_server, to_client) = (link(Direction::ToServer), link(Direction::ToClient));
        if matches!(self.plan, Plan::Faults(_)) {
            let (client, server) = (self.address_of(client), self.address_of(server));
            let [to_server, to_client] = [&to_server, &to_client].map(|made| made.link.impairments().clone());
            self.made.push(MadePath { path: number, client, server, profile: Profile { to_server, to_client } });
        }
        Path { client, server, asked_for: number < FIRST_USED, to_server, to_client }
    }

    fn place(&mut self, path: Path) -> (usize, Direction) {
        let (place, client, server) = (self.paths.len(), path.client, path.server);
        self.paths.push(path);
        // Within a host both directions have one key: the direction to the server, put in last, is the one found.
        self.path_of.insert((server, client), (place, Direction::ToClient));
        self.path_of.insert((client, server), (place, Direction::ToServer));
        (place, Direction::ToServer)
    }

    /// The link from one host to another. If no path was asked for, a perfect one is made.
    #[inline]
    pub(super) fn link_between(&mut self, from: usize, to: usize) -> Option<&mut DirectedLink> {
        let (place, direction) = match self.path_of.get(&(from, to)) {
            Some(found) => *found,
            None => self.use_path(from, to),
        };
        self.paths.get_mut(place).map(|path| path.link_mut(direction))
    }

    /// The host that was made first stands where a client would.
    fn use_path(&mut self, from: usize, to: usize) -> (usize, Direction) {
        let (first, second) = (from.min(to), from.max(to));
        let number = FIRST_USED + (second * (second + 1) / 2 + first) as u64;
        let made = self.make_path(number, first, second, &Profile::default());
        let (place, to_second) = self.place(made);
        (place, if from <= to { to_second } else { to_second.opposite() })
    }

    /// The paths in the order in which they were made, if a plan of faults is in force.
    pub(super) fn made_paths(&self) -> &[MadePath] {
        &self.made
    }

    /// Faults that have met no datagram: first those that have ended, then those that are there.
    pub(super) fn unmet(&self) -> Vec<Unmet> {
        let mut all = self.unmet.clone();
        all.extend(
            self.hosts.iter().filter_map(|host| host.down.and_then(|down| down.unmet(*host.addresses.first()?))),
        );
        for path in &self.paths {
            let (Some(client), Some(server)) = (self.address_of(path.client), self.address_of(path.server)) else {
                continue;
            };
            path.unmet(client, server, &mut all);
        }
        all
    }

    fn has_ended(&mut self, unmet: Option<Unmet>) {
        if self.unmet.len() < MOST_UNMET {
            self.unmet.extend(unmet);
        }
    }

    /// The least delay of a link at any time, as it is set now.
    pub(super) fn least_delay(&self, path: u64, direction: Direction) -> Duration {
        let place = usize::try_from(path).ok().and_then(|number| self.asked_for.get(number));
        let link = place.and_then(|place| self.paths.get(*place)).map(|path| path.link(direction));
        link.map(|directed| directed.link.impairments().least_delay()).unwrap_or_default()
    }
}

impl Path {
    const fn link(&self, direction: Direction) -> &DirectedLink {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    #[inline]
    const fn link_mut(&mut self, direction: Direction) -> &mut DirectedLink {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn unmet(&self, client: IpAddr, server: IpAddr, all: &mut Vec<Unmet>) {
        let links = BOTH.map(|direction| &self.link(direction).link);
        if links.iter().all(|link| link.stats().received == 0) && links.iter().any(|link| does_something(link)) {
            all.push(Unmet::Path { client, server });
        }
        for (direction, ends) in [(Direction::ToServer, (client, server)), (Direction::ToClient, (server, client))] {
            let directed = self.link(direction);
            // One of both directions is listed with the first.
            let partition = directed.partition.as_deref().filter(|partition| (partition.from, partition.to) == ends);
            all.extend(partition.and_then(Partition::unmet));
            all.extend(directed.met.unmet(&directed.link, ends));
        }
    }
}

fn does_something(link: &Link) -> bool {
    *link.impairments() != Impairments::NONE
}

const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
/// The numbers of paths that no one has asked for.
const FIRST_USED: u64 = 1 << 32;
/// Of the faults that have ended: a scenario that runs for very long has seen enough by then.
const MOST_UNMET: usize = 1_000;
