//! When a request leaves from a fresh port, and when it must not.

use udp_retry::transaction::{
    Execution, Failure, Next, OnUnreachable, ReplyMatcher, Transaction, any_reply, transaction_id,
};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{ReliableRequester, RequestError, RetryBudget, RetryPolicy, Seed};

use crate::by_hand::{RENEW, RENEW_IF_FREE, TRANSMIT, looked};
use crate::scripted::{Back, Heard, START, Scripted, at_ms, ms, refused, reply};

#[test]
fn after_a_request_that_waited_in_vain_the_next_one_leaves_from_a_fresh_port() {
    let mut requester = by_id().over(Scripted::new(by_name)).unwrap();
    for _ in 0..2 {
        assert!(requester.request(SILENT).unwrap_err().is_timeout());
        assert_eq!(requester.request(b"id 2 echo").unwrap().transmissions(), 1);
        assert_eq!(requester.request(b"id 3 echo").unwrap().transmissions(), 1);
    }
    let ports = requester.transport().ports();
    assert_eq!(ports, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
    // A deadline is a wait in vain too.
    let mut requester = by_id().deadline(ms(250)).over(Scripted::new(by_name)).unwrap();
    assert!(requester.request(SILENT).unwrap_err().is_timeout());
    requester.request(b"id 2 echo").unwrap();
    assert_eq!(requester.transport().ports(), [0, 0, 1]);
}

#[test]
fn after_a_cancelled_request_too_if_it_had_left() {
    for (cancelled, ports) in [(50, &[0, 1][..]), (0, &[0])] {
        let mut requester = by_id().over(Scripted::new(by_name).cancelled_at(at_ms(cancelled))).unwrap();
        assert_eq!(requester.request(SILENT).unwrap_err().failure(), Failure::Cancelled);
        requester.request(b"id 2 echo").unwrap();
        assert_eq!(requester.transport().ports(), ports, "cancelled after {cancelled} ms");
    }
}

#[test]
fn not_after_one_that_failed_otherwise() {
    type Ends = fn(&RequestError) -> bool;
    let cases: [(&[u8], Ends); 5] = [
        (b"id 1 refuse", |error| error.failure() == Failure::Refused),
        (b"id 1 unreach", |error| error.failure() == Failure::Unreachable),
        (b"id 1 long", |error| matches!(error.failure(), Failure::Truncated { .. })),
        (b"id", |error| error.failure() == Failure::Unmatchable),
        (&[b'x'; 2000], |error| matches!(error.failure(), Failure::TooLarge { .. })),
    ];
    for on_unreachable in [OnUnreachable::KeepTrying, OnUnreachable::FailFast] {
        for (request, ends) in cases {
            let builder = by_id().on_unreachable(on_unreachable).buffer(64);
            let mut requester = builder.over(Scripted::new(by_name).with_limit(1000)).unwrap();
            let error = requester.request(request).unwrap_err();
            assert!(ends(&error), "{error}");
            requester.request(b"id 2 echo").unwrap();
            assert_eq!(requester.transport().port(), 0, "{error}");
        }
    }
    // A budget that is spent tells nothing of the path.
    let empty = RetryBudget::new(0.0, 0, 0).unwrap();
    let mut requester = by_id().budget(&empty).over(Scripted::new(by_name)).unwrap();
    assert!(requester.request(SILENT).unwrap_err().is_timeout());
    requester.request(b"id 2 echo").unwrap();
    assert_eq!(requester.transport().port(), 0);
    // Nor does a send that never succeeded.
    let mut requester = by_id().over(Scripted::new(by_name)).unwrap();
    requester.transport_mut().fail_sends(10, PathError::NoBuffers);
    assert_eq!(requester.request(SILENT).unwrap_err().execution(), Execution::NotSent);
    requester.request(b"id 2 echo").unwrap();
    assert_eq!(requester.transport().port(), 0);
}

#[test]
fn not_if_it_repeats_the_same_bytes() {
    // Servers tell the duplicates of a request by the port that they come from.
    let mut requester = by_id().over(Scripted::new(by_name)).unwrap();
    for _ in 0..3 {
        requester.request(SILENT).unwrap_err();
    }
    assert_eq!(requester.transport().port(), 0);
    requester.request_with(|_, bytes| bytes.extend_from_slice(SILENT)).unwrap_err();
    assert_eq!(requester.transport().port(), 0, "built or given");
    requester.request(b"id 2 echo").unwrap();
    assert_eq!(requester.transport().port(), 1, "it is still due for another");
}

#[test]
fn a_request_that_was_left_for_the_next_one_was_as_good_as_cancelled() {
    for (sent, next) in [(true, RENEW_IF_FREE), (false, TRANSMIT)] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", START, Seed::new(0));
        if sent {
            transaction.on_transmitted(START);
        }
        transaction.start(b"id 2", START, Seed::new(0));
        assert_eq!(transaction.next(START), next);
    }
}

