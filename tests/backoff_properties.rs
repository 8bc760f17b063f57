//! Backoff timing against an exact model, a virtual clock and the laws that the documentation states.
//!
//! The numbers P1 to P30 name the classes of bugs that retry libraries have had. Covered here: P1 to P16, P18 to
//! P20, P25, P27 to P29; what cannot be built (P10, P11) also in `policy_construction.rs`. Not here:
//!
//! - P17, server hints: nothing takes a hint.
//! - P21 to P24, budgets: `budget.rs`.
//! - P26, backoff kept or reset by round-trip samples: `estimator.rs`.
//! - P30, vacuous tests: checked by planting mutants, not by a test.
//!
//! `UDP_RETRY_CASES` sets the cases of each random property; the default is 10,000. A failure prints the smallest
//! failing input, and proptest keeps its seed beside this file.

#[path = "common/exact.rs"]
mod exact;
#[path = "common/generators.rs"]
mod generators;
#[path = "common/law.rs"]
mod law;
#[path = "common/statistics.rs"]
mod statistics;

use std::time::Duration;

use exact::{Drawn, ONE, Settings, decimal, fraction, ns, whole};
use proptest::prelude::*;
use udp_retry::net::system_seed;
use udp_retry::policy::{Backoff, Jitter, LastWait};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, RetryTimer};
use udp_retry::{RetryPolicy, Seed};

