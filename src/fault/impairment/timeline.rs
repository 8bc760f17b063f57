use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::discriminant;
use core::time::Duration;

use super::bottleneck::Bottleneck;
use super::damage::{Corrupt, Truncate};
use super::delay::{DelayModel, ns};
use super::dose::Dose;
use super::duplicate::Duplicate;
use super::impairments::Impairments;
use super::infeasible::Infeasible;
use super::loss::LossModel;
use super::mtu::MtuClamp;
use super::pace::{Pace, Plan};
use super::reorder::Reorder;
use super::script::Script;
use crate::time::{Ns, saturating_ns};

/// One setting of [`Impairments`], as it holds [from some time on](Impairments::with_change). `None` takes it away.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// Takes everything away but the outages, which have times of their own.
    Nothing,
    /// What happens by number; numbers count on.
    Script(Script),
    /// Bytes of headers; `None` for those of the addresses' family.
    Headers(Option<u32>),
    /// The largest packet.
    Mtu(Option<MtuClamp>),
    /// The slowest hop and its queue; without it, what waits leaves at once.
    Bottleneck(Option<Bottleneck>),
    /// Which datagrams are lost.
    Loss(LossModel),
    /// Which datagrams arrive twice.
    Duplicate(Option<Duplicate>),
    /// Which copies are truncated.
    Truncate(Option<Truncate>),
    /// In which copies bits flip.
    Corrupt(Option<Corrupt>),
    /// How long datagrams take.
    Delay(Option<DelayModel>),
    /// Which datagrams are held back.
    Reorder(Option<Reorder>),
    /// How much of all this may happen.
    Dose(Option<Dose>),
}

/// Over time.
impl Impairments {
    /// Changes one setting at a time: it holds from then on, in place of the one before.
    ///
    /// Times count from where those of an [`Outage`](crate::fault::Outage) do: the beginning of the sink, the proxy or the simulated network. Numbers,
    /// and the states of chains and queues, go on. What waits in a queue is sent at the rates to come, so that its fate is
    /// known when it enters.
    ///
    /// # Errors
    ///
    /// [`Infeasible::TwoChangesAtOnce`] of one setting, [`Infeasible::TooManyChanges`] past 4,096,
    /// [`Infeasible::ChangeNeverComes`] behind the end of what is repeated, and those of [`with`](Self::with) at any time.
    pub fn with_change(self, at: Duration, setting: Setting) -> Result<Self, Infeasible> {
        self.with_changes([(at, setting)])
    }

    /// Many changes at once, in any order.
    ///
    /// # Errors
    ///
    /// As [`with_change`](Self::with_change).
    pub fn with_changes(mut self, changes: impl IntoIterator<Item = (Duration, Setting)>) -> Result<Self, Infeasible> {
        let present = self.changes().map(|(at, setting)| (at, setting.clone())).collect::<Vec<_>>();
        let changes = Timeline::sorted(present.into_iter().chain(changes))?;
        let repeat = self.timeline.as_ref().and_then(|timeline| timeline.repeat());
        self.timeline = Timeline::new(&self, changes, repeat).map(Arc::new);
        self.checked()
    }

    /// Repeats the time from `from` on again and again, every `every`, with all changes that are in it.
    ///
    /// A recorded rate that is part of a change begins anew as well.
    ///
    /// # Errors
    ///
    /// [`Infeasible::NothingToRepeat`] if nothing changes within that time, [`Infeasible::ChangeNeverComes`] if a change is
    /// set behind its end, [`Infeasible::NothingLeaves`], [`Infeasible::DurationTooLong`].
    pub fn repeating(mut self, from: Duration, every: Duration) -> Result<Self, Infeasible> {
        let repeat = Repeat { from: ns(from)?, every: ns(every)? };
        let Some(timeline) = &self.timeline else { return Err(Infeasible::NothingToRepeat { from }) };
        self.timeline = Timeline::new(&self, timeline.changes().to_vec(), Some(repeat)).map(Arc::new);
        self.checked()
    }

