//! Servers that restart at any moment, forget what they executed, and execute nothing twice all the same: with an
//! incarnation in the envelope, or silent for a lifetime. Slow handlers, space for few replies and NATs that give other
//! ports are among them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::envelope::Incarnation;
use udp_retry::fault::Profile;
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::sim::{Client, HostId, Outcome, ResponderEndpoint, SimNet};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Transaction};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::wire::{MS, SECRET};
use crate::worlds::{BAD, CLIENT, NETWORK, SERVER, at, breaks, ensure, holds, increment, number};

/// What a server does about the copies that may come from before its start.
#[derive(Clone, Copy, PartialEq)]
enum Against {
    /// Has another incarnation at each start.
    Incarnation,
    /// Has the same one: nothing.
    SameIncarnation,
    Silence,
}

#[test]
fn with_an_incarnation_nothing_is_executed_twice_one_request_after_the_other() {
    let tally = Tally::default();
    holds(0..300, |net| World::new(net, Against::Incarnation, &tally).one_after_the_other(30));
    tally.print();
    // Else nothing was proved.
    assert!(tally.answered.get() > 4_000 && tally.restarted.get() > 400 && tally.timed_out.get() > 50);
    assert!(tally.executed_unanswered.get() > 100 && tally.restarts.get() > 5_000);
}

#[test]
fn with_an_incarnation_nothing_is_executed_twice_of_a_fleet() {
    let tally = Tally::default();
    holds(0..60, |net| World::new(net, Against::Incarnation, &tally).fleet(40, 10));
    tally.print();
    assert!(tally.answered.get() > 8_000 && tally.restarted.get() > 800 && tally.timed_out.get() > 200);
    assert!(tally.executed_unanswered.get() > 400 && tally.restarts.get() > 1_000);
}

#[test]
fn with_a_silence_nothing_is_executed_twice_either() {
    let tally = Tally::default();
    holds(0..60, |net| World::new(net, Against::Silence, &tally).one_after_the_other(30));
    holds(100..120, |net| World::new(net, Against::Silence, &tally).fleet(40, 10));
    tally.print();
    assert!(tally.answered.get() > 4_000 && tally.timed_out.get() > 400 && tally.restarted.get() == 0);
    assert!(tally.executed_unanswered.get() > 100 && tally.restarts.get() > 400);
}

#[test]
fn one_that_always_has_the_same_incarnation_is_found() {
    let one = breaks(|net| World::new(net, Against::SameIncarnation, &Tally::default()).one_after_the_other(30));
    let fleet = breaks(|net| World::new(net, Against::SameIncarnation, &Tally::default()).fleet(10, 10));
    assert!(one.error.contains("times") && fleet.error.contains("times"), "{one} {fleet}");
}

/// What came of all requests.
#[derive(Default)]
struct Tally {
    answered: Cell<u64>,
    restarted: Cell<u64>,
    timed_out: Cell<u64>,
    executed_unanswered: Cell<u64>,
    restarts: Cell<u64>,
}

fn count(of: &Cell<u64>) {
    of.set(of.get() + 1);
}

impl Tally {
    fn print(&self) {
        let [answered, restarted, timed_out, executed, restarts] =
            [&self.answered, &self.restarted, &self.timed_out, &self.executed_unanswered, &self.restarts]
                .map(Cell::get);
        println!(
            "{answered} answered, {restarted} met a restart, {timed_out} timed out, {executed} of these two executed; \
             {restarts} restarts"
        );
    }
}

/// A server that counts and restarts, its clients' host, and how often each number was executed.
#[derive(Clone)]
struct World<'t> {
    net: SimNet,
    client: HostId,
    against: Against,
    seed: Seed,
    is_rebound: bool,
    executions: Rc<RefCell<BTreeMap<u64, u32>>>,
    tally: &'t Tally,
}

/// What the seed has made of the server.
#[derive(Clone)]
struct Server {
    limits: ReplyLimits,
    key: SameId,
    work: Duration,
    against: Against,
    executions: Rc<RefCell<BTreeMap<u64, u32>>>,
}

