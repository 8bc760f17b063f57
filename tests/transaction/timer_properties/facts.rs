//! Policies and facts, at random.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::policy::{Backoff, Jitter, LastWait, PolicyError};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, Hold, NotTransmitted, RetryTimer};

use super::model::Model;
use super::{HOUR, HUGE, MS, at};

/// A policy, as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) initial: u64,
    /// Room above the initial interval and its jitter.
    pub(super) room: u64,
    pub(super) multiplier: f64,
    pub(super) law: Law,
    /// In per cent of the initial interval.
    pub(super) floor: u64,
    pub(super) transmissions: u32,
    pub(super) last_wait: LastWait,
    pub(super) deadline: Option<u64>,
    pub(super) start_delay: (u64, u64),
    pub(super) patience: u64,
}

/// Jitter factors are in per cent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Law {
    None,
    Each(u64, u64),
    Once(u64, u64),
    Compounding(u64, u64),
    PlusMinus(u64),
}

impl Law {
    fn jitter(self) -> Result<Jitter, PolicyError> {
        let factor = |percent: u64| percent as f64 / 100.0;
        match self {
            Self::None => Ok(Jitter::NONE),
            Self::Each(lo, hi) => Jitter::between(factor(lo), factor(hi)),
            Self::Once(lo, hi) => Jitter::once(factor(lo), factor(hi)),
            Self::Compounding(lo, hi) => Jitter::compounding(factor(lo), factor(hi)),
            Self::PlusMinus(deviation) => Jitter::plus_minus(Duration::from_nanos(deviation)),
        }
    }

    /// The largest factor in per cent, and the deviation on top.
    fn largest(self) -> (u64, u64) {
        match self {
            Self::None => (100, 0),
            Self::Each(_, hi) | Self::Once(_, hi) | Self::Compounding(_, hi) => (hi, 0),
            Self::PlusMinus(deviation) => (100, deviation),
        }
    }
}

impl Spec {
    fn max(&self) -> Option<u64> {
        let (hi, deviation) = self.law.largest();
        let reaches = (u128::from(self.initial) * u128::from(hi)).div_ceil(100) + u128::from(deviation);
        let max = u64::try_from(reaches).ok()?.saturating_add(self.room);
        Some(max.max(self.initial))
    }

    fn floor(&self) -> Duration {
        Duration::from_nanos((u128::from(self.initial) * u128::from(self.floor) / 100) as u64)
    }

    pub(super) fn policy(&self) -> Result<RetryPolicy, PolicyError> {
        let max = self.max().ok_or(PolicyError::ZeroInitial)?;
        // Compounding needs the multiplier first, the multiplier never needs the jitter.
        let backoff = Backoff::exponential(Duration::from_nanos(self.initial), Duration::from_nanos(max))?
            .with_multiplier(self.multiplier)?
            .with_jitter(self.law.jitter()?)?
            .with_floor(self.floor())?;
        let policy = RetryPolicy::new(backoff)
            .with_max_transmissions(self.transmissions)?
            .with_last_wait(self.last_wait)?
            .with_patience(Duration::from_nanos(self.patience))?
            .with_start_delay(Duration::from_nanos(self.start_delay.0), Duration::from_nanos(self.start_delay.1))?;
        self.deadline.map_or(Ok(policy), |deadline| policy.with_deadline(Duration::from_nanos(deadline)))
    }

    /// A constant backoff whose every interval is the longest of this one, each with the draw of its slot.
    pub(super) fn longest(&self) -> Backoff {
        let (hi, deviation) = self.law.largest();
        let max = self.max().unwrap();
        let cap = u64::try_from(u128::from(max - deviation) * 100 / u128::from(hi)).unwrap_or(u64::MAX);
        let law = match self.law {
            Law::Compounding(lo, hi) => Law::Each(lo, hi),
            law => law,
        };
        Backoff::exponential(Duration::from_nanos(cap), Duration::from_nanos(max.max(cap)))
            .and_then(|backoff| backoff.with_multiplier(1.0))
            .and_then(|backoff| backoff.with_jitter(law.jitter()?))
            .and_then(|backoff| backoff.with_floor(self.floor()))
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Policies of every kind, with no time in them longer than about `largest`.
pub(super) fn specs(largest: u64) -> impl Strategy<Value = Spec> {
    let transmissions = prop_oneof![Just(1), Just(2), Just(5), Just(63), Just(66), Just(u32::MAX), 1..=20_u32];
    let last_wait = prop_oneof![3 => Just(LastWait::Next), 1 => (1..=100_u32).prop_map(LastWait::Initial)];
    let multiplier = prop_oneof![2 => Just(1.0), 3 => Just(2.0), 1 => Just(1.1), 1 => Just(1e9), 3 => 1.0..4.0_f64];
    let start_delay = prop_oneof![
        3 => Just((0, 0)),
        1 => (spans(largest), spans(largest)).prop_map(|(a, b)| (a.min(b), a.max(b)))
    ];
    let backoff = (spans(largest), prop_oneof![Just(0), spans(largest)], multiplier, laws(largest), 0..=100_u64);
    let rest = (transmissions, last_wait, proptest::option::of(spans(largest)), start_delay, spans(largest));
    (backoff, rest).prop_filter_map("a valid policy", |(backoff, rest)| {
        let (initial, room, multiplier, law, floor) = backoff;
        let (transmissions, last_wait, deadline, start_delay, patience) = rest;
        let multiplier = if let Law::Compounding(..) = law { multiplier.max(2.0) } else { multiplier };
        let spec =
            Spec { initial, room, multiplier, law, floor, transmissions, last_wait, deadline, start_delay, patience };
        spec.policy().is_ok().then_some(spec)
    })
}

fn laws(largest: u64) -> impl Strategy<Value = Law> {
    let factors = || (0..=150_u64, 1..=100_u64).prop_map(|(lo, width)| (lo, lo + width));
    prop_oneof![
        2 => Just(Law::None),
        2 => factors().prop_map(|(lo, hi)| Law::Each(lo, hi)),
        1 => factors().prop_map(|(lo, hi)| Law::Once(lo, hi)),
        1 => (90..=110_u64, 0..=50_u64).prop_map(|(lo, width)| Law::Compounding(lo, lo + width)),
        1 => spans(largest).prop_map(Law::PlusMinus),
    ]
}

/// From a nanosecond up, every order of magnitude about as often.
fn spans(largest: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(1),
        2 => 1..=10_u64,
        3 => 1..=1_000_000_u64,
        5 => MS..=10_000 * MS,
        1 => 1..=largest,
    ]
}

pub(super) fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), any::<u64>(), u64::MAX - 10_000 * MS..=u64::MAX, Just(u64::MAX)].prop_map(at)
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Advance(Step),
    /// The next fact is reported at an earlier time.
    Rewind,
    Transmitted,
    NotTransmitted(bool),
    Provisional(Hold),
    Reply,
    Cancelled,
    EndBy(Step),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    By(u64),
    /// To the due time, less one nanosecond, exactly, or plus one.
    ToDue(u8),
    ToDeadline(u8),
}

