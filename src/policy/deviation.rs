use core::fmt;
use core::time::Duration;

use super::{RetryBudget, RetryPolicy};

/// A rule that a policy does not follow, or a warning.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Deviation {
    /// The first wait may be shorter than a second.
    EagerStart {
        /// The shortest first wait.
        first_wait: Duration,
    },
    /// The intervals do not grow.
    NoBackoff {
        /// The interval.
        interval: Duration,
    },
    /// The intervals stop growing below a minute.
    LowMaximum {
        /// The longest interval.
        max: Duration,
    },
    /// The deadline comes before the second transmission: no loss can be repaired.
    SingleTransmission {
        /// The policy's deadline.
        deadline: Duration,
        /// The shortest first wait.
        first_wait: Duration,
    },
    /// The budget runs dry at a loss that the policy would repair.
    TightBudget {
        /// The share of attempts that may fail before it does: [`RetryBudget::bearable_loss`].
        bearable_loss: f64,
    },
}

impl RetryPolicy {
    /// What the policy does that RFC 8085 or RFC 8961 advise against on the Internet, where nothing is known of the
    /// path. On a controlled network each may be right.
    pub fn deviations(&self) -> impl Iterator<Item = Deviation> + use<> {
        [self.eager_start(), self.no_backoff(), self.low_maximum(), self.single_transmission()].into_iter().flatten()
    }

    /// The [`deviations`](Self::deviations), and a warning if this budget keeps the policy from what it could do: if it
    /// runs dry at a loss at which the policy alone would answer 99 of 100 requests. Against a storm that is what a budget
    /// is for; on a path that merely loses datagrams it is a reason for a larger ratio.
    pub fn deviations_with(&self, budget: &RetryBudget) -> impl Iterator<Item = Deviation> + use<> {
        self.deviations().chain(self.tight_budget(budget))
    }

    fn eager_start(&self) -> Option<Deviation> {
        let (first_wait, _) = self.backoff().bounds(0);
        (first_wait < SECOND && self.max_transmissions() > 1).then_some(Deviation::EagerStart { first_wait })
    }

    fn no_backoff(&self) -> Option<Deviation> {
        let last = self.max_transmissions().checked_sub(3)?;
        let (first, second) = (self.backoff().interval(last), self.backoff().interval(last.saturating_add(1)));
        let grows = self.backoff().interval(1) > self.backoff().interval(0);
        (!grows && first == second).then_some(Deviation::NoBackoff { interval: first })
    }

    /// Only if the schedule is long enough to reach it.
    fn low_maximum(&self) -> Option<Deviation> {
        let last = self.max_transmissions().checked_sub(2)?;
        let max = self.backoff().max();
        let reached = self.backoff().is_capped(last) && self.no_backoff().is_none();
        (reached && max < MINUTE).then_some(Deviation::LowMaximum { max })
    }

    pub(super) fn tight_budget(&self, budget: &RetryBudget) -> Option<Deviation> {
        let bearable_loss = budget.bearable_loss();
        let tight = self.max_transmissions() > 1 && self.success_if(bearable_loss) > 0.99;
        tight.then_some(Deviation::TightBudget { bearable_loss })
    }

    fn single_transmission(&self) -> Option<Deviation> {
        let deadline = self.deadline()?;
        let (first_wait, _) = self.backoff().bounds(0);
        (self.max_transmissions() > 1 && first_wait >= deadline)
            .then_some(Deviation::SingleTransmission { deadline, first_wait })
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EagerStart { first_wait } => write!(
                f,
                "RFC 8961 §4 (1) and RFC 8085 §3.1.3 ask for a first wait of at least 1s where the path is not \
                 measured; here it may be {first_wait:?}"
            ),
            Self::NoBackoff { interval } => write!(
                f,
                "RFC 8961 §4 (3) and RFC 8085 §3.1.3 ask for exponential backoff; here every wait is {interval:?}"
            ),
            Self::LowMaximum { max } => {
                write!(f, "RFC 8961 §4 (3) lets waits stop growing at 60s, not sooner; here they do at {max:?}")
            }
            Self::SingleTransmission { deadline, first_wait } => write!(
                f,
                "warning: the deadline of {deadline:?} comes before the second transmission, {first_wait:?} after \
                 the first: no loss can be repaired"
            ),
            Self::TightBudget { bearable_loss } => write!(
                f,
                "warning: the budget pays for retransmissions only while at most {:.0}% of the attempts fail; the policy \
                 alone would bear more",
                100.0 * bearable_loss
            ),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
