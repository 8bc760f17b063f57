//! A counter in bad networks: as many executions as distinct requests that arrived, and none of them twice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::sim::{
    Choice, Client, Counterexample, Endpoint, HostId, Outbox, Outcome, ResponderEndpoint, SimNet, exhaust, explore,
};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Limits, Transaction};
use udp_retry::{ConcurrentRequester, ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::wire::{MS, SECRET};

pub(super) const BAD: &str = "loss 30%; duplicate 30% late 300ms ~300ms; delay 50ms ~45ms unordered";
pub(super) const SERVER: &str = "10.0.0.2:1060";
/// LAN's last transmission leaves after 1.5 s, and this network has no datagram for longer than 0.7 s.
pub(super) const NETWORK: Duration = Duration::from_secs(2);

#[test]
fn ten_thousand_increments_one_by_one_are_executed_once_each() {
    let (executed, answered) = (Cell::new(0), Cell::new(0));
    holds(0..100, |net| {
        let world = World::new(net, Server::default());
        answered.set(answered.get() + world.increments(100)?);
        executed.set(executed.get() + world.executed_once()?);
        Ok(())
    });
    println!("{} answered, {} executed", answered.get(), executed.get());
    assert!((9_600..=9_850).contains(&answered.get()) && executed.get() >= answered.get());
    assert!((9_900..=10_000).contains(&executed.get()));
}

#[test]
fn ten_thousand_increments_with_a_thousand_in_flight_are_executed_once_each() {
    let net = SimNet::new(Seed::new(1));
    let world = World::new(&net, Server::default());
    let transport = net.connect(world.client, at(SERVER)).unwrap();
    let limits = Limits::default().window(NonZeroU32::new(1000).unwrap());
    let id = transaction_id(0..8).stamped();
    let builder = ConcurrentRequester::builder(id).policy(RetryPolicy::LAN).limits(limits);
    let mut requester = builder.seed(Seed::new(1)).over(transport).unwrap();
    let (mut next, mut answered) = (0, 0);
    loop {
        while next < 10_000 && requester.in_flight() < 1000 {
            requester.submit(&increment(next)[..], next).unwrap();
            next += 1;
        }
        let Some(done) = requester.wait() else { break };
        let token = done.token();
        if let Ok(reply) = done.reply() {
            world.check(token, &reply[8..]).unwrap();
            answered += 1;
        }
    }
    drop(requester);
    net.run_to_the_end(Timestamp::MAX);
    let executed = world.executed_once().unwrap();
    println!("{answered} answered, {executed} executed");
    assert!((9_600..=9_850).contains(&answered) && (9_900..=10_000).contains(&executed));
}

#[test]
fn a_hundred_clients_with_a_hundred_increments_each_have_them_executed_once() {
    holds(0..3, |net| {
        let world = World::new(net, Server::default());
        for client in 0..100 {
            let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
            let (mut asked, seed) = (0, net.seed().derive(client));
            let next = move |now: Timestamp, _: Outcome<'_>, request: &mut Vec<u8>| {
                let number = client * 100 + asked;
                // Small ids, of which every client has the same.
                request.extend_from_slice(&asked.to_le_bytes());
                request.extend_from_slice(&number.to_le_bytes());
                asked += 1;
                (asked <= 100).then(|| now.after(Duration::from_micros(seed.draw(asked) % 100_000)))
            };
            net.serve_connected(world.client, at(SERVER), Client::new(at(SERVER), transaction, seed, next)).unwrap();
        }
        net.run_to_the_end(Timestamp::MAX);
        let executed = world.executed_once()?;
        ensure((9_900..=10_000).contains(&executed), || format!("{executed} executed"))
    });
}

#[test]
fn copies_of_what_a_slow_handler_works_on_are_not_executed() {
    let in_progress = Cell::new(0);
    holds(0..100, |net| {
        let world = World::new(net, Server { work: 250 * MS, ..Server::default() });
        world.increments(20)?;
        in_progress.set(in_progress.get() + world.responder.borrow().stats().replies.in_progress);
        world.executed_once().map(drop)
    });
    assert!(in_progress.get() > 1_000, "{}", in_progress.get());
}

