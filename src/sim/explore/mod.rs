mod shrink;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use self::shrink::shrink;
use crate::entropy::Seed;
use crate::sim::plan::{Choice, Fault, Plan};
use crate::sim::{SimEvent, SimNet};

/// Runs a scenario once for each seed, each time in a network of its own, and stops at the first failure.
///
/// The failure reports its seed and how to repeat it, and the few faults that are enough for it: those that are left
/// when every fault is taken away without which it fails as well.
///
/// What else is random in a scenario should follow from [`SimNet::seed`], a requester's jitter too: a requester without
/// a seed draws one from the operating system, and its runs cannot be repeated. Faults are reported by their numbers,
/// against the paths as they are at the end of the scenario; if the scenario changes a path, they may not be enough.
///
/// With `UDP_RETRY_SEED` in the environment only that seed is run; `UDP_RETRY_SEEDS` is the number of seeds to run
/// instead of the one given. Returns the number of runs.
///
/// # Errors
///
/// The first failure.
pub fn explore<E: ToString>(
    seeds: Range<u64>,
    scenario: impl Fn(&SimNet) -> Result<(), E>,
) -> Result<u64, Counterexample> {
    let seeds = match (variable(ONE_SEED), variable(SEEDS)) {
        (Some(one), _) => one..one.saturating_add(1),
        (None, Some(many)) => seeds.start..seeds.start.saturating_add(many),
        (None, None) => seeds,
    };
    let runs = seeds.end.saturating_sub(seeds.start);
    for seed in seeds.map(Seed::new) {
        if let Err(error) = scenario(&SimNet::new(seed)) {
            return Err(Counterexample::of(seed, Plan::Chance, &error, &scenario));
        }
    }
    Ok(runs)
}

/// Runs a scenario once for every sequence of choices over its first `datagrams` datagrams, in the order in which they
/// are sent, by any host. Later datagrams meet what their path does. Returns the number of runs.
///
/// # Errors
///
/// The first failure.
pub fn exhaust<E: ToString>(
    datagrams: u32,
    choices: &[Choice],
    scenario: impl Fn(&SimNet) -> Result<(), E>,
) -> Result<u64, Counterexample> {
    let mut digits = vec![0; datagrams as usize];
    let mut runs = 0;
    loop {
        let chosen: Vec<Choice> = digits.iter().filter_map(|&digit: &usize| choices.get(digit).copied()).collect();
        let plan = Plan::Choices(chosen);
        runs += 1;
        if let Err(error) = scenario(&SimNet::planned(Seed::new(0), plan.clone(), false)) {
            return Err(Counterexample::of(Seed::new(0), plan, &error, &scenario));
        }
        // The next number, in the base of the choices, the lowest digit first.
        let Some(raised) = digits.iter().position(|digit| digit + 1 < choices.len()) else { return Ok(runs) };
        for (n, digit) in digits.iter_mut().enumerate().take(raised + 1) {
            *digit = if n < raised { 0 } else { *digit + 1 };
        }
    }
}

/// Runs a scenario twice and compares everything that happens. Returns the digest of the run.
///
/// # Errors
///
/// The first event in which the runs differ.
pub fn check_determinism<R>(seed: Seed, scenario: impl Fn(&SimNet) -> R) -> Result<u64, Box<Divergence>> {
    let run = || {
        let net = SimNet::planned(seed, Plan::Chance, true);
        let _ = scenario(&net);
        (net.trace_hash(), net.events())
    };
    let ((one, first), (other, second)) = (run(), run());
    if one == other {
        return Ok(one);
    }
    let differ = (0..).find(|&n| first.get(n) != second.get(n)).unwrap_or_default();
    let (first, second) = (first.get(differ).copied(), second.get(differ).copied());
    Err(Box::new(Divergence { event: differ, first, second }))
}

/// A scenario that failed, and the faults that are enough for it to fail.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Counterexample {
    /// The seed of the network.
    pub seed: Seed,
    /// What the scenario reported.
    pub error: String,
    /// The few faults that are enough; `None` if the failure does not follow from faults alone.
    pub faults: Option<Vec<Fault>>,
    /// What the scenario reports when there are only these.
    pub shrunk_error: Option<String>,
}

/// Where two runs of one scenario differ.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Divergence {
    /// The number of the event, from 0.
    pub event: usize,
    /// What happened in the first run; `None` if nothing more did.
    pub first: Option<SimEvent>,
    /// What happened in the second.
    pub second: Option<SimEvent>,
}

impl Counterexample {
    fn of<E: ToString>(seed: Seed, plan: Plan, error: &E, scenario: &impl Fn(&SimNet) -> Result<(), E>) -> Self {
        let recorded = SimNet::planned(seed, plan, true);
        let _ = scenario(&recorded);
        let faults = recorded.faults();
        let with = |faults: &[Fault]| scenario(&SimNet::planned(seed, Plan::of(faults), false)).err();
        let mut failure = Self { seed, error: error.to_string(), faults: None, shrunk_error: None };
        if with(&faults).is_some() {
            let few = shrink(faults, |faults| with(faults).is_some());
            failure.shrunk_error = with(&few).map(|error| error.to_string());
            failure.faults = Some(few);
        }
        failure
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, error, faults, shrunk_error } = self;
        writeln!(f, "seed {seed}: {error}")?;
        writeln!(f, "  repeat with {ONE_SEED}={seed}")?;
        let Some(faults) = faults else { return f.write_str("  these faults alone do not repeat it") };
        match shrunk_error {
            Some(shrunk) if shrunk != error => writeln!(f, "  these faults are enough to fail, with: {shrunk}")?,
            _ => writeln!(f, "  these faults are enough:")?,
        }
        let mut links: Vec<_> = faults.iter().map(|fault| (fault.path, fault.direction)).collect();
        links.sort_unstable();
        links.dedup();
        if links.is_empty() {
            f.write_str("    none at all")?;
        }
        for (path, direction) in links {
            let of_link = faults.iter().filter(|fault| (fault.path, fault.direction) == (path, direction));
            let script = Plan::script(of_link);
            write!(f, "    path {path}, {}: \"{script}\".parse::<Script>()?", direction.as_str())?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl core::error::Error for Counterexample {}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |event: &Option<SimEvent>| event.map_or_else(|| "nothing more".to_string(), |event| format!("{event}"));
        let Self { event, first, second } = self;
        write!(f, "two runs differ at event {event}:\n  {}\n  {}", shown(first), shown(second))
    }
}

impl core::error::Error for Divergence {}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

const ONE_SEED: &str = "UDP_RETRY_SEED";
const SEEDS: &str = "UDP_RETRY_SEEDS";
