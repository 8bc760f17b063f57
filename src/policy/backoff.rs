use core::time::Duration;

use super::PolicyError;
use super::chain::Chain;
use super::fixed::{
    Fixed, ONE, Ppb, fixed, fraction, largest_below, power, ppb, product, quotient, scaled_down, scaled_up, times,
    times_down,
};
use super::jitter::{Drawn, Jitter};
use crate::entropy::{Seed, uniform};
use crate::time::{Ns, checked_ns};

/// The intervals between transmissions: exponential growth up to a hard maximum, with jitter inside the bounds.
///
/// Interval `n`, where 0 is the wait after the first transmission, is drawn uniformly from this range:
///
/// | jitter | range |
/// |---|---|
/// | every interval its own draw, or one for all | max(floor, c·lo − pm) to c·hi + pm, where c = min(initial·multiplierⁿ, cap) |
/// | compounding (RFC 9915 §15) | previous·(multiplier − 1 + lo) to previous·(multiplier − 1 + hi); a value that reaches the cap becomes cap·lo to cap·hi |
///
/// with cap = (max − pm) / hi, or 584 years if that is less. So **no interval exceeds `max`**, jitter included, and
/// jitter spreads as widely at the cap as below it: a fleet that has backed off to its maximum stays spread. An RFC
/// that adds jitter on top of its cap has a `max` of cap·hi here.
///
/// Integer nanoseconds throughout: no float drifts, nothing overflows, and the same seed gives the same
/// intervals everywhere. A whole multiplier is exact; any other is within a nanosecond a step.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::Seed;
/// use udp_retry::policy::{Backoff, Jitter};
///
/// # fn main() -> Result<(), udp_retry::policy::PolicyError> {
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(2))?;
/// assert_eq!(backoff.interval(3), Duration::from_millis(800));
/// assert_eq!(backoff.interval(u32::MAX), Duration::from_secs(2));
///
/// let jittered = backoff.with_jitter(Jitter::UPWARD)?;
/// let delay = jittered.delay(0, Seed::new(42));
/// assert!(Duration::from_millis(100) <= delay && delay <= Duration::from_millis(150));
///
/// assert!(backoff.with_multiplier(0.5).is_err());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "retry")]
#[doc(alias = "timeout")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The interval after the first transmission, before jitter.
    pub(super) initial: Ns,
    /// What no interval exceeds, jitter included.
    pub(super) max: Ns,
    /// Growth from one interval to the next; at least one.
    pub(super) multiplier: Ppb,
    /// What no interval falls below, whatever the jitter.
    pub(super) floor: Ns,
    pub(super) jitter: Jitter,
    /// Derived: the largest interval before jitter, so that the largest jitter still meets `max`.
    cap: Ns,
    /// Derived: where jitter may put the first intervals, so that the usual slots cost a load and a draw.
    first: [(Ns, Ns); TABULATED],
    /// Derived: the factors of a compounding jitter.
    chain: Chain,
}

impl Backoff {
    /// Doubles from `initial` up to `max`, without jitter.
    ///
    /// # Errors
    ///
    /// [`ZeroInitial`](PolicyError::ZeroInitial), [`MaxBelowInitial`](PolicyError::MaxBelowInitial), and
    /// [`TooLong`](PolicyError::TooLong) above 584 years.
    pub const fn exponential(initial: Duration, max: Duration) -> Result<Self, PolicyError> {
        let Some(initial_ns) = checked_ns(initial) else {
            return Err(PolicyError::TooLong { duration: initial });
        };
        let Some(max_ns) = checked_ns(max) else {
            return Err(PolicyError::TooLong { duration: max });
        };
        if initial_ns == 0 {
            return Err(PolicyError::ZeroInitial);
        }
        if max_ns < initial_ns {
            return Err(PolicyError::MaxBelowInitial { initial, max });
        }
        Self {
            initial: initial_ns,
            max: max_ns,
            multiplier: 2 * ONE,
            floor: 1,
            jitter: Jitter::NONE,
            cap: 0,
            first: [(0, 0); TABULATED],
            chain: Chain::NONE,
        }
        .checked()
    }

