use alloc::boxed::Box;
use alloc::vec::Vec;

use super::PathReport;
use super::course::Course;
use super::group::Group;
use super::path_state::PathState;
use super::routing::Routing;
use super::several::Asking;
use crate::policy::RttEstimator;
use crate::servers::{Paths, ServerSet};
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// Whom a transaction asks: one server, as a rule, or one of several.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) only: PathState,
    pub(super) several: Option<Box<Several>>,
}

/// What takes several servers.
#[derive(Clone, Debug)]
pub(super) struct Several {
    pub(super) group: Group,
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

    #[inline]
    pub(super) fn is_several(&self) -> bool {
        self.several.is_some()
    }

    /// Whether the next request on a path should leave from another port than the one before.
    #[inline]
    pub(super) fn is_renewal_due(&self, path: PathIndex) -> bool {
        match &self.several {
            None => self.only.is_renewal_due(),
            Some(several) => {
                let state = usize::try_from(path.number()).ok().and_then(|number| several.paths.get(number));
                state.is_some_and(PathState::is_renewal_due)
            }
        }
    }

    /// Whether what arrived at `at` may have waited in the queue for something else than the schedule's next slot.
    pub(super) fn is_overdue(&mut self, at: Timestamp) -> bool {
        self.several.as_mut().is_some_and(|several| several.is_overdue(at))
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
    /// Another request is about to begin.
    pub(super) fn begin(&mut self, is_repeatable: bool) {
        self.course = Course::new(is_repeatable);
        self.reports.iter_mut().for_each(|report| *report = PathReport::new(report.path));
    }

    /// Whether what arrived at `at` may have waited in the queue for a driver that was to look before.
    pub(super) fn is_overdue(&mut self, at: Timestamp) -> bool {
        self.asking().wake(at, Timestamp::MAX) <= at
    }

    #[inline]
    pub(super) fn asking(&mut self) -> Asking<'_, &mut [PathState]> {
        Asking { group: &mut self.group, course: &mut self.course, states: &mut self.paths }
    }
}

/// Does this to a transaction with its routing, whichever that is.
macro_rules! routed {
    ($transaction:ident, $routing:ident => $call:expr) => {
        match &mut $transaction.reach.several {
            None => {
                let $routing = &mut $transaction.reach.only;
                $call
            }
            Some(several) => {
                let $routing = &mut several.asking();
                $call
            }
        }
    };
}

pub(super) use routed;
