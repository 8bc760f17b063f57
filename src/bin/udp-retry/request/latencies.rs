//! Latencies, any number of them in the same memory: counts in bins whose width grows with what they hold.

use std::iter;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::histogram::{Bin, Histogram, brief};

/// A percentile of them is off by 0.4 % at most; the least and the longest are exact.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// One for each nanosecond below 256, then 128 for each power of two.
    counts: Vec<u64>,
    all: u64,
    least: u64,
    longest: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BINS], all: 0, least: u64::MAX, longest: 0 }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bin(ns)] += 1;
        self.all += 1;
        self.least = self.least.min(ns);
        self.longest = self.longest.max(ns);
    }

    /// The least one that this many of a thousand do not exceed; `None` without any.
    pub(crate) fn per_mille(&self, share: u64) -> Option<Duration> {
        let rank = (u128::from(self.all) * u128::from(share)).div_ceil(1000).max(1);
        let mut below = 0;
        let reached = |count: &u64| {
            below += u128::from(*count);
            below >= rank
        };
        let found = self.counts.iter().position(reached)?;
        Some(Duration::from_nanos(self.middle(found)))
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// Drawn in steps of 1, 1.2, 1.5, 2 and so on, or in coarser ones where those would be too many.
    pub(crate) fn histogram(&self) -> Option<Histogram> {
        let edges = STEPS.iter().map(|steps| edges(steps, self.least..=self.longest)).find(|it| it.len() <= ROWS + 1);
        let edges = edges.filter(|_| self.all > 0)?;
        let count = |from: u64, to: u64| -> u64 {
            let within = self.counts.iter().enumerate().filter(|(bin, _)| (from..to).contains(&self.middle(*bin)));
            within.map(|(_, count)| count).sum()
        };
        let bins = edges.windows(2).map(|edge| Bin {
            label: format!("{} to {}", brief(edge[0]), brief(edge[1])),
            observed: count(edge[0], edge[1]) as f64 / self.all as f64,
            expected: None,
        });
        Some(Histogram { title: "latency", bins: bins.collect() })
    }

    /// Of what a bin holds; of the first and the last one with any, never beyond what there is.
    fn middle(&self, bin: usize) -> u64 {
        let dropped = (bin >> BITS).saturating_sub(1);
        let least = (bin - (dropped << BITS)) as u64;
        ((least << dropped) + ((1 << dropped) >> 1)).clamp(self.least, self.longest.max(self.least))
    }
}

fn bin(ns: u64) -> usize {
    let dropped = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    ((dropped as usize) << BITS) + (ns >> dropped) as usize
}

/// Ascending: from the last one that is not above all of this to the first one that is.
fn edges(steps: &[u64], all: RangeInclusive<u64>) -> Vec<u64> {
    let decades = (0..=17).map(|power| 10_u64.pow(power));
    let edges = decades.flat_map(|decade| steps.iter().map(move |step| decade * step));
    let edges: Vec<u64> = iter::once(0).chain(edges).chain([u64::MAX]).collect();
    let first = edges.partition_point(|edge| edge <= all.start()).saturating_sub(1);
    let last = edges.partition_point(|edge| edge <= all.end()).min(edges.len() - 1);
    edges.get(first..=last).unwrap_or_default().to_vec()
}

/// Of a latency, this many binary digits behind the first one say which bin it is in.
const BITS: u32 = 7;
const BINS: usize = (u64::BITS - BITS + 1) as usize * (1 << BITS);
const ROWS: usize = 20;
const STEPS: [&[u64]; 3] = [&[10, 12, 15, 20, 25, 30, 40, 50, 60, 80], &[10, 20, 50], &[10]];

#[cfg(test)]
mod tests {
    use udp_retry::Seed;

    use super::*;

    /// Of every magnitude there is, and of those that a path has.
    fn samples() -> Vec<Vec<u64>> {
        let draw = |seed: u64, count: u64, magnitude: fn(u64, u64) -> u64| -> Vec<u64> {
            (0..count).map(|n| magnitude(n, Seed::new(seed).draw(n))).collect()
        };
        vec![
            draw(1, 10_000, |_, drawn| drawn >> (drawn % 64)),
            draw(2, 10_000, |_, drawn| 30_000 + drawn % 100_000),
            draw(3, 10_001, |n, drawn| if n % 100 == 0 { 500_000_000 + drawn % 1_000 } else { 40_000 + drawn % 5_000 }),
            draw(4, 7, |_, drawn| drawn % 1_000),
            vec![0, 1, 255, 256, 257, u64::MAX - 1, u64::MAX],
            vec![123_456_789],
        ]
    }

    fn of(sample: &[u64]) -> Latencies {
        let mut latencies = Latencies::new();
        sample.iter().for_each(|&ns| latencies.add(Duration::from_nanos(ns)));
        latencies
    }

    #[test]
    fn percentiles_are_those_of_all_sorted_to_four_parts_of_a_thousand() {
        for mut sample in samples() {
            let latencies = of(&sample);
            sample.sort_unstable();
            for share in [1, 10, 250, 500, 750, 900, 990, 999, 1000] {
                let exact = sample[(sample.len() * share).div_ceil(1000).max(1) - 1];
                let told = latencies.per_mille(share as u64).unwrap().as_nanos() as u64;
                assert!(told.abs_diff(exact) as f64 <= exact as f64 / 250.0, "{share}: {told} of {exact}");
            }
            assert_eq!(latencies.longest().as_nanos() as u64, *sample.last().unwrap());
        }
        assert_eq!(Latencies::new().per_mille(500), None);
    }

    #[test]
    fn each_bin_begins_where_the_one_before_ends() {
        let edges = (0..64).flat_map(|power| (0..256).map(move |n| (1_u64 << power).saturating_mul(256 + n) >> 8));
        for ns in edges.filter(|&ns| ns > 0) {
            let step = bin(ns) - bin(ns - 1);
            assert!(step <= 1 && (step == 1 || ns > 256), "{ns}");
        }
        assert_eq!((bin(0), bin(u64::MAX)), (0, BINS - 1));
    }

    #[test]
    fn a_histogram_has_all_of_them_in_few_rows_of_round_times() {
        for sample in samples() {
            let histogram = of(&sample).histogram().unwrap();
            let shares: f64 = histogram.bins.iter().map(|bin| bin.observed).sum();
            assert!((shares - 1.0).abs() < 1e-9 && histogram.bins.len() <= ROWS, "{histogram}");
            let outer = [histogram.bins.first(), histogram.bins.last()].map(|bin| bin.unwrap().observed);
            assert!(outer.iter().all(|&share| share > 0.0), "{histogram}");
        }
        let drawn = of(&[40_000, 41_000, 52_000, 99_999]).histogram().unwrap();
        let rows: Vec<_> = drawn.bins.iter().map(|bin| (&*bin.label, bin.observed)).collect();
        assert_eq!(
            rows,
            [("40µs to 50µs", 0.5), ("50µs to 60µs", 0.25), ("60µs to 80µs", 0.0), ("80µs to 100µs", 0.25)]
        );
        assert_eq!(Latencies::new().histogram(), None);
    }
}