    /// The changes at later times, in their order.
    pub fn changes(&self) -> impl Iterator<Item = (Duration, &Setting)> {
        let changes = self.timeline.as_ref().map(|timeline| timeline.changes()).unwrap_or_default();
        changes.iter().map(|(at, setting)| (Duration::from_nanos(*at), setting))
    }

    /// From when on the changes repeat, and after how long each time.
    #[must_use]
    pub fn repetition(&self) -> Option<(Duration, Duration)> {
        let Repeat { from, every } = self.timeline.as_ref()?.repeat()?;
        Some((Duration::from_nanos(from), Duration::from_nanos(every)))
    }

    /// What holds at this time; itself without its changes, if there are none by then.
    #[must_use]
    pub fn at(&self, time: Duration) -> Self {
        let mut here = self.during(saturating_ns(time)).clone();
        here.timeline = None;
        here
    }

    /// What holds at this moment, by its own accessors.
    #[inline]
    pub(in crate::fault) fn during(&self, now: Ns) -> &Self {
        self.timeline.as_ref().and_then(|timeline| timeline.at(now)).unwrap_or(self)
    }

    /// The rate over all time, if there is a bottleneck at any.
    #[inline]
    pub(in crate::fault) fn pace(&self) -> Option<Pace<'_>> {
        match self.timeline.as_ref().and_then(|timeline| timeline.plan()) {
            Some(plan) => Some(Pace::Planned(plan)),
            None => self.bottleneck().map(|hop| Pace::Steady(hop.pace())),
        }
    }

    /// The shortest that a datagram takes at any time, its queue left out.
    #[cfg(feature = "sim")]
    pub(crate) fn least_delay(&self) -> Duration {
        let of = |it: &Self| it.delay().map(|model| model.law().least()).unwrap_or_default();
        let later = self.timeline.iter().flat_map(|timeline| &timeline.steps).map(|(_, step)| of(step));
        later.fold(of(self), Duration::min)
    }
}

/// How settings change over time.
#[derive(PartialEq, Debug)]
pub(in crate::fault) struct Timeline {
    /// By time; of one time `Nothing` first.
    changes: Vec<(Ns, Setting)>,
    repeat: Option<Repeat>,
    /// What holds from each of these times on, worked out beforehand, as it is asked for every datagram.
    steps: Vec<(Ns, Impairments)>,
    /// The rates, unless there is one alone.
    plan: Option<Arc<Plan>>,
}

/// From a time on a period that comes again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fault) struct Repeat {
    pub(in crate::fault) from: Ns,
    pub(in crate::fault) every: Ns,
}

impl Timeline {
    /// Changes of what holds at first, in any order.
    ///
    /// # Errors
    ///
    /// [`Infeasible::TooManyChanges`], [`Infeasible::TwoChangesAtOnce`].
    pub(super) fn sorted(
        changes: impl IntoIterator<Item = (Duration, Setting)>,
    ) -> Result<Vec<(Ns, Setting)>, Infeasible> {
        let mut sorted = Vec::new();
        for (at, setting) in changes {
            if sorted.len() == MOST_CHANGES {
                return Err(Infeasible::TooManyChanges { most: MOST_CHANGES });
            }
            sorted.push((ns(at)?, setting));
        }
        sorted.sort_by_key(|(at, setting)| (*at, setting.stage()));
        let same = |pair: &&[(Ns, Setting)]| match pair {
            [(at, one), (then, other)] => at == then && discriminant(one) == discriminant(other),
            _ => false,
        };
        match sorted.windows(2).find(same) {
            Some([(at, _), ..]) => Err(Infeasible::TwoChangesAtOnce { at: Duration::from_nanos(*at) }),
            _ => Ok(sorted),
        }
    }

