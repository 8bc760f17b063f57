//! Every fate of the first datagrams, and none left out: what holds there holds by proof and not by sampling. And the
//! tester itself is tested: the book's loop fails in the same worlds, and the few faults that it is told say why.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use udp_retry::fault::{Direction, Profile, Rule, Script};
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{Choice, Counterexample, Dose, SimError, SimNet, SimTransport, exhaust, explore};
use udp_retry::transaction::ReplyMatcher;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{Impairments, RetryBudget, RetryPolicy, Seed, any_reply, transaction_id};

use crate::waits::Waits;
use crate::world::{Asker, Manners, SERVER, Timing, Verdict, World, answer, ensure, ms, request};

// The requester, in every world of six datagrams.

#[test]
fn the_books_schedule_holds_in_every_world_with_ids() {
    every_world(RetryPolicy::LAN, || transaction_id(0..8));
}

#[test]
fn the_books_schedule_holds_in_every_world_without_ids() {
    every_world(RetryPolicy::LAN, any_reply);
}

#[test]
fn a_jittered_schedule_holds_in_every_world_with_ids() {
    every_world(jittered(), || transaction_id(0..8));
}

#[test]
fn a_jittered_schedule_holds_in_every_world_without_ids() {
    every_world(jittered(), any_reply);
}

#[test]
fn a_schedule_cut_by_its_deadline_holds_in_every_world_with_ids() {
    every_world(cut_short(), || transaction_id(0..8));
}

#[test]
fn a_schedule_cut_by_its_deadline_holds_in_every_world_without_ids() {
    every_world(cut_short(), any_reply);
}

#[test]
fn two_transmissions_hold_in_every_world_with_ids_and_without() {
    let twice = RetryPolicy::LAN.with_max_transmissions(2).unwrap();
    every_world(twice, || transaction_id(0..8));
    every_world(twice, any_reply);
}

/// What a datagram may meet: a copy comes within the next request, a late one behind the next transmission.
const CHOICES: [Choice; 4] =
    [Choice::Deliver, Choice::Drop, Choice::Duplicate { after: ms(15) }, Choice::Late { by: ms(115) }];

const DATAGRAMS: u32 = 6;

fn every_world<M: ReplyMatcher + Send + Sync + 'static>(policy: RetryPolicy, matcher: fn() -> M) {
    let (replies, failures, late) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let different = RefCell::new(BTreeSet::new());
    let scenario = |net: &SimNet| {
        let world = World::new(net, "delay 10ms", "delay 10ms");
        world.serve(Manners::default());
        let unlimited = RetryBudget::unlimited();
        let mut asker = Asker::new(&world, world.connect(), policy, matcher(), &unlimited, Timing::Exact);
        for n in 0..3 {
            let asked = request(world.seed.derive(2).draw(n).to_be_bytes(), n, 0);
            let lost = net.stats().dropped;
            let told = asker.ask(&asked)?;
            let lost = net.stats().dropped - lost;
            match &told.reply {
                Some(reply) => {
                    replies.set(replies.get() + 1);
                    ensure!(*reply == answer(&asked), "a wrong reply");
                }
                None => {
                    failures.set(failures.get() + 1);
                    // Two late ones make no more than 250 ms.
                    let in_vain = u64::from(told.transmissions);
                    ensure!(lost >= in_vain || ends_early(&policy), "{lost} losses are no reason to fail");
                }
            }
            late.set(late.get() + told.strays());
        }
        drop(asker);
        late.set(late.get() + net.stats().lost_on_arrival + net.stats().discarded);
        world.ends_empty()?;
        different.borrow_mut().insert(net.trace_hash());
        Ok(())
    };
    let runs = exhaust(DATAGRAMS, &CHOICES, scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(runs, (CHOICES.len() as u64).pow(DATAGRAMS));
    assert_eq!(different.borrow().len() as u64, runs, "no two of these worlds are the same");
    assert_eq!(replies.get() + failures.get(), 3 * runs);
    assert!(failures.get() > 0 && late.get() > runs / 2, "{} failures, {} late ones", failures.get(), late.get());
}

/// Whether a late reply may come after the end.
fn ends_early(policy: &RetryPolicy) -> bool {
    policy.deadline().is_some() || policy.max_transmissions() < 3
}

fn jittered() -> RetryPolicy {
    let backoff = Backoff::exponential(ms(100), ms(3_000)).unwrap().with_jitter(Jitter::UPWARD).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(4).unwrap()
}

