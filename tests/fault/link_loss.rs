//! The injected loss is the loss asked for: in frequency, in independence, in bursts and from the first datagram on.

use proptest::prelude::*;
use udp_retry::fault::{DropCause, Fate, GilbertElliott, Infeasible, Link, LinkStats, LossModel};
use udp_retry::{Impairments, Probability, Seed};

use crate::fates::{
    MILLION, SEEDS, assert_binomial, assert_inflated, assert_mean, assert_uncorrelated, at, cases, count, losses,
    losses_of, only, probability,
};
use crate::markov::Markov;

// Each for itself.

#[test]
fn the_observed_loss_is_the_loss_asked_for() {
    for seed in SEEDS {
        for p in PROBABILITIES {
            assert_binomial(count(&independent(p, seed)), MILLION, p, &format!("p {p}, seed {seed}"));
        }
    }
}

#[test]
fn never_and_always_are_exact() {
    for seed in SEEDS {
        assert_eq!(count(&independent(0.0, seed)), 0);
        assert_eq!(count(&independent(1.0, seed)), MILLION);
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
            let lost = independent(p, seed);
            for lag in [1, 2, 3, 64] {
                assert_uncorrelated(&lost[lag..], &lost, p, &format!("lag {lag}, p {p}, seed {seed}"));
            }
        }
    }
}

#[test]
fn runs_of_losses_are_as_many_as_chance_makes() {
    for seed in SEEDS {
        for p in [0.1, 0.3, 0.5, 0.9] {
            let changes = independent(p, seed).windows(2).filter(|pair| pair[0] != pair[1]).count() as f64;
            let (n, change) = (MILLION as f64 - 1.0, 2.0 * p * (1.0 - p));
            // Neighbouring changes share a fate, so they are correlated unless p is a half.
            let variance = n * (change * (1.0 - change) + 2.0 * (p * (1.0 - p) - change * change));
            assert!((changes - n * change).abs() < 6.0 * variance.sqrt(), "{changes}, p {p}, seed {seed}");
        }
    }
}

#[test]
fn every_datagram_is_counted_once_and_what_is_delivered_arrives_at_once() {
    let mut link = Link::new(Impairments::loss(probability(0.3)), Seed::new(5));
    assert_eq!(*link.stats(), LinkStats::NONE);
    assert_eq!(LinkStats::default(), LinkStats::NONE);
    let (mut delivered, mut lost, mut bursts, mut in_burst) = (0, 0, 0, false);
    for n in 0..10_000 {
        let now = at(n / 7);
        match link.transmit(now, b"datagram") {
            fate @ Fate::Delivered(_) => {
                let copy = only(&fate);
                assert_eq!((copy.at, copy.len, copy.flips.as_slice()), (now, 8, &[][..]));
                delivered += 1;
                in_burst = false;
            }
            fate => {
                assert_eq!(fate, Fate::Dropped(DropCause::Loss));
                lost += 1;
                bursts += u64::from(!in_burst);
                in_burst = true;
            }
        }
        let stats = *link.stats();
        assert_eq!((stats.received, stats.delivered, stats.dropped.loss), (n + 1, delivered, lost));
        assert_eq!((stats.bursts, stats.dropped.total(), stats.duplicates), (bursts, lost, 0));
    }
}

#[test]
fn same_seed_same_fates_and_other_seeds_others() {
    let all = [0, 1, 2, 3, 1 << 32, u64::MAX].map(|seed| independent(0.5, seed));
    for (n, one) in all.iter().enumerate() {
        for other in &all[n + 1..] {
            assert_uncorrelated(one, other, 0.5, "two seeds");
        }
    }
    assert_eq!(all[1], independent(0.5, 1));
}

// In bursts.

