//! What a responder does about requests with an envelope.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::envelope::{EnvelopeError, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::replies::{ReplyLimits, Responder, SameId, Todo, Why, same_id};
use udp_retry::time::Timestamp;
use udp_retry::transport::Route;

use crate::wire::{MS, SECRET, at, peer};

const ADD: &[u8] = b"id 1 add";
/// The server has started at this time, in milliseconds, and is past its youth.
const START: u64 = 1_000;
const OLD: u64 = START + 130_000;

#[test]
fn a_reply_names_the_transmission_that_it_answers() {
    let mut responder = responder();
    let route = from();
    let first = request(2, None, Some(7));
    let Todo::Execute { job, request: seen } = responder.on_datagram(at(OLD), route, &first, first.len()) else {
        panic!()
    };
    assert_eq!(seen, ADD);
    let working = responder.provisional(&job, b"id 1 working").unwrap();
    assert_eq!(opened(working.datagram), (ReplyKind::Reply, 2, 130_000, &b"id 1 working"[..]));
    let sent = responder.finish(at(OLD + 5), job, b"id 1 done").unwrap();
    assert_eq!(opened(sent.datagram), (ReplyKind::Reply, 2, 130_005, &b"id 1 done"[..]));
    for transmission in [3, 1] {
        let copy = request(transmission.into(), None, Some(7));
        let Todo::Send(again) = responder.on_datagram(at(OLD + 6), route, &copy, copy.len()) else { panic!() };
        assert_eq!(opened(again.datagram), (ReplyKind::Reply, transmission, 130_006, &b"id 1 done"[..]));
    }
}

#[test]
fn what_no_one_waits_for_is_not_executed_and_a_job_says_until_when_it_is_waited_for() {
    let mut responder = responder();
    let past = request(1, Some(Duration::ZERO), Some(7));
    assert_eq!(nothing(&mut responder, OLD, &past), Why::Expired);
    let urgent = request(1, Some(300 * MS), Some(7));
    let Todo::Execute { job, .. } = responder.on_datagram(at(OLD), from(), &urgent, urgent.len()) else { panic!() };
    assert_eq!(job.deadline(), Some(at(OLD + 300)));
    let stats = responder.stats();
    assert_eq!((stats.expired, stats.replies.fresh), (1, 1));
}

#[test]
fn another_incarnation_and_a_young_one_answer_unknown_and_execute_nothing() {
    let mut responder = responder();
    let cases = [(OLD, Some(8)), (START, None), (OLD - 1, None)];
    for (ms, incarnation) in cases {
        let asked = request(4, None, incarnation);
        let Todo::Send(answer) = responder.on_datagram(at(ms), from(), &asked, asked.len()) else { panic!() };
        assert_eq!(opened(answer.datagram), (ReplyKind::Unknown, 4, u128::from(ms - START), ADD));
        assert_eq!(answer.to, from());
    }
    let stats = responder.stats();
    assert_eq!((stats.unknown, stats.unnamed, stats.replies.fresh, stats.replies.entries), (3, 2, 0, 0));
    let asked = request(1, None, None);
    assert!(matches!(responder.on_datagram(at(OLD), from(), &asked, asked.len()), Todo::Execute { .. }));
}

#[test]
fn what_has_no_envelope_or_a_wrong_one_is_told_by_its_kind() {
    let mut responder = responder();
    let good = request(1, None, Some(7));
    let answer = ReplyHeader::new(ReplyKind::Reply, 1.try_into().unwrap(), MS, Incarnation::new(7).unwrap()).encode();
    let with = |at: usize, byte: u8| {
        let mut datagram = good.clone();
        datagram[at] = byte;
        datagram
    };
    for (datagram, error) in [
        (ADD.to_vec(), "8 bytes are too few for an envelope"),
        (with(0, 0), "no envelope"),
        (with(1, 0x21), "an envelope of version 2"),
        ([&answer[..], ADD].concat(), "an envelope of another kind, 2"),
        (with(3, 0), "an envelope without the number of a transmission"),
    ] {
        let Why::Envelope(told) = nothing(&mut responder, OLD, &datagram) else { panic!("{datagram:?}") };
        assert_eq!(told.to_string(), error);
    }
    assert_eq!(nothing(&mut responder, OLD, &request(1, None, Some(7))[..18]), Why::Foreign);
    assert_eq!(nothing(&mut responder, OLD, &request(1, None, Some(8))[..18]), Why::Foreign);
    let stats = responder.stats();
    assert_eq!((stats.without_envelope, stats.foreign, stats.replies.fresh), (5, 2, 0));
}

