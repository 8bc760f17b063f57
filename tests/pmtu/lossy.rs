//! Paths that lose some of everything.

use std::num::NonZeroU8;

use udp_retry::pmtu::{MaxProbes, SearchSettings};
use udp_retry::size::IpFamily;

use crate::path::Path;

const PATHS: [u32; 6] = [1500, 1492, 1480, 1420, 1400, 1280];
const SEEDS: u64 = 200;

struct Measured {
    /// Of all searches.
    right: f64,
    /// On average.
    probes: f64,
}

fn measure(family: IpFamily, loss: u64, reports: bool, settings: SearchSettings) -> Measured {
    let (mut right, mut probes, mut took, mut most) = (0, 0, Vec::new(), 0);
    for carries in PATHS {
        for seed in 0..SEEDS {
            let path = Path { loss, reports, ..Path::silent(family, carries, 1500) };
            let found = path.search(settings, seed * 1_000 + u64::from(carries));
            assert!(found.pmtu <= carries);
            right += u32::from(found.pmtu == carries);
            probes += found.probes;
            most = most.max(found.probes);
            took.push(found.took.as_millis());
        }
    }
    took.sort_unstable();
    let searches = took.len() as f64;
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    let (right, probes) = (f64::from(right) / searches, f64::from(probes) / searches);
    println!(
        "{family:?}, {loss} %, reports {reports}: right {right:.4}, {probes:.1} probes on average, {most} at most"
    );
    println!("  {median} ms in the median, {longest} ms at most");
    Measured { right, probes }
}

#[test]
fn a_search_is_right_although_datagrams_are_lost_by_chance() {
    for family in [IpFamily::V4, IpFamily::V6] {
        let settings = SearchSettings::new(family);
        for (loss, right, probes) in [(0, 1.0, 12.0), (5, 0.99, 14.0), (10, 0.98, 16.0), (30, 0.93, 35.0)] {
            let measured = measure(family, loss, false, settings);
            assert!(measured.right >= right && measured.probes <= probes, "{family:?} {loss} %");
        }
    }
}

#[test]
fn three_losses_are_not_enough_where_much_is_lost() {
    let three = SearchSettings::new(IpFamily::V4).with_max_probes(MaxProbes::Fixed(NonZeroU8::new(3).unwrap()));
    for (loss, right) in [(0, 1.0..=1.0), (10, 0.90..=0.97), (30, 0.35..=0.50)] {
        let measured = measure(IpFamily::V4, loss, false, three);
        assert!(right.contains(&measured.right), "{loss} %: {}", measured.right);
    }
}

#[test]
fn a_router_that_reports_makes_a_search_short() {
    let settings = SearchSettings::new(IpFamily::V4);
    for (loss, right, probes) in [(0, 1.0, 3.0), (10, 0.98, 6.0), (30, 0.95, 15.0)] {
        let measured = measure(IpFamily::V4, loss, true, settings);
        assert!(measured.right >= right && measured.probes <= probes, "{loss} %");
    }
}
