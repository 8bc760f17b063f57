use std::num::NonZeroU32;

use udp_retry::transaction::{Execution, Failure, Match, Next, OnUnreachable};
use udp_retry::transport::{PathError, PathIndex};

use super::{Asked, asked, at_ms, in_order, tokens};
use udp_retry::transaction_id;

#[test]
fn a_refusal_hastens_the_next_server_once_for_each() {
    let mut asked = asked(3);
    asked.start(b"id 1 ping");
    asked.silence(10);
    asked.refuse(0);
    assert_eq!(asked.silence(20), [(0, 0), (10, 1)]);
    asked.refuse(1);
    asked.refuse(1);
    asked.refuse(0);
    // The third has its own time; then the slot's wait begins.
    assert_eq!(asked.silence(1_019), [(0, 0), (10, 1), (20, 2)]);
    asked.silence(1_020);
    assert_eq!(asked.sent.last(), Some(&(1_020, 0)));
    // In the next slot the first is asked again, and another refusal of it hastens nothing.
    asked.silence(1_030);
    asked.refuse(0);
    asked.silence(1_100);
    assert_eq!(asked.sent.len(), 4, "{:?}", asked.sent);
}

#[test]
fn a_refusal_by_a_server_that_was_left_already_hastens_nothing() {
    let mut asked = asked(3);
    asked.start(b"id 1 ping");
    asked.silence(260);
    asked.refuse(0);
    assert_eq!(asked.silence(499), [(0, 0), (250, 1)]);
    assert_eq!(asked.silence(500), [(0, 0), (250, 1), (500, 2)]);
}

#[test]
fn what_a_refusal_hastens_is_free() {
    let mut asked = Asked::of(in_order(3, transaction_id(0..4)).with_budget(tokens(0)));
    asked.answered_by(0, 10);
    let start = asked.at();
    asked.start(b"id 1 ping");
    asked.obey();
    asked.refuse(0);
    assert_eq!(asked.silence(start + 100), [(start, 0), (start, 1)]);
}

#[test]
fn fail_fast_fails_when_the_last_server_has_refused() {
    let mut asked = Asked::of(in_order(3, transaction_id(0..4)).with_on_unreachable(OnUnreachable::FailFast));
    asked.start(b"id 1 ping");
    for path in 0..3 {
        assert!(matches!(asked.obey(), Next::WaitUntil(_)), "{path}");
        asked.refuse(path);
    }
    assert_eq!(asked.obey(), Next::Failed(Failure::Refused));
    assert_eq!((asked.at(), asked.transaction.execution()), (0, Execution::Refused));
}

#[test]
fn fail_fast_waits_for_those_that_did_not_refuse() {
    let mut asked = Asked::of(in_order(2, transaction_id(0..4)).with_on_unreachable(OnUnreachable::FailFast));
    asked.start(b"id 1 ping");
    asked.silence(250);
    asked.refuse(1);
    asked.silence(900);
    assert_eq!(asked.receive(0, b"id 1 pong"), Match::Reply);
    assert_eq!(asked.obey(), Next::Done);
}

#[test]
fn fail_after_counts_the_refusals_of_all_servers() {
    let rule = OnUnreachable::FailAfter(NonZeroU32::new(2).unwrap());
    let mut asked = Asked::of(in_order(3, transaction_id(0..4)).with_on_unreachable(rule));
    asked.start(b"id 1 ping");
    asked.obey();
    asked.refuse(0);
    assert!(matches!(asked.obey(), Next::WaitUntil(_)));
    asked.refuse(1);
    assert_eq!(asked.obey(), Next::Failed(Failure::Refused));
}

#[test]
fn a_server_without_a_route_is_left_at_once() {
    for (error, next) in [(PathError::Unreachable, 0), (PathError::Other(97), 0), (PathError::NoBuffers, 250)] {
        let mut asked = Asked::of(in_order(2, transaction_id(0..4)).with_budget(tokens(0)));
        asked.start(b"id 1 ping");
        assert_eq!(asked.transaction.next(asked.now), Next::Transmit(PathIndex::FIRST));
        asked.transaction.on_not_transmitted(asked.now, error);
        assert_eq!(asked.transaction.next(asked.now), Next::Transmit(PathIndex::FIRST), "once more");
        for _ in 0..8 {
            // A refusal may be an earlier datagram's each time.
            if asked.transaction.next(asked.now) == Next::Transmit(PathIndex::FIRST) {
                asked.transaction.on_not_transmitted(asked.now, error);
            }
        }
        assert_eq!(asked.silence(300), [(next, 1)], "{error}");
        let paths: Vec<_> = asked.transaction.error(Failure::Cancelled, at_ms(300)).paths().to_vec();
        assert_eq!((paths[0].transmissions, paths[0].last_error), (0, Some(error)));
    }
}
