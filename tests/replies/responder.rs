//! What a responder has done about a datagram.

use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use udp_retry::replies::{DuplicateKey, ReplyLimits, Responder, SameId, Todo, Why, same_bytes, same_id};
use udp_retry::time::Timestamp;
use udp_retry::transport::Route;

use crate::wire::{MS, SECRET, at, peer};

const ADD: &[u8] = b"id 1 add";

#[test]
fn a_reply_is_kept_before_it_is_sent_and_goes_to_whoever_asks_again() {
    let mut responder = responder();
    let (asked, other) = (from("192.0.2.1:700"), Route::new(peer("192.0.2.1:700"), peer("192.0.2.8:1060")));
    let Todo::Execute { job, request } = responder.on_datagram(at(0), asked, ADD, ADD.len()) else { panic!() };
    assert_eq!((request, job.route()), (ADD, asked));
    assert_eq!(nothing(&mut responder, at(1), asked, ADD), Why::InProgress);
    let working = responder.provisional(&job, b"id 1 working").unwrap();
    assert_eq!((working.to, working.datagram), (asked, &b"id 1 working"[..]));
    let sent = responder.finish(at(2), job, b"id 1 done").unwrap();
    assert_eq!((sent.to, sent.datagram), (asked, &b"id 1 done"[..]));
    for to in [asked, other] {
        let Todo::Send(again) = responder.on_datagram(at(2), to, ADD, ADD.len()) else { panic!() };
        assert_eq!((again.to, again.datagram), (to, &b"id 1 done"[..]));
    }
    // Another port is another client.
    assert!(matches!(responder.on_datagram(at(2), from("192.0.2.1:701"), ADD, ADD.len()), Todo::Execute { .. }));
}

#[test]
fn what_is_provisional_and_what_is_sent_first_is_no_replay() {
    let mut responder = Responder::new(ReplyLimits::default().with_replays(2), same_id(0..4), &SECRET, Timestamp::ZERO);
    let asked = from("192.0.2.1:700");
    let Todo::Execute { job, .. } = responder.on_datagram(at(0), asked, ADD, ADD.len()) else { panic!() };
    for _ in 0..5 {
        assert!(responder.provisional(&job, b"id 1 working").is_some());
        assert_eq!(nothing(&mut responder, at(0), asked, ADD), Why::InProgress);
    }
    assert!(responder.finish(at(0), job, b"id 1 done").is_some());
    for _ in 0..2 {
        assert!(matches!(responder.on_datagram(at(0), asked, ADD, ADD.len()), Todo::Send(_)));
    }
    assert_eq!(nothing(&mut responder, at(0), asked, ADD), Why::ReplayedOften);
    let stats = responder.stats().replies;
    assert_eq!((stats.fresh, stats.entries, stats.replayed, stats.replayed_often), (1, 1, 2, 1));
}

#[test]
fn a_handler_that_panics_leaves_its_request_in_progress_for_the_whole_lifetime() {
    let mut responder = responder();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let Todo::Execute { job: _job, .. } = responder.on_datagram(at(0), from("192.0.2.1:700"), ADD, 8) else {
            return;
        };
        panic!("a handler that fails");
    }));
    assert!(panicked.is_err());
    for ms in [0, 1, 129_999, 130_000] {
        assert_eq!(nothing(&mut responder, at(ms), from("192.0.2.1:700"), ADD), Why::InProgress);
    }
    assert!(matches!(responder.on_datagram(at(130_002), from("192.0.2.1:700"), ADD, 8), Todo::Execute { .. }));
}

#[test]
fn what_was_not_executed_may_be_when_it_comes_again() {
    let mut responder = responder();
    for n in 0..100_000 {
        let todo = responder.on_datagram(at(n / 1000), from("192.0.2.1:700"), ADD, 8);
        let Todo::Execute { job, .. } = todo else { panic!("{n}: {todo:?}") };
        responder.abandon(job);
    }
    let stats = responder.stats().replies;
    assert_eq!((stats.fresh, stats.abandoned, stats.entries), (100_000, 100_000, 0));
}

#[test]
fn a_truncated_datagram_and_one_without_a_key_are_not_executed() {
    let mut responder = responder();
    let route = from("192.0.2.1:700");
    let Todo::Nothing(why) = responder.on_datagram(at(0), route, ADD, ADD.len() + 1) else { panic!() };
    assert_eq!(why, Why::Truncated);
    assert_eq!(nothing(&mut responder, at(0), route, b"id "), Why::Foreign);
    assert_eq!(nothing(&mut responder, at(0), route, b""), Why::Foreign);
    let stats = responder.stats();
    assert_eq!((stats.truncated, stats.foreign, stats.replies.fresh), (1, 2, 0));
}

