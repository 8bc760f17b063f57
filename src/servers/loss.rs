use crate::time::{Ns, Timestamp};

/// The share of transmissions that go unanswered: an average in which each counts 1/64, and all before it the rest.
///
/// It halves with each sixteenth of the age at which knowledge is forgotten that passes without an outcome: a server that is
/// avoided for its losses shows no new ones, and would be avoided until then for a trouble of a moment.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Loss {
    /// In parts of [`ONE`], and always below it.
    share: u64,
    /// When the latest outcome came.
    at: Timestamp,
}

impl Loss {
    pub(super) fn add(&mut self, now: Timestamp, lost: bool, max_age: Ns) {
        let share = self.parts(now, max_age);
        self.share = if lost { share + ((ONE - share) >> WEIGHT) } else { share - (share >> WEIGHT) };
        self.at = now;
    }

    /// From 0 to 1.
    pub(super) fn share(&self, now: Timestamp, max_age: Ns) -> f64 {
        self.parts(now, max_age) as f64 / ONE as f64
    }

    /// What a transmission costs: the expected time to a reply, if every loss costs a wait, dearer where repeats exceed what
    /// a budget of a fifth can pay: (srtt + loss/(1 − loss) · wait) · (1 + (loss/0.2)²).
    pub(super) fn cost(&self, now: Timestamp, max_age: Ns, srtt: Ns, wait: Ns) -> Ns {
        let loss = u128::from(self.parts(now, max_age));
        let one = u128::from(ONE);
        let time = u128::from(wait) * loss / (one - loss) + u128::from(srtt);
        // Of at most 64 and 37 bits.
        let time = time.min(u128::from(Ns::MAX));
        let dearer = one + INVERSE_RATIO * INVERSE_RATIO * (loss * loss / one);
        Ns::try_from(time * dearer / one).unwrap_or(Ns::MAX)
    }

    fn parts(&self, now: Timestamp, max_age: Ns) -> u64 {
        let halvings = now.since_ns(self.at) / (max_age / HALVINGS).max(1);
        self.share >> halvings.min(63)
    }
}

const ONE: u64 = 1 << 32;
/// 1/64 = 2⁻⁶. Heavier, and chance alone parts equal servers: at 1/32 and 5 % of all attempts lost, one of three equal ones
/// was out of the band a quarter of the time; at 1/64 2 %. Lighter, and a server that loses half is asked 28 times, not 14,
/// before it is left.
const WEIGHT: u32 = 6;
const HALVINGS: u64 = 16;
/// The ratio of the budget that repeats are paid from, 0.2, upside down.
const INVERSE_RATIO: u128 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Ns = 86_400_000_000_000;

    #[test]
    fn no_loss_is_ever_whole_and_no_cost_overflows() {
        let mut loss = Loss::default();
        for n in 0..100_000 {
            loss.add(Timestamp::from_nanos(n), true, DAY);
            assert!(loss.share(Timestamp::from_nanos(n), DAY) < 1.0);
        }
        let now = Timestamp::from_nanos(100_000);
        assert!(loss.share(now, DAY) > 0.999_999);
        for time in [0, 1, DAY, Ns::MAX] {
            for wait in [0, 1, DAY, Ns::MAX] {
                assert!(loss.cost(now, DAY, time, wait) >= time);
                assert_eq!(Loss::default().cost(now, DAY, time, wait), time);
            }
        }
    }

    #[test]
    fn a_cost_is_the_time_to_a_reply_dearer_where_a_budget_cannot_pay() {
        const MS: Ns = 1_000_000;
        for (share, cost) in [(0.0, 40.0), (0.05, 56.48), (0.2, 205.0), (0.5, 2_102.5)] {
            let loss = Loss { share: (share * ONE as f64) as u64, at: Timestamp::ZERO };
            let found = loss.cost(Timestamp::ZERO, DAY, 40 * MS, 250 * MS) as f64 / MS as f64;
            assert!((found - cost).abs() < 0.01, "{found} for {share}, not {cost}");
        }
    }

    #[test]
    fn it_halves_in_each_sixteenth_of_the_age_that_passes_without_an_outcome() {
        let mut loss = Loss { share: ONE / 2, at: Timestamp::ZERO };
        for (ago, share) in [(0, 0.5), (99, 0.5), (100, 0.25), (299, 0.125), (1_600, 0.5 / 65_536.0), (6_400, 0.0)] {
            assert_eq!(loss.share(Timestamp::from_nanos(ago), 1_600), share);
        }
        assert_eq!(loss.share(Timestamp::MAX, 1), 0.0, "nor is there a division by zero");
        // An outcome is added to what is left.
        loss.add(Timestamp::from_nanos(100), false, 1_600);
        assert_eq!(loss.share(Timestamp::from_nanos(100), 1_600), 0.25 * 63.0 / 64.0);
    }
}
