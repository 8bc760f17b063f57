//! What to do in one transaction: which datagrams count, what an error means, and what the verdict says.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::{Backoff, RetryBudget};
use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Event, Execution, Failure, GiveUp, Hold, Identity, Match, Matching, Next, ReplyMatcher, Stray, Transaction,
    TransactionId, any_reply, matching, transaction_id,
};
use udp_retry::transport::PathError;

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn strangers_change_no_transmission_and_no_time(ops in vec(ops(), 0..60), at_which in vec(0..60_usize, 1..40), seed: u64) {
        let mut alone = World::start(seed);
        let mut crowded = World::start(seed);
        for (n, &op) in ops.iter().enumerate() {
            for _ in at_which.iter().filter(|&&which| which == n) {
                prop_assert_eq!(crowded.stranger(n), Match::Foreign);
            }
            let (left, right) = (alone.apply(op), crowded.apply(op));
            prop_assert_eq!(left.map(without_kind), right.map(without_kind), "after {:?}", op);
            prop_assert_eq!(without_kind(alone.next()), without_kind(crowded.next()), "after {:?}", op);
            prop_assert_eq!(&alone.sent, &crowded.sent);
            prop_assert_eq!(alone.transaction.round_trip(), crowded.transaction.round_trip());
            prop_assert_eq!(alone.transaction.execution(), crowded.transaction.execution());
            prop_assert_eq!(alone.transaction.last_error(), crowded.transaction.last_error());
        }
    }

    #[test]
    fn a_restarted_transaction_behaves_as_a_fresh_one(
        before in vec(wild_ops(), 0..60), after in vec(wild_ops(), 0..60), seeds: (u64, u64)
    ) {
        let mut used = World::start(seeds.0);
        for op in before {
            used.apply(op);
        }
        // Until then refusals may still be of the requests before.
        used.now = used.now.after(Duration::from_secs(121));
        used.restart(seeds.1);
        let mut fresh = World::new(used.now);
        fresh.restart(seeds.1);
        for op in after {
            prop_assert_eq!(used.apply(op), fresh.apply(op), "{:?}", op);
            prop_assert_eq!(used.shown(), fresh.shown(), "after {:?}", op);
        }
    }

    #[test]
    fn asking_changes_nothing_and_no_fact_makes_it_spin(ops in vec(wild_ops(), 0..80), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            world.apply(op);
            let mut unasked = world.clone();
            let next = world.next();
            prop_assert_eq!(next, world.next());
            prop_assert_eq!(world.shown(), unasked.shown());
            match (op, next) {
                (Op::Sent | Op::NotSent(_), Next::Transmit) => prop_assert!(false, "a burst"),
                (_, Next::WaitUntil(until)) => prop_assert!(until > world.now, "spins"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_reply_ends_it_for_good(ops in vec(ops(), 0..30), after in vec(wild_ops(), 0..30), seed: u64) {
        let mut world = World::start(seed);
        for op in ops.into_iter().chain([Op::Sent, Op::Reply(0)]) {
            world.apply(op);
        }
        if world.next() == Next::Done {
            for op in after {
                world.apply(op);
                prop_assert_eq!(world.next(), Next::Done, "after {:?}", op);
            }
        }
    }

    #[test]
    fn a_failure_that_is_decided_is_never_revised(
        ops in vec(wild_ops(), 0..30), end in ends(), after in vec(wild_ops(), 0..30), seed: u64
    ) {
        let mut world = World::start(seed);
        for op in ops.into_iter().chain(vec![end; 16]) {
            world.apply(op);
        }
        let decided = world.next();
        prop_assert!(!matches!(decided, Next::Transmit | Next::WaitUntil(_)), "{:?}", decided);
        // What only the time has decided, a reply that came in time may still revise.
        let by_time = |failure| matches!(failure, Failure::TimedOut(_) | Failure::Refused | Failure::Unreachable);
        if !matches!(decided, Next::Failed(failure) if by_time(failure)) {
            for op in after {
                world.apply(op);
                prop_assert_eq!(world.next(), decided, "after {:?}", op);
            }
        }
    }

    #[test]
    fn a_round_trip_is_told_only_where_one_transmission_can_be_meant(ops in vec(ops(), 0..60), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            let verdict = world.apply(op);
            if let (Some(Next::Done), Op::Reply(back)) = (verdict, op) {
                let id = world.id_of(back);
                let sent: Vec<_> = world.sent.iter().filter(|&&(_, sent)| sent == id).map(|&(at, _)| at).collect();
                let expected = match sent[..] {
                    [at] => Some(world.now.since(at)),
                    _ => None,
                };
                prop_assert_eq!(world.transaction.round_trip(), expected);
                return Ok(());
            }
            prop_assert_eq!(world.transaction.round_trip(), None);
        }
    }

    #[test]
    fn execution_is_what_the_facts_allow(ops in vec(ops(), 0..60), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            world.apply(op);
            let (sent, refused) = (world.sent.len() as u32, world.refusals);
            match world.transaction.execution() {
                Execution::NotSent => prop_assert_eq!(sent, 0),
                Execution::Refused => prop_assert!(sent > 0 && refused >= sent && !world.answered),
                Execution::Unknown => prop_assert!(sent > 0 && (refused < sent || world.answered)),
            }
        }
    }
}

