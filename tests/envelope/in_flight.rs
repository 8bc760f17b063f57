//! What leaves in the envelopes of many requests in flight, and what is made of answers in them, datagram by datagram.

use std::iter;
use std::time::Duration;

use udp_retry::entropy::IdSource;
use udp_retry::envelope::{HEADER_LEN, Incarnation, RequestHeader};
use udp_retry::policy::RttEstimator;
use udp_retry::servers::{ServerSet, ServerSettings};
use udp_retry::transaction::{
    Arrived, Execution, Failure, Finished, Handle, InFlight, Limits, OnUnreachable, PeerId, Request, Stray,
    SubmitError, TransactionId,
};
use udp_retry::transport::PathError;
use udp_retry::{RetryBudget, Seed, transaction_id};

use crate::answers::{reply, unknown, wrong};
use crate::ms;
use crate::wire::{at, policy};

type Engine = InFlight<u32, TransactionId>;

const PEER: u32 = 1;

#[test]
fn each_transmission_says_its_number_the_time_that_is_left_when_it_leaves_and_no_incarnation_at_first() {
    let mut engine = engine();
    let peer = engine.peer(PEER).unwrap();
    submit(&mut engine, 0, b"id 1 ping");
    let hurried = Request::new(b"id 2 ping").deadline(ms(500));
    engine.submit(at(0), peer, &hurried, 2).unwrap();
    // A driver that comes late: the policy counts from when it leaves, a deadline from when it was submitted.
    let sealed = sealed(&mut engine, 40);
    assert_eq!(sealed[0], (RequestHeader::new(1, Some(ms(1_000)), None), b"id 1 ping".to_vec()));
    assert_eq!(sealed[1], (RequestHeader::new(1, Some(ms(460)), None), b"id 2 ping".to_vec()));
    // Asking again at another time says what holds then, of as many as are asked for.
    engine.seal(at(60), 1);
    assert_eq!(headers(&engine)[1].remaining(), Some(ms(460)));
    engine.seal(at(60), 2);
    assert_eq!(headers(&engine)[1], RequestHeader::new(1, Some(ms(440)), None));
    engine.on_transmitted(at(60), 2);

    due(&mut engine, 160);
    assert_eq!(engine.transmits().count(), 2);
    engine.seal(at(170), 9);
    let mut second = headers(&engine);
    second.sort_by_key(RequestHeader::remaining);
    assert_eq!(second, [RequestHeader::new(2, Some(ms(330)), None), RequestHeader::new(2, Some(ms(890)), None)]);
}

#[test]
fn one_without_a_deadline_says_none_and_one_without_envelopes_has_none() {
    let ids = || Some(IdSource::from_seed(Seed::new(1)));
    let forever = udp_retry::RetryPolicy::LAN;
    let mut engine =
        InFlight::new(forever, transaction_id(0..8).stamped(), Limits::default(), Seed::new(1), ids()).with_envelope();
    let peer = engine.add_peer(PEER, RetryBudget::unlimited(), None);
    let handle = engine.submit(at(0), peer, b"........ping", 0).unwrap();
    let (header, request) = sealed(&mut engine, 0).remove(0);
    assert_eq!(header.remaining(), None);
    // Its id was stamped in the envelope.
    assert_eq!(engine.request(handle), Some(&request[..]));
    assert_eq!((&request[8..], request[..8] != *b"........"), (&b"ping"[..], true));

    let mut bare = InFlight::new(forever, transaction_id(0..8).stamped(), Limits::default(), Seed::new(1), ids());
    let peer = bare.add_peer(PEER, RetryBudget::unlimited(), None);
    let handle = bare.submit(at(0), peer, b"........ping", 0).unwrap();
    bare.seal(at(0), 1);
    let sent = bare.transmits().next().unwrap().datagram.to_vec();
    assert_eq!(bare.request(handle), Some(&sent[..]));
    assert_eq!(bare.payload(b"a reply"), b"a reply");
}

