use core::num::NonZeroU32;
use core::time::Duration;

/// How a [`ServerSet`](super::ServerSet) chooses, and when it takes a server for dead.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`with_spread`](Self::with_spread) | [`Spread::BAND`] | fastest first puts all load on one server, and collapses below capacity |
/// | [`with_floor`](Self::with_floor) | 250 ms | how long at least before *another* server is asked (RFC 8305 §5) |
/// | [`with_dead_after`](Self::with_dead_after) | 3 | expiries without a reply in between |
/// | [`with_probes`](Self::with_probes) | 250 ms, doubling to 30 s; to 1 s while all are dead | |
/// | [`with_hedging`](Self::with_hedging) | off | it adds load when there is least to spare |
/// | [`with_max_age`](Self::with_max_age) | 10 min | what is older is forgotten, so an ordinary request measures it anew |
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ServerSettings {
    pub(super) spread: Spread,
    pub(super) floor: Duration,
    pub(super) dead_after: NonZeroU32,
    pub(super) first_probe: Duration,
    pub(super) longest_probe: Duration,
    /// The longest while all are dead.
    pub(super) longest_parked_probe: Duration,
    /// The share of requests that may be hedged.
    pub(super) hedged: Option<f64>,
    pub(super) max_age: Duration,
}

/// Which of the servers that live is asked.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Spread {
    /// Of those whose cost is within `factor` times the best, or `slack` above it: the one with the fewest requests
    /// outstanding, ties at random.
    #[non_exhaustive]
    Band {
        /// At least 1.
        factor: f64,
        /// Added to the best cost.
        slack: Duration,
    },
    /// The first that lives: primary and backups, and back to the primary when that replies again.
    InOrder,
    /// One until it is dead, for servers that keep a client's state.
    Sticky,
    /// One after the other.
    RoundRobin,
}

impl Spread {
    /// Within twice the best cost, or 20 ms more.
    pub const BAND: Self = Self::Band { factor: 2.0, slack: Duration::from_millis(20) };
}

impl ServerSettings {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            spread: Spread::BAND,
            floor: Duration::from_millis(250),
            dead_after: NonZeroU32::MIN.saturating_add(2),
            first_probe: Duration::from_millis(250),
            longest_probe: Duration::from_secs(30),
            longest_parked_probe: Duration::from_secs(1),
            hedged: None,
            max_age: Duration::from_secs(600),
        }
    }

    /// For servers in the same building: another one is asked after 50 ms.
    pub const LAN: Self = Self { floor: Duration::from_millis(50), ..Self::new() };

    /// As RFC 8085 §3.1.1 asks: nothing is sent again before 1 s, to no server.
    pub const STRICT: Self = Self { floor: Duration::from_secs(1), ..Self::new() };

    /// Which of the servers that live is asked.
    ///
    /// # Errors
    ///
    /// [`ServersError::Factor`] unless a band's factor is a number of at least 1.
    pub const fn with_spread(self, spread: Spread) -> Result<Self, ServersError> {
        match spread {
            Spread::Band { factor, .. } if !(factor >= 1.0 && factor.is_finite()) => {
                Err(ServersError::Factor { factor })
            }
            spread => Ok(Self { spread, ..self }),
        }
    }

    /// How long to wait at least before another server is asked. A policy whose own interval is shorter waits that long.
    ///
    /// # Errors
    ///
    /// [`ServersError::ZeroWait`].
    pub const fn with_floor(self, floor: Duration) -> Result<Self, ServersError> {
        if floor.is_zero() { Err(ServersError::ZeroWait) } else { Ok(Self { floor, ..self }) }
    }

    /// After how many expiries without a reply in between a server is dead; several within one timeout count once.
    #[must_use]
    pub const fn with_dead_after(self, expiries: NonZeroU32) -> Self {
        Self { dead_after: expiries, ..self }
    }

    /// When a dead server is probed: after `first`, then twice that, up to `longest`; while all are dead up to
    /// `longest_parked`.
    ///
    /// # Errors
    ///
    /// [`ServersError::ZeroWait`], and [`ServersError::Probes`] unless first ≤ longest parked ≤ longest.
    pub fn with_probes(
        self,
        first: Duration,
        longest: Duration,
        longest_parked: Duration,
    ) -> Result<Self, ServersError> {
        if first.is_zero() {
            return Err(ServersError::ZeroWait);
        }
        if !(first <= longest_parked && longest_parked <= longest) {
            return Err(ServersError::Probes { first, longest, longest_parked });
        }
        Ok(Self { first_probe: first, longest_probe: longest, longest_parked_probe: longest_parked, ..self })
    }

    /// Sends a copy of a request to a second server if the first has not answered when it does in all but this share of
    /// cases: at most 0.05. Only requests that are declared [repeatable](crate::transaction::Request::repeatable), and only
    /// while the retry budget is at least half full. **It never helps near saturation.**
    ///
    /// # Errors
    ///
    /// [`ServersError::HedgedShare`] unless 0 < share ≤ 0.05.
    pub const fn with_hedging(self, share: f64) -> Result<Self, ServersError> {
        if share > 0.0 && share <= 0.05 {
            Ok(Self { hedged: Some(share), ..self })
        } else {
            Err(ServersError::HedgedShare { share })
        }
    }

    /// What is known of a server and older than this is forgotten.
    ///
    /// # Errors
    ///
    /// [`ServersError::ZeroWait`].
    pub const fn with_max_age(self, max_age: Duration) -> Result<Self, ServersError> {
        if max_age.is_zero() { Err(ServersError::ZeroWait) } else { Ok(Self { max_age, ..self }) }
    }

    /// Whether requests may be hedged at all.
    #[must_use]
    pub const fn is_hedging(&self) -> bool {
        self.hedged.is_some()
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// Why servers, or settings of them, cannot be.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError {
    /// No server, or more than 64.
    #[error("{count} servers: from 1 to 64 can be asked")]
    #[non_exhaustive]
    Count {
        /// How many.
        count: usize,
    },
    /// A band narrower than its best server.
    #[error("a band of factor {factor}: it must be a number of at least 1")]
    #[non_exhaustive]
    Factor {
        /// As given.
        factor: f64,
    },
    /// Peers of which one is unknown or named twice, or not as many as there are servers.
    #[error("the members of a group must be known peers, one for each server")]
    Members,
    /// A wait of zero, or an age.
    #[error("a wait of zero")]
    ZeroWait,
    /// Waits between probes that do not ascend.
    #[error("probes after {first:?}, up to {longest_parked:?} and {longest:?}: these must not descend")]
    #[non_exhaustive]
    Probes {
        /// The first.
        first: Duration,
        /// The longest.
        longest: Duration,
        /// The longest while all are dead.
        longest_parked: Duration,
    },
    /// More hedges than a server that is near saturation bears.
    #[error("a share of {share} hedged: it must be above 0 and at most 0.05")]
    #[non_exhaustive]
    HedgedShare {
        /// As given.
        share: f64,
    },
}
