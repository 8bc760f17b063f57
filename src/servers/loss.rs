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
