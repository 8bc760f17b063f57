//! Paths that lose some of everything.

use std::num::NonZeroU8;

use udp_retry::pmtu::{MaxProbes, SearchSettings};
use udp_retry::size::IpFamily;

use crate::dice::Dice;
use crate::path::Path;

const PATHS: [u32; 6] = [1500, 1492, 1480, 1420, 1400, 1280];
const SEEDS: u64 = 200;
const SEARCHES: u32 = PATHS.len() as u32 * SEEDS as u32;

/// Of all searches: how many were right, and the probes that they sent.
#[derive(PartialEq, Debug)]
struct Measured {
    right: u32,
    probes: u32,
    /// Milliseconds.
    median: u128,
}

impl Measured {
    fn per_cent_right(&self) -> f64 {
        f64::from(self.right) * 100.0 / f64::from(SEARCHES)
    }

    fn mean_probes(&self) -> f64 {
        f64::from(self.probes) / f64::from(SEARCHES)
    }
}

fn measure(family: IpFamily, loss: u64, reports: bool, settings: SearchSettings) -> Measured {
    let (mut right, mut probes, mut took) = (0, 0, Vec::new());
    for carries in PATHS {
        for seed in 0..SEEDS {
            let path = Path { loss, reports, ..Path::silent(family, carries, 1500) };
            let found = path.search(settings, seed * 1_000 + u64::from(carries));
            assert!(found.pmtu <= carries);
            right += u32::from(found.pmtu == carries);
            probes += found.probes;
            took.push(found.took.as_millis());
        }
    }
    took.sort_unstable();
    Measured { right, probes, median: took[took.len() / 2] }
}

#[test]
fn a_path_loses_as_many_as_it_is_to_lose() {
    for loss in [0, 5, 10, 30, 100] {
        let path = Path { loss, ..Path::silent(IpFamily::V4, 1500, 1500) };
        let mut dice = Dice::new(loss);
        let lost = (0..100_000).filter(|_| path.is_lost(&mut dice)).count();
        // Five deviations of 100,000 draws are 0.73 % at most.
        assert!(lost.abs_diff(loss as usize * 1_000) <= 730, "{lost} of 100,000 at {loss} %");
    }
}

#[test]
fn a_search_is_right_although_datagrams_are_lost_by_chance() {
    // Loss each way, per cent that must be right, probes at most, and what is.
    let v4 = [
        (0, 100.0, 12.0, Measured { right: 1_200, probes: 13_600, median: 1_120 }),
        (5, 99.0, 14.0, Measured { right: 1_196, probes: 15_096, median: 1_240 }),
        (10, 98.0, 16.0, Measured { right: 1_191, probes: 16_833, median: 1_680 }),
        (30, 93.0, 35.0, Measured { right: 1_168, probes: 29_141, median: 4_240 }),
    ];
    let v6 = [
        (0, 100.0, 12.0, Measured { right: 1_200, probes: 13_200, median: 1_120 }),
        (5, 99.0, 14.0, Measured { right: 1_198, probes: 14_571, median: 1_200 }),
        (10, 98.0, 16.0, Measured { right: 1_192, probes: 16_112, median: 1_760 }),
        (30, 93.0, 35.0, Measured { right: 1_173, probes: 26_509, median: 3_960 }),
    ];
    for (family, table) in [(IpFamily::V4, v4), (IpFamily::V6, v6)] {
        for (loss, right, probes, expected) in table {
            let measured = measure(family, loss, false, SearchSettings::new(family));
            assert!(measured.per_cent_right() >= right, "{family:?} {loss} %: {measured:?}");
            assert!(measured.mean_probes() <= probes, "{family:?} {loss} %: {measured:?}");
            assert_eq!(measured, expected, "{family:?} {loss} %");
        }
    }
}

#[test]
fn three_losses_are_not_enough_where_much_is_lost() {
    let three = SearchSettings::new(IpFamily::V4).with_max_probes(MaxProbes::Fixed(NonZeroU8::new(3).unwrap()));
    for (loss, right) in [(0, 100.0..=100.0), (10, 90.0..=97.0), (30, 35.0..=50.0)] {
        let measured = measure(IpFamily::V4, loss, false, three);
        assert!(right.contains(&measured.per_cent_right()), "{loss} %: {measured:?}");
    }
}

#[test]
fn a_router_that_reports_makes_a_search_short() {
    let settings = SearchSettings::new(IpFamily::V4);
    for (loss, right, probes) in [(0, 100.0, 2.8..=3.0), (10, 98.0, 3.0..=6.0), (30, 95.0, 3.0..=15.0)] {
        let measured = measure(IpFamily::V4, loss, true, settings);
        assert!(
            measured.per_cent_right() >= right && probes.contains(&measured.mean_probes()),
            "{loss} %: {measured:?}"
        );
    }
}
