use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::determinism::Divergence;
use super::record::Log;
use super::replay::as_test;
use super::run::Name;
use super::variables::{CHOICES, SEED, SHRINK};
use crate::entropy::Seed;
use crate::fault::Direction;
use crate::sim::plan::Plan;
use crate::sim::world::MadePath;
use crate::sim::{Choice, Fault, Happened, SimEvent, Unmet};

/// A scenario that failed, and the faults that are enough for it to fail.
///
/// As text it has all that is known: how to repeat the run, the faults as scripts, the datagrams that they met, what
/// happened with these faults alone, and [a test](Self::as_test) to paste. `Debug` shows the same, for `unwrap`.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Counterexample {
    /// The seed of the network; zero for [`exhaust`](super::exhaust).
    pub seed: Seed,
    /// What the scenario returned, the text and place of its panic, or why its network was stopped. Before any run:
    /// what cannot be run.
    pub error: String,
    /// The few faults that are enough; `None` if the failure does not follow from faults alone.
    pub faults: Option<Vec<Fault>>,
    /// What is wrong when there are only these.
    pub shrunk_error: Option<String>,
    pub(super) details: Box<Details>,
}

/// What else is known.
#[derive(Clone, PartialEq)]
pub(super) struct Details {
    pub(super) origin: Origin,
    pub(super) scenario: Name,
    pub(super) repeats: Repeats,
    pub(super) shrinking: Shrinking,
    /// The failure that came first, if this one was preferred.
    pub(super) before: Option<(Seed, String)>,
    pub(super) story: Story,
}

/// What found it.
#[derive(Clone, PartialEq)]
pub(super) enum Origin {
    Explored,
    Exhausted {
        choices: Vec<Choice>,
    },
    Replayed,
    /// Nothing: there was nothing to run.
    NotRun,
}

/// Whether the same run failed again.
#[derive(Clone, PartialEq)]
pub(super) enum Repeats {
    Exactly,
    Differently(Option<Box<Divergence>>),
    Not(Option<Box<Divergence>>),
}

/// How far the search for fewer faults got.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shrinking {
    Complete,
    Unfinished,
    NotTried,
    /// There were more faults than are kept of a run.
    TooMany,
}

/// The run with the few faults, or the failing one itself if there are none.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Story {
    pub(super) met: Vec<SimEvent>,
    pub(super) log: Log,
    pub(super) paths: Vec<MadePath>,
    /// Of the failing run, before it was shrunk.
    pub(super) unmet: Vec<Unmet>,
}

impl Counterexample {
    /// A test that fails in the same way, with these faults; to be pasted beside the scenario. The scenario's name is in
    /// it if it is a function; a closure has none.
    ///
    /// `None` if it would be the same run again, if there is none, or if there are too many faults to read.
    #[must_use]
    pub fn as_test(&self) -> Option<String> {
        let faults = self.faults.as_ref().filter(|faults| faults.len() <= MOST_SHOWN)?;
        let Details { origin, scenario, story, .. } = &*self.details;
        let suffix = match origin {
            Origin::Explored => format!("with_the_faults_of_seed_{}", self.seed),
            Origin::Exhausted { .. } => "in_a_small_world".to_string(),
            Origin::Replayed | Origin::NotRun => return None,
        };
        let error = self.shrunk_error.as_ref().unwrap_or(&self.error);
        Some(as_test(self.seed, *scenario, &suffix, &story.paths, faults, error))
    }

    /// There was nothing to run.
    pub(super) fn not_run(why: String) -> Self {
        let (repeats, shrinking, story) = (Repeats::Exactly, Shrinking::Complete, Story::default());
        let origin = Origin::NotRun;
        let details = Box::new(Details { origin, scenario: Name::plain(""), repeats, shrinking, before: None, story });
        Self { seed: Seed::new(0), error: why, faults: None, shrunk_error: None, details }
    }

    fn repeats(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { origin, repeats, before, .. } = &*self.details;
        match origin {
            Origin::Explored => writeln!(f, "  repeat with {SEED}={}", self.seed)?,
            Origin::Exhausted { choices } => writeln!(f, "  repeat with {CHOICES}=\"{}\"", joined(choices))?,
            Origin::Replayed | Origin::NotRun => {}
        }
        if let Some((seed, error)) = before {
            writeln!(f, "  seed {seed} failed first, and takes more faults: {}", indented(error))?;
        }
        let (how, divergence) = match repeats {
            Repeats::Exactly => return Ok(()),
            Repeats::Differently(divergence) => ("failed again, but in another run", divergence),
            Repeats::Not(divergence) => ("did not fail again", divergence),
        };
        writeln!(f, "  the same seed {how}: the scenario is not deterministic ({USUAL_CAUSES})")?;
        match divergence {
            Some(divergence) => writeln!(f, "  {}", indented(&divergence.to_string())),
            None => Ok(()),
        }
    }