#[test]
fn headers_count_in_a_request_and_in_the_answer_that_may_not_exceed_it() {
    let mut responder = responder().at_most_times(1.try_into().unwrap());
    for (len, sent) in [(ADD.len(), true), (ADD.len() + 1, false)] {
        let request = [&request(1, None, Some(7))[..16], b"id ", &[len as u8], b"????"].concat();
        let Todo::Execute { job, .. } = responder.on_datagram(at(OLD), from(), &request, 24) else { panic!() };
        assert_eq!(responder.provisional(&job, &vec![7; len]).map(|it| it.datagram.len()), sent.then_some(24));
        assert_eq!(responder.finish(at(OLD), job, &vec![7; len]).map(|it| it.datagram.len()), sent.then_some(24));
        match responder.on_datagram(at(OLD), from(), &request, 24) {
            Todo::Send(answer) if sent => assert_eq!(answer.datagram.len(), 24),
            Todo::Nothing(Why::Amplifying) if !sent => {}
            other => panic!("{other:?}"),
        }
    }
    // Nor does "unknown" exceed what it answers.
    let other = request(1, None, Some(8));
    let Todo::Send(answer) = responder.on_datagram(at(OLD), from(), &other, other.len()) else { panic!() };
    assert_eq!(answer.datagram.len(), other.len());
}

/// Any bytes, also such as differ from a request in a few of them.
#[test]
fn no_bytes_make_it_panic_or_answer_more_than_it_was_asked() {
    let draws = Seed::new(7);
    let mut responder = responder().at_most_times(1.try_into().unwrap());
    let (mut executed, mut answered, mut refused) = (0, 0, 0);
    for n in 0..200_000 {
        let draw = |stream| draws.derive(stream).draw(n);
        let transmission = draw(8) as u32;
        let mut datagram =
            request(transmission, (draw(9) % 2 == 0).then(|| Duration::from_nanos(draw(9) % 5_000)), Some(7));
        datagram[16..].iter_mut().enumerate().for_each(|(at, byte)| *byte = (draw(1) >> at) as u8 & 3);
        for _ in 0..draw(2) % 4 {
            let at = (draw(3) % datagram.len() as u64) as usize;
            datagram[at] ^= draw(4) as u8;
        }
        datagram.truncate(if draw(5) % 3 == 0 { (draw(6) % 25) as usize } else { datagram.len() });
        let now = at(OLD + n / 100);
        match responder.on_datagram(now, from(), &datagram, datagram.len()) {
            Todo::Execute { job, .. } => {
                executed += 1;
                if let Some(answer) = responder.finish(now, job, &[7; 20][..(draw(7) % 20) as usize]) {
                    assert!(answer.datagram.len() <= datagram.len());
                }
            }
            Todo::Send(answer) => {
                answered += 1;
                assert!(answer.datagram.len() <= datagram.len());
                ReplyHeader::decode(answer.datagram).unwrap();
            }
            Todo::Nothing(Why::Envelope(EnvelopeError::Missing)) => refused += 1,
            Todo::Nothing(_) => {}
        }
    }
    assert!(executed > 1_000 && answered > 1_000 && refused > 1_000, "{executed} {answered} {refused}");
}

fn responder() -> Responder<SameId> {
    let responder = Responder::new(ReplyLimits::default(), same_id(0..4), &SECRET, at(START));
    responder.envelope(Incarnation::new(7).unwrap())
}

fn from() -> Route {
    Route::new(peer("192.0.2.1:700"), peer("192.0.2.7:1060"))
}

fn request(transmission: u32, remaining: Option<Duration>, incarnation: Option<u64>) -> Vec<u8> {
    let header = RequestHeader::new(transmission, remaining, incarnation.and_then(Incarnation::new));
    [&header.encode()[..], ADD].concat()
}

/// Kind, transmission, milliseconds of uptime and payload.
fn opened(datagram: &[u8]) -> (ReplyKind, u16, u128, &[u8]) {
    let (header, payload) = ReplyHeader::decode(datagram).unwrap();
    assert_eq!(header.incarnation().number(), 7);
    (header.kind(), header.transmission().get(), header.uptime().as_millis(), payload)
}

fn nothing(responder: &mut Responder<SameId>, ms: u64, datagram: &[u8]) -> Why {
    match responder.on_datagram(Timestamp::from_nanos(ms * 1_000_000), from(), datagram, datagram.len()) {
        Todo::Nothing(why) => why,
        other => panic!("{other:?}"),
    }
}