const MS: u64 = 1_000_000;

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

    // P13, P15, P16
    #[test]
    fn an_unanswered_request_sends_what_fits_and_ends_on_time(
        plan in plans(), seed: u64, start in 0..1_u64 << 62,
    ) {
        let run = drive(&plan.policy()?, start, seed, |_| 0);
        let expected = plan.naive(start, seed)?;
        prop_assert_eq!(run, expected);
    }

    // P15, P16: operations take time, and the deadline holds all the same.
    #[test]
    fn slow_operations_never_send_or_wait_past_the_deadline(
        plan in plans(), seed: u64, start in 0..1_u64 << 62, pace in 0..4_u64, chaos: u64,
    ) {
        let policy = plan.policy()?;
        let unit = ns(policy.backoff().initial()).saturating_mul(pace);
        let lag = |operation| if unit == 0 { 0 } else { Seed::new(chaos).draw(operation) % unit };
        let run = drive(&policy, start, seed, lag);
        prop_assert!(run.sends.len() as u64 <= policy.max_transmissions().into());
        if let Some(deadline) = policy.deadline() {
            let end = (start + start_delay(&policy, seed)).saturating_add(ns(deadline));
            prop_assert!(run.sends.iter().all(|&at| at < end), "sent at or after the deadline: {:?}", run);
            prop_assert!(run.longest_wait <= end, "would wait past the deadline: {:?}", run);
            prop_assert!(run.why != GiveUp::Deadline || run.end >= end, "gave up early: {:?}", run);
        }
    }

    // P13: raising the count only appends.
    #[test]
    fn more_transmissions_never_send_fewer_or_other_ones(plan in plans(), seed: u64, more in 1..8_u32) {
        let few = drive(&plan.policy()?, 0, seed, |_| 0);
        let many = drive(&Plan { transmissions: plan.transmissions + more, ..plan }.policy()?, 0, seed, |_| 0);
        prop_assert_eq!(&many.sends[..few.sends.len()], &few.sends[..]);
    }

    // P25
    #[test]
    fn a_peer_that_comes_back_is_asked_within_a_bounded_time(
        initial in 1..=10_000_u64, room in 1..=1000_u64, multiplier in ONE..=4 * ONE, width in 0..=ONE,
        outage in 0..=200_000_u64, seed: u64,
    ) {
        let (hi, initial) = (ONE + width, initial * MS);
        let settings = Settings { multiplier, hi, ..Settings::new(initial, 2 * initial * room) };
        let policy = RetryPolicy::new(settings.build()?).with_max_transmissions(u32::MAX)?;
        let recovery = outage * (initial / 1000);
        let (mut slot, mut at) = (0, 0);
        while at < recovery && slot < 1000 {
            at += ns(policy.backoff().delay(slot, Seed::new(seed)));
            slot += 1;
        }
        prop_assume!(at >= recovery);
        let growth = fraction(multiplier - ONE) * whole(recovery) + whole(initial);
        let bound = (fraction(hi) * growth).min(whole(settings.max)) + whole(1 + u64::from(slot));
        prop_assert!(whole(at - recovery) <= bound, "asked {} ns after an outage of {} ns", at - recovery, recovery);
    }

    // P28
    #[test]
    fn a_policy_replays_any_number_of_times(plan in plans(), seed: u64, other: u64) {
        let policy = plan.policy()?;
        let copy = policy;
        let first = drive(&policy, 5, seed, |_| 0);
        let _ = drive(&copy, 7, other, |_| 0);
        prop_assert_eq!(drive(&copy, 5, seed, |_| 0), first);
        prop_assert_eq!(copy, policy);
    }

    // P29
    #[test]
    fn shifting_every_moment_changes_no_decision(
        plan in plans(), seed: u64, shift in 0..1_u64 << 61, pace in 1..1000_u64,
    ) {
        let policy = plan.policy()?;
        let lag = |operation| Seed::new(seed).draw(operation) % (pace * MS);
        let (here, there) = (drive(&policy, 3, seed, lag), drive(&policy, 3 + shift, seed, lag));
        prop_assume!(here.end < 1 << 61);
        prop_assert_eq!(there, here.shifted(shift));
    }

    // The start delay is the policy's, whatever else the seed draws.
    #[test]
    fn the_start_delay_stays_within_its_ends(from in generators::span(), to in generators::span(), seed: u64) {
        let (from, to) = (from.min(to), from.max(to));
        let policy = RetryPolicy::LAN.with_start_delay(Duration::from_nanos(from), Duration::from_nanos(to))?;
        let due = start_delay(&policy, seed);
        prop_assert!((from..=to).contains(&due));
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

// P2, P9: at whole seconds and minutes, at the cap and below it.
#[test]
fn four_thousand_clients_share_no_delay() {
    for initial in [100 * MS, ONE, 2 * ONE, 60 * ONE] {
        for (lo, hi) in [(ONE, ONE / 2 * 3), (0, ONE), (ONE / 2, ONE), (ONE / 10 * 9, ONE / 10 * 11)] {
            let backoff = Settings { lo, hi, ..Settings::new(initial, 60 * initial) }.build().unwrap();
            for n in [0, 1, 5, 6, 7, 20, 1000, u32::MAX] {
                let delays: Vec<u64> = (0..4096).map(|seed| ns(backoff.delay(n, Seed::new(seed)))).collect();
                let distinct = statistics::distinct(&delays);
                assert!(distinct >= 4000, "{distinct} distinct delays at slot {n} of {initial} ns");
            }
        }
    }
}

// P2: the same where the range is too narrow for all to differ.
#[test]
fn no_single_delay_gathers_the_clients() {
    let narrow = Settings { hi: ONE + 10, ..Settings::new(ONE * 1000, ONE * 100_000) }.build().unwrap();
    for n in [0, 3, 6, 7, 8, 20, u32::MAX] {
        let delays: Vec<u64> = (0..10_000).map(|seed| ns(narrow.delay(n, Seed::new(seed)))).collect();
        assert!(statistics::heaviest(&delays) <= 200, "slot {n}");
    }
}

// P19, P20
#[test]
fn draws_follow_the_uniform_law_without_holes_or_atoms() {
    const DRAWS: u64 = 100_000;
    let upward = Settings { hi: ONE / 2 * 3, ..Settings::new(ONE, 60 * ONE) };
    let laws = [
        upward,
        Settings { lo: 0, hi: ONE, ..upward },
        Settings { lo: ONE / 2, hi: ONE, ..upward },
        Settings { drawn: Drawn::Once, ..upward },
        Settings { hi: ONE, plus_minus: 250 * MS, ..upward },
        Settings { lo: ONE / 10 * 9, hi: ONE / 10 * 11, drawn: Drawn::Compounding, ..upward },
        // A width that is no power of two, where a modulus would show.
        Settings { hi: ONE + ONE / 3 * 2, ..Settings::new(u64::MAX / 5, u64::MAX / 5 * 4) },
    ];
    for settings in laws {
        let backoff = settings.build().unwrap();
        // A compounding interval is uniform by itself only at the ends.
        let slots = if settings.drawn == Drawn::Compounding { [0, 20, u32::MAX] } else { [0, 3, u32::MAX] };
        for n in slots {
            let (lo, hi) = settings.range(n);
            let [lo, hi] = [lo.ceil(), hi.floor()].map(|end| u64::try_from(end.to_integer()).unwrap());
            // At the cap an end may be off by a nanosecond, which the law is told.
            let (lo, hi) = (lo.saturating_sub(2), hi + 2);
            for base in [0, 1, u64::MAX] {
                let in_a_row = |i| Seed::new(base).draw(i);
                let neighbours = |i| base.wrapping_add(i);
                for seeds in [&in_a_row as &dyn Fn(u64) -> u64, &neighbours] {
                    let delays: Vec<u64> = (0..DRAWS).map(|i| ns(backoff.delay(n, Seed::new(seeds(i))))).collect();
                    assert_uniform(&delays, lo, hi, &format!("{settings:?}, slot {n}, seeds from {base}"));
                }
            }
        }
    }
}

// P19, P20: one request's intervals are as fair as many requests' first ones.
#[test]
fn slots_of_one_request_follow_the_uniform_law_too() {
    let backoff = Settings { multiplier: ONE, hi: 2 * ONE, ..Settings::new(ONE, 2 * ONE) }.build().unwrap();
    for seed in [0, 1, u64::MAX] {
        let delays: Vec<u64> = (0..100_000).map(|n| ns(backoff.delay(n, Seed::new(seed)))).collect();
        assert_uniform(&delays, ONE, 2 * ONE, &format!("seed {seed}"));
        let correlation = statistics::correlation(&delays[1..], &delays[..delays.len() - 1]);
        assert!(correlation.abs() < 5.0, "neighbouring slots of {seed} correlate: {correlation} sigmas");
    }
}

// P18, P20
#[test]
fn slots_requests_and_start_delays_are_independent() {
    let backoff = Settings { hi: 2 * ONE, ..Settings::new(ONE, 64 * ONE) }.build().unwrap();
    let policy = RetryPolicy::new(backoff).with_start_delay(Duration::ZERO, Duration::from_secs(1)).unwrap();
    let column = |f: &dyn Fn(u64) -> u64| (0..50_000).map(f).collect::<Vec<u64>>();
    let first = column(&|seed| ns(backoff.delay(0, Seed::new(seed))));
    let others = [
        ("the next slot", column(&|seed| ns(backoff.delay(1, Seed::new(seed))))),
        ("a slot at the cap", column(&|seed| ns(backoff.delay(40, Seed::new(seed))))),
        ("the next seed", column(&|seed| ns(backoff.delay(0, Seed::new(seed + 1))))),
        ("the opposite seed", column(&|seed| ns(backoff.delay(0, Seed::new(!seed))))),
        ("the start delay", column(&|seed| start_delay(&policy, seed))),
    ];
    for (name, other) in others {
        let correlation = statistics::correlation(&first, &other);
        assert!(correlation.abs() < 5.0, "the first delay and {name} correlate: {correlation} sigmas");
        let doubled: Vec<u64> = first.iter().zip(&other).map(|(a, b)| a.abs_diff(*b)).collect();
        assert!(statistics::distinct(&doubled) > 49_000, "the first delay tells {name}");
    }
}

// P19
#[test]
fn start_delays_follow_the_uniform_law() {
    let policy = RetryPolicy::LAN.with_start_delay(Duration::from_millis(20), Duration::from_millis(120)).unwrap();
    for base in [0, 1, u64::MAX] {
        let delays: Vec<u64> = (0..100_000).map(|i| start_delay(&policy, Seed::new(base).draw(i))).collect();
        assert_uniform(&delays, 20 * MS, 120 * MS, &format!("start delays from {base}"));
    }
}

// P18
#[test]
fn requests_with_seeds_of_the_system_share_no_first_delay() {
    let backoff = *RetryPolicy::default().backoff();
    let seeds: Vec<Seed> = (0..64).map(|_| system_seed().unwrap()).collect();
    let delays: Vec<u64> = seeds.iter().map(|seed| ns(backoff.delay(0, *seed))).collect();
    assert_eq!(statistics::distinct(&delays), 64);
    let again: Vec<u64> = seeds.iter().map(|seed| ns(backoff.delay(0, *seed))).collect();
    assert_eq!(again, delays);
}

#[test]
fn one_factor_serves_every_interval_of_a_request_that_draws_once() {
    // RFC 7252 §4.2: t_k = 2r(2^k − 1) for one r from 1 to 1.5.
    let settings = Settings { hi: ONE / 2 * 3, drawn: Drawn::Once, ..Settings::new(2 * ONE, 96 * ONE) };
    let policy = RetryPolicy::new(settings.build().unwrap());
    for seed in 0..10_000 {
        let run = drive(&policy, 0, seed, |_| 0);
        let first = run.sends[1];
        assert!((2 * ONE..=3 * ONE).contains(&first));
        for (k, (&sent, times)) in run.sends.iter().chain([&run.end]).zip([0, 1, 3, 7, 15, 31]).enumerate() {
            // Each wait is rounded on its own.
            assert!(sent.abs_diff(first * times) <= 1 << k, "seed {seed}: {:?}", run.sends);
        }
        assert!(run.sends[4] <= 45 * ONE && run.end <= 93 * ONE && run.end >= 62 * ONE);
    }
}

#[test]
fn compounding_bounds_are_those_of_radius_and_dhcpv6() {
    let tenth = |initial, max| Settings {
        lo: ONE / 10 * 9,
        hi: ONE / 10 * 11,
        drawn: Drawn::Compounding,
        ..Settings::new(initial, max)
    };
    // RFC 5080 §2.2.1: IRT 2 s, MRT 16 s. Our maximum includes the jitter: 1.1 MRT. In units of 0.1 ms.
    let radius = tenth(2 * ONE, ONE / 10 * 176);
    assert_bounds(&radius, &[(18_000, 22_000), (34_200, 46_200), (64_980, 97_020), (123_462, 176_000)]);
    assert_bounds_from(&radius, 4, (144_000, 176_000));
    // RFC 9915 §18.2.2: IRT 1 s, MRT 30 s.
    let request = tenth(ONE, 33 * ONE);
    let grown = [(9_000, 11_000), (17_100, 23_100), (32_490, 48_510), (61_731, 101_871), (117_289, 213_929)];
    let grown_ns = grown.map(|(lo, hi)| (lo * 100_000, hi * 100_000));
    for (n, (lo, hi)) in (0..).zip(grown_ns) {
        let bounds = request.build().unwrap().bounds(n);
        // The note rounds to four digits.
        assert!(ns(bounds.0).abs_diff(lo) <= 50_000 && ns(bounds.1).abs_diff(hi) <= 50_000, "{n}: {bounds:?}");
    }
    let sixth = request.build().unwrap().bounds(5);
    assert!(ns(sixth.0).abs_diff(22_284_891_000) <= 10 && ns(sixth.1) == 33 * ONE, "{sixth:?}");
    assert_bounds_from(&request, 6, (270_000, 330_000));
    // And exactly so: 0.9·1.9ⁿ to 1.1·2.1ⁿ.
    for n in 0..=4 {
        let (lo, hi) = request.build().unwrap().bounds(n);
        let exact = |first: u64, growth: u64| fraction(first) * fraction(growth).pow(n as i32) * whole(ONE);
        let (low, high) = (exact(ONE / 10 * 9, ONE / 10 * 19), exact(ONE / 10 * 11, ONE / 10 * 21));
        assert!(whole(ns(lo)) >= low && whole(ns(lo)) <= low + whole(8), "{n}");
        assert!(whole(ns(hi)) <= high && whole(ns(hi)) + whole(8) >= high, "{n}");
    }
}

#[test]
fn compounding_delays_come_near_both_ends_of_their_bounds() {
    let settings = Settings {
        lo: ONE / 10 * 9,
        hi: ONE / 10 * 11,
        drawn: Drawn::Compounding,
        ..Settings::new(2 * ONE, ONE / 10 * 176)
    };
    let backoff = settings.build().unwrap();
    for n in 0..6 {
        let (lo, hi) = backoff.bounds(n);
        let delays = || (0..200_000).map(|seed| backoff.delay(n, Seed::new(seed)));
        let near = (hi - lo) / 8;
        assert!(delays().min().unwrap() < lo + near, "slot {n}");
        assert!(delays().max().unwrap() > hi - near, "slot {n}");
    }
}

// Where the cap lies between the shortest and the longest growth, some draws are capped and some are not; where
// intervals are a few nanoseconds, every rounding shows.
#[test]
fn compounding_bounds_hold_at_the_smallest_scale() {
    for (lo, hi, multiplier) in [(9, 11, 20), (9, 10, 20), (8, 16, 20), (10, 12, 15), (5, 10, 31), (10, 10, 13)] {
        let [lo, hi, multiplier] = [lo, hi, multiplier].map(|tenths| tenths * ONE / 10);
        for (initial, max) in (1..12).flat_map(|initial| (initial..=60).map(move |max| (initial, max))) {
            let settings = Settings { multiplier, lo, hi, drawn: Drawn::Compounding, ..Settings::new(initial, max) };
            let Ok(backoff) = settings.build() else { continue };
            for n in 0..6 {
                assert_compounded_bounds(&settings, n);
                let (shortest, longest) = backoff.bounds(n);
                for seed in 0..300 {
                    let delay = backoff.delay(n, Seed::new(seed));
                    assert!(shortest <= delay && delay <= longest, "{settings:?}, slot {n} of {seed}: {delay:?}");
                }
            }
        }
    }
}

#[test]
fn an_absolute_deviation_widens_every_interval_alike() {
    // RFC 2131 §4.1: 4, 8, 16, 32, 64 s, each a second more or less. Our maximum includes that second.
    let settings = Settings { plus_minus: ONE, ..Settings::new(4 * ONE, 65 * ONE) };
    let backoff = settings.build().unwrap();
    for (n, seconds) in [4, 8, 16, 32, 64, 64].into_iter().enumerate() {
        let bounds = (Duration::from_secs(seconds - 1), Duration::from_secs(seconds + 1));
        assert_eq!(backoff.bounds(n as u32), bounds);
        assert_eq!(backoff.interval(n as u32), Duration::from_secs(seconds));
    }
    // Below the deviation the floor holds.
    let backoff = Settings { initial: ONE / 2, floor: ONE / 5, ..settings }.build().unwrap();
    assert_eq!(backoff.bounds(0), (Duration::from_millis(200), Duration::from_millis(1500)));
}

#[test]
fn schedules_without_jitter_are_those_of_the_book_and_the_rfcs() {
    let policy = |initial, max, transmissions| {
        RetryPolicy::new(Settings::new(initial, max).build().unwrap()).with_max_transmissions(transmissions).unwrap()
    };
    let secs = Duration::from_secs;
    let book = RetryPolicy::LAN;
    let stun = policy(ONE / 2, 32 * ONE, 7).with_last_wait(LastWait::Initial(16)).unwrap();
    let invite = policy(ONE / 2, 64 * ONE, 7).with_deadline(secs(32)).unwrap();
    let non_invite = policy(ONE / 2, 4 * ONE, 99).with_deadline(secs(32)).unwrap();
    let radius = policy(2 * ONE, 16 * ONE, 5).with_deadline(secs(30)).unwrap();
    let confirm = policy(ONE, 4 * ONE, u32::MAX).with_deadline(secs(10)).unwrap();
    let tracker = policy(15 * ONE, 3840 * ONE, 9);
    let hickory = RetryPolicy::new(Backoff::constant(Duration::from_millis(333)).unwrap());
    let hickory = hickory.with_max_transmissions(3).unwrap().with_deadline(secs(5)).unwrap();
    let unanswered = |sends: &[u64], end| (sends.to_vec(), end, GiveUp::Unanswered);
    let overdue = |sends: &[u64], end| (sends.to_vec(), end, GiveUp::Deadline);
    let schedules = [
        (book, unanswered(&[0, 100, 300, 700, 1500], 3100)),
        (stun, unanswered(&[0, 500, 1500, 3500, 7500, 15_500, 31_500], 39_500)),
        (invite, overdue(&[0, 500, 1500, 3500, 7500, 15_500, 31_500], 32_000)),
        (non_invite, overdue(&[0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500], 32_000)),
        // The fifth slot falls exactly on the deadline and is not sent.
        (radius, overdue(&[0, 2000, 6000, 14_000], 30_000)),
        (confirm, overdue(&[0, 1000, 3000, 7000], 10_000)),
        (
            tracker,
            unanswered(&[0, 15_000, 45_000, 105_000, 225_000, 465_000, 945_000, 1_905_000, 3_825_000], 7_665_000),
        ),
        (hickory, unanswered(&[0, 333, 666], 999)),
    ];
    for (policy, (sends, end, why)) in schedules {
        for (start, seed) in [(0, 0), (12_345 * MS, u64::MAX)] {
            let run = drive(&policy, start, seed, |_| 0);
            let millis: Vec<u64> = run.sends.iter().map(|at| (at - start) / MS).collect();
            assert!(run.sends.iter().all(|at| (at - start) % MS == 0));
            assert_eq!((millis, (run.end - start) / MS, run.why), (sends.clone(), end, why));
        }
    }
}

#[test]
fn a_reply_at_the_deadline_counts_and_one_after_it_does_not() {
    let policy = RetryPolicy::LAN.with_deadline(Duration::from_secs(1)).unwrap();
    for (at, action) in [(ONE, Action::Done), (ONE + 1, Action::GiveUp(GiveUp::Deadline))] {
        let mut timer = RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(0));
        timer.on_transmitted(&policy, Timestamp::ZERO);
        timer.on_reply(Timestamp::from_nanos(at));
        assert_eq!(timer.poll(Timestamp::from_nanos(at)), action);
    }
}

