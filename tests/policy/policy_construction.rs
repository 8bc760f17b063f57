//! What cannot be built: every bad setting is refused with its own error, which names the rule and the values.

use std::time::Duration;

use crate::exact::{self, Drawn, ONE, Settings};
use crate::law;
use proptest::prelude::*;
use udp_retry::Seed;
use udp_retry::fault::NotAProbability;
use udp_retry::policy::{Backoff, Jitter, LastWait, PolicyError, RetryBudget, RttEstimator};
use udp_retry::{Probability, RetryPolicy};

const ZERO: Duration = Duration::ZERO;
const NANO: Duration = Duration::from_nanos(1);
const SEC: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// 584 years, and the next nanosecond.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);
const TOO_LONG: Duration = LONGEST.saturating_add(NANO);

#[test]
fn an_interval_of_zero_is_refused() {
    assert_eq!(Backoff::exponential(ZERO, SEC), Err(PolicyError::ZeroInitial));
    assert_eq!(Backoff::exponential(ZERO, ZERO), Err(PolicyError::ZeroInitial));
    assert_eq!(Backoff::constant(ZERO), Err(PolicyError::ZeroInitial));
    assert!(Backoff::constant(NANO).is_ok());
}

#[test]
fn a_maximum_below_the_initial_interval_is_refused() {
    for (initial, max) in [(SEC, SEC - NANO), (NANO, ZERO), (LONGEST, SEC)] {
        assert_eq!(Backoff::exponential(initial, max), Err(PolicyError::MaxBelowInitial { initial, max }));
    }
    assert!(Backoff::exponential(SEC, SEC).is_ok());
}

#[test]
fn durations_past_584_years_are_refused_wherever_they_come_in() {
    for duration in [TOO_LONG, Duration::MAX] {
        let refused = PolicyError::TooLong { duration };
        assert_eq!(Backoff::exponential(duration, SEC), Err(refused));
        assert_eq!(Backoff::exponential(SEC, duration), Err(refused));
        assert_eq!(Backoff::constant(duration), Err(refused));
        assert_eq!(doubling().with_floor(duration), Err(refused));
        assert_eq!(Jitter::plus_minus(duration), Err(refused));
        assert_eq!(RetryPolicy::LAN.with_deadline(duration), Err(refused));
        assert_eq!(RetryPolicy::LAN.with_patience(duration), Err(refused));
        assert_eq!(RetryPolicy::LAN.with_start_delay(ZERO, duration), Err(refused));
        assert_eq!(RetryPolicy::LAN.with_start_delay(duration, duration), Err(refused));
        assert_eq!(RetryPolicy::LAN.with_start_delay(duration, ZERO), Err(refused));
    }
    assert!(Backoff::constant(LONGEST).is_ok());
    assert!(Jitter::plus_minus(LONGEST).is_ok());
    assert!(Backoff::constant(LONGEST).and_then(|backoff| backoff.with_floor(LONGEST)).is_ok());
    let policy = RetryPolicy::LAN.with_deadline(LONGEST).and_then(|policy| policy.with_patience(LONGEST));
    assert!(policy.and_then(|policy| policy.with_start_delay(LONGEST, LONGEST)).is_ok());
}

#[test]
fn a_multiplier_that_is_no_growth_is_refused() {
    let just_below_one = 1.0 - f64::EPSILON / 2.0;
    let just_above_a_billion = 1e9 + 1e-6;
    for multiplier in [0.0, -0.0, -1.0, -2.0, 0.5, 0.999_999_999, just_below_one, just_above_a_billion, f64::MAX] {
        assert_eq!(doubling().with_multiplier(multiplier), Err(PolicyError::MultiplierOutOfRange { multiplier }));
    }
    for multiplier in [f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
        assert_eq!(doubling().with_multiplier(multiplier), Err(PolicyError::MultiplierOutOfRange { multiplier }));
    }
    let not_a_number = doubling().with_multiplier(f64::NAN);
    assert!(matches!(not_a_number, Err(PolicyError::MultiplierOutOfRange { multiplier }) if multiplier.is_nan()));
    for multiplier in [1.0, 1.0 + f64::EPSILON, 1.000_000_001, 1.1, 2.0, 1e9] {
        assert!(doubling().with_multiplier(multiplier).is_ok(), "{multiplier}");
    }
}

