//! What the tests of the links share: seeds, samples and the bounds that they are held to.
//!
//! Every bound is one that any seed would pass, but for two runs in a billion: 6 standard deviations, or the
//! inequality of Dvoretzky, Kiefer and Wolfowitz at 10⁻⁹.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{Delivery, DropCause, Fate, Link};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Probability, Seed};

pub(crate) const SEEDS: [u64; 3] = [0, 1, u64::MAX];
pub(crate) const MILLION: usize = 1_000_000;

#[track_caller]
pub(crate) fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

pub(crate) fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// The copies that arrive.
pub(crate) fn copies(fate: &Fate) -> &[Delivery] {
    match fate {
        Fate::Delivered(deliveries) => deliveries.as_slice(),
        _ => &[],
    }
}

/// The only copy that arrives.
#[track_caller]
pub(crate) fn only(fate: &Fate) -> Delivery {
    match copies(fate) {
        [one] => *one,
        _ => panic!("{fate:?}"),
    }
}

/// Which of so many datagrams the loss model takes, where nothing else drops any.
#[track_caller]
pub(crate) fn losses(impairments: Impairments, seed: u64, datagrams: usize) -> Vec<bool> {
    losses_of(&mut Link::new(impairments, Seed::new(seed)), datagrams)
}

#[track_caller]
pub(crate) fn losses_of(link: &mut Link, datagrams: usize) -> Vec<bool> {
    let lost = |fate| match fate {
        Fate::Delivered(_) => false,
        Fate::Dropped(DropCause::Loss) => true,
        fate => panic!("{fate:?}"),
    };
    (0..datagrams).map(|_| lost(link.transmit(Timestamp::ZERO, b"x"))).collect()
}

/// When each of so many datagrams arrives that are sent at equal distances.
#[track_caller]
pub(crate) fn arrivals(impairments: Impairments, seed: u64, spacing: u64, datagrams: usize) -> Vec<u64> {
    let mut link = Link::new(impairments, Seed::new(seed));
    (0..datagrams as u64).map(|n| only(&link.transmit(at(n * spacing), b"x")).at.as_nanos()).collect()
}

pub(crate) fn count(decisions: &[bool]) -> usize {
    decisions.iter().filter(|&&decision| decision).count()
}

/// So many of `n` happened, each with probability `p`, whatever became of the others.
#[track_caller]
pub(crate) fn assert_binomial(happened: usize, n: usize, p: f64, what: &str) {
    assert_inflated(happened, n, p, 1.0, what);
}

/// As `assert_binomial`, where the variance of the count is so many times as large.
#[track_caller]
pub(crate) fn assert_inflated(happened: usize, n: usize, p: f64, inflation: f64, what: &str) {
    let (expected, sigma) = (n as f64 * p, (n as f64 * p * (1.0 - p) * inflation).sqrt());
    // A billionth for what is certain but not exactly computed.
    let off = (happened as f64 - expected).abs();
    assert!(off <= 6.0 * sigma + 1e-9 * expected, "{happened} of {n}, not {expected} ± {sigma}: {what}");
}

/// The mean of blocks that are as good as independent; what their deviation is, they say themselves.
#[track_caller]
pub(crate) fn assert_mean(blocks: &[f64], expected: f64, what: &str) {
    let n = blocks.len() as f64;
    let mean = blocks.iter().sum::<f64>() / n;
    let variance = blocks.iter().map(|block| (block - mean) * (block - mean)).sum::<f64>() / (n - 1.0);
    let sigma = (variance / n).sqrt();
    assert!((mean - expected).abs() <= 6.0 * sigma, "{mean}, not {expected} ± {sigma}: {what}");
}

/// Between two sequences of decisions that each come out `true` with probability `p`: normal, with a deviation of
/// 1/√n, if they are independent.
pub(crate) fn correlation(one: &[bool], other: &[bool], p: f64) -> f64 {
    let both = one.iter().zip(other).filter(|&(&one, &other)| one && other).count() as f64;
    let (ones, others, n) = (count(one) as f64, count(other) as f64, one.len() as f64);
    (both - p * (ones + others) + n * p * p) / (n * p * (1.0 - p))
}

#[track_caller]
pub(crate) fn assert_uncorrelated(one: &[bool], other: &[bool], p: f64, what: &str) {
    let n = one.len().min(other.len());
    let correlation = correlation(&one[..n], &other[..n], p);
    assert!(correlation.abs() < 6.0 / (n as f64).sqrt(), "{correlation} over {n}: {what}");
}

/// A sample of nanoseconds follows the law with this distribution function, jumps included.
#[track_caller]
pub(crate) fn assert_law(mut sample: Vec<u64>, cdf: impl Fn(f64) -> f64, what: &str) {
    sample.sort_unstable();
    let n = sample.len() as f64;
    let mut farthest = (0.0, 0);
    let mut below = 0;
    for ties in sample.chunk_by(|a, b| a == b) {
        let value = ties[0];
        let upto = below + ties.len();
        // What is drawn is rounded to the nearest nanosecond, so whatever is less is at least 1 ns less.
        let left = if value == 0 { 0.0 } else { cdf(value as f64 - 1.0) };
        let distance = (below as f64 / n - left).abs().max((upto as f64 / n - cdf(value as f64)).abs());
        if distance > farthest.0 {
            farthest = (distance, value);
        }
        below = upto;
    }
    let bound = (2e9_f64.ln() / (2.0 * n)).sqrt();
    assert!(farthest.0 <= bound, "{farthest:?} of at most {bound}: {what}");
}

/// Raised by `UDP_RETRY_CASES`.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