#[test]
fn the_default_suits_the_internet() {
    let policy = RetryPolicy::default();
    let backoff = policy.backoff();
    assert_eq!((backoff.initial(), backoff.max()), (Duration::from_secs(1), Duration::from_secs(60)));
    assert_eq!((backoff.multiplier(), backoff.jitter()), (2.0, Jitter::UPWARD));
    assert_eq!((policy.max_transmissions(), policy.deadline()), (5, Some(Duration::from_secs(30))));
    assert_eq!((policy.last_wait(), policy.patience()), (LastWait::Next, Duration::from_secs(60)));
    assert_eq!(policy.start_delay(), (Duration::ZERO, Duration::ZERO));
}

// The table changes only if the draws or the law do: then every recorded seed replays differently.
#[test]
fn delays_of_known_seeds_never_change() {
    let upward = Settings { hi: ONE / 2 * 3, ..Settings::new(ONE, 60 * ONE) };
    let once = Settings { drawn: Drawn::Once, ..upward };
    let radius = Settings {
        lo: ONE / 10 * 9,
        hi: ONE / 10 * 11,
        drawn: Drawn::Compounding,
        ..Settings::new(2 * ONE, ONE / 10 * 176)
    };
    for (settings, golden) in [(upward, GOLDEN[0]), (once, GOLDEN[1]), (radius, GOLDEN[2])] {
        let backoff = settings.build().unwrap();
        let delays = GOLDEN_DRAWS.map(|(n, seed)| ns(backoff.delay(n, Seed::new(seed))));
        assert_eq!(delays, golden, "{settings:?}");
    }
}

