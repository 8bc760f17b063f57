//! A wrapper that forwards the five methods of a transport loses nothing: what a driver has to know, they say.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "one wait on a real socket is cancelled")]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_retry::transaction::Failure;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{
    ConnectedUdp, Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id,
};

use crate::forwarding::Forwarding;
use crate::scripted::{Heard, Scripted, at_ms, ms, refused, reply};
use crate::seen::{Seen, seen};

#[test]
fn through_wrappers_a_cancellation_ends_the_wait_once_and_nothing_spins() {
    for cancelled in [0, 50, 300] {
        let world = || Scripted::silent().cancelled_at(at_ms(cancelled));
        let bare = cancel(world());
        let forwarding = cancel(Forwarding::around(world()));
        let sink = cancel(LossySink::new(Forwarding::around(world()), Impairments::NONE, Seed::new(1)));
        assert_eq!((&forwarding, &sink), (&bare, &bare), "after {cancelled} ms");
        assert_eq!(bare.last(), Some(&(ms(cancelled), Seen::Failed(Failure::Cancelled))));
    }
}

#[test]
fn through_wrappers_what_arrived_in_time_counts_whenever_it_is_read() {
    let world = || Scripted::echo(ms(50)).suspended(at_ms(30), at_ms(5000));
    let builder = || ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(ms(50));
    let mut forwarding = builder().over(Forwarding::around(world())).unwrap();
    let answer = forwarding.request(b"id 1").unwrap();
    assert_eq!((answer.elapsed(), answer.round_trip()), (ms(50), None));
    let inner = Forwarding::around(world());
    let mut sink = builder().over(LossySink::new(inner, Impairments::NONE, Seed::new(1))).unwrap();
    assert_eq!(sink.request(b"id 1").unwrap().elapsed(), ms(50));
}

#[test]
fn through_wrappers_every_event_is_the_same() {
    let world = eventful;
    fn told<T: Transport<Peer = PathIndex>>(transport: T) -> Vec<(Duration, Seen)> {
        let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(transport).unwrap();
        let mut told = Vec::new();
        for n in 0..100_u32 {
            told.extend(match requester.request(&n.to_be_bytes()) {
                Ok(reply) => seen(reply.timeline()),
                Err(error) => seen(error.timeline()),
            });
        }
        told
    }
    let bare = told(world());
    assert!(bare.len() > 300, "{}", bare.len());
    assert_eq!(told(Forwarding::around(world())), bare);
}

#[test]
fn through_wrappers_keys_come_from_the_transport_inside_and_each_is_another() {
    let mut sink = LossySink::new(Forwarding::around(Scripted::silent()), Impairments::NONE, Seed::new(1));
    let [mut first, mut second] = [[0; 32]; 2];
    sink.entropy(&mut first).unwrap();
    sink.entropy(&mut second).unwrap();
    assert_eq!((first, second), ([1; 32], [2; 32]));
}

#[test]
fn a_cancelled_wait_on_a_wrapped_socket_ends_at_once_and_does_not_spin() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut inner = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
    let handle = inner.cancel_handle().unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
    let mut requester = builder.over(Forwarding::around(inner)).unwrap();
    let cancelling = thread::spawn(move || {
        thread::sleep(ms(150));
        handle.cancel();
    });
    let error = requester.request(b"id 1").unwrap_err();
    cancelling.join().unwrap();
    assert_eq!(error.failure(), Failure::Cancelled);
    assert!(requester.transport().receives <= 5, "{} receives", requester.transport().receives);
}

fn cancel<T: Transport<Peer = PathIndex>>(transport: T) -> Vec<(Duration, Seen)> {
    let mut requester =
        ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(transport).unwrap();
    let error = requester.request(b"id 1").unwrap_err();
    let told = seen(error.timeline());
    // It was for that one only.
    assert!(requester.request(b"id 2").unwrap_err().is_timeout());
    told
}

/// A server that answers, twice and late, with junk, by refusing, and not at all, to a client that comes late itself.
pub(crate) fn eventful() -> Scripted {
    Scripted::new(|heard: Heard<'_>| match heard.ordinal % 5 {
        0 => vec![refused(ms(102))],
        1 => vec![reply(ms(30), b"junk"), refused(ms(40))],
        2 => vec![],
        _ => vec![reply(ms(7), heard.payload), reply(ms(40), heard.payload)],
    })
    .napping(ms(5))
    .with_lateness(ms(3))
}
