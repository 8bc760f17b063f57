use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io::{Write as _, stderr};

use super::budget::Budget;
use super::counterexample::{Counterexample, Details, Origin, Repeats, Shrinking, Story};
use super::determinism::{Comparison, Divergence};
use super::record::Record;
use super::run::{Run, Scenario};
use super::shrink::{fewest, roundest};
use crate::entropy::Seed;
use crate::sim::plan::Plan;
use crate::sim::{Fault, Unmet};

/// From a run that failed to what is reported of it.
pub(super) struct Search<'s> {
    pub(super) scenario: &'s Scenario<'s>,
    pub(super) shrink_for: Duration,
    pub(super) origin: Origin,
}

/// A run that failed.
pub(super) struct Failing {
    pub(super) seed: Seed,
    pub(super) plan: Plan,
    pub(super) error: String,
    pub(super) trace_hash: u64,
}

/// What is known of it after a search.
struct Reduced {
    failing: Failing,
    repeats: Repeats,
    /// The few faults that are enough.
    faults: Option<Vec<Fault>>,
    shrinking: Shrinking,
    /// Of the run itself, made again.
    record: Rc<RefCell<Record>>,
    unmet: Vec<Unmet>,
}

impl Search<'_> {
    /// Also looks at some of the `next` seeds, for a failure with fewer faults.
    pub(super) fn explain(self, failing: Failing, next: impl Iterator<Item = Seed>) -> Counterexample {
        // Not through the print macros: they panic without a standard error, and a test that is killed while it
        // shrinks prints nothing of what the test harness has captured.
        let first_line = failing.error.lines().next().unwrap_or_default();
        let line = format!("{} failed: {first_line}; shrinking\n", self.origin.named(failing.seed));
        let _ = stderr().write_all(line.as_bytes());

        let budget = Budget::of(self.shrink_for);
        let mut found = self.reduce(failing, budget);
        let mut before = None;
        if found.can_be_beaten() {
            let budget = Budget::of(self.shrink_for / 3);
            for seed in next.take(MORE_SEEDS) {
                let Some(other) = self.smaller(seed, &found, budget) else { continue };
                let beaten = core::mem::replace(&mut found, other);
                before.get_or_insert((beaten.failing.seed, beaten.failing.error));
                if !found.can_be_beaten() {
                    break;
                }
            }
        }
        self.report(found, before)
    }

    /// The failure of this seed, if it fails with fewer faults.
    fn smaller(&self, seed: Seed, than: &Reduced, budget: Budget) -> Option<Reduced> {
        if budget.is_spent() {
            return None;
        }
        let ended = Run::by_chance().quiet().within(budget).make(seed, self.scenario);
        let error = ended.failure.filter(|_| !ended.spent)?;
        let failing = Failing { seed, plan: Plan::Chance, error, trace_hash: ended.trace_hash };
        let other = self.reduce(failing, budget);
        let fewer = other.faults.as_ref()?.len() < than.faults.as_ref()?.len();
        (fewer && other.repeats == Repeats::Exactly).then_some(other)
    }

    /// Takes faults away for as long as the budget allows.
    fn reduce(&self, failing: Failing, budget: Budget) -> Reduced {
        let record = Record::new();
        let again = Run::by(failing.plan.clone()).quiet().watched(record.clone()).make(failing.seed, self.scenario);
        let repeats = match &again.failure {
            Some(_) if again.trace_hash == failing.trace_hash => Repeats::Exactly,
            Some(_) => Repeats::Differently(self.divergence(&failing).map(Box::new)),
            None => Repeats::Not(self.divergence(&failing).map(Box::new)),
        };
        let mut reduced =
            Reduced { failing, repeats, faults: None, shrinking: Shrinking::Complete, record, unmet: again.unmet };
        if matches!(reduced.repeats, Repeats::Not(_)) {
            return reduced;
        }
        let runs = Cell::new(0);
        let mut fails = |faults: &[Fault]| {
            runs.set(runs.get() + 1);
            if runs.get() > MOST_RUNS || budget.is_spent() {
                return None;
            }
            let ended = Run::by(Plan::of(faults)).quiet().within(budget).make(reduced.failing.seed, self.scenario);
            (!ended.spent).then_some(ended.failure.is_some())
        };
        let all = core::mem::take(&mut reduced.record.borrow_mut().faults);
        match fails(&all) {
            None => reduced.shrinking = Shrinking::NotTried,
            Some(false) => {}
            Some(true) => {
                let (mut few, mut complete) = fewest(all, &mut fails);
                // The times of choices are round as they are.
                if complete && matches!(self.origin, Origin::Explored) {
                    complete = roundest(&mut few, &mut fails);
                }
                if !complete {
                    reduced.shrinking = Shrinking::Unfinished;
                }
                reduced.faults = Some(few);
            }
        }
        reduced
    }

    /// The first event in which two runs differ, if two of some do.
    fn divergence(&self, failing: &Failing) -> Option<Divergence> {
        let run = |observer: Rc<RefCell<Comparison>>| {
            Run::by(failing.plan.clone()).quiet().watched(observer).make(failing.seed, self.scenario).trace_hash
        };
        (0..PAIRS).find_map(|_| {
            let first = Comparison::first();
            let one = run(first.clone());
            let second = Comparison::second(&first);
            let other = run(second.clone());
            second.borrow().divergence(one == other)
        })
    }

    /// Makes the run with the few faults once more, and keeps what happens.
    fn report(self, found: Reduced, before: Option<(Seed, String)>) -> Counterexample {
        let Reduced { failing, repeats, faults, mut shrinking, record, unmet } = found;
        let seed = failing.seed;
        let (mut shrunk_error, mut record) = (None, record.take());
        let mut paths = Vec::new();
        match &faults {
            Some(few) => {
                let of_few = Record::new();
                let ended = Run::by(Plan::of(few)).quiet().watched(of_few.clone()).make(seed, self.scenario);
                (shrunk_error, paths) = (ended.failure, ended.paths);
                record = of_few.take();
            }
            None if record.more_faults => shrinking = Shrinking::TooMany,
            None => {}
        }
        let story = Story { met: record.met, log: record.log, paths, unmet };
        let (origin, scenario) = (self.origin, self.scenario.name);
        let details = Box::new(Details { origin, scenario, repeats, shrinking, before, story });
        Counterexample { seed, error: failing.error, faults, shrunk_error, details }
    }
}

impl Reduced {
    /// One fault is beaten by none alone, and without any this run does not fail.
    fn can_be_beaten(&self) -> bool {
        self.repeats == Repeats::Exactly && self.faults.as_ref().is_some_and(|faults| faults.len() > 1)
    }
}

/// Runs of one search for the fewest faults.
const MOST_RUNS: u32 = 4000;
/// Seeds behind the first that failed.
const MORE_SEEDS: usize = 100;
/// Pairs of runs that are compared to find how they differ.
const PAIRS: usize = 3;
