use core::fmt;
use core::str::FromStr;

use super::decimal::{Decimal, MOST_DECIMALS, NotADecimal};

/// A probability, in steps of 2⁻⁶³, so that 0 never happens, 1 always does, and 0.5 is exact.
///
/// ```
/// use udp_retry::Probability;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Probability::new(0.5)?, Probability::HALF);
/// assert_eq!(Probability::ratio(1, 2)?, Probability::HALF);
/// assert!(Probability::new(30.0).is_err()); // per cent?
/// assert_eq!("30%".parse::<Probability>()?, "0.3".parse()?);
/// assert_eq!(Probability::ratio(3, 10)?.to_string(), "30%");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u64);

/// Why a number is not a probability.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAProbability {
    /// Not a number from 0 to 1.
    #[error("a probability is a number from 0 to 1, not {0}")]
    OutOfRange(f64),
    /// A ratio above one, or of nothing.
    #[error("a probability is a ratio from 0 to 1, not {numerator} of {denominator}")]
    NotARatio {
        /// The part asked for.
        numerator: u64,
        /// The whole asked for.
        denominator: u64,
    },
    /// A text that is neither a fraction nor a percentage.
    #[error("a probability is a fraction from 0 to 1 or a percentage, such as 0.3 or 30%")]
    Unreadable,
}

impl Probability {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// Every second time, on average.
    pub const HALF: Self = Self(CERTAIN / 2);
    /// Always.
    pub const ONE: Self = Self(CERTAIN);

    /// The nearest probability to a number from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](NotAProbability::OutOfRange), also for what is not a number.
    pub const fn new(probability: f64) -> Result<Self, NotAProbability> {
        if !(probability >= 0.0 && probability <= 1.0) {
            return Err(NotAProbability::OutOfRange(probability));
        }
        // Multiplying by a power of two is exact; only what is below 2⁻¹⁰ has bits to round.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2⁶³")]
        Ok(Self((probability * CERTAIN as f64 + 0.5) as u64))
    }

    /// `numerator` times out of `denominator`.
    ///
    /// # Errors
    ///
    /// [`NotARatio`](NotAProbability::NotARatio) if that is more than once, or out of nothing.
    pub const fn ratio(numerator: u64, denominator: u64) -> Result<Self, NotAProbability> {
        if denominator == 0 || numerator > denominator {
            return Err(NotAProbability::NotARatio { numerator, denominator });
        }
        let scaled = numerator as u128 * CERTAIN as u128 + denominator as u128 / 2;
        #[expect(clippy::cast_possible_truncation, reason = "at most 2⁶³")]
        Ok(Self((scaled / denominator as u128) as u64))
    }

    /// Part of a whole that both count in the same steps; never, if the whole is nothing.
    pub(in crate::fault) fn part(self, other: Self) -> Self {
        let whole = u128::from(self.0) + u128::from(other.0);
        let scaled = u128::from(self.0) * u128::from(CERTAIN) + whole / 2;
        #[expect(clippy::cast_possible_truncation, reason = "at most 2⁶³, as the part is at most the whole")]
        Self(scaled.checked_div(whole).unwrap_or(0) as u64)
    }

    /// The nearest probability to a number of per cent; `None` above 100.
    pub(in crate::fault) fn percentage(number: Decimal) -> Option<Self> {
        Self::fraction(Decimal { digits: number.digits, decimals: number.decimals + 2 })
    }

    fn fraction(number: Decimal) -> Option<Self> {
        let whole = 10_u128.pow(number.decimals);
        if number.digits > whole {
            return None;
        }
        // Coarser than 2⁻⁶³ is nothing that has to be counted in more than 19 decimals.
        let excess = 10_u128.pow(number.decimals.saturating_sub(MOST_DECIMALS));
        let (part, whole) = (number.digits / excess, whole / excess);
        #[expect(clippy::cast_possible_truncation, reason = "at most 2⁶³")]
        Some(Self(((part * u128::from(CERTAIN) + whole / 2) / whole) as u64))
    }

    /// The nearest float.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64 / CERTAIN as f64
    }

    pub(in crate::fault) const fn is_possible(self) -> bool {
        self.0 > 0
    }

    /// Whether a draw of 64 uniform bits falls within this probability.
    #[must_use]
    pub const fn happens(self, draw: u64) -> bool {
        draw >> 1 < self.0
    }
}