#[test]
fn what_is_offered_again_after_a_failed_send_is_the_same_datagram_and_the_next_slot_another() {
    for error in [PathError::NoBuffers, PathError::Refused, PathError::Other(5)] {
        let mut engine = engine();
        let peer = engine.peer(PEER).unwrap();
        for request in [b"id 1 ping", b"id 2 ping"] {
            engine.submit(at(0), peer, Request::new(request).deadline(ms(800)), 0).unwrap();
        }
        let first = sealed(&mut engine, 0);
        engine.on_not_transmitted(at(0), error);
        engine.on_time_up(at(2));
        let again = sealed(&mut engine, 2);
        assert_eq!(again[0], first[0], "{error}");
        // What was not offered has less time by now.
        assert_eq!(again[1].0, RequestHeader::new(1, Some(ms(798)), None), "{error}");
        // Once it has left, the next transmission is another datagram.
        engine.on_transmitted(at(2), 2);
        due(&mut engine, 102);
        assert_eq!(sealed(&mut engine, 102)[0].0, RequestHeader::new(2, Some(ms(698)), None), "{error}");
    }
    // Twice the same is the system's own: the slot has passed, and nothing of number 1 has left.
    let mut engine = engine();
    submit(&mut engine, 0, b"id 1 ping");
    engine.seal(at(0), 1);
    engine.on_not_transmitted(at(0), PathError::Denied);
    engine.on_not_transmitted(at(0), PathError::Denied);
    due(&mut engine, 100);
    assert_eq!(sealed(&mut engine, 100)[0].0, RequestHeader::new(1, Some(ms(900)), None));
    // A wait that was cancelled may have taken any time.
    engine.on_not_transmitted(at(100), PathError::Cancelled);
    assert_eq!(sealed(&mut engine, 300)[0].0, RequestHeader::new(1, Some(ms(700)), None));
}

#[test]
fn a_reply_says_which_transmission_it_answers_and_stands_after_its_header() {
    for (answered, round_trip) in [(1, 130), (2, 30)] {
        let mut engine = asked_twice();
        let reply = reply(7, answered, b"id 1 pong");
        let finished = taken(&mut engine, 130, &reply);
        assert_eq!((finished.round_trip, finished.transmissions), (Some(ms(round_trip)), 2));
        assert_eq!(engine.payload(&reply), b"id 1 pong");
        let estimator = engine.estimator(engine.peer(PEER).unwrap()).unwrap();
        assert_eq!(estimator.srtt(at(130)), Some(ms(round_trip)), "the estimator has it, too");
    }
    // After one transmission it is as without.
    let mut engine = engine();
    submit(&mut engine, 0, b"id 1 ping");
    send(&mut engine, 0);
    assert_eq!(taken(&mut engine, 20, &reply(7, 1, b"id 1 pong")).round_trip, Some(ms(20)));
}

#[test]
fn wrong_and_old_envelopes_are_strays_that_change_nothing() {
    let of = |transmission, payload: &[u8]| reply(7, transmission, payload);
    for (datagram, kind) in wrong() {
        let mut engine = asked_twice();
        assert_eq!(engine.on_datagram(at(130), PEER, &datagram, datagram.len()), Arrived::Stray(kind), "{datagram:?}");
        assert_eq!((engine.strays().total(), engine.transmits().count(), engine.len()), (1, 0, 1));
        assert_eq!(engine.strays().envelope, u32::from(kind == Stray::Envelope));
        // Nor is its incarnation taken for one that is there.
        submit(&mut engine, 130, b"id 3 ping");
        assert_eq!(sealed(&mut engine, 130)[0].0, RequestHeader::new(1, Some(ms(1_000)), None), "{datagram:?}");
        assert_eq!(taken(&mut engine, 140, &of(2, b"id 1 pong")).round_trip, Some(ms(40)));
    }
    // Of one that was sent once, and of the one before.
    let mut engine = engine();
    submit(&mut engine, 0, b"id 1 ping");
    send(&mut engine, 0);
    let second = of(2, b"id 1 pong");
    assert_eq!(engine.on_datagram(at(10), PEER, &second, second.len()), Arrived::Stray(Stray::Envelope));
    let first = of(1, b"id 1 pong");
    taken(&mut engine, 10, &first);
    assert_eq!(engine.on_datagram(at(11), PEER, &first, first.len()), Arrived::Stray(Stray::Stale));
}