#[test]
fn replies_may_be_forgotten_their_requests_are_not() {
    let forgotten = Cell::new(0);
    holds(0..100, |net| {
        let limits = Server::default().limits.with_bytes(4 * (20 + 24));
        let world = World::new(net, Server { limits, ..Server::default() });
        // Other clients' requests use the memory up.
        for client in 0..4 {
            let (mut asked, seed) = (0, net.seed().derive(client));
            let next = move |now: Timestamp, _: Outcome<'_>, request: &mut Vec<u8>| {
                asked += 1;
                request.extend_from_slice(&increment(1_000 * (client + 1) + asked));
                request[..8].copy_from_slice(&asked.to_le_bytes());
                (asked <= 20).then_some(now)
            };
            let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
            net.serve_connected(world.client, at(SERVER), Client::new(at(SERVER), transaction, seed, next)).unwrap();
        }
        world.increments(20)?;
        forgotten.set(forgotten.get() + world.responder.borrow().stats().replies.replies_forgotten);
        world.executed_once().map(drop)
    });
    assert!(forgotten.get() > 500, "{}", forgotten.get());
}

#[test]
fn a_server_that_restarts_and_is_silent_for_the_lifetime_executes_nothing_twice() {
    let executed = Cell::new(0);
    holds(0..100, |net| {
        let silence = Server::default().limits.lifetime();
        let world = World::new(net, Server { silence, ..Server::default() });
        world.restarts_every(20_000 * MS, 10);
        world.increments(60)?;
        executed.set(executed.get() + world.executions.borrow().len());
        // What arrived in the silence is not executed, unless it came again.
        world.none_twice()
    });
    assert!(executed.get() > 4_000, "{}", executed.get());
}

#[test]
fn one_that_is_not_silent_does_and_a_copy_is_enough_for_it() {
    let found = breaks(|net| {
        // Each restart makes a cache, and shrinking has its time: a large one would have it end early on a busy machine.
        let limits = Server::default().limits.with_entries(NonZeroU32::new(4096).unwrap());
        let world = World::new(net, Server { limits, ..Server::default() });
        world.restarts_every(50 * MS, 40);
        world.increments(5)?;
        world.none_twice()
    });
    shrinks_to_at_most(2, &found);
}

#[test]
fn a_nat_that_gives_other_ports_has_requests_executed_twice_unless_their_ids_are_the_whole_key() {
    let rebinding = |net: &SimNet, key: SameId, interval: Duration, increments: u64| {
        let world = World::keyed(net, Server::default(), key);
        for n in 1..60 {
            let client = world.client;
            net.at(interval * n, move |net| net.rebind(client).unwrap());
        }
        world.increments(increments)?;
        world.none_twice()
    };
    holds(0..100, |net| rebinding(net, same_id(0..8).from_any_peer(), 1_000 * MS, 40));
    // Whatever it is that is lost, the client's next transmission comes from another port.
    let found = breaks(|net| rebinding(net, same_id(0..8), 50 * MS, 3));
    shrinks_to_at_most(1, &found);
}

#[test]
fn a_lifetime_that_is_too_short_is_found_and_one_late_copy_is_what_it_takes() {
    let found = breaks(|net| {
        let limits = Server::default().limits.with_lifetime(200 * MS).unwrap();
        let world = World::new(net, Server { limits, ..Server::default() });
        world.increments(10)?;
        world.none_twice()
    });
    shrinks_to_at_most(1, &found);
}

