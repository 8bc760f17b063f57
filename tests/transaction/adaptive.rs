//! A requester that measures its path: each first wait is the one that RFC 6298 calls for, to the nanosecond.

use std::time::Duration;

use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::requester::Builder;
use udp_retry::transaction::{Hold, Match, matching};
use udp_retry::transport::{PathError, Transport};
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed, transaction_id};

use crate::scripted::{self, Back, Scripted, at_ms, ms, reply};

#[test]
fn round_trips_set_the_first_wait_of_the_next_request() {
    // By hand: srtt and rttvar, and from them srtt + 4·rttvar.
    for (initial, round_trips, wait) in [
        (200, &[][..], 200.0),
        (200, &[100], 300.0),                   // 100, 50
        (200, &[100, 100], 250.0),              // 100, 37.5
        (400, &[100, 200], 362.5),              // 112.5, 62.5
        (400, &[100, 200, 60], 345.9375),       // 105.9375, 60
        (200, &[16], 50.0),                     // 48 is below the floor
        (2000, &[1900], 2000.0),                // 5700 is above the policy's longest
        (2000, &[40, 40, 40, 40, 40], 65.3125), // 40, 6.328125
    ] {
        let wait = Duration::from_nanos((wait * 1e6) as u64);
        let mut requester = measuring(initial).over(after(round_trips)).unwrap();
        for n in 0..round_trips.len() {
            assert_eq!(requester.request(&id(n)).unwrap().transmissions(), 1);
        }
        let error = requester.request(SILENCE).unwrap_err();
        // The rest of the policy stays: it doubles up to 2 s.
        let mut due = vec![Duration::ZERO];
        for n in 0..4 {
            due.push(due[n] + (wait * (1 << n)).min(ms(2000)));
        }
        assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), due, "after {round_trips:?}");
        assert_eq!(error.elapsed(), due[4] + (wait * 16).min(ms(2000)));
    }
}

#[test]
fn a_path_without_variation_is_still_given_a_millisecond() {
    let estimator = RttEstimator::new(ms(200), ms(1), ms(60_000)).unwrap();
    let mut requester = builder().estimator(estimator).over(Scripted::new(answering)).unwrap();
    for n in 0..60 {
        requester.request(&id(n)).unwrap();
    }
    assert_eq!(first_wait(&mut requester), ms(101));
}

#[test]
fn a_timeout_doubles_the_wait_until_a_clean_round_trip() {
    // Every first transmission is lost until 3 requests are over; the replies to second ones prove nothing.
    let world = Scripted::new(|heard| match heard.ordinal {
        0 | 2 | 4 => vec![],
        _ => answering(heard),
    });
    let mut requester = measuring(200).over(world).unwrap();
    for (n, wait) in [200, 400, 800].into_iter().enumerate() {
        let reply = requester.request(&id(n)).unwrap();
        assert_eq!((reply.elapsed(), reply.round_trip()), (ms(wait + 100), None));
    }
    assert_eq!(requester.estimator().unwrap().srtt(requester.transport().now()), None);
    // 1600 ms would have been waited now.
    assert_eq!(requester.request(&id(3)).unwrap().round_trip(), Some(ms(100)));
    assert_eq!(first_wait(&mut requester), ms(300));
}

#[test]
fn a_request_with_an_id_for_each_transmission_is_a_clean_sample_whichever_was_answered() {
    // The second one is answered after 100 ms; or the first one after 250, when the second is on its way.
    for (answered, takes, sample, wait) in [(1, 100, 100, 300), (0, 250, 250, 750)] {
        let world = Scripted::new(move |heard| match heard.payload {
            b"silence" => vec![],
            _ if heard.ordinal == answered => vec![reply(ms(takes), heard.payload)],
            _ => vec![],
        });
        let mut requester = measuring(200).over(world).unwrap();
        let reply =
            requester.request_with(|it, bytes| bytes.extend_from_slice(&it.transmission.to_be_bytes())).unwrap();
        assert_eq!((reply.transmissions(), reply.round_trip()), (2, Some(ms(sample))));
        assert_eq!(first_wait(&mut requester), ms(wait));
    }
}