#[test]
fn start_delays_of_known_seeds_never_change() {
    // From a stream of their own: neither the draws of the first intervals nor those of a link's losses.
    let policy = RetryPolicy::LAN.with_start_delay(Duration::from_millis(20), Duration::from_millis(120)).unwrap();
    let delays = [0, 1, 7, u64::MAX].map(|seed| start_delay(&policy, seed));
    assert_eq!(delays, [114_598_028, 115_994_266, 100_321_996, 96_422_094]);
}

/// Slots and seeds.
const GOLDEN_DRAWS: [(u32, u64); 8] =
    [(0, 0), (0, 1), (0, u64::MAX), (1, 0), (3, 42), (6, 7), (20, 1 << 63), (u32::MAX, 0x0123_4567_89ab_cdef)];

/// Nanoseconds: for each of three laws, the delay of each of `GOLDEN_DRAWS`.
const GOLDEN: [[u64; 8]; 3] = [
    [
        1_140_880_649,
        1_431_428_075,
        1_133_423_593,
        2_652_448_487,
        9_945_398_145,
        43_645_704_779,
        50_609_696_908,
        49_668_251_575,
    ],
    [
        1_140_880_649,
        1_431_428_075,
        1_133_423_593,
        2_281_761_298,
        10_790_945_367,
        49_117_941_616,
        52_373_778_385,
        42_291_248_688,
    ],
    [
        1_912_704_519,
        2_145_142_460,
        1_906_738_875,
        3_883_726_820,
        15_956_318_516,
        14_983_312_764,
        16_097_551_505,
        15_946_920_252,
    ],
];