#[test]
fn too_few_entries_that_forget_are_found() {
    let found = breaks(|net| {
        let limits = Server::default().limits.with_entries(NonZeroU32::MIN);
        let limits = limits.when_full(udp_retry::replies::WhenFull::Forget);
        let world = World::new(net, Server { limits, ..Server::default() });
        world.increments(10)?;
        let evicted = world.responder.borrow().stats().replies.evicted_early;
        ensure(evicted > 0, || "nothing was forgotten, but something executed twice".to_owned()).and(world.none_twice())
    });
    shrinks_to_at_most(2, &found);
}

#[test]
fn a_thousand_worlds_execute_nothing_twice() {
    holds(0..1_000, |net| {
        let world = World::new(net, Server::default());
        world.increments(10)?;
        world.executed_once().map(drop)
    });
}

#[test]
fn in_every_world_of_eight_datagrams_each_increment_is_executed_once() {
    let choices = [Choice::Deliver, Choice::Drop, Choice::Duplicate { after: 320 * MS }];
    let worlds = exhaust(8, &choices, |net: &SimNet| -> Result<(), String> {
        let world = World::with(net, Server::default(), same_id(0..8), "delay 10ms");
        let answered = world.increments(2)?;
        let executed = world.executed_once()?;
        ensure(answered <= executed && executed <= 2, || format!("{answered} answered, {executed} executed"))
    });
    assert_eq!(worlds, Ok(3_u64.pow(8)));
}

/// A server that counts, and one client's host.
struct World {
    net: SimNet,
    client: HostId,
    server: Rc<Server>,
    key: SameId,
    responder: Rc<RefCell<Responder<SameId>>>,
    /// How often each number was executed, and which came.
    executions: Rc<RefCell<BTreeMap<u64, u32>>>,
    arrived: Rc<RefCell<BTreeSet<u64>>>,
}

struct Server {
    limits: ReplyLimits,
    work: Duration,
    silence: Duration,
}

impl Default for Server {
    fn default() -> Self {
        let limits = ReplyLimits::for_policy(&RetryPolicy::LAN, NETWORK).unwrap();
        Self { limits, work: Duration::ZERO, silence: Duration::ZERO }
    }
}

impl World {
    fn new(net: &SimNet, server: Server) -> Self {
        Self::keyed(net, server, same_id(0..8))
    }

    fn keyed(net: &SimNet, server: Server, key: SameId) -> Self {
        Self::with(net, server, key, BAD)
    }

    fn with(net: &SimNet, server: Server, key: SameId, both_ways: &str) -> Self {
        let (client, host) = (net.host(at(CLIENT).ip()).unwrap(), net.host(at(SERVER).ip()).unwrap());
        net.path(client, host, Profile::both(both_ways.parse().unwrap())).unwrap();
        let responder = Responder::new(server.limits, key.clone(), &SECRET, net.now());
        let world = Self {
            net: net.clone(),
            client,
            server: Rc::new(server),
            key,
            responder: Rc::new(RefCell::new(responder)),
            executions: Rc::default(),
            arrived: Rc::default(),
        };
        world.serve();
        world
    }

    /// A clone that knows nothing of requests before.
    fn restart(&self) {
        assert!(self.net.stop(at(SERVER)));
        let Server { limits, silence, .. } = *self.server;
        let fresh = Responder::new(limits, self.key.clone(), &[9; 32], self.net.now()).silent_after_start(silence);
        *self.responder.borrow_mut() = fresh;
        self.serve();
    }

    fn restarts_every(&self, interval: Duration, times: u32) {
        for n in 1..=times {
            let world = self.clone();
            self.net.at(interval * n, move |_| world.restart());
        }
    }

    fn serve(&self) {
        let executions = Rc::clone(&self.executions);
        let count = move |request: &[u8], reply: &mut Vec<u8>| {
            let mut executions = executions.borrow_mut();
            *executions.entry(number(request)).or_default() += 1;
            reply.extend_from_slice(request);
            reply.extend_from_slice(&(executions.len() as u64).to_le_bytes());
        };
        let inner = ResponderEndpoint::new(&self.responder, count).working_for(self.server.work);
        self.net.serve_endpoint(at(SERVER), Watched { inner, arrived: Rc::clone(&self.arrived) }).unwrap();
    }

