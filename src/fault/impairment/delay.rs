use alloc::sync::Arc;
use alloc::vec::Vec;
use core::f64::consts::{FRAC_1_SQRT_2, PI};
use core::time::Duration;

use super::infeasible::Infeasible;
use super::probability::Probability;
use crate::entropy::{Draws, Seed, labels};
use crate::time::{Ns, checked_ns};

/// How long a datagram takes: a distribution, by default drawn anew for each datagram, and without overtaking.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::fault::{DelayLaw, DelayModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ms = Duration::from_millis;
/// let delay = DelayModel::new(DelayLaw::uniform(ms(50), ms(10))?).unordered();
/// assert_eq!(delay.law().mean(), ms(50));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct DelayModel {
    law: DelayLaw,
    correlation: Probability,
    /// Of the score before and of a fresh one in a score; their squares add up to 1.
    weights: (f64, f64),
    unordered: bool,
}

/// How durations are distributed. What it reports of itself ([`mean`](Self::mean), [`cdf`](Self::cdf), …) is exact.
#[derive(Clone, PartialEq, Debug)]
pub struct DelayLaw(pub(in crate::fault) Shape);

#[derive(Clone, PartialEq, Debug)]
pub(in crate::fault) enum Shape {
    Fixed(Ns),
    /// From mean - jitter to mean + jitter.
    Uniform {
        mean: Ns,
        jitter: Ns,
    },
    /// What would be below zero is zero.
    Normal {
        mean: Ns,
        sigma: Ns,
    },
    /// The least, and an exponential tail of this mean.
    Exponential {
        least: Ns,
        tail: Ns,
    },
    /// Quantiles at equal distances, joined by straight lines.
    Quantiles(Arc<[Ns]>),
}

impl DelayModel {
    /// Draws each delay independently from this distribution. Datagrams stay in their order: one whose delay is shorter
    /// waits for the one before it.
    #[must_use]
    pub const fn new(law: DelayLaw) -> Self {
        Self { law, correlation: Probability::ZERO, weights: (0.0, 1.0), unordered: false }
    }

    /// Lets every datagram arrive at its own time, overtaking others.
    ///
    /// Protocols that repair reordering suffer from jitter that reorders far more than from jitter; hence it is not
    /// the default. See also [`Reorder`](crate::fault::Reorder).
    #[must_use]
    pub fn unordered(self) -> Self {
        Self { unordered: true, ..self }
    }

    /// Makes each delay resemble the one before, with the same distribution as without: the normal scores of the delays
    /// are an autoregression of first order with this coefficient.
    ///
    /// # Errors
    ///
    /// [`Infeasible::CorrelationOfAConstant`], [`Infeasible::CertainCorrelation`].
    pub fn correlated(self, correlation: Probability) -> Result<Self, Infeasible> {
        match self.law.0 {
            Shape::Fixed(_) if correlation.is_possible() => Err(Infeasible::CorrelationOfAConstant),
            _ if correlation == Probability::ONE => Err(Infeasible::CertainCorrelation),
            _ => {
                let before = correlation.as_f64();
                Ok(Self { correlation, weights: (before, libm::sqrt(1.0 - before * before)), ..self })
            }
        }
    }

    /// The distribution of each delay.
    #[must_use]
    pub const fn law(&self) -> &DelayLaw {
        &self.law
    }

    /// The correlation of the normal scores of neighbours.
    #[must_use]
    pub const fn correlation(&self) -> Probability {
        self.correlation
    }

    /// Whether datagrams may overtake each other.
    #[must_use]
    pub const fn is_unordered(&self) -> bool {
        self.unordered
    }
}

impl DelayLaw {
    /// Always the same.
    ///
    /// # Errors
    ///
    /// [`Infeasible::DurationTooLong`] past 584 years, here and below.
    pub fn fixed(delay: Duration) -> Result<Self, Infeasible> {
        Ok(Self(Shape::Fixed(ns(delay)?)))
    }

