//! The blocking requester in virtual time: when it sends, what it takes for the reply, and what it says otherwise.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Direction;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Event, Execution, Failure, GiveUp, OnUnreachable};
use udp_retry::transport::{PathError, Transport};
use udp_retry::{
    Impairments, LossySink, Probability, ReliableRequester, RequestError, RetryPolicy, Seed, any_reply, transaction_id,
};

use scripted::{Answer, Back, Heard, Scripted, at_ms, ms, refused, reply};

#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod scripted;

// When it sends.

#[test]
fn silence_meets_the_books_schedule_to_the_nanosecond() {
    let mut requester = by_id(Scripted::silent());
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 100.0, 300.0, 700.0, 1500.0]);
    assert_eq!(requester.transport().now(), at_ms(3100));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::Unknown, 5, ms(3100)));
    assert_eq!(error.to_string(), "no reply (5 transmissions, 3100.0 ms)");
    assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 100, 300, 700, 1500].map(ms));
    assert_eq!(error.last_path_error(), None);
}

#[test]
fn a_reply_at_the_very_end_of_the_last_wait_is_accepted() {
    for (delay, accepted) in [(Duration::from_nanos(1_600_000_000), true), (Duration::from_nanos(1_600_000_001), false)]
    {
        let mut requester = by_id(Scripted::new(only(4, move |heard| vec![reply(delay, heard.payload)])));
        assert_eq!(requester.request(PING).is_ok(), accepted, "{delay:?}");
    }
}

#[test]
fn junk_moves_no_transmission_by_a_nanosecond() {
    let mut network = Scripted::silent();
    for n in 0..400 {
        network.inject(at_ms(20 * n), Back::Datagram(vec![0xff; n as usize % 9]));
    }
    let mut requester = by_id(network);
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 100.0, 300.0, 700.0, 1500.0]);
    assert_eq!((requester.transport().now(), error.transmissions()), (at_ms(3100), 5));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
    let shown = error.timeline().events().count() + error.timeline().omitted() as usize;
    assert_eq!(shown, 5 + 3100 / 20 + 1 + 1, "every stray from the start to the very end, and that, is counted");
}

#[test]
fn waits_that_end_late_do_not_add_up() {
    let mut requester = by_id(Scripted::silent().with_lateness(ms(9)));
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 109.0, 309.0, 709.0, 1509.0]);
    assert_eq!(error.elapsed(), ms(3109));
}

// Errors are news, not verdicts.

#[test]
fn refusals_of_every_transmission_leave_the_schedule_alone_and_are_reported_at_its_end() {
    let mut requester = by_id(Scripted::new(|_| vec![refused(ms(1))]));
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 100.0, 300.0, 700.0, 1500.0]);
    assert_eq!(error.failure(), Failure::Refused);
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::Refused, 5, ms(3100)));
    assert_eq!(error.last_path_error(), Some(PathError::Refused));
    assert_eq!(error.to_string(), "refused: nobody listens there (5 transmissions, 3100.0 ms)");
    assert!(!error.is_timeout());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn one_silent_transmission_among_refusals_leaves_execution_unknown() {
    let mut requester = by_id(Scripted::new(|heard| match heard.ordinal {
        2 => Vec::new(),
        _ => vec![refused(ms(1))],
    }));
    let error = requester.request(PING).unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Refused, Execution::Unknown));
}

#[test]
fn unreachable_is_told_from_refused() {
    let mut requester = by_id(Scripted::new(|_| vec![(ms(1), Back::Error(PathError::Unreachable))]));
    let error = requester.request(PING).unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Unreachable, Execution::Refused));
    assert_eq!(error.to_string(), "destination unreachable (5 transmissions, 3100.0 ms)");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::HostUnreachable);
}

#[test]
fn a_send_that_an_earlier_refusal_swallowed_is_reissued_and_counted_once() {
    // The refusal arrives while the waker is late, so that the second send meets it. Then the server is up.
    let server = |heard: Heard<'_>| match heard.ordinal {
        0 => vec![refused(ms(102))],
        _ => vec![reply(ms(3), heard.payload)],
    };
    let mut requester = by_id(Scripted::new(server).with_lateness(ms(5)));
    let answer = requester.request(PING).unwrap();
    assert_eq!((answer.payload(), answer.transmissions(), answer.elapsed()), (PING, 2, ms(108)));
    let events: Vec<_> = answer.timeline().events().collect();
    assert_eq!(
        events,
        [
            (ms(0), Event::Transmitted(1)),
            (ms(105), Event::PathError(PathError::Refused)),
            (ms(105), Event::Transmitted(2)),
            (ms(108), Event::Replied)
        ]
    );
    assert_eq!(requester.transport().sent_ms(), [0.0, 105.0]);
}

