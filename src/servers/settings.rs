use core::num::NonZeroU32;
use core::time::Duration;

/// How a [`ServerSet`](super::ServerSet) chooses, and when it takes a server for dead.
///
/// The defaults are those of a study of some ways to choose, under faults and under load, for one client and for a fleet.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`with_spread`](Self::with_spread) | [`Spread::BAND`] | fastest first puts all load on one server, and collapses below capacity |
/// | [`with_floor`](Self::with_floor) | 250 ms | how long at least before *another* server is asked (RFC 8305 §5) |
/// | [`with_dead_after`](Self::with_dead_after) | 3 | expiries without a reply in between: one is a loss, as a rule |
/// | [`with_probes`](Self::with_probes) | 250 ms, doubling to 30 s; to 1 s while all are dead | no one waits for a probe of one, everyone for one of all |
/// | [`with_hedging`](Self::with_hedging) | off | it adds load when there is least to spare |
/// | [`with_max_age`](Self::with_max_age) | 10 min | what is older is forgotten, so an ordinary request measures it anew (RFC 8489 §6.2.1) |
///
/// ```
/// use core::time::Duration;
/// use udp_retry::servers::{ServerSettings, Spread};
///
/// // A primary and its backups in one building; a backup is asked after 50 ms.
/// let settings = ServerSettings::LAN.with_spread(Spread::InOrder)?;
/// // The same, but each probed at least every 5 s.
/// let ms = Duration::from_millis;
/// let settings = settings.with_probes(ms(250), ms(5_000), ms(1_000))?;
/// # Ok::<(), udp_retry::servers::ServersError>(())
/// ```
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
    /// outstanding, ties at random. [`Spread::band`] makes one; what a server costs stands at
    /// [`ServerSet`](super::ServerSet#whom-it-chooses).
    #[non_exhaustive]
    Band {
        /// At least 1.
        factor: f64,
        /// Added to the best cost.
        slack: Duration,
    },
    /// The first that lives: primary and backups, and back to the primary as soon as that has replied to a probe. All load is
    /// the primary's.
    InOrder,
    /// One until it is dead, for servers that keep a client's state; then another one, also after the first has come back.
    /// Which one is drawn from the seed, so that a fleet is spread over them, and so is which is asked where that one does not
    /// reply in time.
    Sticky,
    /// One after the other, slow or lossy, from one drawn from the seed.
    RoundRobin,
}

impl Spread {
    /// Within twice the best cost, or 20 ms more: what servers of one service differ by without one being a worse choice.
    pub const BAND: Self = Self::Band { factor: 2.0, slack: Duration::from_millis(20) };

    /// A band of another width. [`ServerSettings::with_spread`] checks it.
    #[must_use]
    pub const fn band(factor: f64, slack: Duration) -> Self {
        Self::Band { factor, slack }
    }
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

    /// Which of the servers that live is asked. [`Spread::BAND`] by default.
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

    /// How long to wait at least before another server is asked; also the timeout of one that was not measured yet. A policy
    /// whose own interval is shorter waits that long. 250 ms by default: RFC 8305 §5.
    ///
    /// # Errors
    ///
    /// [`ServersError::ZeroWait`].
    pub const fn with_floor(self, floor: Duration) -> Result<Self, ServersError> {
        if floor.is_zero() { Err(ServersError::ZeroWait) } else { Ok(Self { floor, ..self }) }
    }

    /// After how many expiries without a reply in between a server is dead; several within one timeout count once, and each
    /// refusal does. 3 by default.
    #[must_use]
    pub const fn with_dead_after(self, expiries: NonZeroU32) -> Self {
        Self { dead_after: expiries, ..self }
    }

    /// When a dead server is probed: after `first`, then after twice that, up to `longest`; while all are dead up to
    /// `longest_parked`, also the one that is waited for when the last one dies. 250 ms, 30 s and 1 s by default.
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

    /// What is known of a server and older than this is forgotten: its round trip, loss and quantile, not that it is dead.
    /// 10 minutes by default.
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
