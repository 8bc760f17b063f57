use core::time::Duration;

use super::PolicyTextError;
use super::words::{Word, Words};
use crate::policy::fixed::{ONE, Ppb, fraction, saturated};
use crate::policy::jitter::Drawn;
use crate::policy::{Backoff, Jitter, LastWait, PolicyError, Preset, RetryPolicy};
use crate::time::Ns;

/// What `?` does, which is not `const`.
macro_rules! tri {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}

pub(super) const fn policy(text: &str) -> Result<RetryPolicy, PolicyTextError> {
    let mut words = Words::new(text);
    let mut parts = tri!(Parts::beginning_with(words.next()));
    loop {
        let word = words.next();
        if word.is_empty() {
            return parts.policy();
        }
        tri!(parts.clause(word, &mut words));
    }
}

/// The longest interval where the text has none: without limit, or the longest jittered one if intervals do not grow.
pub(super) const fn default_max(initial: Ns, multiplier: Ppb, jitter: Jitter) -> Ns {
    if multiplier > ONE {
        return Ns::MAX;
    }
    saturated((initial as u128 * jitter.hi as u128).div_ceil(ONE as u128) + jitter.plus_minus as u128)
}

/// A policy in the making. The settings of a backoff have to fit each other, so they are put together at the end.
struct Parts<'t> {
    initial: Ns,
    max: Option<Ns>,
    multiplier: Ppb,
    floor: Ns,
    jitter: Jitter,
    /// All but the backoff.
    rest: RetryPolicy,
    /// The clauses that were read, a bit each.
    read: u16,
    // Where each of these stands; at the first word, unless the text has it.
    first: Word<'t>,
    max_at: Word<'t>,
    floor_at: Word<'t>,
    jitter_at: Word<'t>,
}

impl<'t> Parts<'t> {
    const fn beginning_with(first: Word<'t>) -> Result<Self, PolicyTextError> {
        match preset(first) {
            Some(preset) => Ok(Self::of(preset, first)),
            // The book's policy has the defaults of `RetryPolicy::new`, doubles, and has no jitter.
            None if first.starts_with_digit() => {
                Ok(Self { initial: tri!(first.time()), max: None, ..Self::of(RetryPolicy::LAN, first) })
            }
            None => Err(first.unexpected("a first wait such as 1s, or the name of a preset")),
        }
    }

    const fn of(policy: RetryPolicy, first: Word<'t>) -> Self {
        let Backoff { initial, max, multiplier, floor, jitter, .. } = policy.backoff;
        Self {
            initial,
            max: Some(max),
            multiplier,
            floor,
            jitter,
            rest: policy,
            read: 0,
            first,
            max_at: first,
            floor_at: first,
            jitter_at: first,
        }
    }

    /// The clause that begins with this word.
    const fn clause(&mut self, word: Word<'t>, words: &mut Words<'t>) -> Result<(), PolicyTextError> {
        if let Some(factor) = word.behind("x") {
            tri!(self.once(0, word));
            self.multiplier = tri!(multiplier(factor));
        } else if word.is("max") {
            tri!(self.once(1, word));
            self.max_at = words.next();
            self.max = Some(tri!(self.max_at.time()));
        } else if word.is("floor") {
            tri!(self.once(2, word));
            self.floor_at = words.next();
            self.floor = tri!(self.floor_at.time());
        } else if word.is("jitter") {
            tri!(self.once(3, word));
            self.jitter_at = words.next();
            self.jitter = tri!(jitter(self.jitter_at, words));
        } else {
            self.rest = tri!(self.rest_with(word, words));
        }
        Ok(())
    }

    /// The clauses that no other one can contradict.
    const fn rest_with(&mut self, word: Word<'t>, words: &mut Words<'t>) -> Result<RetryPolicy, PolicyTextError> {
        let (with, at) = if word.starts_with_digit() {
            tri!(self.once(4, word));
            let Some(count) = word.scaled(1) else { return Err(word.unexpected(COUNT)) };
            if count > u32::MAX as u64 {
                return Err(word.unexpected(COUNT));
            }
            let unit = words.next();
            if !unit.is("transmissions") && !unit.is("transmission") {
                return Err(unit.unexpected("`transmissions`"));
            }
            #[expect(clippy::cast_possible_truncation, reason = "compared with u32::MAX just above")]
            (self.rest.with_max_transmissions(count as u32), word)
        } else if word.is("endless") {
            tri!(self.once(4, word));
            (self.rest.with_max_transmissions(u32::MAX), word)
        } else if word.is("last") {
            tri!(self.once(5, word));
            tri!(words.expect("wait", "`wait`"));
            let wait = words.next();
            (self.rest.with_last_wait(tri!(last_wait(wait))), wait)
        } else if word.is("deadline") {
            tri!(self.once(6, word));
            let time = words.next();
            (self.rest.with_deadline(Duration::from_nanos(tri!(time.time()))), time)
        } else if word.is("start") {
            tri!(self.once(7, word));
            tri!(words.expect("delay", "`delay`"));
            let delay = words.next();
            let Some((from, to)) = delay.range() else { return Err(delay.unexpected("times such as 0s..1s")) };
            let (from, to) = (tri!(from.time()), tri!(to.time()));
            (self.rest.with_start_delay(Duration::from_nanos(from), Duration::from_nanos(to)), delay)
        } else if word.is("patience") {
            tri!(self.once(8, word));
            let time = words.next();
            (self.rest.with_patience(Duration::from_nanos(tri!(time.time()))), time)
        } else {
            return Err(word.unexpected(CLAUSE));
        };
        infeasible(with, at)
    }