// Which datagrams count.

#[test]
fn a_reply_to_any_of_the_latest_sixteen_requests_counts_and_to_the_one_before_does_not() {
    for built in 1..=40_u32 {
        for back in 0..20 {
            let mut transaction = Transaction::new(patient(), transaction_id(0..4));
            transaction.start_building(at(0), Seed::new(0));
            for n in 0..built {
                let now = at(u64::from(n) * 10);
                transaction.build(|number, bytes| {
                    assert_eq!(number, n + 1);
                    assert!(bytes.is_empty());
                    bytes.extend_from_slice(&n.to_be_bytes());
                });
                assert_eq!(transaction.datagram(), n.to_be_bytes());
                assert_eq!(transaction.next(now), Next::Transmit);
                transaction.on_transmitted(now);
            }
            let Some(answered) = (built - 1).checked_sub(back) else { continue };
            let now = at(u64::from(built) * 10 - 5);
            let verdict = transaction.on_datagram(now, &answered.to_be_bytes(), 4);
            assert_eq!(verdict == Match::Reply, back < 16, "{back} before the latest of {built}");
            if verdict == Match::Reply {
                let sent = at(u64::from(answered) * 10);
                assert_eq!(transaction.round_trip(), Some(now.since(sent)));
            }
        }
    }
}

#[test]
fn a_request_that_never_left_pushes_out_no_other() {
    let mut transaction = Transaction::new(patient(), transaction_id(0..4));
    transaction.start_building(at(0), Seed::new(0));
    for n in 0..16_u32 {
        transaction.build(|_, bytes| bytes.extend_from_slice(&n.to_be_bytes()));
        transaction.on_transmitted(at(u64::from(n) * 10));
    }
    for n in 16..100_u32 {
        transaction.build(|_, bytes| bytes.extend_from_slice(&n.to_be_bytes()));
        transaction.on_not_transmitted(at(u64::from(n) * 10), PathError::NoBuffers);
    }
    let mut unsent = transaction.clone();
    assert_eq!(unsent.on_datagram(at(1000), &99_u32.to_be_bytes(), 4), Match::Foreign, "it was not sent");
    assert_eq!(transaction.on_datagram(at(1000), &1_u32.to_be_bytes(), 4), Match::Reply);
}

#[test]
fn a_reply_before_any_transmission_is_a_stray() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    transaction.start(b"time?", at(0), Seed::new(0));
    assert_eq!(transaction.on_datagram(at(0), b"noon", 4), Match::Foreign);
    assert_eq!(transaction.next(at(0)), Next::Transmit);
    transaction.on_not_transmitted(at(0), PathError::NoBuffers);
    assert_eq!(transaction.on_datagram(at(1), b"noon", 4), Match::Foreign);
    transaction.on_transmitted(at(100 * MS));
    assert_eq!(transaction.on_datagram(at(101 * MS), b"noon", 4), Match::Reply);
    assert_eq!(transaction.next(at(101 * MS)), Next::Done);
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn a_reply_after_the_reply_is_a_stray() {
    let mut transaction = sent_once();
    assert_eq!(transaction.on_datagram(at(MS), b"id 1", 4), Match::Reply);
    assert_eq!(transaction.on_datagram(at(2 * MS), b"id 1", 4), Match::Foreign);
    assert_eq!(transaction.round_trip(), Some(Duration::from_millis(1)));
    let events: Vec<_> = transaction.timeline().events().map(|(_, event)| event).collect();
    assert_eq!(events, [Event::Transmitted(1), Event::Replied, Event::Stray(Stray::Stale, 4)]);
}

