use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::active_request::{ActiveRequest, Answer, Bytes, Unsent};
use super::destination::{Destination, PolicyIndex};
use super::enveloping::Enveloping;
use super::outbox::Outbox;
use super::reach::{Reach, routed};
use super::record::{Book, Record};
use super::{BuildFor, Event, Failure, Identity, Match, Next, ReplyMatcher, Request, Stray, Strays, Timeline};
use crate::entropy::Seed;
use crate::envelope::ReplyHeader;
use crate::policy::RetryPolicy;
use crate::time::{Ns, Timestamp};
use crate::transport::{Incoming, PathError, PathIndex, Received, Renewed};

/// One request after the other to one peer, without a socket or a clock: a [`RetryTimer`](super::RetryTimer), a
/// [`ReplyMatcher`], the requests that were sent, a [`RetryBudget`](crate::policy::RetryBudget) and the [`Timeline`] of what happened.
///
/// Every front drives it the same way: ask [`next`](Self::next), do that, report through `on_…`; nothing else needs to
/// be known. It can be started again and again; after the first time that allocates nothing.
///
/// ```text
///        start ─▶ Build ─▶ Renew ─▶ Transmit ─▶ WaitUntil ─▶ Done, Failed
///                   ▲        (as needed)            │
///                   └───────── next slot ◀──────────┘
/// ```
///
/// - Asking again changes nothing, and no order of calls is wrong. After any fact `next` asks for one act, names a later
///   time, or names one that has come until [`on_time_up`](Self::on_time_up) reports that nothing was queued then: look,
///   do not wait.
/// - A send that fails is asked for once more, with the same bytes: the error may be an earlier datagram's.
/// - An answer `Done` or `Failed` stays, whatever is reported after it.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::time::Timestamp;
/// use udp_retry::transaction::{Next, Transaction};
/// use udp_retry::transport::PathIndex;
/// use udp_retry::{RetryPolicy, Seed, transaction_id};
///
/// let now = Timestamp::ZERO;
/// let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
/// transaction.start(b"id 7 ping", now, Seed::new(42));
/// assert_eq!(transaction.next(now), Next::Transmit(PathIndex::FIRST));
/// transaction.on_transmitted(now);
///
/// let later = now.after(Duration::from_millis(3));
/// transaction.on_datagram(later, PathIndex::FIRST, b"id 6 late", 9); // a stray changes nothing
/// transaction.on_datagram(later, PathIndex::FIRST, b"id 7 pong", 9);
/// assert_eq!(transaction.next(later), Next::Done);
/// assert_eq!(transaction.round_trip(), Some(Duration::from_millis(3)));
/// ```
#[derive(Clone, Debug)]
pub struct Transaction<M> {
    pub(super) destination: Destination<M>,
    pub(super) reach: Reach,
    pub(super) active: ActiveRequest,
    pub(super) outbox: Outbox,
    pub(super) book: Book,
    pub(super) strays: Strays,
    pub(super) round_trip: Option<Ns>,
    /// What is said beside requests and replies, if anything is.
    pub(super) envelope: Option<Box<Enveloping>>,
    /// Bytes of the reply in the buffer that it was reported from.
    pub(super) reply_len: usize,
    pub(super) reply_path: PathIndex,
    /// Whom errors name.
    pub(super) peer: Option<SocketAddr>,
}

impl<M: ReplyMatcher> Transaction<M> {
    /// An idle transaction; [`start`](Self::start) begins it.
    #[must_use]
    pub fn new(policy: RetryPolicy, matcher: M) -> Self {
        let outbox = Outbox::new(matcher.stamps());
        Self {
            destination: Destination::new(policy, matcher),
            reach: Reach::one(),
            active: ActiveRequest::idle(),
            outbox,
            book: Book { timeline: Timeline::new(Timestamp::ZERO), observer: None },
            strays: Strays::default(),
            round_trip: None,
            envelope: None,
            reply_len: 0,
            reply_path: PathIndex::FIRST,
            peer: None,
        }
    }

