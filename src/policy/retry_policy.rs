use core::time::Duration;

use super::jitter::Drawn;
use super::{Backoff, PolicyError};
use crate::entropy::{Seed, labels, uniform};
use crate::time::{Ns, checked_ns, saturating_ns};

/// A whole schedule: how often to send, when, and when to give up.
///
/// | setting | default of [`new`](Self::new) | meaning |
/// |---|---|---|
/// | `max_transmissions` | 5 | all transmissions, **the first included** |
/// | `last_wait` | [`LastWait::Next`] | how long to listen after the last one |
/// | `deadline` | none | the end, counted from the first transmission |
/// | `start_delay` | none | a random pause before the first transmission |
/// | `patience` | 60 s | how long a provisional answer may hold the request |
///
/// A policy knows nothing of datagrams and shares nothing: it is a `Copy` value, and a schedule follows from it,
/// a start and a seed alone. It has a [text](#impl-FromStr-for-RetryPolicy) that reads back, and constants are written as
/// that text with [`retry_policy!`](crate::retry_policy).
///
/// ```
/// use core::time::Duration;
/// use udp_retry::RetryPolicy;
/// use udp_retry::policy::{Backoff, Jitter};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let backoff = Backoff::exponential(Duration::from_millis(500), Duration::from_secs(8))?.with_jitter(Jitter::UPWARD)?;
/// let policy = RetryPolicy::new(backoff).with_max_transmissions(4)?.with_deadline(Duration::from_secs(10))?;
/// assert_eq!(policy, "500ms max 8s jitter 1..1.5 4 transmissions deadline 10s".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Shortest and longest pause before the first transmission.
    start_delay: (Ns, Ns),
    pub(super) backoff: Backoff,
    max_transmissions: u32,
    last_wait: LastWait,
    /// From the first due transmission.
    deadline: Option<Ns>,
    /// From the latest provisional answer.
    patience: Ns,
}

/// How long a request listens after its last transmission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the schedules of the RFCs know no third")]
pub enum LastWait {
    /// The next interval of the backoff, as CoAP (RFC 7252 §4.2) and most others do.
    Next,
    /// This many initial intervals, as STUN's Rm (RFC 8489 §6.2.1).
    Initial(u32),
}

impl RetryPolicy {
    /// Five transmissions spaced by `backoff`, listening one more interval after the last.
    #[must_use]
    pub const fn new(backoff: Backoff) -> Self {
        Self {
            start_delay: (0, 0),
            backoff,
            max_transmissions: 5,
            last_wait: LastWait::Next,
            deadline: None,
            patience: 60_000_000_000,
        }
    }

    /// Limits the transmissions, **the first included**; `u32::MAX` is practically without end.
    ///
    /// # Errors
    ///
    /// [`ZeroTransmissions`](PolicyError::ZeroTransmissions).
    pub const fn with_max_transmissions(self, transmissions: u32) -> Result<Self, PolicyError> {
        if transmissions == 0 {
            return Err(PolicyError::ZeroTransmissions);
        }
        Ok(Self { max_transmissions: transmissions, ..self })
    }

    /// Listens this long after the last transmission.
    ///
    /// # Errors
    ///
    /// [`ZeroLastWait`](PolicyError::ZeroLastWait) for `LastWait::Initial(0)`.
    pub const fn with_last_wait(self, last_wait: LastWait) -> Result<Self, PolicyError> {
        match last_wait {
            LastWait::Initial(0) => Err(PolicyError::ZeroLastWait),
            last_wait => Ok(Self { last_wait, ..self }),
        }
    }

    /// Ends `deadline` after the first due transmission (MRD in RFC 9915 §15, Timers B and F in RFC 3261).
    ///
    /// The last wait is clipped to it. A transmission that would fall exactly on it is not sent; a reply that
    /// arrives exactly then is accepted. A request may have a deadline of its own besides; the earlier one wins.
    ///
    /// # Errors
    ///
    /// [`ZeroDeadline`](PolicyError::ZeroDeadline) and [`TooLong`](PolicyError::TooLong).
    pub const fn with_deadline(self, deadline: Duration) -> Result<Self, PolicyError> {
        match checked_ns(deadline) {
            Some(0) => Err(PolicyError::ZeroDeadline),
            Some(ns) => Ok(Self { deadline: Some(ns), ..self }),
            None => Err(PolicyError::TooLong { duration: deadline }),
        }
    }

