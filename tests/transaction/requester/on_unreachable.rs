//! News that is taken for a verdict, where the caller wants it so.

use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::transaction::{Execution, Failure, GiveUp, OnUnreachable};
use udp_retry::transport::PathError;
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::{PING, PONG, by_id, without_ids};
use crate::scripted::{Back, Heard, Scripted, ms, refused, reply};

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

fn fail_after(refusals: u32) -> OnUnreachable {
    OnUnreachable::FailAfter(NonZeroU32::new(refusals).unwrap())
}
