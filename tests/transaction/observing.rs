//! An observer sees everything that happens in every request, as it happens; a timeline draws it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::requester::Builder;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Failure, GiveUp, Hold, Match, Next, OnUnreachable, Stray, Transaction, matching};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, any_reply, transaction_id};

use crate::scripted::{Back, Scripted, at_ms, ms, refused, reply};
use crate::seen::{self, Seen};

#[test]
fn a_reply_is_seen_after_everything_that_led_to_it() {
    let world = Scripted::new(|heard| match heard.ordinal {
        0 => vec![reply(ms(20), b"stray"), refused(ms(30))],
        _ => vec![reply(ms(3), heard.payload)],
    });
    let seen = watched(by_id(), world, |requester| {
        requester.request(PING).unwrap();
    });
    let expected = [
        (ms(0), Seen::Transmitted(1)),
        (ms(20), Seen::Stray(Stray::Foreign, 5)),
        (ms(30), Seen::PathError(PathError::Refused)),
        (ms(100), Seen::Transmitted(2)),
        (ms(103), Seen::Replied),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn silence_is_seen_as_the_schedule_and_one_end() {
    let expected = with_end(&FIVE, 3100, Failure::TimedOut(GiveUp::Unanswered));
    assert_eq!(failing(by_id(), Scripted::silent()), expected);
}

#[test]
fn a_deadline_tells_exactly_what_it_cut_off() {
    for (deadline, cut) in [(1000, 500), (1499, 1), (1501, 1599), (3099, 1)] {
        let mut expected: Vec<_> = FIVE.into_iter().filter(|(at, _)| *at < ms(deadline)).collect();
        expected.push((ms(deadline), Seen::Clipped(ms(cut))));
        let expected = with_end(&expected, deadline, Failure::TimedOut(GiveUp::Deadline));
        assert_eq!(failing(by_id().deadline(ms(deadline)), Scripted::silent()), expected);
        let policy = RetryPolicy::LAN.with_deadline(ms(deadline)).unwrap();
        assert_eq!(failing(by_id().policy(policy), Scripted::silent()), expected);
    }
}

#[test]
fn what_the_budget_withholds_is_seen_when_it_was_due() {
    let budget = RetryBudget::new(0.3, 10, 1).unwrap();
    let mut expected = FIVE[..2].to_vec();
    expected.extend([300, 700, 1500].map(|at| (ms(at), Seen::Withheld)));
    let expected = with_end(&expected, 3100, Failure::TimedOut(GiveUp::OverBudget));
    assert_eq!(failing(by_id().budget(&budget), Scripted::silent()), expected);
}

#[test]
fn what_prevents_a_transmission_is_seen_instead_of_it() {
    let limit = Some(Plpmtu::new(5));
    let too_large =
        [(ms(0), Seen::NotTransmitted(PathError::too_big(limit))), (ms(0), Seen::TooLarge(PING.len() as u32, limit))];
    assert_eq!(failing(by_id(), Scripted::silent().with_limit(5)), too_large);

    let unmatchable = ReliableRequester::builder(transaction_id(40..44)).policy(RetryPolicy::LAN);
    assert_eq!(failing(unmatchable, Scripted::silent()), with_end(&[], 0, Failure::Unmatchable));

    let by_port = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
    let expected = with_end(&[], 0, Failure::NoFreshPort);
    assert_eq!(failing(by_port, Scripted::silent().not_renewable()), expected);

    let mut broken = Scripted::silent();
    broken.fail_sends(u32::MAX, PathError::NoBuffers);
    let expected = FIVE.map(|(at, _)| (at, Seen::NotTransmitted(PathError::NoBuffers)));
    assert_eq!(failing(by_id(), broken), with_end(&expected, 3100, Failure::Local(PathError::NoBuffers)));
}

#[test]
fn refusals_are_seen_each_and_end_it_where_the_caller_wants_that() {
    let refusing = || Scripted::new(|_| vec![refused(ms(1))]);
    let mut expected = Vec::new();
    for (at, event) in FIVE {
        expected.extend([(at, event), (at + ms(1), Seen::PathError(PathError::Refused))]);
    }
    assert_eq!(failing(by_id(), refusing()), with_end(&expected, 3100, Failure::Refused));
    // A reply behind the refusal would be there already.
    let expected = with_end(&expected[..2], 1, Failure::Refused);
    assert_eq!(failing(by_id().on_unreachable(OnUnreachable::FailFast), refusing()), expected);
}

#[test]
fn a_cancelled_request_ends_as_such_sent_or_not() {
    for (cancelled, sent) in [(50, 1), (300, 2), (2000, 5)] {
        let expected = with_end(&FIVE[..sent], cancelled, Failure::Cancelled);
        let seen = failing(by_id(), Scripted::silent().cancelled_at(at_ms(cancelled)));
        assert_eq!(seen, expected, "cancelled after {cancelled} ms");
    }
    // Before it: the send says so, and nothing leaves.
    let expected = with_end(&[(ms(0), Seen::NotTransmitted(PathError::Cancelled))], 0, Failure::Cancelled);
    assert_eq!(failing(by_id(), Scripted::silent().cancelled_at(at_ms(0))), expected);
}

#[test]
fn a_promise_that_is_not_kept_is_seen_with_its_end() {
    let promised = matching(|_, datagram| match datagram {
        b"soon" => Match::Provisional(Hold::Stop),
        _ => Match::Foreign,
    });
    let builder = ReliableRequester::builder(promised).policy(RetryPolicy::LAN.with_patience(ms(500)).unwrap());
    let expected = [(ms(0), Seen::Transmitted(1)), (ms(7), Seen::Provisional)];
    let expected = with_end(&expected, 507, Failure::TimedOut(GiveUp::PatienceEnded));
    assert_eq!(failing(builder, Scripted::new(|_| vec![reply(ms(7), b"soon")])), expected);
}

#[test]
fn a_reply_that_does_not_fit_ends_as_a_failure() {
    let seen = failing(by_id().buffer(6), Scripted::echo(ms(3)));
    assert_eq!(seen, [(ms(0), Seen::Transmitted(1)), (ms(3), Seen::Truncated(6, PING.len() as u32))]);
}

#[test]
fn an_observer_sees_also_what_the_timeline_has_no_room_for() {
    let mut world = Scripted::silent();
    for n in 0..1000 {
        world.inject(at_ms(3 * n + 1), Back::Datagram(vec![0xff; n as usize % 7 + 1]));
    }
    let seen = watched(by_id(), world, |requester| {
        let error = requester.request(PING).unwrap_err();
        assert_eq!(error.strays().total(), 1000);
        let kept = error.timeline().events().count();
        assert_eq!((kept < 40, kept + error.timeline().omitted() as usize), (true, 1000 + 5 + 1));
    });
    let (strays, rest): (Vec<_>, Vec<_>) =
        seen.iter().copied().partition(|(_, event)| matches!(event, Seen::Stray(..)));
    assert_eq!(rest, with_end(&FIVE, 3100, Failure::TimedOut(GiveUp::Unanswered)));
    let expected = (0..1000).map(|n| (ms(3 * n + 1), Seen::Stray(Stray::Foreign, n as u32 % 7 + 1)));
    assert_eq!(strays, expected.collect::<Vec<_>>());
    assert!(seen.is_sorted_by_key(|(at, _)| *at));
}

#[test]
fn every_request_of_a_requester_has_one_end_and_times_of_its_own() {
    let world = Scripted::new(|heard| match heard.payload[3] {
        0 => vec![reply(ms(5), heard.payload)],
        1 => vec![],
        _ => vec![reply(ms(6), b"junk"), reply(ms(7), heard.payload)],
    });
    let seen = watched(by_id(), world, |requester| {
        for n in 0..30_u32 {
            requester.transport_mut().advance(ms(1234));
            let _ = requester.request(&(n % 3).to_be_bytes());
        }
    });
    let is_end = |event: &(Duration, Seen)| matches!(event.1, Seen::Replied | Seen::Failed(_));
    let requests: Vec<_> = seen.split_inclusive(is_end).collect();
    assert_eq!(requests.len(), 30);
    let unanswered = with_end(&FIVE, 3100, Failure::TimedOut(GiveUp::Unanswered));
    for request in requests.chunks(3) {
        assert_eq!(request[0], [FIVE[0], (ms(5), Seen::Replied)]);
        assert_eq!(request[1], unanswered);
        assert_eq!(request[2], [FIVE[0], (ms(6), Seen::Stray(Stray::Foreign, 4)), (ms(7), Seen::Replied)]);
    }
}

#[test]
fn asking_an_ended_transaction_again_shows_nothing_again() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let observer = move |at, event| noted.lock().unwrap().push((at, Seen::from(event)));
    let policy = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
    let mut transaction = Transaction::new(policy, transaction_id(0..4)).with_observer(observer);
    for start in [7, 1007].map(at_ms) {
        transaction.start(PING, start, Seed::new(0));
        assert_eq!(transaction.next(start), Next::Transmit(PathIndex::FIRST));
        transaction.on_transmitted(start);
        transaction.on_time_up(start.after(ms(100)));
        for later in [100, 100, 150] {
            let failed = Next::Failed(Failure::TimedOut(GiveUp::Unanswered));
            assert_eq!(transaction.next(start.after(ms(later))), failed);
        }
        let expected = with_end(&FIVE[..1], 100, Failure::TimedOut(GiveUp::Unanswered));
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), expected);
    }
}

