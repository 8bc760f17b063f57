//! Starting again.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::transaction::{Failure, GiveUp, Next, Transaction, any_reply, transaction_id};
use udp_retry::transport::{PathError, PathIndex, Renewed};

use super::{MS, RENEW, RENEW_IF_FREE, TRANSMIT, at, fail_twice, looked, sent_once};

#[test]
fn a_renewal_moves_the_whole_schedule_but_no_deadline() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    transaction.start(b"time?", at(0), Seed::new(0));
    transaction.end_by(at(250 * MS));
    assert_eq!(transaction.next(at(0)), RENEW);
    transaction.on_renewed(at(40 * MS), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at(40 * MS)), TRANSMIT);
    transaction.on_transmitted(at(40 * MS));
    transaction.on_renewed(at(60 * MS), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at(60 * MS)), Next::WaitUntil(at(140 * MS)), "it has begun");
    assert_eq!(looked(&mut transaction, at(140 * MS)), TRANSMIT);
    transaction.on_transmitted(at(140 * MS));
    assert_eq!(transaction.next(at(140 * MS)), Next::WaitUntil(at(250 * MS)));
    assert_eq!(looked(&mut transaction, at(250 * MS)), Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
    assert_eq!(transaction.elapsed(at(250 * MS)), Duration::from_millis(250));
}

#[test]
fn a_renewal_revives_nothing_and_gives_no_used_slot_back() {
    let renew = |transaction: &mut Transaction<_>| {
        transaction.on_renewed(at(1), PathIndex::FIRST, Ok(Renewed::FreshPort));
        transaction.next(at(1))
    };
    let mut cancelled = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    assert_eq!(renew(&mut cancelled), Next::Idle, "never started");
    cancelled.start(b"id 1", at(0), Seed::new(0));
    let mut failing = cancelled.clone();
    cancelled.on_cancelled();
    assert_eq!(renew(&mut cancelled), Next::Failed(Failure::Cancelled));
    fail_twice(&mut failing, at(0), PathError::NoBuffers);
    assert_eq!(renew(&mut failing), Next::WaitUntil(at(100 * MS)));
}

#[test]
fn local_errors_neither_end_a_request_nor_outlive_a_restart() {
    let mut transaction = sent_once();
    for error in 0..1000 {
        transaction.on_path_error(at(1), Some(PathIndex::FIRST), PathError::Other(error));
    }
    transaction.start(b"id 2", at(2), Seed::new(0));
    assert_eq!(transaction.last_error(), None);
    for error in 0..1000 {
        transaction.on_path_error(at(2), Some(PathIndex::FIRST), PathError::Other(error));
    }
    assert_eq!(transaction.next(at(2)), RENEW_IF_FREE, "the one before was given up");
    transaction.on_renewed(at(2), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at(2)), TRANSMIT);
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
    used.on_datagram(at(1), PathIndex::FIRST, b"junk", 4);
    let mut fresh = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    for transaction in [&mut used, &mut fresh] {
        transaction.start(b"id 2", at(5), Seed::new(0));
        transaction.on_transmitted(at(5));
    }
    assert!(used.timeline().events().eq(fresh.timeline().events()));
    assert_eq!(used.timeline(), fresh.timeline());
}
