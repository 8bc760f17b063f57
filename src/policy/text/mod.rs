//! Policies as text, both ways.

mod clauses;
mod shown;
mod words;

use core::str::FromStr;

use super::{PolicyError, RetryPolicy};

/// Why a text is no policy, and where.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyTextError {
    /// Something else should stand here.
    #[error("at {position}: expected {expected}")]
    Unexpected {
        /// Characters into the text, from 1.
        position: usize,
        /// What could stand here.
        expected: &'static str,
    },
    /// Every word is in its place, but the settings break a rule.
    #[error("at {position}: {reason}")]
    Infeasible {
        /// Characters into the text, from 1: where the value stands that breaks it.
        position: usize,
        /// The rule.
        reason: PolicyError,
    },
}

impl PolicyTextError {
    /// What should stand there instead, in a few words: all that [`retry_policy!`](crate::retry_policy) can say.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Unexpected { expected, .. } => expected,
            Self::Infeasible { reason, .. } => match reason {
                PolicyError::ZeroInitial => "a first wait above zero",
                PolicyError::MaxBelowInitial { .. } => "a max of at least the first wait",
                PolicyError::MultiplierOutOfRange { .. } => "a multiplier from x1 to x1000000000",
                PolicyError::JitterOutOfRange { .. } => "jitter factors up to 1000000000, the higher above 0",
                PolicyError::JitterInverted { .. } => "the lower jitter factor first",
                PolicyError::JitterTooWide { .. } => "a max of at least the first wait with its longest jitter",
                PolicyError::CompoundingOneSided { .. } => "factors of compounding jitter on both sides of 1",
                PolicyError::CompoundingTooSlow { .. } => "compounding jitter with (multiplier - 1 + lo) * lo >= 1.25",
                PolicyError::FloorAboveInitial { .. } => "a floor of at most the first wait",
                PolicyError::ZeroTransmissions => "at least 1 transmission",
                PolicyError::ZeroLastWait => "a last wait of at least x1",
                PolicyError::ZeroDeadline => "a deadline above zero",
                PolicyError::ZeroPatience => "a patience above zero",
                PolicyError::StartDelayInverted { .. } => "the shorter start delay first",
                _ => "settings that break no rule",
            },
        }
    }
}

impl RetryPolicy {
    /// As `text.parse()`, for constants; see there for what a text may hold.
    /// [`retry_policy!`](crate::retry_policy) is the short way to write one.
    ///
    /// # Errors
    ///
    /// [`Unexpected`](PolicyTextError::Unexpected) and [`Infeasible`](PolicyTextError::Infeasible).
    pub const fn from_text(text: &str) -> Result<Self, PolicyTextError> {
        clauses::policy(text)
    }
}

/// The first wait, or a preset's [name](super::Preset), and then clauses between blanks, in any order, each at most
/// once. What a text does not say is as [`RetryPolicy::new`] has it, or as the preset has it.
///
/// | clause | meaning | default |
/// |---|---|---|
/// | `1s` | the first wait; stands first | |
/// | `x1.5` | [multiplier](super::Backoff::with_multiplier), nine decimals at most | `x2` |
/// | `max 60s` | the longest wait, jitter included | none; with `x1` the longest first wait |
/// | `floor 1s` | the [shortest wait](super::Backoff::with_floor) | 1 ns |
/// | `jitter 1..1.5` | [`Jitter::between`](super::Jitter::between), nine decimals at most | none |
/// | `jitter once 1..1.5` | [`Jitter::once`](super::Jitter::once) | |
/// | `jitter compounding 0.9..1.1` | [`Jitter::compounding`](super::Jitter::compounding) | |
/// | `jitter +-1s` | [`Jitter::plus_minus`](super::Jitter::plus_minus) | |
/// | `5 transmissions`, `endless` | the first included | 5 |
/// | `last wait x16` | [`LastWait::Initial`](super::LastWait::Initial); `last wait next` | `next` |
/// | `deadline 30s` | from the first transmission | none |
/// | `start delay 0s..1s` | a random pause before the first transmission | none |
/// | `patience 60s` | how long a provisional answer may hold a request | 60 s |
///
/// Units of time are `ns`, `us`, `ms`, `s`, `min` and `h`.
///
/// ```
/// use udp_retry::RetryPolicy;
/// use udp_retry::policy::Preset;
///
/// # fn main() -> Result<(), udp_retry::policy::PolicyTextError> {
/// let policy: RetryPolicy = "1s x2 max 60s jitter 1..1.5 5 transmissions deadline 30s".parse()?;
/// assert_eq!(policy, RetryPolicy::default());
/// assert_eq!(policy.to_string(), "1s x2 max 60s jitter 1..1.5 5 transmissions deadline 30s");
///
/// assert_eq!("dns".parse::<RetryPolicy>()?, Preset::named("dns").unwrap().policy);
/// assert_eq!("dns 2 transmissions".parse::<RetryPolicy>()?.to_string(), "2s x2 max 8s 2 transmissions");
///
/// let error = "1s max 60".parse::<RetryPolicy>().unwrap_err();
/// assert_eq!(error.to_string(), "at 10: expected a unit of time: h, min, s, ms, us or ns");
/// # Ok(())
/// # }
/// ```
impl FromStr for RetryPolicy {
    type Err = PolicyTextError;

    fn from_str(text: &str) -> Result<Self, PolicyTextError> {
        Self::from_text(text)
    }
}

/// A [`RetryPolicy`](crate::RetryPolicy) from its [text](crate::RetryPolicy#impl-FromStr-for-RetryPolicy), read by the
/// compiler: a text that makes no policy does not compile, and nothing can fail at run time.
///
/// ```
/// use udp_retry::{RetryPolicy, retry_policy};
///
/// const POLICY: RetryPolicy = retry_policy!("500ms x1.5 max 10s jitter 1..1.5 4 transmissions deadline 20s");
/// assert_eq!(POLICY.max_transmissions(), 4);
/// assert_eq!(retry_policy!("book"), RetryPolicy::LAN);
/// ```
///
/// ```compile_fail,E0080
/// let policy = udp_retry::retry_policy!("500ms x1.5 max 10"); // a unit of time: h, min, s, ms, us or ns
/// ```
///
/// ```compile_fail,E0080
/// let policy = udp_retry::retry_policy!("500ms max 100ms"); // a max of at least the first wait
/// ```
#[macro_export]
macro_rules! retry_policy {
    ($text:expr) => {
        const {
            match $crate::policy::RetryPolicy::from_text($text) {
                ::core::result::Result::Ok(policy) => policy,
                ::core::result::Result::Err(error) => ::core::panic!("{}", error.expected()),
            }
        }
    };
}
