//! What is a measurement of the path, and what is none.

use std::time::Duration;

use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::transaction::{Hold, Match, Next, ReplyMatcher, Transaction, matching, transaction_id};
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, RetryPolicy, Seed};

use crate::by_hand::{TRANSMIT, looked};
use crate::scripted::{Answer, Scripted, at_ms, ms, reply};

#[test]
fn a_provisional_answer_is_the_round_trip_and_the_reply_after_it_is_none() {
    for hold in [Hold::Stop, Hold::Slow] {
        let learnt = measured(hold, vec![reply(ms(50), b"soon"), reply(ms(20_000), b"done")]);
        assert_eq!(learnt, [Some(ms(50)); 2], "{hold:?}");
    }
    // A second sign of life is no second measurement.
    let twice = vec![reply(ms(50), b"soon"), reply(ms(90), b"soon"), reply(ms(95), b"done")];
    assert_eq!(measured(Hold::Stop, twice), [Some(ms(50)); 2]);
}

#[test]
fn a_provisional_answer_that_may_be_to_either_transmission_is_no_measurement_nor_is_what_follows() {
    let late = vec![reply(ms(150), b"soon"), reply(ms(160), b"done")];
    assert_eq!(measured(Hold::Stop, late), [None; 2]);
}

#[test]
fn a_provisional_answer_that_fits_two_builds_is_no_measurement() {
    let matcher = matching(|request, datagram| match datagram {
        b"soon" => Match::Provisional(Hold::Slow),
        _ => Match::from(request == datagram),
    });
    let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
    transaction.start_building(at_ms(0), Seed::new(0));
    for (due, request) in [(0, b"first"), (100, b"other")] {
        transaction.build(|_, bytes| bytes.extend_from_slice(request));
        transaction.on_transmitted(at_ms(due));
    }
    assert_eq!(transaction.on_datagram(at_ms(105), PathIndex::FIRST, b"soon", 4), Match::Provisional(Hold::Slow));
    assert_eq!(transaction.round_trip(), None);
    transaction.on_datagram(at_ms(107), PathIndex::FIRST, b"other", 5);
    assert_eq!(transaction.next(at_ms(107)), Next::Done);
    assert_eq!(transaction.round_trip(), None, "after a provisional answer the server is measured, not the path");
}

#[test]
fn what_arrives_once_the_wait_has_ended_counts_and_is_no_measurement() {
    for (at, round_trip) in [(99, Some(ms(99))), (100, None), (101, None)] {
        for reported in [false, true] {
            let mut transaction = measuring();
            if reported {
                // It says `Transmit`, and the reply comes before that is done.
                transaction.on_time_up(at_ms(at));
                transaction.next(at_ms(at));
            }
            assert_eq!(transaction.on_datagram(at_ms(at), PathIndex::FIRST, b"id 1", 4), Match::Reply);
            assert_eq!(transaction.next(at_ms(at)), Next::Done);
            assert_eq!(transaction.round_trip(), round_trip, "after {at} ms");
            assert_eq!(transaction.estimator().unwrap().srtt(at_ms(at)), round_trip);
        }
    }
}

#[test]
fn a_late_reader_who_knows_when_it_arrived_has_a_measurement() {
    let world = Scripted::echo(ms(70)).suspended(at_ms(50), at_ms(5000));
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(world).unwrap();
    let answer = requester.request(b"id 1").unwrap();
    assert_eq!((answer.round_trip(), answer.elapsed(), answer.transmissions()), (Some(ms(70)), ms(70), 1));
    // Beyond the end of the wait its time is no better than a bound.
    let world = Scripted::echo(ms(110)).suspended(at_ms(50), at_ms(5000));
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(world).unwrap();
    let answer = requester.request(b"id 1").unwrap();
    assert_eq!((answer.round_trip(), answer.transmissions()), (None, 1));
}

#[test]
fn the_same_bytes_built_again_are_one_request_sent_twice_however_many_were_between() {
    // An attempt counter of four bits, and a reply 5 ms after the seventeenth transmission.
    let sample = |answered: u8| {
        let mut transaction = counting(17);
        assert_eq!(transaction.transmissions(), 17);
        assert_eq!(transaction.on_datagram(at_ms(165), PathIndex::FIRST, &[answered], 1), Match::Reply);
        transaction.round_trip()
    };
    assert_eq!(sample(1), None, "to the first or to the seventeenth");
    for answered in 2..=16 {
        assert_eq!(sample(answered), Some(ms(165 - 10 * (u64::from(answered) - 1))), "{answered}");
    }
    // Twice around: every one was sent twice or three times, and none is forgotten.
    for answered in 1..=16 {
        let mut transaction = counting(40);
        assert_eq!(transaction.on_datagram(at_ms(395), PathIndex::FIRST, &[answered], 1), Match::Reply, "{answered}");
        assert_eq!(transaction.round_trip(), None, "{answered}");
    }
}

/// Built with a counter of 1 to 16, and sent so often, once every 10 ms.
fn counting(transmissions: u64) -> Transaction<impl ReplyMatcher> {
    let policy = RetryPolicy::new(Backoff::constant(ms(10)).unwrap()).with_max_transmissions(100).unwrap();
    let mut transaction = Transaction::new(policy, matching(|request, datagram| request == datagram));
    transaction.start_building(at_ms(0), Seed::new(0));
    for n in 0..transmissions {
        let now = at_ms(10 * n);
        assert!(matches!(looked(&mut transaction, now), Next::Build(..)));
        transaction.build(|it, bytes| bytes.push(u8::try_from((it.transmission - 1) % 16 + 1).unwrap()));
        assert_eq!(transaction.next(now), TRANSMIT);
        transaction.on_transmitted(now);
    }
    transaction
}

/// The round trip of a request that is answered like this, and what an estimator learnt from it.
fn measured(hold: Hold, answers: Vec<Answer>) -> [Option<Duration>; 2] {
    let mut answers = Some(answers);
    let world = Scripted::new(move |_| answers.take().unwrap_or_default());
    let matcher = matching(move |_, datagram| match datagram {
        b"soon" => Match::Provisional(hold),
        b"done" => Match::Reply,
        _ => Match::Foreign,
    });
    let estimator = RttEstimator::new(ms(100), ms(1), ms(60_000)).unwrap().with_max_age(ms(600_000)).unwrap();
    let policy = RetryPolicy::LAN.with_max_transmissions(20).unwrap();
    let mut requester = ReliableRequester::builder(matcher).policy(policy).estimator(estimator).over(world).unwrap();
    let round_trip = requester.request(b"id 1").unwrap().round_trip();
    let now = at_ms(20_000);
    [round_trip, requester.estimator().unwrap().srtt(now)]
}

/// Sent once, and the next is due at 100 ms.
fn measuring() -> Transaction<udp_retry::transaction::TransactionId> {
    let estimator = RttEstimator::new(ms(100), ms(1), ms(60_000)).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_estimator(estimator);
    transaction.start(b"id 1", at_ms(0), Seed::new(0));
    transaction.on_transmitted(at_ms(0));
    transaction
}
