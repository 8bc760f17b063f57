//! A naive model of the schedule, and what a policy means without any chance.

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::{Backoff, LastWait};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, Hold, RetryTimer};

use super::facts::{Op, Spec};
use super::{at, nanos};

/// The schedule as one would write it down: times in nanoseconds, a list of slots at every step.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) policy: RetryPolicy,
    pub(super) initial: u64,
    /// Draws every wait as long as the policy ever has it.
    pub(super) longest: Backoff,
    seed: u64,
    pub(super) due: u64,
    pub(super) deadline: u64,
    pub(super) slot: u32,
    pub(super) sent: u32,
    phase: &'static str,
    slowed: bool,
    withheld: bool,
}

impl Model {
    /// The start delay is the one thing taken over from the machine: its draw cannot be had otherwise.
    pub(super) fn start(spec: &Spec, start: Timestamp, seed: u64, timer: &RetryTimer) -> Self {
        let due = match timer.poll(start) {
            Action::WaitUntil(due) => due.as_nanos(),
            _ => start.as_nanos(),
        };
        let (from, to) = spec.start_delay;
        let (from, to) = (start.as_nanos().saturating_add(from), start.as_nanos().saturating_add(to));
        assert!((from..=to).contains(&due), "{due} is not within {from} to {to}");
        Self {
            policy: spec.policy().unwrap(),
            initial: spec.initial,
            longest: spec.longest(),
            seed,
            due,
            deadline: spec.deadline.map_or(u64::MAX, |deadline| due.saturating_add(deadline)),
            slot: 0,
            sent: 0,
            phase: "sending",
            slowed: false,
            withheld: false,
        }
    }

    pub(super) fn wait(&self, slot: u32) -> u64 {
        match self.policy.last_wait() {
            _ if self.slowed => nanos(self.longest.delay(slot, Seed::new(self.seed))),
            LastWait::Initial(count) if slot == self.policy.max_transmissions() - 1 => {
                self.initial.saturating_mul(count.into())
            }
            _ => nanos(self.policy.backoff().delay(slot, Seed::new(self.seed))),
        }
    }

    pub(super) fn poll(&self, now: Timestamp) -> Action {
        let now = now.as_nanos();
        let over = match self.phase {
            "done" => return Action::Done,
            "cancelled" => return Action::GiveUp(GiveUp::Cancelled),
            _ if now >= self.deadline => return Action::GiveUp(GiveUp::Deadline),
            "sending" => Action::Transmit,
            "held" => Action::GiveUp(GiveUp::PatienceEnded),
            "listening" if self.withheld => Action::GiveUp(GiveUp::OverBudget),
            "listening" => Action::GiveUp(GiveUp::Unanswered),
            phase => unreachable!("{phase}"),
        };
        if now >= self.due { over } else { Action::WaitUntil(at(self.due.min(self.deadline))) }
    }

    pub(super) fn use_slot(&mut self, now: u64) {
        if self.phase != "sending" {
            return;
        }
        let mut coming = vec![(self.due, 0, self.slot)];
        while coming.len() < 66 {
            let &(due, _, slot) = coming.last().unwrap();
            if slot == self.policy.max_transmissions() {
                break;
            }
            let wait = self.wait(slot);
            coming.push((due.saturating_add(wait), wait, slot + 1));
        }
        let far_enough = |&&(due, wait, _): &&(u64, u64, u32)| due >= now.saturating_add(wait / 2 + wait % 2);
        (self.due, self.slot) = match coming.iter().skip(1).take(64).find(far_enough) {
            Some(&(due, _, slot)) => (due, slot),
            None => {
                let &(_, wait, slot) = coming.last().unwrap();
                (now.saturating_add(wait), slot)
            }
        };
        if self.slot == self.policy.max_transmissions() {
            self.phase = "listening";
        }
    }

    pub(super) fn hop(&mut self, wait: u64, now: u64) {
        self.sent += 1;
        if self.phase == "sending" {
            let from = if now.saturating_sub(self.due) < wait / 2 { self.due } else { now };
            self.due = from.saturating_add(wait);
        }
    }

    pub(super) fn end_round(&mut self, last: u64, now: u64) {
        if self.phase == "sending" {
            self.due = last.saturating_add(self.wait(self.slot)).max(now);
            self.slot += 1;
            if self.slot == self.policy.max_transmissions() {
                self.phase = "listening";
            }
        }
    }

    pub(super) fn hasten(&mut self, now: u64) {
        if self.phase == "sending" && now < self.due {
            self.due = now;
        }
    }

    pub(super) fn release(&mut self, now: u64) {
        if self.phase == "listening" {
            (self.phase, self.slot) = ("sending", self.slot - 1);
        }
        self.hasten(now);
    }

    pub(super) fn tell(&mut self, op: Op, now: u64) {
        let alive = !matches!(self.phase, "done" | "cancelled");
        match op {
            Op::Transmitted => {
                self.sent += 1;
                self.use_slot(now);
            }
            Op::NotTransmitted(over_budget) => {
                self.withheld |= over_budget;
                self.use_slot(now);
            }
            Op::Provisional(Hold::Slow) => self.slowed = true,
            Op::Provisional(Hold::Stop) if alive => {
                self.phase = "held";
                self.due = now.saturating_add(nanos(self.policy.patience()));
            }
            Op::Reply if alive && now <= self.deadline => self.phase = "done",
            Op::Cancelled if alive => self.phase = "cancelled",
            _ => {}
        }
    }
}

/// The times at which a driver without any lateness sends, and how that ends.
pub(super) struct Nominal {
    pub(super) dues: Vec<u64>,
    pub(super) end: Option<(u64, GiveUp)>,
}

impl Nominal {
    pub(super) fn of(spec: &Spec, policy: &RetryPolicy, start: Timestamp, seed: u64) -> Self {
        let model = Model::start(spec, start, seed, &RetryTimer::start(policy, start, Seed::new(seed)));
        let mut due = model.due;
        let mut dues = Vec::new();
        for slot in 0..policy.max_transmissions() {
            if dues.len() == MOST_SLOTS {
                return Self { dues, end: None };
            }
            if due >= model.deadline {
                return Self { dues, end: Some((model.deadline.max(start.as_nanos()), GiveUp::Deadline)) };
            }
            dues.push(due);
            due = due.saturating_add(model.wait(slot));
        }
        let reason = if due >= model.deadline { GiveUp::Deadline } else { GiveUp::Unanswered };
        let end = (dues.len() < MOST_SLOTS).then_some((due.min(model.deadline), reason));
        Self { dues, end }
    }
}

pub(super) const MOST_SLOTS: usize = 100;