/// The deadline falls between a late request and its reply.
fn cut_short() -> RetryPolicy {
    RetryPolicy::LAN.with_deadline(ms(320)).unwrap()
}

// The loop of the book.

/// Sends, waits for anything, waits longer each time.
fn ask_naively(transport: &mut SimTransport, request: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = [0; 256];
    let mut wait = ms(100);
    for _ in 0..5 {
        transport.send(PathIndex::FIRST, request).ok()?;
        if let Ok(Some(heard)) = transport.wait(&mut buffer, transport.now().after(wait)) {
            return Some(buffer[..heard.len].to_vec());
        }
        wait *= 2;
    }
    None
}

fn asks_naively(net: &SimNet, both_ways: &str, requests: u64) -> Verdict {
    let world = World::new(net, both_ways, both_ways);
    world.serve(Manners::default());
    let mut transport = net.connect(world.client, SERVER).unwrap();
    for n in 0..requests {
        let asked = request(world.seed.derive(2).draw(n).to_be_bytes(), n, 0);
        if let Some(reply) = ask_naively(&mut transport, &asked) {
            ensure!(reply == answer(&asked), "request {n} got the reply to another");
        }
    }
    Ok(())
}

fn enough(failure: &Counterexample) -> Vec<(u64, Direction, u64, Rule)> {
    let faults = failure.faults.as_ref().unwrap_or_else(|| panic!("{failure}"));
    faults.iter().map(|it| (it.path, it.direction, it.n, it.rule)).collect()
}

#[test]
fn the_books_loop_fails_in_a_small_world_and_one_duplicate_says_why() {
    let failure = exhaust(DATAGRAMS, &CHOICES, |net| asks_naively(net, "delay 10ms", 3)).unwrap_err();
    assert_eq!(enough(&failure), [(0, Direction::ToServer, 1, Rule::Duplicate { after: ms(15) })]);
    assert_eq!(failure.shrunk_error.as_deref(), Some("request 1 got the reply to another"));
    let told = failure.to_string();
    assert!(told.contains("path 0, to_server: \"duplicate 1 after 15ms\".parse::<Script>()?"), "{told}");
}

#[test]
fn one_late_datagram_is_enough_where_nothing_comes_twice() {
    let choices = [Choice::Deliver, Choice::Drop, Choice::Late { by: ms(115) }];
    let failure = exhaust(DATAGRAMS, &choices, |net| asks_naively(net, "delay 10ms", 3)).unwrap_err();
    assert_eq!(enough(&failure), [(0, Direction::ToServer, 1, Rule::Delay { by: ms(115) })]);
    assert!(failure.to_string().contains("\"delay 1 by 115ms\".parse::<Script>()?"), "{failure}");
}

#[test]
fn losses_alone_do_not_fool_the_books_loop() {
    let runs = exhaust(8, &[Choice::Deliver, Choice::Drop], |net| asks_naively(net, "delay 10ms", 3)).unwrap();
    assert_eq!(runs, 256);
}

#[test]
fn what_chance_does_to_the_books_loop_is_boiled_down_to_one_fault_and_can_be_pasted() {
    let both_ways = "loss 20%; duplicate 20% late 100ms ~100ms; delay 20ms ~10ms; reorder 20% by 200ms";
    let failure = explore(0..100, |net| asks_naively(net, both_ways, 50)).unwrap_err();
    let faults = enough(&failure);
    let &[(0, direction, n, rule)] = &faults[..] else { panic!("{failure}") };
    assert!(matches!(rule, Rule::Duplicate { .. } | Rule::Delay { .. }), "{failure}");

    // As a user would paste it.
    let told = failure.to_string();
    let pasted: Script = told.split('"').nth(1).unwrap().parse().unwrap();
    assert_eq!(pasted, Script::new([(n, rule)]).unwrap());
    let mut profile = Profile::both("delay 10ms".parse().unwrap());
    *profile.direction_mut(direction) = "delay 10ms".parse::<Impairments>().unwrap().with_script(pasted);
    let net = SimNet::new(Seed::new(0));
    let (to_server, to_client) = (profile.to_server.to_string(), profile.to_client.to_string());
    let world = World::new(&net, &to_server, &to_client);
    world.serve(Manners::default());
    let mut transport = net.connect(world.client, SERVER).unwrap();
    let wrong = (0..50).any(|n| {
        let asked = request([n as u8; 8], n, 0);
        ask_naively(&mut transport, &asked).is_some_and(|reply| reply != answer(&asked))
    });
    assert!(wrong, "{profile:?}");
}

