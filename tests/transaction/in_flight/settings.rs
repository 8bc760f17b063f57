//! Worlds at random: who is asked, by what rules, over what a path.

use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::policy::{Backoff, Jitter, LastWait, RttEstimator};
use udp_retry::transaction::OnUnreachable;
use udp_retry::{RetryBudget, RetryPolicy};

use super::dice::Dice;
use super::messages::Format;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) ids: Ids,
    pub(super) format: Format,
    pub(super) peers: usize,
    pub(super) window: u32,
    pub(super) requests: u32,
    /// How long ids rest after a clean exchange, and after any other.
    pub(super) rest: (Duration, Duration),
    /// The engine's, and those of single requests.
    pub(super) policies: Vec<RetryPolicy>,
    pub(super) deadline: Option<Duration>,
    pub(super) on_unreachable: OnUnreachable,
    /// Ratio, burst and start.
    pub(super) budget: Option<(f64, u32, u32)>,
    pub(super) fails_over_budget: bool,
    pub(super) estimator: Option<RttEstimator>,
    /// Everything that is ready leaves before time goes on: so no order of draws from a budget is left open.
    pub(super) prompt: bool,
    /// One in so many sends fails, one in so many turns comes late, one in so many requests has an answer waiting.
    pub(super) failing: u64,
    pub(super) late: u64,
    pub(super) answering: u64,
    pub(super) turns: u64,
    /// Requests and replies have one.
    pub(super) envelope: bool,
}

/// Who makes the ids, and who judges the replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ids {
    /// Written by the engine; answers of every kind.
    Stamped,
    /// Written by the engine, and the id alone decides.
    StampedAlone,
    /// Written by the engine, and the question is compared.
    Confirmed,
    /// The caller's, at a fixed place.
    Own,
    /// The caller's, found by closures; answers of every kind.
    Keyed,
}

impl Ids {
    pub(super) fn are_stamped(self) -> bool {
        !matches!(self, Self::Own | Self::Keyed)
    }
}

impl Settings {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let ids = dice.pick(&[Ids::Stamped, Ids::Stamped, Ids::StampedAlone, Ids::Confirmed, Ids::Own, Ids::Keyed]);
        let width = match ids.are_stamped() {
            true if dice.one_in(2) => dice.within(1..=2),
            true => dice.within(8..=16),
            false => dice.within(1..=16),
        };
        let format = Format { id_at: dice.pick(&[0, 0, 3]), found_at: dice.pick(&[0, 0, 5]), width: width as usize };
        let budget = dice.one_in(3).then(|| (dice.pick(&[0.0, 0.1, 0.5, 1.0]), 6, dice.within(0..=6) as u32));
        let window = if dice.one_in(3) { 1 } else { dice.pick(&[2, 3, 5, 8, 64]) };
        let least = Duration::from_millis(1);
        let estimator = dice.one_in(4).then(|| RttEstimator::new(least * 20, least, least * 500).unwrap());
        let envelope = dice.one_in(3);
        Self {
            ids,
            format,
            peers: dice.within(1..=5) as usize,
            window,
            requests: dice.pick(&[1, 2, 4, 12, 40, 40, 65_536]),
            rest: (ms(dice.within(0..=50)), ms(dice.within(50..=400))),
            policies: (0..dice.within(1..=3)).map(|_| policy(dice)).collect(),
            deadline: dice.one_in(4).then(|| ms(dice.within(1..=400))),
            on_unreachable: match dice.within(0..=3) {
                0 | 1 => OnUnreachable::KeepTrying,
                2 => OnUnreachable::FailFast,
                _ => OnUnreachable::FailAfter(NonZeroU32::new(dice.within(1..=3) as u32).unwrap()),
            },
            budget,
            fails_over_budget: dice.one_in(3),
            estimator,
            prompt: dice.one_in(2) || budget.is_some() && window > 1,
            // Whom a transmission names is decided anew if it is offered again, and a transaction knows of no other's answers.
            failing: if envelope { u64::MAX } else { dice.pick(&[4, 20, 1_000_000]) },
            late: dice.pick(&[2, 6, 1_000_000]),
            answering: dice.pick(&[1, 3, 8, 60]),
            turns: dice.within(10..=70),
            envelope,
        }
    }

    pub(super) fn budget(&self) -> RetryBudget {
        match self.budget {
            None => RetryBudget::unlimited(),
            Some((ratio, burst, start)) => RetryBudget::new(ratio, burst, start).unwrap(),
        }
    }
}

fn policy(dice: &mut Dice) -> RetryPolicy {
    let (initial, most) = (us(dice.within(200..=60_000)), ms(dice.pick(&[100, 200, 1_000])));
    let backoff = match dice.one_in(4) {
        true => Backoff::constant(initial).unwrap(),
        false => Backoff::exponential(initial, most).unwrap(),
    };
    let jitter = dice.pick(&[
        Jitter::NONE,
        Jitter::NONE,
        Jitter::UPWARD,
        Jitter::EQUAL,
        Jitter::once(1.0, 1.5).unwrap(),
        Jitter::plus_minus(us(150)).unwrap(),
        Jitter::compounding(0.9, 1.1).unwrap(),
    ]);
    let backoff = backoff.with_jitter(jitter).unwrap_or(backoff);
    let mut policy = RetryPolicy::new(backoff).with_max_transmissions(dice.within(1..=5) as u32).unwrap();
    policy = policy.with_patience(ms(dice.within(1..=300))).unwrap();
    if dice.one_in(3) {
        policy = policy.with_last_wait(LastWait::Initial(dice.within(1..=3) as u32)).unwrap();
    }
    if dice.one_in(3) {
        policy = policy.with_deadline(us(dice.within(500..=300_000))).unwrap();
    }
    if dice.one_in(4) {
        let shortest = us(dice.within(0..=20_000));
        policy = policy.with_start_delay(shortest, shortest + us(dice.within(0..=20_000))).unwrap();
    }
    policy
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
