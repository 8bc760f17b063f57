use alloc::vec::Vec;
use core::time::Duration;

use super::observer::Observer;
use super::pace::Pace;
use super::refusals::Refusals;
use super::requests::Requests;
use super::{
    Action, Event, Execution, Failure, GiveUp, Identity, Match, NotTransmitted, OnUnreachable, ReplyMatcher,
    RetryTimer, Strays, Timeline,
};
use crate::entropy::Seed;
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::time::Timestamp;
use crate::transport::PathError;

/// One request and its reply, without a socket or a clock: an [`RetryTimer`], a [`ReplyMatcher`], the requests that
/// were sent, a [`RetryBudget`] and the [`Timeline`] of what happened.
///
/// Every front drives it the same way: ask [`next`](Self::next), do that, report through `on_…`. It can be started
/// again and again; after the first time that allocates nothing.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::transaction::{Next, Transaction};
/// use udp_retry::time::Timestamp;
/// use udp_retry::{RetryPolicy, transaction_id};
///
/// let now = Timestamp::ZERO;
/// let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
/// transaction.start(b"id 7 ping", now, 42);
/// assert_eq!(transaction.next(now), Next::Transmit);
/// transaction.on_transmitted(now);
///
/// let later = now.after(Duration::from_millis(3));
/// transaction.on_datagram(later, b"id 6 late", 9); // a stray changes nothing
/// transaction.on_datagram(later, b"id 7 pong", 9);
/// assert_eq!(transaction.next(later), Next::Done);
/// assert_eq!(transaction.round_trip(), Some(Duration::from_millis(3)));
/// ```
#[derive(Clone, Debug)]
pub struct Transaction<M> {
    pace: Pace,
    matcher: M,
    budget: RetryBudget,
    on_unreachable: OnUnreachable,
    observer: Option<Observer>,
    timer: RetryTimer,
    requests: Requests,
    /// Of the newest request.
    identity: Identity,
    timeline: Timeline,
    started: Timestamp,
    seed: Seed,
    /// The caller's own, besides the policy's.
    deadline: Timestamp,
    /// Decided before the request is over.
    failure: Option<Failure>,
    /// What will be decided unless the reply is behind the error of this moment.
    doomed: Option<(Timestamp, Failure)>,
    round_trip: Option<Duration>,
    /// The budget has granted the transmission that is due.
    granted: bool,
    /// Transmissions that the budget withheld.
    withheld: u32,
    last_error: Option<PathError>,
    refusals: Refusals,
    strays: Strays,
    /// A datagram arrived, whatever it was.
    heard: bool,
    /// The peer is known to have had the request.
    answered: bool,
    /// Errors in a row that no datagram of ours explains.
    local_errors: u32,
    /// The end is on the record.
    concluded: bool,
}

/// What a front does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a front must handle every answer")]
pub enum Next {
    /// Send [`Transaction::datagram`] now, then report how that went.
    Transmit,
    /// Listen until then, and ask again.
    WaitUntil(Timestamp),
    /// The reply is the datagram that was reported last.
    Done,
    /// It is over without a reply.
    Failed(Failure),
}

impl<M: ReplyMatcher> Transaction<M> {
    /// An idle transaction; [`start`](Self::start) begins it.
    #[must_use]
    pub fn new(policy: RetryPolicy, matcher: M) -> Self {
        let mut timer = RetryTimer::start(&policy, Timestamp::ZERO, Seed::default());
        timer.on_cancelled();
        Self {
            pace: Pace::new(policy),
            matcher,
            budget: RetryBudget::unlimited(),
            on_unreachable: OnUnreachable::KeepTrying,
            observer: None,
            timer,
            requests: Requests::default(),
            identity: Identity::Missing,
            timeline: Timeline::new(Timestamp::ZERO),
            started: Timestamp::ZERO,
            seed: Seed::default(),
            deadline: Timestamp::MAX,
            failure: None,
            doomed: None,
            round_trip: None,
            granted: false,
            withheld: 0,
            last_error: None,
            refusals: Refusals::default(),
            strays: Strays::default(),
            heard: false,
            answered: false,
            local_errors: 0,
            concluded: false,
        }
    }

    /// Spends retransmissions from this budget, which others may share; unlimited unless told.
    #[must_use]
    pub fn with_budget(self, budget: RetryBudget) -> Self {
        Self { budget, ..self }
    }