#[test]
fn a_refusal_of_an_earlier_request_harms_the_next_in_nothing() {
    let server = |heard: Heard<'_>| match heard.ordinal {
        0..4 => Vec::new(),
        4 => vec![refused(ms(2000))],
        _ => vec![reply(ms(3), heard.payload)],
    };
    let mut requester = by_id(Scripted::new(server));
    assert!(requester.request(PING).unwrap_err().is_timeout());
    requester.transport_mut().advance(ms(1000));
    let answer = requester.request(PONG).unwrap();
    assert_eq!((answer.payload(), answer.transmissions(), answer.elapsed()), (PONG, 1, ms(3)));
}

#[test]
fn a_refusal_of_an_earlier_request_is_no_refusal_of_this_one() {
    let server = only(4, |_| vec![refused(ms(2000))]);
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
    requester = requester.deadline(ms(3100));
    let mut requester = requester.over(Scripted::new(server));
    assert!(requester.request(PING).unwrap_err().is_timeout());
    requester.transport_mut().advance(ms(1000));
    let error = requester.request(PONG).unwrap_err();
    assert_eq!((error.execution(), error.transmissions()), (Execution::Unknown, 5));
    assert!(error.is_timeout(), "nothing was said of this request: {error}");
    assert_eq!(error.last_path_error(), None);
}

#[test]
fn a_reply_behind_an_error_is_still_read() {
    let both = |heard: Heard<'_>| vec![reply(ms(7), heard.payload), refused(ms(7))];
    let mut requester = by_id(Scripted::new(both));
    let answer = requester.request(PING).unwrap();
    assert_eq!((answer.payload(), answer.transmissions(), answer.elapsed()), (PING, 1, ms(7)));
}

#[test]
fn a_reply_behind_an_error_at_the_end_of_the_last_wait_is_still_read() {
    let both = only(4, |heard| vec![reply(ms(1600), heard.payload), refused(ms(1600))]);
    let mut requester = by_id(Scripted::new(both));
    assert_eq!(requester.request(PING).map(|answer| answer.elapsed()).map_err(text), Ok(ms(3100)));
}

#[test]
fn a_reply_behind_a_stray_at_the_end_of_the_last_wait_is_still_read() {
    let both = only(4, |heard| vec![reply(ms(1600), b"junk"), reply(ms(1600), heard.payload)]);
    let mut requester = by_id(Scripted::new(both));
    assert_eq!(requester.request(PING).map(|answer| answer.elapsed()).map_err(text), Ok(ms(3100)));
}

#[test]
fn a_reply_behind_a_stray_exactly_at_the_deadline_is_still_read() {
    let both = only(0, |heard| vec![reply(ms(50), b"junk"), reply(ms(50), heard.payload)]);
    let mut requester = ReliableRequester::builder(transaction_id(0..4))
        .policy(RetryPolicy::LAN)
        .deadline(ms(50))
        .over(Scripted::new(both));
    assert_eq!(requester.request(PING).map(|answer| answer.elapsed()).map_err(text), Ok(ms(50)));
}

#[test]
fn a_reply_that_came_in_time_is_found_behind_others_however_late_the_process_wakes() {
    let server = only(4, |heard| {
        vec![reply(ms(110), b"junk"), refused(ms(120)), reply(ms(150), heard.payload), reply(ms(200), b"junk")]
    });
    let mut requester = by_id(Scripted::new(server).suspended(at_ms(1600), at_ms(20_000)));
    assert_eq!(requester.request(PING).map(|answer| answer.elapsed()).map_err(text), Ok(ms(1650)));
}

#[test]
fn a_reply_that_is_there_already_is_read_before_anything_is_sent_again() {
    let server = only(0, |heard| vec![reply(ms(60), b"junk"), refused(ms(65)), reply(ms(70), heard.payload)]);
    let mut requester = by_id(Scripted::new(server).suspended(at_ms(50), at_ms(150)));
    let answer = requester.request(PING).map(|answer| (answer.elapsed(), answer.transmissions()));
    assert_eq!(answer.map_err(text), Ok((ms(70), 1)));
}

#[test]
fn a_flood_of_strays_neither_puts_off_a_transmission_nor_the_end() {
    let mut requester = by_id(Scripted::silent().flooded(Duration::from_micros(1)));
    let error = requester.request(PING).unwrap_err();
    assert_eq!(error.transmissions(), 5);
    for (sent, due) in requester.transport().sent_ms().into_iter().zip([0.0, 100.0, 300.0, 700.0, 1500.0]) {
        assert!((due..due + 1.0).contains(&sent), "sent at {sent}, due at {due}");
    }
    assert!(requester.transport().now() < at_ms(3101));
}

