//! The injected loss is the loss asked for: in frequency, independence, repeatability and what is reported of it.

use std::time::Duration;

use udp_retry::fault::{DropCause, Fate, Link, LinkStats};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Transport};
use udp_retry::{Impairments, LossySink, Probability, Seed};

use scripted::{Back, Scripted, at_ms, ms, refused, reply};

#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod scripted;

// One link.

#[test]
fn the_observed_loss_is_the_loss_asked_for() {
    for seed in SEEDS {
        for p in PROBABILITIES {
            let fates = fates(p, seed, MILLION);
            let lost = fates.iter().filter(|&&lost| lost).count() as f64;
            let sigma = (MILLION as f64 * p * (1.0 - p)).sqrt();
            let expected = MILLION as f64 * p;
            assert!((lost - expected).abs() < 6.0 * sigma, "{lost} lost, not {expected}, p {p}, seed {seed}");
        }
    }
}

#[test]
fn never_and_always_are_exact() {
    for seed in SEEDS {
        assert!(fates(0.0, seed, MILLION).iter().all(|&lost| !lost));
        assert!(fates(1.0, seed, MILLION).iter().all(|&lost| lost));
    }
}

#[test]
fn a_draw_on_the_boundary_of_a_probability_is_outside_it() {
    for (p, first_outside) in [(Probability::ZERO, 0), (Probability::HALF, 1 << 63), (probability(0.25), 1 << 62)] {
        assert!(!p.happens(first_outside), "{p:?}");
        assert!(first_outside == 0 || p.happens(first_outside - 1), "{p:?}");
    }
    assert!(Probability::ONE.happens(u64::MAX));
}

#[test]
fn one_loss_says_nothing_of_the_next() {
    for seed in SEEDS {
        for p in PROBABILITIES {
            let fates = fates(p, seed, MILLION);
            for lag in [1, 2, 3, 64] {
                let correlation = correlation(&fates[lag..], &fates[..MILLION - lag], p);
                assert!(correlation.abs() < SIX_SIGMA, "lag {lag}: {correlation}, p {p}, seed {seed}");
            }
        }
    }
}

#[test]
fn runs_of_losses_are_as_many_as_chance_makes() {
    for seed in SEEDS {
        for p in [0.1, 0.3, 0.5, 0.9] {
            let fates = fates(p, seed, MILLION);
            let changes = fates.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64;
            let (n, change) = (MILLION as f64 - 1.0, 2.0 * p * (1.0 - p));
            // Neighbouring changes share a fate, so they are correlated unless p is a half.
            let variance = n * (change * (1.0 - change) + 2.0 * (p * (1.0 - p) - change * change));
            assert!((changes - n * change).abs() < 6.0 * variance.sqrt(), "{changes}, p {p}, seed {seed}");
        }
    }
}

#[test]
fn every_datagram_is_counted_once_and_what_is_delivered_arrives_at_once() {
    let mut link = Link::new(Impairments::loss(probability(0.3)), Seed(5));
    assert_eq!(*link.stats(), LinkStats::default());
    let (mut delivered, mut lost) = (0, 0);
    for n in 0..10_000 {
        let now = at_ms(n / 7);
        match link.transmit(now, b"datagram") {
            Fate::Delivered { at, .. } => {
                assert_eq!(at, now);
                delivered += 1;
            }
            Fate::Dropped(cause) => {
                assert_eq!(cause, DropCause::Loss);
                lost += 1;
            }
            fate => panic!("{fate:?}"),
        }
        let stats = *link.stats();
        assert_eq!((stats.received, stats.delivered, stats.lost), (n + 1, delivered, lost));
        assert_eq!(stats.received, stats.delivered + stats.lost);
    }
}

