//! Every delay follows the exact law, whatever the settings.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::{RetryPolicy, Seed};

use super::{assert_compounded_bounds, cases, seed_that_draws};
use crate::exact::{Drawn, ONE, Settings, decimal, fraction, ns, whole};
use crate::generators;
use crate::law;

proptest! {
    #![proptest_config(cases())]

    // P1 to P8, P12, P14
    #[test]
    fn every_delay_follows_the_exact_law(settings in generators::settings(), n in generators::slot(), seed: u64) {
        law::assert_kept(&settings, &settings.build()?, n, seed);
    }

    // P10, P11
    #[test]
    fn exactly_the_settings_that_keep_every_rule_can_be_built(
        valid in generators::settings(), other in generators::settings(), mix: u8,
    ) {
        let settings = mixed(valid, other, mix);
        prop_assert_eq!(settings.build().is_ok(), settings.keep_every_rule());
    }

    // P5, P7
    #[test]
    fn doubling_is_exact_to_the_nanosecond_until_the_cap(plain in generators::plain(), n in generators::slot()) {
        let backoff = Settings { multiplier: 2 * ONE, ..plain }.build()?;
        let doubled = if n < 64 { u128::from(plain.initial) << n } else { u128::MAX };
        prop_assert_eq!(u128::from(ns(backoff.interval(n))), doubled.min(plain.max.into()));
    }

    // P7
    #[test]
    fn a_multiplier_of_one_never_drifts(plain in generators::plain(), n in generators::slot(), seed: u64) {
        let backoff = Settings { multiplier: ONE, ..plain }.build()?;
        prop_assert_eq!(ns(backoff.interval(n)), plain.initial);
        prop_assert_eq!(ns(backoff.delay(n, Seed::new(seed))), plain.initial);
    }

    // P8
    #[test]
    fn growth_never_stalls_below_the_cap(settings in generators::settings()) {
        let backoff = settings.build()?;
        if let Some(n) = law::saturation(&settings) {
            prop_assert_eq!(whole(ns(backoff.interval(n))), settings.cap().floor());
            prop_assert_eq!(backoff.interval(u32::MAX), backoff.interval(n));
        }
    }

    // P2: the width is the same share of the whole at the cap as below it.
    #[test]
    fn jitter_spreads_as_widely_at_the_cap_as_below_it(
        settings in generators::memoryless(), n in generators::slot(),
    ) {
        let settings = Settings { floor: 1, plus_minus: 0, ..settings };
        let backoff = settings.build()?;
        for n in [n, u32::MAX] {
            let (lo, hi) = backoff.bounds(n);
            let (nominal, width) = (whole(ns(backoff.interval(n))), whole(ns(hi - lo)));
            let expected = nominal * fraction(settings.hi - settings.lo);
            // Both ends are rounded inwards; a floor of one nanosecond bites where lo is 0.
            prop_assert!(width <= expected && expected <= width + whole(3), "{} to {} ns", ns(lo), ns(hi));
        }
    }

    // P2, P20: the draws that give the ends exist, and they give exactly the ends.
    #[test]
    fn both_ends_of_the_bounds_are_attained(settings in generators::memoryless(), n in generators::slot()) {
        let backoff = settings.build()?;
        let slot = if settings.drawn == Drawn::Once { 0 } else { n };
        let (lo, hi) = backoff.bounds(n);
        prop_assert_eq!(backoff.delay(n, Seed::new(seed_that_draws(0, slot))), lo);
        prop_assert_eq!(backoff.delay(n, Seed::new(seed_that_draws(u64::MAX, slot))), hi);
    }

    // P3
    #[test]
    fn upward_jitter_never_waits_less_than_the_initial_interval(
        plain in generators::plain(), n in generators::slot(), seed: u64, width in 0..=ONE,
    ) {
        let (initial, hi) = (plain.initial / 2 + 1, ONE + width);
        let settings = Settings { initial, floor: 1, hi, ..plain };
        prop_assume!(settings.keep_every_rule());
        prop_assert!(ns(settings.build()?.delay(n, Seed::new(seed))) >= initial);
    }

    // P9
    #[test]
    fn scaled_settings_give_scaled_delays(
        settings in generators::memoryless(), n in generators::slot(), seed: u64, digits in 0..=9_u32,
    ) {
        let scale = 10_u64.pow(digits);
        let max = settings.max / scale;
        let initial = (settings.initial / scale).max(1);
        let small = Settings { initial, max, floor: 1, plus_minus: settings.plus_minus / scale, ..settings };
        prop_assume!(small.keep_every_rule() && (settings.plus_minus == 0 || small.plus_minus > 0));
        let large = Settings {
            initial: initial * scale, max: max * scale, plus_minus: small.plus_minus * scale, ..small
        };
        prop_assume!(large.keep_every_rule());
        // Factors far below one stretch the cap past 584 years, which nothing scales beyond.
        prop_assume!(small.boundless_cap() == small.cap() && large.boundless_cap() == large.cap());
        let (small_delay, large_delay) = (small.build()?.delay(n, Seed::new(seed)), large.build()?.delay(n, Seed::new(seed)));
        let off = whole(ns(large_delay.abs_diff(small_delay * scale as u32)));
        // One unit for the cap, one for each end and for the draw, and the slack of intervals that are rounded.
        let unit = whole(scale) * (whole(2) + (small.slack(n) + whole(1)) * fraction(small.hi.max(ONE)));
        let finer = large.slack(n) * fraction(small.hi.max(ONE)) + whole(3);
        prop_assert!(off <= unit + finer, "{:?} and {:?}", small_delay, large_delay);
    }

    // P12
    #[test]
    fn the_slightest_jitter_works_and_none_is_none(plain in generators::plain(), n in generators::slot(), seed: u64) {
        let none = Settings { max: u64::MAX, initial: plain.initial / 2 + 1, floor: 1, ..plain };
        let backoff = none.build()?;
        prop_assert_eq!(backoff.delay(n, Seed::new(seed)), backoff.interval(n));
        let slight = Settings { hi: ONE + 1, ..none };
        law::assert_kept(&slight, &slight.build()?, n, seed);
    }

    // P2: whatever is drawn, and nothing that cannot be.
    #[test]
    fn compounding_bounds_are_the_ends_of_the_exact_law(settings in generators::settings(), n in 0..=12_u32) {
        if settings.drawn == Drawn::Compounding {
            assert_compounded_bounds(&settings, n);
        }
    }

    // Greater draws never give shorter delays.
    #[test]
    fn a_delay_grows_with_its_draw(settings in generators::memoryless(), n in generators::slot(), seeds: [u64; 8]) {
        let backoff = settings.build()?;
        let slot = if settings.drawn == Drawn::Once { 0 } else { n };
        let mut by_draw = seeds.map(|seed| (Seed::new(seed).draw(slot.into()), backoff.delay(n, Seed::new(seed))));
        by_draw.sort_unstable_by_key(|&(draw, _)| draw);
        prop_assert!(by_draw.is_sorted_by_key(|&(_, delay)| delay), "{:?}", by_draw);
    }

    // A larger maximum or multiplier never sends earlier. Compounding is exempt: RFC 9915 §15 draws anew at its cap.
    #[test]
    fn raising_the_maximum_or_the_multiplier_never_shortens_a_delay(
        settings in generators::memoryless(), n in generators::slot(), seed: u64, more: u64, faster in 0..ONE,
    ) {
        let delay = settings.build()?.delay(n, Seed::new(seed));
        let raised = Settings { max: settings.max.saturating_add(more), ..settings };
        prop_assert!(raised.build()?.delay(n, Seed::new(seed)) >= delay);
        let faster = Settings { multiplier: (settings.multiplier + faster).min(ONE * ONE), ..settings };
        prop_assert!(faster.build()?.delay(n, Seed::new(seed)) + Duration::from_nanos(1) >= delay);
    }

    // The setters may come in any order.
    #[test]
    fn the_order_of_the_settings_does_not_matter(settings in generators::settings()) {
        let built = settings.build()?;
        let plain = Settings { floor: 1, lo: ONE, hi: ONE, plus_minus: 0, drawn: Drawn::Each, ..settings }.build()?;
        let last = plain.with_floor(Duration::from_nanos(settings.floor))?.with_jitter(settings.jitter()?)?;
        prop_assert_eq!(last, built);
        if let Ok(doubling) = (Settings { multiplier: 2 * ONE, ..settings }).build() {
            prop_assert_eq!(doubling.with_multiplier(decimal(settings.multiplier))?, built);
        }
        prop_assert_eq!(built.with_jitter(Jitter::NONE)?.with_jitter(built.jitter())?, built);
    }

    // An initial interval from outside, such as a measured timeout, is moved to the nearest one that breaks no rule.
    #[test]
    fn starting_at_another_interval_keeps_the_law(
        settings in generators::settings(), initial in generators::span(), n in generators::slot(), seed: u64,
    ) {
        let policy = RetryPolicy::new(settings.build()?).starting_at(Duration::from_nanos(initial));
        let highest = u64::try_from(settings.cap().to_integer()).unwrap().min(settings.max);
        let moved = Settings { initial: initial.min(highest).max(settings.floor), ..settings };
        prop_assert_eq!(policy.backoff(), &moved.build()?);
        law::assert_kept(&moved, policy.backoff(), n, seed);
    }

    // What was set can be asked for, and builds the same value again.
    #[test]
    fn a_backoff_tells_its_settings(settings in generators::settings()) {
        let built = settings.build()?;
        let told = [built.initial(), built.max(), built.floor()];
        prop_assert_eq!(told.map(ns), [settings.initial, settings.max, settings.floor]);
        prop_assert_eq!(built.multiplier(), decimal(settings.multiplier));
        let rebuilt = Backoff::exponential(built.initial(), built.max())?
            .with_multiplier(built.multiplier())?
            .with_jitter(built.jitter())?
            .with_floor(built.floor())?;
        prop_assert_eq!(rebuilt, built);
    }

}