impl fmt::Display for Probability {
    /// In per cent, with as many decimals as distinguish it from every other probability: it reads back as the same
    /// one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |decimals| {
            let scaled = u128::from(self.0) * 100 * 10_u128.pow(decimals);
            Decimal { digits: (scaled + u128::from(Self::HALF.0)) / u128::from(CERTAIN), decimals }
        };
        let short = (0..MOST_DECIMALS - 2).map(percent).find(|&short| Self::percentage(short) == Some(*self));
        write!(f, "{}%", short.unwrap_or_else(|| percent(MOST_DECIMALS - 2)))
    }
}

impl FromStr for Probability {
    type Err = NotAProbability;

    /// A percentage, `30%`, or a fraction from 0 to 1.
    fn from_str(text: &str) -> Result<Self, NotAProbability> {
        let unreadable = |NotADecimal| NotAProbability::Unreadable;
        let (number, probability) = match text.strip_suffix('%') {
            Some(number) => {
                let number: Decimal = number.trim_end().parse().map_err(unreadable)?;
                (Decimal { decimals: number.decimals + 2, ..number }, Self::percentage(number))
            }
            None => {
                let number = text.parse().map_err(unreadable)?;
                (number, Self::fraction(number))
            }
        };
        probability.ok_or(NotAProbability::OutOfRange(number.digits as f64 / 10_u128.pow(number.decimals) as f64))
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probability({})", self.as_f64())
    }
}

const CERTAIN: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!Probability::ZERO.happens(draw));
            assert!(Probability::ONE.happens(draw));
        }
        assert!(Probability::HALF.happens(u64::MAX / 2));
        assert!(!Probability::HALF.happens(u64::MAX / 2 + 1));
        assert_eq!(Probability::new(1.0), Ok(Probability::ONE));
        assert_eq!(Probability::new(0.0), Ok(Probability::ZERO));
        assert_eq!(Probability::new(-0.0), Ok(Probability::ZERO));
    }

    #[test]
    fn what_is_no_probability_is_refused_with_the_value() {
        for value in [-1e-300, 1.0 + f64::EPSILON, 30.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Probability::new(value), Err(NotAProbability::OutOfRange(value)));
        }
        assert!(matches!(Probability::new(f64::NAN), Err(NotAProbability::OutOfRange(value)) if value.is_nan()));
        assert_eq!(Probability::ratio(2, 1), Err(NotAProbability::NotARatio { numerator: 2, denominator: 1 }));
        assert!(Probability::ratio(0, 0).is_err());
    }

    #[test]
    fn text_says_exactly_which_one_it_is() {
        for steps in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, (1 << bit) + 1]).filter(|&it| it <= CERTAIN)
        {
            assert_eq!(Probability(steps).to_string().parse(), Ok(Probability(steps)), "{steps}");
        }
        for seed in 0..10_000 {
            let any = Probability(crate::Seed::new(seed).draw(0) >> 1);
            assert_eq!(any.to_string().parse(), Ok(any), "{any}");
        }
        for text in ["0%", "100%", "5%", "0.1%", "33.3333%", "99.99999%", "0.00000000000000001%"] {
            assert_eq!(text.parse::<Probability>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("0.3".parse(), Probability::ratio(3, 10));
        assert_eq!("1".parse(), Ok(Probability::ONE));
        assert_eq!("130%".parse::<Probability>(), Err(NotAProbability::OutOfRange(1.3)));
        assert_eq!("30".parse::<Probability>(), Err(NotAProbability::OutOfRange(30.0)));
        for text in ["", "%", "half", "-0.1", "nan", "1e-3", "5 % "] {
            assert_eq!(text.parse::<Probability>(), Err(NotAProbability::Unreadable), "{text}");
        }
    }

    #[test]
    fn ratios_are_nearest_and_agree_with_numbers() {
        assert_eq!(Probability::ratio(u64::MAX, u64::MAX), Ok(Probability::ONE));
        assert_eq!(Probability::ratio(0, 7), Ok(Probability::ZERO));
        assert_eq!(Probability::ratio(1, 3).map(|third| third.0), Ok(3_074_457_345_618_258_603));
        for n in 0..=1000_u64 {
            let (ratio, number) = (Probability::ratio(n, 1000).unwrap(), Probability::new(n as f64 / 1000.0).unwrap());
            assert!(ratio.0.abs_diff(number.0) <= 1 << 10, "{n}");
            assert!((ratio.as_f64() - n as f64 / 1000.0).abs() < 1e-15, "{n}");
        }
    }
}
