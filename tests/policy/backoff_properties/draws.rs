//! Draws are fair, and share nothing with one another.

use std::time::Duration;

use udp_retry::net::system_seed;
use udp_retry::{RetryPolicy, Seed};

use super::{MS, start_delay};
use crate::exact::{Drawn, ONE, Settings, ns};
use crate::statistics;

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
