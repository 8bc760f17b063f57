//! The law of the policy layer over exact fractions: written from its documentation, sharing no arithmetic with it.

use core::time::Duration;

use num_bigint::{BigInt, BigUint};
use num_rational::BigRational;
use udp_retry::policy::{Backoff, Jitter, PolicyError};

pub(crate) type Q = BigRational;

/// The settings of a backoff, as a caller chose them: nanoseconds, and factors in parts per billion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) initial: u64,
    pub(crate) max: u64,
    pub(crate) multiplier: u64,
    pub(crate) floor: u64,
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) plus_minus: u64,
    pub(crate) drawn: Drawn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drawn {
    Each,
    Once,
    Compounding,
}

pub(crate) const ONE: u64 = 1_000_000_000;

impl Settings {
    /// Doubling, without jitter.
    pub(crate) const fn new(initial: u64, max: u64) -> Self {
        Self { initial, max, multiplier: 2 * ONE, floor: 1, lo: ONE, hi: ONE, plus_minus: 0, drawn: Drawn::Each }
    }

    pub(crate) fn build(&self) -> Result<Backoff, PolicyError> {
        Backoff::exponential(Duration::from_nanos(self.initial), Duration::from_nanos(self.max))?
            .with_multiplier(decimal(self.multiplier))?
            .with_jitter(self.jitter()?)?
            .with_floor(Duration::from_nanos(self.floor))
    }

    pub(crate) fn jitter(&self) -> Result<Jitter, PolicyError> {
        let (lo, hi) = (decimal(self.lo), decimal(self.hi));
        match self.drawn {
            Drawn::Each if self.plus_minus > 0 => Jitter::plus_minus(Duration::from_nanos(self.plus_minus)),
            Drawn::Each => Jitter::between(lo, hi),
            Drawn::Once => Jitter::once(lo, hi),
            Drawn::Compounding => Jitter::compounding(lo, hi),
        }
    }

    /// The documented rules, without any limit of width.
    pub(crate) fn keep_every_rule(&self) -> bool {
        let growth = (fraction(self.multiplier) - whole(1) + fraction(self.lo)) * fraction(self.lo);
        self.initial > 0
            && self.initial <= self.max
            && (ONE..=ONE * ONE).contains(&self.multiplier)
            && self.lo <= self.hi
            && (1..=ONE * ONE).contains(&self.hi)
            && whole(self.initial) * fraction(self.hi) + whole(self.plus_minus) <= whole(self.max)
            && self.floor <= self.initial
            && (self.drawn != Drawn::Compounding || (self.lo <= ONE && self.hi >= ONE && growth >= ratio(5, 4)))
    }

    /// (max − pm) / hi, and 584 years at most: what 64 bits hold.
    pub(crate) fn cap(&self) -> Q {
        self.boundless_cap().min(whole(u64::MAX))
    }

    pub(crate) fn boundless_cap(&self) -> Q {
        (whole(self.max) - whole(self.plus_minus)) / fraction(self.hi)
    }

    /// min(initial·multiplierⁿ, cap)
    pub(crate) fn base(&self, n: u32) -> Q {
        let cap = self.cap();
        match self.grown(n) {
            Some(grown) if grown < cap => grown,
            _ => cap,
        }
    }

    /// initial·multiplierⁿ, exact to 2⁻⁹⁶ of a nanosecond; `None` if that is past every cap.
    pub(crate) fn grown(&self, n: u32) -> Option<Q> {
        const BITS: u32 = 96;
        if f64::from(n) * decimal(self.multiplier).log2() > 130.0 {
            return None;
        }
        let (numerator, denominator) = if self.multiplier % ONE == 0 {
            (BigInt::from(self.multiplier / ONE).pow(n), BigInt::from(1))
        } else if n <= 200 {
            (big(self.multiplier).pow(n), big(ONE).pow(n))
        } else {
            power_by_squaring(self.multiplier, n)
        };
        // Kept short: the whole fraction has thousands of digits.
        let scaled: BigInt = ((numerator * big(self.initial)) << BITS) / denominator;
        Some(Q::new(scaled, BigInt::from(1) << BITS))
    }

    /// How far the documentation lets an interval before jitter be from the model: nothing for a whole multiplier.
    /// Past the cap nothing either, but for the fraction of a nanosecond that an integer cannot hold.
    pub(crate) fn slack(&self, n: u32) -> Q {
        let cap = self.cap();
        let grown = self.grown(n).filter(|grown| *grown < cap);
        let rounding = match &grown {
            // To nearest, after a power whose relative error is below n·2⁻⁶⁴.
            Some(grown) if self.multiplier % ONE != 0 && n > 0 => {
                ratio(501, 1000) + grown * whole(u64::from(n)) / Q::from(BigInt::from(1) << 64_u32)
            }
            _ => whole(0),
        };
        match grown {
            Some(grown) if grown < cap - whole(1) - &rounding => rounding,
            _ => rounding + whole(1),
        }
    }