impl<'t> World<'t> {
    fn new(net: &SimNet, against: Against, tally: &'t Tally) -> Self {
        let (client, host) = (net.host(at(CLIENT).ip()).unwrap(), net.host(at(SERVER).ip()).unwrap());
        net.path(client, host, Profile::both(BAD.parse().unwrap())).unwrap();
        let seed = Seed::new(net.seed().derive(901).draw(0));
        let pick = |n: u64, of: u64| Seed::new(seed.derive(902).draw(n)).draw(0) % of;
        let limits = ReplyLimits::for_policy(&RetryPolicy::LAN, NETWORK).unwrap();
        // More entries than there are requests, and space for few replies or for all.
        let limits = limits.with_entries(NonZeroU32::new(1 << 12).unwrap());
        let limits = limits.with_bytes(if pick(0, 2) == 0 { 4 * (20 + 16) } else { 1 << 16 });
        let is_rebound = pick(1, 2) == 0;
        let key = if is_rebound { same_id(0..8).from_any_peer() } else { same_id(0..8) };
        let work = [Duration::ZERO, 20 * MS, 250 * MS][pick(2, 3) as usize];
        let executions: Rc<RefCell<_>> = Rc::default();
        let server = Server { limits, key, work, against, executions: Rc::clone(&executions) };
        let world = Self { net: net.clone(), client, against, seed, is_rebound, executions, tally };
        // Silent ones live for longer than they are silent.
        let most = if against == Against::Silence { 20_000 } else { [600, 3_000, 10_000][pick(3, 3) as usize] };
        world.restarts(&server, most);
        world.rebinds();
        world
    }

    /// Lives of random lengths, with gaps, for as long as requests are made.
    fn restarts(&self, server: &Server, most: u64) {
        server.clone().start(&self.net, 0);
        let mut time = Duration::ZERO;
        for n in 1.. {
            let draw = |stream| Seed::new(self.seed.derive(stream).draw(n)).draw(0);
            let stop = time + Duration::from_micros(most * 250 + draw(903) % (most * 1_000));
            time = stop + Duration::from_micros(draw(904) % 400_000);
            if time > LONGEST {
                break;
            }
            self.net.at(stop, |net| assert!(net.stop(at(SERVER))));
            let server = server.clone();
            self.net.at(time, move |net| server.start(net, n));
            count(&self.tally.restarts);
        }
    }

    fn rebinds(&self) {
        let client = self.client;
        let times = if self.is_rebound { 1..LONGEST.as_secs() as u32 } else { 0..0 };
        for n in times {
            self.net.at(1_000 * MS * n, move |net| net.rebind(client).unwrap());
        }
    }

    /// Each by a requester of its own in one of three cases, which knows no incarnation at first.
    fn one_after_the_other(&self, requests: u64) -> Result<(), String> {
        let mut n = 0;
        while n < requests {
            let transport = self.net.connect(self.client, at(SERVER)).unwrap();
            let builder = ReliableRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
            let builder = if self.against == Against::Silence { builder } else { builder.envelope() };
            let mut requester = builder.seed(Seed::new(self.seed.derive(905).draw(n))).over(transport).unwrap();
            for _ in 0..=n % 3 {
                let ended = requester.request(&increment(n));
                let ended = ended.map(|reply| reply.payload().to_vec()).map_err(|error| error.failure());
                self.ended(n, ended.as_deref())?;
                n += 1;
            }
        }
        self.none_twice()
    }