/// A policy as chosen.
#[derive(Clone, Copy, Debug)]
struct Plan {
    settings: Settings,
    transmissions: u32,
    last_wait: LastWait,
    deadline: Option<u64>,
    start_delay: (u64, u64),
}

impl Plan {
    fn policy(&self) -> Result<RetryPolicy, udp_retry::policy::PolicyError> {
        let (from, to) = self.start_delay;
        let policy = RetryPolicy::new(self.settings.build()?)
            .with_max_transmissions(self.transmissions)?
            .with_last_wait(self.last_wait)?
            .with_start_delay(Duration::from_nanos(from), Duration::from_nanos(to))?;
        self.deadline.map_or(Ok(policy), |deadline| policy.with_deadline(Duration::from_nanos(deadline)))
    }

    /// The schedule as a sum of waits, with a driver that is never late.
    fn naive(&self, start: u64, seed: u64) -> Result<Run, udp_retry::policy::PolicyError> {
        let policy = self.policy()?;
        let first = start + start_delay(&policy, seed);
        let deadline = self.deadline.map_or(u64::MAX, |deadline| first + deadline);
        let (mut sends, mut at) = (Vec::new(), first);
        for slot in 0..self.transmissions {
            if at >= deadline {
                break;
            }
            sends.push(at);
            at += match self.last_wait {
                LastWait::Initial(count) if slot + 1 == self.transmissions => self.settings.initial * u64::from(count),
                _ => ns(policy.backoff().delay(slot, Seed::new(seed))),
            };
        }
        let why = if at >= deadline { GiveUp::Deadline } else { GiveUp::Unanswered };
        let end = at.min(deadline);
        Ok(Run { sends, end, why, longest_wait: end })
    }
}