#[test]
fn jitter_factors_out_of_order_are_refused() {
    for (lo, hi) in [(1.5, 1.0), (1.0, 0.999_999_999), (1.0 + f64::EPSILON, 1.0), (1e9, 1.0)] {
        for jitter in every_jitter(lo, hi) {
            assert_eq!(jitter, Err(PolicyError::JitterInverted { lo, hi }));
        }
    }
    for jitter in every_jitter(1.0, 1.0).into_iter().chain(every_jitter(0.0, 1e9)) {
        assert!(jitter.is_ok());
    }
}

#[test]
fn jitter_factors_that_are_no_factors_are_refused() {
    let infinite = f64::INFINITY;
    for (lo, hi) in [(-0.1, 1.0), (-2.0, -1.0), (1.0, -1.0), (0.0, 0.0), (1.0, infinite), (-infinite, 1.0), (1.0, 2e9)]
    {
        for jitter in every_jitter(lo, hi) {
            assert_eq!(jitter, Err(PolicyError::JitterOutOfRange { lo, hi }));
        }
    }
    for (lo, hi) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::NAN, f64::NAN)] {
        for jitter in every_jitter(lo, hi) {
            let Err(PolicyError::JitterOutOfRange { lo: told_lo, hi: told_hi }) = jitter else {
                panic!("{jitter:?}");
            };
            assert_eq!((told_lo.to_bits(), told_hi.to_bits()), (lo.to_bits(), hi.to_bits()));
        }
    }
    // The slightest factor there is; half of it rounds to none.
    assert!(Jitter::between(0.0, 1e-9).is_ok());
    assert_eq!(Jitter::between(0.0, 4e-10), Err(PolicyError::JitterOutOfRange { lo: 0.0, hi: 4e-10 }));
}

#[test]
fn jitter_that_takes_the_initial_interval_past_the_maximum_is_refused() {
    let tight = Backoff::exponential(SEC, SEC + SEC / 2 - NANO).unwrap();
    let reaches = SEC + SEC / 2;
    assert_eq!(tight.with_jitter(Jitter::UPWARD), Err(PolicyError::JitterTooWide { reaches, max: tight.max() }));
    assert!(Backoff::exponential(SEC, reaches).unwrap().with_jitter(Jitter::UPWARD).is_ok());
    let second = Jitter::plus_minus(SEC).unwrap();
    assert_eq!(
        Backoff::exponential(SEC, 2 * SEC - NANO).unwrap().with_jitter(second),
        Err(PolicyError::JitterTooWide { reaches: 2 * SEC, max: 2 * SEC - NANO })
    );
    assert!(Backoff::exponential(SEC, 2 * SEC).unwrap().with_jitter(second).is_ok());
    let constant = Backoff::constant(SEC).unwrap();
    assert_eq!(constant.with_jitter(Jitter::UPWARD), Err(PolicyError::JitterTooWide { reaches, max: SEC }));
    assert!(constant.with_jitter(Jitter::EQUAL).is_ok());
    // A part of a nanosecond too much is too much.
    assert_eq!(
        Backoff::constant(NANO).unwrap().with_jitter(Jitter::between(1.0, 1.000_000_001).unwrap()),
        Err(PolicyError::JitterTooWide { reaches: 2 * NANO, max: NANO })
    );
}

// 64 bits of nanoseconds are no excuse: what reaches past them reaches past every maximum.
#[test]
fn jitter_that_reaches_past_584_years_is_refused_even_at_the_longest_maximum() {
    let widest = Jitter::between(1.0, 1e9).unwrap();
    let deviation = Jitter::plus_minus(LONGEST).unwrap();
    let longest = Backoff::constant(LONGEST).unwrap();
    for (backoff, jitter, reaches) in [
        (longest, Jitter::UPWARD, LONGEST + LONGEST / 2 + NANO),
        (longest, Jitter::between(1.0, 1.000_000_001).unwrap(), LONGEST + Duration::from_nanos(18_446_744_074)),
        (longest, widest, Duration::from_secs(u64::MAX)),
        (longest, deviation, 2 * LONGEST),
        (Backoff::exponential(NANO, LONGEST).unwrap(), deviation, TOO_LONG),
    ] {
        assert_eq!(backoff.with_jitter(jitter), Err(PolicyError::JitterTooWide { reaches, max: LONGEST }));
    }
    assert!(Backoff::exponential(NANO, LONGEST).unwrap().with_jitter(widest).is_ok());
}