    fn fleet(&self, clients: u64, requests: u64) -> Result<(), String> {
        let wrong: Rc<RefCell<Option<String>>> = Rc::default();
        let counts: Rc<RefCell<Vec<Ended>>> = Rc::default();
        for client in 0..clients {
            let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
            let transaction = if self.against == Against::Silence { transaction } else { transaction.with_envelope() };
            let (seed, counts, executions) =
                (self.seed.derive(906).derive(client), Rc::clone(&counts), Rc::clone(&self.executions));
            let wrong = Rc::clone(&wrong);
            let mut asked = 0;
            let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| {
                let before = client * requests + asked;
                match outcome {
                    Outcome::First => {}
                    Outcome::Reply { payload, .. } => {
                        counts.borrow_mut().push((before - 1, None));
                        let right = is_right(&executions.borrow(), before - 1, payload);
                        right.unwrap_or_else(|error| *wrong.borrow_mut() = Some(error));
                    }
                    Outcome::Failed { failure, .. } => counts.borrow_mut().push((before - 1, Some(failure))),
                    other => panic!("{other:?}"),
                }
                asked += 1;
                request.extend_from_slice(&increment(before));
                // Wide ids, of which no two are the same.
                request[..8].copy_from_slice(&seed.draw(asked).to_le_bytes());
                (asked <= requests).then(|| now.after(Duration::from_micros(seed.draw(1_000 + asked) % 3_000_000)))
            };
            self.net
                .serve_connected(
                    self.client,
                    at(SERVER),
                    Client::new(at(SERVER), transaction, self.seed.derive(client), next),
                )
                .unwrap();
        }
        self.net.run_to_the_end(Timestamp::MAX);
        wrong.take().map_or(Ok(()), Err)?;
        for (n, failure) in counts.borrow().iter() {
            self.counted(*n, *failure)?;
        }
        ensure(counts.borrow().len() as u64 == clients * requests, || "a client never ended".to_owned())?;
        self.none_twice()
    }

    fn ended(&self, n: u64, ended: Result<&[u8], &Failure>) -> Result<(), String> {
        if let Ok(payload) = ended {
            is_right(&self.executions.borrow(), n, payload)?;
        }
        self.counted(n, ended.err().copied())
    }

    fn counted(&self, n: u64, failure: Option<Failure>) -> Result<(), String> {
        match failure {
            None => count(&self.tally.answered),
            Some(Failure::ServerRestarted) => count(&self.tally.restarted),
            // Where the server is away, its host may say so.
            Some(Failure::TimedOut(_) | Failure::Refused) => count(&self.tally.timed_out),
            Some(other) => return Err(format!("request {n}: {other:?}")),
        }
        if failure.is_some() && self.executions.borrow().contains_key(&n) {
            count(&self.tally.executed_unanswered);
        }
        Ok(())
    }

    /// Once all copies have come.
    fn none_twice(&self) -> Result<(), String> {
        self.net.run_to_the_end(Timestamp::MAX);
        let executions = self.executions.borrow();
        let twice = executions.iter().find(|(_, times)| **times != 1);
        ensure(twice.is_none(), || format!("request {twice:?} times"))
    }
}

impl Server {
    fn start(self, net: &SimNet, n: u64) {
        let Self { limits, key, work, against, executions } = self;
        let responder = Responder::new(limits, key, &SECRET, net.now());
        let responder = match against {
            Against::Incarnation => responder.envelope(Incarnation::new(n + 1).unwrap()),
            Against::SameIncarnation => responder.envelope(Incarnation::new(1).unwrap()),
            // The first one has nothing to be silent about.
            Against::Silence => responder.silent_after_start(if n == 0 { Duration::ZERO } else { limits.lifetime() }),
        };
        let execute = move |request: &[u8], reply: &mut Vec<u8>| {
            *executions.borrow_mut().entry(number(request)).or_default() += 1;
            reply.extend_from_slice(request);
        };
        let endpoint = ResponderEndpoint::new(&Rc::new(RefCell::new(responder)), execute).working_for(work);
        net.serve_endpoint(at(SERVER), endpoint).unwrap();
    }
}

/// A request of a fleet, and why it failed, if it did.
type Ended = (u64, Option<Failure>);

fn is_right(executions: &BTreeMap<u64, u32>, n: u64, reply: &[u8]) -> Result<(), String> {
    let times = executions.get(&n).copied().unwrap_or_default();
    ensure(number(reply) == n && times == 1, || format!("request {n} was answered {reply:?}, executed {times} times"))
}

/// Longer than all requests of a world take.
const LONGEST: Duration = Duration::from_secs(120);
