use core::fmt;
use core::time::Duration;

use super::{Deviation, RetryBudget, RetryPolicy};
use crate::time::Ns;

/// The transmissions of a policy, each with the window that it falls into; made by [`RetryPolicy::schedule`].
///
/// Times count from the first transmission. A transmission that can never leave before the deadline is not listed.
#[derive(Clone, Debug)]
pub struct Schedule<'p> {
    policy: &'p RetryPolicy,
    /// The transmission that comes next, from 0.
    slot: u32,
    due: Sums,
}

/// When something happens, for the smallest, the middle and the largest draw of every interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "three moments, no more")]
pub struct Window {
    /// No sooner than this.
    pub earliest: Duration,
    /// With every jitter factor at its middle value; `None` if that falls on or after the deadline.
    pub nominal: Option<Duration>,
    /// No later than this.
    pub latest: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    earliest: Ns,
    nominal: Ns,
    latest: Ns,
}

impl RetryPolicy {
    /// Every transmission in order, lazily: a policy may have four billion.
    ///
    /// ```
    /// use core::time::Duration;
    /// use udp_retry::RetryPolicy;
    ///
    /// let sent: Vec<_> = RetryPolicy::LAN.schedule().map(|window| window.earliest.as_millis()).collect();
    /// assert_eq!(sent, [0, 100, 300, 700, 1500]);
    /// assert_eq!(RetryPolicy::LAN.schedule().fails().unwrap().latest, Duration::from_millis(3100));
    /// ```
    #[must_use]
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { policy: self, slot: 0, due: Sums { earliest: 0, nominal: 0, latest: 0 } }
    }

    /// The schedule in words, and which rules it breaks.
    ///
    /// ```
    /// let words = udp_retry::RetryPolicy::LAN.explain().to_string();
    /// assert!(words.starts_with("up to 5 transmissions: at 0s, 100ms, 300ms, 700ms, 1.5s; fails at 3.1s"));
    /// ```
    #[must_use]
    pub fn explain(&self) -> impl fmt::Display + use<> {
        Explanation { policy: *self, tight_budget: None }
    }

    /// As [`explain`](Self::explain), with the [warning](Self::deviations_with) that a budget may call for.
    ///
    /// ```
    /// use udp_retry::{RetryBudget, RetryPolicy};
    ///
    /// let words = RetryPolicy::default().explain_with(&RetryBudget::default()).to_string();
    /// assert!(words.contains("the budget pays for retransmissions only while at most 23% of the attempts fail"));
    /// ```
    #[must_use]
    pub fn explain_with(&self, budget: &RetryBudget) -> impl fmt::Display + use<> {
        Explanation { policy: *self, tight_budget: self.tight_budget(budget) }
    }

    /// The chance that a request brings a reply, if each datagram is lost with probability `loss` in either
    /// direction, independently, and every transmission has the time to be answered: 1 − (1 − (1 − p)²)ⁿ. NaN unless
    /// `loss` is a number from 0 to 1. n counts the transmissions that can leave before the deadline.
    ///
    /// ```
    /// let half = udp_retry::RetryPolicy::LAN.success_probability(0.5);
    /// assert!((half - 0.7627).abs() < 0.0001);
    /// ```
    #[must_use]
    pub fn success_probability(&self, loss: f64) -> f64 {
        if !(0.0..=1.0).contains(&loss) {
            return f64::NAN;
        }
        self.success_if(1.0 - (1.0 - loss) * (1.0 - loss))
    }

    /// The chance of a reply if each attempt fails with this probability.
    pub(super) fn success_if(&self, attempt_loss: f64) -> f64 {
        let (mut all_fail, mut square) = (1.0, attempt_loss);
        let mut left = match self.deadline() {
            None => u64::from(self.max_transmissions()),
            Some(_) => self.schedule().take(FORESEEN).count() as u64,
        };
        while left > 0 {
            if left & 1 == 1 {
                all_fail *= square;
            }
            square *= square;
            left >>= 1;
        }
        1.0 - all_fail
    }

    fn never_fails(&self) -> bool {
        self.max_transmissions() == u32::MAX && self.deadline().is_none()
    }
}

impl Schedule<'_> {
    /// When the request fails if no reply comes. `None` if that is never, or lies more than 65,536 transmissions
    /// ahead.
    #[must_use]
    pub fn fails(&self) -> Option<Window> {
        let most = self.policy.max_transmissions().saturating_sub(self.slot);
        if self.policy.deadline().is_none() && most as usize > FORESEEN {
            return None;
        }
        let mut rest = self.clone();
        for _ in 0..=FORESEEN {
            if rest.next().is_none() {
                let end = rest.policy.deadline_ns().unwrap_or(Ns::MAX);
                let Sums { earliest, nominal, latest } = rest.due;
                return Some(Window {
                    earliest: Duration::from_nanos(earliest.min(end)),
                    nominal: Some(Duration::from_nanos(nominal.min(end))),
                    latest: Duration::from_nanos(latest.min(end)),
                });
            }
        }
        None
    }
}

impl Iterator for Schedule<'_> {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let end = self.policy.deadline_ns().unwrap_or(Ns::MAX);
        let Sums { earliest, nominal, latest } = self.due;
        if self.slot >= self.policy.max_transmissions() || earliest >= end {
            return None;
        }
        let wait = self.policy.window_ns(self.slot);
        self.due = Sums {
            earliest: earliest.saturating_add(wait.0),
            nominal: nominal.saturating_add(wait.1),
            latest: latest.saturating_add(wait.2),
        };
        self.slot += 1;
        Some(Window {
            earliest: Duration::from_nanos(earliest),
            nominal: (nominal < end).then(|| Duration::from_nanos(nominal)),
            latest: Duration::from_nanos(latest.min(end)),
        })
    }
}

struct Explanation {
    policy: RetryPolicy,
    tight_budget: Option<Deviation>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, tight_budget } = self;
        match policy.max_transmissions() {
            u32::MAX => write!(f, "transmissions without end: at")?,
            1 => write!(f, "a single transmission: at")?,
            most => write!(f, "up to {most} transmissions: at")?,
        }
        let mut schedule = policy.schedule();
        for (number, window) in schedule.by_ref().take(EXPLAINED).enumerate() {
            write!(f, "{} {}", if number == 0 { "" } else { "," }, Between(window))?;
        }
        if schedule.next().is_some() {
            write!(f, ", and so on")?;
        }
        match policy.schedule().fails() {
            Some(window) => write!(f, "; fails at {}", Between(window))?,
            None if policy.never_fails() => write!(f, "; never fails by itself")?,
            None => write!(f, "; fails after more than {FORESEEN} transmissions")?,
        }
        match policy.start_delay() {
            (_, Duration::ZERO) => {}
            (from, to) => write!(f, "; all that after a random pause of {} to {}", Time(from), Time(to))?,
        }
        for deviation in policy.deviations().chain(*tight_budget) {
            write!(f, "\n{deviation}")?;
        }
        Ok(())
    }
}

struct Between(Window);

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { earliest, latest, .. } = self.0;
        if earliest == latest {
            write!(f, "{}", Time(earliest))
        } else {
            write!(f, "{} to {}", Time(earliest), Time(latest))
        }
    }
}

/// A duration as people write it: zero has no unit of nanoseconds.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { write!(f, "0s") } else { write!(f, "{:?}", self.0) }
    }
}

/// How many transmissions are added up before a failure counts as never.
const FORESEEN: usize = 65_536;

/// How many transmissions are put into words.
const EXPLAINED: usize = 16;