#[test]
fn a_reply_counts_up_to_the_deadline_even_after_the_last_wait() {
    for (limit, arrives, counts) in [
        (5000, 3099, true),
        (5000, 3100, true),
        (5000, 4000, true),
        (5000, 5000, true),
        (5000, 5001, false),
        (200, 200, true),
        (200, 201, false),
    ] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        transaction.end_by(at(limit * MS));
        send_all(&mut transaction);
        let verdict = transaction.on_datagram(at(arrives * MS), b"id 1", 4);
        assert_eq!(verdict == Match::Reply, counts, "at {arrives}, deadline {limit}");
        assert_eq!(transaction.next(at(arrives * MS)) == Next::Done, counts);
    }
}

#[test]
fn the_same_bytes_sent_twice_give_no_round_trip() {
    let mut transaction = sent_once();
    transaction.on_transmitted(at(100 * MS));
    transaction.on_datagram(at(101 * MS), b"id 1", 4);
    assert_eq!((transaction.round_trip(), transaction.transmissions()), (None, 2));
}

#[test]
fn a_failed_send_leaves_the_round_trip_certain() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    transaction.on_not_transmitted(at(0), PathError::NoBuffers);
    transaction.on_transmitted(at(100 * MS));
    transaction.on_datagram(at(103 * MS), b"id 1", 4);
    assert_eq!(transaction.round_trip(), Some(Duration::from_millis(3)));
    assert_eq!(transaction.elapsed(at(103 * MS)), Duration::from_millis(103));
}

#[test]
fn a_reply_that_fits_two_builds_gives_no_round_trip() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(at(0), Seed::new(0));
    for (n, due) in [(1, 0), (2, 100)] {
        transaction.build(|_, bytes| bytes.extend_from_slice(format!("id 1 attempt {n}").as_bytes()));
        transaction.on_transmitted(at(due * MS));
    }
    assert_eq!(transaction.on_datagram(at(101 * MS), b"id 1", 4), Match::Reply);
    assert_eq!(transaction.round_trip(), None);
}

#[test]
fn a_reply_outweighs_a_provisional_reading_of_the_same_datagram() {
    // A datagram names one attempt; to every other it is a provisional answer.
    let matcher =
        matching(|request, datagram| if request == datagram { Match::Reply } else { Match::Provisional(Hold::Stop) });
    for answered in [b"1", b"2", b"3"] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
        transaction.start_building(at(0), Seed::new(0));
        for (request, due) in [(b"1", 0), (b"2", 100), (b"3", 300)] {
            transaction.build(|_, bytes| bytes.extend_from_slice(request));
            transaction.on_transmitted(at(due * MS));
        }
        assert_eq!(transaction.on_datagram(at(301 * MS), answered, 1), Match::Reply);
        assert!(transaction.round_trip().is_some());
    }
}

// Provisional answers.

#[test]
fn a_stopping_answer_holds_the_transaction_until_the_patience_ends() {
    let mut world = World::start(0);
    world.apply(Op::Sent);
    world.apply(Op::Provisional(0, Hold::Stop));
    assert_eq!(world.next(), Next::WaitUntil(at(60_000 * MS)));
    let mut replied = world.clone();
    world.now = at(60_000 * MS);
    assert_eq!(world.next(), Next::Failed(Failure::TimedOut(GiveUp::PatienceEnded)));
    assert_eq!(world.transaction.execution(), Execution::Unknown);
    replied.now = at(59_999 * MS);
    assert_eq!(replied.apply(Op::Reply(0)), Some(Next::Done));
    assert_eq!(replied.transaction.round_trip(), Some(Duration::from_millis(59_999)));
}

#[test]
fn a_slowing_answer_goes_on_sending_at_the_longest_interval() {
    let mut world = World::start(0);
    world.apply(Op::Sent);
    world.apply(Op::Provisional(0, Hold::Slow));
    assert_eq!(world.next(), Next::WaitUntil(at(100 * MS)));
    world.now = at(100 * MS);
    assert_eq!(world.next(), Next::Transmit);
    world.apply(Op::Sent);
    assert_eq!(world.next(), Next::WaitUntil(at(2100 * MS)));
}