    /// Anything from `mean - jitter` to `mean + jitter`, all alike.
    ///
    /// # Errors
    ///
    /// [`Infeasible::JitterAboveDelay`].
    pub fn uniform(mean: Duration, jitter: Duration) -> Result<Self, Infeasible> {
        if jitter > mean {
            return Err(Infeasible::JitterAboveDelay { mean, jitter });
        }
        ns(mean.saturating_add(jitter))?;
        Ok(Self(Shape::Uniform { mean: ns(mean)?, jitter: ns(jitter)? }))
    }

    /// The normal distribution; what would be below zero is zero, which [`mean`](Self::mean) takes into account.
    ///
    /// # Errors
    ///
    /// [`Infeasible::DurationTooLong`].
    pub fn normal(mean: Duration, sigma: Duration) -> Result<Self, Infeasible> {
        Ok(Self(Shape::Normal { mean: ns(mean)?, sigma: ns(sigma)? }))
    }

    /// At least `least`, and beyond that exponential with the mean `tail`: their sum is the mean.
    ///
    /// # Errors
    ///
    /// [`Infeasible::DurationTooLong`].
    pub fn exponential(least: Duration, tail: Duration) -> Result<Self, Infeasible> {
        ns(least.saturating_add(tail))?;
        Ok(Self(Shape::Exponential { least: ns(least)?, tail: ns(tail)? }))
    }

    /// The distribution whose quantiles at equal distances are these durations, such as measured ones, in any order,
    /// with straight lines between them. The shortest and the longest are its ends.
    ///
    /// # Errors
    ///
    /// [`Infeasible::TableLength`] unless there are from 2 to 65,536.
    pub fn measured(durations: &[Duration]) -> Result<Self, Infeasible> {
        let quantiles = durations.len();
        let nearest = quantiles.clamp(SHORTEST_TABLE, LONGEST_TABLE);
        if quantiles != nearest {
            return Err(Infeasible::TableLength { quantiles, nearest });
        }
        let mut table = durations.iter().map(|&duration| ns(duration)).collect::<Result<Vec<_>, _>>()?;
        table.sort_unstable();
        Ok(Self(Shape::Quantiles(table.into())))
    }

    /// The mean delay.
    #[must_use]
    pub fn mean(&self) -> Duration {
        duration(self.moments().0)
    }

    /// The shortest delay.
    #[must_use]
    pub fn least(&self) -> Duration {
        Duration::from_nanos(match &self.0 {
            Shape::Fixed(delay) | Shape::Exponential { least: delay, .. } | Shape::Normal { mean: delay, sigma: 0 } => {
                *delay
            }
            Shape::Uniform { mean, jitter } => mean - jitter,
            Shape::Normal { .. } => 0,
            Shape::Quantiles(table) => table.first().copied().unwrap_or_default(),
        })
    }

    /// The standard deviation.
    #[must_use]
    pub fn std_dev(&self) -> Duration {
        duration(libm::sqrt(self.moments().1.max(0.0)))
    }

    /// The probability of a delay of at most this.
    #[must_use]
    pub fn cdf(&self, delay: Duration) -> f64 {
        let x = delay.as_nanos();
        let certain = |ns: &Ns| f64::from(u8::from(x >= u128::from(*ns)));
        match &self.0 {
            Shape::Fixed(delay) | Shape::Uniform { mean: delay, jitter: 0 } => certain(delay),
            Shape::Normal { mean: delay, sigma: 0 } | Shape::Exponential { least: delay, tail: 0 } => certain(delay),
            Shape::Uniform { mean, jitter } => (beyond(x, mean - jitter) / (2.0 * *jitter as f64)).clamp(0.0, 1.0),
            Shape::Normal { mean, sigma } => normal_cdf(beyond(x, *mean) / *sigma as f64),
            Shape::Exponential { least, tail } => {
                let beyond = beyond(x, *least) / *tail as f64;
                if beyond < 0.0 { 0.0 } else { -libm::expm1(-beyond) }
            }
            Shape::Quantiles(table) => {
                let below = table.partition_point(|&quantile| u128::from(quantile) <= x);
                match (below.checked_sub(1).and_then(|at| table.get(at)), table.get(below)) {
                    (None, _) => 0.0,
                    (_, None) => 1.0,
                    (Some(&lower), Some(&upper)) => {
                        let part = beyond(x, lower) / (upper - lower) as f64;
                        ((below - 1) as f64 + part) / (table.len() - 1) as f64
                    }
                }
            }
        }
    }

