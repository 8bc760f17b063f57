//! Many clients at once and very many requests: the promises of one request hold for all of them together.
//!
//! `UDP_RETRY_SEEDS=1000` makes the hundred thousand requests below a million.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::{Profile, Rule, Script};
use udp_retry::sim::{Client, Endpoint, Outbox, Outcome, SimNet, check_determinism, explore};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{ReplyMatcher, Strays, Transaction};
use udp_retry::{Impairments, ReliableRequester, RetryBudget, RetryPolicy, Seed, any_reply, transaction_id};

use crate::world::{
    Asker, Manners, SERVER, Slots, Timing, Verdict, World, answer, ensure, ms, request, seed_of_request,
};

#[test]
fn a_fleet_on_a_bad_network_keeps_every_schedule() {
    holds(|net| fleet(net, "loss 30%; duplicate 20% late 300ms ~300ms; delay 50ms ~40ms unordered", None, |_| {}));
}

#[test]
fn a_fleet_survives_an_outage_of_its_server_within_its_budget() {
    holds(|net| fleet(net, "loss 5%; delay 50ms ~40ms", Some(0.2), outage));
}

#[test]
fn a_fleet_whose_server_is_dead_spends_what_the_budget_held_and_no_more() {
    holds(|net| fleet(net, "delay 50ms ~40ms", Some(0.2), |world| assert!(world.net.stop(SERVER))));
}

#[test]
fn a_fleet_on_the_internet_meets_bursts_and_a_partition() {
    holds(|net| fleet(net, "loss 20% burst 4; delay 80ms ~70ms", None, cut));
}

fn holds(scenario: impl Fn(&SimNet) -> Verdict) {
    explore(0..100, &scenario).unwrap_or_else(|failure| panic!("{failure}"));
    for seed in (0..2).map(Seed::new) {
        let again = |net: &SimNet| scenario(net).unwrap_or_else(|wrong| panic!("{wrong}"));
        check_determinism(seed, again).unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
    }
}

fn fleet(net: &SimNet, both_ways: &str, ratio: Option<f64>, doing: fn(&World)) -> Verdict {
    const CLIENTS: u64 = 20;
    const REQUESTS: u64 = 5;
    const START: u32 = 3;
    let world = World::new(net, both_ways, both_ways);
    world.serve(Manners { takes: (ms(0), ms(40)), ..Manners::default() });
    doing(&world);
    let budget = ratio.map_or(RetryBudget::unlimited(), |ratio| RetryBudget::new(ratio, 10, START).unwrap());
    let tally = Rc::new(RefCell::new(Ok(Tally::default())));
    for client in 0..CLIENTS {
        let seed = world.seed.derive(100 + client);
        let policy = if client % 2 == 0 { RetryPolicy::LAN } else { RetryPolicy::default() };
        let transaction = Transaction::new(policy, transaction_id(0..8)).with_budget(budget.clone());
        let (tally, mut asked, mut latest) = (tally.clone(), 0, Vec::new());
        let next = move |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
            let mut tally = tally.borrow_mut();
            if let (Ok(counts), false) = (&mut *tally, matches!(outcome, Outcome::First)) {
                let slots = Slots::of(&policy, seed_of_request(seed, asked - 1));
                if let Err(wrong) = counts.note(&outcome, &slots, &latest, ratio.is_some()) {
                    *tally = Err(format!("client {client}, request {asked}: {wrong}\n{slots:?}\n{outcome:?}"));
                }
            }
            latest = request(seed.derive(0).draw(asked).to_be_bytes(), asked, 0);
            bytes.extend_from_slice(&latest);
            asked += 1;
            let pause = Duration::from_micros(seed.derive(1).draw(asked) % 400_000);
            (asked <= REQUESTS).then(|| now.after(pause))
        };
        net.serve_connected(world.client, SERVER, Client::new(SERVER, transaction, seed, next)).unwrap();
    }
    world.ends_empty()?;
    let ended = tally.replace(Ok(Tally::default()))?;
    let requests = ended.replies + ended.failures;
    ensure!(requests == CLIENTS * REQUESTS, "{requests} requests ended");
    let granted = (requests + u64::from(START)) as f64 + ratio.unwrap_or(f64::INFINITY) * ended.replies.max(1) as f64;
    let kept = ended.transmissions as f64 <= granted;
    ensure!(kept, "{} transmissions, {granted} granted", ended.transmissions);
    // The network has seen no more than the clients say.
    let stats = net.stats();
    let (told, seen) = (ended.transmissions + world.executions(), stats.sent + stats.unsent);
    ensure!(told == seen, "{told} transmissions and answers, {seen} in the network");
    Ok(())
}