#[test]
fn compounding_jitter_that_might_not_grow_is_refused() {
    let tenth = Jitter::compounding(0.9, 1.1).unwrap();
    let roomy = Backoff::exponential(SEC, MINUTE).unwrap();
    assert!(roomy.with_jitter(tenth).is_ok());
    // (1.48 − 1 + 0.9)·0.9 = 1.242, (1.5 − 1 + 0.9)·0.9 = 1.26
    let slow = roomy.with_multiplier(1.48).unwrap();
    assert_eq!(slow.with_jitter(tenth), Err(PolicyError::CompoundingTooSlow { multiplier: 1.48, lo: 0.9 }));
    assert!(roomy.with_multiplier(1.5).unwrap().with_jitter(tenth).is_ok());
    // In the other order too, and at the limit itself.
    let compounding = roomy.with_jitter(tenth).unwrap();
    let refused = PolicyError::CompoundingTooSlow { multiplier: 1.48, lo: 0.9 };
    assert_eq!(compounding.with_multiplier(1.48), Err(refused));
    assert!(roomy.with_multiplier(1.25).unwrap().with_jitter(Jitter::compounding(1.0, 1.0).unwrap()).is_ok());
    let down_to_nothing = Jitter::compounding(0.0, 1.0).unwrap();
    assert_eq!(
        roomy.with_multiplier(1e9).unwrap().with_jitter(down_to_nothing),
        Err(PolicyError::CompoundingTooSlow { multiplier: 1e9, lo: 0.0 })
    );
}

#[test]
fn compounding_jitter_on_one_side_only_is_refused() {
    for (lo, hi) in [(0.5, 0.8), (0.9, 0.999_999_999), (1.000_000_001, 1.5), (2.0, 3.0)] {
        let refused = PolicyError::CompoundingOneSided { lo, hi };
        assert_eq!(Jitter::compounding(lo, hi), Err(refused));
        let words = format!("compounding jitter needs factors on both sides of 1, not {lo} and {hi}");
        assert_eq!(refused.to_string(), words);
    }
    for (lo, hi) in [(1.0, 1.0), (0.9, 1.0), (1.0, 1.1), (0.0, 1e9)] {
        assert!(Jitter::compounding(lo, hi).is_ok(), "{lo} to {hi}");
    }
}

#[test]
fn a_floor_above_the_initial_interval_is_refused() {
    let floor = SEC + NANO;
    assert_eq!(doubling().with_floor(floor), Err(PolicyError::FloorAboveInitial { floor, initial: SEC }));
    assert_eq!(doubling().with_floor(SEC).map(|backoff| backoff.floor()), Ok(SEC));
    // No interval is ever shorter than a nanosecond anyway.
    assert_eq!(doubling().with_floor(ZERO).map(|backoff| backoff.floor()), Ok(NANO));
}

#[test]
fn a_policy_that_could_never_succeed_is_refused() {
    let policy = RetryPolicy::LAN;
    assert_eq!(policy.with_max_transmissions(0), Err(PolicyError::ZeroTransmissions));
    assert_eq!(policy.with_last_wait(LastWait::Initial(0)), Err(PolicyError::ZeroLastWait));
    assert_eq!(policy.with_deadline(ZERO), Err(PolicyError::ZeroDeadline));
    assert_eq!(policy.with_patience(ZERO), Err(PolicyError::ZeroPatience));
    assert!(policy.with_max_transmissions(1).is_ok() && policy.with_max_transmissions(u32::MAX).is_ok());
    assert!(policy.with_last_wait(LastWait::Initial(1)).is_ok() && policy.with_last_wait(LastWait::Next).is_ok());
    assert!(policy.with_deadline(NANO).is_ok() && policy.with_patience(NANO).is_ok());
}

#[test]
fn a_start_delay_that_ends_before_it_begins_is_refused() {
    let (from, to) = (SEC, SEC - NANO);
    assert_eq!(RetryPolicy::LAN.with_start_delay(from, to), Err(PolicyError::StartDelayInverted { from, to }));
    let fixed = RetryPolicy::LAN.with_start_delay(SEC, SEC).unwrap();
    assert_eq!(fixed.start_delay(), (SEC, SEC));
}

#[test]
fn what_is_no_probability_is_refused() {
    for number in [-1e-300, 1.0 + f64::EPSILON, 30.0, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Probability::new(number), Err(NotAProbability::OutOfRange(number)));
    }
    assert!(matches!(Probability::new(f64::NAN), Err(NotAProbability::OutOfRange(number)) if number.is_nan()));
    for (numerator, denominator) in [(2, 1), (0, 0), (1, 0), (u64::MAX, u64::MAX - 1)] {
        let refused = NotAProbability::NotARatio { numerator, denominator };
        assert_eq!(Probability::ratio(numerator, denominator), Err(refused));
    }
    assert_eq!(Probability::new(30.0).unwrap_err().to_string(), "a probability is a number from 0 to 1, not 30");
    let ratio = Probability::ratio(3, 2).unwrap_err();
    assert_eq!(ratio.to_string(), "a probability is a ratio from 0 to 1, not 3 of 2");
}

