use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::fault::{
    DelayLaw, DelayModel, Delivery, Direction, DropCause, Fate, Impairments, Infeasible, Oversize, Rule, Script,
    Setting,
};
use crate::time::Timestamp;

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
    Faults(Faults),
}

/// What happens to which datagram of which link.
#[derive(Clone, Default, Debug)]
pub(super) struct Faults {
    scripts: BTreeMap<(u64, Direction), Script>,
    /// What a link does, script included, from the first time that the scenario sets its path until it sets it again.
    pinned: BTreeMap<(u64, Direction), Impairments>,
}

impl Plan {
    /// Only these faults. Those of one datagram that are at odds, as they can be when some of them are left out, are
    /// left out together.
    pub(super) fn of(faults: &[Fault]) -> Self {
        let mut rules: BTreeMap<_, Vec<(u64, Rule)>> = BTreeMap::new();
        for fault in faults {
            rules.entry((fault.path, fault.direction)).or_default().push((fault.n, fault.rule));
        }
        let scripts = rules.into_iter().map(|(link, rules)| (link, feasible(rules))).collect();
        Self::Faults(Faults { scripts, pinned: BTreeMap::new() })
    }

    /// These links, as they were in a run of certain faults.
    pub(super) fn pinned(pinned: BTreeMap<(u64, Direction), Impairments>) -> Self {
        let scripts = pinned.iter().map(|(link, impairments)| (*link, impairments.script().clone())).collect();
        Self::Faults(Faults { scripts, pinned })
    }

    /// What happens on one link.
    pub(super) fn script<'f>(faults: impl Iterator<Item = &'f Fault>) -> Script {
        feasible(faults.map(|fault| (fault.n, fault.rule)).collect())
    }

    /// What a link does, where `given` is what the scenario asks for, the `first` time or again.
    pub(super) fn impairments(&self, path: u64, direction: Direction, given: &Impairments, first: bool) -> Impairments {
        let Self::Faults(faults) = self else { return given.clone() };
        if let Some(pinned) = faults.pinned.get(&(path, direction)).filter(|_| first) {
            return pinned.clone();
        }
        let script = faults.scripts.get(&(path, direction)).cloned().unwrap_or_default();
        least(given).with_script(script)
    }

    /// Whether it says what happens to this datagram.
    pub(super) fn names(&self, path: u64, direction: Direction, n: u64) -> bool {
        let Self::Faults(faults) = self else { return false };
        let script = faults.scripts.get(&(path, direction));
        script.is_some_and(|script| script.rules().binary_search_by_key(&n, |(number, _)| *number).is_ok())
    }

    /// What becomes of the datagram that was sent `ordinal`-th, from 1, if that is not for its link to decide.
    #[inline]
    pub(super) fn choice(&self, ordinal: u64) -> Option<Choice> {
        let Self::Choices(choices) = self else { return None };
        let place = usize::try_from(ordinal.saturating_sub(1)).unwrap_or(usize::MAX);
        choices.get(place).copied()
    }
}

/// The rules, without those of datagrams whose rules are at odds.
fn feasible(mut rules: Vec<(u64, Rule)>) -> Script {
    loop {
        match Script::new(rules.iter().copied()) {
            Ok(script) => return script,
            Err(Infeasible::RulesAtOdds { number }) => rules.retain(|(n, _)| *n != number),
            Err(_) => return Script::EMPTY,
        }
    }
}

/// The least delay of a link, and the routers that report: what is left when every fault is taken away.
fn least(given: &Impairments) -> Impairments {
    let delay = Some(given.least_delay()).filter(|delay| !delay.is_zero());
    let least = match delay.map(DelayLaw::fixed) {
        Some(Ok(law)) => Impairments::NONE.with_delay(DelayModel::new(law)),
        _ => Impairments::NONE,
    };
    match given.mtu().filter(|mtu| mtu.oversize() == Oversize::Report) {
        Some(mtu) => {
            // What was feasible with more beside it is so alone.
            let headers = least.clone().with(Setting::Headers(given.chosen_headers()));
            headers.and_then(|with| with.with_mtu(*mtu)).unwrap_or(least)
        }
        None => least,
    }
}