/// Of everyday size, so that sums do not saturate; deadlines fall on slots too.
fn plans() -> impl Strategy<Value = Plan> {
    let waits = prop_oneof![3 => Just(LastWait::Next), 1 => (1..100_u32).prop_map(LastWait::Initial)];
    let ends = (0..4_u8, 1..1000 * ONE, 1..8_u32);
    let delays = prop_oneof![Just((0, 0)), (0..ONE, 0..ONE).prop_map(|(from, width)| (from, from + width))];
    (generators::settings(), 1..=12_u32, waits, ends, delays).prop_map(
        |(settings, transmissions, last_wait, (kind, span, slots), start_delay)| {
            let settings = everyday(settings);
            let deadline = match kind {
                0 => None,
                1 => Some(span),
                2 => Some(span % (4 * settings.initial) + 1),
                _ => Some(nominal_sum(&settings, slots)),
            };
            Plan { settings, transmissions, last_wait, deadline, start_delay }
        },
    )
}

fn everyday(settings: Settings) -> Settings {
    let initial = settings.initial % (100 * ONE) + 1;
    let plus_minus = settings.plus_minus % initial;
    let (lo, hi) = if settings.hi > 2 * ONE { (ONE, 2 * ONE) } else { (settings.lo, settings.hi) };
    let drawn = if settings.keep_every_rule() { settings.drawn } else { Drawn::Each };
    let multiplier = settings.multiplier.clamp(2 * ONE, 4 * ONE);
    let everyday = Settings {
        initial,
        plus_minus,
        lo,
        hi,
        drawn,
        multiplier,
        floor: 1,
        max: 2 * initial + settings.max % (10_000 * ONE),
    };
    if everyday.keep_every_rule() { everyday } else { Settings { drawn: Drawn::Each, ..everyday } }
}

