//! Delays follow the law asked for, and overtake each other exactly as asked for.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{DelayLaw, DelayModel, Infeasible, Link, Reorder};
use udp_retry::{Impairments, Probability, Seed};

use crate::delay_laws::{self, Law};
use crate::fates::{
    self, MILLION, SEEDS, arrivals, assert_binomial, assert_law, assert_mean, at, cases, count, ms, ns, only,
    probability,
};
use crate::seeds;

const N: usize = 100_000;
const MS: u64 = 1_000_000;

// The law.

#[test]
fn delays_follow_the_law_asked_for() {
    for seed in SEEDS {
        for law in laws() {
            let sample = delays(DelayModel::new(law.built()).unordered(), seed, N);
            assert_moments(&sample, &law, &format!("{law:?}, seed {seed}"));
            assert_law(sample, |x| law.cdf(x), &format!("{law:?}, seed {seed}"));
        }
    }
}

#[test]
fn correlated_delays_follow_the_law_asked_for() {
    // Those 20 apart correlate by a millionth, and count as independent.
    const APART: usize = 20;
    for (law, seed) in laws().into_iter().skip(1).zip(SEEDS.into_iter().cycle()) {
        let model = DelayModel::new(law.built()).unordered().correlated(Probability::HALF).unwrap();
        let sample: Vec<_> = delays(model, seed, APART * N).into_iter().step_by(APART).collect();
        assert_moments(&sample, &law, &format!("{law:?}, seed {seed}"));
        assert_law(sample, |x| law.cdf(x), &format!("{law:?}, seed {seed}"));
    }
    // From the first one on, over many links.
    for law in laws().into_iter().skip(1) {
        let model = DelayModel::new(law.built()).correlated(probability(0.9)).unwrap();
        let third = |seed| *delays(model.clone(), seed, 3).last().unwrap();
        assert_law((0..20_000).map(third).collect(), |x| law.cdf(x), &format!("{law:?} of third datagrams"));
    }
}

#[test]
fn the_normal_scores_of_neighbours_correlate_by_what_was_asked() {
    // A normal delay far from zero is its score.
    let law = DelayLaw::normal(ms(1000), ms(10)).unwrap();
    for seed in SEEDS {
        for rho in [0.0_f64, 0.25, 0.5, 0.9, 0.99] {
            let model = DelayModel::new(law.clone()).unordered().correlated(probability(rho)).unwrap();
            let scores: Vec<_> = delays(model, seed, MILLION).into_iter().map(|ns| ns as f64 / 1e7 - 100.0).collect();
            for lag in [1, 2, 5] {
                let expected = rho.powi(lag as i32);
                // A thousand blocks, and the product of neighbours within each: both scores have mean 0, variance 1.
                let block = |scores: &[f64]| {
                    scores.iter().zip(&scores[lag..]).map(|(a, b)| a * b).sum::<f64>() / (scores.len() - lag) as f64
                };
                let blocks: Vec<_> = scores.chunks(2000).map(block).collect();
                assert_mean(&blocks, expected, &format!("{rho} at lag {lag}, seed {seed}"));
            }
        }
    }
}

#[test]
fn independent_delays_say_nothing_of_the_next() {
    for seed in SEEDS {
        for law in laws() {
            let sample = delays(DelayModel::new(law.built()).unordered(), seed, N);
            let middle = law.built().mean().as_nanos() as u64;
            let long: Vec<_> = sample.iter().map(|&delay| delay > middle).collect();
            let p = 1.0 - law.cdf(middle as f64);
            if p > 0.0 {
                fates::assert_uncorrelated(&long[1..], &long, p, &format!("{law:?}, seed {seed}"));
            }
        }
    }
}

#[test]
fn what_a_law_says_of_itself_is_exact() {
    for law in laws() {
        let built = law.built();
        let (mean, deviation) = law.moments();
        assert!(near(built.mean(), mean), "{law:?}: {:?}, not {mean}", built.mean());
        assert!(near(built.std_dev(), deviation), "{law:?}: {:?}, not {deviation}", built.std_dev());
        for step in 0..=1000 {
            let x = ns(step * law.longest() / 1000);
            let (said, expected) = (built.cdf(x), law.cdf(x.as_nanos() as f64));
            assert!((said - expected).abs() < 1e-12, "{law:?} at {x:?}: {said}, not {expected}");
        }
    }
    // 10 ms Φ(1) + 10 ms φ(1)
    let clamped = DelayLaw::normal(ms(10), ms(10)).unwrap();
    assert_eq!(clamped.mean(), ns(10_833_155));
    let normal = DelayLaw::normal(Duration::ZERO, ms(1)).unwrap();
    // φ(0), and √(1/2 - φ(0)²)
    assert_eq!((normal.mean(), normal.std_dev(), normal.cdf(ns(0))), (ns(398_942), ns(583_819), 0.5));
}