#[test]
fn a_server_that_comes_up_late_is_found() {
    for up in [50, 250, 650, 1499] {
        let server = move |heard: Heard<'_>| match heard.at < at_ms(up) {
            true => vec![refused(ms(1))],
            false => vec![reply(ms(1), heard.payload)],
        };
        let mut requester = by_id(Scripted::new(server));
        let answer = requester.request(PING).unwrap();
        assert_eq!(answer.payload(), PING);
        assert_eq!(answer.round_trip(), None, "sent more than once");
    }
}

#[test]
fn sixteen_broken_receives_end_it_and_fifteen_do_not() {
    for (times, broken) in [(15, false), (16, true)] {
        let mut requester = by_id(Scripted::echo(ms(5)));
        requester.transport_mut().fail_receives(times, PathError::Other(5));
        match requester.request(PING).map(|answer| answer.transmissions()) {
            Ok(transmissions) => assert!(!broken && transmissions == 1),
            Err(error) => {
                assert!(broken);
                assert_eq!(error.failure(), Failure::Local(PathError::Other(5)));
                assert_eq!((error.execution(), error.elapsed()), (Execution::Unknown, ms(0)));
                assert_eq!(error.to_string(), "system error 5 (1 transmission, 0.0 ms)");
            }
        }
    }
}

#[test]
fn any_number_of_path_errors_leaves_the_request_alive() {
    let mut requester = by_id(Scripted::echo(ms(5)));
    requester.transport_mut().fail_receives(1000, PathError::Unreachable);
    assert_eq!(requester.request(PING).unwrap().transmissions(), 1);
}

// What could not be sent.

#[test]
fn sends_denied_every_time_say_that_nothing_left() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(u32::MAX, PathError::Denied);
    let error = requester.request(PING).unwrap_err();
    assert_eq!(error.failure(), Failure::Local(PathError::Denied));
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::NotSent, 0, ms(3100)));
    assert_eq!(error.to_string(), "permission denied (0 transmissions, 3100.0 ms)");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_full_local_queue_costs_a_slot_and_no_more() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(2, PathError::NoBuffers);
    let answer = requester.request(PING).unwrap();
    assert_eq!((answer.transmissions(), answer.elapsed()), (1, ms(101)));
    assert_eq!(answer.round_trip(), Some(ms(1)), "sent once only");
}

#[test]
fn a_request_too_large_for_the_path_fails_at_once() {
    let mut requester = by_id(Scripted::echo(ms(1)).with_limit(1232));
    let error = requester.request(&[7; 1233]).unwrap_err();
    assert_eq!(error.failure(), Failure::TooLarge { len: 1233, limit: Some(Plpmtu::new(1232)) });
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::NotSent, 0, ms(0)));
    assert_eq!(error.to_string(), "a request of 1233 bytes is too large: 1232 would fit (0 transmissions, 0.0 ms)");
    assert_eq!(requester.transport().left, 0);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(requester.request(&[7; 1232]).unwrap().payload(), [7; 1232]);
}

#[test]
fn a_size_without_a_known_limit_is_named_too() {
    let mut requester = by_id(Scripted::silent());
    requester.transport_mut().fail_sends(2, PathError::TooBig { limit: None });
    let error = requester.request(PING).unwrap_err();
    assert_eq!(error.failure(), Failure::TooLarge { len: PING.len(), limit: None });
    assert_eq!(error.to_string(), "a request of 9 bytes is too large (0 transmissions, 0.0 ms)");
}

#[test]
fn a_packet_too_big_for_an_earlier_datagram_does_not_end_this_request() {
    let server = only(0, |_| vec![(ms(1), Back::Error(PathError::TooBig { limit: Some(Plpmtu::new(8)) }))]);
    let mut requester = by_id(Scripted::new(server));
    let error = requester.request(PING).unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (5, ms(3100)));
    assert_eq!(
        error.to_string(),
        "no reply (5 transmissions, 3100.0 ms, last heard: message too long: 8 bytes would fit)"
    );
}

