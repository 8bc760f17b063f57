use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::entropy::Seed;
use crate::fault::{Direction, Fate, Link, Profile};
use crate::sim::Dose;
use crate::sim::shrink::Plan;
use crate::size::IpFamily;
use crate::time::Timestamp;

/// Which hosts there are, and what lies between them.
pub(super) struct Topology {
    seed: Seed,
    plan: Plan,
    hosts: Vec<Host>,
    host_of: HashMap<IpAddr, usize>,
    paths: Vec<Path>,
    path_of: HashMap<(usize, usize), (usize, Direction)>,
}

struct Host {
    address: IpAddr,
    down: bool,
}

/// Between a pair of hosts; the one named first is the client of its profile.
struct Path {
    to_server: DirectedLink,
    to_client: DirectedLink,
}

/// One direction of a path.
pub(super) struct DirectedLink {
    pub(super) path: u64,
    pub(super) direction: Direction,
    pub(super) link: Link,
    /// Nothing passes.
    pub(super) partitioned: bool,
    pub(super) dose: Option<Dose>,
}

impl DirectedLink {
    /// What becomes of a datagram within the dose, and its number on this link.
    #[inline]
    pub(super) fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> (Fate, u64) {
        let mut fate = self.link.transmit(now, datagram);
        if let Some(dose) = &mut self.dose {
            let present = self.link.impairments().at(now.since(Timestamp::ZERO));
            fate = dose.moderate(fate, Fate::plain(now, &present, datagram.len()));
        }
        (fate, self.link.stats().received)
    }
}

impl Topology {
    pub(super) fn new(seed: Seed, plan: Plan) -> Self {
        let (host_of, path_of) = (HashMap::new(), HashMap::new());
        Self { seed, plan, hosts: Vec::new(), host_of, paths: Vec::new(), path_of }
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
        self.hosts.push(Host { address, down: false });
        self.host_of.insert(address, self.hosts.len() - 1);
        Some(self.hosts.len() - 1)
    }

    pub(super) fn host_at(&self, address: IpAddr) -> Option<usize> {
        self.host_of.get(&address).copied()
    }

    pub(super) fn address_of(&self, host: usize) -> Option<IpAddr> {
        self.hosts.get(host).map(|host| host.address)
    }

    pub(super) fn set_down(&mut self, host: usize, down: bool) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.down = down;
        }
    }

    pub(super) fn is_down(&self, host: usize) -> bool {
        self.hosts.get(host).is_none_or(|host| host.down)
    }

    /// A new path, or new impairments for the one there is.
    pub(super) fn set_path(&mut self, client: usize, server: usize, profile: &Profile) {
        let Some((path, to_server)) = self.path_of.get(&(client, server)).copied() else {
            self.make_path(client, server, profile);
            return;
        };
        for (asked, direction) in [(Direction::ToServer, to_server), (Direction::ToClient, to_server.opposite())] {
            let impairments = self.plan.impairments(path as u64, direction, profile.direction(asked));
            if let Some(directed) = self.link_mut(path, direction) {
                directed.link.reconfigure(impairments);
            }
        }
    }

    fn make_path(&mut self, client: usize, server: usize, profile: &Profile) -> (usize, Direction) {
        let path = self.paths.len();
        // Paths lead between addresses of one family alone.
        let family = self.address_of(client).map_or(IpFamily::V4, IpFamily::of);
        let link = |direction: Direction| DirectedLink {
            path: path as u64,
            direction,
            link: Link::new(
                self.plan.impairments(path as u64, direction, profile.direction(direction)),
                direction.link_seed(self.seed, path as u64),
            )
            .over(family),
            partitioned: false,
            dose: None,
        };
        let made = Path { to_server: link(Direction::ToServer), to_client: link(Direction::ToClient) };
        self.paths.push(made);
        // Within a host both directions have one key: the direction to the server, put in last, is the one found.
        self.path_of.insert((server, client), (path, Direction::ToClient));
        self.path_of.insert((client, server), (path, Direction::ToServer));
        (path, Direction::ToServer)
    }

    /// The link from one host to another. If no path was set, a perfect one is made.
    pub(super) fn link_between(&mut self, from: usize, to: usize) -> Option<&mut DirectedLink> {
        let (path, direction) = match self.path_of.get(&(from, to)) {
            Some(found) => *found,
            None => self.make_path(from, to, &Profile::default()),
        };
        self.link_mut(path, direction)
    }

    /// The least delay of a link at any time, as it is set now.
    pub(super) fn least_delay(&self, path: u64, direction: Direction) -> Duration {
        let path = usize::try_from(path).ok().and_then(|path| self.paths.get(path));
        let link = path.map(|path| match direction {
            Direction::ToServer => &path.to_server,
            Direction::ToClient => &path.to_client,
        });
        link.map(|directed| directed.link.impairments().least_delay()).unwrap_or_default()
    }

    fn link_mut(&mut self, path: usize, direction: Direction) -> Option<&mut DirectedLink> {
        let path = self.paths.get_mut(path)?;
        Some(match direction {
            Direction::ToServer => &mut path.to_server,
            Direction::ToClient => &mut path.to_client,
        })
    }
}
