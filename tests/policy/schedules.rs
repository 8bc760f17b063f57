//! Every preset against `tests/vectors/schedules.json`: the schedules of the RFCs in exact arithmetic, computed
//! apart from this crate with fractions of unbounded integers. Times are decimal milliseconds, as strings, from the
//! first transmission; `null` is a slot that nominally falls on or after the deadline, or a failure that never comes.

use core::time::Duration;

use num_bigint::BigInt;
use num_rational::BigRational;
use serde_json::Value;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::{Backoff, Deviation, Jitter, LastWait, Preset, Window};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, RetryTimer};

#[test]
fn every_preset_is_published_and_every_published_one_is_a_preset() {
    let published: Vec<_> = vectors().iter().map(|vector| vector["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(published.len(), 16);
    for name in &published {
        assert_eq!(Preset::named(name).unwrap().name, name);
    }
    for preset in Preset::ALL {
        assert!(published.iter().any(|name| name == preset.name), "{}", preset.name);
    }
    assert_eq!(Preset::named("no such"), None);
    assert_eq!(Preset::named("default").unwrap().policy, RetryPolicy::default());
    assert_eq!(Preset::named("book").unwrap().policy, RetryPolicy::LAN);
}

#[test]
fn every_published_time_holds_to_the_nanosecond() {
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap();
        let policy = Preset::named(name).unwrap().policy;
        let expected = vector["transmissions"].as_array().unwrap();
        let endless = vector["fails_ms"].is_null();
        let windows: Vec<Window> = policy.schedule().take(if endless { expected.len() } else { usize::MAX }).collect();
        assert_eq!(windows.len(), expected.len(), "{name}");
        for (n, (window, expected)) in windows.into_iter().zip(expected).enumerate() {
            assert_window(window, expected, n, &format!("{name}, transmission {}", n + 1));
        }
        match policy.schedule().fails() {
            Some(window) => assert_window(window, &vector["fails_ms"], expected.len(), &format!("{name}, failure")),
            None => assert!(endless, "{name}"),
        }
    }
}

#[test]
fn a_request_keeps_to_the_published_windows_whatever_is_drawn() {
    for preset in Preset::ALL {
        let windows: Vec<Window> = preset.policy.schedule().take(16).collect();
        let fails = preset.policy.schedule().fails();
        for seed in (0..2000).chain([u64::MAX]) {
            let (sent, failed) = unanswered(&preset.policy, seed, 16);
            assert!(sent.len() <= windows.len(), "{}", preset.name);
            for (n, (at, window)) in sent.iter().zip(&windows).enumerate() {
                assert!(window.earliest <= *at && *at <= window.latest, "{}, seed {seed}, {n}: {at:?}", preset.name);
            }
            if let (Some(failed), Some(window)) = (failed, fails) {
                assert!(window.earliest <= failed && failed <= window.latest, "{}, seed {seed}", preset.name);
            }
        }
    }
}

#[test]
fn the_ends_of_the_windows_are_nearly_reached() {
    for preset in Preset::ALL {
        let (first, last) = preset.policy.backoff().bounds(0);
        let waits: Vec<Duration> = (0..2000).map(|seed| preset.policy.backoff().delay(0, Seed::new(seed))).collect();
        let tolerance = (last - first) / 200;
        assert!(*waits.iter().min().unwrap() - first <= tolerance, "{}", preset.name);
        assert!(last - *waits.iter().max().unwrap() <= tolerance, "{}", preset.name);
    }
}

#[test]
fn start_delays_are_spread_over_their_whole_range() {
    let policy = Preset::named("dhcpv6-solicit").unwrap().policy;
    let delays: Vec<u64> = (0..2000)
        .map(|seed| match RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(seed)).poll(Timestamp::ZERO) {
            Action::WaitUntil(until) => until.as_nanos(),
            _ => 0,
        })
        .collect();
    assert!(*delays.iter().min().unwrap() < 10_000_000 && *delays.iter().max().unwrap() > 990_000_000);
    let mean = delays.iter().sum::<u64>() / 2000;
    // 6 sigma of the mean of 2000 uniform draws is 0.039 of the range.
    assert!(mean.abs_diff(500_000_000) < 39_000_000, "{mean}");
}

