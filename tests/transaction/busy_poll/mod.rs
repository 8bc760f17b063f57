//! `BusyPoll` looks before it waits, over a transport in virtual time whose looks take as long as a test says.

mod stage;

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::Profile;
use udp_retry::net::BusyPoll;
use udp_retry::sim::{SimNet, SimTransport, echo};
use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply};

use self::stage::{Call, Met, Stage, refusal};
use crate::seen::{Seen, seen};
use crate::wrapping::eventful;

#[test]
fn it_looks_for_50_us_and_then_waits_for_the_rest() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    assert_eq!(wait(&mut transport, 5_000_000), Incoming::TimeUp(at(5_000_000)));
    let mut expected: Vec<Call> = (0..50).map(|n| Call::Look(at(n * 1000))).collect();
    expected.push(Call::Wait(at(50_000), at(5_000_000)));
    assert_eq!(transport.get_ref().calls, expected);
}

#[test]
fn after_misses_1_2_4_up_to_2048_waits_pass_unlooked_and_a_hit_begins_anew() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    let first = pauses(&mut transport, 10_000);
    assert_eq!(first, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 2048, 2048]);
    // What is left of the pause, so that the next one looks.
    let left = 2048 - (10_000 - first.iter().sum::<u64>() - first.len() as u64);
    for _ in 0..left {
        wait(&mut transport, 1_000_000);
    }
    let began = transport.now();
    transport.get_mut().arriving.push_back((began.after(Duration::from_nanos(20_300)), Met::Datagram(1)));
    let found = wait(&mut transport, 1_000_000);
    assert!(matches!(found, Incoming::Datagram(_)), "{found:?}");
    assert_eq!(transport.now(), began.after(us(21)), "it was found by a look");
    assert_eq!(pauses(&mut transport, 20), [0, 1, 2, 4, 8], "a hit begins anew");
}

#[test]
fn while_it_hits_every_wait_looks() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    for _ in 0..5000 {
        let arrived = transport.now().after(us(30));
        transport.get_mut().arriving.push_back((arrived, Met::Datagram(7)));
        wait(&mut transport, 1_000_000);
    }
    assert_eq!(transport.get_ref().waits(), 0);
}

/// Such a datagram says nothing of whether looking pays: the wait would have returned it as soon.
#[test]
fn what_is_there_at_the_first_look_is_neither_a_hit_nor_a_miss() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    assert_eq!(pauses(&mut transport, 6), [0, 1, 2]);
    assert_eq!(pauses(&mut transport, 4), [0; 0]);
    transport.get_mut().calls.clear();
    for n in 0..3 {
        let now = transport.now();
        transport.get_mut().arriving.push_back((now, Met::Datagram(n)));
        assert!(matches!(wait(&mut transport, 1_000_000), Incoming::Datagram(_)));
    }
    assert_eq!((transport.get_ref().looks(), transport.get_ref().waits()), (3, 0), "no pause has begun");
    assert_eq!(pauses(&mut transport, 10), [0, 8], "nor has the pause become shorter");
}

/// To look for that long has cost more than a wake-up, in round trips that this shortens, but in no other.
#[test]
fn what_comes_in_the_last_third_of_the_time_for_looking_is_a_miss() {
    for (arrives, looking_for, hit) in
        [(33, 50, true), (34, 50, false), (50, 50, false), (50, 75, true), (16, 24, true)]
    {
        let mut transport = BusyPoll::new(Stage::new(1000)).looking_for(us(looking_for));
        let mut unlooked = Vec::new();
        for n in 0..100 {
            let arrived = transport.now().after(us(arrives));
            transport.get_mut().arriving.push_back((arrived, Met::Datagram(n)));
            let before = transport.get_ref().looks();
            assert!(matches!(wait(&mut transport, 1_000_000), Incoming::Datagram(_)));
            unlooked.push(transport.get_ref().looks() == before);
        }
        let looked = unlooked.iter().filter(|unlooked| !*unlooked).count();
        // After 1, 2, 4, 8, 16, 32 that pass.
        assert_eq!(looked, if hit { 100 } else { 7 }, "after {arrives} us, looking for {looking_for}");
    }
}