#[test]
fn what_its_first_transmission_named_is_a_requests_own_whatever_others_learn() {
    let mut engine = engine();
    submit(&mut engine, 0, b"id 1 ping");
    submit(&mut engine, 0, b"id 2 ping");
    submit(&mut engine, 0, b"id 3 ping");
    send(&mut engine, 0);
    // The server is 7, says the answer to one; the others have named no one, and go on to.
    taken(&mut engine, 10, &reply(7, 1, b"id 1 pong"));
    due(&mut engine, 100);
    assert_eq!(sealed(&mut engine, 100).iter().map(|sent| sent.0.incarnation()).collect::<Vec<_>>(), [None, None]);
    engine.on_transmitted(at(100), 2);
    let eight = reply(8, 2, b"id 2 pong");
    taken(&mut engine, 110, &eight);
    // A new one names who answered last, and takes no reply of another.
    submit(&mut engine, 120, b"id 4 ping");
    assert_eq!(sealed(&mut engine, 120)[0].0.incarnation(), Incarnation::new(8));
    engine.on_transmitted(at(120), 1);
    let seven = reply(7, 1, b"id 4 pong");
    assert_eq!(engine.on_datagram(at(130), PEER, &seven, seven.len()), Arrived::Stray(Stray::Envelope));
    // Nor does the one that was named say that it does not know: it executes what names it.
    for uptime in [1, 9_999] {
        let odd = unknown(8, 1, ms(uptime), b"id 4 ping");
        assert_eq!(engine.on_datagram(at(130), PEER, &odd, odd.len()), Arrived::Stray(Stray::Envelope));
    }
    taken(&mut engine, 140, &reply(9, 1, b"id 3 pong"));
    // Also while it waits for its next transmission, and with a record from the start.
    due(&mut engine, 220);
    assert_eq!(sealed(&mut engine, 220)[0].0, RequestHeader::new(2, Some(ms(900)), Incarnation::new(8)));
    engine.on_transmitted(at(220), 1);
    taken(&mut engine, 230, &reply(8, 2, b"id 4 pong"));
}

#[test]
fn one_that_was_up_before_the_first_transmission_is_taken_at_once_without_leave_and_once() {
    let mut engine = answered_by(7, RetryBudget::new(0.1, 1, 0).unwrap());
    let handle = submit(&mut engine, 500, b"id 2 ping");
    send(&mut engine, 500);
    let answer = unknown(8, 1, ms(41), b"id 2 ping");
    assert_eq!(engine.on_datagram(at(540), PEER, &answer, answer.len()), Arrived::Unknown(handle));
    // A look at the queue, and it leaves: in the slot of the first.
    assert_eq!(engine.transmits().count(), 0);
    due(&mut engine, 540);
    let sent = sealed(&mut engine, 540);
    assert_eq!(sent[0].0, RequestHeader::new(2, Some(ms(960)), Incarnation::new(8)));
    engine.on_transmitted(at(540), 1);

    // Copies of the answer, and answers to older copies, change nothing.
    assert_eq!(engine.on_datagram(at(550), PEER, &answer, answer.len()), Arrived::Stray(Stray::Stale));
    let forged = unknown(9, 1, ms(1), b"id 2 ping");
    assert_eq!(engine.on_datagram(at(550), PEER, &forged, forged.len()), Arrived::Stray(Stray::Stale));
    // Another restart is one too many, however long that one says it was up.
    let again = unknown(9, 2, ms(9_999), b"id 2 ping");
    assert_eq!(engine.on_datagram(at(560), PEER, &again, again.len()), Arrived::Unknown(handle));
    let failed = failed(&mut engine, 560);
    assert_eq!((failed.failure, failed.execution), (Some(Failure::ServerRestarted), Execution::Unknown));
    // The next one is for the one that lives.
    submit(&mut engine, 600, b"id 3 ping");
    assert_eq!(sealed(&mut engine, 600)[0].0.incarnation(), Incarnation::new(9));
}

