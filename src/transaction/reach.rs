use alloc::boxed::Box;
use alloc::vec::Vec;

use super::PathReport;
use super::course::Course;
use super::grant::Grants;
use super::path_state::{PathState, Remains};
use super::routing::Routing;
use super::several::{Asking, Group};
use crate::policy::RttEstimator;
use crate::servers::{Choice, Paths, ServerSet};
use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, PathIndex};

/// Whom a transaction asks: one server, as a rule, or one of several.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    only: PathState,
    several: Option<Box<Several>>,
}

/// What takes several servers.
#[derive(Clone, Debug)]
struct Several {
    group: Group,
    paths: Box<[PathState]>,
    course: Course,
    /// What each path has shown to the present request.
    reports: Vec<PathReport>,
}

impl Reach {
    pub(super) fn one() -> Self {
        Self { only: PathState::default(), several: None }
    }

    /// As this one, but to several servers.
    pub(super) fn to_several(&self, set: ServerSet) -> Self {
        let estimator = self.estimator_of_all();
        let paths = (0..set.len()).map(|_| PathState::measured_by(estimator.cloned())).collect();
        let reports = Paths::first(set.len()).iter().map(PathReport::new).collect();
        let several = Several { group: Group::new(set), paths, course: Course::new(false), reports };
        Self { only: PathState::default(), several: Some(Box::new(several)) }
    }

    pub(super) fn estimator_of_all(&self) -> Option<&RttEstimator> {
        match &self.several {
            None => self.only.estimator.as_ref(),
            Some(several) => several.paths.first()?.estimator.as_ref(),
        }
    }

    /// The path that was named last.
    #[inline]
    pub(super) fn named(&self) -> PathIndex {
        self.several.as_ref().map_or(PathIndex::FIRST, |several| several.course.named())
    }

    pub(super) fn measured_by(&mut self, estimator: RttEstimator) {
        match &mut self.several {
            None => self.only.estimator = Some(estimator),
            Some(several) => several.paths.iter_mut().for_each(|path| path.estimator = Some(estimator.clone())),
        }
    }

    pub(super) fn servers(&self) -> Option<&ServerSet> {
        self.several.as_ref().map(|several| &several.group.set)
    }

    /// Another request is about to begin.
    #[inline]
    pub(super) fn renew(&mut self, is_repeatable: bool) {
        if let Some(several) = &mut self.several {
            several.course = Course::new(is_repeatable);
            several.reports.iter_mut().for_each(|report| *report = PathReport::new(report.path));
        }
    }

    /// Whether the next request should leave from another port than the one before.
    #[inline]
    pub(super) fn is_renewal_due(&mut self, path: PathIndex) -> bool {
        self.state(path).is_some_and(|state| state.is_renewal_due())
    }

    /// Whether what arrived at `at` may have waited in the queue for a driver that was to look before.
    #[inline]
    pub(super) fn is_overdue(&mut self, at: Timestamp) -> bool {
        self.several.is_some() && self.wake(at, Timestamp::MAX) <= at
    }

    /// A server has answered something that no request waits for any more.
    pub(super) fn on_sign_of_life(&mut self, at: Timestamp, path: PathIndex) {
        if let Some(several) = &mut self.several {
            several.group.on_sign_of_life(at, path);
        }
    }

    /// Whether all servers were dead, and one is not any more. Asked again, it is not.
    #[inline]
    pub(super) fn take_released(&mut self) -> bool {
        self.several.as_mut().is_some_and(|several| several.group.take_released())
    }

    /// The only path there is, or has been asked.
    pub(super) fn only_path(&self) -> Option<PathIndex> {
        let Some(several) = &self.several else { return Some(PathIndex::FIRST) };
        let mut asked = several.reports.iter().filter(|report| report.transmissions > 0);
        asked.next().filter(|_| asked.next().is_none()).map(|report| report.path)
    }

    /// Remembers something of a path, for the one who asks what happened.
    #[inline]
    pub(super) fn report(&mut self, path: PathIndex, note: impl FnOnce(&mut PathReport)) {
        if let Some(several) = &mut self.several {
            if let Some(report) = several.reports.iter_mut().find(|report| report.path == path) {
                note(report);
            }
        }
    }

