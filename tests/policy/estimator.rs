//! The round-trip estimator against RFC 6298, and each requirement of RFC 8961 §4 that concerns it by name.

use core::time::Duration;

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::policy::{PolicyError, RttEstimator};
use udp_retry::time::Timestamp;

#[test]
fn the_published_vector_holds() {
    // Samples, and SRTT, RTTVAR and RTO before the floor, in microseconds: exact, since all are multiples of 2⁻¹⁰ ms.
    let vector = [
        (100, 100_000.0, 50_000.0, 300_000.0),
        (100, 100_000.0, 37_500.0, 250_000.0),
        (200, 112_500.0, 53_125.0, 325_000.0),
        (50, 104_687.5, 55_468.75, 326_562.5),
        (400, 141_601.562_5, 115_429.687_5, 603_320.312_5),
        (100, 136_401.367_187_5, 96_972.656_25, 524_291.992_187_5),
    ];
    let (mut low, mut rfc) = (estimator(1, 60_000), RttEstimator::default());
    for (sample, srtt, rttvar, rto) in vector {
        low.on_reply(at(0), Some(ms(sample)));
        rfc.on_reply(at(0), Some(ms(sample)));
        assert_near(low.srtt(at(0)).unwrap(), srtt);
        assert_near(low.rttvar(at(0)).unwrap(), rttvar);
        assert_near(low.rto(at(0)), rto);
        assert_eq!(rfc.rto(at(0)), ms(1000), "RFC 6298 §2.4: the floor");
    }
}

#[test]
fn rfc_8961_1_without_knowledge_the_timeout_is_a_second() {
    assert_eq!(RttEstimator::default().rto(at(0)), ms(1000));
    assert_eq!(RttEstimator::default().srtt(at(0)), None);
    let (first_wait, _) = RetryPolicy::default().backoff().bounds(0);
    assert!(first_wait >= ms(1000));
}

#[test]
fn rfc_8961_2a_the_timeout_follows_several_samples_and_their_variation() {
    let (mut steady, mut wild) = (estimator(1, 60_000), estimator(1, 60_000));
    for n in 0..64 {
        steady.on_reply(at(n), Some(ms(100)));
        wild.on_reply(at(n), Some(ms(if n % 2 == 0 { 50 } else { 150 })));
    }
    assert!(steady.rto(at(64)) < ms(102), "{:?}", steady.rto(at(64)));
    assert!(wild.rto(at(64)) > ms(250), "{:?}", wild.rto(at(64)));
    let before = steady.rto(at(64));
    steady.on_reply(at(64), Some(ms(1000)));
    assert!(steady.srtt(at(64)).unwrap() < ms(250), "one sample is not the whole truth");
    assert!(steady.rto(at(64)) > before);
}

#[test]
fn rfc_8961_2c_an_ambiguous_sample_is_never_used() {
    let mut rtt = estimator(1, 60_000);
    rtt.on_reply(at(0), None);
    assert_eq!(rtt.srtt(at(0)), None);
    rtt.on_reply(at(0), Some(ms(100)));
    let before = rtt;
    rtt.on_reply(at(1), None);
    assert_eq!(rtt, before);
}

#[test]
fn rfc_8961_3_every_expiry_doubles_the_timeout_up_to_a_minute() {
    let mut rtt = RttEstimator::default();
    for expected in [2, 4, 8, 16, 32, 60, 60] {
        rtt.on_expiry(at(0), rtt.rto(at(0)));
        assert_eq!(rtt.rto(at(0)), Duration::from_secs(expected));
    }
}

#[test]
fn rfc_8961_3_the_doubling_lasts_until_a_clean_reply_and_no_longer() {
    let mut rtt = estimator(50, 60_000);
    rtt.on_reply(at(0), Some(ms(100)));
    rtt.on_expiry(at(1), ms(300));
    rtt.on_expiry(at(2), ms(600));
    assert_eq!(rtt.rto(at(3)), ms(1200));
    rtt.on_reply(at(3), None);
    assert_eq!(rtt.rto(at(4)), ms(1200), "a reply after a retransmission cures nothing");
    rtt.on_reply(at(5), Some(ms(100)));
    assert_eq!(rtt.rto(at(6)), ms(250));
}

