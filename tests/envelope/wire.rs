//! What leaves in an envelope and what is made of answers in one, transmission by transmission.

use udp_retry::envelope::{HEADER_LEN, Incarnation, RequestHeader};
use udp_retry::policy::Backoff;
use udp_retry::servers::{ServerSet, ServerSettings};
use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Event, Execution, Failure, Hold, Match, Next, Stray, Transaction, TransactionId, matching,
};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};

use crate::answers::{reply, unknown, wrong};
use crate::ms;

const PATH: PathIndex = PathIndex::FIRST;

#[test]
fn each_transmission_says_its_number_the_time_that_is_left_and_no_incarnation_at_first() {
    let mut transaction = started(0);
    assert_eq!(transaction.next(at(0)), Next::Transmit(PATH));
    let (first, request) = RequestHeader::decode(transaction.datagram()).unwrap();
    assert_eq!((first, request), (RequestHeader::new(1, Some(ms(1_000)), None), &b"id 1 ping"[..]));
    transaction.on_transmitted(at(0));

    transaction.on_time_up(at(100));
    assert_eq!(transaction.next(at(103)), Next::Transmit(PATH));
    let (second, _) = RequestHeader::decode(transaction.datagram()).unwrap();
    assert_eq!(second, RequestHeader::new(2, Some(ms(897)), None));
}

#[test]
fn one_without_a_deadline_says_none() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_envelope();
    transaction.start(b"id 1", at(0), Seed::new(1));
    assert_eq!(transaction.next(at(0)), Next::Transmit(PATH));
    assert_eq!(RequestHeader::decode(transaction.datagram()).unwrap().0.remaining(), None);
}

#[test]
fn what_is_offered_again_after_a_failed_send_is_the_same_datagram_and_the_next_slot_another() {
    let mut transaction = started(0);
    assert_eq!(transaction.next(at(0)), Next::Transmit(PATH));
    let first = transaction.datagram().to_vec();
    transaction.on_not_transmitted(at(1), PathError::NoBuffers);
    assert_eq!(transaction.next(at(2)), Next::Transmit(PATH));
    assert_eq!(transaction.datagram(), first);
    // The same verdict twice is the system's own: the slot has passed, and nothing of number 1 has left.
    transaction.on_not_transmitted(at(2), PathError::NoBuffers);
    transaction.on_time_up(at(100));
    assert_eq!(transaction.next(at(100)), Next::Transmit(PATH));
    assert_eq!(transaction.datagram()[..HEADER_LEN], RequestHeader::new(1, Some(ms(900)), None).encode());
}

#[test]
fn a_reply_says_which_transmission_it_answers_and_stands_after_its_header() {
    for (answered, round_trip) in [(1, 130), (2, 30)] {
        let mut transaction = asked_twice();
        let reply = reply(7, answered, b"id 1 pong");
        assert_eq!(transaction.on_datagram(at(130), PATH, &reply, reply.len()), Match::Reply);
        assert_eq!(transaction.next(at(130)), Next::Done);
        assert_eq!(transaction.round_trip(), Some(ms(round_trip)));
        assert_eq!(reply[transaction.reply()], *b"id 1 pong");
    }
}

#[test]
fn a_provisional_answer_is_the_matchers_to_know_and_is_measured_too() {
    let by_id = matching(|request, datagram| match datagram {
        [id, b'w'] if *id == request[0] => Match::Provisional(Hold::Stop),
        [id, b'!'] if *id == request[0] => Match::Reply,
        _ => Match::Foreign,
    });
    let mut transaction = Transaction::new(RetryPolicy::LAN, by_id).with_envelope();
    transaction.start(&[7, b'?'], at(0), Seed::new(1));
    for millis in [0, 100] {
        transaction.on_time_up(at(millis));
        assert_eq!(transaction.next(at(millis)), Next::Transmit(PATH));
        transaction.on_transmitted(at(millis));
    }
    let (working, done) = (reply(7, 2, &[7, b'w']), reply(7, 2, &[7, b'!']));
    assert_eq!(transaction.on_datagram(at(120), PATH, &working, working.len()), Match::Provisional(Hold::Stop));
    assert_eq!(transaction.on_datagram(at(5_000), PATH, &done, done.len()), Match::Reply);
    assert_eq!((transaction.round_trip(), transaction.transmissions()), (Some(ms(20)), 2));
}