// P4, P27: every product of extremes; the profile checks for overflow. A loop over user input would never end.
#[test]
fn extremes_neither_panic_nor_spin() {
    let spans = [1, 2, ONE, 1 << 63, u64::MAX - 1, u64::MAX];
    let factors = [0, 1, ONE - 1, ONE, ONE + 1, 2 * ONE, 1_000 * ONE, ONE * ONE];
    let multipliers = [ONE, ONE + 1, ONE / 10 * 11, 2 * ONE, ONE * ONE];
    let slots = [0, 1, 15, 16, 17, 63, 64, 65, 200, 10_000, 1 << 31, u32::MAX];
    let mut built = 0;
    for (initial, max) in pairs(&spans) {
        for ((lo, hi), multiplier) in pairs(&factors).flat_map(|pair| multipliers.map(|multiplier| (pair, multiplier)))
        {
            for drawn in [Drawn::Each, Drawn::Once, Drawn::Compounding] {
                let settings = Settings { multiplier, lo, hi, drawn, ..Settings::new(initial, max) };
                let backoff = settings.build();
                assert_eq!(backoff.is_ok(), settings.keep_every_rule(), "{settings:?}");
                let Ok(backoff) = backoff else { continue };
                built += 1;
                for (n, seed) in slots.into_iter().flat_map(|n| [0, 1, u64::MAX].map(|seed| (n, seed))) {
                    let ((shortest, longest), delay) = (backoff.bounds(n), backoff.delay(n, Seed::new(seed)));
                    assert!(shortest <= delay && delay <= longest, "{settings:?}, slot {n}");
                    assert!((1..=max).contains(&ns(delay)), "{settings:?}, slot {n}");
                }
            }
        }
    }
    assert!(built > 500, "only {built} of them could be built");
}

