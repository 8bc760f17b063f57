//! Many clients at once and very many exchanges: the promises of one request hold for all of them together.
//!
//! `UDP_RETRY_SEEDS=1000` makes the hundred thousand exchanges below a million.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::exchange::{ReplyMatcher, Transaction};
use udp_retry::sim::{Client, Endpoint, Outbox, Outcome, SimNet, check_determinism, explore};
use udp_retry::time::Timestamp;
use udp_retry::{RetryBudget, RetryPolicy, Seed, any_reply, transaction_id};

use world::{Asker, Manners, SERVER, Slots, Timing, Verdict, World, answer, ms, request};

#[macro_use]
#[path = "common/world.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod world;

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
    for seed in (0..2).map(Seed) {
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
                let slots = Slots::of(&policy, seed.draw(asked - 1));
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
            Outcome::Reply { payload, transmissions, elapsed } => {
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
    world.net.at(ms(300), move |net| net.partition(cutting.client, cutting.server));
    world.net.at(ms(2_500), move |net| net.heal(healing.client, healing.server));
}

#[test]
fn a_server_that_was_stopped_gives_no_answer_any_more() {
    let net = SimNet::new(Seed(1));
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
        let net = SimNet::new(Seed(1));
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
        net.serve_connected(world.client, SERVER, Client::new(SERVER, transaction, Seed(1), next)).unwrap();
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

/// A thousand exchanges for each seed.
fn never_wrong<M: ReplyMatcher + Send + 'static>(both_ways: &str, matcher: fn() -> M) {
    let (exchanges, replies, strays) = (Cell::new(0), Cell::new(0), Cell::new(0_u64));
    let scenario = |net: &SimNet| {
        let world = World::new(net, both_ways, both_ways);
        world.serve(Manners::default());
        let unlimited = RetryBudget::unlimited();
        let mut asker = Asker::new(&world, world.connect(), RetryPolicy::LAN, matcher(), &unlimited, Timing::Exact);
        for n in 0..1000 {
            let asked = request(world.seed.derive(7).draw(n).to_be_bytes(), n, 0);
            world.forget();
            let told = asker.ask(&asked)?;
            exchanges.set(exchanges.get() + 1);
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
    let (exchanges, replies, strays) = (exchanges.get(), replies.get(), strays.get());
    println!("{exchanges} exchanges, {replies} replies, 0 wrong; {strays} late ones turned away, on {both_ways}");
    assert!(strays * 10 > exchanges && replies * 2 > exchanges);
}

#[test]
fn a_client_that_dies_leaves_nothing_behind() {
    struct Silent;
    impl Endpoint for Silent {
        fn on_datagram(&mut self, _: Timestamp, _: std::net::SocketAddr, _: &[u8], _: &mut Outbox) {}
    }
    let net = SimNet::new(Seed(1));
    let world = World::new(&net, "delay 1ms", "delay 1ms");
    net.serve(SERVER, Silent).unwrap();
    let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
    let next = |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&request([1; 8], 1, 0));
        matches!(outcome, Outcome::First).then_some(now)
    };
    let client = Client::new(SERVER, transaction, Seed(1), next);
    let at = net.serve_connected(world.client, SERVER, client).unwrap();
    net.run_until(Timestamp::ZERO.after(ms(150)));
    assert!(net.stop(at));
    world.ends_empty().unwrap();
    assert_eq!(net.stats().arrived, 2, "at 1 and 101 ms");
}