#[test]
fn refusals_after_a_provisional_answer_leave_execution_unknown() {
    let mut world = World::start(0);
    world.apply(Op::Sent);
    world.apply(Op::PathError(PathError::Refused));
    assert_eq!(world.transaction.execution(), Execution::Refused);
    world.apply(Op::Provisional(0, Hold::Slow));
    assert_eq!(world.transaction.execution(), Execution::Unknown);
    send_all(&mut world.transaction);
    assert_eq!(world.transaction.next(Timestamp::MAX), Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
}

// What an error means.

#[test]
fn refused_unreachable_and_silence_are_told_apart_at_the_end_of_the_schedule_only() {
    for (error, failure, execution) in [
        (None, Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Refused), Failure::Refused, Execution::Refused),
        (Some(PathError::Unreachable), Failure::Unreachable, Execution::Refused),
        (Some(PathError::TooBig { limit: None }), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::NoBuffers), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Denied), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Other(5)), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
    ] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        for due in SLOTS {
            assert_eq!(transaction.next(at(due * MS)), Next::Transmit, "{error:?}");
            transaction.on_transmitted(at(due * MS));
            if let Some(error) = error {
                transaction.on_path_error(at(due * MS + 1), error);
                assert!(matches!(transaction.next(at(due * MS + 1)), Next::WaitUntil(_)), "{error:?}");
            }
        }
        assert_eq!(transaction.next(at(3100 * MS - 1)), Next::WaitUntil(at(3100 * MS)));
        assert_eq!(transaction.next(at(3100 * MS)), Next::Failed(failure));
        assert_eq!((transaction.execution(), transaction.last_error()), (execution, error));
    }
}

#[test]
fn where_nothing_could_be_sent_the_last_reason_is_the_verdict() {
    for error in [PathError::Denied, PathError::NoBuffers, PathError::Unsupported, PathError::Other(99)] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        for due in SLOTS {
            assert_eq!(transaction.next(at(due * MS)), Next::Transmit);
            transaction.on_not_transmitted(at(due * MS), error);
        }
        assert_eq!(transaction.next(at(3100 * MS)), Next::Failed(Failure::Local(error)));
        assert_eq!((transaction.execution(), transaction.transmissions()), (Execution::NotSent, 0));
    }
}

#[test]
fn too_big_to_send_ends_it_at_once_and_too_big_of_an_earlier_datagram_does_not() {
    let limit = Some(Plpmtu::new(1232));
    let mut transaction = sent_once();
    transaction.on_path_error(at(1), PathError::TooBig { limit });
    assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
    transaction.on_not_transmitted(at(100 * MS), PathError::TooBig { limit });
    assert_eq!(transaction.next(at(100 * MS)), Next::Failed(Failure::TooLarge { len: 4, limit }));
    assert_eq!((transaction.execution(), transaction.transmissions()), (Execution::Unknown, 1));
}

#[test]
fn news_before_the_first_transmission_refuses_nothing() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    for _ in 0..3 {
        transaction.on_path_error(at(0), PathError::Refused);
    }
    transaction.on_transmitted(at(0));
    assert_eq!(transaction.execution(), Execution::Unknown);
    transaction.on_path_error(at(1), PathError::Refused);
    assert_eq!(transaction.execution(), Execution::Refused);
    transaction.on_transmitted(at(100 * MS));
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn more_refusals_than_transmissions_vouch_for_no_later_one() {
    let mut transaction = sent_once();
    for _ in 0..10 {
        transaction.on_path_error(at(1), PathError::Refused);
    }
    assert_eq!(transaction.execution(), Execution::Refused);
    for due in [100, 300] {
        transaction.on_transmitted(at(due * MS));
        assert_eq!(transaction.execution(), Execution::Unknown, "{due}");
    }
}

#[test]
fn sixteen_local_receive_errors_in_a_row_end_it_and_anything_between_starts_the_row_again() {
    for error in [PathError::Other(5), PathError::Unsupported] {
        let mut transaction = sent_once();
        for _ in 0..15 {
            transaction.on_path_error(at(1), error);
        }
        assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
        let (mut heard, mut sent) = (transaction.clone(), transaction.clone());
        heard.on_datagram(at(1), b"junk", 4);
        sent.on_transmitted(at(100 * MS));
        for transaction in [&mut heard, &mut sent] {
            for _ in 0..15 {
                transaction.on_path_error(at(1), error);
            }
            assert!(matches!(transaction.next(at(1)), Next::WaitUntil(_)));
        }
        for transaction in [&mut transaction, &mut heard, &mut sent] {
            transaction.on_path_error(at(1), error);
            assert_eq!(transaction.next(at(1)), Next::Failed(Failure::Local(error)));
            assert_eq!(transaction.execution(), Execution::Unknown);
        }
    }
}

