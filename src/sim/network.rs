use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::shrink::{Fault, Plan, faults_of};
use super::world::socket::{Reader, Socket};
use super::world::{Step, World};
use super::{Dose, Endpoint, SimEvent, SimTransport};
use crate::entropy::Seed;
use crate::fault::Profile;
use crate::time::Timestamp;

/// A network in virtual time: hosts, the paths between them, and whoever listens there.
///
/// Clones are handles on one network. Time moves in [`run_until`](Self::run_until) and while a [`SimTransport`] waits;
/// what is due at the same moment happens in a fixed order: answers that were worked on leave, datagrams arrive,
/// timers fire, each kind in the order in which it was caused. Nothing is random but the links, by the seed, so that a
/// run can be repeated bit for bit: [`trace_hash`](Self::trace_hash).
#[derive(Clone)]
pub struct SimNet {
    pub(super) world: Rc<RefCell<World<Action>>>,
}

pub(super) type Action = Box<dyn FnOnce(&SimNet)>;

/// A host of a [`SimNet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

/// Why a network cannot be set up like that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// Two hosts cannot have one address.
    #[error("there is a host with the address {0}")]
    AddressTaken(IpAddr),
    /// No host has this address.
    #[error("no host has the address {0}")]
    NoSuchHost(IpAddr),
    /// Somebody listens there already.
    #[error("{0} is in use")]
    InUse(SocketAddr),
    /// A host of one family cannot reach an address of the other.
    #[error("{0} is of another address family than the client")]
    OtherFamily(SocketAddr),
    /// All ports are taken.
    #[error("the host has no free port")]
    NoPort,
}

/// What became of all datagrams of a [`SimNet`]; every one is accounted for:
///
/// - `sent + duplicates = cut + dropped + delivered`
/// - `delivered = arrived + lost_on_arrival + discarded + in_flight`, where nothing is in flight but datagrams; a
///   refusal on its way counts as in flight too
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct NetStats {
    /// Datagrams that entered the network.
    pub sent: u64,
    /// Those that met a partition, or left a host that is down.
    pub cut: u64,
    /// Those that their link dropped or refused.
    pub dropped: u64,
    /// Copies that their links let through.
    pub delivered: u64,
    /// Those of them that are second copies.
    pub duplicates: u64,
    /// Copies that reached whom they were sent to, and that were read or still can be.
    pub arrived: u64,
    /// Copies that found nobody, somebody else, or a full buffer.
    pub lost_on_arrival: u64,
    /// Copies for which there was no room in the simulation, and those that nobody had read when their socket was closed
    /// or moved.
    pub discarded: u64,
    /// What endpoints wanted to send and could not.
    pub unsent: u64,
    /// Copies on their way, refusals included.
    pub in_flight: u64,
}