    /// Pauses for a random time from `from` to `to` before the first transmission, so that a fleet that powers up
    /// together does not ask together (RFC 9915 §18.2.1: 0 to 1 s).
    ///
    /// # Errors
    ///
    /// [`StartDelayInverted`](PolicyError::StartDelayInverted) and [`TooLong`](PolicyError::TooLong).
    pub const fn with_start_delay(self, from: Duration, to: Duration) -> Result<Self, PolicyError> {
        match (checked_ns(from), checked_ns(to)) {
            (Some(lo), Some(hi)) if lo <= hi => Ok(Self { start_delay: (lo, hi), ..self }),
            (Some(_), Some(_)) => Err(PolicyError::StartDelayInverted { from, to }),
            (_, None) => Err(PolicyError::TooLong { duration: to }),
            (None, _) => Err(PolicyError::TooLong { duration: from }),
        }
    }

    /// Waits this long for the reply after a provisional answer has ended the retransmissions; each further
    /// provisional answer grants it anew. The default of 60 s is ours: RFC 7252 §5.2.2 leaves it to the
    /// application, RFC 3261's Timer C is three minutes.
    ///
    /// # Errors
    ///
    /// [`ZeroPatience`](PolicyError::ZeroPatience) and [`TooLong`](PolicyError::TooLong).
    pub const fn with_patience(self, patience: Duration) -> Result<Self, PolicyError> {
        match checked_ns(patience) {
            Some(0) => Err(PolicyError::ZeroPatience),
            Some(patience) => Ok(Self { patience, ..self }),
            None => Err(PolicyError::TooLong { duration: patience }),
        }
    }

    /// The same policy with another initial interval, such as [`RttEstimator::rto`](super::RttEstimator::rto). It is
    /// kept between the backoff's floor and the largest one whose jitter still meets the maximum.
    #[must_use]
    pub const fn starting_at(self, initial: Duration) -> Self {
        Self { backoff: self.backoff.starting_at(saturating_ns(initial)), ..self }
    }

    /// As [`starting_at`](Self::starting_at), for a first wait that earlier requests call for: it leaves time for
    /// three transmissions before the policy's deadline and before this one, so that a request can still repair a
    /// loss. Both count from the first transmission.
    ///
    /// However jitter falls, the third transmission leaves before the deadline (the last one, of a policy with fewer).
    /// A first wait is never shortened below the policy's own.
    ///
    /// ```
    /// use core::time::Duration;
    /// use udp_retry::RetryPolicy;
    ///
    /// // 4.4 s, then 8.8 s, each 1.5 times as long: 19.8 s.
    /// let policy = RetryPolicy::default().starting_within(Duration::from_secs(60), Some(Duration::from_millis(19_801)));
    /// assert!(policy.backoff().initial() >= Duration::from_millis(4_400));
    /// assert!(policy.schedule().nth(2).unwrap().latest < Duration::from_millis(19_801));
    /// ```
    #[must_use]
    pub const fn starting_within(self, initial: Duration, deadline: Option<Duration>) -> Self {
        let deadline = match deadline {
            Some(deadline) => Some(saturating_ns(deadline)),
            None => None,
        };
        let initial = self.first_wait_within(saturating_ns(initial), deadline);
        Self { backoff: self.backoff.starting_at(initial), ..self }
    }

    /// The intervals between transmissions.
    #[must_use]
    pub const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The most transmissions, the first included.
    #[must_use]
    pub const fn max_transmissions(&self) -> u32 {
        self.max_transmissions
    }

    /// How long to listen after the last transmission.
    #[must_use]
    pub const fn last_wait(&self) -> LastWait {
        self.last_wait
    }

