use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::shrink::{Fault, Plan};
use super::world::{Key, Step, World};
use super::{Dose, Endpoint, NetStats, SimError, SimEvent, SimTransport, SimUnconnected};
use crate::entropy::Seed;
use crate::fault::Profile;
use crate::size::Pmtu;
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
    /// Sockets whose transports were dropped while the world was in use: to be closed when it is free.
    pub(super) abandoned: Rc<RefCell<Vec<Key>>>,
}

/// What a scenario does to the network at a time of its choice.
pub(super) type Scheduled = Box<dyn FnOnce(&SimNet)>;

/// A host of a [`SimNet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

impl HostId {
    pub(super) const fn number(self) -> usize {
        self.0
    }
}

impl SimNet {
    /// A network without hosts, at time zero.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self::planned(seed, Plan::Chance, false)
    }

    pub(super) fn planned(seed: Seed, plan: Plan, recording: bool) -> Self {
        Self { world: Rc::new(RefCell::new(World::new(seed, plan, recording))), abandoned: Rc::default() }
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

    /// Gives a host one more address, of either family: what is sent to it reaches the same host over the same paths.
    ///
    /// A host sends from the first address of the peer's family that it got, and to itself from the address that it
    /// asks, unless the sender names another ([`Route::local`](crate::transport::Route::local)).
    ///
    /// # Errors
    ///
    /// [`SimError::AddressTaken`]
    pub fn address(&self, host: HostId, address: IpAddr) -> Result<(), SimError> {
        self.world.borrow_mut().add_address(host.0, address)
    }

    /// Sets what happens between two hosts from now on. Without a path, datagrams arrive at once.
    ///
    /// The links' numbers and states stay when a path is changed.
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) {
        self.world.borrow_mut().set_path(client.0, server.0, &profile);
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
    /// [`SimError::OtherFamily`] if the host has no address of the peer's family, [`SimError::NoPort`].
    pub fn connect(&self, host: HostId, peer: SocketAddr) -> Result<SimTransport, SimError> {
        SimTransport::connect(self, host, peer, &[])
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
    /// let servers = ["10.0.0.2:53".parse()?, "10.0.0.3:53".parse()?];
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
    /// [`SimError::NoServer`] without any, [`SimError::OtherFamily`], [`SimError::NoPort`].
    pub fn connect_all(&self, host: HostId, servers: &[SocketAddr]) -> Result<SimTransport, SimError> {
        let (first, others) = servers.split_first().ok_or(SimError::NoServer)?;
        SimTransport::connect(self, host, *first, others)
    }

    /// A socket on a host without a peer: it receives from any sender and sends to any, as a server does, or an event
    /// loop with many servers. See [`SimUnconnected`].
    ///
    /// `at` is an address of the host, or a wildcard (`0.0.0.0`, `[::]`): then the socket has every address of the host.
    /// Port 0 picks a fresh one.
    ///
    /// # Errors
    ///
    /// [`SimError::NotOnHost`], [`SimError::InUse`], [`SimError::NoPort`].
    pub fn bind(&self, host: HostId, at: SocketAddr) -> Result<SimUnconnected, SimError> {
        let (socket, local) = self.world.borrow_mut().bind(host.0, at)?;
        Ok(SimUnconnected::new(self.clone(), socket, local))
    }

    /// Makes the host's NAT forget: its sockets appear at other ports, and what comes to the old ones vanishes, until
    /// all other ports have been used since.
    ///
    /// # Errors
    ///
    /// [`SimError::NoPort`] if there are fewer free ports than sockets; then none has moved.
    pub fn rebind(&self, host: HostId) -> Result<(), SimError> {
        self.world.borrow_mut().rebind(host.0)
    }

    /// Forges a router's report to the socket at `to`: that what was sent from there to `from` exceeds `pmtu`, with
    /// `quoted` as the beginning of it. It arrives at once.
    ///
    /// True ones come from links with `mtu 1400 report`, at the time that the link back takes, unless that loses them. A
    /// host treats both alike, as Linux does:
    ///
    /// - it believes one that concerns a socket there is, connected to `from` or unconnected; others it ignores;
    /// - for 600 s it sends to that address by what it was told, whatever the socket, and never raises its estimate
    ///   meanwhile. It believes no less than 552 bytes (IPv4: what is larger is fragmented on its way from then on) or
    ///   1,280 (IPv6: it goes on as before);
    /// - a connected socket has [`PathError::TooBig`](crate::transport::PathError::TooBig) pending, with what would fit.
    ///
    /// What exceeds the estimate later on:
    ///
    /// | mode of the socket | IPv4 | IPv6 |
    /// |---|---|---|
    /// | [`ByEstimate`](crate::transport::Fragmentation::ByEstimate), the default | goes in fragments, which routers may split again | goes in fragments of that size |
    /// | [`Allowed`](crate::transport::Fragmentation::Allowed) | routers fragment it from the start, and report nothing | as `ByEstimate` |
    /// | [`Forbidden`](crate::transport::Fragmentation::Forbidden) | is refused when it is sent | is refused when it is sent |
    /// | [`Probing`](crate::transport::Fragmentation::Probing) | is sent whole, lost and reported again | is sent whole, lost and reported again |
    ///
    /// All fragments of a datagram share one fate.
    ///
    /// ```
    /// use udp_retry::fault::Profile;
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::size::Pmtu;
    /// use udp_retry::transport::{Fragmentation, Incoming, PathError, PathIndex, Transport};
    /// use udp_retry::{Impairments, Seed};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    /// let narrow = "delay 20ms; mtu 1400 report".parse()?;
    /// net.path(client, server, Profile { to_server: narrow, to_client: "delay 20ms".parse()? });
    /// let mut transport = net.connect(client, "10.0.0.2:7".parse()?)?;
    /// transport.set_fragmentation(Fragmentation::Forbidden);
    ///
    /// transport.send(PathIndex::FIRST, &[7; 1400])?;
    /// let (mut buffer, now) = ([0; 2000], net.now());
    /// let second = now.after(core::time::Duration::from_secs(1));
    /// let Incoming::PathError { error: PathError::TooBig { limit, .. }, quoted, .. } =
    ///     transport.recv(&mut buffer, now, second) else { panic!() };
    /// assert_eq!((limit.map(|it| it.bytes()), &buffer[..quoted]), (Some(1372), &[7; 520][..]));
    /// assert_eq!(transport.kernel_pmtu(), Some(Pmtu::new(1400)));
    /// assert!(transport.send(PathIndex::FIRST, &[7; 1400]).is_err(), "not even sent");
    /// assert!(transport.send(PathIndex::FIRST, &[7; 1372]).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self, from: SocketAddr, to: SocketAddr, pmtu: Pmtu, quoted: &[u8]) {
        self.world.borrow_mut().forge_report(from, to, pmtu, quoted);
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
