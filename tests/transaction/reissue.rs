//! A send that fails is asked for again: the error may be an earlier datagram's.

use udp_retry::transaction::{Execution, Failure, Next, OnUnreachable, Transaction, TransactionId, transaction_id};
use udp_retry::transport::PathError::{self, Denied, NoBuffers, Refused, Unreachable};
use udp_retry::{RetryPolicy, Seed};

use crate::by_hand::{TRANSMIT, looked};
use crate::scripted::{START, at_ms, ms};
use crate::seen::{Seen, seen};

#[test]
fn the_first_failed_send_of_a_slot_is_asked_for_again_with_the_same_bytes() {
    for error in [Refused, Unreachable, Denied, NoBuffers, PathError::Other(71), PathError::too_big(None)] {
        let mut transaction = started();
        transaction.on_not_transmitted(START, error);
        assert_eq!(transaction.next(START), TRANSMIT, "{error}");
        assert_eq!(transaction.next(START), TRANSMIT, "asked twice");
        assert_eq!(transaction.datagram(), b"id 1");
        assert_eq!(seen(transaction.timeline()), [], "whose error it was is open");
        transaction.on_transmitted(START);
        assert_eq!(transaction.next(START), Next::WaitUntil(at_ms(100)), "no slot was used up");
        let events = [(ms(0), Seen::PathError(error)), (ms(0), Seen::Transmitted(1))];
        assert_eq!(seen(transaction.timeline()), events, "an earlier datagram's, and told before the transmission");
    }
}

#[test]
fn the_same_local_verdict_twice_uses_the_slot_and_is_told_once() {
    for error in [Unreachable, Denied, NoBuffers, PathError::Unsupported, PathError::Other(5)] {
        assert_eq!(attempts(|_| error), 2, "{error}");
        let mut transaction = started();
        transaction.on_not_transmitted(START, error);
        transaction.on_not_transmitted(START, error);
        assert_eq!(transaction.next(START), Next::WaitUntil(at_ms(100)), "{error}");
        assert_eq!(seen(transaction.timeline()), [(ms(0), Seen::NotTransmitted(error))], "{error}");
    }
}

#[test]
fn failures_that_take_pending_errors_off_the_socket_are_repeated_up_to_eight_times() {
    assert_eq!(attempts(|n| [Denied, Unreachable][n % 2]), 9);
    assert_eq!(attempts(|_| Refused), 9, "a refusal is always an earlier datagram's");
    assert_eq!(attempts(|n| PathError::Other(n as i32)), 9);
    // Two alike in a row are the system's own verdict.
    assert_eq!(attempts(|n| [Denied, Refused, Unreachable, NoBuffers, NoBuffers][n.min(4)]), 5);
    // The next slot has as many again.
    let mut transaction = started();
    for due in [0, 100, 300] {
        assert_eq!(attempts_of(&mut transaction, due, |n| [Denied, Unreachable][n % 2]), 9, "at {due}");
    }
}

#[test]
fn swallowed_errors_are_told_in_their_order_before_what_became_of_the_request() {
    let mut transaction = started();
    for error in [Refused, Denied, Unreachable] {
        transaction.on_not_transmitted(START, error);
        assert_eq!(transaction.next(START), TRANSMIT);
    }
    let mut failed = transaction.clone();
    transaction.on_transmitted(START);
    let swallowed = [Refused, Denied, Unreachable].map(|error| (ms(0), Seen::PathError(error)));
    assert_eq!(seen(transaction.timeline()), [&swallowed[..], &[(ms(0), Seen::Transmitted(1))]].concat());
    failed.on_not_transmitted(START, Unreachable);
    let events = [&swallowed[..2], &[(ms(0), Seen::NotTransmitted(Unreachable))]].concat();
    assert_eq!(seen(failed.timeline()), events);
}

#[test]
fn an_error_of_something_earlier_counts_for_nothing_before_the_first_transmission() {
    let mut transaction = started().with_on_unreachable(OnUnreachable::FailFast);
    transaction.on_not_transmitted(START, Refused);
    transaction.on_transmitted(START);
    assert_eq!(transaction.next(START), Next::WaitUntil(at_ms(100)), "it was no transmission of this request");
    assert_eq!((transaction.execution(), transaction.last_error()), (Execution::Unknown, None));
    // At the next slot it is this request's.
    transaction.on_time_up(at_ms(100));
    transaction.on_not_transmitted(at_ms(100), Refused);
    transaction.on_transmitted(at_ms(100));
    assert_eq!(looked(&mut transaction, at_ms(100)), Next::Failed(Failure::Refused));
    assert_eq!(transaction.transmissions(), 2);
}

#[test]
fn a_send_that_fails_for_good_counts_once_for_the_callers_rule() {
    for (most, failures) in [(1, 1), (2, 2), (3, 3)] {
        let mut transaction = started().with_on_unreachable(OnUnreachable::FailAfter(most));
        let mut slots = 0;
        for due in [0, 100, 300, 700] {
            if looked(&mut transaction, at_ms(due)) != TRANSMIT {
                break;
            }
            transaction.on_not_transmitted(at_ms(due), Unreachable);
            transaction.on_not_transmitted(at_ms(due), Unreachable);
            slots += 1;
            if looked(&mut transaction, at_ms(due)) == Next::Failed(Failure::Unreachable) {
                break;
            }
        }
        assert_eq!((slots, transaction.execution()), (failures, Execution::NotSent), "after {most}");
    }
}

/// How often a send is asked for, if it fails like this, before its slot is used up.
fn attempts(error: impl Fn(usize) -> PathError) -> usize {
    attempts_of(&mut started(), 0, error)
}

fn attempts_of(transaction: &mut Transaction<TransactionId>, due: u64, error: impl Fn(usize) -> PathError) -> usize {
    let mut attempts = 0;
    while looked(transaction, at_ms(due)) == TRANSMIT {
        transaction.on_not_transmitted(at_ms(due), error(attempts));
        attempts += 1;
    }
    attempts
}

fn started() -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", START, Seed::new(0));
    transaction
}
