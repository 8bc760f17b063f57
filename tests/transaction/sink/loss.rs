//! Loss.

use std::time::Duration;

use udp_retry::fault::DirectionStats;
use udp_retry::transport::{PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{Impairments, LossySink, Probability, Seed};

use super::{always, echo, heard, probability, replies, requests, sent};
use crate::offers::Offers;
use crate::scripted::{Back, Scripted, at_ms, ms, refused};
use crate::waits::Waits;

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
    let mut sink = LossySink::new(echo(), Impairments::loss(Probability::HALF), Seed::new(3));
    let mut sent = Vec::new();
    for n in 0..1000 {
        sink.get_mut().inject(at_ms(0), Back::Datagram(vec![1]));
        for _ in 0..n % 4 {
            let _ = sink.wait(&mut [0; 8], at_ms(0));
        }
        let before = sink.get_ref().left;
        sink.send(PathIndex::FIRST, b"x").unwrap();
        sent.push(sink.get_ref().left == before);
    }
    assert_eq!(sent, alone);
}

#[test]
fn what_is_dropped_on_the_way_out_looks_sent() {
    let mut sink = LossySink::at_client(echo(), requests(always()), Seed::new(1));
    for n in 1..=100 {
        assert_eq!(sink.send(PathIndex::FIRST, b"x"), Ok(()));
        assert_eq!(sink.offer(PathIndex::FIRST, b"x"), Ok(None));
        assert_eq!(
            (sent(&sink).fates.received, sent(&sink).fates.dropped.loss, sent(&sink).fates.delivered),
            (2 * n, 2 * n, 0)
        );
    }
    assert_eq!(sink.get_ref().left, 0);
    assert_eq!(heard(&sink), DirectionStats::default());
}

#[test]
fn what_is_dropped_on_the_way_in_is_never_seen_and_the_wait_goes_on() {
    let mut sink = LossySink::at_client(echo(), replies(always()), Seed::new(1));
    for n in 1..=100 {
        sink.send(PathIndex::FIRST, b"x").unwrap();
        let until = sink.now().after(ms(10));
        assert_eq!(sink.wait(&mut [0; 8], until), Ok(None));
        assert_eq!(sink.now(), until, "the whole wait, as if nothing had come");
        assert_eq!((heard(&sink).fates.received, heard(&sink).fates.dropped.loss), (n, n));
    }
}

#[test]
fn a_perfect_path_changes_nothing() {
    let mut sink = LossySink::new(echo(), Impairments::default(), Seed::new(1));
    sink.send(PathIndex::FIRST, b"ping").unwrap();
    let mut buffer = [0; 3];
    let received = sink.wait(&mut buffer, at_ms(10)).unwrap().unwrap();
    assert_eq!((received.from, received.len, received.actual, received.at), (PathIndex::FIRST, 3, 4, at_ms(1)));
    assert_eq!((&buffer, sink.now()), (b"pin", at_ms(1)));
    assert_eq!(sink.wait(&mut buffer, at_ms(0)), Ok(None));
    assert_eq!(sink.now(), at_ms(1), "a time past waits for nothing");
}