    /// Begins a request that sends the same bytes every time. `seed` keys the jitter: take a fresh one for each.
    #[inline]
    pub fn start<'r>(&mut self, request: impl Into<Request<'r>>, now: Timestamp, seed: Seed) {
        let request = request.into();
        if self.reach.is_several() {
            // A copy, so that the request itself need not be in memory.
            return self.start_for_one_of(&Request::from(&request), now, seed);
        }
        self.begin(&request, now, seed, Bytes::Given);
        self.build_at(PathIndex::FIRST, |bytes| bytes.extend_from_slice(request.bytes()));
    }

    /// Begins a request that is built anew for each transmission, when [`next`](Self::next) asks for it.
    #[inline]
    pub fn start_building(&mut self, now: Timestamp, seed: Seed) {
        let request = Request::new(&[]);
        match self.reach.is_several() {
            true => self.begin_for_one_of(&request, now, seed, Bytes::Rebuilt),
            false => self.begin(&request, now, seed, Bytes::Rebuilt),
        }
    }

    #[inline]
    fn begin(&mut self, request: &Request<'_>, now: Timestamp, seed: Seed, bytes: Bytes) {
        self.active.abandon(&self.destination, &mut self.reach.only);
        let (policy, deadline) = self.plan(request, now);
        self.active = ActiveRequest::start(&self.destination, &mut self.reach.only, policy, now, deadline, seed, bytes);
        self.outbox.first().begin(&self.destination.matcher, now);
        self.forget(now);
    }

    /// What holds for a request: its policy, and when it ends at the latest.
    #[inline]
    pub(super) fn plan(&mut self, request: &Request<'_>, now: Timestamp) -> (PolicyIndex, Timestamp) {
        let policy = request.own_policy().map_or(PolicyIndex::default(), |own| self.destination.adopt(own));
        let deadline = match (request.own_deadline(), self.destination.deadline) {
            (None, None) => Timestamp::MAX,
            (Some(only), None) | (None, Some(only)) => now.after(only),
            (Some(own), Some(given)) => now.after(own.min(given)),
        };
        (policy, deadline)
    }

    /// What the request before has left.
    #[inline]
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.book.timeline.restart(now);
        self.strays = Strays::default();
        self.round_trip = None;
        if let Some(envelope) = &mut self.envelope {
            envelope.begin();
        }
    }

    /// Ends the request at `deadline` at the latest, whatever the policy says.
    pub fn end_by(&mut self, deadline: Timestamp) {
        self.active.end_by(deadline);
    }

    /// What to do at `now`. Asking again gives the same answer; a retransmission is asked of the budget once, and if
    /// that has nothing left, its slot passes and the listening goes on.
    #[inline]
    pub fn next(&mut self, now: Timestamp) -> Next {
        let next = match self.reach.is_several() {
            false => self.active.next(&self.destination, &mut self.reach.only, now, &mut self.book),
            true => self.next_of_several(now),
        };
        if let (Some(_), Next::Transmit(path)) = (&self.envelope, next) {
            self.seal(path, now);
        }
        next
    }

    /// Builds the request of the transmission that is due: `build` is given what it is for, and an empty buffer. The latest 16
    /// requests on each path are remembered, and a reply to any of them counts.
    #[inline]
    pub fn build(&mut self, build: impl FnOnce(BuildFor, &mut Vec<u8>)) {
        if self.active.is_open() {
            let path = self.reach.named();
            let transmission = self.active.transmissions().saturating_add(1);
            let purpose = BuildFor { transmission, path, at_most: None };
            self.build_at(path, |bytes| build(purpose, bytes));
        }
    }

    #[inline]
    fn build_at(&mut self, path: PathIndex, build: impl FnOnce(&mut Vec<u8>)) {
        let began = self.book.timeline.start();
        let identity = self.outbox.build(&self.destination.matcher, path, began, build);
        self.on_built(path, identity);
    }

    #[inline]
    pub(super) fn on_built(&mut self, path: PathIndex, identity: Identity) {
        self.active.on_built(identity);
        if self.reach.is_renewal_due(path) && self.outbox.lane(path).is_some_and(|lane| lane.requests.repeats_last()) {
            // Servers tell the duplicates of a request by the port that they come from.
            self.active.keep_port();
        }
    }

    /// By what replies to the present request are told from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.active.identity()
    }

    /// The request as it is to be sent now, on the path that [`next`](Self::next) has named.
    #[must_use]
    #[inline]
    pub fn datagram(&self) -> &[u8] {
        match (&self.envelope, self.reach.is_several()) {
            (Some(envelope), _) => envelope.datagram(),
            (None, false) => self.outbox.only().requests.newest(),
            (None, true) => self.datagram_to_one(),
        }
    }

    // Facts: in short, `on_sent` and `on_incoming`.

    /// How [`Transport::send`](crate::transport::Transport::send) of [`datagram`](Self::datagram) went.
    #[inline]
    pub fn on_sent(&mut self, now: Timestamp, sent: Result<(), PathError>) {
        match sent {
            Ok(()) => self.on_transmitted(now),
            Err(error) => self.on_not_transmitted(now, error),
        }
    }

    /// What [`Transport::recv`](crate::transport::Transport::recv) into `buffer` came to; `now` is the time that came
    /// with it, or the present one.
    #[inline]
    pub fn on_incoming(&mut self, now: Timestamp, incoming: Incoming<PathIndex>, buffer: &[u8]) {
        match incoming {
            Incoming::Datagram(Received { from, len, actual, at }) => {
                self.on_datagram(at, from, buffer.get(..len).unwrap_or(buffer), actual);
            }
            Incoming::TimeUp(at) => self.on_time_up(at),
            Incoming::PathError { path, error, quoted } => {
                self.on_quoted_error(now, path, error, buffer.get(..quoted).unwrap_or(buffer));
            }
            Incoming::Cancelled => self.on_cancelled(),
        }
    }

    /// How the renewal of a path went, at `now`.
    pub fn on_renewed(&mut self, now: Timestamp, path: PathIndex, renewed: Result<Renewed, PathError>) {
        if !self.active.is_open() {
            return;
        }
        let Some(lane) = self.outbox.lane_mut(path) else { return };
        if renewed == Ok(Renewed::FreshPort) {
            lane.on_fresh_port();
        }
        let without_port = match lane.all_resting() {
            Some(until) => Failure::IdsResting { until },
            None => Failure::NoFreshPort,
        };
        let Self { active, destination, book, .. } = self;
        routed!(self, routing => active.on_renewed(destination, routing, now, renewed, without_port, book));
    }

    /// The request was sent at `now`, on the path that [`next`](Self::next) has named.
    #[inline]
    pub fn on_transmitted(&mut self, now: Timestamp) {
        if !self.active.is_open() {
            return;
        }
        if let Some(swallowed) = self.active.take_swallowed() {
            self.on_earlier_error(now, swallowed);
        }
        if let Some(envelope) = &mut self.envelope {
            envelope.on_transmitted(self.reach.named(), self.active.transmissions().saturating_add(1), now);
        }
        if self.reach.is_several() {
            return self.on_transmitted_to_one(now);
        }
        self.active.on_transmitted(&self.destination, &mut self.reach.only, now, &mut self.book);
        self.outbox.first().requests.on_transmitted(now);
    }

    /// The system refused to send the request at `now`, on the path that [`next`](Self::next) has named. The first such error
    /// of a slot may be an earlier datagram's: `next` asks for the same bytes once more. "Too big" ends the request, unless
    /// the same bytes have left before.
    #[cold]
    pub fn on_not_transmitted(&mut self, now: Timestamp, error: PathError) {
        if !self.active.is_open() {
            return;
        }
        let path = self.reach.named();
        self.reach.report(path, |report| report.last_error = Some(error));
        let len = u32::try_from(self.datagram().len()).unwrap_or(u32::MAX);
        let left_once = self.outbox.lane(path).is_some_and(|lane| lane.requests.newest_has_left());
        let unsent = Unsent { len, left_once };
        let Self { active, destination, book, .. } = self;
        let earlier =
            routed!(self, routing => active.on_not_transmitted(destination, routing, now, error, unsent, book));
        if let Some(earlier) = earlier {
            self.on_earlier_error(now, earlier);
        }
    }

    /// A datagram arrived at `at` on a path; of its `actual` bytes these were received. Returns what it was taken for.
    #[inline]
    pub fn on_datagram(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8], actual: usize) -> Match {
        match self.envelope {
            None => self.on_payload(at, path, datagram, actual, None),
            Some(_) => self.on_enveloped(at, path, datagram, actual),
        }
    }

    /// A payload arrived, after this header where there are envelopes.
    #[inline]
    pub(super) fn on_payload(
        &mut self,
        at: Timestamp,
        path: PathIndex,
        payload: &[u8],
        actual: usize,
        header: Option<&ReplyHeader>,
    ) -> Match {
        if self.reach.is_several() {
            return self.on_payload_of_one(at, path, payload, actual, header);
        }
        let (verdict, by_bytes) = match self.active.accepts(at) {
            true => self.outbox.first().requests.judge(&self.destination.matcher, payload),
            false => (Match::Foreign, None),
        };
        let sent_at = self.sent_at(path, header, by_bytes);
        // A time of arrival that is only a bound is no measurement.
        let round_trip = sent_at.filter(|_| !self.active.is_overdue(at)).map(|sent_at| at.since_ns(sent_at));
        let answer = Answer { at, path: PathIndex::FIRST, round_trip };
        match verdict {
            Match::Reply => self.on_reply(answer, payload.len(), actual),
            Match::Provisional(hold) => {
                if !self.active.is_answered() {
                    self.round_trip = round_trip;
                }
                let Self { active, destination, reach, book, .. } = self;
                active.on_provisional(destination, &mut reach.only, answer, hold, book);
            }
            Match::Foreign => _ = self.on_stray(at, PathIndex::FIRST, payload, actual),
        }
        verdict
    }

    #[inline]
    fn on_reply(&mut self, answer: Answer, len: usize, actual: usize) {
        if !self.active.is_answered() {
            self.round_trip = answer.round_trip;
        }
        self.reply_len = len;
        let Self { active, destination, reach, book, .. } = self;
        if actual > len {
            active.on_truncated(destination, &mut reach.only, answer, Failure::truncated(len, actual));
        } else {
            active.on_reply(destination, &mut reach.only, answer, book);
        }
    }

    #[cold]
    pub(super) fn on_stray(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8], actual: usize) -> Stray {
        let kind = match self.outbox.lane(path) {
            Some(lane) => lane.requests.stray(&self.destination.matcher, datagram, actual),
            None => Stray::Foreign,
        };
        self.add_stray(at, path, kind, actual);
        kind
    }

    #[cold]
    pub(super) fn add_stray(&mut self, at: Timestamp, path: PathIndex, kind: Stray, actual: usize) {
        self.strays.add(kind);
        if self.active.is_open() {
            let len = u32::try_from(actual).unwrap_or(u32::MAX);
            self.book.record(at, Event::Stray { path, kind, len });
            self.active.on_stray(at);
        }
    }

    /// Nothing was queued at `now`: a wait that has ended by then has brought nothing.
    #[inline]
    pub fn on_time_up(&mut self, now: Timestamp) {
        if self.active.is_open() {
            self.active.on_time_up(now);
        }
    }

    /// The caller no longer wants the reply.
    pub fn on_cancelled(&mut self) {
        if self.active.is_open() {
            self.active.on_cancelled(&self.destination);
        }
    }
}