#[test]
fn the_rules_that_a_preset_breaks_are_named() {
    let broken = |name: &str| {
        let deviations = Preset::named(name).unwrap().policy.deviations();
        deviations.map(|deviation| deviation.to_string()).collect::<Vec<_>>()
    };
    let book = broken("book");
    assert_eq!(book.len(), 1);
    assert!(book[0].contains("RFC 8961 §4 (1)") && book[0].contains("RFC 8085 §3.1.3") && book[0].contains("100ms"));
    for name in ["default", "coap", "radius", "dhcpv4", "dhcpv6-solicit", "bittorrent-tracker", "dns"] {
        assert_eq!(broken(name), [""; 0], "{name}");
    }
    assert!(broken("sip-non-invite").iter().any(|rule| rule.contains("60s")));
}

#[test]
fn every_deviation_has_its_boundary() {
    let backoff = |initial, max| Backoff::exponential(ms(initial), ms(max)).unwrap();
    let found = |policy: RetryPolicy| policy.deviations().collect::<Vec<_>>();
    let fine = RetryPolicy::new(backoff(1000, 60_000));
    assert_eq!(found(fine), []);
    assert_eq!(found(RetryPolicy::new(backoff(999, 60_000))), [Deviation::EagerStart { first_wait: ms(999) }]);
    let downward = backoff(1000, 60_000).with_jitter(Jitter::EQUAL).unwrap();
    assert_eq!(found(RetryPolicy::new(downward)), [Deviation::EagerStart { first_wait: ms(500) }]);
    let flat = backoff(1000, 60_000).with_multiplier(1.0).unwrap();
    assert_eq!(found(RetryPolicy::new(flat)), [Deviation::NoBackoff { interval: ms(1000) }]);
    assert_eq!(found(RetryPolicy::new(backoff(1000, 7999))), [Deviation::LowMaximum { max: ms(7999) }]);
    assert_eq!(found(RetryPolicy::new(backoff(1000, 8000))), [], "no interval between transmissions is cut");
    let many = |max| RetryPolicy::new(backoff(1000, max)).with_max_transmissions(9).unwrap();
    assert_eq!(found(many(60_000)), [], "a minute is allowed");
    assert_eq!(found(many(59_999)), [Deviation::LowMaximum { max: ms(59_999) }]);
    let late = fine.with_deadline(ms(1000)).unwrap();
    assert_eq!(found(late), [Deviation::SingleTransmission { deadline: ms(1000), first_wait: ms(1000) }]);
    assert_eq!(found(fine.with_deadline(ms(1001)).unwrap()), []);
    assert_eq!(found(fine.with_max_transmissions(1).unwrap().with_deadline(ms(10)).unwrap()), []);
}

#[test]
fn a_slot_exactly_on_the_deadline_is_not_listed() {
    let listed = |deadline| RetryPolicy::LAN.with_deadline(ms(deadline)).unwrap().schedule().count();
    assert_eq!([listed(299), listed(300), listed(301)], [2, 2, 3]);
    assert_eq!(RetryPolicy::LAN.with_deadline(ms(300)).unwrap().schedule().fails().unwrap().latest, ms(300));
}

#[test]
fn success_follows_from_the_loss_and_the_number_of_transmissions() {
    for (transmissions, loss, expected) in [
        (5, 0.1, 0.999_752_390_1),
        (5, 0.3, 0.965_497_474_9),
        (5, 0.5, 0.762_695_312_5),
        (7, 0.5, 0.866_516_113_281_25),
        (1, 0.5, 0.25),
        (u32::MAX, 0.5, 1.0),
        (5, 0.0, 1.0),
        (5, 1.0, 0.0),
        (u32::MAX, 1.0, 0.0),
    ] {
        let policy = RetryPolicy::LAN.with_max_transmissions(transmissions).unwrap();
        let success = policy.success_probability(loss);
        assert!((success - expected).abs() < 1e-9, "{transmissions} at {loss}: {success}");
    }
    for loss in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(RetryPolicy::LAN.success_probability(loss).is_nan());
    }
}