#[test]
fn several_requests_that_expire_together_double_once() {
    let mut rtt = estimator(50, 60_000);
    rtt.on_reply(at(0), Some(ms(100)));
    for _ in 0..100 {
        rtt.on_expiry(at(1), ms(300));
    }
    assert_eq!(rtt.rto(at(1)), ms(600));
}

#[test]
fn a_late_expiry_of_a_short_timeout_lowers_nothing() {
    let mut rtt = estimator(50, 60_000);
    rtt.on_expiry(at(0), ms(4000));
    rtt.on_expiry(at(1), ms(100));
    assert_eq!(rtt.rto(at(1)), ms(8000));
}

#[test]
fn a_doubling_cannot_stick_even_if_every_request_needs_a_retransmission() {
    let mut rtt = RttEstimator::default();
    let ten_minutes = 600_000;
    for n in 0..60 {
        rtt.on_expiry(at(n * 10_000), rtt.rto(at(n * 10_000)));
        rtt.on_reply(at(n * 10_000 + 1), None);
    }
    assert_eq!(rtt.rto(at(ten_minutes)), ms(60_000));
    assert_eq!(rtt.rto(at(ten_minutes + 1)), ms(1000), "ten minutes after the first expiry");
    rtt.on_expiry(at(ten_minutes + 2), ms(1000));
    assert_eq!(rtt.rto(at(ten_minutes + 2)), ms(2000), "and a new one begins");
    assert_eq!(rtt.rto(at(2 * ten_minutes + 2)), ms(2000));
    assert_eq!(rtt.rto(at(2 * ten_minutes + 3)), ms(1000));
}

#[test]
fn an_estimate_that_no_sample_renews_is_forgotten() {
    let mut rtt = estimator(50, 60_000).with_max_age(ms(5000)).unwrap();
    rtt.on_reply(at(0), Some(ms(100)));
    assert_eq!(rtt.rto(at(5000)), ms(300));
    assert_eq!((rtt.rto(at(5001)), rtt.srtt(at(5001)), rtt.rttvar(at(5001))), (ms(1000), None, None));
    rtt.on_reply(at(6000), Some(ms(40)));
    assert_eq!(rtt.srtt(at(6000)), Some(ms(40)), "the old value leaves no trace");
}

#[test]
fn the_floor_and_the_cap_bound_what_is_measured() {
    let mut rtt = estimator(200, 3000);
    rtt.on_reply(at(0), Some(Duration::from_micros(10)));
    assert_eq!(rtt.rto(at(0)), ms(200));
    rtt.on_reply(at(0), Some(ms(60_000)));
    assert_eq!(rtt.rto(at(0)), ms(3000));
}

#[test]
fn a_clock_granularity_of_a_millisecond_is_allowed_for() {
    let mut rtt = estimator(1, 60_000);
    for n in 0..200 {
        rtt.on_reply(at(n), Some(ms(100)));
    }
    assert_eq!(rtt.rto(at(200)), ms(101), "RFC 6298 §2.3: SRTT + max(G, 4·RTTVAR)");
}

#[test]
fn bounds_out_of_order_are_refused_with_their_values() {
    for (initial, floor, cap) in [(1000, 0, 60_000), (100, 200, 60_000), (1000, 50, 999)] {
        assert_eq!(
            RttEstimator::new(ms(initial), ms(floor), ms(cap)),
            Err(PolicyError::EstimatorBounds { floor: ms(floor), initial: ms(initial), cap: ms(cap) })
        );
    }
    assert_eq!(RttEstimator::new(ms(1), ms(1), Duration::MAX), Err(PolicyError::TooLong { duration: Duration::MAX }));
    assert_eq!(
        RttEstimator::new(Duration::MAX, ms(1), ms(2)),
        Err(PolicyError::EstimatorBounds { floor: ms(1), initial: Duration::MAX, cap: ms(2) })
    );
    assert!(RttEstimator::default().with_max_age(Duration::MAX).is_err());
    assert_eq!(RttEstimator::new(ms(1000), ms(1000), ms(60_000)), Ok(RttEstimator::default()));
}

