use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
// Looked up and never walked through, so that its order means nothing.
use std::collections::HashMap;

use crate::entropy::Seed;
use crate::fault::{Direction, Fate, Link, Profile};
use crate::sim::Dose;
use crate::sim::plan::Plan;
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
    ends: (usize, usize),
    /// What a plan of faults has made of it the first time that it was set, or when it was made.
    planned: Option<Box<MadePath>>,
    /// Whether the scenario has set it, and not only used it.
    set: bool,
}

/// A path as it was first set in a run of certain faults.
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
    pub(super) partitioned: bool,
    pub(super) dose: Option<Dose>,
}

impl DirectedLink {
    /// What becomes of a datagram within the dose, and its number on this link.
    #[inline]
    pub(super) fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> (Fate, u64) {
        let mut fate = self.link.transmit(now, datagram);
        if let Some(dose) = &mut self.dose {
            fate = dose.moderate(fate, Fate::plain(now, self.link.impairments(), datagram.len()));
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
        let (path, to_server) = match self.path_of.get(&(client, server)).copied() {
            Some(found) => found,
            None => self.make_path(client, server, profile),
        };
        let first = self.paths.get_mut(path).is_some_and(|path| !core::mem::replace(&mut path.set, true));
        for (asked, direction) in [(Direction::ToServer, to_server), (Direction::ToClient, to_server.opposite())] {
            let impairments = self.plan.impairments(path as u64, direction, profile.direction(asked), first);
            if let Some(directed) = self.link_mut(path, direction) {
                directed.link.reconfigure(impairments);
            }
        }
        if first {
            self.note_planned(path);
        }
    }

    /// Keeps what a plan of faults has made of a path.
    fn note_planned(&mut self, path: usize) {
        if !matches!(self.plan, Plan::Faults(_)) {
            return;
        }
        let Some(ends) = self.paths.get(path).map(|path| path.ends) else { return };
        let (client, server) = (self.address_of(ends.0), self.address_of(ends.1));
        if let Some(at) = self.paths.get_mut(path) {
            let links = [&at.to_server, &at.to_client].map(|directed| directed.link.impairments().clone());
            let [to_server, to_client] = links;
            let profile = Profile { to_server, to_client };
            at.planned = Some(Box::new(MadePath { path: path as u64, client, server, profile }));
        }
    }

    /// The paths in the order in which they were made, if a plan of faults is in force.
    pub(super) fn made_paths(&self) -> Vec<MadePath> {
        self.paths.iter().filter_map(|path| path.planned.as_deref().cloned()).collect()
    }

    fn make_path(&mut self, client: usize, server: usize, profile: &Profile) -> (usize, Direction) {
        let path = self.paths.len();
        let link = |direction: Direction| DirectedLink {
            path: path as u64,
            direction,
            link: Link::new(
                self.plan.impairments(path as u64, direction, profile.direction(direction), false),
                direction.link_seed(self.seed, path as u64),
            ),
            partitioned: false,
            dose: None,
        };
        let made = Path {
            to_server: link(Direction::ToServer),
            to_client: link(Direction::ToClient),
            ends: (client, server),
            planned: None,
            set: false,
        };
        self.paths.push(made);
        self.note_planned(path);
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

    /// The least delay of a link, as it is now.
    pub(super) fn least_delay(&self, path: u64, direction: Direction) -> Duration {
        let path = usize::try_from(path).ok().and_then(|path| self.paths.get(path));
        let link = path.map(|path| match direction {
            Direction::ToServer => &path.to_server,
            Direction::ToClient => &path.to_client,
        });
        link.and_then(|directed| directed.link.impairments().delay())
            .map(|model| model.law().least())
            .unwrap_or_default()
    }

    fn link_mut(&mut self, path: usize, direction: Direction) -> Option<&mut DirectedLink> {
        let path = self.paths.get_mut(path)?;
        Some(match direction {
            Direction::ToServer => &mut path.to_server,
            Direction::ToClient => &mut path.to_client,
        })
    }
}
