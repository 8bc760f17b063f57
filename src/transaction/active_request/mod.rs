mod answers;
mod extras;
mod facts;
mod preparation;

pub(super) use self::answers::Answer;
pub(super) use self::facts::{Reported, Unsent, Whose, pace};
use super::conclusion::Conclusion;
use super::destination::{PolicyIndex, Terms};
use super::grant::Granted;
use super::path_state::Remains;
use super::record::Record;
use super::routing::Routing;
use super::{Action, Event, Execution, Failure, GiveUp, Identity, Next, RetryTimer};
use crate::entropy::Seed;
use crate::policy::RetryPolicy;
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::PathError;

/// One request under way, without its bytes: its schedule, how far the slot that is due has got, and how it ends.
///
/// Made new for each request, never reset. What it shares with others, its [`Terms`] and its [`Routing`], is an argument of
/// every call.
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
    granted: Granted,
    /// Whether the port has been seen to.
    renewed: bool,
    /// Due times count from the transmission, because it took time to get ready for it.
    from_transmission: bool,
    /// The slot that is due is one over again, of which the server has said that it came to nothing.
    is_repeat: bool,
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
    /// The caller gave them, and each path has its own copy.
    Copied,
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
    pub(super) fn start(
        terms: &impl Terms,
        routing: &mut impl Routing,
        policy: PolicyIndex,
        now: Timestamp,
        deadline: Timestamp,
        seed: Seed,
        bytes: Bytes,
    ) -> Self {
        routing.begin(now);
        let plan = terms.policy(policy);
        let timer = RetryTimer::start(plan, now, seed).end_by(deadline);
        let first_wait = match routing.estimator() {
            None => plan.backoff().initial_ns(),
            Some(estimator) => {
                let left = (deadline != Timestamp::MAX).then(|| deadline.since_ns(now));
                plan.first_wait_within(saturating_ns(estimator.rto(now)), left)
            }
        };
        Self::new(timer, policy, first_wait, now, bytes)
    }

    /// A request of which all that happened is that it was transmitted once, at `now`; its timer knows of that.
    pub(super) fn transmitted(timer: RetryTimer, policy: PolicyIndex, first_wait: Ns, now: Timestamp) -> Self {
        let mut active = Self::new(timer, policy, first_wait, now, Bytes::Given);
        active.on_built(Identity::Content);
        active
    }

    #[inline]
    fn new(timer: RetryTimer, policy: PolicyIndex, first_wait: Ns, now: Timestamp, bytes: Bytes) -> Self {
        Self {
            timer,
            conclusion: Conclusion::OPEN,
            first_wait,
            looked: now,
            swallowed: None,
            withheld: 0,
            policy,
            identity: Identity::Missing,
            stage: Stage::Unbuilt,
            bytes,
            failed_sends: 0,
            overdue: 0,
            granted: Granted(false),
            renewed: false,
            from_transmission: false,
            is_repeat: false,
        }
    }

    /// It ends at `deadline` at the latest, whatever the policy says.
    pub(super) fn end_by(&mut self, deadline: Timestamp) {
        self.timer = self.timer.end_by(deadline);
    }

    // Questions.

    /// What to do at `now`. Asking again changes nothing; the first asking of a slot may take the budget's grant.
    #[inline]
    pub(super) fn next(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Next {
        loop {
            if self.conclusion.is_settled() {
                return match self.conclusion.is_replied() {
                    true => self.reply(terms, routing),
                    false => self.settled(terms, routing, now, record),
                };
            }
            match self.timer.poll(now) {
                Action::Done => return self.reply(terms, routing),
                Action::GiveUp(GiveUp::Cancelled) => {
                    return self.fail(terms, routing, now, Failure::Cancelled, record);
                }
                // An error hides what is queued behind it: look there first, at once.
                _ if self.conclusion.is_pending() => return Next::WaitUntil(now),
                Action::WaitUntil(until) if routing.is_several() => return self.beside(terms, routing, now, until),
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
                    return self.fail(terms, routing, now, failure, record);
                }
                Action::Transmit => {
                    if let Some(act) = self.due(terms, routing, now, record) {
                        return act;
                    }
                }
            }
        }
    }

    /// The peer had the request.
    #[inline]
    fn reply(&mut self, terms: &impl Terms, routing: &mut impl Routing) -> Next {
        self.close(terms, routing, None, Execution::Unknown, false);
        Next::Done
    }

    /// The failure that holds whatever the schedule says, or the end that was handed out.
    #[cold]
    fn settled(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Next {
        match self.conclusion.failure() {
            _ if self.stage == Stage::Idle => Next::Idle,
            Some(failure) if !self.conclusion.is_given() => self.fail(terms, routing, now, failure, record),
            given => given.map_or(Next::Done, Next::Failed),
        }
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

    /// Whether the transmission that is due was offered before, and failed.
    pub(super) fn is_reissue(&self) -> bool {
        self.failed_sends > 0
    }

    /// Whether each path gets a copy of the bytes that were given.
    #[inline]
    pub(super) fn copies(&self) -> bool {
        self.bytes == Bytes::Copied
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

    /// How it failed, once that was handed out.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.conclusion.failure().filter(|_| self.conclusion.is_given())
    }

    /// When it ends at the latest.
    pub(super) fn deadline(&self) -> Timestamp {
        self.timer.deadline()
    }

    /// When its wait ends.
    pub(super) fn wait_end(&self) -> Timestamp {
        self.timer.wait_end()
    }

    /// Whether an error ends it, unless a look at the queue finds its reply.
    pub(super) fn is_suspect(&self) -> bool {
        self.conclusion.is_pending()
    }

    /// Whether every transmission has met a refusal.
    pub(super) fn is_refused_throughout(&self) -> bool {
        self.conclusion.refusals() >= self.timer.transmissions()
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
    pub(super) fn execution(&self) -> Execution {
        self.conclusion.execution(self.timer.transmissions())
    }

    /// Hands out the failure.
    #[cold]
    fn fail(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        failure: Failure,
        record: &mut impl Record,
    ) -> Next {
        match failure {
            Failure::TimedOut(GiveUp::Deadline) => {
                record.record(now, Event::Clipped { by: self.timer.clipped() });
                routing.on_wait_cut(now);
            }
            Failure::TimedOut(GiveUp::Unanswered | GiveUp::OverBudget) => {
                routing.on_wait_over(now);
                self.end_wait(terms, routing, now);
            }
            _ => {}
        }
        record.record(now, Event::Failed(failure));
        let unanswered = match failure {
            Failure::TimedOut(reason) => reason != GiveUp::OverBudget,
            failure => failure == Failure::Cancelled,
        };
        self.close(terms, routing, Some(failure), self.execution(), unanswered);
        Next::Failed(failure)
    }

    /// A request that was dropped before its end was as good as cancelled.
    #[inline]
    pub(super) fn abandon(&mut self, terms: &impl Terms, routing: &mut impl Routing) {
        if self.is_open() {
            self.cut_off(terms, routing);
        }
    }

    #[cold]
    fn cut_off(&mut self, terms: &impl Terms, routing: &mut impl Routing) {
        self.close(terms, routing, Some(Failure::Cancelled), self.execution(), true);
    }

    /// The end, and what the path has to know of it.
    #[inline]
    fn close(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        failure: Option<Failure>,
        execution: Execution,
        unanswered: bool,
    ) {
        self.conclusion.give(failure, execution);
        let (transmissions, settled) = (self.timer.transmissions(), self.conclusion.settled());
        routing.on_request_end(&Remains { transmissions, settled, unanswered });
        self.release(terms);
    }

    /// Gives back what the budget gave for a transmission that does not leave.
    #[inline]
    fn release(&mut self, terms: &impl Terms) {
        if self.granted.0 {
            terms.budget().give_back();
            self.granted = Granted(false);
        }
    }
}

const _: () = assert!(size_of::<ActiveRequest>() <= 128);
