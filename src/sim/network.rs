use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::shrink::{Fault, Plan};
use super::world::{Step, World};
use super::{Dose, Endpoint, NetStats, SimError, SimEvent, SimTransport};
use crate::entropy::Seed;
use crate::fault::Profile;
use crate::time::Timestamp;

/// A network in virtual time: hosts, the paths between them, and the programs that listen there.
///
/// Clones are handles on one network. Time moves in [`run_until`](Self::run_until) and while a [`SimTransport`] waits.
/// What is due at the same moment happens in a fixed order: answers that were worked on leave, datagrams arrive,
/// timers fire, each kind in the order in which it was caused. Nothing is random but the links, by the seed, so that a
/// run can be repeated bit for bit: [`trace_hash`](Self::trace_hash).
#[derive(Clone)]
pub struct SimNet {
    pub(super) world: Rc<RefCell<World<Scheduled>>>,
}

/// What a scenario does to the network at a time of its choice.
pub(super) type Scheduled = Box<dyn FnOnce(&SimNet)>;

/// A host of a [`SimNet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

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
        self.world.borrow_mut().start_recording();
    }

    /// The seed of the links. Derive from it what else in a scenario should differ from seed to seed.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.world.borrow().seed()
    }

    /// Adds a host with this address.
    ///
    /// # Errors
    ///
    /// [`SimError::AddressTaken`]
    pub fn host(&self, address: IpAddr) -> Result<HostId, SimError> {
        self.world.borrow_mut().add_host(address).map(HostId)
    }

    /// Sets what happens between two hosts from now on. Without a path, datagrams arrive at once.
    ///
    /// The links' numbers and states stay when a path is changed, and so do the datagrams in flight: what comes behind them
    /// waits for them, also if nothing else holds it up any more; [`release`](Self::release) ends that. Times within
    /// impairments count from time zero of the network. Headers have 28 bytes between IPv4 hosts and 48 between IPv6 hosts,
    /// where the impairments do not set them.
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) {
        self.world.borrow_mut().set_path(client.0, server.0, &profile);
    }

    /// Lets what is in flight from one host to the other arrive now, in the order in which it was to arrive, and empties
    /// the queue of the link.
    pub fn release(&self, from: HostId, to: HostId) {
        self.world.borrow_mut().release(from.0, to.0);
    }

    /// Limits what the link from one host to the other may do.
    pub fn dose(&self, from: HostId, to: HostId, dose: Dose) {
        self.world.borrow_mut().dose(from.0, to.0, dose);
    }

    /// Lets nothing pass between the two hosts, in either direction, that is sent from now on.
    pub fn partition(&self, one: HostId, other: HostId) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Lets nothing pass from one host to the other that is sent from now on.
    pub fn partition_one_way(&self, from: HostId, to: HostId) {
        self.world.borrow_mut().partition(from.0, to.0, true);
    }

    /// Ends the partitions between the two hosts.
    pub fn heal(&self, one: HostId, other: HostId) {
        let mut world = self.world.borrow_mut();
        world.partition(one.0, other.0, false);
        world.partition(other.0, one.0, false);
    }

    /// Silences a host from now on: what reaches it vanishes, and nothing leaves it.
    pub fn take_down(&self, host: HostId) {
        self.world.borrow_mut().take_down(host.0);
    }

    /// Brings a host back, with everything that runs on it.
    pub fn bring_up(&self, host: HostId) {
        self.world.borrow_mut().bring_up(host.0);
    }

    /// Runs a server at an address of a host.
    ///
    /// # Errors
    ///
    /// [`SimError::NoSuchHost`], [`SimError::InUse`].
    pub fn serve(&self, at: SocketAddr, endpoint: impl Endpoint + 'static) -> Result<(), SimError> {
        self.world.borrow_mut().serve(at, Box::new(endpoint))
    }

    /// Runs a client at a fresh port of a host: an endpoint that receives from `peer` alone, refusals included. Returns
    /// its address.
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
        self.world.borrow_mut().serve_connected(host.0, peer, Box::new(endpoint))
    }

    /// Ends whatever listens at an address, with all that it knew; what arrives there from now on is refused. Returns
    /// `false` if nothing listened.
    #[expect(clippy::must_use_candidate, reason = "most callers know what listens there")]
    pub fn stop(&self, at: SocketAddr) -> bool {
        self.world.borrow_mut().stop(at)
    }

    /// A client's socket on a host, connected to `peer` whether anything listens there or not.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn connect(&self, host: HostId, peer: SocketAddr) -> Result<SimTransport, SimError> {
        let socket = self.world.borrow_mut().connect(host.0, peer)?;
        Ok(SimTransport::new(self.clone(), socket, peer))
    }

    /// Makes the host's NAT forget: its sockets appear at other ports, and what comes to the old ones vanishes.
    pub fn rebind(&self, host: HostId) {
        self.world.borrow_mut().rebind(host.0);
    }

    /// Does something to the network once its time has come; at once when time next moves, if that is past.
    pub fn at(&self, time: Duration, action: impl FnOnce(&Self) + 'static) {
        self.world.borrow_mut().schedule(Timestamp::ZERO.after(time), Box::new(action));
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.borrow().now()
    }

    /// Lets everything happen up to this time, that included.
    pub fn run_until(&self, time: Timestamp) {
        while self.step(time) {}
        self.world.borrow_mut().advance(time);
    }

    /// Lets everything happen until nothing more will, or this time has come.
    pub fn run_to_the_end(&self, limit: Timestamp) {
        while self.step(limit) {}
    }

    /// Does the next thing that is due by then; `false` if there was none.
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
        self.world.borrow().stats()
    }

    /// A digest of everything that has happened, down to the last bit: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace_hash()
    }

    /// Everything that has happened since [`record`](Self::record).
    #[must_use]
    pub fn events(&self) -> Vec<SimEvent> {
        self.world.borrow().events().to_vec()
    }

    /// What happened, as faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.world.borrow().faults()
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("now", &self.now()).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