#[test]
fn a_policy_starts_at_what_the_estimator_says_and_keeps_its_own_bounds() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.starting_at(ms(300)).backoff().initial(), ms(300));
    assert_eq!(policy.starting_at(ms(300)).backoff().interval(2), ms(1200));
    assert_eq!(policy.starting_at(Duration::MAX).backoff().initial(), ms(40_000), "40 s · 1.5 is the maximum of 60 s");
    assert_eq!(policy.starting_at(Duration::ZERO).backoff().initial(), Duration::from_nanos(1));
    assert_eq!(policy.starting_at(ms(1000)), policy);
    assert_eq!(policy.starting_at(ms(300)).deadline(), policy.deadline());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 10))]

    #[test]
    fn the_estimate_is_the_exact_one_within_a_nanosecond_a_sample(samples in prop::collection::vec(0..10_000_000_000_u64, 1..60)) {
        let mut rtt = estimator(1, 60_000);
        let (mut srtt, mut rttvar) = (rational(0), rational(0));
        for (n, &sample) in samples.iter().enumerate() {
            rtt.on_reply(at(0), Some(Duration::from_nanos(sample)));
            let sample = rational(sample);
            if n == 0 {
                (srtt, rttvar) = (sample.clone(), sample / rational(2));
            } else {
                let deviation = &srtt - &sample;
                let deviation = if deviation < rational(0) { -deviation } else { deviation };
                rttvar = (rttvar * rational(3) + deviation) / rational(4);
                srtt = (srtt * rational(7) + sample) / rational(8);
            }
            // Half a nanosecond a sample adds up to 0.5/(1 - 7/8) for SRTT, and with a quarter of that to
            // (0.5 + 1)/(1 - 3/4) for RTTVAR.
            prop_assert!(within(rtt.srtt(at(0)).unwrap(), &srtt, 4));
            prop_assert!(within(rtt.rttvar(at(0)).unwrap(), &rttvar, 6));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_history_leads_out_of_the_bounds(
        floor in 1..u64::MAX, between in 0..u64::MAX, above in 0..u64::MAX,
        events in prop::collection::vec((any::<u64>(), prop::option::of(any::<u64>()), any::<bool>()), 0..40),
    ) {
        let initial = floor.saturating_add(between);
        let cap = initial.saturating_add(above);
        let [floor, initial, cap] = [floor, initial, cap].map(Duration::from_nanos);
        let mut rtt = RttEstimator::new(initial, floor, cap).unwrap();
        for (now, sample, expiry) in events {
            let now = Timestamp::from_nanos(now);
            if expiry {
                rtt.on_expiry(now, Duration::from_nanos(sample.unwrap_or(u64::MAX)));
            } else {
                rtt.on_reply(now, sample.map(Duration::from_nanos));
            }
            for moment in [Timestamp::ZERO, now, Timestamp::MAX] {
                prop_assert!((floor..=cap).contains(&rtt.rto(moment)));
            }
        }
    }

    #[test]
    fn shifting_every_moment_changes_nothing_else(
        shift in 0..u64::MAX / 2,
        events in prop::collection::vec((0..1_000_000_000_000_u64, 0..5_000_000_000_u64, any::<bool>()), 0..40),
    ) {
        let (mut here, mut there) = (estimator(1, 60_000), estimator(1, 60_000));
        for (now, value, expiry) in events {
            let (now, shifted) = (Timestamp::from_nanos(now), Timestamp::from_nanos(now + shift));
            let value = Duration::from_nanos(value);
            if expiry {
                here.on_expiry(now, value);
                there.on_expiry(shifted, value);
            } else {
                here.on_reply(now, Some(value));
                there.on_reply(shifted, Some(value));
            }
            prop_assert_eq!(here.rto(now), there.rto(shifted));
        }
    }
}

/// With an initial timeout of a second.
fn estimator(floor_ms: u64, cap_ms: u64) -> RttEstimator {
    RttEstimator::new(ms(1000), ms(floor_ms), ms(cap_ms)).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A moment, in milliseconds.
fn at(moment: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(moment))
}

#[track_caller]
fn assert_near(duration: Duration, expected_us: f64) {
    let us = duration.as_secs_f64() * 1e6;
    assert!((us - expected_us).abs() <= 0.004, "{us} us instead of {expected_us} us");
}

fn rational(value: u64) -> BigRational {
    BigRational::from_integer(BigInt::from(value))
}

/// At most `error` nanoseconds below or above the exact value.
fn within(duration: Duration, exact: &BigRational, error: u64) -> bool {
    let difference = rational(duration.as_nanos() as u64) - exact;
    difference <= rational(error) && -difference <= rational(error)
}

fn cases() -> u32 {
    std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}