#[test]
fn a_request_without_its_id_is_not_sent() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    let error = requester.request(b"abc").unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Unmatchable, Execution::NotSent));
    assert_eq!(error.to_string(), "the request lacks the id that its reply would repeat (0 transmissions, 0.0 ms)");
    assert_eq!(requester.transport().left, 0);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_later_build_without_its_id_is_not_sent_either() {
    let mut requester = by_id(Scripted::silent());
    let result = requester.request_with(|number, bytes| {
        bytes.extend_from_slice(if number == 1 { PING } else { b"abc" });
    });
    let error = result.unwrap_err();
    assert_eq!((error.failure(), error.transmissions()), (Failure::Unmatchable, 1));
    assert_eq!(requester.transport().sent_ms(), [0.0]);
}

// What it takes for the reply.

#[test]
fn replies_to_ten_thousand_requests_without_ids_are_never_mixed_up_by_a_late_first_one() {
    let mut requester = without_ids(late_first());
    assert_eq!(wrong_of(&mut requester, 10_000), 0);
    assert_eq!(requester.transport().port(), 10_000);
}

#[test]
fn replies_to_ten_thousand_requests_without_ids_are_never_mixed_up_by_repetitions_and_delays() {
    assert_eq!(wrong_of(&mut without_ids(repeated()), 10_000), 0);
    assert_eq!(wrong_of(&mut without_ids(repeated_and_delayed()), 10_000), 0);
}

#[test]
fn the_same_worlds_do_mix_up_replies_on_a_path_wrongly_called_faithful() {
    for world in [late_first(), repeated(), repeated_and_delayed()] {
        let mut requester = ReliableRequester::builder(any_reply().on_a_faithful_path())
            .policy(RetryPolicy::LAN)
            .over(forgetful(world));
        let wrong = wrong_of(&mut requester, 10_000);
        assert!(wrong > 9000, "only {wrong} of 10,000: the world above proves little");
    }
}

#[test]
fn replies_to_ten_thousand_requests_with_ids_are_never_mixed_up() {
    for world in [late_first(), repeated(), repeated_and_delayed()] {
        let mut requester = by_id(forgetful(world));
        assert_eq!(wrong_of(&mut requester, 10_000), 0);
    }
}

#[test]
fn every_request_without_an_id_leaves_from_a_port_of_its_own_and_its_repetitions_do_not() {
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(Scripted::silent());
    for _ in 0..2 {
        requester.request(b"time?").unwrap_err();
    }
    let ports: Vec<_> = requester.transport().sent.iter().map(|sent| sent.port).collect();
    assert_eq!(ports, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
}

#[test]
fn the_time_that_a_fresh_port_takes_shortens_no_wait_and_counts_towards_the_deadline() {
    let builder = || ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
    let mut requester = builder().over(Scripted::silent().with_renewal(ms(20)));
    assert_eq!(requester.request(b"time?").unwrap_err().elapsed(), ms(3120));
    assert_eq!(requester.transport().sent_ms(), [20.0, 120.0, 320.0, 720.0, 1520.0]);
    let mut requester = builder().deadline(ms(300)).over(Scripted::silent().with_renewal(ms(20)));
    assert_eq!(requester.request(b"time?").unwrap_err().elapsed(), ms(300));
    assert_eq!(requester.transport().sent_ms(), [20.0, 120.0]);
}

#[test]
fn a_transport_that_cannot_change_its_port_cannot_serve_requests_without_ids() {
    let network = Scripted::echo(ms(1)).not_renewable();
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(network);
    let error = requester.request(b"time?").unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Local(PathError::Unsupported), Execution::NotSent));
    assert_eq!((requester.transport().left, error.elapsed()), (0, ms(0)));
    assert_eq!(error.to_string(), "not supported (0 transmissions, 0.0 ms)");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Unsupported);
}

#[test]
fn an_empty_datagram_is_a_reply() {
    let network = Scripted::new(|_| vec![reply(ms(1), b"")]);
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(network);
    let answer = requester.request(b"").unwrap();
    assert_eq!((answer.payload(), answer.transmissions(), answer.round_trip()), (&b""[..], 1, Some(ms(1))));
}