#[test]
fn errors_that_packets_brought_never_end_it() {
    for error in [PathError::Refused, PathError::Unreachable, PathError::TooBig { limit: None }] {
        let mut transaction = sent_once();
        for _ in 0..1000 {
            transaction.on_path_error(at(1), error);
        }
        assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
    }
}

// The budget.

#[test]
fn an_empty_budget_leaves_the_first_transmission_and_the_whole_time_to_listen() {
    let budget = RetryBudget::new(0.0, 0, 0).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget);
    transaction.start(b"id 1", at(0), Seed::new(0));
    assert_eq!(transaction.next(at(0)), Next::Transmit);
    transaction.on_transmitted(at(0));
    for (due, next) in [(100, 300), (300, 700), (700, 1500), (1500, 3100)] {
        assert_eq!(transaction.next(at(due * MS)), Next::WaitUntil(at(next * MS)));
    }
    assert_eq!((transaction.transmissions(), transaction.withheld()), (1, 4));
    let mut replied = transaction.clone();
    assert_eq!(transaction.next(at(3100 * MS)), Next::Failed(Failure::TimedOut(GiveUp::OverBudget)));
    assert_eq!(replied.on_datagram(at(3100 * MS), b"id 1", 4), Match::Reply);
    assert_eq!(replied.next(at(3100 * MS)), Next::Done);
}

#[test]
fn a_grant_is_taken_once_however_often_one_asks_and_given_back_if_unused() {
    let budget = RetryBudget::new(0.0, 3, 3).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget.clone());
    for end in 0..4 {
        transaction.start(b"id 1", at(0), Seed::new(0));
        assert_eq!((transaction.next(at(0)), budget.balance()), (Next::Transmit, 3), "the first is free");
        transaction.on_transmitted(at(0));
        for _ in 0..10 {
            assert_eq!((transaction.next(at(100 * MS)), budget.balance()), (Next::Transmit, 2));
        }
        match end {
            0 => transaction.on_not_transmitted(at(100 * MS), PathError::NoBuffers),
            1 => transaction.on_cancelled(),
            2 => transaction.start(b"id 2", at(0), Seed::new(0)),
            _ => transaction.on_transmitted(at(100 * MS)),
        }
        assert_eq!(budget.balance(), if end == 3 { 2 } else { 3 });
    }
}

// The other verdicts.

#[test]
fn a_cut_reply_tells_both_sizes_and_a_cut_stray_is_a_stray() {
    let mut transaction = sent_once();
    assert_eq!(transaction.on_datagram(at(MS), b"id 2", 1000), Match::Foreign);
    assert_eq!(transaction.on_datagram(at(MS), b"id", 1000), Match::Foreign, "the id itself is cut");
    assert_eq!(transaction.next(at(MS)), Next::WaitUntil(at(100 * MS)));
    assert_eq!(transaction.on_datagram(at(MS), b"id 1", 5), Match::Reply);
    assert_eq!(transaction.next(at(MS)), Next::Failed(Failure::Truncated { received: 4, actual: 5 }));
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn a_request_without_its_id_is_unmatchable_at_once() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id", at(0), Seed::new(0));
    assert_eq!(transaction.identity(), Identity::Missing);
    assert_eq!(transaction.next(at(0)), Next::Failed(Failure::Unmatchable));
    assert_eq!(transaction.execution(), Execution::NotSent);
    transaction.start(b"id 1", at(0), Seed::new(0));
    assert_eq!((transaction.identity(), transaction.next(at(0))), (Identity::Content, Next::Transmit));
}

#[test]
fn cancelling_is_a_verdict_of_its_own_unless_the_reply_came_first() {
    let mut cancelled = sent_once();
    cancelled.on_path_error(at(1), PathError::Refused);
    cancelled.on_cancelled();
    assert_eq!(cancelled.next(at(2)), Next::Failed(Failure::Cancelled));
    assert_eq!(cancelled.on_datagram(at(2), b"id 1", 4), Match::Foreign);
    assert_eq!(cancelled.next(Timestamp::MAX), Next::Failed(Failure::Cancelled));
    let mut replied = sent_once();
    replied.on_datagram(at(1), b"id 1", 4);
    replied.on_cancelled();
    assert_eq!(replied.next(at(2)), Next::Done);
}