#[test]
fn what_is_taken_has_the_whole_wait_of_its_slot_once_more() {
    let mut engine = answered_by(7, RetryBudget::unlimited());
    submit(&mut engine, 500, b"id 2 ping");
    send(&mut engine, 500);
    let answer = unknown(8, 1, ms(50), b"id 2 ping");
    engine.on_datagram(at(540), PEER, &answer, answer.len());
    due(&mut engine, 540);
    send(&mut engine, 540);
    due(&mut engine, 639);
    assert_eq!(engine.transmits().count(), 0);
    due(&mut engine, 640);
    assert_eq!(sealed(&mut engine, 640)[0].0, RequestHeader::new(3, Some(ms(860)), Incarnation::new(8)));
}

#[test]
fn one_that_came_up_after_the_first_transmission_ends_the_request_unless_its_reply_is_queued() {
    for is_queued in [false, true] {
        let mut engine = answered_by(7, RetryBudget::unlimited());
        let handle = submit(&mut engine, 500, b"id 2 ping");
        send(&mut engine, 500);
        // 0.1 % more than 40 ms is needed, and 40 are not it.
        let answer = unknown(8, 1, ms(40), b"id 2 ping");
        assert_eq!(engine.on_datagram(at(540), PEER, &answer, answer.len()), Arrived::Unknown(handle));
        assert_eq!((engine.len(), engine.next_finished()), (1, None), "the queue is looked at first");
        // What another says makes it no safer.
        let older = unknown(9, 1, ms(9_999), b"id 2 ping");
        assert_eq!(engine.on_datagram(at(540), PEER, &older, older.len()), Arrived::Unknown(handle));
        if is_queued {
            let finished = taken(&mut engine, 540, &reply(7, 1, b"id 2 pong"));
            assert_eq!((finished.failure, engine.len()), (None, 0));
            continue;
        }
        let failed = failed(&mut engine, 540);
        assert_eq!((failed.failure, failed.transmissions), (Some(Failure::ServerRestarted), 1));
        assert!(engine.is_empty() && engine.next_deadline().is_none());
    }
}

#[test]
fn what_may_have_waited_in_the_queue_is_no_proof_that_a_server_was_up() {
    let mut engine = answered_by(7, RetryBudget::unlimited());
    submit(&mut engine, 500, b"id 2 ping");
    send(&mut engine, 500);
    // A driver that was late: the answer came at 600 ms or later, and the server may have restarted in between.
    let answer = unknown(8, 1, ms(200), b"id 2 ping");
    assert_eq!(engine.on_datagram(at(600), PEER, &answer, answer.len()), Arrived::Stray(Stray::Stale));
    due(&mut engine, 700);
    let (header, _) = sealed(&mut engine, 700).remove(0);
    assert_eq!((header.transmission().get(), header.incarnation()), (2, Incarnation::new(7)));
}

#[test]
fn sizes_count_the_header_where_the_path_does_and_not_where_the_request_or_its_reply_does() {
    let mut engine = engine();
    let peer = engine.peer(PEER).unwrap();
    let most = 65_507 - HEADER_LEN;
    let long = vec![b'x'; most + 1];
    let refused = engine.submit(at(0), peer, &long[..], 0);
    assert!(matches!(refused, Err(SubmitError::TooLarge { len, .. }) if len == most + 1), "{refused:?}");
    let handle = engine.submit(at(0), peer, &long[..most], 0).unwrap();
    assert_eq!(
        (engine.transmits().next().unwrap().datagram.len(), engine.request(handle)),
        (65_507, Some(&long[..most]))
    );
    assert!(engine.cancel(at(0), handle).is_some());

    submit(&mut engine, 0, b"id 1 ping");
    engine.seal(at(0), 1);
    for _ in 0..2 {
        engine.on_not_transmitted(at(0), PathError::too_big(None));
    }
    let failed = engine.next_finished().unwrap().failure;
    assert!(matches!(failed, Some(Failure::TooLarge { len: 25, .. })), "{failed:?}");

    let mut engine = asked_twice();
    let reply = reply(7, 1, b"id 1 pong and more");
    let arrived = engine.on_datagram(at(130), PEER, &reply[..HEADER_LEN + 9], reply.len());
    assert!(matches!(arrived, Arrived::Truncated(_)), "{arrived:?}");
    let ended = engine.next_finished().unwrap();
    assert!(matches!(ended.failure, Some(Failure::Truncated { received: 9, actual: 18, .. })), "{ended:?}");
    assert_eq!(ended.round_trip, Some(ms(130)));
}