#[test]
fn a_reply_longer_than_the_buffer_is_an_error_that_tells_both_sizes() {
    for (buffer, received) in [(9, Ok(9)), (8, Err((8, 9))), (4, Err((4, 9)))] {
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .buffer(buffer)
            .over(Scripted::echo(ms(2)));
        match (requester.request(PING).map(|answer| answer.payload().len()), received) {
            (Ok(len), Ok(expected)) => assert_eq!(len, expected),
            (Err(error), Err((received, actual))) => {
                assert_eq!(error.failure(), Failure::Truncated { received, actual });
                assert_eq!((error.execution(), error.elapsed()), (Execution::Unknown, ms(2)));
                let text = format!("the reply of 9 bytes exceeds the buffer of {buffer} (1 transmission, 2.0 ms)");
                assert_eq!(error.to_string(), text);
                assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
            }
            (result, expected) => panic!("{result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn requests_built_anew_are_numbered_from_one_and_a_reply_to_any_of_them_counts() {
    // Only the first is answered, long after the third has left.
    let numbers = Rc::new(RefCell::new(Vec::new()));
    let mut requester = by_id(Scripted::new(only(0, |heard| vec![reply(ms(500), heard.payload)])));
    let build = |number: u32, bytes: &mut Vec<u8>| {
        numbers.borrow_mut().push(number);
        assert!(bytes.is_empty());
        bytes.extend_from_slice(&number.to_be_bytes());
    };
    let answer = requester.request_with(build).unwrap();
    assert_eq!((answer.payload(), answer.transmissions()), (&1_u32.to_be_bytes()[..], 3));
    assert_eq!(answer.round_trip(), Some(ms(500)), "the reply names its transmission");
    assert_eq!(*numbers.borrow(), [1, 2, 3]);
    let payloads: Vec<_> = requester.transport().sent.iter().map(|sent| sent.payload.clone()).collect();
    assert_eq!(payloads, [1_u32, 2, 3].map(|number| number.to_be_bytes().to_vec()));
}

#[test]
fn a_request_whose_send_failed_is_built_again_under_the_same_number() {
    let mut numbers = Vec::new();
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(2, PathError::NoBuffers);
    let answer = requester.request_with(|number, bytes| {
        numbers.push(number);
        bytes.extend_from_slice(&number.to_be_bytes());
    });
    assert_eq!(answer.unwrap().payload(), 1_u32.to_be_bytes());
    assert_eq!(numbers, [1, 1]);
}

#[test]
fn a_requester_is_as_good_as_new_after_every_failure() {
    let server = |heard: Heard<'_>| match heard.payload.get(4..) {
        Some(b" quiet") => Vec::new(),
        Some(b" refuse") => vec![refused(ms(1))],
        Some(b" long") => vec![(ms(1), Back::Datagram([heard.payload, &[0; 100]].concat()))],
        _ => vec![reply(ms(3), heard.payload)],
    };
    let mut requester = ReliableRequester::builder(transaction_id(0..4))
        .policy(RetryPolicy::LAN)
        .buffer(64)
        .over(Scripted::new(server).with_limit(1000));
    for bad in [&b"id 1 quiet"[..], b"id 2 refuse", b"id 3 long", b"id", &[b'x'; 2000]] {
        requester.request(bad).unwrap_err();
        let answer = requester.request(PING).unwrap();
        assert_eq!((answer.payload(), answer.transmissions()), (PING, 1));
        assert_eq!((answer.elapsed(), answer.round_trip()), (ms(3), Some(ms(3))));
        let events: Vec<_> = answer.timeline().events().collect();
        assert_eq!(events, [(ms(0), Event::Transmitted(1)), (ms(3), Event::Replied)]);
    }
}

// Deadlines.

#[test]
fn a_request_deadline_counts_from_the_call_and_a_policy_deadline_from_the_first_transmission() {
    let delayed = RetryPolicy::LAN.with_start_delay(ms(40), ms(40)).unwrap();
    let own = delayed.with_deadline(ms(250)).unwrap();
    for (policy, deadline, end) in [
        (delayed, Some(250), 250),
        (own, None, 290),
        (own, Some(289), 289),
        (own, Some(291), 290),
        (own, Some(20), 20),
        (own, Some(0), 0),
    ] {
        let mut builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
        if let Some(deadline) = deadline {
            builder = builder.deadline(ms(deadline));
        }
        let mut requester = builder.over(Scripted::silent());
        for _ in 0..2 {
            let error = requester.request(PING).unwrap_err();
            assert_eq!(error.elapsed(), ms(end), "{deadline:?}");
            assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline));
            let sent = [40, 140].iter().filter(|&&due| due < end).count() as u32;
            assert_eq!(error.transmissions(), sent, "{deadline:?}");
            assert_eq!(error.execution() == Execution::NotSent, sent == 0);
        }
    }
}

#[test]
fn a_reply_exactly_at_the_deadline_is_accepted_and_one_later_is_not() {
    for (delay, accepted) in [(50_000_000, true), (50_000_001, false)] {
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .deadline(ms(50))
            .over(Scripted::echo(Duration::from_nanos(delay)));
        assert_eq!(requester.request(PING).is_ok(), accepted);
    }
}