#[test]
fn same_seed_same_fates_and_other_seeds_others() {
    let p = 0.5;
    let all: Vec<_> = [0, 1, 2, 3, 1 << 32, u64::MAX].map(|seed| fates(p, seed, MILLION)).into();
    for (n, one) in all.iter().enumerate() {
        for other in &all[n + 1..] {
            let correlation = correlation(one, other, p);
            assert!(correlation.abs() < SIX_SIGMA, "{correlation}");
        }
    }
    assert_eq!(all[1], fates(p, 1, MILLION));
}

#[test]
fn neither_time_nor_content_nor_a_look_at_the_counters_changes_a_fate() {
    let plain = fates(0.5, 9, 10_000);
    let mut link = Link::new(Impairments::loss(Probability::HALF), Seed(9));
    let observed: Vec<_> = (0..10_000_u64)
        .map(|n| {
            let _ = (link.stats(), link.clone().transmit(at_ms(0), b""));
            matches!(link.transmit(at_ms(n * n), &n.to_be_bytes()[..n as usize % 9]), Fate::Dropped(_))
        })
        .collect();
    assert_eq!(plain, observed);
}

#[test]
fn fates_are_the_same_on_every_platform_and_version() {
    let lost: Vec<_> = (0_u64..).zip(fates(0.3, 7, 40)).filter_map(|(n, lost)| lost.then_some(n)).collect();
    assert_eq!(lost, KNOWN);
}

// A sink.

#[test]
fn the_directions_of_a_sink_share_no_decision() {
    for seed in SEEDS {
        for p in [0.1, 0.5, 0.9] {
            let (sending, receiving) = both_directions(p, seed, MILLION);
            for lag in [0, 1] {
                let correlation = correlation(&sending[lag..], &receiving[..MILLION - lag], p);
                assert!(correlation.abs() < SIX_SIGMA, "{correlation}, p {p}, seed {seed}");
            }
        }
    }
}

#[test]
fn what_one_direction_carries_never_changes_the_other() {
    let (alone, _) = both_directions(0.5, 3, 1000);
    let mut sink = LossySink::new(echo(), Impairments::loss(Probability::HALF), Seed(3));
    let mut sent = Vec::new();
    for n in 0..1000 {
        sink.get_mut().inject(at_ms(0), Back::Datagram(vec![1]));
        for _ in 0..n % 4 {
            let _ = sink.recv_until(&mut [0; 8], at_ms(0));
        }
        let before = sink.get_ref().left;
        sink.send(0, b"x").unwrap();
        sent.push(sink.get_ref().left == before);
    }
    assert_eq!(sent, alone);
}

#[test]
fn what_is_dropped_on_the_way_out_looks_sent() {
    let mut sink = LossySink::with_directions(echo(), always(), Impairments::NONE, Seed(1));
    for n in 1..=100 {
        assert_eq!(sink.send(0, b"x"), Ok(()));
        assert_eq!(sink.send_again(0, b"x"), Ok(None));
        assert_eq!((sink.sending().received, sink.sending().lost, sink.sending().delivered), (2 * n, 2 * n, 0));
    }
    assert_eq!(sink.get_ref().left, 0);
    assert_eq!(*sink.receiving(), LinkStats::default());
}

#[test]
fn what_is_dropped_on_the_way_in_is_never_seen_and_the_wait_goes_on() {
    let mut sink = LossySink::with_directions(echo(), Impairments::NONE, always(), Seed(1));
    for n in 1..=100 {
        sink.send(0, b"x").unwrap();
        let until = sink.now().after(ms(10));
        assert_eq!(sink.recv_until(&mut [0; 8], until), Ok(None));
        assert_eq!(sink.now(), until, "the whole wait, as if nothing had come");
        assert_eq!((sink.receiving().received, sink.receiving().lost), (n, n));
    }
}

