//! The bounds of jitter that compounds, is drawn once or is absolute.

use std::time::Duration;

use udp_retry::{RetryPolicy, Seed};

use super::{MS, assert_compounded_bounds, drive};
use crate::exact::{Drawn, ONE, Settings, fraction, ns, whole};

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
