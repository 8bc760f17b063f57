use core::fmt;
use core::time::Duration;

use super::RetryPolicy;

/// A rule that a policy does not follow, or a warning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
}

impl RetryPolicy {
    /// What the policy does that RFC 8085 or RFC 8961 advise against on the Internet, where nothing is known of the
    /// path. On a controlled network each may be right.
    pub fn deviations(&self) -> impl Iterator<Item = Deviation> + use<> {
        [self.eager_start(), self.no_backoff(), self.low_maximum(), self.single_transmission()].into_iter().flatten()
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
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