#[test]
fn a_perfect_path_changes_nothing() {
    let mut sink = LossySink::new(echo(), Impairments::default(), Seed(1));
    sink.send(0, b"ping").unwrap();
    let mut buffer = [0; 3];
    let received = sink.recv_until(&mut buffer, at_ms(10)).unwrap().unwrap();
    assert_eq!((received.from, received.len, received.actual, received.at), (0, 3, 4, at_ms(1)));
    assert_eq!((&buffer, sink.now()), (b"pin", at_ms(1)));
    assert_eq!(sink.recv_until(&mut buffer, at_ms(0)), Ok(None));
    assert_eq!(sink.now(), at_ms(1), "a time past waits for nothing");
}

#[test]
fn two_sinks_deliver_the_product_of_their_rates() {
    const N: u64 = 300_000;
    for (seed, outer, inner) in [(0, 0.3, 0.5), (1, 0.5, 0.5), (u64::MAX, 0.1, 0.9)] {
        let near = LossySink::new(echo(), Impairments::loss(probability(inner)), Seed(seed));
        let mut sink = LossySink::new(near, Impairments::loss(probability(outer)), Seed(seed).derive(1));
        for _ in 0..N {
            sink.send(0, b"x").unwrap();
        }
        let (first, second) = (*sink.sending(), *sink.get_ref().sending());
        assert_eq!((first.received, second.received), (N, first.delivered));
        assert_eq!(sink.get_ref().get_ref().left, second.delivered);
        let expected = (1.0 - outer) * (1.0 - inner);
        let rate = second.delivered as f64 / N as f64;
        let sigma = (expected * (1.0 - expected) / N as f64).sqrt();
        assert!((rate - expected).abs() < 6.0 * sigma, "{rate}, not {expected}, seed {seed}");
    }
}

#[test]
fn a_send_that_is_repeated_meets_one_fate() {
    // Every send is swallowed once by the refusal of the one before.
    let world = Scripted::new(|_| vec![refused(Duration::ZERO)]);
    let mut sink = LossySink::new(world, Impairments::loss(Probability::HALF), Seed(11));
    let fates = both_directions(0.5, 11, 1000).0;
    let mut news = 0;
    for (n, lost) in (1..).zip(fates) {
        let before = sink.get_ref().left;
        news += u64::from(sink.send_again(0, b"x").unwrap() == Some(PathError::Refused));
        assert_eq!(sink.sending().received, n);
        assert_eq!(sink.get_ref().left == before, lost);
    }
    assert_eq!(news, sink.sending().delivered - 1, "all but the first that left");
}

#[test]
fn errors_of_the_transport_inside_come_through_and_meet_no_fate() {
    let mut sink = LossySink::new(Scripted::new(|_| vec![refused(ms(1))]), Impairments::NONE, Seed(1));
    sink.send(0, b"x").unwrap();
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(10)), Err(PathError::Refused));
    assert_eq!(sink.now(), at_ms(1));
    assert_eq!(*sink.receiving(), LinkStats::default());
    sink.get_mut().fail_sends(2, PathError::NoBuffers);
    assert_eq!(sink.send_again(0, b"x"), Err(PathError::NoBuffers));
    assert_eq!(sink.sending().received, 2);
}

#[test]
fn a_flood_that_is_dropped_keeps_nobody_past_his_time() {
    let each = Duration::from_micros(10);
    let mut sink = LossySink::new(Scripted::silent().flooded(each), always(), Seed(1));
    for until in [at_ms(50), at_ms(50), at_ms(0), at_ms(70)] {
        let due = sink.now().max(until);
        assert_eq!(sink.recv_until(&mut [0; 8], until), Ok(None));
        assert!(sink.now() >= until && sink.now() <= due.after(100 * each), "{:?}, not {due:?}", sink.now());
    }
    assert_eq!(sink.receiving().lost, sink.receiving().received);
}

