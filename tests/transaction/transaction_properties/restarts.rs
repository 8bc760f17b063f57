//! Starting again.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::transaction::{Failure, Next, Transaction, transaction_id};
use udp_retry::transport::PathError;

use super::{MS, at, sent_once};

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