#[test]
fn a_chain_loses_what_its_stationary_state_loses() {
    for seed in SEEDS {
        for [p, r, k, h] in CHAINS {
            let (model, oracle) = (chain(p, r, k, h), Markov::new(p, r, k, h));
            let lost = losses_by(model, seed, MILLION);
            let what = format!("{p}, {r}, {k}, {h}, seed {seed}");
            assert_inflated(count(&lost), MILLION, oracle.loss(), oracle.variance_inflation(), &what);
            // Blocks of a thousand datagrams outlast every memory here.
            let ends = |block: &[bool]| block.windows(2).filter(|pair| pair[0] && !pair[1]).count() as f64 / 999.0;
            let ends: Vec<_> = lost.chunks(1000).map(ends).collect();
            assert_mean(&ends, model.stationary_loss() / model.mean_burst(), &what);
        }
    }
}

#[test]
fn a_simple_chain_changes_its_state_as_often_as_it_says() {
    for seed in SEEDS {
        for (p, r) in [(0.01, 0.5), (0.05, 0.2), (0.3, 0.9), (0.5, 0.5), (0.9, 0.95), (1.0, 0.5), (0.001, 1.0)] {
            let lost = losses_by(chain(p, r, 0.0, 1.0), seed, MILLION);
            assert_transitions(&lost, p, 1.0 - r, &format!("{p}, {r}, seed {seed}"));
        }
    }
}

#[test]
fn loss_and_mean_burst_are_those_asked_for() {
    for seed in SEEDS {
        for (loss, burst) in [(0.05, 3.0), (0.05, 1.5), (0.01, 1.0), (0.2, 4.0), (0.5, 1.0), (0.75, 3.0), (0.9, 9.5)] {
            let model = LossModel::bursts(probability(loss), burst).unwrap();
            let what = format!("{loss} in {burst}, seed {seed}");
            assert!((model.stationary_loss() - loss).abs() < 1e-12 && (model.mean_burst() - burst).abs() < 1e-9);
            let mut link = Link::new(Impairments::NONE.with_loss(model), Seed::new(seed));
            let lost = losses_of(&mut link, MILLION);
            assert_inflated(count(&lost), MILLION, loss, model.variance_inflation(), &what);
            assert_transitions(&lost, loss / (1.0 - loss) / burst, 1.0 - 1.0 / burst, &what);
            let runs = link.stats().bursts as f64;
            let (mean, r) = (link.stats().dropped.loss as f64 / runs, 1.0 / burst);
            let sigma = (1.0 - r).sqrt() / (r * runs.sqrt());
            // The run at the end may be cut short.
            assert!((mean - burst).abs() <= 6.0 * sigma + burst / runs, "{mean} ± {sigma}: {what}");
        }
    }
}

#[test]
fn the_first_datagrams_are_lost_as_often_as_all_others() {
    const LINKS: u64 = 50_000;
    for (p, r, k, h) in [(0.05 / 0.95 / 5.0, 0.2, 0.0, 1.0), (0.02, 0.1, 0.0, 1.0), (0.1, 0.1, 0.1, 0.8)] {
        let model = chain(p, r, k, h);
        let fates = |seed| losses_by(model, seed, 20);
        let first_seeds: Vec<_> = (0..LINKS / 2).chain(u64::MAX - LINKS / 2..u64::MAX).map(fates).collect();
        let first = first_seeds.iter().filter(|lost| lost[0]).count();
        let loss = model.stationary_loss();
        assert_binomial(first, LINKS as usize, loss, "first datagrams");
        let shares: Vec<_> = first_seeds.iter().map(|lost| count(lost) as f64 / 20.0).collect();
        assert_mean(&shares, loss, "first 20 datagrams");
    }
}

#[test]
fn bursts_as_short_as_chance_makes_them_are_chance() {
    for seed in SEEDS {
        for loss in [0.05, 0.3, 0.7] {
            let model = LossModel::bursts(probability(loss), 1.0 / (1.0 - loss)).unwrap();
            assert!((model.variance_inflation() - 1.0).abs() < 1e-12);
            let lost = losses_by(model, seed, MILLION);
            assert_uncorrelated(&lost[1..], &lost, loss, &format!("{loss}, seed {seed}"));
            assert_binomial(count(&lost), MILLION, loss, &format!("{loss}, seed {seed}"));
        }
    }
}