#[test]
fn a_datagram_that_passes_is_found_behind_those_that_do_not_even_when_the_time_has_come() {
    // Between two that pass there are often hundreds that do not.
    let fates = both_directions(0.99, 2, 10_000).1;
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(0.99)), Seed(2));
    for _ in 0..10_000 {
        sink.get_mut().inject(at_ms(5), Back::Datagram(vec![7]));
    }
    let mut found = 0;
    while sink.recv_until(&mut [0; 8], at_ms(5)).unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, fates.iter().filter(|&&lost| !lost).count());
    assert_eq!(sink.now(), at_ms(5));
}

#[test]
fn a_fresh_port_is_the_inner_transports_business() {
    let mut sink = LossySink::new(echo(), Impairments::NONE, Seed(1));
    sink.send(0, b"x").unwrap();
    assert_eq!(sink.renew(), Ok(()));
    assert_eq!(sink.get_ref().port(), 1);
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(10)), Ok(None), "the reply went to the old port");
    let mut fixed = LossySink::new(echo().not_renewable(), Impairments::NONE, Seed(1));
    assert_eq!(fixed.renew(), Err(PathError::Unsupported));
    assert_eq!(fixed.into_inner().port(), 0);
}

/// What becomes of so many datagrams: `true` is lost.
#[track_caller]
fn fates(p: f64, seed: u64, datagrams: usize) -> Vec<bool> {
    let mut link = Link::new(Impairments::loss(probability(p)), Seed(seed));
    let fates: Vec<_> =
        (0..datagrams).map(|_| matches!(link.transmit(Timestamp::ZERO, b"x"), Fate::Dropped(_))).collect();
    let lost = fates.iter().filter(|&&lost| lost).count() as u64;
    let stats = link.stats();
    assert_eq!((stats.lost, stats.delivered, stats.received), (lost, datagrams as u64 - lost, datagrams as u64));
    fates
}

/// What a sink loses on the way out, and of as many datagrams on the way in.
fn both_directions(p: f64, seed: u64, datagrams: usize) -> (Vec<bool>, Vec<bool>) {
    let mut sink = LossySink::new(echo(), Impairments::loss(probability(p)), Seed(seed));
    let (mut sending, mut receiving) = (Vec::with_capacity(datagrams), Vec::with_capacity(datagrams));
    for _ in 0..datagrams {
        let lost = sink.sending().lost;
        sink.send(0, b"x").unwrap();
        sending.push(sink.sending().lost > lost);
    }
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(p)), Seed(seed));
    for _ in 0..datagrams {
        sink.get_mut().inject(at_ms(0), Back::Datagram(Vec::new()));
        let heard = sink.recv_until(&mut [0; 8], at_ms(0)).unwrap();
        receiving.push(heard.is_none());
    }
    (sending, receiving)
}

/// Between two sequences of decisions that each come out `true` with probability `p`.
fn correlation(one: &[bool], other: &[bool], p: f64) -> f64 {
    let both = one.iter().zip(other).filter(|&(&one, &other)| one && other).count() as f64;
    let (ones, others) = (count(one), count(other));
    let n = one.len() as f64;
    (both - p * (ones + others) + n * p * p) / (n * p * (1.0 - p))
}

fn count(decisions: &[bool]) -> f64 {
    decisions.iter().filter(|&&decision| decision).count() as f64
}

fn echo() -> Scripted {
    let mut echo = Scripted::new(|heard| if heard.ordinal < 1000 { vec![reply(ms(1), heard.payload)] } else { vec![] });
    echo.forgetful = true;
    echo
}

fn always() -> Impairments {
    Impairments::loss(Probability::ONE)
}

fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

const SEEDS: [u64; 3] = [0, 1, u64::MAX];
const PROBABILITIES: [f64; 7] = [0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999];
const MILLION: usize = 1_000_000;
/// Of a correlation over a million pairs.
const SIX_SIGMA: f64 = 0.006;
/// The losses among the first 40 datagrams at 30 % and seed 7, computed apart from this code.
const KNOWN: [u64; 9] = [2, 10, 17, 20, 25, 27, 32, 36, 38];
