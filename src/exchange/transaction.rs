use alloc::vec::Vec;
use core::time::Duration;

use super::{Action, Event, Exchange, GiveUp, Identity, Match, NotTransmitted, ReplyMatcher, Timeline};
use crate::entropy::Seed;
use crate::policy::{RetryBudget, RetryPolicy};
use crate::size::Plpmtu;
use crate::time::Timestamp;
use crate::transport::PathError;

/// One request and its reply, without a socket or a clock: an [`Exchange`], a [`ReplyMatcher`], the requests that
/// were sent, a [`RetryBudget`] and the [`Timeline`] of what happened.
///
/// Every front drives it the same way: ask [`next`](Self::next), do that, report through `on_…`. It can be started
/// again and again; after the first time that allocates nothing.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::exchange::{Next, Transaction};
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
    policy: RetryPolicy,
    matcher: M,
    budget: RetryBudget,
    on_unreachable: OnUnreachable,
    exchange: Exchange,
    requests: Requests,
    timeline: Timeline,
    started: Timestamp,
    seed: u64,
    /// The caller's own, besides the policy's.
    deadline: Timestamp,
    /// Decided before the exchange is over.
    failure: Option<Failure>,
    /// What will be decided unless the reply is behind the error of this moment.
    doomed: Option<(Timestamp, Failure)>,
    round_trip: Option<Duration>,
    /// The budget has granted the transmission that is due.
    granted: bool,
    /// Transmissions that the budget withheld.
    withheld: u32,
    last_error: Option<PathError>,
    /// Transmissions that met a refusal, as far as that can be told.
    refused: u32,
    /// Those, and the ones that may be of earlier requests.
    refusals: u32,
    /// Transmissions of earlier requests that neither a reply nor a refusal has settled, until when they may be refused.
    unsettled: (u32, Timestamp),
    strays: Strays,
    /// A datagram arrived, whatever it was.
    heard: bool,
    /// The peer is known to have had the request.
    answered: bool,
    /// Errors in a row that no datagram of ours explains.
    local_errors: u32,
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

/// Why a transaction ended without a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The schedule ended; the reason says which part of it.
    TimedOut(GiveUp),
    /// The schedule ended, and nothing but refusals came back.
    Refused,
    /// The schedule ended, and nothing but "unreachable" came back.
    Unreachable,
    /// The request exceeds what the path, the interface or a datagram at all can be. It was not sent again.
    TooLarge {
        /// Bytes of the request.
        len: usize,
        /// What would fit, where it is known.
        limit: Option<Plpmtu>,
    },
    /// The reply came, but the receive buffer was too small for it.
    Truncated {
        /// Bytes that fitted.
        received: usize,
        /// Bytes of the reply.
        actual: usize,
    },
    /// Nothing could be sent, or nothing received, for a reason of this host.
    Local(PathError),
    /// The request lacks the id that the matcher looks for, so no reply could be told.
    Unmatchable,
    /// The caller no longer wanted the reply.
    Cancelled,
}

/// What "nobody listens" and "no way there" do to a transaction.
///
/// Such an ICMP message is news of one transmission, and anybody can forge it; the server may come up before the
/// next one. So nothing is the default. Whoever cannot wait takes the news for a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum OnUnreachable {
    /// The schedule goes on to its end.
    #[default]
    KeepTrying,
    /// The first such message ends the transaction.
    FailFast,
    /// So many transmissions that met one end it; 0 is taken for 1.
    FailAfter(u32),
}

/// Datagrams that answered nothing, by what they were. None of them ends, delays or hastens anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct Strays {
    /// They answer one of the latest eight requests before, or this one after its end: late or second copies.
    pub stale: u32,
    /// They are empty.
    pub empty: u32,
    /// They were cut, because they exceeded the receive buffer.
    pub truncated: u32,
    /// Anything else: malformed, forged, or somebody else's.
    pub foreign: u32,
}

impl Strays {
    /// Of all kinds.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.stale.saturating_add(self.empty).saturating_add(self.truncated).saturating_add(self.foreign)
    }
}

/// Whether the peer may have executed the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the caller's decision hangs on all three")]
pub enum Execution {
    /// It has not: no transmission left this host.
    NotSent,
    /// It has not, if the refusals are to be believed: every transmission met one. Those that may belong to earlier
    /// requests are not counted; ones that are forged, or that the network repeats, cannot be told.
    Refused,
    /// It may have, once or several times.
    Unknown,
}