#[derive(Default)]
struct Tally {
    replies: u64,
    failures: u64,
    transmissions: u64,
}

impl Tally {
    fn note(&mut self, outcome: &Outcome<'_>, slots: &Slots, request: &[u8], withheld: bool) -> Verdict {
        let (transmissions, elapsed) = match *outcome {
            Outcome::Reply { payload, transmissions, elapsed, .. } => {
                self.replies += 1;
                ensure!(payload == answer(request), "a wrong reply");
                ensure!(elapsed <= slots.end, "a reply after the end");
                (transmissions, elapsed)
            }
            Outcome::Failed { transmissions, elapsed, .. } => {
                self.failures += 1;
                ensure!(elapsed == slots.end, "failed after {elapsed:?}");
                (transmissions, elapsed)
            }
            _ => return Err("nothing has ended".into()),
        };
        self.transmissions += u64::from(transmissions);
        let used = |used: usize| u32::try_from(used).unwrap();
        let least = used(slots.due.partition_point(|&due| due < elapsed));
        let most = used(slots.due.partition_point(|&due| due <= elapsed));
        let least = if withheld { 1 } else { least };
        ensure!((least..=most).contains(&transmissions), "{transmissions} transmissions, not {least}");
        Ok(())
    }
}

fn outage(world: &World) {
    let server = world.clone();
    world.net.at(ms(300), |net| assert!(net.stop(SERVER)));
    world.net.at(ms(6_000), move |_| server.serve(Manners::default()));
}

fn cut(world: &World) {
    let (cutting, healing) = (world.clone(), world.clone());
    world.net.at(ms(300), move |net| net.partition(cutting.client, cutting.server).unwrap());
    world.net.at(ms(2_500), move |net| net.heal(healing.client, healing.server).unwrap());
}

#[test]
fn a_server_that_was_stopped_gives_no_answer_any_more() {
    let net = SimNet::new(Seed::new(1));
    let world = World::new(&net, "delay 1ms", "delay 1ms");
    world.serve(Manners { takes: (ms(50), ms(50)), ..Manners::default() });
    net.at(ms(20), |net| assert!(net.stop(SERVER)));
    let unlimited = RetryBudget::unlimited();
    let mut asker =
        Asker::new(&world, world.connect(), RetryPolicy::LAN, transaction_id(0..8), &unlimited, Timing::Exact);
    let told = asker.ask(&request([1; 8], 1, 0)).unwrap();
    assert!(told.reply.is_none() && world.executions() == 1 && net.stats().unsent == 1, "{:?}", told.events);
}

#[test]
fn a_reply_at_the_very_time_of_a_slot_or_of_the_end_is_in_time() {
    // Round trips of 100 ms and of 3.1 s, which the book's schedule ends after.
    for (delay, transmissions) in [("delay 50ms", 1), ("delay 1550ms", 5)] {
        let net = SimNet::new(Seed::new(1));
        let world = World::new(&net, delay, delay);
        world.serve(Manners::default());
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let noted = outcomes.clone();
        let next = move |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(&request([1; 8], 1, 0));
            match outcome {
                Outcome::First => return Some(now),
                Outcome::Reply { transmissions, .. } => noted.borrow_mut().push(Some(transmissions)),
                _ => noted.borrow_mut().push(None),
            }
            None
        };
        let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
        net.serve_connected(world.client, SERVER, Client::new(SERVER, transaction, Seed::new(1), next)).unwrap();
        world.ends_empty().unwrap();
        assert_eq!(*outcomes.borrow(), [Some(transmissions)], "{delay}");

        let unlimited = RetryBudget::unlimited();
        let mut asker =
            Asker::new(&world, world.connect(), RetryPolicy::LAN, transaction_id(0..8), &unlimited, Timing::Exact);
        let told = asker.ask(&request([2; 8], 2, 0)).unwrap();
        assert_eq!((told.reply.is_some(), told.transmissions), (true, transmissions), "{delay}");
    }
}

#[test]
fn no_reply_is_ever_wrong_where_ids_have_eight_bytes() {
    let both_ways = "loss 30%; duplicate 30% late 400ms ~400ms; delay 50ms ~50ms unordered; reorder 20% by 300ms";
    never_wrong(both_ways, || transaction_id(0..8));
}

