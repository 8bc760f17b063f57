//! One estimator for many: clones share it on any thread, and what it carries over leaves time for three transmissions.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::policy::{Backoff, Jitter, Preset, RttEstimator};
use udp_retry::time::Timestamp;

use crate::exact::Settings;
use crate::generators;

#[test]
fn clones_share_what_they_learn_and_an_unmeasured_one_does_not() {
    let rtt = RttEstimator::new(ms(1000), ms(50), ms(60_000)).unwrap();
    let (clone, other) = (rtt.clone(), rtt.unmeasured());
    rtt.on_reply(at(0), Some(ms(100)));
    assert_eq!((clone.rto(at(0)), clone.srtt(at(0)), clone.rttvar(at(0))), (ms(300), Some(ms(100)), Some(ms(50))));
    clone.on_expiry(at(1), ms(300));
    assert_eq!((rtt.rto(at(1)), other.rto(at(1))), (ms(600), ms(1000)));
    other.on_reply(at(1), Some(ms(8)));
    assert_eq!((rtt.srtt(at(1)), other.srtt(at(1))), (Some(ms(100)), Some(ms(8))));
    assert_eq!(other.rto(at(1)), ms(50), "the settings are the same");
}

#[test]
fn the_age_is_a_setting_of_each_handle() {
    let patient = RttEstimator::new(ms(1000), ms(50), ms(60_000)).unwrap();
    let forgetful = patient.clone().with_max_age(ms(10)).unwrap();
    patient.on_reply(at(0), Some(ms(100)));
    assert_eq!((patient.rto(at(11)), forgetful.rto(at(11))), (ms(300), ms(1000)));
    assert_eq!(forgetful.clone().rto(at(11)), ms(1000));
}

#[test]
fn it_shows_what_it_knows_in_a_line() {
    let rtt = RttEstimator::new(ms(1000), ms(50), ms(60_000)).unwrap();
    assert_eq!(format!("{rtt:?}"), "RttEstimator { initial: 1s, floor: 50ms, cap: 60s, max_age: 600s }");
    rtt.on_reply(at(7), Some(ms(100)));
    rtt.on_expiry(at(9), ms(300));
    let learnt = "srtt: 100ms, rttvar: 50ms, at: 7ms, backed_off_to: 600ms, since: 9ms";
    let shown = format!("RttEstimator {{ {learnt}, initial: 1s, floor: 50ms, cap: 60s, max_age: 600s }}");
    assert_eq!(format!("{rtt:?}"), shown);
}

#[test]
fn the_longest_sample_of_all_is_still_one() {
    let rtt = RttEstimator::new(ms(1000), ms(50), ms(60_000)).unwrap();
    rtt.on_reply(at(0), Some(Duration::MAX));
    assert!(rtt.srtt(at(0)) > Some(Duration::from_secs(1 << 34)), "{rtt:?}");
    assert_eq!(rtt.rto(at(0)), ms(60_000));
    rtt.on_reply(at(0), Some(Duration::ZERO));
    assert!(rtt.srtt(at(0)).is_some());
}

#[test]
fn no_timeout_mixes_two_samples() {
    // Every sample finds the one before too old, so the timeout is thrice the sample; of two samples it never is.
    let rtt = RttEstimator::new(ms(1000), ms(1), Duration::from_secs(1 << 20)).unwrap();
    let rtt = rtt.with_max_age(Duration::ZERO).unwrap();
    let samples = [ms(10), ms(1_000_000)];
    rtt.on_reply(at(0), Some(samples[0]));
    let (start, ended) = (Barrier::new(3), AtomicBool::new(false));
    let seen = thread::scope(|scope| {
        let readers = [0, 1].map(|_| {
            let (rtt, start, ended) = (rtt.clone(), &start, &ended);
            scope.spawn(move || {
                start.wait();
                let mut seen = [0, 0];
                while !ended.load(Ordering::Relaxed) {
                    // The origin: then any sample is fresh.
                    let rto = rtt.rto(Timestamp::ZERO);
                    let sample = samples.iter().position(|&sample| rto == 3 * sample);
                    seen[sample.unwrap_or_else(|| panic!("{rto:?} after {seen:?}: {rtt:?}"))] += 1;
                }
                seen
            })
        });
        start.wait();
        (1..500_000_usize).for_each(|n| rtt.on_reply(at(n as u64), Some(samples[n % 2])));
        ended.store(true, Ordering::Relaxed);
        readers.map(|it| it.join().unwrap())
    });
    println!("seen beside 500,000 samples, of either kind: {seen:?}, none torn");
}

#[test]
fn doublings_on_many_threads_are_not_lost() {
    // Each thread doubles what it was told last: as with one thread, the timeout is at its cap after six.
    let rtt = RttEstimator::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            let rtt = rtt.clone();
            scope.spawn(move || {
                for _ in 0..6 {
                    rtt.on_expiry(at(0), rtt.rto(at(0)));
                }
            });
        }
    });
    assert_eq!(rtt.rto(at(0)), ms(60_000));
}