    const fn once(&mut self, clause: u16, word: Word<'t>) -> Result<(), PolicyTextError> {
        if self.read & (1 << clause) != 0 {
            return Err(word.unexpected("each clause once"));
        }
        self.read |= 1 << clause;
        Ok(())
    }

    const fn policy(self) -> Result<RetryPolicy, PolicyTextError> {
        match self.backoff() {
            Ok(backoff) => {
                let mut policy = self.rest;
                policy.backoff = backoff;
                Ok(policy)
            }
            Err(reason) => {
                let at = match reason {
                    PolicyError::MaxBelowInitial { .. } => self.max_at,
                    PolicyError::JitterTooWide { .. } | PolicyError::CompoundingTooSlow { .. } => self.jitter_at,
                    PolicyError::FloorAboveInitial { .. } => self.floor_at,
                    _ => self.first,
                };
                Err(PolicyTextError::Infeasible { position: at.position(), reason })
            }
        }
    }

    const fn backoff(&self) -> Result<Backoff, PolicyError> {
        let max = match self.max {
            Some(max) => max,
            None => default_max(self.initial, self.multiplier, self.jitter),
        };
        let plain = Backoff::exponential(Duration::from_nanos(self.initial), Duration::from_nanos(max));
        let mut backoff = tri!(plain);
        backoff.multiplier = self.multiplier;
        backoff.floor = if self.floor == 0 { 1 } else { self.floor };
        backoff.jitter = self.jitter;
        backoff.checked()
    }
}

const fn preset(name: Word<'_>) -> Option<RetryPolicy> {
    let mut presets = Preset::ALL;
    while let [preset, others @ ..] = presets {
        if name.is(preset.name) {
            return Some(preset.policy);
        }
        presets = others;
    }
    None
}

const fn multiplier(word: Word<'_>) -> Result<Ppb, PolicyTextError> {
    let Some(multiplier) = word.scaled(ONE) else { return Err(word.unexpected("a factor such as 1.5, nine decimals")) };
    if multiplier < ONE || multiplier > ONE * ONE {
        let reason = PolicyError::MultiplierOutOfRange { multiplier: fraction(multiplier) };
        return Err(PolicyTextError::Infeasible { position: word.position(), reason });
    }
    Ok(multiplier)
}

/// The clause whose first word, behind `jitter`, was read.
const fn jitter<'t>(first: Word<'t>, words: &mut Words<'t>) -> Result<Jitter, PolicyTextError> {
    let deviation = match (first.behind("+-"), first.behind("\u{b1}")) {
        (None, deviation) => deviation,
        (deviation, _) => deviation,
    };
    if let Some(deviation) = deviation {
        return infeasible(Jitter::plus_minus(Duration::from_nanos(tri!(deviation.time()))), deviation);
    }
    let (drawn, factors) = if first.is("once") {
        (Drawn::Once, words.next())
    } else if first.is("compounding") {
        (Drawn::Compounding, words.next())
    } else {
        (Drawn::Each, first)
    };
    let Some((lo, hi)) = factors.range() else { return Err(factors.unexpected(FACTORS)) };
    let (Some(lo), Some(hi)) = (lo.scaled(ONE), hi.scaled(ONE)) else { return Err(factors.unexpected(FACTORS)) };
    infeasible(Jitter::of(lo, hi, drawn), factors)
}

const fn last_wait(word: Word<'_>) -> Result<LastWait, PolicyTextError> {
    if word.is("next") {
        return Ok(LastWait::Next);
    }
    let count = match word.behind("x") {
        Some(count) => count.scaled(1),
        None => None,
    };
    match count {
        #[expect(clippy::cast_possible_truncation, reason = "compared with u32::MAX here")]
        Some(count) if count <= u32::MAX as u64 => Ok(LastWait::Initial(count as u32)),
        _ => Err(word.unexpected("`next`, or first waits such as x16")),
    }
}

/// What keeps the rules, or which rule the value at this word breaks.
const fn infeasible<T: Copy>(result: Result<T, PolicyError>, at: Word<'_>) -> Result<T, PolicyTextError> {
    match result {
        Ok(value) => Ok(value),
        Err(reason) => Err(PolicyTextError::Infeasible { position: at.position(), reason }),
    }
}

const COUNT: &str = "a number of transmissions, 4294967295 at most";
const FACTORS: &str = "factors such as 1..1.5, nine decimals each";
const CLAUSE: &str = "a clause such as x2, max 60s, floor 1s, jitter 1..1.5, 5 transmissions, endless, last wait x16, \
                      deadline 30s, start delay 0s..1s or patience 60s";
