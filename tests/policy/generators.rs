//! Random settings, extreme ones included: a nanosecond, 292 years, factors of one and of a billion.

use core::ops::Range;

use proptest::prelude::*;

use crate::exact::{Drawn, ONE, Settings};

/// Settings that keep every rule.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    (span(), span(), multiplier(), jitter(), any::<(u64, u8)>()).prop_map(
        |(initial, room, multiplier, (lo, hi, plus_minus, drawn), (floor, kind))| {
            let mut settings = Settings { initial, max: 0, multiplier, floor: 1, lo, hi, plus_minus, drawn };
            if drawn == Drawn::Compounding {
                (settings.lo, settings.hi) = (lo.min(ONE), hi.max(ONE));
                settings.multiplier = multiplier.max(ONE * 5 / 4 * ONE / settings.lo + 1 + ONE - settings.lo);
            }
            settings.initial = initial.min(largest_initial(&settings));
            let reach = reach(&settings);
            settings.max = match kind % 4 {
                0 => u64::MAX,
                1 => reach.max(settings.initial),
                _ => reach.max(settings.initial).saturating_add(room),
            };
            settings.floor = match kind / 4 % 4 {
                0 => 1 + floor % settings.initial,
                1 => settings.initial,
                _ => 1,
            };
            settings
        },
    )
}

/// Settings without jitter.
pub(crate) fn plain() -> impl Strategy<Value = Settings> {
    settings().prop_map(|settings| Settings { lo: ONE, hi: ONE, plus_minus: 0, drawn: Drawn::Each, ..settings })
}

/// Settings whose draws do not depend on the interval before.
pub(crate) fn memoryless() -> impl Strategy<Value = Settings> {
    settings().prop_map(|settings| match settings.drawn {
        Drawn::Compounding => Settings { drawn: Drawn::Each, ..settings },
        _ => settings,
    })
}

/// Slots: mostly those that occur, some that overflow careless arithmetic.
pub(crate) fn slot() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 0..=64_u32,
        1 => 65..=200_u32,
        1 => prop::sample::select(vec![10_000, 1 << 31, u32::MAX - 1, u32::MAX]),
    ]
}

/// Nanoseconds of any magnitude, round ones among them.
pub(crate) fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => prop::sample::select(vec![1, 2, 3, 999, 1_000, 999_999, 1_000_000, ONE, 60 * ONE, 1 << 63, u64::MAX]),
        1 => (1..=600_u64).prop_map(|decis| decis * ONE / 10),
        2 => (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| (bits >> shift).max(1)),
    ]
}

fn multiplier() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => prop::sample::select(vec![
            ONE, ONE + 1, ONE / 10 * 11, ONE / 2 * 3, ONE / 5 * 8, 2 * ONE, 2 * ONE, 3 * ONE, 10 * ONE, ONE * ONE,
        ]),
        2 => ONE..4 * ONE,
        1 => (1..ONE).prop_map(|factor| factor * ONE),
    ]
}

fn jitter() -> impl Strategy<Value = (u64, u64, u64, Drawn)> {
    let drawn = prop::sample::select(vec![Drawn::Each, Drawn::Each, Drawn::Once]);
    let named = vec![(ONE, ONE), (ONE, ONE / 2 * 3), (0, ONE), (ONE / 2, ONE), (ONE / 10 * 9, ONE / 10 * 11)];
    prop_oneof![
        3 => (prop::sample::select(named), drawn.clone()).prop_map(|((lo, hi), drawn)| (lo, hi, 0, drawn)),
        2 => (0..2 * ONE, 1..2 * ONE, drawn.clone()).prop_map(|(a, b, drawn)| (a.min(b), a.max(b), 0, drawn)),
        // Very narrow, very small, very large.
        1 => (factors(0..2 * ONE, 4), drawn.clone()).prop_map(|((lo, hi), drawn)| (lo, hi, 0, drawn)),
        1 => (factors(0..5, 5), drawn.clone()).prop_map(|((lo, hi), drawn)| (lo, hi, 0, drawn)),
        1 => (1..=ONE, 0..=ONE, drawn).prop_map(|(hi, lo, drawn)| (lo.min(hi) * ONE, hi * ONE, 0, drawn)),
        2 => span().prop_map(|deviation| (ONE, ONE, deviation.min(u64::MAX - 1), Drawn::Each)),
        3 => (ONE / 5 * 4..=ONE, ONE..2 * ONE).prop_map(|(lo, hi)| (lo, hi, 0, Drawn::Compounding)),
        1 => (ONE / 100..=ONE, ONE..4 * ONE).prop_map(|(lo, hi)| (lo, hi, 0, Drawn::Compounding)),
        1 => Just((ONE, ONE, 0, Drawn::Compounding)),
    ]
}

fn factors(lo: Range<u64>, width: u64) -> impl Strategy<Value = (u64, u64)> {
    (lo, 0..=width).prop_map(|(lo, width)| (lo, (lo + width).max(1)))
}

/// ⌈initial·hi⌉ + pm
fn reach(settings: &Settings) -> u64 {
    let scaled = (u128::from(settings.initial) * u128::from(settings.hi)).div_ceil(u128::from(ONE));
    u64::try_from(scaled + u128::from(settings.plus_minus)).unwrap_or(u64::MAX)
}

/// So that it reaches 584 years at most with its jitter.
fn largest_initial(settings: &Settings) -> u64 {
    let room = u128::from(u64::MAX - settings.plus_minus) * u128::from(ONE) / u128::from(settings.hi);
    u64::try_from(room).unwrap_or(u64::MAX).max(1)
}
