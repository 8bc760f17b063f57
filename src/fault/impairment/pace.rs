use alloc::sync::Arc;
use alloc::vec::Vec;

use super::rate::{Place, Rate};
use super::timeline::Repeat;
use crate::time::Ns;

/// The rate of a bottleneck over all time, as its specification says: one, or one after the other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::fault) enum Pace<'a> {
    Steady(&'a Rate),
    Planned(&'a Arc<Plan>),
}

/// The same, kept beyond the specification.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::fault) enum KeptPace {
    Steady(Rate),
    Planned(Arc<Plan>),
}

/// Rates one after the other, perhaps again and again.
#[derive(PartialEq, Debug)]
pub(in crate::fault) struct Plan {
    pieces: Vec<Piece>,
    repeat: Option<Loop>,
}

#[derive(PartialEq, Debug)]
struct Piece {
    from: Ns,
    rate: Rate,
    /// The steps that all pieces before can do.
    before: u128,
}

#[derive(PartialEq, Debug)]
struct Loop {
    repeat: Repeat,
    /// The steps that can be done up to its end, and in one round of it.
    to_the_end: u128,
    round: u128,
}

impl Pace<'_> {
    #[inline]
    pub(in crate::fault) fn run(self, from: Place, steps: u128) -> (Place, Ns) {
        match self {
            Self::Steady(rate) => rate.run(from, steps),
            Self::Planned(plan) => plan.run(from, steps),
        }
    }

    /// The steps that are still to be done at `now` up to a place. If this pace begins only later, at `begin`, from then.
    pub(in crate::fault) fn remaining(self, now: Ns, begin: Option<Ns>, to: Place) -> u128 {
        let all = self.before(to.ns).saturating_add(to.part.into());
        all.saturating_sub(match begin {
            Some(begin) if begin > now => self.before(begin),
            _ => self.through(now),
        })
    }

    fn before(self, at: Ns) -> u128 {
        match self {
            Self::Steady(rate) => rate.before(at),
            Self::Planned(plan) => plan.done(at, Rate::before),
        }
    }

    fn through(self, at: Ns) -> u128 {
        match self {
            Self::Steady(rate) => rate.through(at),
            Self::Planned(plan) => plan.done(at, Rate::through),
        }
    }

    pub(in crate::fault) fn kept(self) -> KeptPace {
        match self {
            Self::Steady(rate) => KeptPace::Steady(rate.clone()),
            Self::Planned(plan) => KeptPace::Planned(plan.clone()),
        }
    }
}

impl KeptPace {
    pub(in crate::fault) const fn lent(&self) -> Pace<'_> {
        match self {
            Self::Steady(rate) => Pace::Steady(rate),
            Self::Planned(plan) => Pace::Planned(plan),
        }
    }
}

impl Plan {
    /// These rates from these times on, the first from zero. While there is none, whatever waits leaves at once.
    pub(in crate::fault) fn new<'r>(
        rates: impl IntoIterator<Item = (Ns, Option<&'r Rate>)>,
        repeat: Option<Repeat>,
    ) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for (from, rate) in rates {
            // No queue is so long that a nanosecond at this rate would not empty it.
            let rate = rate.cloned().unwrap_or(Rate::Constant(u64::MAX));
            if pieces.last().is_none_or(|last| last.rate != rate) {
                let before = pieces.last().map_or(0, |last| last.done(from, Rate::before));
                pieces.push(Piece { from, rate, before });
            }
        }
        let mut plan = Self { pieces, repeat: None };
        plan.repeat = repeat.map(|repeat| {
            let to_the_end = plan.done(repeat.end(), Rate::before);
            Loop { repeat, to_the_end, round: to_the_end - plan.done(repeat.from, Rate::before).min(to_the_end) }
        });
        plan
    }

    /// Whether it says more than one rate that never changes.
    pub(in crate::fault) fn is_needed(&self) -> bool {
        self.pieces.len() > 1
    }

    /// Whether what is repeated lets nothing leave, so that nothing ever does.
    pub(in crate::fault) fn ends_in_nothing(&self) -> bool {
        self.repeat.as_ref().is_some_and(|it| it.round == 0)
    }

    /// The steps that can be done from zero up to a moment, that included or not.
    fn done(&self, at: Ns, of_rate: fn(&Rate, Ns) -> u128) -> u128 {
        let (rounds, at) = self.repeat.as_ref().map_or((0, at), |it| it.repeat.folded(at));
        let place = self.pieces.partition_point(|piece| piece.from <= at).saturating_sub(1);
        let here = self.pieces.get(place).map_or(0, |piece| piece.done(at, of_rate));
        let round = self.repeat.as_ref().map_or(0, |it| it.round);
        here.saturating_add(round.saturating_mul(rounds.into()))
    }

    fn run(&self, from: Place, steps: u128) -> (Place, Ns) {
        let never = (Place { ns: Ns::MAX, part: 0 }, Ns::MAX);
        let mut target = self.done(from.ns, Rate::before).saturating_add(from.part.into()).saturating_add(steps);
        // Whole rounds are skipped, so that it takes no longer the more of them there are.
        let mut skipped = 0;
        if let Some(Loop { repeat, to_the_end, round }) = &self.repeat {
            if let Some(beyond) = target.checked_sub(*to_the_end).filter(|&it| it > 0) {
                if *round == 0 {
                    return never;
                }
                let rounds = beyond.div_ceil(*round);
                target -= rounds * round;
                skipped = rounds.saturating_mul(repeat.every.into());
            }
        }
        let place = self.pieces.partition_point(|piece| piece.before < target).saturating_sub(1);
        let Some(piece) = self.pieces.get(place) else { return never };
        let (end, at) = piece.run(target - piece.before);
        let later = |ns: Ns| Ns::try_from(skipped.saturating_add(ns.into())).unwrap_or(Ns::MAX);
        (Place { ns: later(end.ns), part: end.part }, later(at))
    }
}

impl Piece {
    fn done(&self, at: Ns, of_rate: fn(&Rate, Ns) -> u128) -> u128 {
        let own = of_rate(&self.rate, at).saturating_sub(self.rate.before(self.from));
        self.before.saturating_add(own)
    }

    /// Where so many steps end that begin with this piece.
    fn run(&self, steps: u128) -> (Place, Ns) {
        self.rate.run(Place { ns: self.from, part: 0 }, steps)
    }
}