    /// Changes in their order; `None` if there are none.
    pub(super) fn new(first: &Impairments, changes: Vec<(Ns, Setting)>, repeat: Option<Repeat>) -> Option<Self> {
        let mut holds = first.clone();
        holds.timeline = None;
        let mut steps: Vec<(Ns, Impairments)> = Vec::new();
        for (at, setting) in &changes {
            holds.apply(setting.clone());
            match steps.last_mut() {
                Some((last, step)) if last == at => *step = holds.clone(),
                _ => steps.push((*at, holds.clone())),
            }
        }
        let hops = [(0, first)].into_iter().chain(steps.iter().map(|(at, step)| (*at, step)));
        let plan = Plan::new(hops.map(|(at, step)| (at, step.bottleneck().map(Bottleneck::pace))), repeat);
        let plan = plan.is_needed().then(|| Arc::new(plan));
        (!changes.is_empty()).then_some(Self { changes, repeat, steps, plan })
    }

    /// What holds at this moment, if it is not what held at first.
    #[inline]
    pub(in crate::fault) fn at(&self, now: Ns) -> Option<&Impairments> {
        let now = self.repeat.map_or(now, |repeat| repeat.folded(now).1);
        let place = self.steps.partition_point(|(at, _)| *at <= now).checked_sub(1)?;
        self.steps.get(place).map(|(_, step)| step)
    }

    pub(in crate::fault) fn changes(&self) -> &[(Ns, Setting)] {
        &self.changes
    }

    pub(in crate::fault) const fn repeat(&self) -> Option<Repeat> {
        self.repeat
    }

    pub(in crate::fault) const fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// Whether all that is asked for can be.
    ///
    /// # Errors
    ///
    /// [`Infeasible::MtuBelowHeaders`], [`Infeasible::NothingToRepeat`], [`Infeasible::ChangeNeverComes`],
    /// [`Infeasible::NothingLeaves`].
    pub(super) fn check(&self) -> Result<(), Infeasible> {
        self.steps.iter().try_for_each(|(_, step)| step.check_mtu())?;
        let Some(repeat) = self.repeat else { return Ok(()) };
        match self.changes.last() {
            Some(&(at, _)) if at >= repeat.end() && repeat.every > 0 => {
                let [at, end] = [at, repeat.end()].map(Duration::from_nanos);
                return Err(Infeasible::ChangeNeverComes { at, end });
            }
            Some(&(at, _)) if at > repeat.from && repeat.every > 0 => {}
            _ => return Err(Infeasible::NothingToRepeat { from: Duration::from_nanos(repeat.from) }),
        }
        match &self.plan {
            Some(plan) if plan.ends_in_nothing() => Err(Infeasible::NothingLeaves),
            _ => Ok(()),
        }
    }
}

impl Repeat {
    /// When the first round ends.
    pub(in crate::fault) const fn end(self) -> Ns {
        self.from.saturating_add(self.every)
    }

    /// How many rounds are over, and the moment of the first one that is like this one.
    #[inline]
    pub(in crate::fault) fn folded(self, now: Ns) -> (u64, Ns) {
        let since = now.saturating_sub(self.from);
        let rounds = since.checked_div(self.every).unwrap_or(0);
        (rounds, now - rounds * self.every)
    }
}

impl Setting {
    /// Its place in the order of the stages; what takes all away comes first.
    pub(in crate::fault) const fn stage(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Script(_) => 1,
            Self::Headers(_) => 2,
            Self::Mtu(_) => 3,
            Self::Bottleneck(_) => 4,
            Self::Loss(_) => 5,
            Self::Duplicate(_) => 6,
            Self::Truncate(_) => 7,
            Self::Corrupt(_) => 8,
            Self::Delay(_) => 9,
            Self::Reorder(_) => 10,
            Self::Dose(_) => 11,
        }
    }
}

/// Each takes the memory of a whole specification.
const MOST_CHANGES: usize = 4096;