#[test]
fn neighbours_correlate_by_what_was_asked_and_the_rate_stays() {
    for seed in SEEDS {
        for (loss, rho) in [(0.01, 0.25), (0.05, 0.25), (0.1, 0.5), (0.2, 0.75), (0.3, 0.9), (0.5, 0.0), (0.05, 0.99)] {
            let chain = GilbertElliott::with_correlation(probability(loss), probability(rho)).unwrap();
            let model = LossModel::GilbertElliott(chain);
            let (lost, what) = (losses_by(model, seed, MILLION), format!("{loss} at {rho}, seed {seed}"));
            assert!((model.stationary_loss() - loss).abs() < 1e-12, "{what}");
            let inflation = (1.0 + rho) / (1.0 - rho);
            assert!((model.variance_inflation() - inflation).abs() < 1e-9 * inflation, "{what}");
            assert_inflated(count(&lost), MILLION, loss, inflation, &what);
            let (again, anew) = assert_transitions(&lost, (1.0 - rho) * loss, rho + (1.0 - rho) * loss, &what);
            let error = |(happened, n): (usize, usize)| {
                let p = happened as f64 / n as f64;
                (p, p * (1.0 - p) / n as f64)
            };
            let ((again, one), (anew, other)) = (error(again), error(anew));
            assert!((again - anew - rho).abs() <= 6.0 * (one + other).sqrt(), "{}: {what}", again - anew);
        }
    }
}

#[test]
fn the_closed_forms_are_those_of_the_literature() {
    let inflation = |p, r, k, h| chain(p, r, k, h).variance_inflation();
    assert!((inflation(0.01, 0.5, 0.0, 1.0) - 2.92).abs() < 0.005);
    assert!((inflation(0.005, 0.2, 0.0, 0.7) - 6.39).abs() < 0.005);
    let simple = chain(0.02, 0.1, 0.0, 1.0);
    assert!((simple.stationary_loss() - 1.0 / 6.0).abs() < 1e-12 && (simple.mean_burst() - 10.0).abs() < 1e-9);
    let gilbert = chain(0.005, 0.2, 0.0, 0.7);
    assert!((gilbert.mean_burst() - 1.0 / (1.0 - 0.8 * 0.7)).abs() < 1e-9);
    let bernoulli = LossModel::Bernoulli(probability(0.3));
    assert!((bernoulli.mean_burst() - 1.0 / 0.7).abs() < 1e-12);
    assert_eq!((bernoulli.stationary_loss(), bernoulli.variance_inflation()), (0.3, 1.0));
    assert_eq!((LossModel::NONE.mean_burst(), LossModel::NONE.stationary_loss()), (0.0, 0.0));
    assert_eq!(LossModel::Bernoulli(Probability::ONE).mean_burst(), f64::INFINITY);
    assert_eq!((chain(0.5, 0.0, 0.0, 1.0).mean_burst(), chain(0.0, 0.5, 0.0, 1.0).mean_burst()), (f64::INFINITY, 0.0));
    assert_eq!(chain(0.1, 0.2, 1.0, 1.0).variance_inflation(), 1.0);
}

#[test]
fn bursts_too_short_for_their_loss_are_refused_with_the_shortest_that_are_not() {
    for loss in [0.0, 1e-9, 0.05, 0.5, 0.6, 0.9, 0.99, 0.999_999] {
        let least = f64::max(1.0, loss / (1.0 - loss));
        let loss = probability(loss);
        let built = GilbertElliott::with_mean_burst(loss, least).unwrap();
        assert!((LossModel::GilbertElliott(built).stationary_loss() - loss.as_f64()).abs() < 1e-12);
        let short = least.next_down();
        let refused = GilbertElliott::with_mean_burst(loss, short);
        assert_eq!(refused, Err(Infeasible::BurstTooShort { loss, mean_burst: short, least }));
        for hopeless in [0.0, -1.0, f64::NEG_INFINITY, f64::NAN] {
            let Err(Infeasible::BurstTooShort { least, .. }) = GilbertElliott::with_mean_burst(loss, hopeless) else {
                panic!("{hopeless}")
            };
            assert!(GilbertElliott::with_mean_burst(loss, least).is_ok());
        }
    }
    let five = probability(0.05);
    let most = 1e9;
    assert!(LossModel::bursts(five, most).is_ok());
    for long in [most.next_up(), f64::INFINITY] {
        assert_eq!(LossModel::bursts(five, long), Err(Infeasible::BurstTooLong { mean_burst: long, most }));
    }
    let certain = LossModel::bursts(Probability::ONE, 3.0);
    assert_eq!(certain, Err(Infeasible::CertainLossInBursts { mean_burst: 3.0 }));
    let frozen = GilbertElliott::with_correlation(five, Probability::ONE);
    assert_eq!(frozen, Err(Infeasible::CertainCorrelation));
    let [never, always] = [Probability::ZERO, Probability::ONE];
    assert_eq!(GilbertElliott::new(never, never, never, always), Err(Infeasible::FrozenChain));
}