#[test]
fn an_error_that_quotes_any_of_its_transmissions_is_a_requests_own() {
    let mut engine = bare(RetryBudget::unlimited()).with_on_unreachable(OnUnreachable::FailFast).with_envelope();
    let peer = engine.add_peer(PEER, RetryBudget::unlimited(), None);
    for (token, request) in [b"id 1 ping", b"id 2 ping"].iter().enumerate() {
        engine.submit(at(0), peer, &request[..], token as u64).unwrap();
    }
    engine.seal(at(0), 2);
    let first = engine.transmits().next().unwrap().datagram.to_vec();
    engine.on_transmitted(at(0), 2);
    due(&mut engine, 100);
    engine.seal(at(100), 2);
    engine.on_transmitted(at(100), 2);
    // The header alone quotes no request.
    engine.on_path_error(at(110), Some(PEER), PathError::Refused, &first[..HEADER_LEN]);
    engine.on_time_up(at(110));
    assert_eq!((engine.len(), engine.next_finished()), (2, None));
    engine.on_path_error(at(120), Some(PEER), PathError::Refused, &first);
    engine.on_time_up(at(120));
    let ended: Vec<_> = iter::from_fn(|| engine.next_finished()).collect();
    assert_eq!(ended.iter().map(|it| (it.token, it.failure)).collect::<Vec<_>>(), [(0, Some(Failure::Refused))]);
}

#[test]
fn a_slot_that_is_used_again_says_nothing_of_its_tenant_before() {
    let mut engine = asked_twice();
    taken(&mut engine, 130, &reply(7, 1, b"id 1 pong"));
    // In trouble from its start, by a deadline of its own, and sent once.
    let peer = engine.peer(PEER).unwrap();
    engine.submit(at(200), peer, Request::new(b"id 2 ping").deadline(ms(900)), 2).unwrap();
    assert_eq!(sealed(&mut engine, 200)[0].0, RequestHeader::new(1, Some(ms(900)), Incarnation::new(7)));
    engine.on_transmitted(at(200), 1);
    for number in [2, 3] {
        let wrong = reply(7, number, b"id 2 pong");
        assert_eq!(engine.on_datagram(at(210), PEER, &wrong, wrong.len()), Arrived::Stray(Stray::Envelope));
    }
    assert_eq!(taken(&mut engine, 220, &reply(7, 1, b"id 2 pong")).round_trip, Some(ms(20)));
}

