//! Shares of a sample in neighbouring bins, beside what a law gives them.

use std::fmt;
use std::time::Duration;

use udp_retry::fault::DelayLaw;

/// Drawn in text: a bar for each bin, and a mark where the law has it end.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Histogram {
    pub(crate) title: &'static str,
    pub(crate) bins: Vec<Bin>,
}

/// What is within it, as shares of all.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bin {
    pub(crate) label: String,
    pub(crate) observed: f64,
    /// `None` where there is no law.
    pub(crate) expected: Option<f64>,
}

impl Histogram {
    /// Of times in nanoseconds, in ascending order. The bins at the ends hold everything beyond them, too.
    pub(crate) fn of_times(title: &'static str, sorted: &[u64], law: &DelayLaw) -> Self {
        let (least, most) = (quantile(law, TAIL), quantile(law, 1.0 - TAIL));
        let parts = (most - least).clamp(1, PARTS);
        let edge = |n: u64| least + (u128::from(most - least) * u128::from(n) / u128::from(parts)) as u64;
        let cdf = |ns: u64| law.cdf(Duration::from_nanos(ns));
        let bins = (0..parts).map(|n| {
            let (from, to) = (edge(n), edge(n + 1));
            let (first, last) = (n == 0, n + 1 == parts);
            let begin = if first { 0 } else { sorted.partition_point(|&it| it < from) };
            let end = if last { sorted.len() } else { sorted.partition_point(|&it| it < to) };
            let (below, upto) = (if first { 0.0 } else { cdf(from) }, if last { 1.0 } else { cdf(to) });
            let label = if least == most { brief(from) } else { format!("{} to {}", brief(from), brief(to)) };
            Bin { label, observed: (end - begin) as f64 / sorted.len() as f64, expected: Some(upto - below) }
        });
        Self { title, bins: bins.collect() }
    }

    /// Of lengths from 1 on: `counts` begins with those of length 1. With a mean, beside the geometric law of it.
    pub(crate) fn of_lengths(title: &'static str, counts: &[u64], mean: Option<f64>) -> Self {
        let all = counts.iter().sum::<u64>() as f64;
        let longest = counts.len().min(LENGTHS);
        let share = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / all;
        let stays = mean.map(|mean| 1.0 - 1.0 / mean);
        let mut bins: Vec<_> = (0..longest)
            .map(|n| Bin {
                label: (n + 1).to_string(),
                observed: share(&counts[n..=n]),
                expected: stays.map(|stays| stays.powi(n as i32) * (1.0 - stays)),
            })
            .collect();
        if counts.len() > longest {
            bins.push(Bin {
                label: format!("{} and more", longest + 1),
                observed: share(&counts[longest..]),
                expected: stays.map(|stays| stays.powi(longest as i32)),
            });
        }
        Self { title, bins }
    }

    /// The largest share, by observation or by law.
    pub(crate) fn highest(&self) -> f64 {
        self.bins.iter().fold(0.0, |highest, bin| bin.observed.max(bin.expected.unwrap_or(0.0)).max(highest))
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.bins.iter().map(|bin| bin.label.chars().count()).max().unwrap_or(0);
        let column = |share: f64| (share / self.highest() * COLUMNS as f64).round() as usize;
        let law = if self.bins.iter().any(|bin| bin.expected.is_some()) { ", and │ by the law" } else { "" };
        write!(f, "{}: █ observed{law}", self.title)?;
        for Bin { label, observed, expected } in &self.bins {
            let mut cells = vec!['█'; column(*observed)];
            cells.resize(COLUMNS + 1, ' ');
            if let Some(expected) = expected {
                cells[column(*expected)] = '│';
            }
            let bar: String = cells.into_iter().collect();
            write!(f, "\n  {label:>width$}  {bar}  {:>6.2}%", observed * 100.0)?;
            if let Some(expected) = expected {
                write!(f, "  of {:.2}%", expected * 100.0)?;
            }
        }
        Ok(())
    }
}

/// The least time that so large a part of all does not exceed.
pub(crate) fn quantile(law: &DelayLaw, level: f64) -> u64 {
    let (mut below, mut enough) = (0, u64::MAX);
    while below < enough {
        let middle = below + (enough - below) / 2;
        if law.cdf(Duration::from_nanos(middle)) >= level {
            enough = middle;
        } else {
            below = middle + 1;
        }
    }
    enough
}

/// Five significant digits, and the unit that suits them.
pub(crate) fn brief(ns: u64) -> String {
    let unit = 10_u64.pow((ns.checked_ilog10().unwrap_or(0) + 1).saturating_sub(5));
    format!("{:?}", Duration::from_nanos((ns / unit).saturating_mul(unit).saturating_add(ns % unit * 2 / unit * unit)))
}

/// Bins of times.
const PARTS: u64 = 20;
/// What lies beyond the bins at either end.
const TAIL: f64 = 1e-3;
/// Lengths with a bin of their own.
const LENGTHS: usize = 12;
const COLUMNS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_time_in_its_own_bin() {
        let law = DelayLaw::uniform(Duration::from_nanos(10_000), Duration::from_nanos(10_000)).unwrap();
        // 0.1 % of 20,000 ns is below the first bin, which reaches from 20 to 1,018 ns.
        let bin = |ns: u64| {
            let histogram = Histogram::of_times("", &[ns], &law);
            assert_eq!(histogram.bins.len(), 20);
            histogram.bins.iter().position(|bin| bin.observed == 1.0).unwrap()
        };
        let places = [0, 20, 1017, 1018, 2015, 2016, 10_000, 18_981, 18_982, 20_000, 90_000].map(bin);
        assert_eq!(places, [0, 0, 0, 1, 1, 2, 10, 18, 19, 19, 19]);
        let lengths = Histogram::of_lengths("", &[6, 3, 0, 1], Some(2.0));
        let shares: Vec<_> = lengths.bins.iter().map(|bin| (&*bin.label, bin.observed, bin.expected)).collect();
        assert_eq!(
            shares,
            [("1", 0.6, Some(0.5)), ("2", 0.3, Some(0.25)), ("3", 0.0, Some(0.125)), ("4", 0.1, Some(0.0625))]
        );
    }
}