fn nominal_sum(settings: &Settings, slots: u32) -> u64 {
    let backoff = settings.build().expect("everyday settings keep every rule");
    (0..slots).map(|n| ns(backoff.interval(n))).sum()
}

/// What a request did that nobody answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    sends: Vec<u64>,
    end: u64,
    why: GiveUp,
    /// The latest moment that it asked to be woken at.
    longest_wait: u64,
}

impl Run {
    fn shifted(mut self, shift: u64) -> Self {
        self.sends.iter_mut().chain([&mut self.end, &mut self.longest_wait]).for_each(|at| *at += shift);
        self
    }
}

/// Drives a request on a virtual clock; operation number k takes `lag(k)` longer than it should.
fn drive(policy: &RetryPolicy, start: u64, seed: u64, lag: impl Fn(u64) -> u64) -> Run {
    let at = Timestamp::from_nanos;
    let mut timer = RetryTimer::start(policy, at(start), Seed::new(seed));
    let (mut now, mut sends, mut longest_wait) = (start, Vec::new(), start);
    for operation in 0.. {
        match timer.poll(at(now)) {
            Action::Transmit => {
                sends.push(now);
                now = now.saturating_add(lag(operation));
                timer.on_transmitted(policy, at(now));
            }
            Action::WaitUntil(until) => {
                assert!(until > at(now), "asks to wait for the past");
                longest_wait = longest_wait.max(until.as_nanos());
                now = until.as_nanos().saturating_add(lag(operation));
            }
            Action::GiveUp(why) => {
                assert_eq!(timer.transmissions() as usize, sends.len());
                return Run { sends, end: now, why, longest_wait };
            }
            Action::Done => unreachable!("nobody answered"),
        }
    }
    unreachable!("a request ends")
}