#[test]
fn every_wait_that_ends_in_vain_counts_once_also_the_last() {
    // What is waited for last is what is doubled: 200, 400, 800, 1600, 2000 (the policy's longest).
    for (transmissions, rto) in [(1, 400), (2, 800), (3, 1600), (4, 3200), (5, 4000)] {
        let policy = RetryPolicy::LAN.with_max_transmissions(transmissions).unwrap();
        assert_eq!(rto_after_silence(measuring(200).policy(policy)), ms(rto));
        // Also where the budget lets nothing but the first one leave.
        let empty = RetryBudget::new(0.0, 0, 0).unwrap();
        assert_eq!(rto_after_silence(measuring(200).policy(policy).budget(&empty)), ms(rto));
    }
    // The next request starts with the longest wait of its policy, not with more.
    let mut requester = measuring(200).over(Scripted::silent()).unwrap();
    requester.request(SILENCE).unwrap_err();
    assert_eq!(first_wait(&mut requester), ms(2000));
}

#[test]
fn a_wait_that_the_deadline_cut_short_proves_nothing() {
    // One transmission waits as long as the estimator says; of more, three must fit before the deadline, so the last of
    // these begins with the 100 ms of its policy, which end, and the 200 ms behind them are cut short.
    for (transmissions, deadline, rto) in [(1, 199, 200), (1, 201, 400), (5, 2500, 1600), (5, 201, 200)] {
        let policy = RetryPolicy::LAN.with_max_transmissions(transmissions).unwrap();
        let measuring = |at| measuring(at).policy(policy);
        assert_eq!(rto_after_silence(measuring(200).deadline(ms(deadline))), ms(rto), "within {deadline} ms");
        let policy = policy.with_deadline(ms(deadline)).unwrap();
        assert_eq!(rto_after_silence(measuring(200).policy(policy)), ms(rto), "within {deadline} ms");
        let empty = RetryBudget::new(0.0, 0, 0).unwrap();
        assert_eq!(rto_after_silence(measuring(200).deadline(ms(deadline)).budget(&empty)), ms(rto));
    }
}

#[test]
fn waits_that_nothing_was_sent_before_prove_nothing() {
    let mut broken = Scripted::silent();
    broken.fail_sends(u32::MAX, PathError::NoBuffers);
    let mut requester = measuring(200).over(broken).unwrap();
    assert_eq!(requester.request(SILENCE).unwrap_err().transmissions(), 0);
    assert_eq!(rto(&requester), ms(200));
    assert!(measuring(200).over(Scripted::silent().with_limit(1)).unwrap().request(SILENCE).is_err());
    assert_eq!(rto(&requester), ms(200));
    // The second slot is the first transmission.
    let mut late = Scripted::new(answering);
    late.fail_sends(2, PathError::NoBuffers);
    let mut requester = measuring(200).over(late).unwrap();
    let reply = requester.request(&id(0)).unwrap();
    assert_eq!((reply.elapsed(), reply.round_trip()), (ms(300), Some(ms(100))));
    assert_eq!(rto(&requester), ms(300));
}

#[test]
fn a_peer_that_said_it_works_on_it_is_not_timed_out() {
    for (hold, after) in [(Hold::Slow, 50), (Hold::Stop, 50), (Hold::Slow, 250), (Hold::Stop, 250)] {
        let matcher = matching(move |_, datagram| match datagram {
            b"soon" => Match::Provisional(hold),
            _ => Match::Foreign,
        });
        let world = Scripted::new(move |heard| match heard.ordinal {
            0 => vec![reply(ms(after), b"soon")],
            _ => vec![],
        });
        let estimator = RttEstimator::new(ms(200), ms(50), ms(60_000)).unwrap();
        let builder = ReliableRequester::builder(matcher).policy(RetryPolicy::LAN).estimator(estimator);
        let mut requester = builder.over(world).unwrap();
        requester.request(SILENCE).unwrap_err();
        // One wait was over before it said so; or what it said was the round trip: 50, 25.
        assert_eq!(rto(&requester), if after > 200 { ms(400) } else { ms(150) }, "{hold:?} after {after} ms");
    }
}

