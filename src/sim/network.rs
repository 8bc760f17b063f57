use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::panic::resume_unwind;

use super::observer::Observer;
use super::plan::Plan;
use super::world::{Guard, Key, MadePath, Step, World};
use super::{Endpoint, HostId, Limits, NetStats, Outbox, SimError, SimEvent, SimTransport, SimUnconnected, Stopped};
use crate::atomic::AtomicU64;
use crate::entropy::Seed;
#[cfg(feature = "pcap")]
use crate::fault::Capture;
use crate::time::Timestamp;

/// A network in virtual time: hosts, the paths between them, and the programs that listen there.
///
/// Clones are handles on one network. Time moves in [`run_until`](Self::run_until) and while an end waits.
/// What is due at the same moment happens in a fixed order: answers that were worked on leave, datagrams arrive,
/// timers fire, each kind in the order in which it was caused. Nothing is random but the links, by the seed, so that a
/// run can be repeated bit for bit: [`trace_hash`](Self::trace_hash).
///
/// A network lives as long as a handle on it, and one that an [action](Self::at) or an endpoint of its own holds counts
/// too: see [`end`](Self::end).
pub struct SimNet {
    pub(super) world: Rc<RefCell<World<Scheduled>>>,
    pub(super) id: u64,
    /// Sockets whose transports were dropped while the world was in use: to be closed when it is free.
    pub(super) abandoned: Rc<RefCell<Vec<Key>>>,
    /// Whether this handle, which no clone is, ends the network when it is dropped.
    ends: bool,
}

/// What a scenario does to the network at a time of its choice.
pub(super) type Scheduled = Box<dyn FnOnce(&SimNet)>;