#[test]
fn small_deviations_of_large_delays_are_not_lost_in_rounding() {
    let day = Duration::from_secs(86_400);
    let far = [
        (DelayLaw::uniform(day, ns(3)).unwrap(), ns(2)),
        (DelayLaw::normal(day, ns(1000)).unwrap(), ns(1000)),
        (DelayLaw::exponential(day, ns(1000)).unwrap(), ns(1000)),
        (DelayLaw::measured(&[day, day + ns(12)]).unwrap(), ns(3)),
        (DelayLaw::measured(&[day, day, day]).unwrap(), ns(0)),
    ];
    for (law, deviation) in far {
        assert_eq!(law.std_dev(), deviation, "{law:?}");
    }
}

#[test]
fn laws_without_spread_are_constants() {
    let constants = [
        DelayLaw::fixed(ms(7)).unwrap(),
        DelayLaw::uniform(ms(7), ms(0)).unwrap(),
        DelayLaw::normal(ms(7), ms(0)).unwrap(),
        DelayLaw::exponential(ms(7), ms(0)).unwrap(),
        DelayLaw::measured(&[ms(7), ms(7)]).unwrap(),
        DelayLaw::measured(&[ms(7); 5]).unwrap(),
    ];
    for law in constants {
        assert_eq!((law.mean(), law.std_dev()), (ms(7), ms(0)), "{law:?}");
        assert_eq!((law.cdf(ms(7) - ns(1)), law.cdf(ms(7)), law.cdf(ms(8))), (0.0, 1.0, 1.0), "{law:?}");
        let plain = DelayModel::new(law.clone());
        let correlated = plain.clone().correlated(Probability::HALF);
        assert_eq!(correlated.is_err(), law == DelayLaw::fixed(ms(7)).unwrap());
        for model in [plain.clone(), plain.unordered()].into_iter().chain(correlated) {
            assert!(delays(model, 1, 1000).into_iter().all(|delay| delay == 7 * MS), "{law:?}");
        }
    }
}

#[test]
fn laws_that_cannot_be_are_refused_with_what_can() {
    let refused = DelayLaw::uniform(ms(5), ms(5) + ns(1));
    assert_eq!(refused, Err(Infeasible::JitterAboveDelay { mean: ms(5), jitter: ms(5) + ns(1) }));
    assert!(DelayLaw::uniform(ms(5), ms(5)).is_ok());
    let most = ns(u64::MAX);
    for law in [
        DelayLaw::fixed(Duration::MAX),
        DelayLaw::uniform(Duration::MAX, Duration::MAX),
        DelayLaw::normal(Duration::MAX, ms(1)),
        DelayLaw::normal(ms(1), Duration::MAX),
        DelayLaw::exponential(ms(1), Duration::MAX),
        DelayLaw::measured(&[ms(1), Duration::MAX]),
    ] {
        assert!(matches!(law, Err(Infeasible::DurationTooLong { duration: Duration::MAX, most: it }) if it == most));
    }
    assert!(DelayLaw::uniform(most, ns(1)).is_err() && DelayLaw::exponential(most, ns(1)).is_err());
    for quantiles in [0, 1, 65_537] {
        let nearest = quantiles.clamp(2, 65_536);
        let refused = DelayLaw::measured(&vec![ms(1); quantiles]);
        assert_eq!(refused, Err(Infeasible::TableLength { quantiles, nearest }));
    }
    let varying = DelayModel::new(DelayLaw::uniform(ms(5), ms(5)).unwrap());
    assert_eq!(varying.correlated(Probability::ONE), Err(Infeasible::CertainCorrelation));
    let constant = DelayModel::new(DelayLaw::fixed(ms(5)).unwrap());
    assert_eq!(constant.clone().correlated(Probability::HALF), Err(Infeasible::CorrelationOfAConstant));
    assert_eq!(constant.clone().correlated(Probability::ZERO), Ok(constant));
    assert_eq!(Reorder::new(Probability::HALF, Duration::ZERO), Err(Infeasible::HoldOfNothing));
    assert_eq!(Reorder::new(Probability::ONE, ms(1)), Err(Infeasible::HoldOfAll));
}

