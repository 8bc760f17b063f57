//! What users of request/reply libraries complain of besides the list of `complaints.rs`: what measured round
//! trips, deadlines and a server that wants to be left alone do to a client.
//!
//! Not here: broadcasts that bring one reply are a discovery's, as a requester wants one reply and is connected to one
//! address; that finished transactions are never removed cannot be, as a requester holds one, of fixed size
//! (`tests/allocations.rs`).

use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::policy::{Backoff, Deviation, Jitter, RttEstimator};
use udp_retry::sim::echo;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Event, Failure, GiveUp, Hold, Match, OnUnreachable, matching};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::naive::{Pair, SERVER, at, connect, ms, path, requester, sent_to_server, world, worlds};
use crate::waits::Waits;

#[test]
fn the_timeout_was_inflated_by_replies_to_resends() {
    // Every third request is lost; every round trip takes 20 ms.
    let lossy = |net: &Pair| {
        path(net, "loss pattern 001; delay 10ms", "delay 10ms");
        net.serve(SERVER, echo()).unwrap();
    };
    let estimator = || RttEstimator::new(ms(100), ms(100), ms(60_000)).unwrap();
    // Whoever counts every reply from the first transmission measures its own timeouts.
    let (inflated, mut plain) = (estimator(), requester(&world(lossy)));
    for n in 0..100 {
        inflated.on_reply(at(0), Some(plain.request(&[n]).unwrap().elapsed()));
    }
    assert!(inflated.srtt(at(0)).unwrap() > ms(30), "{inflated:?}");

    let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
    let mut ours = builder.estimator(estimator()).over(connect(&world(lossy))).unwrap();
    let mut retransmitted = 0;
    for n in 0..100 {
        let reply = ours.request(&[n]).unwrap();
        let sent = reply.transmissions();
        assert_eq!(reply.round_trip(), (sent == 1).then_some(ms(20)), "Karn: it may belong to either");
        retransmitted += u32::from(sent > 1);
        let (now, measured) = (ours.transport().now(), ours.estimator().unwrap());
        assert!(measured.srtt(now).is_none_or(|srtt| srtt == ms(20)), "request {n}: {measured:?}");
        // Doubled by a loss, and no more than that: the next clean round trip ends it.
        assert_eq!(measured.rto(now), if sent == 1 { ms(100) } else { ms(200) }, "request {n}");
    }
    assert!(retransmitted > 30, "{retransmitted}");
}

#[test]
fn one_lost_packet_was_a_failure() {
    for (to_server, to_client) in [("script {drop 1}", "none"), ("none", "script {drop 1}")] {
        let lossy = |net: &Pair| {
            path(net, to_server, to_client);
            net.serve(SERVER, echo()).unwrap();
        };
        let mut once = connect(&world(lossy));
        once.send(PathIndex::FIRST, b"x").unwrap();
        assert_eq!(once.wait(&mut [0; 10], at(60_000)), Ok(None), "sent once, and awaited for a minute");
        let (_, mut by_id, mut by_port) = worlds(lossy);
        for requester in [&mut by_id, &mut by_port] {
            let reply = requester.request(b"x").unwrap();
            assert_eq!((reply.transmissions(), reply.elapsed()), (2, ms(100)));
        }
    }
}

#[test]
fn a_first_retry_after_5_s_is_useless_inside_a_budget_of_5_s() {
    let budget = |first_wait: u64, jitter| {
        let backoff = Backoff::exponential(ms(first_wait), ms(60_000)).unwrap().with_jitter(jitter).unwrap();
        RetryPolicy::new(backoff).with_deadline(ms(5_000)).unwrap()
    };
    let warned = |policy: &RetryPolicy| {
        let warning = policy.deviations().find(|deviation| matches!(deviation, Deviation::SingleTransmission { .. }));
        assert_eq!(policy.explain().to_string().contains("no loss can be repaired"), warning.is_some());
        warning.is_some()
    };
    for (first_wait, jitter, possible) in [
        (5_000, Jitter::NONE, 1),
        (5_000, Jitter::UPWARD, 1),
        (30_000, Jitter::NONE, 1),
        (4_999, Jitter::NONE, 2),
        (2_000, Jitter::NONE, 2),
        (1_000, Jitter::NONE, 3),
    ] {
        let policy = budget(first_wait, jitter);
        assert_eq!((policy.schedule().count(), warned(&policy)), (possible, possible < 2), "{first_wait} ms");
        // It is as the warning says.
        let net = world(|net| {
            path(net, "script {drop 1}", "none");
            net.serve(SERVER, echo()).unwrap();
        });
        let mut requester =
            ReliableRequester::builder(transaction_id(0..1)).policy(policy).over(connect(&net)).unwrap();
        assert_eq!(requester.request(b"x").is_ok(), possible > 1, "{first_wait} ms");
        assert_eq!(net.now(), at(if possible > 1 { first_wait } else { 5_000 }));
    }
    // A policy that never meant to send twice is not warned of.
    assert!(!warned(&budget(5_000, Jitter::NONE).with_max_transmissions(1).unwrap()));
}