#[test]
fn the_default_policy_carries_over_what_leaves_room_for_three() {
    let carried = |deadline| RetryPolicy::default().starting_within(ms(60_000), deadline).backoff().initial();
    // 1.5 + 3 = 4.5 first waits, and strictly less than the deadline.
    assert_eq!(carried(None), Duration::from_nanos(6_666_666_666), "30 s / 4.5, the policy's own");
    assert_eq!(carried(Some(ms(9000))), Duration::from_nanos(1_999_999_999));
    assert_eq!(carried(Some(ms(60_000))), carried(None), "the earlier deadline counts");
    assert_eq!(carried(Some(ms(4500))), ms(1000), "never below the policy's own first wait");
    assert_eq!(carried(Some(Duration::ZERO)), ms(1000));
    let short = RetryPolicy::default().starting_within(ms(300), Some(ms(1000)));
    assert_eq!(short.backoff().initial(), ms(300), "a short wait is not made longer");
    let endless = RetryPolicy::LAN.starting_within(ms(60_000), None);
    assert_eq!(endless, RetryPolicy::LAN.starting_at(ms(60_000)), "without a deadline nothing is capped");
}

#[test]
fn a_policy_of_fewer_transmissions_leaves_room_for_those_that_it_has() {
    let backoff = Backoff::exponential(ms(100), Duration::from_secs(60)).unwrap();
    for (transmissions, initial) in [(1, 60_000_000_000), (2, 2_999_999_999), (3, 999_999_999), (9, 999_999_999)] {
        let policy = RetryPolicy::new(backoff).with_max_transmissions(transmissions).unwrap();
        let policy = policy.starting_within(Duration::from_secs(60), Some(ms(3000)));
        assert_eq!(policy.backoff().initial(), Duration::from_nanos(initial), "{transmissions} transmissions");
    }
}

#[test]
fn every_preset_leaves_room_up_to_the_nanosecond() {
    for Preset { name, policy, .. } in Preset::ALL {
        for seconds in [5, 10, 31, 100, 7200] {
            assert_capped(*policy, Duration::from_secs(3600), Duration::from_secs(seconds), name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn the_third_transmission_leaves_in_time_and_a_nanosecond_more_would_be_too_much(
        settings in generators::settings(), asked in generators::span(), deadline in generators::span(),
        own in prop::option::of(generators::span()), transmissions in 1..6_u32,
    ) {
        let policy = RetryPolicy::new(build(&settings)?).with_max_transmissions(transmissions)?;
        let policy = own.map_or(Ok(policy), |own| policy.with_deadline(Duration::from_nanos(own)))?;
        assert_capped(policy, Duration::from_nanos(asked), Duration::from_nanos(deadline), "generated");
    }
}

/// Against the definition: the latest moment that the policy's own schedule has for the third transmission.
fn assert_capped(policy: RetryPolicy, asked: Duration, deadline: Duration, name: &str) {
    let within = policy.starting_within(asked, Some(deadline));
    let carried = policy.starting_at(asked);
    let end = policy.deadline().map_or(deadline, |own| own.min(deadline));
    let (own, initial) = (policy.backoff().initial(), within.backoff().initial());
    let fits = |policy: RetryPolicy| latest(policy) < end;
    if initial == carried.backoff().initial() {
        assert!(initial <= own || fits(carried), "{name}: {initial:?} is not capped by {end:?}");
    } else {
        assert!(initial >= own && initial < carried.backoff().initial(), "{name}: {initial:?}");
        assert!(initial == own || fits(within), "{name}: {initial:?} is too long for {end:?}");
        assert!(!fits(policy.starting_at(initial + Duration::from_nanos(1))), "{name}: {initial:?} of {end:?}");
    }
    assert_eq!(within, policy.starting_at(initial), "{name}: nothing else changes");
}

/// The latest moment of the third transmission, or of the last one, by the bounds of the intervals.
fn latest(policy: RetryPolicy) -> Duration {
    let last = policy.max_transmissions().min(3) - 1;
    let sum = (0..last).map(|n| policy.backoff().bounds(n).1.as_nanos()).sum::<u128>();
    Duration::from_nanos(u64::try_from(sum).unwrap_or(u64::MAX))
}

fn build(settings: &Settings) -> Result<Backoff, TestCaseError> {
    Ok(settings.build()?)
}

#[test]
fn the_wait_that_is_carried_over_keeps_its_jitter_and_its_growth() {
    let jitter = Jitter::compounding(0.9, 1.1).unwrap();
    let backoff = Backoff::exponential(ms(1000), ms(120_000)).unwrap().with_jitter(jitter).unwrap();
    let policy = RetryPolicy::new(backoff).starting_within(ms(60_000), Some(ms(10_000)));
    assert_eq!((policy.backoff().jitter(), policy.backoff().multiplier()), (jitter, 2.0));
    // 1.1 + 1.1 * 2.1 = 3.41 first waits.
    assert!(policy.backoff().initial().abs_diff(ms(10_000) / 341 * 100) < Duration::from_nanos(200), "{policy:?}");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A moment, in milliseconds.
fn at(moment: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(moment))
}

fn cases() -> u32 {
    std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}