#[test]
fn the_ends_of_a_draw_are_the_ends_of_the_law() {
    let drawn = |law: &DelayLaw, draw| {
        let mut link =
            Link::new(Impairments::NONE.with_delay(DelayModel::new(law.clone())), Seed::new(seeds::delaying(draw)));
        only(&link.transmit(at(0), b"x")).at.as_nanos()
    };
    let uniform = DelayLaw::uniform(ms(50), ms(10)).unwrap();
    assert_eq!((drawn(&uniform, 0), drawn(&uniform, 1 << 63), drawn(&uniform, u64::MAX)), (40 * MS, 50 * MS, 60 * MS));
    let exponential = DelayLaw::exponential(ms(50), ms(10)).unwrap();
    // 10 ms ln 2, and 53 times that.
    let [least, median, longest] = [0, 1 << 63, u64::MAX].map(|draw| drawn(&exponential, draw));
    assert_eq!((least, median, longest), (50 * MS, 56_931_472, 417_368_006));
    let table = DelayLaw::measured(&[ms(3), ms(1), ms(2), ms(5), ms(2)]).unwrap();
    let [least, quarter, median, longest] = [0, 1 << 62, 1 << 63, u64::MAX].map(|draw| drawn(&table, draw));
    assert_eq!((least, quarter, median, longest), (MS, 2 * MS, 2 * MS, 5 * MS));
    // The scores of correlated delays go where the level of the longest rounds to certainty.
    let widest = DelayLaw::uniform(ns(1 << 63), ns((1 << 63) - 1)).unwrap();
    for (law, longest) in [(exponential, 417_368_006), (table, 5 * MS), (uniform, 60 * MS), (widest, u64::MAX)] {
        let model = DelayModel::new(law).correlated(Probability::HALF).unwrap();
        let drawn = |draw| {
            let mut link = Link::new(Impairments::NONE.with_delay(model.clone()), Seed::new(seeds::delaying(draw)));
            only(&link.transmit(at(0), b"x")).at.as_nanos()
        };
        assert_eq!((u64::MAX - 2047..=u64::MAX).map(drawn).max(), Some(longest), "{model:?}");
    }
}

#[test]
fn the_longest_delays_end_at_the_end_of_time() {
    let most = ns(u64::MAX);
    let half = ns(u64::MAX / 2);
    for law in [
        DelayLaw::fixed(most),
        DelayLaw::uniform(half, half),
        DelayLaw::normal(most, most),
        DelayLaw::exponential(half, half),
        DelayLaw::measured(&[Duration::ZERO, most]),
    ] {
        let law = law.unwrap();
        for model in [DelayModel::new(law.clone())].into_iter().chain(DelayModel::new(law).correlated(probability(0.9)))
        {
            let mut link = Link::new(Impairments::NONE.with_delay(model.unordered()), Seed::new(1));
            for now in [0, 1, u64::MAX - 1, u64::MAX].into_iter().cycle().take(10_000) {
                assert!(only(&link.transmit(at(now), b"x")).at >= at(now));
            }
        }
    }
}

// The order.

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn by_default_nobody_overtakes_and_each_waits_only_for_the_one_before(
        law in prop::sample::select(laws()), rho in prop::sample::select(vec![0.0, 0.5, 0.9]), seed: u64,
        gaps in prop::collection::vec(0..30 * MS, 1..100), step_back: bool,
    ) {
        let mut model = DelayModel::new(law.built());
        if !matches!(law, Law::Fixed(_)) {
            model = model.correlated(probability(rho)).unwrap();
        }
        let [mut free, mut ordered] = [model.clone().unordered(), model]
            .map(|model| Link::new(Impairments::NONE.with_delay(model), Seed::new(seed)));
        let (mut now, mut latest) = (1_000_000 * MS, at(0));
        for gap in gaps {
            now = if step_back && gap % 4 == 0 { now - gap } else { now + gap };
            let own = only(&free.transmit(at(now), b"x")).at;
            prop_assert!(own >= at(now));
            latest = latest.max(own);
            prop_assert_eq!(only(&ordered.transmit(at(now), b"x")).at, latest);
        }
    }

    #[test]
    fn a_delay_depends_on_nothing_but_seed_and_number(
        law in prop::sample::select(laws()), seed: u64, times in prop::collection::vec(0..1_u64 << 62, 1..100),
    ) {
        let delays = delays(DelayModel::new(law.built()).unordered(), seed, times.len());
        let model = DelayModel::new(law.built()).unordered();
        let mut link = Link::new(Impairments::NONE.with_delay(model), Seed::new(seed));
        for (now, delay) in times.into_iter().zip(delays) {
            prop_assert_eq!(only(&link.transmit(at(now), &[0; 9][..now as usize % 10])).at, at(now + delay));
        }
    }
}

