use core::time::Duration;

use super::conclusion::Conclusion;
use super::destination::{Destination, PolicyIndex};
use super::grant::Grant;
use super::path_state::{PathState, Remains};
use super::record::Record;
use super::{Action, Event, Execution, Failure, GiveUp, Hold, Identity, Next, NotTransmitted, RetryTimer};
use crate::entropy::Seed;
use crate::policy::RetryPolicy;
use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, PathIndex, Renewed};

/// One request under way, without its bytes: its schedule, how far the slot that is due has got, and how it ends.
///
/// Made new for each request, never reset. What it shares with others, its [`Destination`] and its [`PathState`], is an
/// argument of every call.
#[derive(Clone, Debug)]
pub(super) struct ActiveRequest {
    timer: RetryTimer,
    conclusion: Conclusion,
    /// This request's own, so that no other request's sample moves its schedule.
    first_wait: Ns,
    /// Up to when the queue was seen empty: no slot and no end counts before that.
    looked: Timestamp,
    /// What the latest send of this slot failed with, kept back: it may concern an earlier datagram.
    swallowed: Option<PathError>,
    grant: Grant,
    /// How many transmissions the budget withheld.
    withheld: u32,
    policy: PolicyIndex,
    identity: Identity,
    stage: Stage,
    bytes: Bytes,
    /// Sends of this slot that failed.
    failed_sends: u8,
    /// What was read past the end of the wait without finding the queue empty.
    overdue: u8,
    /// Whether the port has been seen to.
    renewed: bool,
    /// Due times count from the transmission, because it took time to get ready for it.
    from_transmission: bool,
}

/// How far the slot that is due has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// No request was ever started.
    Idle,
    /// Its bytes are yet to be built.
    Unbuilt,
    Built,
}

/// Where the bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bytes {
    /// The caller gave them, once.
    Given,
    /// They are built anew for each slot.
    Rebuilt,
}

impl ActiveRequest {
    pub(super) fn idle() -> Self {
        let timer = RetryTimer::start(&RetryPolicy::LAN, Timestamp::ZERO, Seed::default());
        let mut idle = Self::new(timer, PolicyIndex::default(), 0, Timestamp::ZERO, Bytes::Given);
        idle.stage = Stage::Idle;
        // No fact counts and nothing is asked for, as after an end.
        idle.conclusion.give(None, Execution::NotSent);
        idle
    }

    /// A request that begins at `now` and ends by `deadline`.
    #[inline]
    pub(super) fn start<M>(
        destination: &Destination<M>,
        path: &mut PathState,
        policy: PolicyIndex,
        now: Timestamp,
        deadline: Timestamp,
        seed: Seed,
        bytes: Bytes,
    ) -> Self {
        path.on_start(now);
        let plan = destination.policy(policy);
        let timer = RetryTimer::start(plan, now, seed).end_by(deadline);
        let first_wait = match &path.estimator {
            None => plan.backoff().initial_ns(),
            Some(estimator) => plan.starting_at(estimator.rto(now)).backoff().initial_ns(),
        };
        Self::new(timer, policy, first_wait, now, bytes)
    }

    #[inline]
    fn new(timer: RetryTimer, policy: PolicyIndex, first_wait: Ns, now: Timestamp, bytes: Bytes) -> Self {
        Self {
            timer,
            conclusion: Conclusion::new(),
            first_wait,
            looked: now,
            swallowed: None,
            grant: Grant::none(),
            withheld: 0,
            policy,
            identity: Identity::Missing,
            stage: Stage::Unbuilt,
            bytes,
            failed_sends: 0,
            overdue: 0,
            renewed: false,
            from_transmission: false,
        }
    }

    /// It ends at `deadline` at the latest, whatever the policy says.
    pub(super) fn end_by(&mut self, deadline: Timestamp) {
        self.timer = self.timer.end_by(deadline);
    }

    // Questions.