/// The pause before the first transmission, as a request shows it.
fn start_delay(policy: &RetryPolicy, seed: u64) -> u64 {
    match RetryTimer::start(policy, Timestamp::ZERO, Seed::new(seed)).poll(Timestamp::ZERO) {
        Action::WaitUntil(due) => due.as_nanos(),
        _ => 0,
    }
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

fn assert_uniform(sample: &[u64], lo: u64, hi: u64, what: &str) {
    assert!(sample.iter().all(|value| (lo..=hi).contains(value)), "{what}: out of range");
    let distance = statistics::distance_from_uniform(sample, lo, hi);
    assert!(distance < statistics::CRITICAL, "{what}: distance {distance} from the uniform law");
    let sigmas = statistics::mean_in_sigmas(sample, lo, hi);
    assert!(sigmas < 5.0, "{what}: the mean is off by {sigmas} standard errors");
    let count = sample.len() as f64;
    let widest = 20.0 * (hi - lo) as f64 / count * count.ln();
    assert!((statistics::widest_gap(sample, lo, hi) as f64) < widest, "{what}: a hole");
    assert!(statistics::heaviest(sample) < 16, "{what}: an atom");
}

fn assert_bounds(settings: &Settings, expected: &[(u64, u64)]) {
    let backoff = settings.build().unwrap();
    for (n, &(lo, hi)) in (0..).zip(expected) {
        let (shortest, longest) = backoff.bounds(n);
        assert_eq!((ns(shortest), ns(longest)), (lo * MS / 10, hi * MS / 10), "slot {n}");
    }
}

fn assert_bounds_from(settings: &Settings, from: u32, (lo, hi): (u64, u64)) {
    let backoff = settings.build().unwrap();
    for n in [from, from + 1, from + 7, 1000, u32::MAX] {
        let (shortest, longest) = backoff.bounds(n);
        assert_eq!((ns(shortest), ns(longest)), (lo * MS / 10, hi * MS / 10), "slot {n}");
    }
}

fn pairs<T: Copy>(values: &[T]) -> impl Iterator<Item = (T, T)> {
    values.iter().flat_map(|&a| values.iter().map(move |&b| (a, b)))
}

fn assert_compounded_bounds(settings: &Settings, n: u32) {
    if (0..=n).any(|slot| settings.barely_reaches_the_cap(slot)) {
        return;
    }
    let (lo, hi) = settings.build().unwrap().bounds(n);
    let exact = settings.compounded_range(n);
    let near = |bound: Duration, exact: &exact::Q| {
        let off = whole(ns(bound)) - exact;
        // The end at the cap is rounded after the cap, and the cap down.
        let loose = whole(2) + fraction(settings.hi) + exact / whole(1 << 52);
        -&loose <= off && off <= loose
    };
    let (shortest, longest) = (exact.0.floor(), exact.1.floor());
    assert!(
        near(lo, &exact.0) && near(hi, &exact.1),
        "{settings:?}, slot {n}: {lo:?} to {hi:?}, not {shortest} to {longest}"
    );
}

/// The one seed whose draw for `slot` is `draw`: keyed draws are a bijection of the seed.
fn seed_that_draws(draw: u64, slot: u32) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let key = unfinalized(draw).wrapping_sub(GAMMA.wrapping_mul(slot.into()));
    let seed = unfinalized(key).wrapping_sub(GAMMA);
    assert_eq!(Seed::new(seed).draw(slot.into()), draw);
    seed
}

/// The finalizer of the draws, backwards: its constants' inverses modulo 2⁶⁴.
fn unfinalized(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    x ^ (x >> 30) ^ (x >> 60)
}

/// Newton's iteration doubles the correct bits, from three of an odd number.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))))
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").map_or(10_000, |cases| cases.parse().expect("a number of cases"));
    ProptestConfig {
        cases,
        max_global_rejects: cases.saturating_mul(10),
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}