#[test]
fn an_id_that_is_used_again_is_a_wrong_reply_waiting_and_it_is_found() {
    let scenario = |net: &SimNet| {
        let world = World::new(net, "delay 10ms", "delay 10ms");
        world.serve(Manners::default());
        let unlimited = RetryBudget::unlimited();
        let mut asker =
            Asker::new(&world, world.connect(), RetryPolicy::LAN, transaction_id(0..8), &unlimited, Timing::Exact);
        for n in 0..3 {
            let asked = request([7; 8], n, 0);
            let told = asker.ask(&asked)?;
            ensure!(told.reply.is_none_or(|reply| reply == answer(&asked)), "request {n} got the reply to another");
        }
        Ok(())
    };
    let failure = exhaust(DATAGRAMS, &CHOICES, scenario).unwrap_err();
    assert_eq!(enough(&failure), [(0, Direction::ToServer, 1, Rule::Duplicate { after: ms(15) })]);
}

// Doses.

/// Of two requests one arrives, and of two replies one: of four requests two, and of their replies one.
#[test]
fn one_loss_in_a_row_each_way_promises_a_reply_within_four_transmissions() {
    let dose = Dose::at_most(64, 64).unwrap().drops_in_a_row(1);
    assert_eq!(most_transmissions(HARSH, Some(dose)), Ok(4));
}

/// Of five requests three arrive; so of five replies in a row these three are sent, and two lost at most.
#[test]
fn two_faults_among_five_each_way_promise_a_reply_within_five_transmissions() {
    let dose = Dose::at_most(2, 5).unwrap();
    assert_eq!(most_transmissions(HARSH, Some(dose)), Ok(5));
}

#[test]
fn a_dose_looks_at_no_more_datagrams_than_it_remembers() {
    assert!(Dose::at_most(1, 1).is_ok() && Dose::at_most(64, 64).is_ok() && Dose::at_most(u32::MAX, 64).is_ok());
    assert_eq!(Dose::at_most(0, 0), Err(SimError::DoseWindow { window: 0, nearest: 1 }));
    let error = Dose::at_most(3, 65).unwrap_err();
    assert_eq!(error, SimError::DoseWindow { window: 65, nearest: 64 });
    assert_eq!(error.to_string(), "a dose looks at 1 to 64 datagrams in a row, not at 65: the nearest is 64");
}

#[test]
fn one_loss_more_breaks_either_promise() {
    for dose in [Dose::at_most(64, 64).unwrap().drops_in_a_row(2), Dose::at_most(3, 5).unwrap()] {
        let failure = most_transmissions(HARSH, Some(dose)).unwrap_err();
        assert!(failure.error.contains("no reply"), "{failure}");
    }
}

#[test]
fn without_a_dose_five_losses_suffice_to_fail() {
    let failure = most_transmissions(HARSH, None).unwrap_err();
    let faults = enough(&failure);
    assert!(faults.len() == 5 && faults.iter().all(|(.., rule)| *rule == Rule::Drop), "{failure}");
    assert_eq!(failure.shrunk_error.as_deref(), Some("no reply"));
}

const HARSH: &str = "loss 90%; delay 20ms";

/// What it takes at most, if every request is answered.
fn most_transmissions(both_ways: &str, dose: Option<Dose>) -> Result<u32, Counterexample> {
    let most = Cell::new(0);
    let scenario = |net: &SimNet| {
        let world = World::new(net, both_ways, both_ways);
        world.serve(Manners::default());
        if let Some(dose) = dose {
            net.dose(world.client, world.server, dose).unwrap();
            net.dose(world.server, world.client, dose).unwrap();
        }
        let unlimited = RetryBudget::unlimited();
        let mut asker =
            Asker::new(&world, world.connect(), RetryPolicy::LAN, transaction_id(0..8), &unlimited, Timing::Exact);
        for n in 0..20 {
            let asked = request(world.seed.derive(2).draw(n).to_be_bytes(), n, 0);
            let told = asker.ask(&asked)?;
            ensure!(told.reply.is_some(), "no reply");
            most.set(most.get().max(told.transmissions));
        }
        Ok(())
    };
    explore(0..1000, scenario)?;
    Ok(most.get())
}

/// What a dose lets through it lets through whole and once, and it may be as late as any other.
#[test]
fn a_dose_without_faults_is_a_path_with_its_delays_alone() {
    let none = Dose::at_most(0, 1).unwrap();
    let both_ways = "loss 50%; duplicate 50%; truncate 50%; corrupt 50%; delay 20ms ~10ms";
    assert_eq!(most_transmissions(both_ways, Some(none)), Ok(1));
}