impl SimNet {
    /// A network without hosts, at time zero.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self::planned(seed, Plan::Chance, false)
    }

    pub(super) fn planned(seed: Seed, plan: Plan, recording: bool) -> Self {
        Self { world: Rc::new(RefCell::new(World::new(seed, plan, recording))) }
    }

    /// Keeps all [`events`](Self::events) from now on.
    pub fn record(&self) {
        self.world.borrow_mut().record.get_or_insert_default();
    }

    /// The seed of the links, for what else in a scenario should differ from seed to seed.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.world.borrow().topology.seed()
    }

    /// A host with this address.
    ///
    /// # Errors
    ///
    /// [`SimError::AddressTaken`]
    pub fn host(&self, address: IpAddr) -> Result<HostId, SimError> {
        self.world.borrow_mut().topology.add_host(address).map(HostId).ok_or(SimError::AddressTaken(address))
    }

    /// What happens between two hosts, from now on. Without a path, datagrams arrive at once.
    ///
    /// The links' numbers and states stay when a path is changed.
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) {
        self.world.borrow_mut().topology.set_path(client.0, server.0, &profile);
    }

    /// Limits what the link from one host to the other may do.
    pub fn dose(&self, from: HostId, to: HostId, dose: Dose) {
        if let Some((.., way)) = self.world.borrow_mut().topology.way_between(from.0, to.0) {
            way.dose = Some(dose);
        }
    }

    /// Nothing sent from now on passes between the two hosts, in either direction.
    pub fn partition(&self, one: HostId, other: HostId) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Nothing sent from now on passes from one host to the other.
    pub fn partition_one_way(&self, from: HostId, to: HostId) {
        self.set_cut(from, to, true);
    }

    /// Ends the partitions between the two hosts.
    pub fn heal(&self, one: HostId, other: HostId) {
        self.set_cut(one, other, false);
        self.set_cut(other, one, false);
    }

    fn set_cut(&self, from: HostId, to: HostId, cut: bool) {
        if let Some((.., way)) = self.world.borrow_mut().topology.way_between(from.0, to.0) {
            way.cut = cut;
        }
    }

    /// From now on the host is silent: what reaches it vanishes, and nothing leaves it.
    pub fn take_down(&self, host: HostId) {
        self.world.borrow_mut().topology.set_down(host.0, true);
    }

    /// The host is back, with everything that runs on it.
    pub fn bring_up(&self, host: HostId) {
        self.world.borrow_mut().topology.set_down(host.0, false);
    }

    /// Puts a server to an address of a host.
    ///
    /// # Errors
    ///
    /// [`SimError::NoSuchHost`], [`SimError::InUse`].
    pub fn serve(&self, at: SocketAddr, endpoint: impl Endpoint + 'static) -> Result<(), SimError> {
        let mut world = self.world.borrow_mut();
        let host = world.topology.host_at(at.ip()).ok_or(SimError::NoSuchHost(at.ip()))?;
        if world.sockets.at(at).is_some() {
            return Err(SimError::InUse(at));
        }
        world.settle(Box::new(endpoint), host, at, None);
        Ok(())
    }

    /// Puts a client to a fresh port of a host: an endpoint that hears from nobody but `peer`, and of refusals.
    /// Returns its address.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn serve_connected(
        &self,
        host: HostId,
        peer: SocketAddr,
        endpoint: impl Endpoint + 'static,
    ) -> Result<SocketAddr, SimError> {
        let mut world = self.world.borrow_mut();
        let at = world.fresh_address(host.0).ok_or(SimError::NoPort)?;
        if at.is_ipv4() != peer.is_ipv4() {
            return Err(SimError::OtherFamily(peer));
        }
        world.settle(Box::new(endpoint), host.0, at, Some(peer));
        Ok(at)
    }

    /// Ends whatever listens at an address, with all that it knew; what arrives there is refused. Whether anybody did.
    #[expect(clippy::must_use_candidate, reason = "most callers know who listens there")]
    pub fn stop(&self, at: SocketAddr) -> bool {
        self.world.borrow_mut().close_at(at)
    }

    /// A client's socket on a host, connected to `peer` whether anybody listens there or not.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn connect(&self, host: HostId, peer: SocketAddr) -> Result<SimTransport, SimError> {
        let mut world = self.world.borrow_mut();
        let at = world.fresh_address(host.0).ok_or(SimError::NoPort)?;
        if at.is_ipv4() != peer.is_ipv4() {
            return Err(SimError::OtherFamily(peer));
        }
        let socket = world.sockets.bind(Socket::new(host.0, at, Some(peer), Reader::Transport));
        drop(world);
        Ok(SimTransport::new(self.clone(), socket, peer))
    }

    /// The host's NAT forgets: its sockets appear at other ports, and what comes to the old ones vanishes.
    pub fn rebind(&self, host: HostId) {
        self.world.borrow_mut().sockets.forget_mappings(host.0);
    }

    /// Does something to the network once its time has come.
    pub fn at(&self, time: Duration, action: impl FnOnce(&Self) + 'static) {
        self.world.borrow_mut().act_at(Timestamp::ZERO.after(time), Box::new(action));
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.borrow().now
    }

    /// Lets everything happen up to this time, that included.
    pub fn run_until(&self, time: Timestamp) {
        while self.step(time) {}
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(time);
    }

    /// Lets everything happen until nothing more will, or this time has come.
    pub fn run_to_the_end(&self, limit: Timestamp) {
        while self.step(limit) {}
    }

    /// Does the next thing that is due by then; whether there was one.
    pub(super) fn step(&self, until: Timestamp) -> bool {
        // Bound, so that the world is free again when the action needs it.
        let step = self.world.borrow_mut().step(until);
        match step {
            Step::Idle => false,
            Step::Done => true,
            Step::Act(action) => {
                action(self);
                true
            }
        }
    }

    /// When the next thing will happen.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.world.borrow().next_due()
    }

    /// What became of all datagrams.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        let world = self.world.borrow();
        NetStats { in_flight: world.in_flight(), ..world.stats }
    }

    /// A digest of everything that has happened, down to the last bit: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().hash
    }

    /// Everything that has happened since [`record`](Self::record).
    #[must_use]
    pub fn events(&self) -> Vec<SimEvent> {
        self.world.borrow().record.clone().unwrap_or_default()
    }

    /// What happened, as faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let world = self.world.borrow();
        let least = |path, direction| world.topology.least_delay(path, direction);
        faults_of(world.record.as_deref().unwrap_or_default(), least)
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("now", &self.now()).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
