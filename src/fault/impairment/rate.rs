use super::rate_trace::RateTrace;
use crate::time::Ns;

/// How fast the work of a bottleneck is done: always alike, or as recorded.
///
/// Work is counted in steps of a bit times a nanosecond per second, so that a rate of n bits per second does n steps in
/// each nanosecond, and nothing is ever rounded.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::fault) enum Rate {
    /// Bits per second.
    Constant(u64),
    Trace(RateTrace),
}

/// How far the work is: to a moment, and so many steps of what is done next, which a constant rate does within the
/// nanosecond that follows, and a trace at that moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::fault) struct Place {
    pub(in crate::fault) ns: Ns,
    pub(in crate::fault) part: u64,
}

impl Rate {
    /// Where work ends that begins at this place, and in which nanosecond it is done at the latest.
    #[inline]
    pub(in crate::fault) fn run(&self, from: Place, steps: u128) -> (Place, Ns) {
        match self {
            Self::Constant(rate) => {
                let end = constant(from, steps, *rate);
                (end, end.ns.saturating_add(u64::from(end.part > 0)))
            }
            Self::Trace(trace) => trace.run(from, steps),
        }
    }

    /// The steps that can be done from zero up to this moment, what is done at it left out.
    pub(in crate::fault) fn before(&self, at: Ns) -> u128 {
        match self {
            Self::Constant(rate) => u128::from(at) * u128::from(*rate),
            Self::Trace(trace) => trace.before(at),
        }
    }

    /// The same with what is done at this moment.
    pub(in crate::fault) fn through(&self, at: Ns) -> u128 {
        match self {
            Self::Constant(_) => self.before(at),
            Self::Trace(trace) => trace.through(at),
        }
    }
}

/// Where work of so many steps ends at a constant rate.
#[inline]
pub(in crate::fault) fn constant(from: Place, steps: u128, rate: u64) -> Place {
    let steps = steps.saturating_add(from.part.into());
    // Those of a datagram fit; dividing 128 bits takes several times as long.
    let (ns, part) = match u64::try_from(steps) {
        Ok(steps) => (steps.checked_div(rate).unwrap_or(Ns::MAX), steps.checked_rem(rate).unwrap_or(0)),
        Err(_) => divided(steps, rate),
    };
    Place { ns: from.ns.saturating_add(ns), part }
}

#[cold]
fn divided(steps: u128, rate: u64) -> (Ns, u64) {
    let rate = u128::from(rate.max(1));
    let ns = Ns::try_from(steps / rate).unwrap_or(Ns::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "below the rate")]
    let part = (steps % rate) as u64;
    (ns, part)
}

pub(in crate::fault) const STEPS_PER_BYTE: u128 = 8 * 1_000_000_000;