/// Settings of which some come from another draw, so that they may contradict each other.
fn mixed(valid: Settings, other: Settings, mix: u8) -> Settings {
    let pick = |bit: u32| mix >> bit & 1 == 1;
    let jitter = if pick(0) { other } else { valid };
    let Settings { lo, hi, plus_minus, drawn, .. } = jitter;
    let (lo, hi) = if pick(1) { (hi, lo) } else { (lo, hi) };
    let multiplier = match mix >> 5 {
        0 => other.multiplier - ONE,
        1..4 => other.multiplier,
        _ => valid.multiplier,
    };
    Settings {
        initial: if pick(2) { other.initial } else { valid.initial },
        max: if pick(3) { other.max } else { valid.max },
        floor: if pick(4) { other.floor } else { valid.floor },
        multiplier,
        lo,
        hi,
        plus_minus,
        drawn,
    }
}

fn pairs<T: Copy>(values: &[T]) -> impl Iterator<Item = (T, T)> {
    values.iter().flat_map(|&a| values.iter().map(move |&b| (a, b)))
}

/// The factor that takes the one first interval to the cap has more digits than a factor that is set.
#[test]
fn the_least_interval_at_the_cap_is_exact_to_the_nanosecond() {
    for (max, multiplier, lo, hi) in
        [(92_100_000_000, 1_642_673_307, 841_959_201, ONE), (94_306_105_840, 1_640_945_233, 842_584_862, 1_025_101_764)]
    {
        let (initial, floor, plus_minus) = (60 * ONE, 60 * ONE, 0);
        let settings = Settings { initial, max, multiplier, floor, lo, hi, plus_minus, drawn: Drawn::Compounding };
        assert_compounded_bounds(&settings, 1);
    }
}
