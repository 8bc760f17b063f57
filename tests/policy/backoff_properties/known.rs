//! Delays of known seeds, pinned.

use std::time::Duration;

use udp_retry::{RetryPolicy, Seed};

use super::start_delay;
use crate::exact::{Drawn, ONE, Settings, ns};

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
    // From a stream of their own: not the draws of the first intervals.
    let policy = RetryPolicy::LAN.with_start_delay(Duration::from_millis(20), Duration::from_millis(120)).unwrap();
    let delays = [0, 1, 7, u64::MAX].map(|seed| start_delay(&policy, seed));
    assert_eq!(delays, [26_920_248, 92_583_722, 101_826_143, 61_320_460]);
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
