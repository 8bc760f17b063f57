use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::entropy::Seed;
use crate::fault::{Direction, Link, Profile};
use crate::sim::Dose;
use crate::sim::shrink::Plan;

/// Which hosts there are, and what lies between them.
pub(in crate::sim) struct Topology {
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
pub(in crate::sim) struct DirectedLink {
    pub(in crate::sim) link: Link,
    /// Nothing passes.
    pub(in crate::sim) cut: bool,
    pub(in crate::sim) dose: Option<Dose>,
}

impl Topology {
    pub(in crate::sim) fn new(seed: Seed, plan: Plan) -> Self {
        let (host_of, path_of) = (HashMap::new(), HashMap::new());
        Self { seed, plan, hosts: Vec::new(), host_of, paths: Vec::new(), path_of }
    }

    pub(in crate::sim) const fn seed(&self) -> Seed {
        self.seed
    }

    /// Who decides over datagrams.
    pub(in crate::sim) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(in crate::sim) fn add_host(&mut self, address: IpAddr) -> Option<usize> {
        if self.host_of.contains_key(&address) {
            return None;
        }
        self.hosts.push(Host { address, down: false });
        self.host_of.insert(address, self.hosts.len() - 1);
        Some(self.hosts.len() - 1)
    }

    pub(in crate::sim) fn host_at(&self, address: IpAddr) -> Option<usize> {
        self.host_of.get(&address).copied()
    }

    pub(in crate::sim) fn address_of(&self, host: usize) -> Option<IpAddr> {
        self.hosts.get(host).map(|host| host.address)
    }

    pub(in crate::sim) fn set_down(&mut self, host: usize, down: bool) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.down = down;
        }
    }

    pub(in crate::sim) fn is_down(&self, host: usize) -> bool {
        self.hosts.get(host).is_none_or(|host| host.down)
    }

    /// A new path, or new impairments for the one there is.
    pub(in crate::sim) fn set_path(&mut self, client: usize, server: usize, profile: &Profile) {
        let Some((path, to_server)) = self.path_of.get(&(client, server)).copied() else {
            self.make_path(client, server, profile);
            return;
        };
        for (asked, direction) in [(Direction::ToServer, to_server), (Direction::ToClient, to_server.opposite())] {
            let impairments = self.plan.impairments(path as u64, direction, profile.direction(asked));
            if let Some(way) = self.way_mut(path, direction) {
                way.link.reconfigure(impairments);
            }
        }
    }

    fn make_path(&mut self, client: usize, server: usize, profile: &Profile) -> (usize, Direction) {
        let path = self.paths.len();
        let way = |direction: Direction| DirectedLink {
            link: Link::new(
                self.plan.impairments(path as u64, direction, profile.direction(direction)),
                direction.link_seed(self.seed, path as u64),
            ),
            cut: false,
            dose: None,
        };
        let made = Path { to_server: way(Direction::ToServer), to_client: way(Direction::ToClient) };
        self.paths.push(made);
        // Within a host both ways are one, and the way to the server is taken.
        self.path_of.insert((server, client), (path, Direction::ToClient));
        self.path_of.insert((client, server), (path, Direction::ToServer));
        (path, Direction::ToServer)
    }

    /// The way from a host to another: a perfect one, if nothing else is said.
    pub(in crate::sim) fn way_between(
        &mut self,
        from: usize,
        to: usize,
    ) -> Option<(u64, Direction, &mut DirectedLink)> {
        let (path, direction) = match self.path_of.get(&(from, to)) {
            Some(found) => *found,
            None => self.make_path(from, to, &Profile::default()),
        };
        Some((path as u64, direction, self.way_mut(path, direction)?))
    }

    /// The least delay of a way, as it is now.
    pub(in crate::sim) fn least_delay(&self, path: u64, direction: Direction) -> Duration {
        let path = usize::try_from(path).ok().and_then(|path| self.paths.get(path));
        let way = path.map(|path| match direction {
            Direction::ToServer => &path.to_server,
            Direction::ToClient => &path.to_client,
        });
        way.and_then(|way| way.link.impairments().delay()).map(|model| model.law().least()).unwrap_or_default()
    }

    fn way_mut(&mut self, path: usize, direction: Direction) -> Option<&mut DirectedLink> {
        let path = self.paths.get_mut(path)?;
        Some(match direction {
            Direction::ToServer => &mut path.to_server,
            Direction::ToClient => &mut path.to_client,
        })
    }
}