#[test]
fn jitter_that_may_overtake_does_so_as_often_as_the_law_says() {
    let (spacing, jitter) = (4.0, 10.0);
    let uniform = DelayLaw::uniform(ms(50), ms(10)).unwrap();
    let expected = (2.0 * jitter - spacing) * (2.0 * jitter - spacing) / (8.0 * jitter * jitter);
    assert_eq!(expected, 0.32);
    // Q(D/(σ√2)) for D = 4 ms and σ = 5 ms
    let normal = DelayLaw::normal(ms(50), ms(5)).unwrap();
    for (law, expected) in [(uniform, expected), (normal, 1.0 - delay_laws::standard_normal(0.8 / 2.0_f64.sqrt()))] {
        for seed in SEEDS {
            let impairments = Impairments::NONE.with_delay(DelayModel::new(law.clone()).unordered());
            let arrivals = arrivals(impairments, seed, 4 * MS, MILLION);
            let pairs: Vec<_> = arrivals.chunks(2).map(|pair| pair[1] < pair[0]).collect();
            assert_binomial(count(&pairs), pairs.len(), expected, &format!("inversions of {law:?}, seed {seed}"));
            let own = arrivals.iter().zip(0..).map(|(&at, n)| at - n * 4 * MS);
            let mean = own.sum::<u64>() as f64 / MILLION as f64;
            let sigma = law.std_dev().as_nanos() as f64 / (MILLION as f64).sqrt();
            assert!((mean - 50e6).abs() < 6.0 * sigma, "{law:?} has a mean of {mean} ± {sigma}, seed {seed}");
        }
    }
}

#[test]
fn what_is_held_back_is_held_exactly_so_long_and_as_often_as_asked() {
    for seed in SEEDS {
        for p in [0.0, 0.01, 0.25, 0.9, 1.0 - f64::EPSILON] {
            let reorder = Reorder::new(probability(p), ms(10)).unwrap();
            assert_eq!((reorder.probability(), reorder.by()), (probability(p), ms(10)));
            let delay = DelayModel::new(DelayLaw::fixed(ms(3)).unwrap());
            let impairments = Impairments::NONE.with_reorder(reorder).with_delay(delay);
            let mut link = Link::new(impairments, Seed::new(seed));
            let held: Vec<_> = (0..N as u64)
                .map(|n| match only(&link.transmit(at(n), b"x")).at.as_nanos() - n {
                    13_000_000 => true,
                    3_000_000 => false,
                    other => panic!("{other}"),
                })
                .collect();
            assert_eq!(link.stats().held, count(&held) as u64);
            assert_binomial(count(&held), N, p, &format!("{p}, seed {seed}"));
            if p > 0.0 && p < 0.95 {
                fates::assert_uncorrelated(&held[1..], &held, p, &format!("{p}, seed {seed}"));
            }
        }
    }
}

#[test]
fn holding_back_reorders_the_share_that_is_said() {
    let share = |p, by, spacing| Reorder::new(probability(p), by).unwrap().reordered_share(spacing);
    assert!((share(0.25, ms(10), ms(4)) - 0.25 * (1.0 - 0.0625)).abs() < 1e-12);
    assert_eq!((share(0.25, ms(10), ms(10)), share(0.25, ms(10), ms(11))), (0.0, 0.0));
    assert!(share(1.0 - f64::EPSILON, ms(10), ms(1)) < 1e-14);
    assert_eq!(share(0.5, ns(1), Duration::ZERO), 0.0);
    for seed in SEEDS {
        for (p, by, spacing) in [(0.25, 10, 4), (0.25, 8, 4), (0.5, 10, 3), (0.9, 100, 7), (0.1, 4, 4), (0.3, 9, 4)] {
            let reorder = Reorder::new(probability(p), ms(by)).unwrap();
            let arrivals = arrivals(Impairments::NONE.with_reorder(reorder), seed, spacing * MS, MILLION);
            let reordered = reordered(&arrivals);
            let blocks: Vec<_> = reordered.chunks(1000).map(|block| count(block) as f64 / 1000.0).collect();
            assert_mean(&blocks, share(p, ms(by), ms(spacing)), &format!("{p}, {by}, {spacing}, seed {seed}"));
        }
    }
}