#[test]
fn every_refusal_names_its_rule_and_the_values() {
    let estimator = RttEstimator::new(SEC, 2 * SEC, MINUTE).unwrap_err();
    for (refused, words) in [
        (Backoff::constant(ZERO).unwrap_err(), "the initial interval must be longer than zero"),
        (Backoff::exponential(2 * SEC, SEC).unwrap_err(), "the longest interval, 1s, is below the initial one, 2s"),
        (
            Backoff::constant(TOO_LONG).unwrap_err(),
            "18446744073.709551616s is longer than the 584 years that can be counted in nanoseconds",
        ),
        (
            doubling().with_multiplier(0.5).unwrap_err(),
            "the multiplier must be a number from 1 to 1,000,000,000, not 0.5",
        ),
        (
            doubling().with_multiplier(f64::NAN).unwrap_err(),
            "the multiplier must be a number from 1 to 1,000,000,000, not NaN",
        ),
        (
            Jitter::between(-1.0, 2.0).unwrap_err(),
            "jitter factors must be numbers from 0 to 1,000,000,000, the higher above 0, not -1 and 2",
        ),
        (Jitter::once(2.0, 1.5).unwrap_err(), "the lower jitter factor, 2, exceeds the higher one, 1.5"),
        (
            Backoff::constant(SEC).unwrap().with_jitter(Jitter::UPWARD).unwrap_err(),
            "with its jitter the initial interval reaches 1.5s, above the longest interval, 1s",
        ),
        (
            doubling().with_multiplier(1.25).unwrap().with_jitter(Jitter::compounding(0.9, 1.1).unwrap()).unwrap_err(),
            "compounding jitter down to 0.9 needs a larger multiplier than 1.25: (multiplier - 1 + lo) * lo must reach 1.25",
        ),
        (doubling().with_floor(2 * SEC).unwrap_err(), "the floor, 2s, exceeds the initial interval, 1s"),
        (RetryPolicy::LAN.with_max_transmissions(0).unwrap_err(), "a policy needs at least one transmission"),
        (
            RetryPolicy::LAN.with_last_wait(LastWait::Initial(0)).unwrap_err(),
            "the last wait must be at least one initial interval",
        ),
        (RetryPolicy::LAN.with_deadline(ZERO).unwrap_err(), "the deadline must be longer than zero"),
        (RetryPolicy::LAN.with_patience(ZERO).unwrap_err(), "the patience must be longer than zero"),
        (
            RetryPolicy::LAN.with_start_delay(SEC, ZERO).unwrap_err(),
            "the start delay ends at 0ns, before it begins at 1s",
        ),
        (estimator, "an estimator needs 0 < floor <= initial <= cap, not 2s, 1s and 60s"),
        (
            RetryBudget::new(-1.0, 10, 3).unwrap_err(),
            "the ratio of a budget must be a number from 0 to 1,000,000,000, not -1",
        ),
        (RetryBudget::new(0.3, 10, 11).unwrap_err(), "a budget that holds 10 tokens cannot start with 11"),
    ] {
        assert_eq!(refused.to_string(), words);
        let as_error: &dyn std::error::Error = &refused;
        assert!(as_error.source().is_none());
    }
}

// Every setting returns a new value or an error, so that a refused one cannot leave anything behind.
#[test]
fn a_refusal_leaves_what_was_built_as_it_was() {
    let backoff = doubling().with_jitter(Jitter::UPWARD).unwrap();
    let before = backoff;
    let refusals = [
        backoff.with_multiplier(f64::NAN),
        backoff.with_floor(MINUTE),
        backoff.with_jitter(Jitter::plus_minus(MINUTE).unwrap()),
    ];
    assert!(refusals.iter().all(Result::is_err));
    assert_eq!(backoff, before);
    assert_eq!(backoff.bounds(3), before.bounds(3));
}

#[test]
fn policies_can_be_built_at_compile_time() {
    const POLICY: Result<RetryPolicy, PolicyError> = match Backoff::exponential(SEC, MINUTE) {
        Ok(backoff) => RetryPolicy::new(backoff).with_max_transmissions(3),
        Err(error) => Err(error),
    };
    assert_eq!(POLICY.map(|policy| policy.max_transmissions()), Ok(3));
    const DELAY: Duration = RetryPolicy::LAN.backoff().delay(2, Seed::new(7));
    assert_eq!(DELAY, Duration::from_millis(400));
}