#[test]
fn a_policy_says_in_words_what_it_does() {
    let words = |name: &str| Preset::named(name).unwrap().policy.explain().to_string();
    assert!(
        words("coap").starts_with(
            "up to 5 transmissions: at 0s, 2s to 3s, 6s to 9s, 14s to 21s, 30s to 45s; fails at 62s to 93s"
        )
    );
    assert!(words("dhcpv6-renew").ends_with(", and so on; never fails by itself"));
    assert!(words("dhcpv6-solicit").contains("after a random pause of 0s to 1s"));
    let single = RetryPolicy::LAN.with_max_transmissions(1).unwrap().explain().to_string();
    assert!(single.starts_with("a single transmission: at 0s; fails at 100ms"), "{single}");
}

#[test]
fn endless_and_nearly_endless_schedules_neither_spin_nor_pretend_to_end() {
    let tiny = Backoff::exponential(Duration::from_nanos(1), Duration::from_nanos(1)).unwrap();
    for transmissions in [u32::MAX, u32::MAX - 1, 65_537] {
        let policy = RetryPolicy::new(tiny).with_max_transmissions(transmissions).unwrap();
        assert_eq!(policy.schedule().fails(), None);
        assert_eq!(policy.schedule().take(65_537).count(), 65_537);
        assert!(policy.explain().to_string().contains("and so on"));
        let far_off = policy.with_deadline(Duration::from_secs(1_000_000)).unwrap();
        assert_eq!(far_off.schedule().fails(), None, "further ahead than is foreseen");
    }
    let ends = RetryPolicy::new(tiny).with_max_transmissions(65_536).unwrap();
    assert_eq!(ends.schedule().fails().unwrap().latest, Duration::from_nanos(65_536));
    let longest = Backoff::constant(Duration::from_nanos(u64::MAX)).unwrap();
    let policy = RetryPolicy::new(longest).with_last_wait(LastWait::Initial(u32::MAX)).unwrap();
    assert_eq!(policy.schedule().fails().unwrap().latest, Duration::from_nanos(u64::MAX), "saturated");
}

#[track_caller]
fn assert_window(window: Window, expected: &Value, waits: usize, what: &str) {
    let Window { earliest, nominal, latest } = window;
    assert_time(Some(earliest), &expected["earliest_ms"], waits, what);
    assert_time(nominal, &expected["nominal_ms"], waits, what);
    assert_time(Some(latest), &expected["latest_ms"], waits, what);
}

/// Exact where the exact value is a whole number of nanoseconds all along; else each wait before it may be off by less
/// than one.
#[track_caller]
fn assert_time(time: Option<Duration>, expected_ms: &Value, waits: usize, what: &str) {
    let Some(expected) = expected_ms.as_str() else {
        assert_eq!(time, None, "{what}");
        return;
    };
    let time = time.unwrap_or_else(|| panic!("{what} is missing"));
    let difference = BigRational::from_integer(BigInt::from(time.as_nanos())) - nanoseconds(expected);
    let decimals = expected.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let tolerance = if decimals <= 6 { 0 } else { waits };
    let tolerance = BigRational::from_integer(BigInt::from(tolerance));
    assert!(
        -tolerance.clone() <= difference && difference <= tolerance,
        "{what}: {time:?} instead of {expected} ms, off by {difference} ns"
    );
}

/// An exact decimal of milliseconds.
fn nanoseconds(ms: &str) -> BigRational {
    let (whole, fraction) = ms.split_once('.').unwrap_or((ms, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
    BigRational::new(digits * BigInt::from(1_000_000), BigInt::from(10).pow(fraction.len() as u32))
}

/// When a request that nobody answers transmits, from the first time on, and when it fails if it does.
fn unanswered(policy: &RetryPolicy, seed: u64, most: usize) -> (Vec<Duration>, Option<Duration>) {
    let mut timer = RetryTimer::start(policy, Timestamp::ZERO, Seed::new(seed));
    let (mut now, mut sent) = (Timestamp::ZERO, Vec::new());
    loop {
        let first = sent.first().copied().unwrap_or(now);
        match timer.poll(now) {
            Action::Transmit if sent.len() == most => return (since(first, &sent), None),
            Action::Transmit => {
                timer.on_transmitted(policy, now);
                sent.push(now);
            }
            Action::WaitUntil(until) => now = until,
            Action::Done | Action::GiveUp(_) => return (since(first, &sent), Some(now.since(first))),
        }
    }
}

fn since(first: Timestamp, moments: &[Timestamp]) -> Vec<Duration> {
    moments.iter().map(|at| at.since(first)).collect()
}

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/schedules.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