#[test]
fn what_is_held_back_holds_up_nobody() {
    let reorder = Reorder::new(Probability::HALF, ms(10)).unwrap();
    let jitter = DelayModel::new(DelayLaw::uniform(ms(20), ms(20)).unwrap());
    for model in [jitter.clone(), jitter.unordered()] {
        let plain = Impairments::NONE.with_delay(model);
        let without = arrivals(plain.clone(), 5, MS, 10_000);
        let with = arrivals(plain.with_reorder(reorder), 5, MS, 10_000);
        assert!(without.iter().zip(with).all(|(&at, held)| held == at || held == at + 10 * MS));
    }
}

/// Whether each datagram arrives behind one that was sent later (RFC 4737 §3.3), by the order of sending.
fn reordered(arrivals: &[u64]) -> Vec<bool> {
    let mut order: Vec<_> = (0..arrivals.len()).collect();
    // Those that arrive together arrive as they were sent: the sort is stable.
    order.sort_by_key(|&n| arrivals[n]);
    let (mut next_expected, mut reordered) = (0, vec![false; arrivals.len()]);
    for n in order {
        if n >= next_expected {
            next_expected = n + 1;
        } else {
            reordered[n] = true;
        }
    }
    reordered
}

/// The mean and the deviation of a sample.
#[track_caller]
fn assert_moments(sample: &[u64], law: &Law, what: &str) {
    let (mean, deviation) = law.moments();
    if deviation > 0.0 {
        let scores: Vec<_> = sample.iter().map(|&delay| (delay as f64 - mean) / deviation).collect();
        assert_mean(&scores, 0.0, &format!("mean of {what}"));
        let squares: Vec<_> = scores.iter().map(|score| score * score).collect();
        assert_mean(&squares, 1.0, &format!("variance of {what}"));
    }
}

fn delays(model: DelayModel, seed: u64, n: usize) -> Vec<u64> {
    // Far enough apart that nobody waits for the one before.
    const APART: u64 = 1 << 34;
    let mut link = Link::new(Impairments::NONE.with_delay(model), Seed::new(seed));
    (0..n as u64)
        .map(|n| {
            let now = n % (1 << 29) * APART;
            only(&link.transmit(at(now), b"x")).at.as_nanos() - now
        })
        .collect()
}

fn near(said: Duration, expected: f64) -> bool {
    // To the nearest nanosecond, and the millionth that the integration is good for.
    (said.as_nanos() as f64 - expected).abs() <= 0.5 + 1e-6 * expected
}

fn laws() -> Vec<Law> {
    let table = [1, 2, 2, 2, 3, 5, 30, 31].map(|ms| ms * MS);
    vec![
        // The only one that cannot be correlated.
        Law::Fixed(5 * MS),
        Law::Uniform(50 * MS, 10 * MS),
        Law::Uniform(10 * MS, 10 * MS),
        Law::Normal(50 * MS, 10 * MS),
        Law::Normal(10 * MS, 10 * MS),
        Law::Normal(0, 10 * MS),
        Law::Normal(5 * MS, 20 * MS),
        Law::Exponential(0, 20 * MS),
        Law::Exponential(50 * MS, 100 * MS),
        Law::Quantiles(table.to_vec()),
        Law::Quantiles(vec![31 * MS, MS, 2 * MS]),
        Law::Quantiles(vec![0, 0, 0, 40 * MS]),
    ]
}

#[test]
fn a_fixed_delay_is_told_from_the_nanosecond_before_however_long_it_is() {
    for ns in [1, 1 << 53, (1 << 53) + 1, u64::MAX] {
        let law = DelayLaw::fixed(Duration::from_nanos(ns)).unwrap();
        assert_eq!([ns - 1, ns].map(|ns| law.cdf(Duration::from_nanos(ns))), [0.0, 1.0], "{ns}");
    }
}
