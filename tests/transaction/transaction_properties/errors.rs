//! What an error means.

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure, GiveUp, Next, Transaction, transaction_id};
use udp_retry::transport::PathError;

use super::{MS, SLOTS, at, sent_once};

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