#[test]
fn of_a_group_each_member_has_its_incarnation_and_only_if_all_asked_have_restarted_the_request_ends() {
    for others_restart in [false, true] {
        let (mut engine, group) = group_of_two();
        engine.submit(at(40_000), group, b"last ping", 99).unwrap();
        let mut asked = vec![one_sent(&mut engine, 40_000)];
        let first = asked[0].0;
        let lost = unknown(20, 1, ms(1), b"last ping");
        assert!(matches!(engine.on_datagram(at(40_005), first, &lost, lost.len()), Arrived::Unknown(_)));
        engine.on_time_up(at(40_005));
        // No one else was asked.
        assert_eq!(engine.next_finished().and_then(|it| it.failure), Some(Failure::ServerRestarted));
        assert!(engine.is_empty());

        engine.submit(at(41_000), group, b"next ping", 100).unwrap();
        asked.clear();
        asked.push(one_sent(&mut engine, 41_000));
        let mut now = 41_000;
        while asked.len() < 2 {
            now += 1;
            engine.on_time_up(at(now));
            if engine.transmits().next().is_some() {
                asked.push(one_sent(&mut engine, now));
            }
            assert!(now < 41_900, "no other is asked");
        }
        let [(one, _), (other, header)] = asked[..] else { panic!("{asked:?}") };
        assert_eq!(header.transmission().get(), 2, "numbers count on, whoever is asked");
        assert!(one != other && header.incarnation().is_some());
        let lost = unknown(30, 1, ms(1), b"next ping");
        engine.on_datagram(at(now), one, &lost, lost.len());
        engine.on_time_up(at(now));
        assert_eq!((engine.len(), engine.next_finished()), (1, None), "the other may answer");
        let number = u32::from(header.transmission().get());
        if others_restart {
            let lost = unknown(31, number, ms(1), b"next ping");
            engine.on_datagram(at(now + 1), other, &lost, lost.len());
            let failed = failed(&mut engine, now + 1);
            assert_eq!(failed.failure, Some(Failure::ServerRestarted));
        } else {
            let reply = reply(header.incarnation().unwrap().number(), number, b"next pong");
            let Arrived::Reply(finished) = engine.on_datagram(at(now + 1), other, &reply, reply.len()) else {
                panic!("it is the reply");
            };
            assert_eq!((finished.round_trip, finished.peer), (Some(ms(1)), engine.peer(other).unwrap()));
        }
        assert!(engine.is_empty());
    }
}

#[test]
fn a_member_that_was_up_before_takes_the_request_and_the_copy_for_the_other_keeps_its_name() {
    let (mut engine, group) = group_of_two();
    let handle = engine.submit(at(40_000), group, b"last ping", 99).unwrap();
    let (first, header) = one_sent(&mut engine, 40_000);
    let was = header.incarnation().unwrap();
    let answer = unknown(20, 1, ms(50), b"last ping");
    assert_eq!(engine.on_datagram(at(40_005), first, &answer, answer.len()), Arrived::Unknown(handle));
    due(&mut engine, 40_005);
    let (again, header) = one_sent(&mut engine, 40_005);
    assert_eq!((again, header), (first, RequestHeader::new(2, Some(ms(995)), Incarnation::new(20))));
    // Its former incarnation can have answered nothing after that.
    let former = reply(was.number(), 2, b"last pong");
    assert_eq!(engine.on_datagram(at(40_008), first, &former, former.len()), Arrived::Stray(Stray::Envelope));
    let mut now = 40_008;
    let (other, header) = loop {
        now += 1;
        engine.on_time_up(at(now));
        if engine.transmits().next().is_some() {
            break one_sent(&mut engine, now);
        }
        assert!(now < 40_900, "no other is asked");
    };
    assert!(other != first && header.incarnation() == Incarnation::new(7 + u64::from(other)), "{header:?}");
    let reply = reply(20, 2, b"last pong");
    let Arrived::Reply(finished) = engine.on_datagram(at(now + 1), first, &reply, reply.len()) else {
        panic!("it is the reply");
    };
    assert_eq!(finished.round_trip, Some(at(now + 1).since(at(40_005))));
}

// What the tests share.

/// Two members, of whom it is known that they are 7 and 8, by their addresses.
fn group_of_two() -> (Engine, udp_retry::transaction::GroupId) {
    let mut engine = bare(RetryBudget::unlimited()).with_envelope();
    let members: Vec<PeerId> = [0, 1].map(|address| engine.add_peer(address, RetryBudget::unlimited(), None)).to_vec();
    let set = ServerSet::new(2, ServerSettings::LAN, Seed::new(1)).unwrap();
    let group = engine.add_group(&members, set, RetryBudget::unlimited()).unwrap();
    let mut known = [false; 2];
    for n in 0..39_u8 {
        let now = u64::from(n) * 1_000;
        engine.submit(at(now), group, &[n, 0, 0, 0, 1], u64::from(n)).unwrap();
        let (peer, header) = one_sent(&mut engine, now);
        assert_eq!(header.incarnation().is_some(), known[peer as usize], "what another member said is of no account");
        known[peer as usize] = true;
        let reply = reply(7 + u64::from(peer), 1, &[n, 0, 0, 0, 1]);
        assert!(matches!(engine.on_datagram(at(now + 5), peer, &reply, reply.len()), Arrived::Reply(_)));
    }
    assert_eq!(known, [true; 2]);
    (engine, group)
}