    /// The deadline, from the first due transmission; `None` if only the transmissions and the last wait limit a
    /// request.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        match self.deadline {
            Some(ns) => Some(Duration::from_nanos(ns)),
            None => None,
        }
    }

    /// The shortest and the longest pause before the first transmission.
    #[must_use]
    pub const fn start_delay(&self) -> (Duration, Duration) {
        (Duration::from_nanos(self.start_delay.0), Duration::from_nanos(self.start_delay.1))
    }

    /// How long a provisional answer may hold a request.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience)
    }

    /// The wait after slot `slot` of the request with this seed; the longest one if a provisional answer `slowed` it.
    #[inline]
    pub(crate) const fn wait_ns(&self, slot: u32, slowed: bool, seed: Seed) -> Ns {
        match self.last_wait {
            _ if slowed => self.backoff.longest_ns(slot, seed),
            LastWait::Initial(count) if slot.saturating_add(1) >= self.max_transmissions => {
                self.backoff.initial_ns().saturating_mul(count as Ns)
            }
            LastWait::Initial(_) | LastWait::Next => self.backoff.delay_ns(slot, seed),
        }
    }

    /// The smallest, the middle and the largest wait after slot `slot`.
    pub(super) const fn window_ns(&self, slot: u32) -> (Ns, Ns, Ns) {
        match self.last_wait {
            LastWait::Initial(count) if slot.saturating_add(1) >= self.max_transmissions => {
                let wait = self.backoff.initial_ns().saturating_mul(count as Ns);
                (wait, wait, wait)
            }
            LastWait::Initial(_) | LastWait::Next => {
                let (lo, hi) = self.backoff.bounds_ns(slot);
                // At a few nanoseconds rounding may put the middle outside.
                let middle = self.backoff.middle_ns(slot);
                let middle = if middle < lo { lo } else { middle };
                (lo, if middle > hi { hi } else { middle }, hi)
            }
        }
    }

    /// The shortest wait that can follow the first transmission.
    pub(crate) const fn least_first_wait_ns(&self) -> Ns {
        self.window_ns(0).0
    }

    /// The range that draw 0 of a request picks its first wait from, if one draw of one range does.
    pub(crate) const fn first_range_ns(&self) -> Option<(Ns, Ns)> {
        match (self.last_wait, self.backoff.jitter.drawn) {
            (LastWait::Initial(_), _) if self.max_transmissions <= 1 => None,
            (_, Drawn::Compounding) => None,
            (_, Drawn::Each | Drawn::Once) => Some(self.backoff.bounds_ns(0)),
        }
    }

    #[inline]
    pub(crate) const fn start_delay_ns(&self, seed: Seed) -> Ns {
        match self.start_delay {
            (0, 0) => 0,
            (from, to) => uniform(from, to, seed.derive(labels::START_DELAY).draw(0)),
        }
    }

    /// The first wait of [`starting_within`](Self::starting_within), without the policy that starts with it.
    pub(crate) const fn first_wait_within(&self, initial: Ns, deadline: Option<Ns>) -> Ns {
        let asked = self.backoff.nearest_initial(initial);
        let end = match (self.deadline, deadline) {
            (Some(ours), Some(given)) if given > ours => ours,
            (_, Some(given)) => given,
            (Some(ours), None) => ours,
            (None, None) => return asked,
        };
        let last = if self.max_transmissions < REPAIRING { self.max_transmissions } else { REPAIRING } - 1;
        let (mut fits, mut over) = (self.backoff.initial_ns(), asked);
        if over <= fits || self.backoff.latest_ns(over, last) < end {
            return asked;
        }
        // A longer first wait makes no transmission earlier, so halving finds the longest one that fits.
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            if self.backoff.latest_ns(middle, last) < end {
                fits = middle;
            } else {
                over = middle;
            }
        }
        fits
    }

    /// From the first transmission to when the last one leaves at the latest, if no deadline comes before.
    pub(crate) const fn span_ns(&self) -> Ns {
        let last = self.max_transmissions - 1;
        if last > FORESEEN { Ns::MAX } else { self.backoff.latest_ns(self.backoff.initial_ns(), last) }
    }

    pub(crate) const fn deadline_ns(&self) -> Option<Ns> {
        self.deadline
    }

    pub(crate) const fn patience_ns(&self) -> Ns {
        self.patience
    }
}

impl Default for RetryPolicy {
    /// A schedule for the Internet: first wait 1 s (RFC 8085 §3.1.1, RFC 8961 §4), doubling up to 60 s, each wait
    /// times a factor drawn from 1 to 1.5, 5 transmissions, deadline 30 s.
    fn default() -> Self {
        Self::INTERNET
    }
}

/// Transmissions that a deadline leaves time for, whatever is carried over: one more than a single loss takes.
const REPAIRING: u32 = 3;
/// Transmissions that are summed up; more have no end, for all practical purposes.
const FORESEEN: u32 = 65_536;
