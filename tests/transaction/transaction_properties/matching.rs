//! Which datagrams count.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::transaction::{Execution, Hold, Match, Next, Stray, Transaction, any_reply, matching, transaction_id};
use udp_retry::transport::{PathError, PathIndex, Renewed};

use super::{MS, RENEW, TRANSMIT, at, fail_twice, looked, patient, send_all, sent_once};
use crate::seen::{Seen, seen};

#[test]
fn a_reply_to_any_of_the_latest_sixteen_requests_counts_and_to_the_one_before_does_not() {
    for built in 1..=40_u32 {
        for back in 0..20 {
            let mut transaction = Transaction::new(patient(), transaction_id(0..4));
            transaction.start_building(at(0), Seed::new(0));
            for n in 0..built {
                let now = at(u64::from(n) * 10);
                assert_eq!(looked(&mut transaction, now), Next::Build(PathIndex::FIRST, n + 1));
                transaction.build(|it, bytes| {
                    assert_eq!((it.path, it.transmission), (PathIndex::FIRST, n + 1));
                    assert!(bytes.is_empty());
                    bytes.extend_from_slice(&n.to_be_bytes());
                });
                assert_eq!(transaction.datagram(), n.to_be_bytes());
                assert_eq!(transaction.next(now), TRANSMIT);
                transaction.on_transmitted(now);
            }
            let Some(answered) = (built - 1).checked_sub(back) else { continue };
            let now = at(u64::from(built) * 10 - 5);
            let verdict = transaction.on_datagram(now, PathIndex::FIRST, &answered.to_be_bytes(), 4);
            assert_eq!(verdict == Match::Reply, back < 16, "{back} before the latest of {built}");
            if verdict == Match::Reply {
                let sent = at(u64::from(answered) * 10);
                assert_eq!(transaction.round_trip(), Some(now.since(sent)));
            }
        }
    }
}

#[test]
fn a_request_that_never_left_pushes_out_no_other() {
    let mut transaction = Transaction::new(patient(), transaction_id(0..4));
    transaction.start_building(at(0), Seed::new(0));
    for n in 0..16_u32 {
        transaction.build(|_, bytes| bytes.extend_from_slice(&n.to_be_bytes()));
        transaction.on_transmitted(at(u64::from(n) * 10));
    }
    for n in 16..100_u32 {
        let now = at(u64::from(n) * 10);
        transaction.on_time_up(now);
        transaction.build(|_, bytes| bytes.extend_from_slice(&n.to_be_bytes()));
        fail_twice(&mut transaction, now, PathError::NoBuffers);
    }
    let mut unsent = transaction.clone();
    assert_eq!(
        unsent.on_datagram(at(1000), PathIndex::FIRST, &99_u32.to_be_bytes(), 4),
        Match::Foreign,
        "it was not sent"
    );
    assert_eq!(transaction.on_datagram(at(1000), PathIndex::FIRST, &1_u32.to_be_bytes(), 4), Match::Reply);
}

#[test]
fn a_reply_before_any_transmission_is_a_stray() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    transaction.start(b"time?", at(0), Seed::new(0));
    assert_eq!(transaction.on_datagram(at(0), PathIndex::FIRST, b"noon", 4), Match::Foreign);
    assert_eq!(transaction.next(at(0)), RENEW);
    transaction.on_renewed(at(0), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at(0)), TRANSMIT);
    fail_twice(&mut transaction, at(0), PathError::NoBuffers);
    assert_eq!(transaction.on_datagram(at(1), PathIndex::FIRST, b"noon", 4), Match::Foreign);
    transaction.on_transmitted(at(100 * MS));
    assert_eq!(transaction.on_datagram(at(101 * MS), PathIndex::FIRST, b"noon", 4), Match::Reply);
    assert_eq!(transaction.next(at(101 * MS)), Next::Done);
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn a_reply_after_the_reply_is_a_stray() {
    let mut transaction = sent_once();
    assert_eq!(transaction.on_datagram(at(MS), PathIndex::FIRST, b"id 1", 4), Match::Reply);
    assert_eq!(transaction.on_datagram(at(2 * MS), PathIndex::FIRST, b"id 1", 4), Match::Foreign);
    assert_eq!(transaction.round_trip(), Some(Duration::from_millis(1)));
    let events: Vec<_> = seen(transaction.timeline()).into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, [Seen::Transmitted(1), Seen::Replied, Seen::Stray(Stray::Stale, 4)]);
}

#[test]
fn a_reply_counts_up_to_the_deadline_even_after_the_last_wait() {
    for (limit, arrives, counts) in [
        (5000, 3099, true),
        (5000, 3100, true),
        (5000, 4000, true),
        (5000, 5000, true),
        (5000, 5001, false),
        (200, 200, true),
        (200, 201, false),
    ] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(b"id 1", at(0), Seed::new(0));
        transaction.end_by(at(limit * MS));
        send_all(&mut transaction, arrives);
        let verdict = transaction.on_datagram(at(arrives * MS), PathIndex::FIRST, b"id 1", 4);
        assert_eq!(verdict == Match::Reply, counts, "at {arrives}, deadline {limit}");
        assert_eq!(transaction.next(at(arrives * MS)) == Next::Done, counts);
    }
}

#[test]
fn the_same_bytes_sent_twice_give_no_round_trip() {
    let mut transaction = sent_once();
    transaction.on_transmitted(at(100 * MS));
    transaction.on_datagram(at(101 * MS), PathIndex::FIRST, b"id 1", 4);
    assert_eq!((transaction.round_trip(), transaction.transmissions()), (None, 2));
}

#[test]
fn a_failed_send_leaves_the_round_trip_certain() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    fail_twice(&mut transaction, at(0), PathError::NoBuffers);
    transaction.on_transmitted(at(100 * MS));
    transaction.on_datagram(at(103 * MS), PathIndex::FIRST, b"id 1", 4);
    assert_eq!(transaction.round_trip(), Some(Duration::from_millis(3)));
    assert_eq!(transaction.elapsed(at(103 * MS)), Duration::from_millis(103));
}

#[test]
fn a_reply_that_fits_two_builds_gives_no_round_trip() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(at(0), Seed::new(0));
    for (n, due) in [(1, 0), (2, 100)] {
        transaction.build(|_, bytes| bytes.extend_from_slice(format!("id 1 attempt {n}").as_bytes()));
        transaction.on_transmitted(at(due * MS));
    }
    assert_eq!(transaction.on_datagram(at(101 * MS), PathIndex::FIRST, b"id 1", 4), Match::Reply);
    assert_eq!(transaction.round_trip(), None);
}

#[test]
fn a_reply_outweighs_a_provisional_reading_of_the_same_datagram() {
    // A datagram names one attempt; to every other it is a provisional answer.
    let matcher =
        matching(|request, datagram| if request == datagram { Match::Reply } else { Match::Provisional(Hold::Stop) });
    for answered in [b"1", b"2", b"3"] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
        transaction.start_building(at(0), Seed::new(0));
        for (request, due) in [(b"1", 0), (b"2", 100), (b"3", 300)] {
            transaction.build(|_, bytes| bytes.extend_from_slice(request));
            transaction.on_transmitted(at(due * MS));
        }
        assert_eq!(transaction.on_datagram(at(301 * MS), PathIndex::FIRST, answered, 1), Match::Reply);
        assert!(transaction.round_trip().is_some());
    }
}