impl SimNet {
    /// A network without hosts, at time zero.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self::of(seed, Plan::Chance, Guard::new(Limits::default(), None), None, false)
    }

    /// One that [ends](Self::end) with this handle: for a scenario, which may leave handles behind in its own actions.
    pub(super) fn planned(seed: Seed, plan: Plan, guard: Guard, observer: Option<Rc<RefCell<dyn Observer>>>) -> Self {
        Self::of(seed, plan, guard, observer, true)
    }

    fn of(seed: Seed, plan: Plan, guard: Guard, observer: Option<Rc<RefCell<dyn Observer>>>, ends: bool) -> Self {
        let world = Rc::new(RefCell::new(World::new(seed, plan, guard, observer)));
        Self { world, id: NETWORKS.fetch_add(1, Ordering::Relaxed), abandoned: Rc::default(), ends }
    }

    /// Sets how much may happen, from the start of the network on.
    pub fn limit(&self, limits: Limits) {
        self.world.borrow_mut().guard.limit(limits);
    }

    /// Why nothing happens in the network any more; `None` while things do. A loop of the caller's own that waits for
    /// something to happen should ask this.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.world.borrow().guard.stopped()
    }

    /// Keeps all [`events`](Self::events) from now on, at some 300 bytes each.
    pub fn record(&self) {
        self.world.borrow_mut().start_recording();
    }

    /// Writes every datagram from now on, and what becomes of it, as [`Capture`] says. Needs the feature `pcap`.
    ///
    /// Each host has an interface, with its first address as name, from its first datagram on: what it sends is there as it enters its
    /// link, and what comes to it as it arrives. Times are those of the network, from 1970-01-01 on by default, so that equal runs
    /// give equal bytes. Beside the fates of links, comments are:
    ///
    /// ```text
    /// dropped (partition)                                         on the side of the sender, whose host may be down, too
    /// to_server n 4: delivered, then dropped (nothing listens)    on the other side
    /// ```
    ///
    /// ICMP messages are left out, although each takes a number of its link: a refusal follows on "nothing listens", a router's
    /// report on `dropped (mtu)`. What is sent to all enters once for each host. What a full receive buffer loses has arrived.
    /// A second capture takes the place of the first.
    ///
    /// ```
    /// use udp_retry::fault::Capture;
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::{ReliableRequester, Seed, any_reply};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let writer = Vec::new();
    /// let net = SimNet::new(Seed::new(1));
    /// let capture = Capture::new(writer);
    /// net.capture(capture.clone());
    /// let (client, _) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    /// net.serve("10.0.0.2:7".parse()?, echo())?;
    /// let mut requester = ReliableRequester::builder(any_reply()).over(net.connect(client, "10.0.0.2:7".parse()?)?)?;
    /// requester.request(b"ping")?;
    /// capture.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "pcap")]
    pub fn capture(&self, capture: Capture) {
        self.world.borrow_mut().capture(capture);
    }

    /// The seed of the links. Derive from it what else in a scenario should differ from seed to seed.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.world.borrow().seed()
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
    /// [`SimError::OtherNetwork`], [`SimError::OtherFamily`] if the host has no address of the peer's family, [`SimError::NoPort`].
    pub fn connect(&self, host: HostId, peer: SocketAddr) -> Result<SimTransport, SimError> {
        SimTransport::connect(self, self.number(host)?, peer, &[])
    }

    /// A client's end on a host with a path to each of these servers, in this order: a socket for each, connected as by
    /// [`connect`](Self::connect).
    ///
    /// ```
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::Seed;
    /// use udp_retry::transport::{Incoming, PathIndex, Transport};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let client = net.host("10.0.0.1".parse()?)?;
    /// let servers: [core::net::SocketAddr; 2] = ["10.0.0.2:53".parse()?, "10.0.0.3:53".parse()?];
    /// for server in servers {
    ///     net.host(server.ip())?;
    ///     net.serve(server, echo())?;
    /// }
    /// let mut both = net.connect_all(client, &servers)?;
    /// let second = PathIndex::new(1);
    /// both.send(second, b"ping")?;
    /// let Incoming::Datagram(reply) = both.recv(&mut [0; 64], net.now(), net.now()) else { panic!() };
    /// assert_eq!((reply.from, both.peer_addr_of(second)), (second, Some(servers[1])));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SimError::NoServer`] without any, [`SimError::OtherNetwork`], [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn connect_all(&self, host: HostId, servers: &[SocketAddr]) -> Result<SimTransport, SimError> {
        let (first, others) = servers.split_first().ok_or(SimError::NoServer)?;
        SimTransport::connect(self, self.number(host)?, *first, others)
    }

    /// A socket on a host without a peer: it receives from any sender and sends to any, as a server does, or an event
    /// loop with many servers. See [`SimUnconnected`].
    ///
    /// `at` is an address of the host, or a wildcard (`0.0.0.0`, `[::]`): then the socket has every address of the host.
    /// Port 0 picks a fresh one.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], [`SimError::NotOnHost`], [`SimError::InUse`], [`SimError::NoPort`].
    pub fn bind(&self, host: HostId, at: SocketAddr) -> Result<SimUnconnected, SimError> {
        let (socket, local) = self.world.borrow_mut().bind(self.number(host)?, at)?;
        Ok(SimUnconnected::new(self.clone(), socket, local))
    }

    /// Does something to the network once its time has come; at once when time next moves, if that is past.
    ///
    /// The action is given the network. A clone that it holds besides keeps the network in memory until the action has
    /// run, or the network [ends](Self::end).
    pub fn at(&self, time: Duration, action: impl FnOnce(&Self) + 'static) {
        self.world.borrow_mut().schedule(Timestamp::ZERO.after(time), Box::new(action));
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.borrow().now()
    }

    /// Drops all endpoints and everything that is scheduled, after which nothing of its own keeps the network in memory.
    /// What it has counted and recorded stays.
    ///
    /// Only needed where actions or endpoints hold handles on the network, and before they have run: then it would stay in
    /// memory for good. The networks that [`explore`](super::explore) and its like make end with each run.
    pub fn end(&self) {
        // Bound, so that the world is free again when these are dropped: they may hold transports. Within a call of an
        // endpoint it is in use, and the network ends with its last handle.
        let ended = self.world.try_borrow_mut().map(|mut world| world.end());
        drop(ended);
    }

    /// Lets everything happen up to this time, that included, unless the network is [`stopped`](Self::stopped) before. At the
    /// end of time, which never comes, the clock stays where the last thing happened.
    pub fn run_until(&self, time: Timestamp) {
        while self.step(time) {}
        if time < Timestamp::MAX {
            self.world.borrow_mut().let_pass(time);
        }
        self.leave_if_over();
    }

    /// Lets everything happen until nothing more will, or this time has come, or the network is
    /// [`stopped`](Self::stopped).
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
            Step::Idle => {
                self.leave_if_over();
                false
            }
            Step::Done => true,
            Step::Act(action) => {
                action(self);
                true
            }
        }
    }

    /// Leaves a scenario that is explored, once its network has been stopped: no code of its own may have an end then.
    pub(super) fn leave_if_over(&self) {
        let over = self.world.borrow().guard.is_left();
        // What is dropped on the way out may use the network, and must not leave it a second time.
        if over && !std::thread::panicking() {
            resume_unwind(Box::new("the network was stopped"));
        }
    }

    /// Whether there was no real time left to go on.
    pub(super) fn is_spent(&self) -> bool {
        self.world.borrow().guard.is_spent()
    }

    /// When the next thing will happen.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.world.borrow().next_due()
    }

    /// Closes the socket of an end that is dropped.
    pub(super) fn close(&self, socket: Key) {
        match self.world.try_borrow_mut() {
            Ok(mut world) => world.close(socket),
            // An endpoint drops it while it is called.
            Err(_) => self.abandoned.borrow_mut().push(socket),
        }
    }

    /// What became of all datagrams.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.world.borrow().stats()
    }

    /// A digest of everything that has happened, down to the last bit, with all times and addresses: equal for equal
    /// runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace_hash()
    }

    /// Everything that has happened since [`record`](Self::record).
    #[must_use]
    pub fn events(&self) -> Vec<SimEvent> {
        self.world.borrow().events().to_vec()
    }

    /// The paths as they were first set, in a run of certain faults.
    pub(super) fn made_paths(&self) -> Vec<MadePath> {
        self.world.borrow().made_paths().to_vec()
    }
}

impl Clone for SimNet {
    fn clone(&self) -> Self {
        Self { world: self.world.clone(), id: self.id, abandoned: self.abandoned.clone(), ends: false }
    }
}

impl Drop for SimNet {
    fn drop(&mut self) {
        if self.ends {
            self.end();
        }
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