    /// Waits `interval` every time, without jitter.
    ///
    /// For a constant wait with jitter, use [`exponential`](Self::exponential) with a larger `max` and a multiplier of
    /// 1.
    ///
    /// # Errors
    ///
    /// [`ZeroInitial`](PolicyError::ZeroInitial) and [`TooLong`](PolicyError::TooLong).
    pub const fn constant(interval: Duration) -> Result<Self, PolicyError> {
        match Self::exponential(interval, interval) {
            Ok(backoff) => backoff.with_multiplier(1.0),
            refused => refused,
        }
    }

    /// Grows by this factor from one interval to the next; the default is 2. Kept in parts per billion, so that
    /// a decimal such as 1.1 is exact.
    ///
    /// # Errors
    ///
    /// [`MultiplierOutOfRange`](PolicyError::MultiplierOutOfRange) unless it is a number from 1 to 10⁹, and
    /// [`CompoundingTooSlow`](PolicyError::CompoundingTooSlow).
    pub const fn with_multiplier(self, multiplier: f64) -> Result<Self, PolicyError> {
        match ppb(multiplier) {
            Some(factor) if multiplier >= 1.0 => Self { multiplier: factor, ..self }.checked(),
            _ => Err(PolicyError::MultiplierOutOfRange { multiplier }),
        }
    }

    /// Varies the intervals; the default is [`Jitter::NONE`].
    ///
    /// # Errors
    ///
    /// [`JitterTooWide`](PolicyError::JitterTooWide) if the initial interval with its jitter exceeds `max`, and
    /// [`CompoundingTooSlow`](PolicyError::CompoundingTooSlow).
    pub const fn with_jitter(self, jitter: Jitter) -> Result<Self, PolicyError> {
        Self { jitter, ..self }.checked()
    }

    /// Lets no interval fall below `floor`, whatever the jitter. A floor of zero is the default of one nanosecond, as
    /// no interval is ever zero.
    ///
    /// # Errors
    ///
    /// [`FloorAboveInitial`](PolicyError::FloorAboveInitial) and [`TooLong`](PolicyError::TooLong).
    pub const fn with_floor(self, floor: Duration) -> Result<Self, PolicyError> {
        match checked_ns(floor) {
            Some(0) => Self { floor: 1, ..self }.checked(),
            Some(floor) => Self { floor, ..self }.checked(),
            None => Err(PolicyError::TooLong { duration: floor }),
        }
    }

    /// Interval number `n` before jitter: min(initial·multiplierⁿ, cap).
    #[must_use]
    pub const fn interval(&self, n: u32) -> Duration {
        Duration::from_nanos(self.nominal(n))
    }

    /// The shortest and the longest that interval number `n` can be, both possible.
    #[must_use]
    pub const fn bounds(&self, n: u32) -> (Duration, Duration) {
        let (lo, hi) = self.bounds_ns(n);
        (Duration::from_nanos(lo), Duration::from_nanos(hi))
    }

    /// Interval number `n` of the request with this seed, jitter included: a pure function, within
    /// [`bounds`](Self::bounds) and never above the maximum.
    #[must_use]
    pub const fn delay(&self, n: u32, seed: Seed) -> Duration {
        Duration::from_nanos(self.delay_ns(n, seed))
    }

    /// The interval after the first transmission, before jitter.
    #[must_use]
    pub const fn initial(&self) -> Duration {
        Duration::from_nanos(self.initial)
    }

    /// The longest interval, jitter included.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The growth from one interval to the next.
    #[must_use]
    pub const fn multiplier(&self) -> f64 {
        fraction(self.multiplier)
    }

    /// The shortest interval, jitter included.
    #[must_use]
    pub const fn floor(&self) -> Duration {
        Duration::from_nanos(self.floor)
    }

