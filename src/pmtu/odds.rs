use core::fmt;
use core::num::NonZeroU32;

/// How rarely a verdict may be wrong: once in so many times, on average.
///
/// ```
/// use udp_retry::pmtu::Odds;
///
/// assert_eq!(Odds::THOUSANDTH.to_string(), "1 in 1000");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Odds(NonZeroU32);

impl Odds {
    /// 10⁻³.
    pub const THOUSANDTH: Self = Self(NonZeroU32::new(1_000).unwrap());
    /// 10⁻⁵.
    pub const HUNDRED_THOUSANDTH: Self = Self(NonZeroU32::new(100_000).unwrap());

    /// One in `times`.
    #[must_use]
    pub const fn one_in(times: NonZeroU32) -> Self {
        Self(times)
    }

    /// Whether `losses` in a row would be that rare where each datagram is lost with this probability.
    pub(super) fn exclude(self, losses: u32, loss: LossProbability) -> bool {
        let mut chance = CERTAIN;
        for _ in 0..losses {
            chance = chance * u64::from(loss.0) / CERTAIN;
        }
        chance * u64::from(self.0.get()) <= CERTAIN
    }
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 in {}", self.0)
    }
}

/// In steps of 2⁻³¹: a product of two, and of one with any odds, fits into 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LossProbability(u32);

impl LossProbability {
    /// So many of a hundred, which is the most.
    pub(super) const fn percent(percent: u8) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 2³¹")]
        Self((percent as u64 * CERTAIN / 100) as u32)
    }

    /// Of `losses` among `trials`, as if one more of either kind had been seen, so that nothing is certain before it was tried
    /// (Laplace's rule of succession).
    pub(super) fn estimate(losses: u32, trials: u32) -> Self {
        let (part, whole) = (u64::from(losses) + 1, u64::from(trials) + 2);
        #[expect(clippy::cast_possible_truncation, reason = "the part is below the whole")]
        Self((part.min(whole) * CERTAIN / whole) as u32)
    }
}

const CERTAIN: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_losses_are_needed_as_the_loss_calls_for() {
        let needed = |odds: Odds, losses, trials| {
            (0..100).find(|&it| odds.exclude(it, LossProbability::estimate(losses, trials)))
        };
        for (losses, trials, thousandth, hundred_thousandth) in [
            (0, 0, 10, 17),
            (0, 1, 7, 11),
            (0, 7, 4, 6),
            (0, 8, 3, 5), // 0.1³ is 10⁻³, and 0.1⁵ is 10⁻⁵, exactly
            (1, 9, 5, 7),
            (36, 100, 7, 12),
            (51, 100, 11, 18),
            (99, 99, 100, 100),
        ] {
            for (odds, expected) in [(Odds::THOUSANDTH, thousandth), (Odds::HUNDRED_THOUSANDTH, hundred_thousandth)] {
                let found = needed(odds, losses, trials).unwrap_or(100);
                assert_eq!(found, expected, "{odds} after {losses} of {trials}");
            }
        }
    }

    #[test]
    fn no_number_overflows() {
        let always = LossProbability::estimate(u32::MAX, 0);
        assert_eq!(always, LossProbability(1 << 31));
        assert!(!Odds::one_in(NonZeroU32::MAX).exclude(10_000, always));
        assert!(Odds::one_in(NonZeroU32::MIN).exclude(0, always));
        assert!(LossProbability::estimate(0, u32::MAX) < LossProbability::estimate(0, 1));
    }
}
