//! What a retry library is asked for, in words that every library understands.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::cost::{Cost, Subject};

/// One adapter to a library: its public API, configured as a competent user would.
///
/// What a library does not have keeps its default here, which is [`No::Absent`].
pub trait Library: Sync {
    fn name(&self) -> &'static str;

    /// The smallest and the largest factor of [`Jitter::Strongest`], as documented.
    fn spread(&self) -> (f64, f64);

    /// A session of a client of its own.
    fn session(&self, config: &Config) -> Result<Delays, No>;

    /// Sessions of one and the same client.
    fn sessions(&self, config: &Config, count: usize) -> Result<Vec<Delays>, No> {
        (0..count).map(|_| self.session(config)).collect()
    }

    /// The shortest that wait number `n` may be with the strongest jitter, as documented.
    fn shortest(&self, config: &Config, n: u32) -> Duration {
        config.nominal(n).mul_f64(self.spread().0)
    }

    /// How exactly a wait can be read through the public API.
    fn resolution(&self) -> Duration {
        Duration::ZERO
    }

    /// Properties that the documentation says it does not have, with its words.
    fn announced(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Everything that can be built from `config`.
    fn construct(&self, config: &Config) {
        let _ = self.session(config);
        let _ = self.session(&Config { limit: Some(Duration::from_secs(3600)), ..*config });
    }

    /// Tries until the time `limit` ends it; every try takes `operation` and fails.
    fn unanswered(&self, _config: &Config, _limit: Duration, _operation: Duration) -> Result<Run, No> {
        Err(No::Absent)
    }

    /// Whether a policy with this limit on time retries, if its limit is kept by the wall clock.
    fn retries_by_wall_clock(&self, _limit: Duration, _started: SystemTime) -> Option<bool> {
        None
    }

    /// An empty budget that earns `ratio` of a retry by every success.
    fn budget(&self, _ratio: f64) -> Result<Box<dyn Budget>, No> {
        Err(No::Absent)
    }

    /// How long a deposit takes after this much idleness, for a budget whose clock can be moved.
    fn deposit_after(&self, _idle: Duration) -> Result<Duration, No> {
        Err(No::Absent)
    }

    /// One round each of what a delay costs.
    fn delay_costs(&self) -> Vec<Subject>;

    /// One round of what a deposit and a withdrawal cost together.
    fn budget_cost(&self) -> Option<fn() -> Cost> {
        None
    }
}

#[derive(Clone, Copy)]
pub struct Config {
    pub initial: Duration,
    pub max: Duration,
    pub multiplier: f64,
    pub jitter: Jitter,
    /// On the time of all tries together.
    pub limit: Option<Duration>,
}

#[derive(Clone, Copy)]
pub enum Jitter {
    None,
    /// The widest that the library recommends or takes by default.
    Strongest,
    /// This share of the wait, in the direction that the library jitters in.
    Share(f64),
}

impl Config {
    pub const fn new(initial: Duration, max: Duration, multiplier: f64) -> Self {
        Self { initial, max, multiplier, jitter: Jitter::None, limit: None }
    }

    pub const fn jittered(self) -> Self {
        Self { jitter: Jitter::Strongest, ..self }
    }

    /// Wait number `n` before jitter, to within the precision of a float.
    pub fn nominal(&self, n: u32) -> Duration {
        let seconds = self.initial.as_secs_f64() * self.multiplier.powf(f64::from(n));
        Duration::try_from_secs_f64(seconds).map_or(self.max, |wait| wait.min(self.max))
    }

    /// The multiplier, for a library that takes a whole one.
    pub fn whole_multiplier(&self) -> Result<u32, No> {
        let whole = self.multiplier as u32;
        if f64::from(whole) == self.multiplier { Ok(whole) } else { Err(No::Absent) }
    }

    /// The initial wait in milliseconds, for a library that takes whole ones.
    pub fn whole_milliseconds(&self) -> Result<u64, No> {
        let whole = u64::try_from(self.initial.as_millis()).map_err(|_| No::Absent)?;
        if Duration::from_millis(whole) == self.initial { Ok(whole) } else { Err(No::Absent) }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "initial {:?}, max ", self.initial)?;
        match self.max {
            Duration::MAX => write!(f, "Duration::MAX")?,
            max => write!(f, "{max:?}")?,
        }
        write!(f, ", x{}", self.multiplier)?;
        match self.jitter {
            Jitter::None => write!(f, ", no jitter")?,
            Jitter::Strongest => {}
            Jitter::Share(share) => write!(f, ", jitter {share}")?,
        }
        match self.limit {
            None => Ok(()),
            Some(Duration::MAX) => write!(f, ", time limit Duration::MAX"),
            Some(limit) => write!(f, ", time limit {limit:?}"),
        }
    }
}

/// Why something cannot be had.
pub enum No {
    /// The API has no way to ask for it.
    Absent,
    /// The library refuses with an error value.
    Refused(String),
}

/// The waits of one session.
pub enum Delays {
    /// Asked for by number.
    Numbered(Box<dyn Fn(u32) -> Option<Duration>>),
    /// One after the other.
    InOrder(Box<dyn Iterator<Item = Duration>>),
}

impl Delays {
    pub fn numbered(delay: impl Fn(u32) -> Option<Duration> + 'static) -> Self {
        Self::Numbered(Box::new(delay))
    }

    pub fn in_order(delays: impl Iterator<Item = Duration> + 'static) -> Self {
        Self::InOrder(Box::new(delays))
    }

    /// The first `count` waits, or fewer if the library stops.
    pub fn first(self, count: u32) -> Vec<Duration> {
        match self {
            Self::Numbered(delay) => (0..count).map_while(delay).collect(),
            Self::InOrder(delays) => delays.take(count as usize).collect(),
        }
    }

    /// Wait number `n`.
    pub fn nth(self, n: u32) -> Option<Duration> {
        match self {
            Self::Numbered(delay) => delay(n),
            Self::InOrder(mut delays) => delays.nth(n as usize),
        }
    }
}

/// The tries that nobody answered, counted from the start.
pub struct Run {
    pub tries: Vec<Duration>,
    /// When the library gave up.
    pub end: Duration,
}

pub trait Budget: Send + Sync {
    fn deposit(&self);
    fn withdraw(&self) -> bool;
}