/// The thread lost its core to another one, as one that blocks would not have; what arrived meanwhile is no reason to look.
#[test]
fn what_comes_while_a_look_takes_longer_than_a_hit_may_is_a_miss() {
    for (stall, hit) in [(20, true), (23, true), (24, false), (3000, false)] {
        let mut transport = BusyPoll::new(Stage { stall: Some((at(10_000), us(stall))), ..Stage::new(1000) });
        transport.get_mut().arriving.push_back((at(15_000), Met::Datagram(1)));
        let Incoming::Datagram(received) = wait(&mut transport, 1_000_000_000) else { panic!("it is there") };
        assert_eq!(received.at, at(10_000 + stall * 1000));
        transport.get_mut().calls.clear();
        // After a hit the first of two looks, after a miss the second.
        assert_eq!(pauses(&mut transport, 2).len(), 1);
        assert_eq!(matches!(transport.get_ref().calls[0], Call::Look(_)), hit, "{stall} us");
    }
}

#[test]
fn until_is_kept_and_no_look_begins_then_or_later() {
    for (wait_ns, looks) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (10_500, 11), (50_000, 50), (50_001, 50)] {
        let mut transport = BusyPoll::new(Stage::new(1000));
        let until = transport.now().after(Duration::from_nanos(wait_ns));
        let Incoming::TimeUp(ended) = wait(&mut transport, wait_ns) else { panic!("nothing is there") };
        // A look that began before `until`, and the last one, which may find what arrived meanwhile.
        assert!(until <= ended && ended <= until.after(us(2)), "{wait_ns}: {ended:?}");
        let calls = &transport.get_ref().calls;
        assert_eq!(calls.len(), looks + 1, "{wait_ns}: {calls:?}");
        assert!(calls[..looks].iter().all(|call| matches!(call, Call::Look(at) if *at < until)), "{calls:?}");
        // The rest is the inner transport's, with the caller's own end.
        assert!(matches!(calls[looks], Call::Wait(_, end) | Call::Look(end) if end == until), "{calls:?}");
    }
}

#[test]
fn a_wait_that_is_over_when_it_begins_is_passed_on_and_ends_no_pause() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    wait(&mut transport, 1_000_000);
    transport.get_mut().calls.clear();
    let now = transport.now();
    for _ in 0..10 {
        assert!(matches!(transport.recv(&mut [], now, now), Incoming::TimeUp(_)));
    }
    assert_eq!(transport.get_ref().calls, [Call::Look(now); 10]);
    // The pause of one wait after the first miss is still to come.
    assert_eq!(pauses(&mut transport, 5), [1, 2]);
}

#[test]
fn what_is_found_by_a_look_bears_the_time_of_reading_or_until_if_that_was_earlier() {
    for (arrives, until, expected) in [(20_300, 1_000_000, 21_000), (20_300, 20_700, 20_700), (0, 9_000, 1000)] {
        let mut transport = BusyPoll::new(Stage::new(1000));
        transport.get_mut().arriving.push_back((at(arrives), Met::Datagram(9)));
        let Incoming::Datagram(received) = wait(&mut transport, until) else { panic!("it is there") };
        assert_eq!(received.at, at(expected), "{arrives}, {until}");
    }
    // One that knows is believed.
    let mut transport = BusyPoll::new(Stage { knows_arrivals: true, ..Stage::new(1000) });
    transport.get_mut().arriving.push_back((at(20_300), Met::Datagram(9)));
    let Incoming::Datagram(received) = wait(&mut transport, 1_000_000) else { panic!("it is there") };
    assert_eq!(received.at, at(20_300));
}

/// A requester goes on from the time of the last datagram, which may have been read much later.
#[test]
fn a_callers_time_that_has_long_passed_changes_no_arrival_and_no_pause() {
    let mut transport = BusyPoll::new(Stage { now: at(25_000), knows_arrivals: true, ..Stage::new(1000) });
    for n in 0..2 {
        transport.get_mut().arriving.push_back((at(20_300), Met::Datagram(n)));
        let incoming = transport.recv(&mut [], at(20_300), at(1_000_000));
        assert!(matches!(incoming, Incoming::Datagram(received) if received.at == at(20_300)), "{incoming:?}");
    }
    // It has ended, although the caller does not know, before there was a look that could miss.
    assert!(matches!(transport.recv(&mut [], at(20_300), at(20_400)), Incoming::TimeUp(_)));
    assert_eq!(pauses(&mut transport, 2), [0]);
}