    /// Makes so many increments one after the other, and returns how many were answered.
    fn increments(&self, requests: u64) -> Result<usize, String> {
        let transport = self.net.connect(self.client, at(SERVER)).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
        let mut requester = builder.seed(self.net.seed()).over(transport).unwrap();
        let mut answered = 0;
        for n in 0..requests {
            if let Ok(reply) = requester.request(&increment(n)) {
                self.check(n, &reply.payload()[8..])?;
                answered += 1;
            }
        }
        drop(requester);
        self.net.run_to_the_end(Timestamp::MAX);
        Ok(answered)
    }

    /// An answer to this number, without its id.
    fn check(&self, n: u64, answer: &[u8]) -> Result<(), String> {
        let executions = self.executions.borrow();
        let is_right = number(&[&[0; 8], answer].concat()) == n && executions.contains_key(&n);
        ensure(is_right, || format!("request {n} was answered {answer:?}"))
    }

    fn none_twice(&self) -> Result<(), String> {
        let executions = self.executions.borrow();
        let twice = executions.iter().find(|(_, times)| **times != 1);
        ensure(twice.is_none(), || format!("request {twice:?} times"))
    }

    /// Returns how many there were, as many as came.
    fn executed_once(&self) -> Result<usize, String> {
        self.none_twice()?;
        let (executions, arrived) = (self.executions.borrow(), self.arrived.borrow());
        ensure(executions.keys().eq(arrived.iter()), || {
            format!("{} executions of {} that came", executions.len(), arrived.len())
        })?;
        let stats = self.responder.borrow().stats().replies;
        ensure(stats.fresh == executions.len() as u64 && stats.evicted_early == 0, || format!("{stats:?}"))?;
        Ok(executions.len())
    }
}

impl Clone for World {
    fn clone(&self) -> Self {
        let Self { net, client, server, key, responder, executions, arrived } = self;
        Self {
            net: net.clone(),
            client: *client,
            server: server.clone(),
            key: key.clone(),
            responder: responder.clone(),
            executions: executions.clone(),
            arrived: arrived.clone(),
        }
    }
}

/// Notes what arrives, apart from what is made of it.
struct Watched<E> {
    inner: E,
    arrived: Rc<RefCell<BTreeSet<u64>>>,
}

impl<E: Endpoint> Endpoint for Watched<E> {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        self.arrived.borrow_mut().insert(number(datagram));
        self.inner.on_datagram(now, from, datagram, out);
    }

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox<'_>) {
        self.inner.on_wake(now, out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.inner.wake_at()
    }
}

pub(super) fn holds(seeds: std::ops::Range<u64>, scenario: impl Fn(&SimNet) -> Result<(), String>) {
    explore(seeds, scenario).unwrap_or_else(|failure| panic!("{failure}"));
}

pub(super) fn breaks(scenario: impl Fn(&SimNet) -> Result<(), String>) -> Counterexample {
    explore(0..1_000, scenario).expect_err("something is executed twice")
}

fn shrinks_to_at_most(most: usize, found: &Counterexample) {
    let faults = found.faults.as_ref().unwrap_or_else(|| panic!("not by faults alone: {found}"));
    println!("{faults:?}: {:?}", found.shrunk_error);
    assert!(faults.len() <= most, "{found}");
    assert!(found.shrunk_error.as_ref().unwrap_or(&found.error).contains("times"), "{found}");
}

pub(super) fn ensure(is_right: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(wrong()) }
}

/// Space for the id, and the number.
pub(super) fn increment(n: u64) -> [u8; 16] {
    let mut request = [0; 16];
    request[8..].copy_from_slice(&n.to_le_bytes());
    request
}

pub(super) fn number(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[8..16].try_into().unwrap())
}

pub(super) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

pub(super) const CLIENT: &str = "10.0.0.1:0";
