use core::fmt;
use core::time::Duration;

use crate::time::Timestamp;

/// How much may happen in a [`SimNet`](super::SimNet) before it is stopped, so that a scenario without end has one.
///
/// | limit | of a network by itself | in `explore`, `exhaust` and `replay` |
/// |---|---|---|
/// | steps at one instant | 10 million | 1 million |
/// | steps | 1 billion | 10 million |
/// | time | none | none |
///
/// A step is a thing that is due and happens, a send, a read, or a call that lets time pass. Two servers that answer
/// each other over a perfect path meet the first limit, an endless heartbeat the second. Time has no limit by default,
/// since a run of 500 years with a request a day is cheap: what never ends meets a limit of steps before.
///
/// A network that was stopped moves nothing any more: nothing arrives, no endpoint is woken and no action is done, sends
/// report [`PathError::Unreachable`](crate::transport::PathError::Unreachable), and only time passes, so that every
/// wait ends. [`SimNet::stopped`](super::SimNet::stopped) says why. While a scenario is explored it is left instead, and
/// fails with that reason.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::Seed;
/// use udp_retry::sim::{Limits, SimNet, Stopped};
/// use udp_retry::time::Timestamp;
///
/// let net = SimNet::new(Seed::new(1));
/// net.limit(Limits::default().with_time(Duration::from_secs(60)));
/// net.run_until(Timestamp::ZERO.after(Duration::from_secs(61)));
/// assert!(matches!(net.stopped(), Some(Stopped::Time { .. })));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    at_one_instant: u64,
    steps: u64,
    time: Timestamp,
}

impl Limits {
    /// None at all.
    pub const NONE: Self = Self { at_one_instant: u64::MAX, steps: u64::MAX, time: Timestamp::MAX };

    /// While a scenario is explored. Lower, as a debug build makes less than a million steps a second.
    pub const EXPLORED: Self = Self { at_one_instant: 1_000_000, steps: 10_000_000, ..Self::NONE };

    /// Allows this many steps before time moves on.
    #[must_use]
    pub const fn with_steps_at_one_instant(self, steps: u64) -> Self {
        Self { at_one_instant: steps, ..self }
    }

    /// Allows this many steps.
    #[must_use]
    pub const fn with_steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// Lets time get this far from zero.
    #[must_use]
    pub const fn with_time(self, time: Duration) -> Self {
        Self { time: Timestamp::ZERO.after(time), ..self }
    }

    /// The steps before time moves on.
    #[must_use]
    pub const fn steps_at_one_instant(&self) -> u64 {
        self.at_one_instant
    }

    /// The steps.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// How far time may get from zero.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.time.since(Timestamp::ZERO)
    }

    pub(super) const fn last_moment(&self) -> Timestamp {
        self.time
    }
}

impl Default for Limits {
    /// Those of a network by itself.
    fn default() -> Self {
        Self { at_one_instant: 10_000_000, steps: 1_000_000_000, ..Self::NONE }
    }
}

/// Why a [`SimNet`](super::SimNet) was stopped: it met one of its [`Limits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// Time did not move on.
    AtOneInstant {
        /// When.
        at: Timestamp,
        /// The steps allowed before time moves on.
        limit: u64,
    },
    /// It took too many steps.
    Steps {
        /// How far time had got.
        at: Timestamp,
        /// The steps allowed.
        limit: u64,
    },
    /// Time got too far.
    Time {
        /// The last moment allowed.
        limit: Timestamp,
    },
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |at: &Timestamp| at.as_nanos() as f64 / 1e6;
        match self {
            Self::AtOneInstant { at, limit } => {
                write!(f, "the network was stopped: time does not get past {:.3} ms, in {limit} steps", ms(at))
            }
            Self::Steps { at, limit } => {
                write!(f, "the network was stopped: {limit} steps were not enough, time got to {:.3} ms", ms(at))
            }
            Self::Time { limit } => write!(f, "the network was stopped: its time ends at {:.3} ms", ms(limit)),
        }
    }
}

impl core::error::Error for Stopped {}