#[test]
fn no_reply_is_ever_wrong_without_ids() {
    never_wrong("duplicate 30% late 400ms ~400ms; delay 80ms ~80ms unordered", any_reply);
}

/// A thousand requests for each seed.
fn never_wrong<M: ReplyMatcher + Send + Sync + 'static>(both_ways: &str, matcher: fn() -> M) {
    let (requests, replies, strays) = (Cell::new(0), Cell::new(0), Cell::new(0_u64));
    let scenario = |net: &SimNet| {
        let world = World::new(net, both_ways, both_ways);
        world.serve(Manners::default());
        let unlimited = RetryBudget::unlimited();
        let mut asker = Asker::new(&world, world.connect(), RetryPolicy::LAN, matcher(), &unlimited, Timing::Exact);
        for n in 0..1000 {
            let asked = request(world.seed.derive(7).draw(n).to_be_bytes(), n, 0);
            world.forget();
            let told = asker.ask(&asked)?;
            requests.set(requests.get() + 1);
            replies.set(replies.get() + u64::from(told.reply.is_some()));
            strays.set(strays.get() + told.strays());
            ensure!(told.reply.is_none_or(|reply| reply == answer(&asked)), "request {n}: a wrong reply");
        }
        drop(asker);
        let stats = net.stats();
        strays.set(strays.get() + stats.lost_on_arrival + stats.discarded);
        world.ends_empty()
    };
    explore(0..100, scenario).unwrap_or_else(|failure| panic!("{failure}"));
    let (requests, replies, strays) = (requests.get(), replies.get(), strays.get());
    println!("{requests} requests, {replies} replies, 0 wrong; {strays} late ones turned away, on {both_ways}");
    assert!(strays * 10 > requests && replies * 2 > requests);
}

#[test]
fn duplicate_every_datagram_delay_every_third_10_000_requests_no_wrong_reply_by_id() {
    // Ids that come again after 256 requests, long after the last copy of a reply to them.
    let by_id = || transaction_id(0..1);
    duplicated_and_delayed(by_id, |n| request([n as u8; 8], n, 0));
}

#[test]
fn duplicate_every_datagram_delay_every_third_10_000_requests_no_wrong_reply_without_ids() {
    duplicated_and_delayed(any_reply, |n| request([0; 8], n, 0));
}

/// Every datagram comes twice and every third one late, in both directions: later than the first wait, and the second
/// copy while the next request is under way.
fn duplicated_and_delayed<M: ReplyMatcher + Send + Sync + 'static>(matcher: fn() -> M, asking: fn(u64) -> Vec<u8>) {
    const REQUESTS: u64 = 10_000;
    let third = (1..=10 * REQUESTS).map(|nth| (3 * nth, Rule::Delay { by: ms(120) }));
    let both_ways = "delay 5ms; duplicate 100% late 30ms".parse::<Impairments>().unwrap();
    let both_ways = both_ways.with_script(Script::new(third).unwrap());
    let net = SimNet::new(Seed::new(1));
    let world = World::new(&net, "none", "none");
    net.path(world.client, world.server, Profile::both(both_ways)).unwrap();
    world.serve(Manners::default());
    let unlimited = RetryBudget::unlimited();
    let mut asker = Asker::new(&world, world.connect(), RetryPolicy::LAN, matcher(), &unlimited, Timing::Exact);
    let (mut stale, mut retransmitted) = (0, 0);
    for n in 0..REQUESTS {
        world.forget();
        let asked = asking(n);
        let told = asker.ask(&asked).unwrap_or_else(|wrong| panic!("request {n}: {wrong}"));
        assert_eq!(told.reply.as_ref(), Some(&answer(&asked)), "request {n}");
        stale += told.strays();
        retransmitted += u64::from(told.transmissions > 1);
    }
    let stats = net.stats();
    let late = stale + stats.lost_on_arrival;
    println!("{REQUESTS} requests, {retransmitted} with retransmissions, 0 wrong replies; {late} late ones");
    assert_eq!(stats.duplicates, stats.sent);
    assert!(retransmitted * 4 > REQUESTS && late > REQUESTS && stats.sent < 30 * REQUESTS, "{stats:?}");
}