proptest! {
    #![proptest_config(cases())]

    // P10, P11
    #[test]
    fn any_input_at_all_is_refused_or_keeps_every_promise(
        durations in (duration(), duration(), duration(), duration()),
        factors in (number(), number(), number()), drawn in 0..5_u8, n: u32, seed: u64,
    ) {
        let (initial, max, floor, deviation) = durations;
        let (multiplier, lo, hi) = factors;
        let jitter = match drawn {
            0 => Ok(Jitter::NONE),
            1 => Jitter::between(lo, hi),
            2 => Jitter::once(lo, hi),
            3 => Jitter::compounding(lo, hi),
            _ => Jitter::plus_minus(deviation),
        };
        let backoff = Backoff::exponential(initial, max)
            .and_then(|backoff| backoff.with_multiplier(multiplier))
            .and_then(|backoff| backoff.with_jitter(jitter?))
            .and_then(|backoff| backoff.with_floor(floor));
        if let Ok(backoff) = backoff {
            let ppb = |factor: f64| (factor * 1e9).round() as u64;
            let (lo, hi) = if drawn == 0 || drawn == 4 { (ONE, ONE) } else { (ppb(lo), ppb(hi)) };
            let settings = Settings {
                initial: exact::ns(initial),
                max: exact::ns(max),
                multiplier: ppb(multiplier),
                floor: exact::ns(floor).max(1),
                lo,
                hi,
                plus_minus: if drawn == 4 { exact::ns(deviation) } else { 0 },
                drawn: match drawn {
                    2 => Drawn::Once,
                    3 => Drawn::Compounding,
                    _ => Drawn::Each,
                },
            };
            prop_assert!(settings.keep_every_rule(), "{:?}", settings);
            law::assert_kept(&settings, &backoff, n, seed);
            law::assert_kept(&settings, &backoff, n % 32, seed);
        }
    }

    #[test]
    fn any_policy_setting_at_all_is_refused_or_told_back(
        transmissions: u32, count: u32, times in (duration(), duration(), duration(), duration()),
    ) {
        let (deadline, patience, from, to) = times;
        let policy = RetryPolicy::LAN;
        let fits = |duration: Duration| duration <= LONGEST;
        let told = policy.with_max_transmissions(transmissions).map(|policy| policy.max_transmissions());
        prop_assert_eq!(told.ok(), (transmissions > 0).then_some(transmissions));
        let told = policy.with_last_wait(LastWait::Initial(count)).map(|policy| policy.last_wait());
        prop_assert_eq!(told.ok(), (count > 0).then_some(LastWait::Initial(count)));
        let told = policy.with_deadline(deadline).map(|policy| policy.deadline());
        prop_assert_eq!(told.ok(), (fits(deadline) && !deadline.is_zero()).then_some(Some(deadline)));
        let told = policy.with_patience(patience).map(|policy| policy.patience());
        prop_assert_eq!(told.ok(), (fits(patience) && !patience.is_zero()).then_some(patience));
        let told = policy.with_start_delay(from, to).map(|policy| policy.start_delay());
        prop_assert_eq!(told.ok(), (fits(to) && from <= to).then_some((from, to)));
    }

    #[test]
    fn any_number_at_all_is_a_probability_or_refused(number in number()) {
        let probability = Probability::new(number);
        prop_assert_eq!(probability.is_ok(), (0.0..=1.0).contains(&number));
        if let Ok(probability) = probability {
            prop_assert!((probability.as_f64() - number).abs() <= f64::EPSILON);
        }
    }
}

fn doubling() -> Backoff {
    Backoff::exponential(SEC, MINUTE).unwrap()
}

fn every_jitter(lo: f64, hi: f64) -> [Result<Jitter, PolicyError>; 3] {
    [Jitter::between(lo, hi), Jitter::once(lo, hi), Jitter::compounding(lo, hi)]
}

/// Of any magnitude, a few past what is counted.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| Duration::from_nanos(bits >> shift)),
        1 => prop::sample::select(vec![ZERO, NANO, SEC, LONGEST, TOO_LONG, Duration::MAX]),
        1 => (any::<u64>(), 0..ONE as u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

/// Any bits at all, and numbers that may be factors.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, 2.0, 1e9, -1.0, f64::NAN, f64::INFINITY, f64::MAX]),
        4 => (0..4_000_u32).prop_map(|thousandths| f64::from(thousandths) / 1000.0),
        2 => 0.0..4.0,
        1 => 0.0..1e6,
    ]
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").map_or(10_000, |cases| cases.parse().expect("a number of cases"));
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}