    /// What to do at `now`. Asking again changes nothing; the first asking of a slot may take the budget's grant.
    #[inline]
    pub(super) fn next<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Next {
        loop {
            if self.conclusion.is_settled() {
                return match self.conclusion.is_replied() {
                    true => self.reply(path),
                    false => self.settled(destination, path, now, record),
                };
            }
            match self.timer.poll(now) {
                Action::Done => return self.reply(path),
                Action::GiveUp(GiveUp::Cancelled) => {
                    return self.fail(destination, path, now, Failure::Cancelled, record);
                }
                // An error hides what is queued behind it: look there first, at once.
                _ if self.conclusion.is_pending() => return Next::WaitUntil(now),
                Action::WaitUntil(until) => return Next::WaitUntil(until),
                // No wait ends unlooked: a clock past its end does not say that the queue is empty. A build may begin
                // before the deadline and end after it, with the slot looked at and the end not.
                Action::GiveUp(GiveUp::Deadline) if self.looked < self.timer.deadline() => {
                    return Next::WaitUntil(self.timer.deadline());
                }
                Action::Transmit | Action::GiveUp(_) if self.looked < self.timer.wait_end() => {
                    return Next::WaitUntil(self.timer.wait_end());
                }
                Action::GiveUp(reason) => {
                    let failure = self.conclusion.gave_up(reason, self.timer.transmissions());
                    return self.fail(destination, path, now, failure, record);
                }
                Action::Transmit => match self.due(destination, path) {
                    Some(act) => return act,
                    None => self.on_withheld(destination, path, now, record),
                },
            }
        }
    }

    /// The peer had the request.
    #[inline]
    fn reply(&mut self, path: &mut PathState) -> Next {
        self.close(path, None, Execution::Unknown, false);
        Next::Done
    }

    /// The failure that holds whatever the schedule says, or the end that was handed out.
    #[cold]
    fn settled<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Next {
        match self.conclusion.failure() {
            _ if self.stage == Stage::Idle => Next::Idle,
            Some(failure) if !self.conclusion.is_given() => self.fail(destination, path, now, failure, record),
            given => given.map_or(Next::Done, Next::Failed),
        }
    }

    /// What the slot that is due needs next, in the order grant, build, renew, transmit: only what was built has an
    /// identity, which says whether it needs a fresh port. `None` if the budget is empty.
    #[inline]
    fn due<M>(&mut self, destination: &Destination<M>, path: &PathState) -> Option<Next> {
        // The first transmission costs nothing.
        if self.timer.transmissions() > 0 && !self.grant.is_held() {
            self.grant = Grant::of(&destination.budget)?;
        }
        if self.stage == Stage::Unbuilt {
            return Some(Next::Build(PathIndex::FIRST, self.timer.transmissions().saturating_add(1)));
        }
        if self.needs_renewal(destination, path) {
            return Some(Next::Renew(PathIndex::FIRST));
        }
        Some(Next::Transmit(PathIndex::FIRST))
    }

    #[inline]
    fn needs_renewal<M>(&self, destination: &Destination<M>, path: &PathState) -> bool {
        !self.renewed
            && (self.identity == Identity::Port
                || path.is_renewal_due() && !destination.keeps_port && self.timer.transmissions() == 0)
    }

    /// Whether a reply that arrived at `at` would still count.
    #[inline]
    pub(super) fn accepts(&self, at: Timestamp) -> bool {
        !self.conclusion.is_settled() && self.timer.accepts(at)
    }

    /// Whether a datagram that arrived at `at` may have waited in the queue for a driver that was late: its time of
    /// arrival is then a bound, and no measurement.
    #[inline]
    pub(super) fn is_overdue(&self, at: Timestamp) -> bool {
        at >= self.timer.wait_end()
    }