#[test]
fn nothing_that_is_reported_after_the_reply_takes_it_back() {
    let mut replied = sent_once();
    replied.on_datagram(at(1), b"id 1", 4);
    let (mut too_big, mut broken, mut built) = (replied.clone(), replied.clone(), replied);
    too_big.on_not_transmitted(at(2), PathError::TooBig { limit: None });
    for _ in 0..16 {
        broken.on_path_error(at(2), PathError::Other(5));
    }
    built.build(|_, bytes| bytes.clear());
    for transaction in [&mut too_big, &mut broken, &mut built] {
        assert_eq!(transaction.next(at(2)), Next::Done);
    }
}

#[test]
fn an_idle_transaction_has_nothing_to_do_or_to_accept() {
    let mut idle = Transaction::new(RetryPolicy::LAN, any_reply());
    assert_eq!(idle.next(at(0)), Next::Failed(Failure::Cancelled));
    assert_eq!(idle.on_datagram(at(0), b"anything", 8), Match::Foreign);
    assert_eq!((idle.datagram(), idle.transmissions()), (&b""[..], 0));
}

#[test]
fn a_deadline_of_the_request_ends_it_at_that_moment() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    transaction.end_by(at(250 * MS));
    transaction.on_transmitted(at(0));
    transaction.on_transmitted(at(100 * MS));
    assert_eq!(transaction.next(at(100 * MS)), Next::WaitUntil(at(250 * MS)));
    assert_eq!(transaction.next(at(250 * MS)), Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
}

// Starting again.

#[test]
fn putting_off_moves_the_whole_schedule_but_not_the_callers_deadline() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    transaction.end_by(at(250 * MS));
    transaction.put_off(at(40 * MS));
    assert_eq!(transaction.next(at(40 * MS)), Next::Transmit);
    transaction.on_transmitted(at(40 * MS));
    transaction.put_off(at(60 * MS));
    assert_eq!(transaction.next(at(60 * MS)), Next::WaitUntil(at(140 * MS)), "it has begun");
    transaction.on_transmitted(at(140 * MS));
    assert_eq!(transaction.next(at(140 * MS)), Next::WaitUntil(at(250 * MS)));
    assert_eq!(transaction.elapsed(at(250 * MS)), Duration::from_millis(250));
}

#[test]
fn putting_off_revives_nothing_and_gives_no_used_slot_back() {
    let mut cancelled = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    cancelled.put_off(at(1));
    assert_eq!(cancelled.next(at(1)), Next::Failed(Failure::Cancelled), "never started");
    cancelled.start(b"id 1", at(0), Seed::new(0));
    let mut failing = cancelled.clone();
    cancelled.on_cancelled();
    cancelled.put_off(at(1));
    assert_eq!(cancelled.next(at(1)), Next::Failed(Failure::Cancelled));
    failing.on_not_transmitted(at(0), PathError::NoBuffers);
    failing.put_off(at(1));
    assert_eq!(failing.next(at(1)), Next::WaitUntil(at(100 * MS)));
}

#[test]
fn a_restart_ends_the_row_of_local_errors() {
    let mut transaction = sent_once();
    for error in 0..15 {
        transaction.on_path_error(at(1), PathError::Other(error));
    }
    transaction.start(b"id 2", at(2), Seed::new(0));
    for error in 0..15 {
        transaction.on_path_error(at(2), PathError::Other(error));
    }
    assert_eq!(transaction.next(at(2)), Next::Transmit);
}

#[test]
fn before_the_first_build_a_restarted_transaction_holds_nothing_to_send() {
    let mut transaction = sent_once();
    transaction.start_building(at(5), Seed::new(1));
    assert_eq!(transaction.datagram(), b"");
}

#[test]
fn records_of_the_same_events_are_equal_whatever_was_recorded_before() {
    let mut used = sent_once();
    used.on_datagram(at(1), b"junk", 4);
    let mut fresh = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    for transaction in [&mut used, &mut fresh] {
        transaction.start(b"id 2", at(5), Seed::new(0));
        transaction.on_transmitted(at(5));
    }
    assert!(used.timeline().events().eq(fresh.timeline().events()));
    assert_eq!(used.timeline(), fresh.timeline());
}

/// A transaction, what time it is, and what a bystander would have noted.
#[derive(Clone, Debug)]
struct World {
    transaction: Transaction<Matcher>,
    now: Timestamp,
    /// When each request left, and its id.
    sent: Vec<(Timestamp, u32)>,
    /// Refusals that can have been of a transmission of this transaction.
    refusals: u32,
    answered: bool,
    /// The id of the latest build.
    id: u32,
    local_errors: u32,
}