#[test]
fn wrong_and_old_envelopes_are_strays_that_change_nothing() {
    for (datagram, kind) in wrong() {
        let mut transaction = asked_twice();
        assert_eq!(transaction.on_datagram(at(130), PATH, &datagram, datagram.len()), Match::Foreign, "{datagram:?}");
        let strays = transaction.timeline().events().filter_map(|(_, event)| match event {
            Event::Stray { kind, .. } => Some(kind),
            _ => None,
        });
        assert_eq!(strays.collect::<Vec<_>>(), [kind], "{datagram:?}");
        assert_eq!((transaction.strays().total(), transaction.next(at(130))), (1, Next::WaitUntil(at(300))));
        assert_eq!(transaction.strays().envelope, u32::from(kind == Stray::Envelope));
        // Nor is its incarnation taken for one that is there.
        transaction.start(b"id 2 ping", at(140), Seed::new(2));
        if let Next::Renew(path, _) = transaction.next(at(140)) {
            transaction.on_renewed(at(140), path, Ok(Renewed::FreshPort));
        }
        assert_eq!(transaction.next(at(140)), Next::Transmit(PATH), "{datagram:?}");
        assert_eq!(RequestHeader::decode(transaction.datagram()).unwrap().0.incarnation(), None, "{datagram:?}");
    }
}

#[test]
fn a_reply_of_the_request_before_is_late_whatever_its_number() {
    let mut transaction = asked_twice();
    let late = reply(7, 2, b"id 1 pong");
    transaction.start(b"id 2 ping", at(200), Seed::new(2));
    assert_eq!(sent(&mut transaction, 200), PATH);
    transaction.on_datagram(at(210), PATH, &late, late.len());
    assert_eq!(transaction.strays().stale, 1);
}

#[test]
fn the_next_request_names_who_answered_and_takes_no_reply_of_another() {
    let mut transaction = answered_by(7);
    let named = RequestHeader::decode(transaction.datagram()).unwrap().0;
    assert_eq!(named, RequestHeader::new(1, Some(ms(1_000)), Incarnation::new(7)));
    transaction.on_transmitted(at(500));
    let other = reply(8, 1, b"id 2 pong");
    assert_eq!(transaction.on_datagram(at(510), PATH, &other, other.len()), Match::Foreign);
    assert_eq!(transaction.strays().envelope, 1);
    // Nor does the one that was named say that it does not know: it executes what names it.
    for uptime in [1, 9_999] {
        let odd = unknown(7, 1, ms(uptime), b"id 2 ping");
        transaction.on_datagram(at(510), PATH, &odd, odd.len());
    }
    assert_eq!((transaction.strays().envelope, transaction.next(at(510))), (3, Next::WaitUntil(at(600))));
}