impl Step {
    pub(super) fn from(self, now: Timestamp, model: &Model) -> Timestamp {
        let beside = |moment: u64, offset: u8| at(moment.saturating_sub(1).saturating_add(offset.into()));
        match self {
            Self::By(span) => now.after(Duration::from_nanos(span)),
            Self::ToDue(offset) => beside(model.due, offset).max(now),
            Self::ToDeadline(offset) => beside(model.deadline, offset).max(now),
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::By(0)),
        3 => spans(HUGE).prop_map(Step::By),
        1 => Just(Step::By(u64::MAX)),
        6 => (0..=2_u8).prop_map(Step::ToDue),
        1 => (0..=2_u8).prop_map(Step::ToDeadline),
    ]
}

pub(super) fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        60 => steps().prop_map(Op::Advance),
        2 => Just(Op::Rewind),
        60 => Just(Op::Transmitted),
        12 => any::<bool>().prop_map(Op::NotTransmitted),
        4 => prop_oneof![Just(Hold::Stop), Just(Hold::Slow), Just(Hold::Slow)].prop_map(Op::Provisional),
        1 => Just(Op::Reply),
        1 => Just(Op::Cancelled),
        2 => steps().prop_map(Op::EndBy),
    ]
}

/// Without the steps to the end of time, where a shifted clock would stand still.
pub(super) fn modest_ops() -> impl Strategy<Value = Op> {
    let steps = || prop_oneof![spans(HOUR).prop_map(Step::By), (0..=2_u8).prop_map(Step::ToDue)];
    prop_oneof![
        30 => steps().prop_map(Op::Advance),
        30 => Just(Op::Transmitted),
        6 => any::<bool>().prop_map(Op::NotTransmitted),
        2 => prop_oneof![Just(Hold::Stop), Just(Hold::Slow)].prop_map(Op::Provisional),
        1 => Just(Op::Reply),
        1 => Just(Op::Cancelled),
        1 => steps().prop_map(Op::EndBy),
    ]
}

#[track_caller]
pub(super) fn apply(op: Op, policy: &RetryPolicy, timer: &mut RetryTimer, model: &mut Model, now: &mut Timestamp) {
    match op {
        Op::Advance(step) => *now = step.from(*now, model),
        Op::Rewind => *now = at(now.as_nanos() / 2),
        Op::EndBy(step) => {
            let end = step.from(*now, model);
            *timer = timer.end_by(end);
            model.deadline = model.deadline.min(end.as_nanos());
        }
        fact => {
            tell(fact, policy, timer, *now);
            model.tell(fact, now.as_nanos());
        }
    }
}

pub(super) fn tell(fact: Op, policy: &RetryPolicy, timer: &mut RetryTimer, now: Timestamp) {
    match fact {
        Op::Transmitted => timer.on_transmitted(policy, now),
        Op::NotTransmitted(true) => timer.on_not_transmitted(policy, now, NotTransmitted::OverBudget),
        Op::NotTransmitted(false) => timer.on_not_transmitted(policy, now, NotTransmitted::SendFailed),
        Op::Provisional(hold) => timer.on_provisional(policy, now, hold),
        Op::Reply => timer.on_reply(now),
        Op::Cancelled => timer.on_cancelled(),
        Op::Advance(_) | Op::Rewind | Op::EndBy(_) => unreachable!("not a fact"),
    }
}

pub(super) fn moved(action: Action, shift: u64) -> Action {
    match action {
        Action::WaitUntil(until) => Action::WaitUntil(at(until.as_nanos() + shift)),
        action => action,
    }
}

/// How much too late a driver comes, in terms of how long it waited.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lateness {
    Thousandths(u64),
    Nanos(u64),
}

impl Lateness {
    pub(super) fn of(self, waited: u64) -> Duration {
        match self {
            Self::Thousandths(share) => {
                let late = u128::from(waited) * u128::from(share) / 1000;
                Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX))
            }
            Self::Nanos(nanos) => Duration::from_nanos(nanos),
        }
    }
}

pub(super) fn lateness() -> impl Strategy<Value = Lateness> {
    prop_oneof![
        Just(Lateness::Nanos(0)),
        (0..=1000_u64).prop_map(Lateness::Thousandths),
        (0..=100_000_u64).prop_map(Lateness::Thousandths),
        spans(HUGE).prop_map(Lateness::Nanos),
    ]
}
