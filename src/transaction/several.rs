use super::conclusion::is_refusal;
use super::course::{Course, Flag, Place};
use super::grant::Grants;
use super::group::Group;
use super::path_state::{PathState, Remains, States};
use super::routing::Routing;
use crate::policy::RttEstimator;
use crate::servers::{Choice, Paths, Sent, ServerSet};
use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, PathIndex};

/// A request to several servers: where its slots go, and what goes beside them.
#[derive(Debug)]
pub(super) struct Asking<'a, S> {
    pub(super) group: &'a mut Group,
    pub(super) course: &'a mut Course,
    pub(super) states: S,
}

impl<S: States> Asking<'_, S> {
    /// Does to a server what may kill it. A dead one is met again from a fresh port, if ever.
    fn bury(&mut self, path: PathIndex, fact: impl FnOnce(&mut ServerSet)) {
        let lived = self.group.set.live().contains(path);
        fact(&mut self.group.set);
        if lived && !self.group.set.live().contains(path) {
            if let Some(state) = self.states.state(path) {
                state.on_dead();
            }
        }
    }

    pub(super) fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp) {
        self.bury(path, |set| set.on_expired(now, path, sent));
    }

    fn on_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) {
        self.bury(path, |set| set.on_path_error(now, path, error));
    }

    /// The slot that is due goes there.
    pub(super) fn aim_at(&mut self, path: PathIndex) {
        self.course.set(Flag::BEGUN, true);
        self.course.set(Flag::PARKED, false);
        self.course.target = path.into();
        let is_free = self.costs_nothing(path);
        self.course.set(Flag::FREE, is_free);
    }

    /// Whether it waits for a server to live again.
    pub(super) fn is_stranded(&self) -> bool {
        self.was_stranded() && self.group.set.is_all_dead()
    }

    /// Whether it waited for that, and one lives.
    pub(super) fn is_rescued(&self) -> bool {
        self.was_stranded() && !self.group.set.is_all_dead()
    }

    /// One that answered provisionally is waited for, whatever is taken for dead.
    fn was_stranded(&self) -> bool {
        self.course.is(Flag::PARKED) && self.course.worker == Place::NONE
    }

    /// Whether a server that lives is left to be asked in this round.
    fn is_one_left(&self) -> bool {
        !self.group.set.live().except(self.course.tried).is_empty()
    }

    /// Whether what is due needs no token: the first transmission; one that replaces what was refused, as that has burdened
    /// no one; and the first that leaves a server which never replied, or whoever begins with a dead one would pay for it.
    fn costs_nothing(&self, to: PathIndex) -> bool {
        let Course { asked, last, .. } = *self.course;
        let leaves_a_stranger = last.path().is_some_and(|last| self.group.set.never_replied(last));
        asked.is_empty()
            || self.course.is(Flag::HASTENED)
            || !asked.contains(to) && !self.course.is(Flag::FAILED_OVER) && leaves_a_stranger
    }

    /// What was to leave beside the slots does not.
    fn give_up_extra(&mut self) {
        let Some(path) = self.course.extra.path() else { return };
        if self.course.hedged == self.course.extra {
            self.forget_hedge();
        } else {
            self.group.on_probe_left(path);
        }
        self.course.extra = Place::NONE;
    }
}

