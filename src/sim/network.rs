use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;
use core::time::Duration;

use super::shrink::{Fault, Plan};
use super::world::{Key, Step, World};
use super::{Dose, Endpoint, NetStats, Outbox, SimError, SimEvent, SimTransport, Unmet};
use crate::atomic::AtomicU64;
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
    id: u64,
    /// Sockets whose transports were dropped while the world was in use: to be closed when it is free.
    pub(super) abandoned: Rc<RefCell<Vec<Key>>>,
}

/// What a scenario does to the network at a time of its choice.
pub(super) type Scheduled = Box<dyn FnOnce(&SimNet)>;

/// A host of a [`SimNet`]; no other network takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId {
    number: usize,
    net: u64,
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the network: its number is another one in each run.
        f.debug_tuple("HostId").field(&self.number).finish()
    }
}

impl SimNet {
    /// A network without hosts, at time zero.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self::planned(seed, Plan::Chance, false)
    }

    pub(super) fn planned(seed: Seed, plan: Plan, recording: bool) -> Self {
        let world = Rc::new(RefCell::new(World::new(seed, plan, recording)));
        Self { world, id: NETWORKS.fetch_add(1, Ordering::Relaxed), abandoned: Rc::default() }
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
    /// [`SimError::AddressTaken`], [`SimError::NotAHost`].
    pub fn host(&self, address: IpAddr) -> Result<HostId, SimError> {
        let number = self.world.borrow_mut().add_host(address)?;
        Ok(HostId { number, net: self.id })
    }

    /// Sets what happens between two hosts from now on. Without a path, datagrams arrive at once.
    ///
    /// The first call for two hosts decides which of them is the client, whatever was sent, partitioned or healed
    /// between them before. The links' numbers and states stay when a path is changed.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) -> Result<(), SimError> {
        let (client, server) = (self.number(client)?, self.number(server)?);
        self.world.borrow_mut().set_path(client, server, &profile);
        Ok(())
    }

    /// Limits what the link from one host to the other may do.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn dose(&self, from: HostId, to: HostId, dose: Dose) -> Result<(), SimError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        self.world.borrow_mut().dose(from, to, dose);
        Ok(())
    }

    /// Lets nothing pass between the two hosts, in either direction, that is sent from now on.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn partition(&self, one: HostId, other: HostId) -> Result<(), SimError> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        self.world.borrow_mut().partition(one, other, true);
        Ok(())
    }

    /// Lets nothing pass from one host to the other that is sent from now on.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn partition_one_way(&self, from: HostId, to: HostId) -> Result<(), SimError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        self.world.borrow_mut().partition(from, to, false);
        Ok(())
    }

    /// Ends the partitions between the two hosts.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn heal(&self, one: HostId, other: HostId) -> Result<(), SimError> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        self.world.borrow_mut().heal(one, other);
        Ok(())
    }

    /// Silences a host from now on: what reaches it vanishes, and nothing leaves it.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn take_down(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().take_down(host);
        Ok(())
    }

    /// Brings a host back, with everything that runs on it.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn bring_up(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().bring_up(host);
        Ok(())
    }

    /// Runs a server at an address of a host: a closure that is called for each datagram, with the time, where it comes
    /// from, its bytes, and an [`Outbox`] for the answers. For a server that needs to be woken, see
    /// [`serve_endpoint`](Self::serve_endpoint).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let net = udp_retry::sim::SimNet::new(udp_retry::Seed::new(1));
    /// # net.host("10.0.0.2".parse()?)?;
    /// net.serve("10.0.0.2:1060".parse()?, |now, from, datagram, out| {
    ///     out.send(from, &[datagram, &now.as_nanos().to_be_bytes()].concat());
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SimError::NoSuchHost`], [`SimError::PortZero`], [`SimError::InUse`].
    pub fn serve(
        &self,
        at: SocketAddr,
        server: impl FnMut(Timestamp, SocketAddr, &[u8], &mut Outbox<'_>) + 'static,
    ) -> Result<(), SimError> {
        self.serve_endpoint(at, server)
    }

    /// Runs a server with timers and errors at an address of a host.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    pub fn serve_endpoint(&self, at: SocketAddr, server: impl Endpoint + 'static) -> Result<(), SimError> {
        self.world.borrow_mut().serve(at, Box::new(server))
    }

    /// Runs a client at a fresh port of a host: an endpoint that receives from `peer` alone, refusals included. Returns
    /// its address.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn serve_connected(
        &self,
        host: HostId,
        peer: SocketAddr,
        endpoint: impl Endpoint + 'static,
    ) -> Result<SocketAddr, SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().serve_connected(host, peer, Box::new(endpoint))
    }

    /// Ends whatever listens at an address, with all that it knew; what arrives there from now on is refused. A transport
    /// that is stopped neither sends nor receives any more. Returns `false` if nothing listened.
    #[expect(clippy::must_use_candidate, reason = "most callers know what listens there")]
    pub fn stop(&self, at: SocketAddr) -> bool {
        // Bound, so that the world is free again when the endpoint is dropped.
        let stopped = self.world.borrow_mut().stop(at);
        stopped.is_some()
    }

    /// A client's socket on a host, connected to `peer` whether anything listens there or not.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn connect(&self, host: HostId, peer: SocketAddr) -> Result<SimTransport, SimError> {
        let host = self.number(host)?;
        let socket = self.world.borrow_mut().connect(host, peer)?;
        Ok(SimTransport::new(self.clone(), socket, peer))
    }

    /// Makes the host's NAT forget: its sockets appear at other ports, and what comes to the old ones vanishes, until
    /// all other ports have been used since.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]; [`SimError::NoPort`] if there are fewer free ports than sockets, and then none has
    /// moved.
    pub fn rebind(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().rebind(host)
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
        let step = {
            let mut world = self.world.borrow_mut();
            self.abandoned.borrow_mut().drain(..).for_each(|socket| world.close(socket));
            world.step(until)
        };
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

    /// The faults that have met no datagram so far: look at the end of a run, and a test whose faults miss their target
    /// does not pass for one that withstands them.
    ///
    /// Paths that do something to datagrams, partitions, hosts that are down, rules of scripts and outages. Of those
    /// that have ended, the first 1,000.
    ///
    /// ```
    /// use udp_retry::Seed;
    /// use udp_retry::sim::SimNet;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let [client, server, other] = [1, 2, 3].map(|n| net.host([10, 0, 0, n].into()));
    /// net.partition(client?, other?)?; // meant: the server
    /// net.connect(client?, "10.0.0.2:1060".parse()?)?;
    /// let unmet: Vec<String> = net.unmet().iter().map(ToString::to_string).collect();
    /// assert_eq!(unmet, ["the partition 10.0.0.1 <-> 10.0.0.3 since 0 ms met no datagram"]);
    /// # server?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unmet(&self) -> Vec<Unmet> {
        self.world.borrow().unmet()
    }

    fn number(&self, host: HostId) -> Result<usize, SimError> {
        if host.net == self.id { Ok(host.number) } else { Err(SimError::OtherNetwork) }
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
        f.debug_struct("SimNet")
            .field("now", &self.now())
            .field("stats", &self.stats())
            .field("unmet", &self.unmet())
            .finish_non_exhaustive()
    }
}

/// How many networks there have been.
static NETWORKS: AtomicU64 = AtomicU64::new(0);