/// Sends the only one that is ready: to whom, and with which header.
#[track_caller]
fn one_sent(engine: &mut Engine, now: u64) -> (u32, RequestHeader) {
    engine.seal(at(now), 1);
    let sent: Vec<_> = engine.transmits().map(|it| (it.to, RequestHeader::decode(it.datagram).unwrap().0)).collect();
    assert_eq!(sent.len(), 1);
    if engine.transmits().next().is_some_and(|it| it.renewal_due) {
        engine.on_renewed(at(now), sent[0].0, Ok(udp_retry::transport::Renewed::FreshPort));
    }
    engine.on_transmitted(at(now), 1);
    sent[0]
}

fn bare(budget: RetryBudget) -> Engine {
    let mut engine = InFlight::new(policy(), transaction_id(0..4), Limits::default(), Seed::new(1), None);
    let estimator = RttEstimator::new(ms(100), ms(100), ms(100)).unwrap();
    engine.add_peer(PEER + 100, budget, Some(estimator));
    engine
}

fn engine() -> Engine {
    with_budget(RetryBudget::unlimited())
}

fn with_budget(budget: RetryBudget) -> Engine {
    let mut engine = InFlight::new(policy(), transaction_id(0..4), Limits::default(), Seed::new(1), None);
    // As long as the policy's first wait, whatever it measures.
    let estimator = RttEstimator::new(ms(100), ms(100), ms(100)).unwrap();
    engine.add_peer(PEER, budget, Some(estimator));
    engine.with_envelope()
}

#[track_caller]
fn submit(engine: &mut Engine, now: u64, request: &[u8]) -> Handle {
    let peer = engine.peer(PEER).unwrap();
    engine.submit(at(now), peer, request, 0).unwrap()
}

fn headers(engine: &Engine) -> Vec<RequestHeader> {
    engine.transmits().map(|it| RequestHeader::decode(it.datagram).unwrap().0).collect()
}

fn sealed(engine: &mut Engine, now: u64) -> Vec<(RequestHeader, Vec<u8>)> {
    engine.seal(at(now), 16);
    let decoded = engine.transmits().map(|it| RequestHeader::decode(it.datagram).unwrap());
    decoded.map(|(header, request)| (header, request.to_vec())).collect()
}

fn send(engine: &mut Engine, now: u64) {
    let count = sealed(engine, now).len();
    engine.on_transmitted(at(now), count);
}

/// What is due by then; a tick later, as that is how late it may be.
fn due(engine: &mut Engine, now: u64) {
    engine.on_time_up(at(now).after(Duration::from_micros(200)));
}

#[track_caller]
fn taken(engine: &mut Engine, now: u64, reply: &[u8]) -> Finished {
    match engine.on_datagram(at(now), PEER, reply, reply.len()) {
        Arrived::Reply(finished) => finished,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(engine: &mut Engine, now: u64) -> Finished {
    assert_eq!(engine.next_finished(), None, "the queue is looked at first");
    engine.on_time_up(at(now));
    engine.next_finished().expect("it has failed")
}

/// At 0 and 100 ms.
fn asked_twice() -> Engine {
    let mut engine = engine();
    submit(&mut engine, 0, b"id 1 ping");
    send(&mut engine, 0);
    due(&mut engine, 100);
    send(&mut engine, 100);
    engine
}

/// The server answered one request.
fn answered_by(incarnation: u64, budget: RetryBudget) -> Engine {
    let mut engine = with_budget(budget);
    submit(&mut engine, 0, b"id 1 ping");
    send(&mut engine, 0);
    taken(&mut engine, 30, &reply(incarnation, 1, b"id 1 pong"));
    engine
}