#[test]
fn a_reply_that_arrived_before_the_deadline_counts_although_it_is_read_after_it() {
    for (delay, accepted) in [(50, true), (51, false)] {
        let network = Scripted::echo(ms(delay)).suspended(at_ms(30), at_ms(80));
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(ms(50)).over(network);
        assert_eq!(requester.request(PING).is_ok(), accepted, "{delay}");
    }
}

#[test]
fn the_jitter_follows_from_the_seed_and_differs_from_request_to_request() {
    let sent = |seed| {
        let policy = RetryPolicy::default();
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(policy)
            .seed(Seed::new(seed))
            .over(Scripted::silent());
        [0, 1].map(|_| requester.request(PING).unwrap_err().timeline().transmissions().collect::<Vec<_>>())
    };
    assert_eq!(sent(7), sent(7));
    assert_ne!(sent(7), sent(8));
    assert_ne!(sent(7)[0], sent(7)[1]);
}

// Ids that nobody has to write.

#[test]
fn a_stamped_id_is_the_same_in_every_transmission_and_another_in_every_request() {
    let matcher = transaction_id(1..5).stamped();
    let lost_twice = |heard: Heard<'_>| if heard.ordinal % 3 == 2 { vec![reply(ms(1), heard.payload)] } else { vec![] };
    let run = |seed| {
        let builder = ReliableRequester::builder(matcher.clone()).policy(RetryPolicy::LAN).seed(Seed::new(seed));
        let mut requester = builder.over(Scripted::new(lost_twice));
        for n in 0..40_u8 {
            let answer = requester.request(&[n, 0, 0, 0, 0, n]).unwrap();
            assert_eq!((answer.payload()[0], answer.payload()[5], answer.transmissions()), (n, n, 3));
        }
        let sent: Vec<_> = requester.into_transport().sent.into_iter().map(|sent| sent.payload).collect();
        assert!(sent.chunks(3).all(|of_one| of_one[0] == of_one[1] && of_one[1] == of_one[2]));
        let mut ids: Vec<_> = sent.iter().step_by(3).map(|payload| payload[1..5].to_vec()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        sent
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_request_that_changes_keeps_its_stamped_id() {
    let mut requester = ReliableRequester::builder(transaction_id(0..8).stamped())
        .policy(RetryPolicy::LAN)
        .over(Scripted::new(only(2, |heard| vec![reply(ms(1), heard.payload)])));
    let answer = requester.request_with(|number, bytes| {
        bytes.extend_from_slice(&[0; 8]);
        bytes.push(u8::try_from(number).unwrap());
    });
    assert_eq!(answer.unwrap().payload()[8], 3);
    let sent = &requester.transport().sent;
    assert!(sent.iter().all(|it| it.payload[..8] == sent[0].payload[..8] && it.payload[..8] != [0; 8]), "{sent:?}");
    // Without room for the id there is nothing to send.
    assert_eq!(requester.request(b"short").unwrap_err().failure(), Failure::Unmatchable);
}

// Strays.

#[test]
fn strays_are_told_by_what_they_are() {
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    let world = Scripted::new(move |heard| {
        let mut answers = vec![
            reply(ms(1), b""),
            reply(ms(1), b"forged"),
            reply(ms(1), &[0xff; 40]),
            reply(ms(1), heard.payload.split_at(2).0),
        ];
        answers.extend(earlier.iter().map(|request| reply(ms(2), request)));
        answers.push(reply(ms(3), heard.payload));
        earlier.push(heard.payload.to_vec());
        answers
    });
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).buffer(32);
    let mut requester = builder.over(world);
    for n in 0..12_u32 {
        let strays = requester.request(&n.to_be_bytes()).unwrap().strays();
        let remembered = n.min(8);
        assert_eq!((strays.stale, strays.empty, strays.truncated), (remembered, 1, 1), "request {n}");
        assert_eq!(strays.foreign, 2 + (n - remembered), "forged, too short, and older than is remembered");
        assert_eq!(strays.total(), 4 + n);
    }
}

#[test]
fn an_error_tells_its_strays_too_and_a_late_reply_is_one() {
    let mut requester = by_id(Scripted::new(|heard| match heard.payload[0] {
        b'1' => vec![reply(ms(4000), heard.payload)],
        _ => vec![reply(ms(10), b"junk")],
    }));
    assert_eq!(requester.request(b"1 late").unwrap_err().strays().total(), 0);
    let strays = requester.request(b"2 nobody").unwrap_err().strays();
    assert_eq!((strays.stale, strays.foreign, strays.total()), (5, 5, 10));
}

// News that is taken for a verdict, where the caller wants it so.

#[test]
fn by_default_refusals_end_nothing_before_the_schedule_does() {
    let mut requester = by_id(Scripted::new(|_| vec![refused(ms(1))]));
    let error = requester.request(PING).unwrap_err();
    assert_eq!((error.failure(), error.transmissions(), error.elapsed()), (Failure::Refused, 5, ms(3100)));
}

#[test]
fn whoever_cannot_wait_fails_with_the_first_refusal_or_the_nth() {
    for (on_unreachable, error, failure, transmissions, elapsed) in [
        (OnUnreachable::FailFast, PathError::Refused, Failure::Refused, 1, 1),
        (OnUnreachable::FailFast, PathError::Unreachable, Failure::Unreachable, 1, 1),
        (fail_after(1), PathError::Refused, Failure::Refused, 1, 1),
        (fail_after(3), PathError::Refused, Failure::Refused, 3, 301),
        (fail_after(9), PathError::Refused, Failure::Refused, 5, 3100),
        // Of other errors it says nothing.
        (OnUnreachable::FailFast, PathError::Denied, Failure::TimedOut(GiveUp::Unanswered), 5, 3100),
    ] {
        let world = Scripted::new(move |_| vec![(ms(1), Back::Error(error))]);
        let mut requester = failing(world, on_unreachable);
        // Each request has a verdict of its own.
        for _ in 0..2 {
            let ended = requester.request(PING).unwrap_err();
            assert_eq!((ended.failure(), ended.transmissions()), (failure, transmissions), "{on_unreachable:?}");
            let late = ended.elapsed().saturating_sub(ms(elapsed));
            assert!(late < Duration::from_micros(1), "{on_unreachable:?}: {:?}", ended.elapsed());
        }
    }
}

#[test]
fn a_reply_behind_the_refusal_is_found_all_the_same() {
    let refused_then_answered = |heard: Heard<'_>| vec![reply(ms(1), heard.payload), refused(ms(1))];
    let mut requester = failing(Scripted::new(refused_then_answered), OnUnreachable::FailFast);
    assert_eq!(requester.request(PING).unwrap().transmissions(), 1);
    // Not one that is still on its way.
    let too_late = |heard: Heard<'_>| vec![refused(ms(1)), reply(ms(2), heard.payload)];
    let mut requester = failing(Scripted::new(too_late), OnUnreachable::FailFast);
    assert_eq!(requester.request(PING).unwrap_err().failure(), Failure::Refused);
    // Nor does a stray behind it save the request.
    let stray = |_: Heard<'_>| vec![reply(ms(1), b"stray"), refused(ms(1))];
    let mut requester = failing(Scripted::new(stray), OnUnreachable::FailFast);
    assert_eq!(requester.request(PING).unwrap_err().failure(), Failure::Refused);
}

#[test]
fn news_of_the_request_before_dooms_nobody() {
    // The first request is answered and refused late: the refusal swallows the first send of the second request.
    let mut requester = failing(
        Scripted::new(|heard| match heard.ordinal {
            0 => vec![reply(ms(1), heard.payload), refused(ms(5))],
            _ => vec![reply(ms(1), heard.payload)],
        }),
        OnUnreachable::FailFast,
    );
    requester.request(PING).unwrap();
    requester.transport_mut().advance(ms(10));
    assert_eq!(requester.request(PONG).unwrap().transmissions(), 1);
}

#[test]
fn a_refusal_that_may_be_of_an_earlier_request_is_no_proof_that_this_one_was_not_executed() {
    // What the first request leaves open, the second one's refusals are taken to be of.
    let after = |first: fn(u64) -> bool, pause: Duration| {
        let world = move |heard: Heard<'_>| match heard.payload[0] {
            b'1' if first(heard.ordinal) => vec![reply(ms(1), heard.payload)],
            b'1' => vec![],
            _ => vec![refused(ms(1))],
        };
        let mut requester =
            ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(Scripted::new(world));
        let _ = requester.request(b"1");
        requester.transport_mut().advance(pause);
        requester.request(b"2").unwrap_err().execution()
    };
    type Answered = fn(u64) -> bool;
    let (never, at_once, third): (Answered, Answered, Answered) = (|_| false, |_| true, |n| n == 2);
    assert_eq!(after(at_once, ms(0)), Execution::Refused, "nothing was left open");
    assert_eq!(after(never, ms(0)), Execution::Unknown, "all five may still be refused");
    assert_eq!(after(third, ms(0)), Execution::Unknown, "two of three may");
    assert_eq!(after(never, ms(121_000)), Execution::Refused, "nothing lives that long");

    // One after the other refused leaves nothing open; and a fresh port is nobody else's.
    let mut requester = by_id(Scripted::new(|_| vec![refused(ms(1))]));
    for _ in 0..3 {
        assert_eq!(requester.request(PING).unwrap_err().execution(), Execution::Refused);
    }
    let mut requester = without_ids(Scripted::new(|heard| match heard.payload {
        b"silent" => vec![],
        _ => vec![refused(ms(1))],
    }));
    requester.request(b"silent").unwrap_err();
    assert_eq!(requester.request(PING).unwrap_err().execution(), Execution::Refused);
}

fn failing(world: Scripted, on_unreachable: OnUnreachable) -> ReliableRequester<Scripted> {
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
    builder.on_unreachable(on_unreachable).over(world)
}

// Under loss.

#[test]
fn five_transmissions_at_half_loss_each_way_succeed_as_often_as_they_should() {
    const REQUESTS: u32 = 30_000;
    let expected = 1.0 - 0.75_f64.powi(5);
    let sigma = (expected * (1.0 - expected) / f64::from(REQUESTS)).sqrt();
    for seed in [0, 1, u64::MAX] {
        let lossy =
            LossySink::new(forgetful(Scripted::echo(ms(1))), Impairments::loss(Probability::HALF), Seed::new(seed));
        let mut requester = by_id(lossy);
        let mut transmissions = 0;
        let mut succeeded = 0;
        for n in 0..REQUESTS {
            match requester.request(&n.to_be_bytes()) {
                Ok(answer) => {
                    assert_eq!(answer.payload(), n.to_be_bytes());
                    transmissions += u64::from(answer.transmissions());
                    succeeded += 1;
                }
                Err(error) => {
                    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
                    transmissions += u64::from(error.transmissions());
                }
            }
        }
        let rate = f64::from(succeeded) / f64::from(REQUESTS);
        assert!((rate - expected).abs() < 6.0 * sigma, "seed {seed}: {rate}, not {expected}");
        let requests = requester.transport().stats(Direction::ToServer).fates;
        assert_eq!(requests.received, transmissions, "one fate for each transmission");
        assert_eq!(requests.delivered, requester.transport().get_ref().left);
        let replies = requester.transport().stats(Direction::ToClient).fates;
        assert_eq!(replies.received, requests.delivered, "every reply arrived in its wait");
    }
}

// Worlds that harm whoever takes a reply for another's.

/// The first answer takes 150 ms, every other one a millisecond.
fn late_first() -> Scripted {
    Scripted::new(|heard| vec![reply(if heard.ordinal == 0 { ms(150) } else { ms(1) }, heard.payload)])
}

/// Every answer comes twice, the copy 40 ms after the first.
fn repeated() -> Scripted {
    Scripted::new(|heard| vec![reply(ms(30), heard.payload), reply(ms(70), heard.payload)])
}

/// Besides, every third answer is 120 ms late.
fn repeated_and_delayed() -> Scripted {
    Scripted::new(|heard| {
        let late = if heard.ordinal % 3 == 0 { ms(120) } else { ms(0) };
        vec![reply(ms(5) + late, heard.payload), reply(ms(45) + late, heard.payload)]
    })
}

/// How many of so many requests got the reply to another one.
#[track_caller]
fn wrong_of<T: Transport<Peer = usize>>(requester: &mut ReliableRequester<T>, requests: u32) -> u32 {
    let mut wrong = 0;
    for n in 0..requests {
        let answer = requester.request(&n.to_be_bytes()).unwrap_or_else(|error| panic!("request {n}: {error}"));
        wrong += u32::from(answer.payload() != n.to_be_bytes());
    }
    wrong
}

fn by_id<T: Transport<Peer = usize>>(transport: T) -> ReliableRequester<T> {
    ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).seed(Seed::new(0)).over(transport)
}

fn without_ids(world: Scripted) -> ReliableRequester<Scripted> {
    ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(forgetful(world))
}

fn forgetful(mut world: Scripted) -> Scripted {
    world.forgetful = true;
    world
}

/// A server that answers nothing but datagram number `ordinal`.
fn only(
    ordinal: u64,
    mut answer: impl FnMut(Heard<'_>) -> Vec<Answer> + 'static,
) -> impl FnMut(Heard<'_>) -> Vec<Answer> + 'static {
    move |heard| if heard.ordinal == ordinal { answer(heard) } else { Vec::new() }
}

fn text(error: RequestError) -> String {
    format!("{error}\n{}", error.timeline())
}

const PING: &[u8] = b"id 1 ping";
const PONG: &[u8] = b"id 2 pong";

fn fail_after(refusals: u32) -> OnUnreachable {
    OnUnreachable::FailAfter(NonZeroU32::new(refusals).unwrap())
}