#[test]
fn is_the_timeout_per_try_or_in_total() {
    // Two names: a first wait of 250 ms, and a deadline of 250 ms for all of it.
    let silent = || world(|net| path(net, "loss 100%", "none"));
    let (per_try, total) = (silent(), silent());
    let tries = RetryPolicy::new(Backoff::constant(ms(250)).unwrap()).with_max_transmissions(3).unwrap();
    let builder = || ReliableRequester::builder(transaction_id(0..1));
    let error = builder().policy(tries).over(connect(&per_try)).unwrap().request(b"x").unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (3, ms(750)));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
    let deadline = builder().policy(RetryPolicy::LAN).deadline(ms(250));
    let error = deadline.over(connect(&total)).unwrap().request(b"x").unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (2, ms(250)));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline));
    assert_eq!(error.timeline().events().find(|(_, event)| matches!(event, Event::Clipped { .. })).unwrap().0, ms(250));
}

#[test]
fn the_backoff_parameters_meant_something_else() {
    // What the policy says of itself is what leaves.
    for (policy, said) in [
        (RetryPolicy::LAN, "up to 5 transmissions: at 0s, 100ms, 300ms, 700ms, 1.5s; fails at 3.1s"),
        (
            RetryPolicy::new(Backoff::exponential(ms(50), ms(150)).unwrap()).with_max_transmissions(6).unwrap(),
            "up to 6 transmissions: at 0s, 50ms, 150ms, 300ms, 450ms, 600ms; fails at 750ms",
        ),
    ] {
        assert!(policy.explain().to_string().starts_with(said), "{}", policy.explain());
        let net = world(|net| path(net, "loss 100%", "none"));
        net.record();
        let mut requester =
            ReliableRequester::builder(transaction_id(0..1)).policy(policy).over(connect(&net)).unwrap();
        requester.request(b"x").unwrap_err();
        let sent: Vec<String> = sent_to_server(&net).into_iter().map(since_start).collect();
        let told = format!("at {}; fails at {}", sent.join(", "), since_start(net.now()));
        assert!(said.ends_with(&told), "{told}");
    }
}

#[test]
fn a_client_that_was_told_to_go_away_sent_again_at_once() {
    // By the network: a loop that takes a refusal for a reason to send is one without a pause.
    let closed = || world(|net| path(net, "delay 1ms", "delay 1ms"));
    let mut eager = connect(&closed());
    let mut tries = 0;
    while eager.now() < at(100) {
        tries += u32::from(eager.send(PathIndex::FIRST, b"x").is_ok());
        let until = eager.now().after(ms(100));
        let _ = eager.wait(&mut [0; 10], until);
    }
    assert_eq!(tries, 50, "in 100 ms");
    let refused = |on_unreachable| {
        let net = closed();
        net.record();
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).seed(Seed::new(1));
        builder.on_unreachable(on_unreachable).over(connect(&net)).unwrap().request(b"x").unwrap_err();
        sent_to_server(&net)
    };
    assert_eq!(refused(OnUnreachable::KeepTrying), [0, 100, 300, 700, 1500].map(at), "as if nothing had been said");
    assert_eq!(refused(fail_after(2)), [0, 100].map(at));
    assert_eq!(refused(OnUnreachable::FailFast), [at(0)]);

    // By the server: push-back that names the request slows the client down, ends its retransmissions, or the request,
    // as the protocol has it. One that does not is junk.
    let pushed_back = |verdict: Match, names_it: bool| {
        let net = world(|net| {
            net.serve(SERVER, move |_, from, datagram, out| {
                out.send_after(ms(10), from, &[if names_it { datagram[0] } else { b'?' }, b'!']);
            })
            .unwrap();
        });
        net.record();
        let matcher = matching(move |request, datagram| match datagram {
            [id, b'!'] if *id == request[0] => verdict,
            _ => Match::Foreign,
        });
        let policy = RetryPolicy::LAN.with_patience(ms(5_000)).unwrap();
        let mut requester = ReliableRequester::builder(matcher).policy(policy).over(connect(&net)).unwrap();
        let replied = requester.request(b"x").is_ok();
        (replied, sent_to_server(&net), net.now())
    };
    let longest = 2_000;
    let slowed = [0, 100, 100 + longest, 100 + 2 * longest, 100 + 3 * longest].map(at).to_vec();
    assert_eq!(pushed_back(Match::Provisional(Hold::Slow), true), (false, slowed, at(100 + 4 * longest)));
    assert_eq!(pushed_back(Match::Provisional(Hold::Stop), true), (false, vec![at(0)], at(5_010)));
    assert_eq!(pushed_back(Match::Reply, true), (true, vec![at(0)], at(10)));
    let as_ever = [0, 100, 300, 700, 1500].map(at).to_vec();
    assert_eq!(pushed_back(Match::Provisional(Hold::Slow), false), (false, as_ever, at(3_100)));
}

/// As the schedule in words has it.
fn since_start(at: Timestamp) -> String {
    match at.since(Timestamp::ZERO) {
        Duration::ZERO => "0s".into(),
        after => format!("{after:?}"),
    }
}

fn fail_after(refusals: u32) -> OnUnreachable {
    OnUnreachable::FailAfter(NonZeroU32::new(refusals).unwrap())
}
