//! Dead servers: probes, parking and release.

use std::time::Duration;

use udp_retry::policy::Backoff;
use udp_retry::transaction::{Event, Execution, Failure, GiveUp, Match, Next, Stray, Transaction};
use udp_retry::{RetryPolicy, Seed, transaction_id};

use super::{Asked, asked, at_ms, ms, ordered, policy, set, tokens};

#[test]
fn a_dead_server_gets_no_request_but_probes_beside_them() {
    let mut asked = asked(2);
    asked.kill(0);
    let died = asked.at();
    asked.start(b"id 1 ping");
    // 250 ms after its death, whenever the machine is asked, and then after twice that; the policy's schedule goes on as if
    // there were only the other one.
    let wakes: Vec<u64> = [0, 250, 750, 1_000, 1_750].iter().map(|after| died + after).collect();
    for &wake in &wakes {
        asked.now = at_ms(wake);
        asked.transaction.on_time_up(asked.now);
        asked.obey();
    }
    let sent: Vec<(u64, u32)> = asked.sent.iter().map(|&(at, path)| (at - died, path)).collect();
    assert_eq!(sent, [(0, 1), (250, 0), (750, 0), (1_000, 1), (1_750, 0)]);
}

#[test]
fn a_probe_takes_no_slot_and_no_token_and_nothing_waits_for_it() {
    let mut asked = Asked::of(super::in_order(2, transaction_id(0..4)).with_budget(tokens(0)));
    asked.kill(0);
    asked.now = asked.now.after(ms(300));
    let start = asked.at();
    asked.start(b"id 1 ping");
    assert_eq!(asked.silence(start + 900), [(start, 1), (start, 0)]);
    assert_eq!(asked.transaction.transmissions(), 2);
    let states: Vec<_> = asked.transaction.servers().unwrap().states(asked.now).collect();
    assert_eq!((states[0].probes, states[0].outstanding, states[1].outstanding), (1, 0, 1));
    // Nothing but the only slot that a token would pay for.
    assert_eq!(asked.silence(start + 6_900).iter().filter(|&&(_, path)| path == 1).count(), 1);
    assert_eq!(asked.until_it_ends(), (start + 7_000, Next::Failed(Failure::TimedOut(GiveUp::OverBudget))));
}

#[test]
fn the_reply_to_a_probe_completes_the_request_and_revives_the_server() {
    let mut asked = asked(2);
    asked.kill(0);
    asked.now = asked.now.after(ms(300));
    asked.start(b"id 1 ping");
    asked.obey();
    assert_eq!(asked.receive(0, b"id 1 pong"), Match::Reply);
    assert_eq!((asked.obey(), asked.transaction.reply_path().number()), (Next::Done, 0));
    assert!(!asked.is_dead(0));
    let settled: Vec<_> = asked.transaction.servers().unwrap().states(asked.now).map(|it| it.outstanding).collect();
    assert_eq!(settled, [0, 0]);
}

#[test]
fn a_request_that_begins_while_all_are_dead_ends_by_its_schedule_and_only_probes_leave() {
    let mut asked = asked(2);
    asked.kill_all(2);
    let start = asked.at();
    asked.start(b"id 1 ping");
    let (end, failure) = asked.until_it_ends();
    assert_eq!((end, failure), (start + 7_000, Next::Failed(Failure::TimedOut(GiveUp::Unanswered))));
    let states: Vec<_> = asked.transaction.servers().unwrap().states(asked.now).collect();
    assert!(states.iter().all(|state| state.outstanding == 0), "{states:?}");
    assert!((4..=16).contains(&asked.sent.len()), "about one a second and server: {:?}", asked.sent);
    assert_eq!(asked.transaction.execution(), Execution::Unknown, "a probe is a copy");
    let parked = asked.transaction.timeline().events().filter(|(_, event)| *event == Event::Parked).count();
    assert_eq!(parked, 3);
}

