//! Errors are news, not verdicts.

use std::io;
use std::time::Duration;

use udp_retry::transaction::{Event, Execution, Failure};
use udp_retry::transport::{PathError, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::{PING, PONG, by_id, only, text};
use crate::scripted::{Back, Heard, Scripted, at_ms, ms, refused, reply};

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