#[test]
fn a_caller_who_keeps_the_port_is_asked_for_a_fresh_one_only_where_there_are_no_ids() {
    let mut by_id = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).keeping_port();
    time_out(&mut by_id);
    by_id.start(b"id 2", at_ms(5000), Seed::new(0));
    assert_eq!(by_id.next(at_ms(5000)), TRANSMIT);
    let mut by_port = Transaction::new(RetryPolicy::LAN, any_reply()).keeping_port();
    by_port.start(b"id 1", START, Seed::new(0));
    assert_eq!(by_port.next(START), RENEW);
}

#[test]
fn a_port_that_stays_will_do_for_requests_with_ids_and_for_no_others() {
    for renewed in [Ok(Renewed::SamePort), Err(PathError::Unsupported)] {
        let mut by_port = Transaction::new(RetryPolicy::LAN, any_reply());
        by_port.start(b"time?", START, Seed::new(0));
        assert_eq!(by_port.next(START), RENEW);
        by_port.on_renewed(START, PathIndex::FIRST, renewed);
        let unsupported = Next::Failed(Failure::NoFreshPort);
        assert_eq!((by_port.next(START), by_port.execution()), (unsupported, Execution::NotSent), "{renewed:?}");
    }
    for renewed in [Ok(Renewed::SamePort), Err(PathError::Unsupported), Err(PathError::Unreachable)] {
        let mut by_id = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        time_out(&mut by_id);
        by_id.start(b"id 2", at_ms(5000), Seed::new(0));
        assert_eq!(by_id.next(at_ms(5000)), RENEW_IF_FREE);
        by_id.on_renewed(at_ms(5000), PathIndex::FIRST, renewed);
        assert_eq!(by_id.next(at_ms(5000)), TRANSMIT, "{renewed:?}");
        by_id.on_transmitted(at_ms(5000));
        by_id.on_datagram(at_ms(5001), PathIndex::FIRST, b"id 2", 4);
        assert_eq!(by_id.next(at_ms(5001)), Next::Done);
    }
    // Over a transport: one request after the other from the port that the caller chose.
    let mut requester = by_id().over(Scripted::new(by_name).with_a_chosen_port()).unwrap();
    requester.request(SILENT).unwrap_err();
    requester.request(b"id 2 echo").unwrap();
    assert_eq!(requester.transport().port(), 0);
}

#[test]
fn a_renewal_that_fails_for_the_moment_is_tried_again_at_the_next_slot() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    transaction.start(b"time?", START, Seed::new(0));
    for due in [0, 100, 300] {
        assert_eq!(looked(&mut transaction, at_ms(due)), RENEW, "at {due}");
        transaction.on_renewed(at_ms(due), PathIndex::FIRST, Err(PathError::Unreachable));
    }
    assert_eq!(looked(&mut transaction, at_ms(700)), RENEW);
    transaction.on_renewed(at_ms(700), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at_ms(700)), TRANSMIT);
    transaction.on_transmitted(at_ms(700));
    assert_eq!(looked(&mut transaction, at_ms(1500)), TRANSMIT, "from the port that it has");
}

#[test]
fn on_a_fresh_port_every_refusal_is_this_requests_own() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction = transaction.with_on_unreachable(OnUnreachable::FailFast);
    time_out(&mut transaction);
    transaction.start(b"id 2", at_ms(3100), Seed::new(0));
    assert_eq!(transaction.next(at_ms(3100)), RENEW_IF_FREE);
    transaction.on_renewed(at_ms(3100), PathIndex::FIRST, Ok(Renewed::FreshPort));
    transaction.on_transmitted(at_ms(3100));
    transaction.on_path_error(at_ms(3101), Some(PathIndex::FIRST), PathError::Refused);
    assert_eq!(looked(&mut transaction, at_ms(3101)), Next::Failed(Failure::Refused));
    assert_eq!(transaction.execution(), Execution::Refused);
}

/// As `SILENT`, on the schedule for the LAN.
fn time_out<M: ReplyMatcher>(transaction: &mut Transaction<M>) {
    transaction.start(b"id 1", START, Seed::new(0));
    for due in [0, 100, 300, 700, 1500] {
        assert_eq!(looked(transaction, at_ms(due)), TRANSMIT);
        transaction.on_transmitted(at_ms(due));
    }
    assert!(matches!(looked(transaction, at_ms(3100)), Next::Failed(Failure::TimedOut(_))));
}

fn by_id() -> udp_retry::requester::Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN)
}

/// A server that does what it is asked.
fn by_name(heard: Heard<'_>) -> Vec<crate::scripted::Answer> {
    match heard.payload.get(4..) {
        Some(b" refuse") => vec![refused(ms(1))],
        Some(b" unreach") => vec![(ms(1), Back::Error(PathError::Unreachable))],
        Some(b" long") => vec![reply(ms(1), &[heard.payload, &[0; 100]].concat())],
        Some(b" echo") => vec![reply(ms(1), heard.payload)],
        _ => vec![],
    }
}

const SILENT: &[u8] = b"id 1 silent";