#[test]
fn errors_and_cancellations_met_while_looking_are_returned_at_once_and_once() {
    for (met, seen) in [(Met::Error, refusal()), (Met::Cancel, Incoming::Cancelled)] {
        let mut transport = BusyPoll::new(Stage::new(1000));
        transport.get_mut().arriving.push_back((at(10_300), met));
        assert_eq!(wait(&mut transport, 1_000_000), seen);
        assert_eq!(transport.now(), at(11_000));
        assert!(matches!(wait(&mut transport, 1_000_000), Incoming::TimeUp(_)), "once");
    }
}

/// Such a transport lets time pass between its errors, but within the wait that it is given: a look gives it none.
#[test]
fn a_transport_that_fails_for_good_is_left_to_its_own_pauses() {
    let mut transport = BusyPoll::new(Stage { broken: true, ..Stage::new(1000) });
    let until = at(1_000_000_000);
    let mut errors = 0;
    while transport.now() < until {
        let now = transport.now();
        assert_eq!(transport.recv(&mut [], now, until), refusal());
        errors += 1;
    }
    // A hundred of its own, and of those met while looking one for each doubling of the pause.
    assert!((100..=110).contains(&errors), "{errors}");
}

#[test]
fn a_clock_that_stands_still_ends_the_looking_whatever_its_time() {
    for time in [us(50), Duration::from_secs(3600), Duration::MAX] {
        let mut transport = BusyPoll::new(Stage::new(0)).looking_for(time);
        assert_eq!(wait(&mut transport, 1_000_000), Incoming::TimeUp(at(1_000_000)));
        assert_eq!((transport.get_ref().looks(), transport.get_ref().waits()), (100, 1), "{time:?}");
    }
}

#[test]
fn how_long_it_looks_is_the_callers_to_say() {
    for (time, wait_ns, looks) in [
        (Duration::ZERO, 1_000_000, 0),
        (Duration::from_nanos(1), 1_000_000, 1),
        (us(7), 1_000_000, 7),
        (us(200), 1_000_000, 200),
        // Longer than the wait: all of it, and the last look is that of the wait.
        (Duration::MAX, 100_000, 101),
    ] {
        let mut transport = BusyPoll::new(Stage::new(1000)).looking_for(time);
        wait(&mut transport, wait_ns);
        assert_eq!(transport.get_ref().looks(), looks, "{time:?}");
    }
    // Zero is no miss.
    let mut never = BusyPoll::new(Stage::new(1000)).looking_for(Duration::ZERO);
    assert_eq!(pauses(&mut never, 5000), [0; 0]);
    assert_eq!(never.get_ref().waits(), 5000);
}

#[test]
fn all_else_is_the_inner_transports() {
    let mut transport = BusyPoll::new(Stage::new(1000));
    assert_eq!(transport.send(PathIndex::new(3), b"four"), Err(PathError::Other(3 + 4)));
    assert_eq!(transport.renew(PathIndex::new(3), Renewal::Required), Err(PathError::Other(30)));
    let mut key = [0; 32];
    assert_eq!((transport.entropy(&mut key), key), (Ok(()), [5; 32]));
    assert_eq!(transport.max_plpmtu(PathIndex::new(3)), Some(Plpmtu::new(1003)));
    transport.get_mut().now = at(77);
    assert_eq!(transport.now(), at(77));
    assert_eq!(transport.into_inner().calls, []);
}

proptest! {
    /// Against the bare transport: the same comes, in the same order, at most a look later, and no wait ends early.
    #[test]
    fn nothing_is_lost_or_reordered_and_no_wait_ends_early_or_late(
        arrivals in prop::collection::vec((0..200_000_u64, 0..10_u8), 0..60),
        waits in prop::collection::vec(0..150_000_u64, 1..200),
        each in 1..5_000_u64,
    ) {
        let mut stage = Stage::new(each);
        let (mut moment, mut expected) = (Timestamp::ZERO, Vec::new());
        for (n, (gap, kind)) in arrivals.into_iter().enumerate() {
            moment = moment.after(Duration::from_nanos(gap));
            let met = match kind {
                0 => Met::Error,
                1 => Met::Cancel,
                _ => Met::Datagram(n),
            };
            stage.arriving.push_back((moment, met));
            expected.push((moment, met));
        }
        let mut transport = BusyPoll::new(stage);
        let mut found = 0;
        for wait_ns in waits {
            let began = transport.now();
            let until = began.after(Duration::from_nanos(wait_ns));
            let incoming = wait(&mut transport, wait_ns);
            let ended = transport.now();
            let Incoming::TimeUp(at) = incoming else {
                let (arrived, met) = expected[found];
                prop_assert_eq!(kind_of(&incoming), met);
                let due = arrived.max(began);
                prop_assert!(due <= ended && ended <= due.after(Duration::from_nanos(each)), "{:?}", incoming);
                if let Incoming::Datagram(received) = incoming {
                    prop_assert!(arrived.min(until) <= received.at && received.at <= ended.min(until));
                }
                found += 1;
                continue;
            };
            prop_assert!(until <= at && ended <= until.after(Duration::from_nanos(2 * each)), "{:?} {:?}", at, ended);
            prop_assert!(expected.get(found).is_none_or(|(arrived, _)| *arrived > until), "missed");
        }
    }
}