    /// The ends of the law of interval `n`, for a jitter that does not compound.
    pub(crate) fn range(&self, n: u32) -> (Q, Q) {
        self.range_around(&self.base(n))
    }

    pub(crate) fn range_around(&self, base: &Q) -> (Q, Q) {
        let lo = (base * fraction(self.lo) - whole(self.plus_minus)).max(whole(self.floor));
        let hi = base * fraction(self.hi) + whole(self.plus_minus);
        (lo.clone(), hi.max(lo))
    }

    /// The interval of a compounding jitter after these draws, one for each slot: initial times a factor for each.
    /// `None` once it has reached the cap, where it is drawn anew.
    pub(crate) fn compounded(&self, draws: impl IntoIterator<Item = u64>) -> Option<Q> {
        const BITS: u32 = 192;
        let cap = self.cap();
        let (mut interval, mut least, mut growth) = (whole(self.initial), self.least_first(), whole(0));
        for (slot, draw) in draws.into_iter().enumerate() {
            let factor = &least + (fraction(self.hi) - &least) * unit(draw);
            let grown = interval * (growth + factor) * Q::from(BigInt::from(1) << BITS);
            interval = Q::new(grown.to_integer(), BigInt::from(1) << BITS);
            if slot > 0 && interval >= cap {
                return None;
            }
            (least, growth) = (fraction(self.lo), fraction(self.multiplier - ONE));
        }
        Some(interval)
    }

    /// Whether the shortest or the longest chain lies so close to the cap after `n` intervals that rounding decides
    /// whether it has reached it: that of the interval, and that of the cap to a whole nanosecond.
    pub(crate) fn barely_reaches_the_cap(&self, n: u32) -> bool {
        let cap = self.cap();
        let (lo, hi) = self.chains(n);
        [lo, hi].into_iter().any(|end| if end > cap { end - &cap <= whole(2) } else { &cap - end <= whole(2) })
    }

    /// The intervals after the smallest and after the largest draws, as if there were no cap.
    fn chains(&self, n: u32) -> (Q, Q) {
        let growth = fraction(self.multiplier - ONE);
        let chain = |first: Q, factor: u64| whole(self.initial) * first * (&growth + fraction(factor)).pow(n as i32);
        (chain(self.least_first(), self.lo), chain(fraction(self.hi), self.hi))
    }

    /// The shortest and the longest interval `n` of a compounding jitter.
    pub(crate) fn compounded_range(&self, n: u32) -> (Q, Q) {
        let growth = fraction(self.multiplier - ONE);
        let cap = self.cap();
        let (capped_lo, capped_hi) = self.range_around(&cap);
        let (lo, hi) = self.chains(n);
        if n == 0 || hi < cap {
            return (lo, hi);
        }
        if lo >= cap {
            return (capped_lo, capped_hi);
        }
        // The least factor that takes the longest interval before to the cap; any, if that has been there already. By the
        // whole nanoseconds that the cap is rounded down to: a part of one counts for many times itself here.
        let (_, before) = self.chains(n - 1);
        let at_the_cap = cap.floor();
        let least = if n > 1 && before >= cap { whole(0) } else { &at_the_cap / before - growth };
        let least = (at_the_cap * least).max(capped_lo);
        (lo.min(least), capped_hi)
    }

    /// The smallest first factor: lo, or what the floor makes of it.
    fn least_first(&self) -> Q {
        fraction(self.lo).max(ratio(self.floor, self.initial))
    }
}

/// For n in the billions: 640 bits of fraction, of which squaring 32 times loses 64 or so.
fn power_by_squaring(factor: u64, n: u32) -> (BigInt, BigInt) {
    const BITS: u32 = 640;
    let mut square: BigUint = (BigUint::from(factor) << BITS) / ONE;
    let mut result = BigUint::from(1_u32) << BITS;
    for bit in 0..32 {
        if n >> bit & 1 == 1 {
            result = (&result * &square) >> BITS;
        }
        if n >> bit > 1 {
            square = (&square * &square) >> BITS;
        }
    }
    (result.into(), BigInt::from(1) << BITS)
}

/// Parts per billion as the decimal that a caller writes.
pub(crate) fn decimal(ppb: u64) -> f64 {
    if ppb % ONE == 0 { (ppb / ONE) as f64 } else { ppb as f64 / 1e9 }
}

pub(crate) fn fraction(ppb: u64) -> Q {
    Q::new(big(ppb), big(ONE))
}

pub(crate) fn ratio(numerator: u64, denominator: u64) -> Q {
    Q::new(big(numerator), big(denominator))
}

pub(crate) fn whole(number: u64) -> Q {
    Q::from(big(number))
}

pub(crate) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("no interval exceeds 584 years")
}

/// A draw of 64 bits as the fraction draw/2⁶⁴.
pub(crate) fn unit(draw: u64) -> Q {
    Q::new(big(draw), BigInt::from(1) << 64_u32)
}

fn big(number: u64) -> BigInt {
    BigInt::from(number)
}