/// What happened to a datagram of `len` bytes that was sent at `sent`, as faults against the least delay of its link.
pub(super) fn faults_of(fate: &Fate, sent: Timestamp, len: usize, least_delay: Duration, mut note: impl FnMut(Rule)) {
    let copies = match fate {
        Fate::Delivered(copies) => copies,
        Fate::Dropped(_) => return note(Rule::Drop),
        Fate::TooBig { limit } => {
            return note(Rule::Refuse { limit: u16::try_from(limit.bytes()).unwrap_or(u16::MAX) });
        }
    };
    let Some(first) = copies.as_slice().first() else { return };
    let by = first.at.since(sent.after(least_delay));
    if !by.is_zero() {
        note(Rule::Delay { by });
    }
    for (nth, copy) in (0_u8..).zip(copies) {
        if nth > 0 {
            note(Rule::Duplicate { after: copy.at.since(first.at) });
        }
        if copy.len < len {
            note(Rule::Truncate { copy: nth, to: u16::try_from(copy.len).unwrap_or(u16::MAX) });
        }
        for &bit in copy.flips.as_slice() {
            note(Rule::Corrupt { copy: nth, bit });
        }
    }
}

/// The word of [`Choice`], and a time in parentheses: `deliver`, `drop`, `duplicate(15ms)` or `late(115ms)`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver => f.write_str("deliver"),
            Self::Drop => f.write_str("drop"),
            Self::Duplicate { after } => write!(f, "duplicate({})", shown(*after)),
            Self::Late { by } => write!(f, "late({})", shown(*by)),
        }
    }
}

impl Choice {
    /// The fate that it makes of what the link decided; what the link has lost stays lost.
    pub(super) fn applied_to(self, fate: Fate) -> Fate {
        let Fate::Delivered(mut copies) = fate else { return fate };
        let Some(&first) = copies.as_slice().first() else { return fate };
        match self {
            Self::Deliver => {}
            Self::Drop => return Fate::Dropped(DropCause::Script),
            Self::Duplicate { after } => copies.push(Delivery { at: first.at.after(after), ..first }),
            Self::Late { by } => return Fate::late(&copies, by),
        }
        Fate::Delivered(copies)
    }

    /// One as `Display` shows it.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text {
            "deliver" => return Some(Self::Deliver),
            "drop" => return Some(Self::Drop),
            _ => {}
        }
        let (word, time) = text.strip_suffix(')')?.split_once('(')?;
        match word {
            "duplicate" => Some(Self::Duplicate { after: duration(time)? }),
            "late" => Some(Self::Late { by: duration(time)? }),
            _ => None,
        }
    }
}

/// A time as scripts show it.
fn shown(time: Duration) -> String {
    let script = Script::new([(1, Rule::Delay { by: time })]).unwrap_or_default().to_string();
    script.strip_prefix("delay 1 by ").map_or_else(|| format!("{time:?}"), Into::into)
}

/// A time as scripts read it.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let script: Script = format!("delay 1 by {text}").parse().ok()?;
    match script.rules() {
        [(1, Rule::Delay { by })] => Some(*by),
        _ => None,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, direction, n, rule } = self;
        let script = Script::new([(*n, *rule)]).unwrap_or_default();
        write!(f, "path {path}, {}: {script}", direction.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As when the duplicate, whose copy was truncated, has been taken away.
    #[test]
    fn faults_at_odds_are_left_out_and_take_no_others_with_them() {
        let fault = |n, rule| Fault { path: 0, direction: Direction::ToServer, n, rule };
        let faults = [
            fault(1, Rule::Truncate { copy: 1, to: 3 }),
            fault(2, Rule::Drop),
            fault(3, Rule::Drop),
            fault(3, Rule::Corrupt { copy: 0, bit: 1 }),
            fault(4, Rule::Corrupt { copy: 0, bit: 1 }),
        ];
        assert_eq!(Plan::script(faults.iter()).to_string(), "drop 2; corrupt 4 bit 1");
        let plan = Plan::of(&faults);
        let named: Vec<u64> = (1..=5).filter(|&n| plan.names(0, Direction::ToServer, n)).collect();
        assert_eq!(named, [2, 4]);
        assert!(!plan.names(0, Direction::ToClient, 2) && !plan.names(1, Direction::ToServer, 2));
    }
}