impl<S: States> Routing for Asking<'_, S> {
    fn begin(&mut self, now: Timestamp) {
        for path in Paths::first(self.group.set.len()).iter() {
            if let Some(state) = self.states.state(path) {
                state.on_start(now);
            }
        }
    }

    fn estimator(&mut self) -> Option<&RttEstimator> {
        self.states.estimator()
    }

    fn target(&mut self) -> PathIndex {
        self.course.named()
    }

    fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        self.states.state(path)
    }

    fn is_several(&mut self) -> bool {
        true
    }

    fn choose(&mut self, now: Timestamp) -> Choice {
        if let Some(path) = self.course.target.path() {
            return Choice::Ask(path);
        }
        self.course.set(Flag::BEGUN, true);
        let is_hopping = self.course.is(Flag::HOPPING);
        let choice = match self.course.worker.path() {
            // It is being worked on: another server would only do the same again.
            Some(_) if is_hopping => Choice::TriedAll,
            Some(worker) => Choice::Ask(worker),
            None => match self.group.set.choose(now, self.course.tried) {
                Choice::TriedAll if !is_hopping => {
                    self.course.tried = Paths::NONE;
                    self.group.set.choose(now, Paths::NONE)
                }
                choice => choice,
            },
        };
        self.course.set(Flag::PARKED, choice == Choice::Park);
        if let Choice::Ask(path) = choice {
            self.aim_at(path);
        }
        choice
    }

    fn loses_target(&mut self) -> bool {
        let live = self.group.set.live();
        // One that is working on it is asked again whatever it is taken for.
        let target = self.course.target.path().filter(|_| self.course.target != self.course.worker);
        let Some(dead) = target.filter(|&path| !live.contains(path)) else { return false };
        self.course.tried = self.course.tried.with(dead);
        self.course.target = Place::NONE;
        true
    }

    fn is_free(&mut self) -> bool {
        self.course.is(Flag::FREE)
    }

    fn was_asked(&mut self) -> bool {
        let Course { asked, probed, .. } = *self.course;
        asked.contains(self.target()) || probed.contains(self.target())
    }

    fn is_parked(&mut self) -> bool {
        self.was_stranded()
    }

    fn is_hopping(&mut self) -> bool {
        self.course.is(Flag::HOPPING)
    }

    fn on_wait_over(&mut self, now: Timestamp) {
        if self.course.worker != Place::NONE {
            return;
        }
        if let Some(last) = self.course.last.path().filter(|_| self.course.is(Flag::WAITING)) {
            self.course.set(Flag::WAITING, false);
            self.on_expired(now, last, self.course.last_at);
        }
        self.expire_hedge(now);
    }

    fn on_wait_cut(&mut self, now: Timestamp) {
        let Some(last) = self.course.last.path().filter(|_| self.course.is(Flag::WAITING)) else { return };
        if now >= self.course.last_at.after_ns(self.group.failover_ns(now, last, Ns::MAX)) {
            self.on_wait_over(now);
        }
    }

    fn last_sent(&mut self) -> Timestamp {
        let hedge = self.course.hedged.path().map_or(Timestamp::ZERO, |_| self.course.hedge_at);
        self.course.last_at.max(hedge)
    }

    fn on_slot_sent(&mut self, now: Timestamp, interval: Ns) -> Option<Ns> {
        let path = self.course.named();
        self.on_wait_over(now);
        let what = match self.course.asked {
            Paths::NONE => Sent::Request,
            asked if asked.contains(path) => Sent::Repeat,
            _ => Sent::Failover,
        };
        self.group.set.on_transmitted(now, path, what);
        if let Some(state) = self.states.state(path) {
            state.on_transmitted(now);
        }
        let course = &mut *self.course;
        (course.asked, course.tried) = (course.asked.with(path), course.tried.with(path));
        (course.last, course.last_at) = (path.into(), now);
        if course.hedged == Place::NONE {
            course.hedge_at = Timestamp::MAX;
        }
        if what == Sent::Failover {
            course.set(Flag::FAILED_OVER, true);
        }
        course.set(Flag::WAITING, true);
        self.on_slot_passed();
        if !self.is_one_left() || self.course.worker != Place::NONE {
            return None;
        }
        self.course.set(Flag::HOPPING, true);
        let hop = self.group.failover_ns(now, path, interval);
        if what == Sent::Request {
            self.plan_hedge(now, path, hop);
        }
        Some(hop)
    }

    fn has_alternative(&mut self) -> bool {
        let left = self.group.set.live().except(self.course.tried).without(self.target());
        self.course.extra != Place::NONE || !left.is_empty()
    }

    fn on_slot_unsent(&mut self, now: Timestamp, error: PathError) -> Option<Ns> {
        let path = self.course.target.path()?;
        self.on_error(now, path, error);
        self.course.tried = self.course.tried.with(path);
        if is_refusal(error) {
            self.course.refused = self.course.refused.with(path);
        }
        self.on_slot_passed();
        if !self.is_one_left() {
            return None;
        }
        self.course.set(Flag::HOPPING, true);
        match error {
            // The next one would meet the same queue.
            PathError::NoBuffers => Some(self.group.failover_ns(now, path, Ns::MAX)),
            _ => {
                self.course.set(Flag::HASTENED, true);
                Some(0)
            }
        }
    }

    fn on_slot_passed(&mut self) {
        self.course.target = Place::NONE;
        for over in [Flag::HOPPING, Flag::FREE, Flag::HASTENED] {
            self.course.set(over, false);
        }
    }

    fn extra(&mut self) -> Option<PathIndex> {
        self.course.extra.path()
    }

    fn find_extra(&mut self, now: Timestamp, looked: Timestamp, budget: &Grants) -> Option<bool> {
        if self.course.worker != Place::NONE || !self.course.is(Flag::BEGUN) {
            return None;
        }
        let hedge = self.find_hedge(now, looked, budget);
        let path = hedge.or_else(|| self.group.probe_due(now))?;
        self.course.extra = path.into();
        if hedge.is_some() {
            // Where it goes and that it has not left yet, until it has.
            self.course.hedged = path.into();
        } else {
            self.group.on_probe_taken(path);
        }
        Some(hedge.is_some())
    }

    fn on_extra_transmitted(&mut self, now: Timestamp) {
        let Some(path) = self.course.extra.path() else { return };
        let is_hedge = self.course.hedged == self.course.extra;
        self.course.extra = Place::NONE;
        if let Some(state) = self.states.state(path) {
            state.on_transmitted(now);
        }
        if is_hedge {
            self.group.set.on_transmitted(now, path, Sent::Hedge);
            self.course.hedge_at = now;
            (self.course.asked, self.course.tried) = (self.course.asked.with(path), self.course.tried.with(path));
        } else {
            self.group.set.on_transmitted(now, path, Sent::Probe);
            self.group.on_probe_left(path);
            self.course.probed = self.course.probed.with(path);
        }
    }

    fn on_extra_unsent(&mut self, now: Timestamp, error: PathError) {
        let Some(path) = self.course.extra.path() else { return };
        self.give_up_extra();
        self.on_error(now, path, error);
    }

    fn wake(&mut self, now: Timestamp, until: Timestamp) -> Timestamp {
        let probe = self.group.set.next_probe().filter(|&probe| self.was_stranded() && probe > now);
        [Some(until), self.course.next_hedge(), probe].into_iter().flatten().min().unwrap_or(until)
    }

    fn on_answered(&mut self, at: Timestamp, from: PathIndex, round_trip: Option<Ns>, is_final: bool) {
        self.group.on_reply(at, from, round_trip);
        if !is_final {
            self.course.worker = from.into();
            if self.is_hedge_due() {
                self.forget_hedge();
            }
        }
    }

    fn on_own_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) -> bool {
        self.on_error(now, path, error);
        if !is_refusal(error) {
            return false;
        }
        let is_first = !self.course.refused.contains(path);
        self.course.refused = self.course.refused.with(path);
        if Place::from(path) != self.course.last || !self.course.is(Flag::WAITING) {
            return false;
        }
        // It was refused, which is not that its time ran out.
        self.course.set(Flag::WAITING, false);
        let hastens = is_first && self.course.is(Flag::HOPPING) && self.is_one_left();
        if hastens {
            self.course.set(Flag::HASTENED, true);
        }
        hastens
    }

    fn ask_again(&mut self, at: Timestamp, path: PathIndex) {
        self.group.on_sign_of_life(at, path);
        if Place::from(path) == self.course.last {
            self.course.set(Flag::WAITING, false);
        }
        self.aim_at(path);
    }

    fn is_refused_by_all(&mut self) -> bool {
        self.group.set.live().except(self.course.refused).is_empty()
    }

    fn on_request_end(&mut self, remains: &Remains) {
        self.give_up_extra();
        let Course { asked, probed, refused, .. } = *self.course;
        asked.iter().for_each(|path| self.group.set.on_settled(path));
        let all = probed.iter().fold(asked, Paths::with);
        // Each server is asked about as often as another.
        let each = remains.transmissions.div_ceil(u32::try_from(all.len()).unwrap_or(u32::MAX).max(1));
        for path in all.iter() {
            let settled = match all.len() {
                1 => remains.settled,
                _ if refused.contains(path) => each,
                _ => 0,
            };
            if let Some(state) = self.states.state(path) {
                state.on_end(&Remains { transmissions: each, settled, unanswered: remains.unanswered });
            }
        }
        *self.course = Course::new(false);
    }
}