impl<M: ReplyMatcher> Transaction<M> {
    /// An idle transaction; [`start`](Self::start) begins it.
    #[must_use]
    pub fn new(policy: RetryPolicy, matcher: M) -> Self {
        let mut exchange = Exchange::start(&policy, Timestamp::ZERO, 0);
        exchange.on_cancelled();
        Self {
            policy,
            matcher,
            budget: RetryBudget::unlimited(),
            on_unreachable: OnUnreachable::KeepTrying,
            exchange,
            requests: Requests::default(),
            timeline: Timeline::new(Timestamp::ZERO),
            started: Timestamp::ZERO,
            seed: 0,
            deadline: Timestamp::MAX,
            failure: None,
            doomed: None,
            round_trip: None,
            granted: false,
            withheld: 0,
            last_error: None,
            refused: 0,
            refusals: 0,
            unsettled: (0, Timestamp::ZERO),
            strays: Strays::default(),
            heard: false,
            answered: false,
            local_errors: 0,
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

    /// Begins a transaction that sends the same bytes every time. `seed` keys the jitter: take a fresh one for
    /// each transaction.
    pub fn start(&mut self, request: &[u8], now: Timestamp, seed: u64) {
        self.start_building(now, seed);
        self.build(|_, bytes| bytes.extend_from_slice(request));
    }

    /// Begins a transaction whose request is built anew for each transmission: call [`build`](Self::build) now and
    /// whenever [`next`](Self::next) asks for a transmission.
    pub fn start_building(&mut self, now: Timestamp, seed: u64) {
        self.withdraw_nothing();
        self.unsettled = self.left_unsettled(now);
        self.exchange = Exchange::start(&self.policy, now, seed);
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
        self.refused = 0;
        self.refusals = 0;
        self.strays = Strays::default();
        self.heard = false;
        self.answered = false;
        self.local_errors = 0;
    }

    /// Puts the beginning off to `now`, as long as nothing was sent. What it took to get ready then shortens no wait;
    /// it still counts as elapsed, and towards the caller's deadline.
    pub fn put_off(&mut self, now: Timestamp) {
        if self.exchange == Exchange::start(&self.policy, self.started, self.seed).end_by(self.deadline) {
            self.exchange = Exchange::start(&self.policy, now, self.seed).end_by(self.deadline);
        }
    }

    /// Ends the transaction at `deadline` at the latest, whatever the policy says.
    pub fn end_by(&mut self, deadline: Timestamp) {
        self.deadline = self.deadline.min(deadline);
        self.exchange = self.exchange.end_by(deadline);
    }

    /// Builds the request of the transmission that is due: `build` is given its number, from 1, and an empty
    /// buffer. The latest 16 requests are remembered, and a reply to any of them counts.
    pub fn build(&mut self, build: impl FnOnce(u32, &mut Vec<u8>)) {
        let request = self.requests.fresh();
        build(self.exchange.transmissions().saturating_add(1), request);
        self.matcher.stamp(request, Seed(self.seed).derive(IDS));
        if self.matcher.identity(request) == Identity::Missing {
            self.decide(Failure::Unmatchable);
        }
    }

    /// By what replies to the present request are told from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.matcher.identity(self.datagram())
    }

    /// The request as it is to be sent now.
    #[must_use]
    pub fn datagram(&self) -> &[u8] {
        self.requests.newest()
    }

    /// What to do at `now`. Asking again gives the same answer; a retransmission is asked of the budget once, and if
    /// that has nothing left, its slot passes and the listening goes on.
    pub fn next(&mut self, now: Timestamp) -> Next {
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
        match self.exchange.poll(now) {
            Action::Transmit if self.may_transmit() => Next::Transmit,
            Action::Transmit => {
                self.on_withheld(now);
                self.next(now)
            }
            Action::WaitUntil(until) => Next::WaitUntil(until),
            Action::Done => Next::Done,
            Action::GiveUp(reason) => Next::Failed(self.gave_up(reason)),
        }
    }

    /// The request was sent at `now`.
    pub fn on_transmitted(&mut self, now: Timestamp) {
        self.granted = false;
        self.exchange.on_transmitted(&self.policy, now);
        self.requests.on_transmitted(now);
        self.local_errors = 0;
        self.timeline.record(now, Event::Transmitted(self.exchange.transmissions()));
    }

    /// The system refused to send the request at `now`. "Too big" ends the transaction, because sending the same
    /// bytes later would fare no better; after anything else the next transmission may succeed.
    pub fn on_not_transmitted(&mut self, now: Timestamp, error: PathError) {
        self.withdraw_nothing();
        self.last_error = Some(error);
        self.timeline.record(now, Event::NotTransmitted(error));
        if let PathError::TooBig { limit } = error {
            self.decide(Failure::TooLarge { len: self.datagram().len(), limit });
        }
        self.exchange.on_not_transmitted(&self.policy, now, NotTransmitted::SendFailed);
    }

    /// The path reported at `now` an error of something that was sent before: news, not a verdict.
    pub fn on_path_error(&mut self, now: Timestamp, error: PathError) {
        self.timeline.record(now, Event::PathError(error));
        // Before the first transmission it is news of an earlier transaction.
        if self.transmissions() > 0 {
            self.last_error = Some(error);
        }
        if matches!(error, PathError::Refused | PathError::Unreachable) {
            // Each vouches for something that was sent before it came.
            let sent = self.transmissions().saturating_add(self.others());
            self.refusals = self.refusals.saturating_add(1).min(sent);
            self.refused = self.refused.saturating_add(1).min(self.exchange.transmissions());
            let kind = if error == PathError::Refused { Failure::Refused } else { Failure::Unreachable };
            if self.refused >= self.refusals_to_bear() {
                self.doomed.get_or_insert((now, kind));
            }
        }
        if matches!(error, PathError::Other(_) | PathError::Unsupported | PathError::NoBuffers) {
            self.local_errors = self.local_errors.saturating_add(1);
            if self.local_errors >= HOPELESS {
                self.decide(Failure::Local(error));
            }
        }
    }

    /// A datagram arrived at `now`; of its `actual` bytes these were received. Returns what it was taken for.
    pub fn on_datagram(&mut self, now: Timestamp, datagram: &[u8], actual: usize) -> Match {
        self.local_errors = 0;
        let (verdict, round_trip) = self.judge(now, datagram);
        match verdict {
            Match::Reply => {
                self.exchange.on_reply(now);
                self.doomed = None;
                self.budget.deposit();
                self.round_trip = round_trip;
                self.timeline.record(now, Event::Replied);
                if actual > datagram.len() {
                    self.failure = Some(Failure::Truncated { received: datagram.len(), actual });
                }
            }
            Match::Provisional(hold) => {
                self.exchange.on_provisional(&self.policy, now, hold);
                self.timeline.record(now, Event::Provisional);
            }
            Match::Foreign => {
                self.count_stray(datagram, actual);
                self.timeline.record(now, Event::Stray(actual));
            }
        }
        self.heard = true;
        self.answered |= verdict != Match::Foreign;
        verdict
    }

    /// The caller no longer wants the reply.
    pub fn on_cancelled(&mut self) {
        self.withdraw_nothing();
        self.exchange.on_cancelled();
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.exchange.transmissions()
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
            transmissions if self.refusals >= transmissions.saturating_add(self.others()) && !self.answered => {
                Execution::Refused
            }
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

    /// Transmissions of earlier requests whose refusals may be among those that were counted: none on a fresh port.
    fn others(&self) -> u32 {
        match self.identity() {
            Identity::Port => 0,
            Identity::Content | Identity::Missing => self.unsettled.0,
        }
    }

    /// What the next request, which starts at `now`, has to reckon with.
    fn left_unsettled(&self, now: Timestamp) -> (u32, Timestamp) {
        let (others, until) = self.unsettled;
        let until = if self.transmissions() > 0 { self.requests.sent_last().after(LIFETIME) } else { until };
        let settled = self.refusals.saturating_add(u32::from(self.answered));
        let open = others.saturating_add(self.transmissions()).saturating_sub(settled);
        (if now >= until { 0 } else { open }, until)
    }

    /// Fails, unless it is over for good already.
    fn decide(&mut self, failure: Failure) {
        let settled = matches!(self.exchange.poll(Timestamp::ZERO), Action::Done | Action::GiveUp(GiveUp::Cancelled));
        if self.failure.is_none() && !settled {
            self.failure = Some(failure);
        }
    }

    /// So many transmissions that were refused are the end.
    fn refusals_to_bear(&self) -> u32 {
        match self.on_unreachable {
            OnUnreachable::KeepTrying => u32::MAX,
            OnUnreachable::FailFast => 1,
            OnUnreachable::FailAfter(refusals) => refusals.max(1),
        }
    }

    /// The first transmission is free, and what was granted stays granted until it is used.
    fn may_transmit(&mut self) -> bool {
        self.granted = self.granted || self.transmissions() == 0 || self.budget.try_withdraw();
        self.granted
    }

    fn on_withheld(&mut self, now: Timestamp) {
        self.withheld = self.withheld.saturating_add(1);
        self.timeline.record(now, Event::Withheld);
        self.exchange.on_not_transmitted(&self.policy, now, NotTransmitted::OverBudget);
    }

    /// Gives back what was granted and not used.
    fn withdraw_nothing(&mut self) {
        if self.granted && self.transmissions() > 0 {
            self.budget.refund();
        }
        self.granted = false;
    }

    /// What the datagram is to any of the requests sent, and its round trip if only one transmission can be meant.
    fn judge(&self, now: Timestamp, datagram: &[u8]) -> (Match, Option<Duration>) {
        if self.is_over(now) {
            return (Match::Foreign, None);
        }
        let mut verdict = Match::Foreign;
        let mut round_trip = None;
        for sent in self.requests.sent() {
            match self.matcher.judge(&sent.bytes, datagram) {
                Match::Foreign => {}
                Match::Reply if verdict == Match::Reply => return (verdict, None),
                Match::Reply => {
                    verdict = Match::Reply;
                    round_trip = (sent.transmissions == 1).then(|| now.since(sent.at));
                }
                provisional if verdict == Match::Foreign => verdict = provisional,
                Match::Provisional(_) => {}
            }
        }
        (verdict, round_trip)
    }

    fn count_stray(&mut self, datagram: &[u8], actual: usize) {
        let answers = |request: &[u8]| self.matcher.judge(request, datagram) != Match::Foreign;
        let stale = self.requests.sent().any(|sent| answers(&sent.bytes)) || self.requests.past().any(answers);
        let Strays { stale: late, empty, truncated, foreign } = &mut self.strays;
        let count = match stale {
            true => late,
            false if actual == 0 => empty,
            false if actual > datagram.len() => truncated,
            false => foreign,
        };
        *count = count.saturating_add(1);
    }

    /// Whether not even a reply would change anything. One that comes after the last wait, but before the deadline,
    /// still would: the driver may have been late to look.
    fn is_over(&self, now: Timestamp) -> bool {
        match self.exchange.poll(now) {
            _ if self.failure.is_some() => true,
            Action::Done | Action::GiveUp(GiveUp::Cancelled) => true,
            Action::GiveUp(_) => now > self.exchange.deadline(),
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

/// The requests that a reply may answer, newest last in time; buffers are used again.
#[derive(Clone, Debug, Default)]
struct Requests {
    kept: Vec<Kept>,
    /// How many of `kept` belong to this transaction.
    len: usize,
    newest: usize,
    /// The latest of earlier transactions, to tell what is late from what is forged; empty where there was none.
    past: [Vec<u8>; PAST],
    next_past: usize,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    transmissions: u32,
    /// When it was sent last.
    at: Timestamp,
}

impl Requests {
    fn forget(&mut self) {
        let newest = self.kept.get_mut(self.newest).filter(|newest| self.len > 0 && newest.transmissions > 0);
        if let (Some(newest), Some(past)) = (newest, self.past.get_mut(self.next_past)) {
            core::mem::swap(&mut newest.bytes, past);
            self.next_past = (self.next_past + 1) % PAST;
        }
        (self.len, self.newest) = (0, 0);
    }

    fn past(&self) -> impl Iterator<Item = &[u8]> {
        self.past.iter().map(Vec::as_slice).filter(|past| !past.is_empty())
    }

    /// An empty buffer for a request; the oldest one goes if there are 16 already, one never sent goes at once.
    fn fresh(&mut self) -> &mut Vec<u8> {
        let unsent = self.len > 0 && self.kept.get(self.newest).is_some_and(|newest| newest.transmissions == 0);
        if !unsent {
            self.newest = if self.len == 0 { 0 } else { (self.newest + 1) % KEPT };
            self.len = self.len.max(self.newest + 1);
        }
        if self.kept.len() <= self.newest {
            self.kept.resize_with(self.newest + 1, Kept::default);
        }
        #[expect(clippy::indexing_slicing, reason = "grown to hold it just above")]
        let kept = &mut self.kept[self.newest];
        kept.bytes.clear();
        kept.transmissions = 0;
        &mut kept.bytes
    }

    fn on_transmitted(&mut self, now: Timestamp) {
        if let Some(newest) = self.kept.get_mut(self.newest) {
            newest.transmissions = newest.transmissions.saturating_add(1);
            newest.at = now;
            // All of them in the first transaction, so that none of the later ones allocates.
            for past in &mut self.past {
                if past.capacity() == 0 {
                    past.reserve(newest.bytes.len());
                }
            }
        }
    }

    fn sent_last(&self) -> Timestamp {
        self.sent().map(|kept| kept.at).max().unwrap_or_default()
    }

    fn newest(&self) -> &[u8] {
        self.kept.get(self.newest).filter(|_| self.len > 0).map_or(&[], |newest| &newest.bytes)
    }

    /// Only what was sent can have been answered.
    fn sent(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().take(self.len).filter(|kept| kept.transmissions > 0)
    }
}

/// How many different requests of one transaction a reply may answer.
const KEPT: usize = 16;
/// Requests of earlier transactions that are remembered.
const PAST: usize = 8;

/// This many errors in a row that are not about a datagram of ours: the socket itself is broken.
const HOPELESS: u32 = 16;
/// So long a datagram may be on its way: the maximum segment lifetime of RFC 9293.
const LIFETIME: Duration = Duration::from_secs(120);
/// The label of the draws of stamped ids among those of a transaction.
const IDS: u64 = 1;