#[test]
fn observing_changes_nothing() {
    let world = || Scripted::new(|heard| if heard.ordinal < 3 { vec![] } else { vec![reply(ms(9), heard.payload)] });
    let mut plain = by_id().over(world()).unwrap();
    let mut observed = by_id().observer(|_, _| {}).over(world()).unwrap();
    for _ in 0..2 {
        assert_eq!(plain.request(PING).unwrap().timeline(), observed.request(PING).unwrap().timeline());
    }
    assert_eq!(plain.transport().sent, observed.transport().sent);
}

#[test]
fn a_timeline_draws_what_went_wrong() {
    let world = Scripted::new(|heard| match (heard.payload[3], heard.ordinal) {
        (b'1', _) => vec![reply(ms(10), heard.payload), reply(ms(50), heard.payload)],
        (_, 2) => vec![refused(ms(20))],
        _ => vec![],
    });
    let budget = RetryBudget::new(0.0, 10, 1).unwrap();
    let mut requester = by_id().budget(&budget).deadline(ms(1000)).over(world).unwrap();
    let replied = requester.request(PING).unwrap().timeline().to_string();
    assert_eq!(
        replied,
        "\
1--------------------------------------------------------------*  10.0 ms
       0.0 ms  --> transmission 1
      10.0 ms  <-- reply
"
    );
    let failed = requester.request(PONG).unwrap_err().timeline().to_string();
    assert_eq!(
        failed,
        "\
1--?--2-!----------x------------------------x------------------#  1000.0 ms
       0.0 ms  --> transmission 1
      40.0 ms  <-? 9 bytes that answer nothing: stale
     100.0 ms  --> transmission 2
     120.0 ms  <-! connection refused: nobody listens there
     300.0 ms  -x  withheld by the retry budget
     700.0 ms  -x  withheld by the retry budget
    1000.0 ms  --| deadline, 500.0 ms before this wait would have ended
    1000.0 ms    # no reply within the deadline
"
    );
}