impl World {
    fn new(now: Timestamp) -> Self {
        let transaction = Transaction::new(RetryPolicy::LAN, matching(matcher as fn(&[u8], &[u8]) -> Match));
        Self { transaction, now, sent: Vec::new(), refusals: 0, answered: false, id: 0, local_errors: 0 }
    }

    fn start(seed: u64) -> Self {
        let mut world = Self::new(at(0));
        world.restart(seed);
        world
    }

    fn restart(&mut self, seed: u64) {
        let now = self.now;
        self.transaction.start_building(now, Seed::new(seed));
        (self.sent, self.refusals, self.answered, self.id, self.local_errors) = (Vec::new(), 0, false, 0, 0);
        self.build();
    }

    fn build(&mut self) {
        self.id += 1;
        let id = self.id;
        self.transaction.build(|_, bytes| bytes.extend_from_slice(&id.to_be_bytes()));
    }

    fn next(&mut self) -> Next {
        self.transaction.next(self.now)
    }

    /// The id of the build so many before the latest.
    fn id_of(&self, back: u32) -> u32 {
        self.id.saturating_sub(back)
    }

    /// Does one thing; returns what is next if a verdict was asked for.
    fn apply(&mut self, op: Op) -> Option<Next> {
        let now = self.now;
        match op {
            Op::Advance(span) => self.now = now.after(Duration::from_nanos(span)),
            Op::Wait(late) => {
                if let Next::WaitUntil(until) = self.next() {
                    self.now = until.after(Duration::from_nanos(late));
                }
            }
            Op::Drive(rebuild) => {
                if self.next() == Next::Transmit {
                    if rebuild && self.sent.iter().any(|&(_, id)| id == self.id) {
                        self.build();
                    }
                    return self.apply(Op::Sent);
                }
            }
            Op::Sent => {
                self.transaction.on_transmitted(now);
                self.sent.push((now, self.id));
                self.local_errors = 0;
            }
            Op::NotSent(error) => self.transaction.on_not_transmitted(now, error),
            Op::PathError(error) => {
                let local = matches!(error, PathError::Other(_) | PathError::Unsupported);
                self.local_errors += u32::from(local);
                if matches!(error, PathError::Refused | PathError::Unreachable) {
                    self.refusals = (self.refusals + 1).min(self.sent.len() as u32);
                }
                self.transaction.on_path_error(now, error);
            }
            Op::Reply(back) => return self.datagram(b'R', self.id_of(back)),
            Op::Provisional(back, Hold::Stop) => return self.datagram(b'P', self.id_of(back)),
            Op::Provisional(back, Hold::Slow) => return self.datagram(b'S', self.id_of(back)),
            Op::Stranger => {
                self.stranger(0);
            }
            Op::Cancel => self.transaction.on_cancelled(),
            Op::Build => self.build(),
            Op::EndBy(span) => self.transaction.end_by(now.after(Duration::from_nanos(span))),
        }
        None
    }

    fn datagram(&mut self, kind: u8, id: u32) -> Option<Next> {
        let bytes = [&[kind][..], &id.to_be_bytes()].concat();
        let verdict = self.transaction.on_datagram(self.now, &bytes, bytes.len());
        self.answered |= verdict != Match::Foreign;
        Some(self.next())
    }

    /// Somebody else's reply, a forgery, half a datagram, or none at all.
    fn stranger(&mut self, kind: usize) -> Match {
        let forged = [b'R', 0xff, 0xff, 0xff, 0xff];
        let datagram: &[u8] = [&forged[..], b"", b"R", b"\0\0\0\x01", b"XXXXXXXXXXXXXXXXXXXX"][kind % 5];
        self.transaction.on_datagram(self.now, datagram, datagram.len())
    }

    /// Everything that can be seen from outside.
    /// All that may be seen, but for what kind of stray a datagram was: that takes the requests before into account.
    fn shown(&mut self) -> impl PartialEq + std::fmt::Debug + use<> {
        let next = self.next();
        let transaction = &self.transaction;
        (
            (next, transaction.transmissions(), transaction.round_trip(), transaction.execution()),
            (transaction.last_error(), transaction.elapsed(self.now), transaction.identity()),
            (transaction.datagram().to_vec(), transaction.timeline().omitted()),
            transaction.timeline().events().map(|(at, event)| (at, kept(event))).collect::<Vec<_>>(),
            self.sent.clone(),
        )
    }
}

