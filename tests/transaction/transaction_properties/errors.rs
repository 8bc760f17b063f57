//! What an error means.

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure, GiveUp, Next, Transaction, transaction_id};
use udp_retry::transport::{PathError, PathIndex};

use super::{MS, SLOTS, TRANSMIT, at, fail_twice, looked, sent_once};

#[test]
fn refused_unreachable_and_silence_are_told_apart_at_the_end_of_the_schedule_only() {
    for (error, failure, execution) in [
        (None, Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Refused), Failure::Refused, Execution::Refused),
        (Some(PathError::Unreachable), Failure::Unreachable, Execution::Refused),
        (Some(PathError::too_big(None)), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::NoBuffers), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Denied), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
        (Some(PathError::Other(5)), Failure::TimedOut(GiveUp::Unanswered), Execution::Unknown),
    ] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        for due in SLOTS {
            assert_eq!(looked(&mut transaction, at(due * MS)), TRANSMIT, "{error:?}");
            transaction.on_transmitted(at(due * MS));
            if let Some(error) = error {
                transaction.on_path_error(at(due * MS + 1), Some(PathIndex::FIRST), error);
                assert!(matches!(transaction.next(at(due * MS + 1)), Next::WaitUntil(_)), "{error:?}");
            }
        }
        assert_eq!(transaction.next(at(3100 * MS - 1)), Next::WaitUntil(at(3100 * MS)));
        assert_eq!(looked(&mut transaction, at(3100 * MS)), Next::Failed(failure));
        assert_eq!((transaction.execution(), transaction.last_error()), (execution, error));
    }
}

#[test]
fn where_nothing_could_be_sent_the_last_reason_is_the_verdict() {
    for error in [PathError::Denied, PathError::NoBuffers, PathError::Unsupported, PathError::Other(99)] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        for due in SLOTS {
            assert_eq!(looked(&mut transaction, at(due * MS)), TRANSMIT);
            fail_twice(&mut transaction, at(due * MS), error);
        }
        assert_eq!(looked(&mut transaction, at(3100 * MS)), Next::Failed(Failure::Local(error)));
        assert_eq!((transaction.execution(), transaction.transmissions()), (Execution::NotSent, 0));
    }
}

#[test]
fn too_big_to_send_ends_it_at_once_and_too_big_of_an_earlier_datagram_does_not() {
    let limit = Some(Plpmtu::new(1232));
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(at(0), Seed::new(0));
    transaction.build(|_, bytes| bytes.extend_from_slice(b"id 1"));
    transaction.on_transmitted(at(0));
    transaction.on_path_error(at(1), Some(PathIndex::FIRST), PathError::too_big(limit));
    assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
    transaction.on_time_up(at(100 * MS));
    transaction.build(|_, bytes| bytes.extend_from_slice(b"id 1 and more"));
    fail_twice(&mut transaction, at(100 * MS), PathError::too_big(limit));
    let Next::Failed(Failure::TooLarge { len: 13, limit: told, .. }) = transaction.next(at(100 * MS)) else {
        panic!("{}", transaction.timeline());
    };
    assert_eq!((told, transaction.execution(), transaction.transmissions()), (limit, Execution::Unknown, 1));
}

#[test]
fn bytes_that_left_once_are_not_too_big() {
    // Somebody forged "fragmentation needed"; the path has carried them.
    let mut transaction = sent_once();
    transaction.on_time_up(at(100 * MS));
    fail_twice(&mut transaction, at(100 * MS), PathError::too_big(None));
    assert_eq!(transaction.next(at(100 * MS)), Next::WaitUntil(at(300 * MS)), "the slot is used");
    assert_eq!(looked(&mut transaction, at(300 * MS)), TRANSMIT);
}

#[test]
fn news_before_the_first_transmission_refuses_nothing() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    for _ in 0..3 {
        transaction.on_path_error(at(0), Some(PathIndex::FIRST), PathError::Refused);
    }
    transaction.on_transmitted(at(0));
    assert_eq!(transaction.execution(), Execution::Unknown);
    transaction.on_path_error(at(1), Some(PathIndex::FIRST), PathError::Refused);
    assert_eq!(transaction.execution(), Execution::Refused);
    transaction.on_transmitted(at(100 * MS));
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn more_refusals_than_transmissions_vouch_for_no_later_one() {
    let mut transaction = sent_once();
    for _ in 0..10 {
        transaction.on_path_error(at(1), Some(PathIndex::FIRST), PathError::Refused);
    }
    assert_eq!(transaction.execution(), Execution::Refused);
    for due in [100, 300] {
        transaction.on_transmitted(at(due * MS));
        assert_eq!(transaction.execution(), Execution::Unknown, "{due}");
    }
}

#[test]
fn no_number_of_local_receive_errors_ends_it_and_none_puts_off_a_slot() {
    for error in [PathError::Other(5), PathError::Unsupported] {
        let mut transaction = sent_once();
        for _ in 0..1000 {
            transaction.on_path_error(at(1), Some(PathIndex::FIRST), error);
            assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
        }
        // Nothing but errors once the slot is due: after 64 the queue is taken for empty.
        let mut errors = 0;
        while transaction.next(at(100 * MS)) == Next::WaitUntil(at(100 * MS)) {
            transaction.on_path_error(at(100 * MS), Some(PathIndex::FIRST), error);
            errors += 1;
        }
        assert_eq!((errors, transaction.next(at(100 * MS))), (64, TRANSMIT));
        assert_eq!(transaction.execution(), Execution::Unknown);
    }
}

#[test]
fn errors_that_packets_brought_never_end_it() {
    for error in [PathError::Refused, PathError::Unreachable, PathError::too_big(None)] {
        let mut transaction = sent_once();
        for _ in 0..1000 {
            transaction.on_path_error(at(1), Some(PathIndex::FIRST), error);
        }
        assert_eq!(transaction.next(at(1)), Next::WaitUntil(at(100 * MS)));
    }
}