#[test]
fn a_parked_request_of_which_nothing_left_says_so() {
    let slow = ordered().with_probes(ms(100_000), ms(100_000), ms(100_000)).unwrap();
    let mut asked = Asked::of(Transaction::new(policy(), transaction_id(0..4)).with_servers(set(2, slow)));
    asked.kill_all(2);
    let start = asked.at();
    asked.start(b"id 1 ping");
    assert_eq!(asked.until_it_ends(), (start + 7_000, Next::Failed(Failure::TimedOut(GiveUp::Unanswered))));
    assert_eq!((asked.sent.len(), asked.transaction.execution()), (0, Execution::NotSent));
}

#[test]
fn a_parked_request_wakes_for_the_probe_that_is_due_next() {
    let mut asked = asked(2);
    asked.kill_all(2);
    asked.start(b"id 1 ping");
    let next = asked.transaction.servers().unwrap().next_probe().unwrap();
    let waits = asked.obey();
    let after = asked.transaction.servers().unwrap().next_probe().unwrap();
    assert_eq!(waits, Next::WaitUntil(next.max(after)));
}

#[test]
fn the_first_answer_to_any_probe_releases_what_is_parked_at_once() {
    for slots_passed in [false, true] {
        let mut asked = asked(2);
        asked.kill_all(2);
        asked.start(b"id 1 probe");
        asked.silence_for(2_000);
        assert!(asked.sent.iter().any(|&(_, path)| path == 1));
        asked.transaction.on_cancelled();
        asked.obey();
        asked.start(b"id 2 ping");
        asked.silence_for(if slots_passed { 3_500 } else { 1_500 });
        let (before, start) = (asked.sent.len(), asked.at());
        // Of the request before: it answers nothing any more, and shows that the server lives.
        assert_eq!(asked.receive(1, b"id 1 pong"), Match::Foreign);
        assert_eq!(asked.transaction.strays().stale, 1);
        asked.obey();
        assert_eq!(asked.sent[before..], [(start, 1)], "slots passed: {slots_passed}");
        assert_eq!(asked.receive(1, b"id 2 pong"), Match::Reply);
        assert_eq!(asked.obey(), Next::Done);
        assert_eq!(asked.transaction.timeline().transmissions().count(), before + 1);
    }
}

#[test]
fn a_late_reply_revives_a_server_although_no_request_is_under_way() {
    let mut asked = asked(2);
    asked.start(b"id 7 ping");
    asked.silence(10);
    asked.transaction.on_cancelled();
    asked.obey();
    asked.kill(0);
    asked.receive(0, b"id 7 pong");
    assert_eq!((asked.transaction.strays().stale, asked.is_dead(0)), (1, false));
    assert_eq!(Stray::Stale.to_string(), "stale");
}

#[test]
fn a_deadline_that_cuts_a_wait_counts_against_a_server_that_had_long_enough() {
    let patient = RetryPolicy::new(Backoff::constant(Duration::from_secs(9)).unwrap());
    let transaction = Transaction::new(patient, transaction_id(0..4)).with_deadline(ms(1_100));
    let mut asked = Asked::of(transaction.with_servers(set(1, ordered())));
    for n in 0..4 {
        assert_eq!(asked.is_dead(0), n >= 3, "{n}");
        asked.start(b"id 1 ping");
        asked.until_it_ends();
    }
    let mut hasty = Transaction::new(policy(), transaction_id(0..4)).with_deadline(ms(200));
    hasty = hasty.with_servers(set(1, ordered()));
    for n in 0..9 {
        hasty.start(b"id 1 ping", at_ms(n * 1000), Seed::new(n));
        hasty.next(at_ms(n * 1000));
        hasty.on_transmitted(at_ms(n * 1000));
        hasty.on_time_up(at_ms(n * 1000 + 200));
        assert!(matches!(hasty.next(at_ms(n * 1000 + 200)), Next::Failed(_)));
    }
    assert!(!hasty.servers().unwrap().is_all_dead());
}
