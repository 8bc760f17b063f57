use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{Happened, SimEvent};
use crate::fault::{DelayLaw, DelayModel, Delivery, Direction, DropCause, Fate, Impairments, Rule, Script};

/// What may happen to a datagram of a small world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a test names the ones it wants")]
pub enum Choice {
    /// It arrives.
    Deliver,
    /// It does not.
    Drop,
    /// It arrives, and a copy later.
    Duplicate {
        /// By how much.
        after: Duration,
    },
    /// It arrives later than it would.
    Late {
        /// By how much.
        by: Duration,
    },
}

/// One thing that happened to one datagram, and that should not have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests compare it with what they expect")]
pub struct Fault {
    /// Which path, by the order in which paths were made.
    pub path: u64,
    /// In which direction.
    pub direction: Direction,
    /// Which datagram, from 1.
    pub n: u64,
    /// What.
    pub rule: Rule,
}

/// Who decides over the datagrams of a world.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// The links.
    Chance,
    /// These, for the first datagrams in the order of sending, by any host.
    Choices(Vec<Choice>),
    /// These, and each path has its least delay besides.
    Faults(BTreeMap<(u64, Direction), Script>),
}

impl Plan {
    /// Only these faults. If rules of one datagram are at odds, as they can be when some of them are left out, all
    /// rules of its link are.
    pub(super) fn of(faults: &[Fault]) -> Self {
        let mut rules: BTreeMap<_, Vec<(u64, Rule)>> = BTreeMap::new();
        for fault in faults {
            rules.entry((fault.path, fault.direction)).or_default().push((fault.n, fault.rule));
        }
        let scripts = rules.into_iter().map(|(link, rules)| (link, Script::new(rules).unwrap_or_default()));
        Self::Faults(scripts.collect())
    }

    /// What happens on one link.
    pub(super) fn script<'f>(faults: impl Iterator<Item = &'f Fault>) -> Script {
        Script::new(faults.map(|fault| (fault.n, fault.rule))).unwrap_or_default()
    }

    /// What a link does, where `given` is what the scenario asks for.
    pub(super) fn impairments(&self, path: u64, direction: Direction, given: &Impairments) -> Impairments {
        let Self::Faults(scripts) = self else { return given.clone() };
        let script = scripts.get(&(path, direction)).cloned().unwrap_or_default();
        least(given).with_script(script)
    }

    /// What becomes of the datagram that was sent `ordinal`-th, from 1.
    #[inline]
    pub(super) fn choose(&self, ordinal: u64, fate: Fate) -> Fate {
        let Self::Choices(choices) = self else { return fate };
        let place = usize::try_from(ordinal.saturating_sub(1)).unwrap_or(usize::MAX);
        let (Some(choice), Fate::Delivered(mut copies)) = (choices.get(place), fate) else { return fate };
        let Some(&first) = copies.as_slice().first() else { return fate };
        match choice {
            Choice::Deliver => {}
            Choice::Drop => return Fate::Dropped(DropCause::Script),
            Choice::Duplicate { after } => copies.push(Delivery { at: first.at.after(*after), ..first }),
            Choice::Late { by } => return Fate::late(&copies, *by),
        }
        Fate::Delivered(copies)
    }
}

/// The least delay of a link, and nothing else: what is left when every fault is taken away.
fn least(given: &Impairments) -> Impairments {
    match DelayLaw::fixed(given.least_delay()) {
        Ok(law) => Impairments::NONE.with_delay(DelayModel::new(law)),
        Err(_) => Impairments::NONE,
    }
}

/// What happened, as faults against the least delay of each link, as it is at the end of the run.
pub(super) fn faults_of(record: &[SimEvent], least_delay: impl Fn(u64, Direction) -> Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    for event in record {
        let (Happened::Sent { path, direction, n, fate } | Happened::RefusalSent { path, direction, n, fate }) =
            event.what
        else {
            continue;
        };
        let mut note = |rule| faults.push(Fault { path, direction, n, rule });
        let copies = match fate {
            Fate::Delivered(copies) => copies,
            Fate::Dropped(_) => {
                note(Rule::Drop);
                continue;
            }
            Fate::TooBig { limit } => {
                note(Rule::Refuse { limit: u16::try_from(limit.bytes()).unwrap_or(u16::MAX) });
                continue;
            }
        };
        let Some(first) = copies.as_slice().first() else { continue };
        let by = first.at.since(event.at.after(least_delay(path, direction)));
        if !by.is_zero() {
            note(Rule::Delay { by });
        }
        for (nth, copy) in (0_u8..).zip(&copies) {
            if nth > 0 {
                note(Rule::Duplicate { after: copy.at.since(first.at) });
            }
            if copy.len < event.len {
                note(Rule::Truncate { copy: nth, to: u16::try_from(copy.len).unwrap_or(u16::MAX) });
            }
            for &bit in copy.flips.as_slice() {
                note(Rule::Corrupt { copy: nth, bit });
            }
        }
    }
    faults
}

/// The smallest set of faults found that still fails: delta debugging (Zeller 1999), in a bounded number of runs.
pub(super) fn shrink(mut faults: Vec<Fault>, mut fails: impl FnMut(&[Fault]) -> bool) -> Vec<Fault> {
    let mut runs = 0;
    let mut parts = 2;
    while faults.len() > 1 || parts == 2 && faults.len() == 1 {
        let size = faults.len().div_ceil(parts).max(1);
        let mut smaller = None;
        for start in (0..faults.len()).step_by(size) {
            let without: Vec<Fault> = faults
                .iter()
                .enumerate()
                .filter(|(n, _)| !(start..start + size).contains(n))
                .map(|(_, it)| *it)
                .collect();
            runs += 1;
            if runs > MOST_RUNS {
                return faults;
            }
            if fails(&without) {
                smaller = Some(without);
                break;
            }
        }
        match smaller {
            Some(smaller) => {
                faults = smaller;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(faults.len()),
        }
    }
    faults
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, direction, n, rule } = self;
        let script = Script::new([(*n, *rule)]).unwrap_or_default();
        write!(f, "path {path}, {}: {script}", direction.as_str())
    }
}

const MOST_RUNS: u32 = 4000;
