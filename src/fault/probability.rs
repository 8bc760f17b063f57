use core::fmt;

/// A probability, in steps of 2⁻⁶³, so that 0 never happens, 1 always does, and 0.5 is exact.
///
/// ```
/// use udp_retry::Probability;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Probability::new(0.5)?, Probability::HALF);
/// assert_eq!(Probability::ratio(1, 2)?, Probability::HALF);
/// assert!(Probability::new(30.0).is_err()); // per cent?
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u64);

/// Why a number is no probability.
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

    /// The nearest float.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64 / CERTAIN as f64
    }

    /// Whether a draw of 64 uniform bits falls within this probability.
    #[must_use]
    pub const fn happens(self, draw: u64) -> bool {
        draw >> 1 < self.0
    }
}

impl fmt::Display for Probability {
    /// In per cent, with as many digits as it takes to tell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.as_f64() * 100.0)
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