    /// What the paths have shown that were asked, or could not be; `None` where there is only one.
    pub(super) fn reports(&self) -> Option<Vec<PathReport>> {
        let several = self.several.as_ref()?;
        Some(several.reports.iter().filter(|report| report.has_something()).copied().collect())
    }
}

impl Several {
    fn asking(&mut self) -> Asking<'_, &mut [PathState]> {
        Asking { group: &mut self.group, course: &mut self.course, states: &mut self.paths }
    }
}

/// The same of one path and of several.
macro_rules! either {
    ($reach:ident.$method:ident($($argument:expr),*)) => {
        match &mut $reach.several {
            None => $reach.only.$method($($argument),*),
            Some(several) => several.asking().$method($($argument),*),
        }
    };
}

impl Routing for Reach {
    #[inline]
    fn begin(&mut self, now: Timestamp) {
        either!(self.begin(now));
    }

    #[inline]
    fn estimator(&mut self) -> Option<&RttEstimator> {
        self.estimator_of_all()
    }

    #[inline]
    fn target(&mut self) -> PathIndex {
        self.named()
    }

    #[inline]
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        match &mut self.several {
            None => Some(&mut self.only),
            Some(several) => several.paths.get_mut(usize::try_from(path.number()).ok()?),
        }
    }

    #[inline]
    fn is_several(&mut self) -> bool {
        self.several.is_some()
    }

    fn choose(&mut self, now: Timestamp) -> Choice {
        either!(self.choose(now))
    }

    #[inline]
    fn is_free(&mut self) -> bool {
        either!(self.is_free())
    }

    #[inline]
    fn was_asked(&mut self) -> bool {
        either!(self.was_asked())
    }

    fn is_parked(&mut self) -> bool {
        either!(self.is_parked())
    }

    #[inline]
    fn is_hopping(&mut self) -> bool {
        either!(self.is_hopping())
    }

    fn on_wait_over(&mut self, now: Timestamp) {
        either!(self.on_wait_over(now));
    }

    fn on_wait_cut(&mut self, now: Timestamp) {
        either!(self.on_wait_cut(now));
    }

    fn last_sent(&mut self) -> Timestamp {
        either!(self.last_sent())
    }

    #[inline]
    fn on_slot_sent(&mut self, now: Timestamp, interval: Ns) -> Option<Ns> {
        either!(self.on_slot_sent(now, interval))
    }

    fn has_alternative(&mut self) -> bool {
        either!(self.has_alternative())
    }

    fn on_slot_unsent(&mut self, now: Timestamp, error: PathError) -> Option<Ns> {
        either!(self.on_slot_unsent(now, error))
    }

    fn on_slot_passed(&mut self) {
        either!(self.on_slot_passed());
    }

    fn extra(&mut self) -> Option<PathIndex> {
        either!(self.extra())
    }

    fn find_extra(&mut self, now: Timestamp, looked: Timestamp, budget: &Grants) -> Option<bool> {
        either!(self.find_extra(now, looked, budget))
    }

    fn on_extra_transmitted(&mut self, now: Timestamp) {
        either!(self.on_extra_transmitted(now));
    }

    fn on_extra_unsent(&mut self, now: Timestamp, error: PathError) {
        either!(self.on_extra_unsent(now, error));
    }

    fn wake(&mut self, now: Timestamp, until: Timestamp) -> Timestamp {
        either!(self.wake(now, until))
    }

    #[inline]
    fn on_answered(&mut self, at: Timestamp, from: PathIndex, round_trip: Option<Ns>, is_final: bool) {
        either!(self.on_answered(at, from, round_trip, is_final));
    }

    fn on_own_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) -> bool {
        either!(self.on_own_error(now, path, error))
    }

    fn is_refused_by_all(&mut self) -> bool {
        either!(self.is_refused_by_all())
    }

    #[inline]
    fn on_request_end(&mut self, remains: &Remains) {
        either!(self.on_request_end(remains));
    }
}
