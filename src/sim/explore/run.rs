use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use super::budget::Budget;
use super::panics::caught;
use crate::entropy::Seed;
use crate::sim::observer::Observer;
use crate::sim::plan::Plan;
use crate::sim::world::{Guard, MadePath};
use crate::sim::{Limits, SimNet, Unmet};

/// A scenario, and what it is called.
pub(super) struct Scenario<'s> {
    pub(super) name: Name,
    pub(super) run: &'s dyn Fn(&SimNet) -> Result<(), String>,
}

/// By which a test can call a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// What the compiler calls it.
    pub(super) of: &'static str,
    /// It is [asynchronous](super::with_tasks).
    pub(super) with_tasks: bool,
}

impl Name {
    /// Of one that takes the network alone.
    pub(super) const fn plain(of: &'static str) -> Self {
        Self { of, with_tasks: false }
    }
}

/// How a run of a scenario is made.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) budget: Budget,
    pub(super) observer: Option<Rc<RefCell<dyn Observer>>>,
    /// Whether a panic is kept from being printed.
    pub(super) quiet: bool,
}

/// How it ended.
pub(super) struct Ended {
    /// What is wrong: what the scenario returned, how it panicked, or why its network was stopped.
    pub(super) failure: Option<String>,
    /// Whether it was left because the budget was spent, so that it is not known how it would have ended.
    pub(super) spent: bool,
    pub(super) trace_hash: u64,
    pub(super) paths: Vec<MadePath>,
    /// What the scenario asked for in vain, if it failed.
    pub(super) unmet: Vec<Unmet>,
}

impl Run {
    /// As chance has it, for as long as it takes.
    pub(super) fn by_chance() -> Self {
        Self::by(Plan::Chance)
    }

    pub(super) fn by(plan: Plan) -> Self {
        Self { plan, budget: Budget::UNLIMITED, observer: None, quiet: false }
    }

    pub(super) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    pub(super) fn within(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    pub(super) fn watched(self, observer: Rc<RefCell<dyn Observer>>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    pub(super) fn make(self, seed: Seed, scenario: &Scenario<'_>) -> Ended {
        let guard = Guard::new(Limits::EXPLORED, Some(self.budget));
        let observed = self.observer.is_some();
        let net = SimNet::planned(seed, self.plan, guard, self.observer);
        let ended = caught(self.quiet, || (scenario.run)(&net));
        let failure = match (net.stopped(), ended) {
            // However the scenario took it.
            (Some(stopped), _) => Some(stopped.to_string()),
            (None, Ok(ended)) => ended.err(),
            (None, Err(panicked)) => Some(panicked),
        };
        let unmet = if failure.is_some() && observed { net.unmet() } else { Vec::new() };
        let spent = net.is_spent();
        Ended { failure, spent, trace_hash: net.trace_hash(), paths: net.made_paths(), unmet }
    }
}
