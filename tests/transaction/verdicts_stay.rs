//! How a request ended is said once; nothing that is reported afterwards changes it, its record or what it stands for.

use std::num::NonZeroU32;

use udp_retry::transaction::{
    Failure, GiveUp, Match, Matching, Next, OnUnreachable, Transaction, any_reply, matching, transaction_id,
};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryPolicy, Seed};

use crate::by_hand::{RENEW, TRANSMIT, looked};
use crate::scripted::{START, at_ms, ms};
use crate::seen::{Seen, seen};

#[test]
fn an_error_after_the_reply_dooms_nothing() {
    for rule in [OnUnreachable::FailFast, OnUnreachable::FailAfter(NonZeroU32::MIN)] {
        for ask in [false, true] {
            let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_on_unreachable(rule);
            transaction.start(b"id 1", START, Seed::new(0));
            transaction.on_transmitted(START);
            transaction.on_datagram(at_ms(1), PathIndex::FIRST, b"id 1", 4);
            if ask {
                assert_eq!(transaction.next(at_ms(1)), Next::Done);
            }
            transaction.on_path_error(at_ms(2), Some(PathIndex::FIRST), PathError::Refused);
            assert_eq!(transaction.next(at_ms(2)), Next::Done);
            assert_eq!(looked(&mut transaction, at_ms(3)), Next::Done);
        }
    }
}

#[test]
fn a_request_whose_deadline_came_before_it_could_leave_is_not_revived_by_a_renewal() {
    let policy = RetryPolicy::LAN.with_deadline(ms(1000)).unwrap();
    let mut transaction = Transaction::new(policy, any_reply());
    transaction.start(b"time?", START, Seed::new(0));
    assert_eq!(transaction.next(START), RENEW);
    let ended = Next::Failed(Failure::TimedOut(GiveUp::Deadline));
    assert_eq!(looked(&mut transaction, at_ms(2000)), ended);
    for renewed in [Ok(Renewed::FreshPort), Ok(Renewed::SamePort), Err(PathError::Unsupported)] {
        transaction.on_renewed(at_ms(2000), PathIndex::FIRST, renewed);
        assert_eq!(transaction.next(at_ms(2000)), ended, "{renewed:?}");
    }
    let failed = Seen::Failed(Failure::TimedOut(GiveUp::Deadline));
    assert_eq!(seen(transaction.timeline()).pop(), Some((ms(2000), failed)));
}

#[test]
fn whatever_is_reported_after_the_end_the_end_stays() {
    let ends: [(&str, Report); 4] = [
        ("the deadline", |it| it.on_time_up(at_ms(1000))),
        ("cancelled", |it| it.on_cancelled()),
        ("a reply", |it| _ = it.on_datagram(at_ms(999), PathIndex::FIRST, b"reply", 5)),
        ("a cut reply", |it| _ = it.on_datagram(at_ms(999), PathIndex::FIRST, b"reply", 6)),
    ];
    for (what, end) in ends {
        let mut transaction = Transaction::new(RetryPolicy::LAN, matching(id as fn(&[u8], &[u8]) -> Match));
        transaction.start(b"id 1", START, Seed::new(0));
        transaction.end_by(at_ms(1000));
        transaction.on_transmitted(START);
        end(&mut transaction);
        let ended = transaction.next(at_ms(1000));
        assert!(matches!(ended, Next::Done | Next::Failed(_)), "{what}: {ended:?}");
        let record = (seen(transaction.timeline()), transaction.execution(), transaction.last_error());
        let shown = (transaction.transmissions(), transaction.round_trip(), transaction.reply());
        for report in AFTERWARDS {
            for _ in 0..20 {
                report(&mut transaction);
            }
            assert_eq!(transaction.next(at_ms(1001)), ended, "{what}");
            let now = (seen(transaction.timeline()), transaction.execution(), transaction.last_error());
            assert_eq!(now, record, "{what}");
            assert_eq!((transaction.transmissions(), transaction.round_trip(), transaction.reply()), shown);
        }
    }
}

#[test]
fn one_that_was_never_started_stays_idle_and_records_nothing() {
    let mut idle = Transaction::new(RetryPolicy::LAN, matching(id as fn(&[u8], &[u8]) -> Match));
    for report in AFTERWARDS {
        report(&mut idle);
        assert_eq!(idle.next(at_ms(1)), Next::Idle);
    }
    assert_eq!((seen(idle.timeline()), idle.transmissions()), (vec![], 0));
    idle.start(b"id 1", START, Seed::new(0));
    assert_eq!(idle.next(START), TRANSMIT);
}

type Matcher = Matching<fn(&[u8], &[u8]) -> Match>;
type Report = fn(&mut Transaction<Matcher>);

fn id(request: &[u8], datagram: &[u8]) -> Match {
    Match::from(request.starts_with(b"id") && datagram == b"reply")
}

const AFTERWARDS: [Report; 12] = [
    |it| it.on_transmitted(at_ms(1001)),
    |it| it.on_not_transmitted(at_ms(1001), PathError::too_big(None)),
    |it| it.on_not_transmitted(at_ms(1001), PathError::Refused),
    |it| it.on_path_error(at_ms(1001), Some(PathIndex::FIRST), PathError::Other(5)),
    |it| it.on_path_error(at_ms(1001), Some(PathIndex::FIRST), PathError::Refused),
    |it| _ = it.on_datagram(at_ms(1000), PathIndex::FIRST, b"reply", 5),
    |it| _ = it.on_datagram(at_ms(1000), PathIndex::FIRST, b"junk", 4),
    |it| it.on_time_up(at_ms(1001)),
    |it| it.on_renewed(at_ms(1001), PathIndex::FIRST, Ok(Renewed::FreshPort)),
    |it| it.on_renewed(at_ms(1001), PathIndex::FIRST, Err(PathError::Unsupported)),
    |it| it.build(|_, bytes| bytes.clear()),
    |it| it.on_cancelled(),
];