#[test]
fn junk_every_20_ms_moves_no_transmission_by_more_than_1_ms() {
    let every_20_ms: fn(&[Timestamp]) -> Vec<Timestamp> = |_| (0..2_000).map(|n| moment(20 * n)).collect();
    // Also when a transmission is due, a nanosecond before, and a nanosecond after.
    let at_each_slot: fn(&[Timestamp]) -> Vec<Timestamp> = |slots| {
        let around = |slot: &Timestamp| [slot.as_nanos().saturating_sub(1), slot.as_nanos(), slot.as_nanos() + 1];
        slots.iter().flat_map(around).map(Timestamp::from_nanos).collect()
    };
    for (name, policy) in [("the book's", RetryPolicy::LAN), ("the default", RetryPolicy::default())] {
        for seed in (0..100).map(Seed::new) {
            let (undisturbed, _) = transmissions(policy, seed, &[]);
            for junk in [every_20_ms, at_each_slot] {
                let at = junk(&undisturbed);
                let (disturbed, strays) = transmissions(policy, seed, &at);
                let moved =
                    undisturbed.iter().zip(&disturbed).map(|(one, other)| one.since(*other).max(other.since(*one)));
                let most = moved.max().unwrap();
                assert!(most <= ms(1) && undisturbed.len() == disturbed.len(), "{name}, {seed}: moved by {most:?}");
                assert_eq!(most, ms(0), "{name}, {seed}: and not by a nanosecond");
                let least = at.iter().filter(|&&at| at < *undisturbed.last().unwrap()).count() * KINDS;
                assert!(strays.total() as usize >= least, "{name}, {seed}: {strays:?}");
                let kinds = [strays.stale, strays.empty, strays.truncated, strays.foreign];
                assert!(kinds.iter().all(|&kind| kind > 0), "{name}, {seed}: {strays:?}");
            }
        }
    }
}

/// When a request that nobody answers is sent, while the server's address sends one datagram of junk of each kind at
/// every one of these times, and the strays that were counted.
fn transmissions(policy: RetryPolicy, seed: Seed, junk: &[Timestamp]) -> (Vec<Timestamp>, Strays) {
    let net = SimNet::new(seed);
    let world = World::new(&net, "none", "none");
    let server = Junk { times: junk.to_vec().into(), to: None };
    net.serve_endpoint(SERVER, server).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..8)).policy(policy).seed(seed);
    let mut requester = builder.buffer(64).over(net.connect(world.client, SERVER).unwrap()).unwrap();
    // One that is answered, so that there are stale replies to send.
    assert_eq!(requester.request(OLD).unwrap().payload(), OLD);
    let started = net.now();
    let error = requester.request(b"id 00002 anyone?").unwrap_err();
    (error.timeline().transmissions().map(|sent| started.after(sent)).collect(), error.strays())
}

/// Answers `OLD`, and then sends nothing but junk, whatever it is asked.
struct Junk {
    times: VecDeque<Timestamp>,
    to: Option<SocketAddr>,
}

impl Endpoint for Junk {
    fn on_datagram(&mut self, _: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self.to = Some(from);
        if datagram == OLD {
            out.send(from, datagram);
        }
    }

    fn on_wake(&mut self, _: Timestamp, out: &mut Outbox) {
        self.times.pop_front();
        let junk: [&[u8]; KINDS] = [b"", &[0xee; 100], b"id 00003 a wrong id", b"id 000", OLD];
        for datagram in junk {
            out.send(self.to.unwrap(), datagram);
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.times.front().copied().filter(|_| self.to.is_some())
    }
}

const OLD: &[u8] = b"id 00001 hello";
const KINDS: usize = 5;

fn moment(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(millis))
}

#[test]
fn a_client_that_dies_leaves_nothing_behind() {
    struct Silent;
    impl Endpoint for Silent {
        fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {}
    }
    let net = SimNet::new(Seed::new(1));
    let world = World::new(&net, "delay 1ms", "delay 1ms");
    net.serve_endpoint(SERVER, Silent).unwrap();
    let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
    let next = |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&request([1; 8], 1, 0));
        matches!(outcome, Outcome::First).then_some(now)
    };
    let client = Client::new(SERVER, transaction, Seed::new(1), next);
    let at = net.serve_connected(world.client, SERVER, client).unwrap();
    net.run_until(Timestamp::ZERO.after(ms(150)));
    assert!(net.stop(at));
    world.ends_empty().unwrap();
    assert_eq!(net.stats().arrived, 2, "at 1 and 101 ms");
}