#[test]
fn one_that_was_up_before_the_first_transmission_is_taken_at_once_without_leave_and_once() {
    let nothing = RetryBudget::new(0.1, 1, 0).unwrap();
    let mut transaction = answered_by(7).with_budget(nothing);
    transaction.on_transmitted(at(500));
    let answer = unknown(8, 1, ms(41), b"id 2 ping");
    transaction.on_datagram(at(540), PATH, &answer, answer.len());
    // A look at the queue, and it leaves: in the slot of the first.
    assert_eq!(transaction.next(at(540)), Next::WaitUntil(at(540)));
    transaction.on_time_up(at(540));
    assert_eq!(transaction.next(at(540)), Next::Transmit(PATH));
    let sent = RequestHeader::decode(transaction.datagram()).unwrap().0;
    assert_eq!(sent, RequestHeader::new(2, Some(ms(960)), Incarnation::new(8)));
    transaction.on_transmitted(at(540));
    assert_eq!(transaction.next(at(540)), Next::WaitUntil(at(640)));

    // Copies of the answer, and answers to older copies, change nothing.
    transaction.on_datagram(at(550), PATH, &answer, answer.len());
    let forged = unknown(9, 1, ms(1), b"id 2 ping");
    transaction.on_datagram(at(550), PATH, &forged, forged.len());
    assert_eq!((transaction.strays().stale, transaction.next(at(550))), (2, Next::WaitUntil(at(640))));
    // Another restart is one too many, however long that one says it was up.
    let again = unknown(9, 2, ms(9_999), b"id 2 ping");
    transaction.on_datagram(at(560), PATH, &again, again.len());
    assert_eq!(failed(&mut transaction, 560), Next::Failed(Failure::ServerRestarted));
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn one_that_came_up_after_the_first_transmission_ends_the_request() {
    // 0.1 % more than 40 ms is needed, and 40 are not it.
    let mut transaction = answered_by(7);
    transaction.on_transmitted(at(500));
    let answer = unknown(8, 1, ms(40), b"id 2 ping");
    transaction.on_datagram(at(540), PATH, &answer, answer.len());
    // What another says makes it no safer.
    let older = unknown(9, 1, ms(9_999), b"id 2 ping");
    transaction.on_datagram(at(540), PATH, &older, older.len());
    assert_eq!(failed(&mut transaction, 540), Next::Failed(Failure::ServerRestarted));
    assert!(transaction.timeline().events().any(|(_, event)| matches!(event, Event::Unknown { .. })));

    // The next one is for the one that lives.
    transaction.start(b"id 3 ping", at(600), Seed::new(3));
    assert_eq!(transaction.next(at(600)), Next::Transmit(PATH));
    assert_eq!(RequestHeader::decode(transaction.datagram()).unwrap().0.incarnation(), Incarnation::new(9));
}

#[test]
fn a_reply_that_is_queued_behind_the_news_of_a_restart_counts() {
    let mut transaction = answered_by(7);
    transaction.on_transmitted(at(500));
    let (answer, reply) = (unknown(8, 1, ms(1), b"id 2 ping"), reply(7, 1, b"id 2 pong"));
    transaction.on_datagram(at(540), PATH, &answer, answer.len());
    transaction.on_datagram(at(540), PATH, &reply, reply.len());
    assert_eq!(transaction.next(at(540)), Next::Done);
}

#[test]
fn what_may_have_waited_in_the_queue_is_no_proof_that_a_server_was_up() {
    let mut transaction = answered_by(7);
    transaction.on_transmitted(at(500));
    // A driver that was late: the answer came at 600 ms or later, and the server may have restarted in between.
    let answer = unknown(8, 1, ms(200), b"id 2 ping");
    transaction.on_datagram(at(600), PATH, &answer, answer.len());
    assert_eq!(transaction.strays().stale, 1);
    transaction.on_time_up(at(5_000));
    assert_ne!(transaction.next(at(700)), Next::Failed(Failure::ServerRestarted));
}

#[test]
fn the_last_transmission_of_a_policy_is_repeated_as_well() {
    let once = policy().with_max_transmissions(1).unwrap();
    let mut transaction = Transaction::new(once, transaction_id(0..4)).with_envelope();
    transaction.start(b"id 2 ping", at(500), Seed::new(1));
    assert_eq!(transaction.next(at(500)), Next::Transmit(PATH));
    transaction.on_transmitted(at(500));
    let answer = unknown(8, 1, ms(50), b"id 2 ping");
    transaction.on_datagram(at(540), PATH, &answer, answer.len());
    transaction.on_time_up(at(540));
    assert_eq!(transaction.next(at(540)), Next::Transmit(PATH));
    transaction.on_transmitted(at(540));
    let reply = reply(8, 2, b"id 2 pong");
    transaction.on_datagram(at(560), PATH, &reply, reply.len());
    assert_eq!((transaction.next(at(560)), transaction.round_trip()), (Next::Done, Some(ms(20))));
}

#[test]
fn sizes_count_the_header_where_the_path_does_and_not_where_the_reply_does() {
    let mut transaction = started(0);
    assert_eq!(transaction.next(at(0)), Next::Transmit(PATH));
    let limit = Plpmtu::new(20);
    for _ in 0..2 {
        transaction.on_not_transmitted(at(0), PathError::too_big(Some(limit)));
    }
    assert!(matches!(transaction.next(at(0)), Next::Failed(Failure::TooLarge { len: 25, .. })));

    let mut transaction = asked_twice();
    let reply = reply(7, 1, b"id 1 pong and more");
    transaction.on_datagram(at(130), PATH, &reply[..HEADER_LEN + 9], reply.len());
    let ended = transaction.next(at(130));
    assert!(matches!(ended, Next::Failed(Failure::Truncated { received: 9, actual: 18, .. })), "{ended:?}");
}

#[test]
fn of_several_servers_that_were_asked_the_others_may_answer_and_none_is_asked_anything_else() {
    let set = ServerSet::new(2, ServerSettings::LAN, Seed::new(1)).unwrap();
    let mut transaction = Transaction::new(policy(), transaction_id(0..4)).with_envelope().with_servers(set);
    let (mut asked, mut now) = (Vec::new(), 0);
    // Each answers once, so that its incarnation is known: 7 and 8.
    for n in 0..40_u8 {
        now += 1_000;
        transaction.start(&[n, 0, 0, 0], at(now), Seed::new(n.into()));
        let path = sent(&mut transaction, now);
        let reply = reply(7 + u64::from(path.number()), 1, &[n, 0, 0, 0]);
        transaction.on_datagram(at(now + 5), path, &reply, reply.len());
        assert_eq!(transaction.next(at(now + 5)), Next::Done);
        asked.push(path.number());
    }
    assert!(asked.contains(&0) && asked.contains(&1), "{asked:?}");

    // One that only one was asked ends with that.
    now += 1_000;
    transaction.start(b"lost", at(now), Seed::new(98));
    let path = sent(&mut transaction, now);
    let lost = unknown(7 + u64::from(path.number()) + 2, 1, ms(1), b"lost");
    transaction.on_datagram(at(now + 5), path, &lost, lost.len());
    assert_eq!(failed(&mut transaction, now + 5), Next::Failed(Failure::ServerRestarted));

    now += 1_000;
    transaction.start(b"last", at(now), Seed::new(99));
    let lives = |other: PathIndex| 7 + u64::from(other.number()) + if other == path { 2 } else { 0 };
    let path = sent(&mut transaction, now);
    let mut paths = vec![path];
    let (mut clock, end) = (now + 5, now + 900);
    while paths.len() < 4 && clock < end {
        if paths.len() == 2 {
            let lost = unknown(20, 1, ms(1), b"last");
            transaction.on_datagram(at(clock), path, &lost, lost.len());
        }
        match transaction.next(at(clock)) {
            Next::WaitUntil(until) => {
                clock = (until.since(at(0)).as_micros().div_ceil(1_000) as u64).max(clock);
                transaction.on_time_up(until.max(at(clock)));
            }
            Next::Transmit(path) => {
                let named = RequestHeader::decode(transaction.datagram()).unwrap().0.incarnation();
                assert_eq!(named, Incarnation::new(lives(path)), "what it named first, always");
                transaction.on_transmitted(at(clock));
                paths.push(path);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(paths[1] != path && paths[2..].contains(&path), "{paths:?}");
    let other = PathIndex::new(1 - path.number());
    let number = 1 + paths.iter().position(|path| *path == other).unwrap() as u32;
    let reply = reply(lives(other), number, b"last");
    transaction.on_datagram(at(clock + 1), other, &reply, reply.len());
    assert_eq!((transaction.next(at(clock + 1)), transaction.reply_path()), (Next::Done, other));
}

/// Sends what is due; returns where.
fn sent(transaction: &mut Transaction<TransactionId>, now: u64) -> PathIndex {
    loop {
        match transaction.next(at(now)) {
            Next::Transmit(path) => {
                transaction.on_transmitted(at(now));
                return path;
            }
            Next::Renew(path, _) => transaction.on_renewed(at(now), path, Ok(Renewed::FreshPort)),
            other => panic!("{other:?}"),
        }
    }
}

fn failed(transaction: &mut Transaction<TransactionId>, now: u64) -> Next {
    assert_eq!(transaction.next(at(now)), Next::WaitUntil(at(now)), "the queue is looked at first");
    transaction.on_time_up(at(now));
    transaction.next(at(now))
}

fn started(now: u64) -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(policy(), transaction_id(0..4)).with_envelope();
    transaction.start(b"id 1 ping", at(now), Seed::new(1));
    transaction
}

/// At 0 and 100 ms.
fn asked_twice() -> Transaction<TransactionId> {
    let mut transaction = started(0);
    for millis in [0, 100] {
        transaction.on_time_up(at(millis));
        assert_eq!(transaction.next(at(millis)), Next::Transmit(PATH));
        transaction.on_transmitted(at(millis));
    }
    transaction
}

/// The first request was answered by this incarnation, the second is about to leave at 500 ms.
fn answered_by(incarnation: u64) -> Transaction<TransactionId> {
    let mut transaction = asked_twice();
    let reply = reply(incarnation, 1, b"id 1 pong");
    transaction.on_datagram(at(130), PATH, &reply, reply.len());
    assert_eq!(transaction.next(at(130)), Next::Done);
    transaction.start(b"id 2 ping", at(500), Seed::new(2));
    assert_eq!(transaction.next(at(500)), Next::Transmit(PATH));
    transaction
}

/// 100 ms, 200 ms, 400 ms, within a second.
pub(crate) fn policy() -> RetryPolicy {
    let doubling = Backoff::exponential(ms(100), ms(2_000)).unwrap();
    RetryPolicy::new(doubling).with_deadline(ms(1_000)).unwrap()
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(millis))
}