    /// Whether facts still count: not before a request was started, nor once its end was handed out.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.conclusion.is_given()
    }

    #[inline]
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    #[inline]
    pub(super) fn transmissions(&self) -> u32 {
        self.timer.transmissions()
    }

    pub(super) fn withheld(&self) -> u32 {
        self.withheld
    }

    pub(super) fn last_error(&self) -> Option<PathError> {
        self.conclusion.last_error()
    }

    /// Whether the peer answered, if only provisionally: the round trip was measured then.
    #[inline]
    pub(super) fn is_answered(&self) -> bool {
        self.conclusion.is_answered()
    }

    #[inline]
    pub(super) fn execution(&self, path: &PathState) -> Execution {
        self.conclusion.execution(self.timer.transmissions(), path.open())
    }

    // Facts.

    /// The bytes of the slot that is due are there.
    #[inline]
    pub(super) fn on_built(&mut self, identity: Identity) {
        self.identity = identity;
        self.stage = Stage::Built;
        self.from_transmission |= self.bytes == Bytes::Rebuilt;
        if identity == Identity::Missing {
            self.conclusion.decide(Failure::Unmatchable);
        }
    }

    /// The request leaves from the port of the one before, unless its matcher needs a fresh one.
    #[cold]
    pub(super) fn keep_port(&mut self) {
        self.renewed |= self.identity != Identity::Port;
    }

    /// The port was renewed, or could not be.
    #[cold]
    pub(super) fn on_renewed<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        renewed: Result<Renewed, PathError>,
        record: &mut impl Record,
    ) {
        // The first wait begins when the request leaves; later slots keep to their grid.
        self.from_transmission |= self.timer.transmissions() == 0;
        match renewed {
            Ok(Renewed::FreshPort) => {
                path.on_fresh_port();
                self.renewed = true;
            }
            // Without ids, replies to earlier requests could not be told from this one's.
            Ok(Renewed::SamePort) | Err(PathError::Unsupported) if self.identity == Identity::Port => {
                self.conclusion.decide(Failure::Local(PathError::Unsupported));
            }
            // Such as a route that is gone: it may be there again when the next slot is due.
            Err(error) if self.identity == Identity::Port => {
                self.not_transmitted(destination, path, now, error, record);
            }
            // Ids make up for it; what is wrong with the path, the send will report.
            _ => self.renewed = true,
        }
    }

    /// The request was sent at `now`.
    #[inline]
    pub(super) fn on_transmitted<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        if let Some(swallowed) = self.swallowed.take() {
            self.on_path_error(destination, path, now, swallowed, record);
        }
        if self.from_transmission {
            self.timer.shift_due(now);
        }
        self.end_wait(destination, path, now);
        let mut own = None;
        self.timer.on_transmitted(pace(self.first_wait, destination.policy(self.policy), &mut own), now);
        self.grant.spend();
        path.on_transmitted(now);
        self.use_slot();
        let number = self.timer.transmissions();
        record.record(now, Event::Transmitted { path: PathIndex::FIRST, number });
    }

    /// The system did not send the request at `now`: `len` bytes, of which a copy has `left_once` if an earlier
    /// transmission had the same ones.
    #[cold]
    pub(super) fn on_not_transmitted<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        error: PathError,
        unsent: Unsent,
        record: &mut impl Record,
    ) {
        // A failure that differs from the one before, or is a refusal, was taken off the socket and concerns something
        // earlier; the same verdict twice in a row is the system's own.
        let taken_off = error == PathError::Refused || self.swallowed != Some(error);
        self.failed_sends = self.failed_sends.saturating_add(1);
        if taken_off && self.failed_sends <= MOST_REISSUES {
            if let Some(earlier) = self.swallowed.replace(error) {
                self.on_path_error(destination, path, now, earlier, record);
            }
            return;
        }
        if let (PathError::TooBig { limit }, false) = (error, unsent.left_once) {
            self.conclusion.decide(Failure::TooLarge { len: unsent.len, limit });
        }
        self.not_transmitted(destination, path, now, error, record);
    }

    #[cold]
    fn not_transmitted<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        error: PathError,
        record: &mut impl Record,
    ) {
        self.swallowed = None;
        record.record(now, Event::NotTransmitted { path: PathIndex::FIRST, error });
        self.conclusion.on_not_transmitted(error, path.open(), destination.on_unreachable);
        self.pass_slot(destination, path, now, NotTransmitted::SendFailed);
    }

    #[cold]
    fn on_withheld<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        self.withheld = self.withheld.saturating_add(1);
        record.record(now, Event::Withheld);
        if destination.fails_over_budget {
            self.conclusion.decide(Failure::TimedOut(GiveUp::OverBudget));
        }
        self.pass_slot(destination, path, now, NotTransmitted::OverBudget);
    }

    /// The reply arrived at `at`.
    #[inline]
    pub(super) fn on_reply<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        at: Timestamp,
        round_trip: Option<Ns>,
        record: &mut impl Record,
    ) {
        self.on_answered(destination, path, at, round_trip);
        self.timer.on_reply(at);
        self.conclusion.on_replied();
        record.record(at, Event::Replied { path: PathIndex::FIRST });
    }

    /// The reply arrived at `at`, and the caller's buffer was too small for it.
    #[cold]
    pub(super) fn on_truncated<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        at: Timestamp,
        round_trip: Option<Ns>,
        truncated: Failure,
    ) {
        self.on_answered(destination, path, at, round_trip);
        self.conclusion.decide(truncated);
    }

    #[inline]
    fn on_answered<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        at: Timestamp,
        round_trip: Option<Ns>,
    ) {
        destination.budget.deposit();
        // After a provisional answer the wait for the reply measures the server, not the path.
        if let Some(estimator) = path.estimator.as_mut().filter(|_| !self.conclusion.is_answered()) {
            estimator.on_reply(at, round_trip.map(Duration::from_nanos));
        }
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
    }

    /// A provisional answer arrived at `at`; it is the path's round trip (RFC 7252 §4.2: the acknowledgement ends the
    /// timer), the reply after it is not.
    #[cold]
    pub(super) fn on_provisional<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        at: Timestamp,
        hold: Hold,
        round_trip: Option<Ns>,
        record: &mut impl Record,
    ) {
        if let Some(estimator) = path.estimator.as_mut().filter(|_| !self.conclusion.is_answered()) {
            estimator.on_reply(at, round_trip.map(Duration::from_nanos));
        }
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
        let mut own = None;
        self.timer.on_provisional(pace(self.first_wait, destination.policy(self.policy), &mut own), at, hold);
        record.record(at, Event::Provisional { path: PathIndex::FIRST });
    }

    /// A datagram arrived at `at` that answers nothing.
    #[cold]
    pub(super) fn on_stray(&mut self, at: Timestamp) {
        self.conclusion.on_datagram();
        self.count_overdue(at);
    }

    /// The path reported at `now` an error of something sent earlier.
    #[cold]
    pub(super) fn on_path_error<M>(
        &mut self,
        destination: &Destination<M>,
        path: &PathState,
        now: Timestamp,
        error: PathError,
        record: &mut impl Record,
    ) {
        record.record(now, Event::PathError { path: Some(PathIndex::FIRST), error });
        let (transmissions, earlier) = (self.timer.transmissions(), path.open());
        self.conclusion.on_path_error(error, transmissions, earlier, destination.on_unreachable);
        self.count_overdue(now);
    }

    /// Nothing was queued at `now`.
    #[inline]
    pub(super) fn on_time_up(&mut self, now: Timestamp) {
        self.looked = self.looked.max(now);
        self.conclusion.on_looked();
    }

    pub(super) fn on_cancelled(&mut self) {
        self.timer.on_cancelled();
        // A front that drops its handle to the request may never ask again.
        self.grant = Grant::none();
    }

    /// A flood must not put off the next transmission, or the end, indefinitely.
    fn count_overdue(&mut self, at: Timestamp) {
        if self.conclusion.is_pending() || self.is_overdue(at) {
            self.overdue = self.overdue.saturating_add(1);
            if self.overdue >= MOST_OVERDUE {
                self.on_time_up(at);
            }
        }
    }

    /// The slot passes without a transmission.
    fn pass_slot<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        why: NotTransmitted,
    ) {
        self.end_wait(destination, path, now);
        let mut own = None;
        self.timer.on_not_transmitted(pace(self.first_wait, destination.policy(self.policy), &mut own), now, why);
        self.grant.release();
        self.use_slot();
    }

    #[inline]
    fn use_slot(&mut self) {
        self.failed_sends = 0;
        self.overdue = 0;
        self.from_transmission = false;
        if self.bytes == Bytes::Rebuilt {
            self.stage = Stage::Unbuilt;
        }
    }

    /// A slot is due, or the end: the wait before it, if there was one, has brought nothing.
    #[inline]
    fn end_wait<M>(&mut self, destination: &Destination<M>, path: &mut PathState, now: Timestamp) {
        let Some(estimator) = &mut path.estimator else { return };
        if let Some(slot) = self.timer.waited_slot() {
            if self.timer.transmissions() > 0 && !self.conclusion.is_answered() {
                let mut own = None;
                let policy = pace(self.first_wait, destination.policy(self.policy), &mut own);
                estimator.on_expiry(now, policy.backoff().interval(slot));
            }
        }
    }

    #[cold]
    fn fail<M>(
        &mut self,
        destination: &Destination<M>,
        path: &mut PathState,
        now: Timestamp,
        failure: Failure,
        record: &mut impl Record,
    ) -> Next {
        match failure {
            Failure::TimedOut(GiveUp::Deadline) => record.record(now, Event::Clipped { by: self.timer.clipped() }),
            Failure::TimedOut(GiveUp::Unanswered | GiveUp::OverBudget) => self.end_wait(destination, path, now),
            _ => {}
        }
        record.record(now, Event::Failed(failure));
        let unanswered = match failure {
            Failure::TimedOut(reason) => reason != GiveUp::OverBudget,
            failure => failure == Failure::Cancelled,
        };
        self.close(path, Some(failure), self.execution(path), unanswered);
        Next::Failed(failure)
    }

    /// A request that was dropped before its end was as good as cancelled.
    #[inline]
    pub(super) fn abandon(&mut self, path: &mut PathState) {
        if self.is_open() {
            self.cut_off(path);
        }
    }

    #[cold]
    fn cut_off(&mut self, path: &mut PathState) {
        self.close(path, Some(Failure::Cancelled), self.execution(path), true);
    }

    /// The end, and what the path has to know of it.
    #[inline]
    fn close(&mut self, path: &mut PathState, failure: Option<Failure>, execution: Execution, unanswered: bool) {
        self.conclusion.give(failure, execution);
        let (transmissions, settled) = (self.timer.transmissions(), self.conclusion.settled());
        path.on_end(&Remains { transmissions, settled, unanswered });
        self.grant.release();
    }
}

/// What a send that failed would have sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsent {
    pub(super) len: u32,
    pub(super) left_once: bool,
}

/// The policy with this request's own first wait.
#[inline]
fn pace<'p>(first_wait: Ns, policy: &'p RetryPolicy, own: &'p mut Option<RetryPolicy>) -> &'p RetryPolicy {
    if policy.backoff().initial_ns() == first_wait {
        return policy;
    }
    own.insert(policy.starting_at(Duration::from_nanos(first_wait)))
}

/// The first failed send of a slot may be an earlier datagram's, and so may those that differ from it.
const MOST_REISSUES: u8 = 8;
/// What is read at most once the time has come, before the queue is taken for empty.
const MOST_OVERDUE: u8 = 64;

const _: () = assert!(size_of::<ActiveRequest>() <= 128);