#[test]
fn a_chain_that_cannot_leave_a_state_stays_there_from_the_first_datagram_on() {
    for seed in SEEDS {
        assert_eq!(count(&losses_by(chain(0.001, 0.0, 0.0, 1.0), seed, 1000)), 1000);
        assert_eq!(count(&losses_by(chain(0.0, 0.001, 0.0, 1.0), seed, 1000)), 0);
    }
}

#[test]
fn a_chain_with_certain_changes_alternates() {
    for seed in SEEDS {
        let lost = losses_by(chain(1.0, 1.0, 0.0, 1.0), seed, 1000);
        assert!(lost.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_closed_forms_agree_with_the_algebra_of_the_chain(
        p in 0.01..=1.0, r in 0.01..=1.0, k in 0.0..=1.0, h in 0.0..=1.0,
    ) {
        let (model, oracle) = (chain(p, r, k, h), Markov::new(p, r, k, h));
        prop_assert!(close(model.stationary_loss(), oracle.loss()));
        prop_assert!(close(model.mean_burst(), oracle.mean_burst()));
        prop_assert!(close(model.variance_inflation(), oracle.variance_inflation()));
    }
}

// By number.

#[test]
fn every_block_loses_exactly_its_number_at_places_that_are_all_alike() {
    for seed in SEEDS {
        for (drops, of) in [(0, 1), (1, 1), (1, 2), (3, 10), (9, 10), (10, 10), (7, 100)] {
            const BLOCKS: usize = 50_000;
            let model = LossModel::exactly(drops, of).unwrap();
            let lost = losses_by(model, seed, BLOCKS * of as usize);
            assert!(lost.chunks(of as usize).all(|block| count(block) == drops as usize));
            let (rate, what) = (f64::from(drops) / f64::from(of), format!("{drops} of {of}, seed {seed}"));
            assert_eq!((model.stationary_loss(), model.variance_inflation()), (rate, 0.0));
            for place in 0..of as usize {
                let here = lost.chunks(of as usize).filter(|block| block[place]).count();
                assert_binomial(here, BLOCKS, rate, &format!("place {place}: {what}"));
            }
            if (1..of).contains(&drops) {
                let ends = |ten: &[bool]| ten.windows(2).filter(|pair| pair[0] && !pair[1]).count() as f64;
                // Each ten blocks and the datagram behind them.
                let tens: Vec<_> = lost.windows(10 * of as usize + 1).step_by(10 * of as usize).map(ends).collect();
                assert_mean(&tens, 10.0 * f64::from(drops) / model.mean_burst(), &what);
            }
        }
    }
}

#[test]
fn every_set_of_places_in_a_block_is_as_likely_as_any_other() {
    const BLOCKS: usize = 100_000;
    for seed in SEEDS {
        let lost = losses_by(LossModel::exactly(2, 5).unwrap(), seed, 5 * BLOCKS);
        let mut sets = [0; 32];
        for block in lost.chunks(5) {
            sets[block.iter().fold(0, |set, &lost| set << 1 | usize::from(lost))] += 1;
        }
        for (set, &blocks) in sets.iter().enumerate().filter(|(set, _)| set.count_ones() == 2) {
            assert_binomial(blocks, BLOCKS, 0.1, &format!("set {set:05b}, seed {seed}"));
        }
    }
}

#[test]
fn a_block_that_shrinks_keeps_what_it_has_and_the_next_is_exact() {
    let exactly = |drops, of| Impairments::NONE.with_loss(LossModel::exactly(drops, of).unwrap());
    for seed in 0..100 {
        let mut link = Link::new(exactly(50, 100), Seed::new(seed));
        losses_of(&mut link, 30);
        link.reconfigure(exactly(3, 10));
        let rest = losses_of(&mut link, 10);
        assert!(count(&rest) <= 3);
        assert!(losses_of(&mut link, 1000).chunks(10).all(|block| count(block) == 3));
    }
    assert_eq!(LossModel::exactly(0, 0), Err(Infeasible::EmptyBlock));
    assert_eq!(LossModel::exactly(3, 2), Err(Infeasible::MoreThanTheBlock { drops: 3, of: 2 }));
}

#[test]
fn a_pattern_repeats_for_ever() {
    for places in [1, 2, 3, 5, 63, 64] {
        for seed in SEEDS {
            let pattern: Vec<_> = (0..places).map(|place| Seed::new(seed).draw(place) & 1 == 1).collect();
            let model = LossModel::pattern(&pattern).unwrap();
            let lost = losses_by(model, seed, 1000);
            assert!(lost.iter().zip(pattern.iter().cycle()).all(|(lost, expected)| lost == expected));
            assert_eq!(model.stationary_loss(), count(&pattern) as f64 / places as f64);
            let LossModel::Pattern(back) = model else { panic!("{model:?}") };
            assert!(back.iter().eq(pattern));
        }
    }
    let burst = |lost: &[bool]| LossModel::pattern(lost).unwrap().mean_burst();
    let (o, x) = (false, true);
    assert_eq!((burst(&[o]), burst(&[x]), burst(&[x, o])), (0.0, f64::INFINITY, 1.0));
    assert_eq!((burst(&[x, o, x]), burst(&[x, x, o, o, x, o])), (2.0, 1.5));
    for places in [0, 65, 1000] {
        let nearest = places.clamp(1, 64);
        assert_eq!(LossModel::pattern(&vec![o; places]), Err(Infeasible::PatternLength { places, nearest }));
    }
}

/// How often a loss followed a delivery and a loss, and of how many.
#[track_caller]
fn assert_transitions(lost: &[bool], anew: f64, again: f64, what: &str) -> ((usize, usize), (usize, usize)) {
    let after = |before: bool| {
        let next: Vec<_> = lost.windows(2).filter(|pair| pair[0] == before).map(|pair| pair[1]).collect();
        (count(&next), next.len())
    };
    let (after_loss, after_delivery) = (after(true), after(false));
    assert_binomial(after_delivery.0, after_delivery.1, anew, &format!("loss after delivery: {what}"));
    assert_binomial(after_loss.0, after_loss.1, again, &format!("loss after loss: {what}"));
    (after_loss, after_delivery)
}

fn independent(p: f64, seed: u64) -> Vec<bool> {
    losses(Impairments::loss(probability(p)), seed, MILLION)
}

fn losses_by(model: LossModel, seed: u64, datagrams: usize) -> Vec<bool> {
    losses(Impairments::NONE.with_loss(model), seed, datagrams)
}

fn chain(p: f64, r: f64, k: f64, h: f64) -> LossModel {
    let [p, r, k, h] = [p, r, k, h].map(probability);
    LossModel::GilbertElliott(GilbertElliott::new(p, r, k, h).unwrap())
}

fn close(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-3)
}

const PROBABILITIES: [f64; 7] = [0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999];
/// p, r, loss in good, loss in bad.
const CHAINS: [[f64; 4]; 8] = [
    [0.01, 0.5, 0.0, 1.0],
    [0.005, 0.2, 0.0, 0.7],
    [0.02, 0.1, 0.0, 1.0],
    [0.05, 0.2, 0.01, 0.5],
    [0.3, 0.6, 0.1, 0.9],
    [0.2, 0.3, 0.8, 0.1],
    [0.9, 0.8, 0.05, 0.6],
    [0.1, 0.1, 0.25, 0.25],
];