fn kept(event: Event) -> Event {
    match event {
        Event::Stray(_, len) => Event::Stray(Stray::Foreign, len),
        event => event,
    }
}

type Matcher = Matching<fn(&[u8], &[u8]) -> Match>;

/// A datagram is a letter and the id of the request it belongs to.
fn matcher(request: &[u8], datagram: &[u8]) -> Match {
    match datagram {
        [b'R', id @ ..] if id == request => Match::Reply,
        [b'P', id @ ..] if id == request => Match::Provisional(Hold::Stop),
        [b'S', id @ ..] if id == request => Match::Provisional(Hold::Slow),
        _ => Match::Foreign,
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Advance(u64),
    /// Until the machine wants to be asked again, and so much longer.
    Wait(u64),
    /// Sends if that is due; a new request if asked to.
    Drive(bool),
    Sent,
    NotSent(PathError),
    PathError(PathError),
    /// To the request so many builds before the latest.
    Reply(u32),
    Provisional(u32, Hold),
    Stranger,
    Cancel,
    Build,
    EndBy(u64),
}

/// What a driver in its right mind meets.
fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => prop_oneof![Just(0), 0..=200_u64, 0..=500 * MS].prop_map(Op::Wait),
        10 => (0..=50 * MS).prop_map(Op::Advance),
        40 => any::<bool>().prop_map(Op::Drive),
        8 => packet_borne().prop_map(Op::PathError),
        2 => (0..=20_u32).prop_map(Op::Reply),
        2 => (0..=3_u32, holds()).prop_map(|(back, hold)| Op::Provisional(back, hold)),
        1 => (0..=1000 * MS).prop_map(Op::EndBy),
    ]
}

/// And what only a mad one reports.
fn wild_ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => ops(),
        2 => Just(Op::Sent),
        2 => errors().prop_map(Op::NotSent),
        3 => errors().prop_map(Op::PathError),
        1 => Just(Op::Stranger),
        1 => Just(Op::Build),
        1 => Just(Op::Cancel),
        1 => any::<u64>().prop_map(Op::Advance),
    ]
}

/// What ends a transaction whatever the time, if reported often enough.
fn ends() -> impl Strategy<Value = Op> {
    let too_big = PathError::TooBig { limit: None };
    prop_oneof![Just(Op::Cancel), Just(Op::NotSent(too_big)), Just(Op::PathError(PathError::Other(5)))]
}

fn holds() -> impl Strategy<Value = Hold> {
    prop_oneof![Just(Hold::Stop), Just(Hold::Slow)]
}

fn packet_borne() -> impl Strategy<Value = PathError> {
    prop_oneof![3 => Just(PathError::Refused), 1 => Just(PathError::Unreachable), 1 => Just(PathError::TooBig { limit: None })]
}

fn errors() -> impl Strategy<Value = PathError> {
    prop_oneof![
        packet_borne(),
        Just(PathError::Denied),
        Just(PathError::NoBuffers),
        Just(PathError::Unsupported),
        Just(PathError::Other(5)),
    ]
}

/// A failure says "refused" only if nothing but refusals came back, so a stray may turn that into "timed out".
fn without_kind(next: Next) -> Next {
    match next {
        Next::Failed(Failure::Refused | Failure::Unreachable | Failure::Local(_) | Failure::TimedOut(_)) => {
            Next::Failed(Failure::Unmatchable)
        }
        next => next,
    }
}

fn sent_once() -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    transaction.on_transmitted(at(0));
    transaction
}

#[track_caller]
fn send_all<M: ReplyMatcher>(transaction: &mut Transaction<M>) {
    for due in SLOTS {
        if transaction.next(at(due * MS)) == Next::Transmit {
            transaction.on_transmitted(at(due * MS));
        }
    }
}

/// A hundred transmissions, one every ten nanoseconds.
fn patient() -> RetryPolicy {
    let backoff = Backoff::constant(Duration::from_nanos(10)).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(1000).unwrap()
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// Raised by `UDP_RETRY_CASES`.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: u32::MAX, ..ProptestConfig::default() }
}

const MS: u64 = 1_000_000;
/// The slots of the schedule for the LAN, in milliseconds.
const SLOTS: [u64; 5] = [0, 100, 300, 700, 1500];