#[test]
fn strays_and_jitter_are_no_measurement() {
    let mut world = Scripted::silent();
    for n in 1..50 {
        world.inject(at_ms(n * 10), Back::Datagram(b"junk".to_vec()));
    }
    let policy = RetryPolicy::default().with_max_transmissions(1).unwrap();
    let mut requester =
        builder().policy(policy).estimator(RttEstimator::default()).seed(Seed::new(3)).over(world).unwrap();
    let error = requester.request(SILENCE).unwrap_err();
    assert!(error.elapsed() > ms(1000), "no jitter: {:?}", error.elapsed());
    assert_eq!(rto(&requester), ms(2000), "of the wait without its jitter");
}

#[test]
fn the_policys_own_floor_and_maximum_hold_whatever_is_measured() {
    let backoff = Backoff::exponential(ms(500), ms(800)).unwrap().with_floor(ms(400)).unwrap();
    let bounded = |initial| measuring(initial).policy(RetryPolicy::new(backoff));
    assert_eq!(first_wait(&mut bounded(200).over(Scripted::silent()).unwrap()), ms(400));
    assert_eq!(first_wait(&mut bounded(600).over(Scripted::silent()).unwrap()), ms(600));
    assert_eq!(first_wait(&mut bounded(900).over(Scripted::silent()).unwrap()), ms(800));
}

#[test]
fn a_slow_path_is_sent_one_request_twice_and_then_none() {
    let slow = || Scripted::echo(ms(150));
    let count = |requester: &mut ReliableRequester<Scripted>| -> Vec<u32> {
        (0..20).map(|n| requester.request(&id(n)).unwrap().transmissions()).collect()
    };
    let estimator = RttEstimator::new(ms(100), ms(100), ms(60_000)).unwrap();
    let mut measuring = builder().estimator(estimator).over(slow()).unwrap();
    let transmissions = count(&mut measuring);
    assert_eq!((transmissions[0], &transmissions[1..]), (2, &[1; 19][..]));
    assert_eq!(measuring.transport().left, 21);
    assert_eq!(count(&mut builder().over(slow()).unwrap()), [2; 20], "without it, every one");
}

#[test]
fn without_an_estimator_nothing_is_measured() {
    let mut requester = builder().over(Scripted::new(answering)).unwrap();
    for n in 0..5 {
        requester.request(&id(n)).unwrap();
    }
    assert!(requester.estimator().is_none());
    let error = requester.request(SILENCE).unwrap_err();
    assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 100, 300, 700, 1500].map(ms));
    assert_eq!(first_wait(&mut requester), ms(100));
}

/// Starts at so many milliseconds, with a floor of 50.
fn measuring(initial: u64) -> Builder {
    builder().estimator(RttEstimator::new(ms(initial), ms(50), ms(60_000)).unwrap())
}

fn builder() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN)
}

/// Answers request number n after round trip number n.
fn after(round_trips: &'static [u64]) -> Scripted {
    Scripted::new(move |heard| match heard.payload {
        SILENCE => vec![],
        _ => vec![reply(ms(round_trips[heard.ordinal as usize]), heard.payload)],
    })
}

/// Within 100 ms.
fn answering(heard: scripted::Heard<'_>) -> Vec<scripted::Answer> {
    if heard.payload == SILENCE { vec![] } else { vec![reply(ms(100), heard.payload)] }
}

fn rto_after_silence(builder: Builder) -> Duration {
    let mut requester = builder.over(Scripted::silent()).unwrap();
    requester.request(SILENCE).unwrap_err();
    rto(&requester)
}

fn rto(requester: &ReliableRequester<Scripted>) -> Duration {
    requester.estimator().unwrap().rto(requester.transport().now())
}

fn first_wait(requester: &mut ReliableRequester<Scripted>) -> Duration {
    requester.request(SILENCE).unwrap_err().timeline().transmissions().nth(1).unwrap()
}

fn id(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_be_bytes()
}

/// Is not answered.
const SILENCE: &[u8] = b"silence";
