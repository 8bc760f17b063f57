use alloc::boxed::Box;
use core::time::Duration;

use super::path_state::PathState;
use crate::policy::RttEstimator;
use crate::servers::ServerSet;
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::{PathError, PathIndex};

/// The servers of one service and the paths to them: what all requests to them share.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) set: ServerSet,
    pub(super) paths: Box<[PathState]>,
    /// A server has replied after all were dead, and what was parked is yet to be released.
    released: bool,
}

impl Group {
    pub(super) fn new(set: ServerSet) -> Self {
        let paths = (0..set.len()).map(|_| PathState::default()).collect();
        Self { set, paths, released: false }
    }

    /// All requests measure by this one.
    pub(super) fn measured_by(&mut self, estimator: &RttEstimator) {
        self.paths.iter_mut().for_each(|path| path.estimator = Some(estimator.clone()));
    }

    pub(super) fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        self.paths.get_mut(usize::try_from(path.number()).ok()?)
    }

    pub(super) fn is_renewal_due(&self, path: PathIndex) -> bool {
        let state = usize::try_from(path.number()).ok().and_then(|number| self.paths.get(number));
        state.is_some_and(PathState::is_renewal_due)
    }

    pub(super) fn estimator(&self) -> Option<&RttEstimator> {
        self.paths.first()?.estimator.as_ref()
    }

    /// A server has answered something that no request waits for any more.
    pub(super) fn on_sign_of_life(&mut self, at: Timestamp, path: PathIndex) {
        self.on_reply(at, path, None);
    }

    /// Whether what is parked is to be released, once.
    pub(super) fn take_released(&mut self) -> bool {
        core::mem::take(&mut self.released)
    }

    pub(super) fn on_reply(&mut self, at: Timestamp, path: PathIndex, round_trip: Option<Ns>) {
        self.released |= self.set.on_reply(at, path, round_trip.map(Duration::from_nanos));
    }

    /// Does to a server what may kill it. A dead one is met again from a fresh port, if ever.
    pub(super) fn bury(&mut self, path: PathIndex, fact: impl FnOnce(&mut ServerSet)) {
        let lived = self.set.live().contains(path);
        fact(&mut self.set);
        if lived && !self.set.live().contains(path) {
            if let Some(state) = self.state(path) {
                state.on_dead();
            }
        }
    }

    pub(super) fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp) {
        self.bury(path, |set| set.on_expired(now, path, sent));
    }

    pub(super) fn on_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) {
        self.bury(path, |set| set.on_path_error(now, path, error));
    }

    pub(super) fn failover_ns(&self, now: Timestamp, path: PathIndex, interval: Ns) -> Ns {
        saturating_ns(self.set.failover_after(now, path, Duration::from_nanos(interval))).max(1)
    }
}