    /// What messages that the peer cannot be reached do; nothing unless told.
    #[must_use]
    pub fn with_on_unreachable(self, on_unreachable: OnUnreachable) -> Self {
        Self { on_unreachable, ..self }
    }

    /// Starts each transaction's waits at the timeout that the round trips of those before it call for, instead of the
    /// policy's first wait. The rest of the policy stays: its growth, jitter, maximum and deadline.
    #[must_use]
    pub fn with_estimator(self, estimator: RttEstimator) -> Self {
        Self { pace: self.pace.adaptive(estimator), ..self }
    }

    /// Shows every event to this function, as it happens and with the time since the start: also those that the
    /// timeline has no room for.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Observer::new(observer)), ..self }
    }

    /// Begins a transaction that sends the same bytes every time. `seed` keys the jitter: take a fresh one for
    /// each transaction.
    pub fn start(&mut self, request: &[u8], now: Timestamp, seed: Seed) {
        self.start_building(now, seed);
        self.build(|_, bytes| bytes.extend_from_slice(request));
    }

    /// Begins a transaction whose request is built anew for each transmission: call [`build`](Self::build) now and
    /// whenever [`next`](Self::next) asks for a transmission.
    #[inline]
    pub fn start_building(&mut self, now: Timestamp, seed: Seed) {
        self.withdraw_nothing();
        self.refusals.restart(now, self.transmissions(), self.requests.sent_last(), self.answered);
        self.pace.restart(now);
        self.timer = RetryTimer::start(self.pace.present(), now, seed);
        self.requests.forget();
        self.timeline.restart(now);
        self.started = now;
        self.seed = seed;
        self.deadline = Timestamp::MAX;
        self.failure = None;
        self.doomed = None;
        self.round_trip = None;
        self.withheld = 0;
        self.last_error = None;
        self.strays = Strays::default();
        self.heard = false;
        self.answered = false;
        self.local_errors = 0;
        self.concluded = false;
    }

    /// Puts the beginning off to `now`, as long as nothing was sent. What it took to get ready then shortens no wait;
    /// it still counts as elapsed, and towards the caller's deadline.
    pub fn put_off(&mut self, now: Timestamp) {
        let starting = |at| RetryTimer::start(self.pace.present(), at, self.seed).end_by(self.deadline);
        if self.timer == starting(self.started) {
            self.timer = starting(now);
        }
    }

    /// Ends the transaction at `deadline` at the latest, whatever the policy says.
    pub fn end_by(&mut self, deadline: Timestamp) {
        self.deadline = self.deadline.min(deadline);
        self.timer = self.timer.end_by(deadline);
    }

    /// Builds the request of the transmission that is due: `build` is given its number, from 1, and an empty
    /// buffer. The latest 16 requests are remembered, and a reply to any of them counts.
    #[inline]
    pub fn build(&mut self, build: impl FnOnce(u32, &mut Vec<u8>)) {
        let request = self.requests.fresh();
        build(self.timer.transmissions().saturating_add(1), request);
        self.matcher.stamp(request, self.seed.derive(IDS));
        self.identity = self.matcher.identity(request);
        if self.identity == Identity::Missing {
            self.decide(Failure::Unmatchable);
        }
    }

    /// By what replies to the present request are told from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The request as it is to be sent now.
    #[must_use]
    pub fn datagram(&self) -> &[u8] {
        self.requests.newest()
    }

    /// What to do at `now`. Asking again gives the same answer; a retransmission is asked of the budget once, and if
    /// that has nothing left, its slot passes and the listening goes on.
    #[inline]
    pub fn next(&mut self, now: Timestamp) -> Next {
        let next = self.consider(now);
        if let Next::Failed(failure) = next {
            self.conclude(now, failure);
        }
        next
    }

    #[inline]
    fn consider(&mut self, now: Timestamp) -> Next {
        if let Some((at, failure)) = self.doomed {
            // An error hides what is queued behind it: that is looked at first.
            if now <= at {
                return Next::WaitUntil(at.after_ns(1));
            }
            self.decide(failure);
        }
        if let Some(failure) = self.failure {
            return Next::Failed(failure);
        }
        match self.timer.poll(now) {
            Action::Transmit if self.may_transmit() => Next::Transmit,
            Action::Transmit => {
                self.on_withheld(now);
                self.consider(now)
            }
            Action::WaitUntil(until) => Next::WaitUntil(until),
            Action::Done => Next::Done,
            Action::GiveUp(reason) => Next::Failed(self.gave_up(reason)),
        }
    }

    /// Whether the reply is there, whole: [`next`](Self::next) says `Done`.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.failure.is_none() && self.timer.is_done()
    }

    /// The request was sent at `now`.
    #[inline]
    pub fn on_transmitted(&mut self, now: Timestamp) {
        self.granted = false;
        self.end_wait(now);
        self.timer.on_transmitted(self.pace.present(), now);
        self.requests.on_transmitted(now);
        self.local_errors = 0;
        self.record(now, Event::Transmitted(self.timer.transmissions()));
    }

    /// The system refused to send the request at `now`. "Too big" ends the transaction, because sending the same
    /// bytes later would fare no better; after anything else the next transmission may succeed.
    #[cold]
    pub fn on_not_transmitted(&mut self, now: Timestamp, error: PathError) {
        self.withdraw_nothing();
        self.last_error = Some(error);
        self.record(now, Event::NotTransmitted(error));
        if let PathError::TooBig { limit } = error {
            self.decide(Failure::TooLarge { len: self.datagram().len(), limit });
        }
        if matches!(error, PathError::Refused | PathError::Unreachable) {
            let refused = self.refusals.add_unsent();
            self.bear(now, error, refused);
        }
        self.end_wait(now);
        self.timer.on_not_transmitted(self.pace.present(), now, NotTransmitted::SendFailed);
    }

    /// The path reported at `now` an error of something that was sent before: news, not a verdict.
    #[cold]
    pub fn on_path_error(&mut self, now: Timestamp, error: PathError) {
        self.record(now, Event::PathError(error));
        // Before the first transmission it is news of an earlier transaction.
        if self.transmissions() > 0 {
            self.last_error = Some(error);
        }
        if matches!(error, PathError::Refused | PathError::Unreachable) {
            let refused = self.refusals.add(self.transmissions(), self.is_on_fresh_port());
            self.bear(now, error, refused);
        }
        if matches!(error, PathError::Other(_) | PathError::Unsupported | PathError::NoBuffers) {
            self.local_errors = self.local_errors.saturating_add(1);
            if self.local_errors >= HOPELESS {
                self.decide(Failure::Local(error));
            }
        }
    }

    /// A datagram arrived at `now`; of its `actual` bytes these were received. Returns what it was taken for.
    #[inline]
    pub fn on_datagram(&mut self, now: Timestamp, datagram: &[u8], actual: usize) -> Match {
        self.local_errors = 0;
        let (verdict, round_trip) = match self.is_over(now) {
            true => (Match::Foreign, None),
            false => self.requests.judge(&self.matcher, now, datagram),
        };
        match verdict {
            Match::Reply => {
                self.timer.on_reply(now);
                self.doomed = None;
                self.budget.deposit();
                self.pace.on_reply(now, round_trip);
                self.round_trip = round_trip;
                if actual > datagram.len() {
                    self.failure = Some(Failure::Truncated { received: datagram.len(), actual });
                } else {
                    self.record(now, Event::Replied);
                }
            }
            Match::Provisional(hold) => {
                self.timer.on_provisional(self.pace.present(), now, hold);
                self.record(now, Event::Provisional);
            }
            Match::Foreign => self.on_stray(now, datagram, actual),
        }
        self.heard = true;
        self.answered |= verdict != Match::Foreign;
        verdict
    }

    /// No fresh port could be had, although [`identity`](Self::identity) asks for one: it is over, because replies
    /// to earlier requests could not be told.
    pub fn on_not_renewed(&mut self, error: PathError) {
        self.last_error = Some(error);
        self.decide(Failure::Local(error));
    }

    /// The caller no longer wants the reply.
    pub fn on_cancelled(&mut self) {
        self.withdraw_nothing();
        self.timer.on_cancelled();
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.timer.transmissions()
    }

    /// How many transmissions the budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.withheld
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        now.since(self.started)
    }

    /// From transmission to reply, if the reply cannot belong to another transmission (Karn, RFC 6298 §3).
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether the peer may have executed the request.
    #[must_use]
    pub fn execution(&self) -> Execution {
        match self.transmissions() {
            0 => Execution::NotSent,
            sent if self.refusals.cover(sent, self.is_on_fresh_port()) && !self.answered => Execution::Refused,
            _ => Execution::Unknown,
        }
    }

    /// What arrived and answered nothing.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// What the system said last, if it said anything.
    #[must_use]
    pub fn last_error(&self) -> Option<PathError> {
        self.last_error
    }

    /// What happened so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The timeout that the path calls for, if it is measured.
    #[must_use]
    pub fn estimator(&self) -> Option<&RttEstimator> {
        self.pace.estimator()
    }

    /// Nothing that was sent for earlier requests can be heard of here.
    fn is_on_fresh_port(&self) -> bool {
        self.identity() == Identity::Port
    }

    /// Fails, unless it is over for good already.
    fn decide(&mut self, failure: Failure) {
        let settled = matches!(self.timer.poll(Timestamp::ZERO), Action::Done | Action::GiveUp(GiveUp::Cancelled));
        if self.failure.is_none() && !settled {
            self.failure = Some(failure);
        }
    }

    /// So many attempts met a refusal by now, of which this is the latest.
    fn bear(&mut self, now: Timestamp, error: PathError, refused: u32) {
        let bearable = match self.on_unreachable {
            OnUnreachable::KeepTrying => u32::MAX,
            OnUnreachable::FailFast => 0,
            OnUnreachable::FailAfter(refusals) => refusals.get() - 1,
        };
        if refused > bearable {
            let kind = if error == PathError::Refused { Failure::Refused } else { Failure::Unreachable };
            self.doomed.get_or_insert((now, kind));
        }
    }

    /// The first transmission is free, and what was granted stays granted until it is used.
    fn may_transmit(&mut self) -> bool {
        self.granted = self.granted || self.transmissions() == 0 || self.budget.try_withdraw();
        self.granted
    }

    #[cold]
    fn on_withheld(&mut self, now: Timestamp) {
        self.withheld = self.withheld.saturating_add(1);
        self.record(now, Event::Withheld);
        self.end_wait(now);
        self.timer.on_not_transmitted(self.pace.present(), now, NotTransmitted::OverBudget);
    }

    /// Gives back what was granted and not used.
    fn withdraw_nothing(&mut self) {
        if self.granted && self.transmissions() > 0 {
            self.budget.refund();
        }
        self.granted = false;
    }

    /// A slot is due, or the end: the wait before it, if there was one, has brought nothing.
    #[inline]
    fn end_wait(&mut self, now: Timestamp) {
        if let Some(slot) = self.timer.waited_slot().filter(|_| self.transmissions() > 0 && !self.answered) {
            self.pace.on_expiry(now, slot);
        }
    }

    #[cold]
    fn on_stray(&mut self, now: Timestamp, datagram: &[u8], actual: usize) {
        let kind = self.requests.stray(&self.matcher, datagram, actual);
        self.strays.add(kind);
        self.record(now, Event::Stray(kind, actual));
    }

    /// Puts the end on the record, once.
    #[cold]
    fn conclude(&mut self, now: Timestamp, failure: Failure) {
        if core::mem::replace(&mut self.concluded, true) {
            return;
        }
        match failure {
            Failure::TimedOut(GiveUp::Deadline) => self.record(now, Event::Clipped(self.timer.clipped())),
            Failure::TimedOut(GiveUp::Unanswered | GiveUp::OverBudget) => self.end_wait(now),
            _ => {}
        }
        self.record(now, Event::Failed(failure));
    }

    #[inline]
    fn record(&mut self, now: Timestamp, event: Event) {
        self.timeline.record(now, event);
        if let Some(observer) = &self.observer {
            observer.show(now.since(self.started), event);
        }
    }

    /// Whether not even a reply would change anything. One that comes after the last wait, but before the deadline,
    /// still would: the driver may have been late to look.
    fn is_over(&self, now: Timestamp) -> bool {
        match self.timer.poll(now) {
            _ if self.failure.is_some() => true,
            Action::Done | Action::GiveUp(GiveUp::Cancelled) => true,
            Action::GiveUp(_) => now > self.timer.deadline(),
            Action::Transmit | Action::WaitUntil(_) => false,
        }
    }

    fn gave_up(&self, reason: GiveUp) -> Failure {
        match (reason, self.last_error) {
            (GiveUp::Cancelled, _) => Failure::Cancelled,
            (_, Some(PathError::Refused)) if !self.heard => Failure::Refused,
            (_, Some(PathError::Unreachable)) if !self.heard => Failure::Unreachable,
            (_, Some(error)) if self.transmissions() == 0 => Failure::Local(error),
            _ => Failure::TimedOut(reason),
        }
    }
}

/// This many errors in a row that are not about a datagram of ours: the socket itself is broken.
const HOPELESS: u32 = 16;
/// The label of the draws of stamped ids among those of a transaction.
const IDS: u64 = 1;