/// What an observer sees of this.
fn watched<T: Transport<Peer = PathIndex>>(
    builder: Builder,
    transport: T,
    ask: impl FnOnce(&mut ReliableRequester<T>),
) -> Vec<(Duration, Seen)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let mut requester =
        builder.observer(move |at, event| noted.lock().unwrap().push((at, Seen::from(event)))).over(transport).unwrap();
    ask(&mut requester);
    drop(requester);
    Arc::try_unwrap(seen).expect("a requester that is gone keeps no observer").into_inner().unwrap()
}

fn failing(builder: Builder, transport: impl Transport<Peer = PathIndex>) -> Vec<(Duration, Seen)> {
    let mut timeline = Vec::new();
    let seen = watched(builder, transport, |requester| {
        timeline.extend(seen::seen(requester.request(PING).unwrap_err().timeline()));
    });
    assert_eq!(seen, timeline, "what fits is in the timeline too");
    seen
}

fn with_end(events: &[(Duration, Seen)], at: u64, failure: Failure) -> Vec<(Duration, Seen)> {
    [events, &[(ms(at), Seen::Failed(failure))]].concat()
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN)
}

/// The book's schedule.
const FIVE: [(Duration, Seen); 5] = [
    (Duration::ZERO, Seen::Transmitted(1)),
    (Duration::from_millis(100), Seen::Transmitted(2)),
    (Duration::from_millis(300), Seen::Transmitted(3)),
    (Duration::from_millis(700), Seen::Transmitted(4)),
    (Duration::from_millis(1500), Seen::Transmitted(5)),
];
const PING: &[u8] = b"id 1 ping";
const PONG: &[u8] = b"id 2 pong";
