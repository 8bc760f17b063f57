//! Provisional answers, the budget, and the other verdicts.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::RetryBudget;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Execution, Failure, GiveUp, Hold, Identity, Match, Next, Transaction, any_reply, transaction_id,
};
use udp_retry::transport::{PathError, PathIndex};

use super::world::{Op, World};
use super::{MS, TRANSMIT, at, fail_twice, looked, send_all, sent_once};

#[test]
fn a_stopping_answer_holds_the_transaction_until_the_patience_ends() {
    let mut world = World::start(0);
    world.apply(Op::Sent);
    world.now = at(50 * MS);
    world.apply(Op::Provisional(0, Hold::Stop));
    assert_eq!(world.next(), Next::WaitUntil(at(60_050 * MS)));
    let mut replied = world.clone();
    world.now = at(60_050 * MS);
    assert_eq!(world.look(), Next::Failed(Failure::TimedOut(GiveUp::PatienceEnded)));
    assert_eq!(world.transaction.execution(), Execution::Unknown);
    replied.now = at(60_049 * MS);
    assert_eq!(replied.apply(Op::Reply(0)), Some(Next::Done));
    assert_eq!(replied.transaction.round_trip(), Some(Duration::from_millis(50)), "of the first answer");
}

#[test]
fn a_slowing_answer_goes_on_sending_at_the_longest_interval() {
    let mut world = World::start(0);
    world.apply(Op::Sent);
    world.apply(Op::Provisional(0, Hold::Slow));
    assert_eq!(world.next(), Next::WaitUntil(at(100 * MS)));
    world.now = at(100 * MS);
    assert_eq!(world.look(), Next::Build(PathIndex::FIRST, 2));
    world.apply(Op::Drive(false));
    assert_eq!(world.transaction.transmissions(), 2);
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
    send_all(&mut world.transaction, u64::MAX);
    let end = looked(&mut world.transaction, Timestamp::MAX);
    assert_eq!(end, Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
}

#[test]
fn an_empty_budget_leaves_the_first_transmission_and_the_whole_time_to_listen() {
    let budget = RetryBudget::new(0.0, 0, 0).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget);
    transaction.start(b"id 1", at(0), Seed::new(0));
    assert_eq!(transaction.next(at(0)), TRANSMIT);
    transaction.on_transmitted(at(0));
    for (due, next) in [(100, 300), (300, 700), (700, 1500), (1500, 3100)] {
        assert_eq!(looked(&mut transaction, at(due * MS)), Next::WaitUntil(at(next * MS)));
    }
    assert_eq!((transaction.transmissions(), transaction.withheld()), (1, 4));
    let mut replied = transaction.clone();
    assert_eq!(looked(&mut transaction, at(3100 * MS)), Next::Failed(Failure::TimedOut(GiveUp::OverBudget)));
    assert_eq!(replied.on_datagram(at(3100 * MS), PathIndex::FIRST, b"id 1", 4), Match::Reply);
    assert_eq!(replied.next(at(3100 * MS)), Next::Done);
}

#[test]
fn a_grant_is_taken_once_however_often_one_asks_and_given_back_if_unused() {
    let budget = RetryBudget::new(0.0, 3, 3).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget.clone());
    for end in 0..4 {
        transaction.start(b"id 1", at(0), Seed::new(0));
        assert_eq!((transaction.next(at(0)), budget.balance()), (TRANSMIT, 3), "the first is free");
        transaction.on_transmitted(at(0));
        transaction.on_time_up(at(100 * MS));
        for _ in 0..10 {
            assert_eq!((transaction.next(at(100 * MS)), budget.balance()), (TRANSMIT, 2));
        }
        match end {
            0 => fail_twice(&mut transaction, at(100 * MS), PathError::NoBuffers),
            1 => transaction.on_cancelled(),
            2 => transaction.start(b"id 2", at(0), Seed::new(0)),
            _ => transaction.on_transmitted(at(100 * MS)),
        }
        assert_eq!(budget.balance(), if end == 3 { 2 } else { 3 });
    }
}

#[test]
fn a_cut_reply_tells_both_sizes_and_a_cut_stray_is_a_stray() {
    let mut transaction = sent_once();
    assert_eq!(transaction.on_datagram(at(MS), PathIndex::FIRST, b"id 2", 1000), Match::Foreign);
    assert_eq!(transaction.on_datagram(at(MS), PathIndex::FIRST, b"id", 1000), Match::Foreign, "the id itself is cut");
    assert_eq!(transaction.next(at(MS)), Next::WaitUntil(at(100 * MS)));
    assert_eq!(transaction.on_datagram(at(MS), PathIndex::FIRST, b"id 1", 5), Match::Reply);
    let failure = transaction.next(at(MS));
    assert!(matches!(failure, Next::Failed(Failure::Truncated { received: 4, actual: 5, .. })), "{failure:?}");
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
    assert_eq!((transaction.identity(), transaction.next(at(0))), (Identity::Content, TRANSMIT));
}

#[test]
fn cancelling_is_a_verdict_of_its_own_unless_the_reply_came_first() {
    let mut cancelled = sent_once();
    cancelled.on_path_error(at(1), Some(PathIndex::FIRST), PathError::Refused);
    cancelled.on_cancelled();
    assert_eq!(cancelled.next(at(2)), Next::Failed(Failure::Cancelled));
    assert_eq!(cancelled.on_datagram(at(2), PathIndex::FIRST, b"id 1", 4), Match::Foreign);
    assert_eq!(cancelled.next(Timestamp::MAX), Next::Failed(Failure::Cancelled));
    let mut replied = sent_once();
    replied.on_datagram(at(1), PathIndex::FIRST, b"id 1", 4);
    replied.on_cancelled();
    assert_eq!(replied.next(at(2)), Next::Done);
}

#[test]
fn nothing_that_is_reported_after_the_reply_takes_it_back() {
    let mut replied = sent_once();
    replied.on_datagram(at(1), PathIndex::FIRST, b"id 1", 4);
    let (mut too_big, mut broken, mut built) = (replied.clone(), replied.clone(), replied);
    for _ in 0..16 {
        too_big.on_not_transmitted(at(2), PathError::too_big(None));
        broken.on_path_error(at(2), Some(PathIndex::FIRST), PathError::Other(5));
    }
    built.build(|_, bytes| bytes.clear());
    for transaction in [&mut too_big, &mut broken, &mut built] {
        assert_eq!(transaction.next(at(2)), Next::Done);
    }
}

#[test]
fn an_idle_transaction_has_nothing_to_do_or_to_accept() {
    let mut idle = Transaction::new(RetryPolicy::LAN, any_reply());
    assert_eq!(idle.next(at(0)), Next::Idle);
    assert_eq!(idle.on_datagram(at(0), PathIndex::FIRST, b"anything", 8), Match::Foreign);
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
    assert_eq!(transaction.next(at(250 * MS)), Next::WaitUntil(at(250 * MS)), "a reply may be queued");
    assert_eq!(looked(&mut transaction, at(250 * MS)), Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
}