    fn shown_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, faults, shrunk_error, details, .. } = self;
        let Some(faults) = faults else {
            return f.write_str(match details.shrinking {
                Shrinking::NotTried => "  there was no time to shrink its faults\n",
                Shrinking::TooMany => "  it has more faults than are kept\n",
                Shrinking::Complete | Shrinking::Unfinished => "  its faults alone do not repeat it\n",
            });
        };
        match shrunk_error {
            Some(shrunk) if shrunk != error => {
                writeln!(f, "  these faults are enough to fail, with: {}", indented(shrunk))?;
            }
            _ if details.origin == Origin::Replayed => writeln!(f, "  with these faults:")?,
            _ => writeln!(f, "  these faults are enough:")?,
        }
        if details.shrinking == Shrinking::Unfinished {
            writeln!(f, "  (fewer may be: the time for shrinking was over, {SHRINK} sets it)")?;
        }
        if faults.is_empty() {
            return f.write_str("    none at all\n");
        }
        if faults.len() > MOST_SHOWN {
            return writeln!(f, "    {} faults, too many to show", faults.len());
        }
        for (path, direction) in links_of(faults) {
            let of_link = faults.iter().filter(|fault| (fault.path, fault.direction) == (path, direction));
            let script = Plan::script(of_link);
            writeln!(f, "    path {path}, {}: \"{script}\".parse::<Script>()?", direction.as_str())?;
            details
                .story
                .met
                .iter()
                .filter_map(|event| Met::on(event, path, direction))
                .try_for_each(|met| write!(f, "{met}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, error, details, .. } = self;
        if details.origin == Origin::NotRun {
            return f.write_str(error);
        }
        writeln!(f, "{}: {}", details.origin.named(*seed), indented(error))?;
        self.repeats(f)?;
        self.shown_faults(f)?;
        for unmet in details.story.unmet.iter().take(MOST_UNMET) {
            writeln!(f, "  of what the scenario asked for, {unmet}")?;
        }
        let of_few = self.faults.is_some();
        f.write_str(if of_few { "  with these faults alone, this happens:\n" } else { "  this happened:\n" })?;
        write!(f, "{}", details.story.log)?;
        match self.as_test() {
            Some(test) => write!(f, "  as a test, to be pasted beside the scenario:\n\n{test}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Counterexample {}

impl Origin {
    /// What failed, in a word or two.
    pub(super) fn named(&self, seed: Seed) -> String {
        match self {
            Self::Exhausted { choices } => format!("choices {}", joined(choices)),
            _ => format!("seed {seed}"),
        }
    }
}

/// A datagram that met a fault.
struct Met<'e> {
    event: &'e SimEvent,
    n: u64,
    what: &'static str,
}

impl<'e> Met<'e> {
    /// If it was sent into this link.
    fn on(event: &'e SimEvent, path: u64, direction: Direction) -> Option<Self> {
        match event.what {
            Happened::Sent { path: of, direction: to, n, .. } if (of, to) == (path, direction) => {
                let what = if direction == Direction::ToServer { "request" } else { "reply" };
                Some(Self { event, n, what })
            }
            Happened::RefusalSent { path: of, direction: to, n, .. } if (of, to) == (path, direction) => {
                Some(Self { event, n, what: "refusal" })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Met<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, n, what } = self;
        let SimEvent { at, from, to, len, .. } = event;
        let at = at.as_nanos() as f64 / 1e6;
        writeln!(f, "      {n} is a {what} of {len} bytes {}, {from} -> {to}, sent at {at:.3} ms", event.start())
    }
}

/// The links that have a fault, in order.
pub(super) fn links_of(faults: &[Fault]) -> Vec<(u64, Direction)> {
    let mut links: Vec<_> = faults.iter().map(|fault| (fault.path, fault.direction)).collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// The choices up to the last that does anything.
fn joined(choices: &[Choice]) -> String {
    let acts = choices.iter().rposition(|choice| *choice != Choice::Deliver);
    let shown = choices.get(..=acts.unwrap_or_default()).unwrap_or_default();
    shown.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A text of several lines, below one that is two spaces in.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

const MOST_UNMET: usize = 8;
/// Faults, in a message or in a test.
const MOST_SHOWN: usize = 64;
const USUAL_CAUSES: &str = "it depends on something besides SimNet::seed: the order of a HashMap, a clock, a thread, or what a run before left";