    /// How the intervals vary.
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.jitter
    }

    pub(crate) const fn initial_ns(&self) -> Ns {
        self.initial
    }

    pub(super) const fn bounds_ns(&self, n: u32) -> (Ns, Ns) {
        match self.jitter.drawn {
            Drawn::Each | Drawn::Once => self.range_of(n),
            Drawn::Compounding => self.compounded_bounds(n),
        }
    }

    /// Interval number `n` with every factor at its middle.
    pub(super) const fn middle_ns(&self, n: u32) -> Ns {
        let middle = (self.jitter.lo + self.jitter.hi) / 2;
        let growth = match self.jitter.drawn {
            Drawn::Each | Drawn::Once => self.multiplier,
            Drawn::Compounding => self.multiplier - ONE + middle,
        };
        let first = scaled_down(self.initial, middle);
        let grown = times(first, power(growth, n));
        let most = scaled_down(self.cap, middle);
        let middle = if grown < most { grown } else { most };
        if middle > self.floor { middle } else { self.floor }
    }

    /// Whether interval number `n` would be longer if it were not for the maximum.
    pub(super) const fn is_capped(&self, n: u32) -> bool {
        times(self.initial, power(self.multiplier, n)) > self.cap
    }

    /// The nearest initial interval to this one that breaks no rule.
    pub(super) const fn nearest_initial(&self, initial: Ns) -> Ns {
        let initial = if initial < self.floor { self.floor } else { initial };
        let most = if self.cap < self.max { self.cap } else { self.max };
        if initial > most { most } else { initial }
    }

    /// The same backoff with the nearest initial interval to this one that breaks no rule.
    pub(super) const fn starting_at(self, initial: Ns) -> Self {
        let initial = self.nearest_initial(initial);
        if initial == self.initial {
            return self;
        }
        match (Self { initial, ..self }).checked() {
            Ok(backoff) => backoff,
            Err(_) => self,
        }
    }

    /// The latest moment of transmission `slot`, from 0, if `initial` were the first interval. Without what
    /// [`starting_at`](Self::starting_at) tabulates: a search asks for this dozens of times.
    pub(super) const fn latest_ns(&self, initial: Ns, slot: u32) -> Ns {
        let Jitter { lo, hi, drawn, .. } = self.jitter;
        let chain = Chain::new(initial, self.floor, self.multiplier, lo, hi);
        let moved = Self { initial, chain, ..*self };
        let (mut latest, mut n) = (0_u64, 0);
        while n < slot {
            let (_, longest) = match drawn {
                Drawn::Each | Drawn::Once => moved.range(moved.nominal(n)),
                Drawn::Compounding => moved.compounded_bounds(n),
            };
            latest = latest.saturating_add(longest);
            n += 1;
        }
        latest
    }

    #[inline]
    pub(crate) const fn delay_ns(&self, n: u32, seed: Seed) -> Ns {
        let slot = match self.jitter.drawn {
            Drawn::Each => n,
            Drawn::Once => 0,
            Drawn::Compounding => return self.compounded(n, seed),
        };
        let (lo, hi) = self.range_of(n);
        uniform(lo, hi, seed.draw(slot as u64))
    }

    /// As interval `n`, but grown to the cap already.
    pub(crate) const fn longest_ns(&self, n: u32, seed: Seed) -> Ns {
        let slot = if matches!(self.jitter.drawn, Drawn::Once) { 0 } else { n };
        let (lo, hi) = self.range(self.cap);
        uniform(lo, hi, seed.draw(slot as u64))
    }

    #[inline]
    const fn range_of(&self, n: u32) -> (Ns, Ns) {
        if (n as usize) < TABULATED {
            #[expect(clippy::indexing_slicing, reason = "compared with the length just above; `get` is not const")]
            return self.first[n as usize];
        }
        self.range(self.nominal(n))
    }

    /// min(initial·multiplierⁿ, cap)
    const fn nominal(&self, n: u32) -> Ns {
        let grown = times(self.initial, power(self.multiplier, n));
        if grown < self.cap { grown } else { self.cap }
    }

    /// Where jitter may put an interval of `nominal`. Rounded inwards, so that the bounds hold to the nanosecond.
    const fn range(&self, nominal: Ns) -> (Ns, Ns) {
        let lo = scaled_up(nominal, self.jitter.lo).saturating_sub(self.jitter.plus_minus);
        let hi = scaled_down(nominal, self.jitter.hi).saturating_add(self.jitter.plus_minus);
        let lo = if lo > self.floor { lo } else { self.floor };
        (lo, if hi > lo { hi } else { lo })
    }

    /// RFC 9915 §15: RT = 2·RTprev + RAND·RTprev, and MRT + RAND·MRT where that exceeds MRT. The chain is kept as a
    /// factor, so that it is rounded once. Past the cap the previous interval no longer matters, because even the
    /// shortest grows above it again.
    const fn compounded(&self, n: u32, seed: Seed) -> Ns {
        let mut factor = self.chain.first(seed.draw(0));
        let mut slot = 0;
        while slot < n {
            slot += 1;
            factor = product(factor, self.chain.step(seed.draw(slot as u64)));
            // At the cap too: one of u64::MAX can never be exceeded, and the loop must end.
            if times_down(self.initial, factor) >= self.cap {
                let (lo, hi) = self.range(self.cap);
                return uniform(lo, hi, seed.draw(n as u64));
            }
        }
        times(self.initial, factor)
    }

    /// Follows the shortest and the longest chain of draws.
    const fn compounded_bounds(&self, n: u32) -> (Ns, Ns) {
        let (capped_lo, capped_hi) = self.range(self.cap);
        let (mut lo, mut hi) = (self.chain.first(0), self.chain.first(u64::MAX));
        // The shortest interval that a draw at the cap gives, once there are such draws.
        let mut least_capped = None;
        let mut slot = 0;
        while slot < n {
            slot += 1;
            lo = product(lo, self.chain.step(0));
            if times_down(self.initial, lo) >= self.cap {
                return (capped_lo, capped_hi);
            }
            if least_capped.is_some() {
                least_capped = Some(capped_lo);
                continue;
            }
            let previous = hi;
            hi = product(hi, self.chain.step(u64::MAX));
            if times_down(self.initial, hi) >= self.cap {
                let least = self.least_capped(previous);
                least_capped = Some(if least > capped_lo { least } else { capped_lo });
            }
        }
        let shortest = times(self.initial, lo);
        match least_capped {
            None => (shortest, times(self.initial, hi)),
            Some(least) if least < shortest => (least, capped_hi),
            Some(_) => (shortest, capped_hi),
        }
    }

    /// The smallest interval that a draw at the cap can give after one of `factor`: the factor that takes it to the cap, less
    /// the growth, times the cap. Zero if any draw takes it there.
    const fn least_capped(&self, factor: Fixed) -> Ns {
        // A difference of two factors that may be large: every bit counts.
        let to_the_cap = quotient(((self.cap as Fixed) << 64) / self.initial as Fixed, factor);
        times_down(self.cap, to_the_cap.saturating_sub(fixed(self.multiplier - ONE)))
    }

    /// The rules that tie the fields together, and what is derived from them.
    pub(super) const fn checked(mut self) -> Result<Self, PolicyError> {
        let Jitter { lo, hi, plus_minus, drawn } = self.jitter;
        // Not saturated: 2⁶⁴ ns must not pass for the 2⁶⁴ − 1 that a maximum can be.
        let reaches = (self.initial as u128 * hi as u128).div_ceil(ONE as u128) + plus_minus as u128;
        if reaches > self.max as u128 {
            #[expect(clippy::cast_possible_truncation, reason = "at most 2⁶⁴ · 10⁹ + 2⁶⁴ nanoseconds")]
            let reaches = Duration::new((reaches / ONE as u128) as u64, (reaches % ONE as u128) as u32);
            return Err(PolicyError::JitterTooWide { reaches, max: self.max() });
        }
        if self.floor > self.initial {
            return Err(PolicyError::FloorAboveInitial { floor: self.floor(), initial: self.initial() });
        }
        let slowest = (self.multiplier - ONE + lo) as u128 * lo as u128;
        if matches!(drawn, Drawn::Compounding) && slowest < ONE as u128 * ONE as u128 * 5 / 4 {
            return Err(PolicyError::CompoundingTooSlow { multiplier: self.multiplier(), lo: fraction(lo) });
        }
        self.cap = largest_below(self.max - plus_minus, hi);
        self.chain = Chain::new(self.initial, self.floor, self.multiplier, lo, hi);
        let mut n = 0;
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "n < TABULATED")]
        while n < TABULATED {
            self.first[n] = self.range(self.nominal(n as u32));
            n += 1;
        }
        Ok(self)
    }
}

/// Past these, intervals are computed: schedules with more than 16 transmissions are rare.
const TABULATED: usize = 16;
