//! The laws of delay, written from their definitions: series and sums instead of the library's functions.

use std::time::Duration;

use udp_retry::fault::DelayLaw;

/// In nanoseconds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Law {
    Fixed(u64),
    /// Middle and half the width.
    Uniform(u64, u64),
    /// Mean and deviation, before what is below zero becomes zero.
    Normal(u64, u64),
    /// The least, and the mean of the tail.
    Exponential(u64, u64),
    /// In any order.
    Quantiles(Vec<u64>),
}

impl Law {
    #[track_caller]
    pub(crate) fn built(&self) -> DelayLaw {
        let ns = Duration::from_nanos;
        match self {
            &Self::Fixed(delay) => DelayLaw::fixed(ns(delay)),
            &Self::Uniform(mean, jitter) => DelayLaw::uniform(ns(mean), ns(jitter)),
            &Self::Normal(mean, sigma) => DelayLaw::normal(ns(mean), ns(sigma)),
            &Self::Exponential(least, tail) => DelayLaw::exponential(ns(least), ns(tail)),
            Self::Quantiles(table) => DelayLaw::measured(&table.iter().map(|&it| ns(it)).collect::<Vec<_>>()),
        }
        .unwrap()
    }

    /// The probability of a delay of at most `x`.
    pub(crate) fn cdf(&self, x: f64) -> f64 {
        match self {
            _ if x < 0.0 => 0.0,
            &Self::Fixed(delay) => {
                if x < delay as f64 {
                    0.0
                } else {
                    1.0
                }
            }
            &Self::Uniform(mean, jitter) => {
                let (lo, hi) = (mean as f64 - jitter as f64, mean as f64 + jitter as f64);
                if x <= lo {
                    0.0
                } else if x >= hi {
                    1.0
                } else {
                    (x - lo) / (hi - lo)
                }
            }
            &Self::Normal(mean, sigma) => standard_normal((x - mean as f64) / sigma as f64),
            &Self::Exponential(least, _) if x < least as f64 => 0.0,
            &Self::Exponential(least, tail) => 1.0 - (-(x - least as f64) / tail as f64).exp(),
            Self::Quantiles(table) => {
                let mut table = table.clone();
                table.sort_unstable();
                // Each line holds the same part of all, spread evenly over its length.
                let part = |line: &[u64]| match (line[0] as f64, line[1] as f64) {
                    (lo, hi) if lo == hi => f64::from(u8::from(x >= lo)),
                    (lo, hi) => ((x - lo) / (hi - lo)).clamp(0.0, 1.0),
                };
                table.windows(2).map(part).sum::<f64>() / (table.len() - 1) as f64
            }
        }
    }

    /// What hardly any delay exceeds.
    pub(crate) fn longest(&self) -> u64 {
        match self {
            Self::Fixed(delay) => delay + 1,
            Self::Uniform(mean, jitter) => mean + jitter,
            Self::Normal(mean, sigma) => mean + 9 * sigma,
            Self::Exponential(least, tail) => least + 45 * tail,
            Self::Quantiles(table) => *table.iter().max().unwrap(),
        }
    }

    /// Mean and deviation, by integrals of the distribution function: E X = ∫ (1 - F), E X² = ∫ 2x (1 - F).
    pub(crate) fn moments(&self) -> (f64, f64) {
        if let Self::Fixed(delay) = self {
            return (*delay as f64, 0.0);
        }
        // Of 100 ns where the function jumps, so that it jumps between two steps.
        let steps = if let Self::Quantiles(_) = self { self.longest() / 100 } else { 400_000 };
        let width = self.longest() as f64 / steps as f64;
        let (mut mean, mut square) = (0.0, 0.0);
        for step in 0..steps {
            let x = (step as f64 + 0.5) * width;
            let beyond = (1.0 - self.cdf(x)) * width;
            mean += beyond;
            square += 2.0 * x * beyond;
        }
        (mean, (square - mean * mean).sqrt())
    }
}

/// Φ by its series: 1/2 + φ(x)·(x + x³/3 + x⁵/(3·5) + …).
pub(crate) fn standard_normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}