    /// Mean and variance, in nanoseconds; the variance never as a difference of large numbers.
    fn moments(&self) -> (f64, f64) {
        match &self.0 {
            Shape::Fixed(delay) => (*delay as f64, 0.0),
            Shape::Uniform { mean, jitter } => (*mean as f64, *jitter as f64 * *jitter as f64 / 3.0),
            Shape::Normal { mean, sigma: 0 } => (*mean as f64, 0.0),
            Shape::Normal { mean, sigma } => {
                let (mean, sigma) = (*mean as f64, *sigma as f64);
                let score = mean / sigma;
                let below = normal_cdf(-score);
                // By how many deviations the clamp shifts the mean.
                let shift = libm::exp(-score * score / 2.0) / libm::sqrt(2.0 * PI) - score * below;
                (mean + sigma * shift, sigma * sigma * (1.0 - below - score * shift - shift * shift))
            }
            Shape::Exponential { least, tail } => (*least as f64 + *tail as f64, *tail as f64 * *tail as f64),
            Shape::Quantiles(table) => {
                let least = table.first().copied().unwrap_or_default();
                let beyond = |quantile: &Ns| (quantile - least) as f64;
                let pairs = table.iter().zip(table.iter().skip(1)).map(|(a, b)| (beyond(a), beyond(b)));
                let (sum, squares) = pairs.fold((0.0, 0.0), |(sum, squares), (a, b)| {
                    (sum + (a + b) / 2.0, squares + (a * a + a * b + b * b) / 3.0)
                });
                let lines = (table.len() - 1) as f64;
                let mean = sum / lines;
                (least as f64 + mean, squares / lines - mean * mean)
            }
        }
    }

    /// The duration of number `sequence`, independent of all others.
    pub(in crate::fault) fn draw(&self, seed: Seed, sequence: u64) -> Ns {
        self.drawn(&DelayDraws::of(seed), sequence)
    }

    fn drawn(&self, draws: &DelayDraws, sequence: u64) -> Ns {
        match &self.0 {
            Shape::Fixed(delay) => *delay,
            Shape::Normal { .. } => self.at_score(normal_score(draws, sequence)),
            _ => self.at_level(unit(draws.own.draw(sequence))),
        }
    }

    /// The duration at a normal score.
    fn at_score(&self, score: f64) -> Ns {
        match &self.0 {
            // A float of more than 104 days is too coarse for a nanosecond.
            Shape::Normal { mean, sigma } if *mean >= COARSE => {
                let aside = *sigma as f64 * score;
                if aside < 0.0 { mean.saturating_sub(whole(-aside)) } else { mean.saturating_add(whole(aside)) }
            }
            Shape::Normal { mean, sigma } => whole(*mean as f64 + *sigma as f64 * score),
            _ => self.at_level(normal_cdf(score)),
        }
    }

    /// The duration below which this part of all is, from 0 to 1.
    fn at_level(&self, level: f64) -> Ns {
        match &self.0 {
            Shape::Fixed(delay) => *delay,
            Shape::Uniform { mean, jitter } => {
                // Doubled as a float, the widest jitter of all may be rounded up.
                (mean - jitter).saturating_add(whole(2.0 * *jitter as f64 * level))
            }
            // Drawn by their scores.
            Shape::Normal { mean, .. } => *mean,
            Shape::Exponential { least, tail } => {
                // At most 2⁻⁵³ from 1, where the logarithm is still finite.
                least.saturating_add(whole(-(*tail as f64) * libm::log(1.0 - level.min(LAST_LEVEL))))
            }
            Shape::Quantiles(table) => {
                let place = level * (table.len() - 1) as f64;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the table")]
                let line = place as usize;
                match (table.get(line), table.get(line + 1)) {
                    (Some(&lower), Some(&upper)) => lower + whole((upper - lower) as f64 * (place - line as f64)),
                    _ => table.last().copied().unwrap_or_default(),
                }
            }
        }
    }
}