#[test]
fn nothing_is_executed_within_the_silence_after_the_start() {
    let limits = ReplyLimits::default();
    let mut responder = Responder::new(limits, same_id(0..4), &SECRET, at(5_000)).silent_after_start(4_000 * MS);
    for ms in [0, 5_000, 8_999] {
        assert_eq!(nothing(&mut responder, at(ms), from("192.0.2.1:700"), ADD), Why::Silent);
    }
    assert!(matches!(responder.on_datagram(at(9_000), from("192.0.2.1:700"), ADD, 8), Todo::Execute { .. }));
    assert_eq!(responder.stats().silent, 3);
}

#[test]
fn no_answer_exceeds_its_own_request_by_more_than_allowed() {
    let mut responder = responder().at_most_times(NonZeroU16::new(3).unwrap());
    let route = from("192.0.2.1:700");
    for (len, sent) in [(24, true), (25, false)] {
        let request = [b"id ".as_slice(), &[len], b"????"].concat();
        let Todo::Execute { job, .. } = responder.on_datagram(at(0), route, &request, 8) else { panic!() };
        assert_eq!(responder.provisional(&job, &vec![7; len.into()]).is_some(), sent);
        assert_eq!(responder.finish(at(0), job, &vec![7; len.into()]).is_some(), sent);
        match responder.on_datagram(at(0), route, &request, 8) {
            Todo::Send(answer) if sent => assert_eq!(answer.datagram.len(), 24),
            Todo::Nothing(Why::Amplifying) if !sent => {}
            other => panic!("{other:?}"),
        }
        // The copy may be shorter than the request.
        assert_eq!(nothing(&mut responder, at(0), route, &request[..4]), Why::Amplifying);
    }
    assert_eq!(responder.stats().amplifying, 5);
}

#[test]
fn a_reply_that_comes_too_late_is_not_sent() {
    let limits = ReplyLimits::default().with_lifetime(Duration::from_secs(1)).unwrap();
    let mut responder = Responder::new(limits, same_id(0..4), &SECRET, at(0));
    let Todo::Execute { job, .. } = responder.on_datagram(at(0), from("192.0.2.1:700"), ADD, 8) else { panic!() };
    assert_eq!(responder.finish(at(1_002), job, b"done"), None);
    assert_eq!(responder.stats().replies.late, 1);
}

#[test]
fn a_peer_is_the_same_however_a_socket_shows_it() {
    let mut responder = responder();
    let Todo::Execute { .. } = responder.on_datagram(at(0), from("192.0.2.1:700"), ADD, 8) else { panic!() };
    assert_eq!(nothing(&mut responder, at(0), from("[::ffff:192.0.2.1]:700"), ADD), Why::InProgress);
    // The same address of a link is another host on another link.
    let Todo::Execute { .. } = responder.on_datagram(at(0), from("[fe80::1%2]:700"), ADD, 8) else { panic!() };
    let Todo::Execute { .. } = responder.on_datagram(at(0), from("[fe80::1%3]:700"), ADD, 8) else { panic!() };
    assert_eq!(nothing(&mut responder, at(0), from("[fe80::1%3]:700"), ADD), Why::InProgress);
}

#[test]
fn whole_requests_and_ids_from_any_peer_are_keys_too() {
    let (one, other) = (peer("192.0.2.1:700"), peer("192.0.2.2:700"));
    let any = same_id(0..4).from_any_peer();
    let mut cache = udp_retry::replies::ReplyCache::new(ReplyLimits::default(), &SECRET);
    let mut is_new = |key| matches!(cache.on_request(at(0), &key), udp_retry::replies::Verdict::Fresh(_));
    let novelties = [
        (any.key(one, ADD).unwrap(), true),
        (any.key(other, ADD).unwrap(), false),
        (same_id(0..4).key(one, ADD).unwrap(), true),
        (same_id(0..4).and(4..8).key(one, ADD).unwrap(), true),
        (same_id(0..4).and(4..8).key(one, b"id 1 sub").unwrap(), true),
        (same_id(0..4).and(4..8).key(one, ADD).unwrap(), false),
        // Of the same bytes, but others of them are the id.
        (same_id(0..5).and(5..8).key(one, ADD).unwrap(), true),
        (same_bytes().key(one, ADD).unwrap(), true),
        (same_bytes().key(one, ADD).unwrap(), false),
    ];
    for (n, (key, new)) in novelties.into_iter().enumerate() {
        assert_eq!(is_new(key), new, "{n}: {key:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a caller's mistake")]
    let reversed = same_id(4..2);
    assert_eq!(reversed.key(one, ADD), None);
    assert_eq!(same_id(2..2).key(one, ADD), None);
    assert_eq!(same_id(0..4).and(6..9).key(one, ADD), None);
}

fn responder() -> Responder<SameId> {
    Responder::new(ReplyLimits::default(), same_id(0..4), &SECRET, Timestamp::ZERO)
}

fn from(address: &str) -> Route {
    Route::new(peer(address), peer("192.0.2.7:1060"))
}

fn nothing(responder: &mut Responder<SameId>, now: Timestamp, route: Route, datagram: &[u8]) -> Why {
    match responder.on_datagram(now, route, datagram, datagram.len()) {
        Todo::Nothing(why) => why,
        other => panic!("{other:?}"),
    }
}