#[test]
fn two_sinks_deliver_the_product_of_their_rates() {
    const N: u64 = 300_000;
    for (seed, outer, inner) in [(0, 0.3, 0.5), (1, 0.5, 0.5), (u64::MAX, 0.1, 0.9)] {
        let near = LossySink::new(echo(), Impairments::loss(probability(inner)), Seed::new(seed));
        let mut sink = LossySink::new(near, Impairments::loss(probability(outer)), Seed::new(seed).derive(1));
        for _ in 0..N {
            sink.send(PathIndex::FIRST, b"x").unwrap();
        }
        let (first, second) = (sent(&sink).fates, sent(sink.get_ref()).fates);
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
    let mut sink = LossySink::new(world, Impairments::loss(Probability::HALF), Seed::new(11));
    let fates = both_directions(0.5, 11, 1000).0;
    let mut news = 0;
    for (n, lost) in (1..).zip(fates) {
        let before = sink.get_ref().left;
        news += u64::from(sink.offer(PathIndex::FIRST, b"x").unwrap() == Some(PathError::Refused));
        assert_eq!(sent(&sink).fates.received, n);
        assert_eq!(sink.get_ref().left == before, lost);
    }
    assert_eq!(news, sent(&sink).fates.delivered - 1, "all but the first that left");
}

#[test]
fn errors_of_the_transport_inside_come_through_and_meet_no_fate() {
    let mut sink = LossySink::new(Scripted::new(|_| vec![refused(ms(1))]), Impairments::NONE, Seed::new(1));
    sink.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(sink.wait(&mut [0; 8], at_ms(10)), Err(PathError::Refused));
    assert_eq!(sink.now(), at_ms(1));
    assert_eq!(heard(&sink), DirectionStats::default());
    sink.get_mut().fail_sends(2, PathError::NoBuffers);
    assert_eq!(sink.offer(PathIndex::FIRST, b"x"), Err(PathError::NoBuffers));
    assert_eq!(sent(&sink).fates.received, 2);
}

#[test]
fn a_flood_that_is_dropped_keeps_nobody_past_his_time() {
    let each = Duration::from_micros(10);
    let mut sink = LossySink::new(Scripted::silent().flooded(each), always(), Seed::new(1));
    for until in [at_ms(50), at_ms(50), at_ms(0), at_ms(70)] {
        let due = sink.now().max(until);
        assert_eq!(sink.wait(&mut [0; 8], until), Ok(None));
        assert!(sink.now() >= until && sink.now() <= due.after(100 * each), "{:?}, not {due:?}", sink.now());
    }
    assert_eq!(heard(&sink).fates.dropped.loss, heard(&sink).fates.received);
}

#[test]
fn a_datagram_that_passes_is_found_behind_those_that_do_not_even_when_the_time_has_come() {
    // Between two that pass there are often hundreds that do not.
    let fates = both_directions(0.99, 2, 10_000).1;
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(0.99)), Seed::new(2));
    for _ in 0..10_000 {
        sink.get_mut().inject(at_ms(5), Back::Datagram(vec![7]));
    }
    let mut found = 0;
    while sink.wait(&mut [0; 8], at_ms(5)).unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, fates.iter().filter(|&&lost| !lost).count());
    assert_eq!(sink.now(), at_ms(5));
}

#[test]
fn a_fresh_port_is_the_inner_transports_business() {
    let mut sink = LossySink::new(echo(), Impairments::NONE, Seed::new(1));
    sink.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(sink.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::FreshPort));
    assert_eq!(sink.get_ref().port(), 1);
    assert_eq!(sink.wait(&mut [0; 8], at_ms(10)), Ok(None), "the reply went to the old port");
    let mut fixed = LossySink::new(echo().not_renewable(), Impairments::NONE, Seed::new(1));
    assert_eq!(fixed.renew(PathIndex::FIRST, Renewal::Required), Err(PathError::Unsupported));
    assert_eq!(fixed.into_inner().port(), 0);
}

/// What a sink loses on the way out, and of as many datagrams on the way in.
fn both_directions(p: f64, seed: u64, datagrams: usize) -> (Vec<bool>, Vec<bool>) {
    let mut sink = LossySink::new(echo(), Impairments::loss(probability(p)), Seed::new(seed));
    let (mut sending, mut receiving) = (Vec::with_capacity(datagrams), Vec::with_capacity(datagrams));
    for _ in 0..datagrams {
        let lost = sent(&sink).fates.dropped.loss;
        sink.send(PathIndex::FIRST, b"x").unwrap();
        sending.push(sent(&sink).fates.dropped.loss > lost);
    }
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(p)), Seed::new(seed));
    for _ in 0..datagrams {
        sink.get_mut().inject(at_ms(0), Back::Datagram(Vec::new()));
        let heard = sink.wait(&mut [0; 8], at_ms(0)).unwrap();
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

const SEEDS: [u64; 3] = [0, 1, u64::MAX];
const MILLION: usize = 1_000_000;

/// Of a correlation over a million pairs.
const SIX_SIGMA: f64 = 0.006;
