use super::grant::Grants;
use super::path_state::{PathState, Remains};
use crate::policy::RttEstimator;
use crate::servers::Choice;
use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, PathIndex};

/// Where a request goes: which path its slots take, and who learns what each path shows.
///
/// As a rule there is one path, a [`PathState`], and none of the questions that have an answer here arises: those are what
/// [`Asking`](super::several::Asking) answers for several servers.
pub(super) trait Routing {
    /// A request begins at `now`.
    fn begin(&mut self, now: Timestamp);

    /// What the round trips call for, where they are measured.
    fn estimator(&mut self) -> Option<&RttEstimator>;

    /// What is to be sent goes there: what is built, renewed or transmitted next.
    fn target(&mut self) -> PathIndex;

    /// What requests share that take this path.
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState>;

    /// Whether each slot goes where it is decided when it is due, so that its bytes and its port are seen to then.
    fn is_several(&mut self) -> bool;

    /// Where the slot goes that is due. The same until it was used, or has passed.
    fn choose(&mut self, now: Timestamp) -> Choice {
        let _ = now;
        Choice::Ask(self.target())
    }

    /// Whether the server has died that the slot was to go to: it goes elsewhere then.
    fn loses_target(&mut self) -> bool {
        false
    }

    /// Whether the transmission that is due needs no leave of the budget, although another one has left.
    fn is_free(&mut self) -> bool {
        false
    }

    /// Whether the request asked the target before.
    fn was_asked(&mut self) -> bool {
        false
    }

    /// Whether its latest slot has passed because no server lives.
    fn is_parked(&mut self) -> bool {
        false
    }

    /// Whether the wait that is running ends with another server, and not with the slot's.
    fn is_hopping(&mut self) -> bool {
        false
    }

    /// The wait before the slot that is due, or before the end, has brought nothing.
    fn on_wait_over(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// The deadline has come, in the middle of a wait.
    fn on_wait_cut(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// When the latest transmission of the round left.
    fn last_sent(&mut self) -> Timestamp {
        Timestamp::ZERO
    }

    /// The slot that is due was transmitted to the target. Returns after how long another server is to have it, where the
    /// slot's own wait is `interval`; `None` where that one holds.
    fn on_slot_sent(&mut self, now: Timestamp, interval: Ns) -> Option<Ns>;

    /// Whether what cannot go to the target may go elsewhere, or need not go at all.
    fn has_alternative(&mut self) -> bool {
        false
    }

    /// The slot that is due was not transmitted to the target. Returns after how long another server is to have it.
    fn on_slot_unsent(&mut self, now: Timestamp, error: PathError) -> Option<Ns> {
        let _ = (now, error);
        None
    }

    /// The slot has passed.
    fn on_slot_passed(&mut self) {}

    /// A copy that is to leave beside the slots: a probe, or a hedge.
    fn extra(&mut self) -> Option<PathIndex> {
        None
    }

    /// Decides on an [`extra`](Self::extra) where one is due by now. Returns whether it has taken a token from the budget.
    fn find_extra(&mut self, now: Timestamp, looked: Timestamp, budget: &Grants) -> Option<bool> {
        let _ = (now, looked, budget);
        None
    }

    /// It was sent.
    fn on_extra_transmitted(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// It was not sent.
    fn on_extra_unsent(&mut self, now: Timestamp, error: PathError) {
        let _ = (now, error);
    }

    /// When to look before `until`, as something beside the slots may be due.
    fn wake(&mut self, now: Timestamp, until: Timestamp) -> Timestamp {
        let _ = now;
        until
    }

    /// The path answered, if only provisionally.
    fn on_answered(&mut self, at: Timestamp, from: PathIndex, round_trip: Option<Ns>, is_final: bool) {
        let _ = (at, from, round_trip, is_final);
    }

    /// The path reported an error of this request's. Returns whether that hastens the next one.
    fn on_own_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) -> bool {
        let _ = (now, path, error);
        false
    }

    /// The server of this path is asked again, as it has received the request and not taken it in.
    fn ask_again(&mut self, at: Timestamp, path: PathIndex) {
        let _ = (at, path);
    }

    /// Whether no server is left that a request could hope for, as each has refused it.
    fn is_refused_by_all(&mut self) -> bool {
        true
    }

    /// The request has ended.
    fn on_request_end(&mut self, remains: &Remains);
}

impl Routing for PathState {
    #[inline]
    fn begin(&mut self, now: Timestamp) {
        self.on_start(now);
    }

    #[inline]
    fn estimator(&mut self) -> Option<&RttEstimator> {
        self.estimator.as_ref()
    }

    #[inline]
    fn target(&mut self) -> PathIndex {
        PathIndex::FIRST
    }

    #[inline]
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        let _only_one = path;
        Some(self)
    }

    #[inline]
    fn is_several(&mut self) -> bool {
        false
    }

    #[inline]
    fn on_slot_sent(&mut self, now: Timestamp, _interval: Ns) -> Option<Ns> {
        self.on_transmitted(now);
        None
    }

    #[inline]
    fn on_request_end(&mut self, remains: &Remains) {
        self.on_end(remains);
    }
}