/// What chance decides by: a draw for each delay, and a second one where it is normal.
#[derive(Clone, Copy, Debug)]
pub(in crate::fault) struct DelayDraws {
    own: Draws,
    angle: Draws,
}

impl DelayDraws {
    pub(in crate::fault) const fn of(seed: Seed) -> Self {
        Self { own: seed.draws(), angle: seed.derive(labels::ANGLE).draws() }
    }
}

/// The autoregression.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::fault) struct DelayState {
    /// Of the datagram before, `None` at first.
    score: Option<f64>,
    /// What is new in the score of the next one, and its number. Drawn ahead: else every branch that depends on a score
    /// and was foretold wrongly, as chance is, would cost the wait for all this arithmetic.
    next: Option<(u64, f64)>,
}

impl DelayState {
    /// The delay of number `sequence`. To be asked of every datagram, in order.
    pub(in crate::fault) fn draw(&mut self, model: &DelayModel, draws: &DelayDraws, sequence: u64) -> Ns {
        if !model.correlation.is_possible() {
            return model.law.drawn(draws, sequence);
        }
        let fresh = match self.next {
            Some((number, fresh)) if number == sequence => fresh,
            _ => normal_score(draws, sequence),
        };
        let (of_before, of_fresh) = model.weights;
        // The first score is of the stationary distribution, and so is every later one.
        let score = self.score.map_or(fresh, |before| of_before * before + of_fresh * fresh);
        self.score = Some(score);
        let delay = model.law.at_score(score);
        let next = sequence.saturating_add(1);
        self.next = Some((next, normal_score(draws, next)));
        delay
    }
}

/// A standard normal number of two draws (Box and Muller 1958).
fn normal_score(draws: &DelayDraws, sequence: u64) -> f64 {
    let (radius, angle) = (unit(draws.own.draw(sequence)), unit(draws.angle.draw(sequence)));
    // The difference is exact, and its logarithm takes half as long as `log1p`.
    libm::sqrt(-2.0 * libm::log(1.0 - radius)) * cos_of_turns(angle)
}

/// The cosine of an angle from 0 to 1 turn, without the branches of a reduction that chance decides: no processor
/// foretells those.
fn cos_of_turns(turns: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 4")]
    let quarters = (turns * 4.0 + 0.5) as u8;
    let (sin, cos) = libm::sincos(2.0 * PI * (turns - f64::from(quarters) / 4.0));
    [cos, -sin, -cos, sin].get(usize::from(quarters % 4)).copied().unwrap_or_default()
}

fn normal_cdf(score: f64) -> f64 {
    libm::erfc(-score * FRAC_1_SQRT_2) / 2.0
}

/// Subtracted as integers, which are exact however large they are.
fn beyond(x: u128, from: Ns) -> f64 {
    let from = u128::from(from);
    if x >= from { (x - from) as f64 } else { -((from - x) as f64) }
}

/// The 53 highest bits of a draw as a number from 0 to below 1.
fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// The nearest nanosecond; none below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is meant")]
fn whole(ns: f64) -> Ns {
    (ns + 0.5) as Ns
}

fn duration(ns: f64) -> Duration {
    Duration::from_nanos(whole(ns))
}

pub(in crate::fault) fn ns(duration: Duration) -> Result<Ns, Infeasible> {
    checked_ns(duration).ok_or(Infeasible::DurationTooLong { duration, most: Duration::from_nanos(Ns::MAX) })
}

/// From here on a float has no place for every nanosecond.
const COARSE: Ns = 1 << 53;
const SHORTEST_TABLE: usize = 2;
const LONGEST_TABLE: usize = 1 << 16;
const LAST_LEVEL: f64 = 1.0 - f64::EPSILON / 2.0;