#[test]
fn over_a_simulated_network_every_trace_is_the_same_as_without() {
    let (mut answered, mut failed) = (0, 0);
    for seed in (0..50).map(Seed::new) {
        let bare = traced(seed, |end| end);
        let busy = traced(seed, BusyPoll::new);
        assert_eq!(busy, bare, "seed {seed}");
        answered += bare.1.iter().filter(|events| events.last().is_some_and(|(_, end)| *end == Seen::Replied)).count();
        failed += bare.1.len();
    }
    assert!(answered > 500 && answered < failed, "{answered} of {failed}");
}

#[test]
fn over_a_scripted_world_every_event_is_the_same_as_without() {
    let world = eventful;
    let bare = events(world(), 100);
    assert!(bare.concat().len() > 300, "{}", bare.concat().len());
    assert_eq!(events(BusyPoll::new(world()), 100), bare);
}

/// The hash of all that happened, and the timeline of each request.
fn traced<T: Transport<Peer = PathIndex>>(
    seed: Seed,
    wrap: impl Fn(SimTransport) -> T,
) -> (u64, Vec<Vec<(Duration, Seen)>>) {
    let net = SimNet::new(seed);
    let [client, server] = ["10.0.0.1", "10.0.0.2"].map(|host| net.host(host.parse().unwrap()).unwrap());
    let profile = "loss 40%; duplicate 20% late 30ms; delay 20ms ~15ms";
    net.path(client, server, Profile::both(profile.parse().unwrap())).unwrap();
    net.serve("10.0.0.2:1060".parse().unwrap(), echo()).unwrap();
    let end = net.connect(client, "10.0.0.2:1060".parse().unwrap()).unwrap();
    let events = events(wrap(end), 20);
    (net.trace_hash(), events)
}

fn events<T: Transport<Peer = PathIndex>>(transport: T, requests: u32) -> Vec<Vec<(Duration, Seen)>> {
    let builder = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).seed(Seed::new(3));
    let mut requester = builder.over(transport).unwrap();
    let timeline = |n: u32| match requester.request(&n.to_be_bytes()) {
        Ok(reply) => seen(reply.timeline()),
        Err(error) => seen(error.timeline()),
    };
    (0..requests).map(timeline).collect()
}

/// How many waits pass before each one that looks, of this many waits in vain.
fn pauses(transport: &mut BusyPoll<Stage>, waits: u32) -> Vec<u64> {
    let (mut pauses, mut passed) = (Vec::new(), 0);
    for _ in 0..waits {
        let looks = transport.get_ref().looks();
        assert!(matches!(wait(transport, 1_000_000), Incoming::TimeUp(_)));
        match transport.get_ref().looks() - looks {
            0 => passed += 1,
            looks => {
                assert_eq!(looks, 50);
                pauses.push(std::mem::take(&mut passed));
            }
        }
    }
    pauses
}

fn wait(transport: &mut BusyPoll<Stage>, ns: u64) -> Incoming<PathIndex> {
    let now = transport.now();
    transport.recv(&mut [0; 8], now, now.after(Duration::from_nanos(ns)))
}

/// What it was that came.
fn kind_of(incoming: &Incoming<PathIndex>) -> Met {
    match incoming {
        Incoming::Datagram(received) => Met::Datagram(received.actual),
        Incoming::PathError { .. } => Met::Error,
        Incoming::Cancelled => Met::Cancel,
        Incoming::TimeUp(_) => unreachable!("nothing came"),
    }
}

const fn at(ns: u64) -> Timestamp {
    Timestamp::from_nanos(ns)
}

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
