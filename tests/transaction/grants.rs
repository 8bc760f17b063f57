//! A budget's token is spent by a transmission or returned, whatever ends the request; and no copy makes a second one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, GiveUp, Next, Transaction, TransactionId, transaction_id};
use udp_retry::transport::{PathError, PathIndex};
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed};

use crate::by_hand::{TRANSMIT, fail_twice, looked};
use crate::scripted::{START, Scripted, at_ms, ms};

#[test]
fn a_token_that_is_not_spent_returns_whatever_ends_the_request() {
    type End = fn(Transaction<TransactionId>);
    let ends: [(&str, End); 8] = [
        ("dropped", drop),
        ("cancelled", |mut granted| {
            granted.on_cancelled();
            leak(granted);
        }),
        ("a failed send", |mut granted| {
            fail_twice(&mut granted, at_ms(100), PathError::NoBuffers);
            leak(granted);
        }),
        ("the deadline", |mut granted| {
            granted.end_by(at_ms(150));
            assert_eq!(looked(&mut granted, at_ms(150)), Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
            leak(granted);
        }),
        ("a reply", |mut granted| {
            granted.on_datagram(at_ms(100), PathIndex::FIRST, b"id 1", 4);
            assert_eq!(granted.next(at_ms(100)), Next::Done);
            leak(granted);
        }),
        ("a cut reply", |mut granted| {
            granted.on_datagram(at_ms(100), PathIndex::FIRST, b"id 1", 5);
            assert!(matches!(granted.next(at_ms(100)), Next::Failed(Failure::Truncated { .. })));
            leak(granted);
        }),
        ("a build without the id", |mut granted| {
            granted.build(|_, bytes| bytes.push(b'i'));
            assert_eq!(granted.next(at_ms(100)), Next::Failed(Failure::Unmatchable));
            leak(granted);
        }),
        ("the next request", |mut granted| {
            granted.start(b"id 2", at_ms(100), Seed::new(0));
            leak(granted);
        }),
    ];
    for (what, end) in ends {
        let budget = three();
        end(granted(&budget));
        assert_eq!(budget.balance(), 3, "{what}");
    }
}

#[test]
fn a_token_that_is_spent_does_not_return() {
    let budget = three();
    let mut spent = granted(&budget);
    spent.on_transmitted(at_ms(100));
    assert_eq!(budget.balance(), 2);
    spent.on_cancelled();
    drop(spent);
    assert_eq!(budget.balance(), 2);
}

#[test]
fn the_first_transmission_costs_nothing_and_returns_nothing() {
    let budget = RetryBudget::new(0.0, 10, 3).unwrap();
    for _ in 0..10 {
        let mut first = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget.clone());
        first.start(b"id 1", START, Seed::new(0));
        assert_eq!(first.next(START), TRANSMIT);
    }
    assert_eq!(budget.balance(), 3);
}

#[test]
fn clones_of_a_granted_transaction_hold_no_token() {
    let budget = RetryBudget::new(0.0, 10, 5).unwrap();
    let mut granted = granted(&budget);
    assert_eq!(budget.balance(), 4);
    for mut clone in vec![granted.clone(); 5] {
        clone.on_cancelled();
        assert_eq!(clone.next(at_ms(100)), Next::Failed(Failure::Cancelled));
    }
    assert_eq!(budget.balance(), 4, "none to give back");
    // One that wants to send needs a token of its own.
    let mut clone = granted.clone();
    assert_eq!((clone.next(at_ms(100)), budget.balance()), (TRANSMIT, 3));
    granted.on_transmitted(at_ms(100));
    clone.on_transmitted(at_ms(100));
    drop((granted, clone));
    assert_eq!(budget.balance(), 3, "two retransmissions, two tokens");
}

#[test]
fn a_builder_that_panics_costs_no_token() {
    let budget = three();
    for _ in 0..5 {
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).budget(&budget);
        let mut requester = builder.over(Scripted::silent()).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ = requester.request_with(|it, bytes| {
                assert!(it.transmission < 2, "as planned");
                bytes.extend_from_slice(b"id 1");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!((requester.transport().left, budget.balance()), (1, 2), "it may still go on");
        drop(requester);
        assert_eq!(budget.balance(), 3);
    }
}

#[test]
fn a_requester_whose_builder_panicked_takes_the_token_back_for_its_next_request() {
    let budget = three();
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).budget(&budget);
    let mut requester = builder.over(Scripted::echo(ms(120))).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = requester.request_with(|it, bytes| {
            assert!(it.transmission < 2, "as planned");
            bytes.extend_from_slice(b"id 1");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(requester.request(b"id 2").unwrap().transmissions(), 2);
    assert_eq!(budget.balance(), 2, "one retransmission left");
}

/// Asked to retransmit, 100 ms after the start.
fn granted(budget: &RetryBudget) -> Transaction<TransactionId> {
    let before = budget.balance();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget.clone());
    transaction.start(b"id 1", START, Seed::new(0));
    transaction.on_transmitted(START);
    let due: Timestamp = at_ms(100);
    assert_eq!((looked(&mut transaction, due), budget.balance()), (TRANSMIT, before - 1));
    transaction
}

/// Keeps it for good, so that no drop can return anything.
fn leak<T>(kept: T) {
    Box::leak(Box::new(kept));
}

fn three() -> RetryBudget {
    RetryBudget::new(0.0, 10, 3).unwrap()
}
