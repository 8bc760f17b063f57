use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::active_request::{ActiveRequest, Bytes, Unsent};
use super::destination::{Destination, PolicyIndex};
use super::path_state::PathState;
use super::record::{Book, Record};
use super::requests::Requests;
use super::stamping::Stamping;
use super::{Event, Execution, Failure, Identity, Match, Next, ReplyMatcher, Request, RequestError, Strays, Timeline};
use crate::entropy::Seed;
use crate::policy::{RetryPolicy, RttEstimator};
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
/// transaction.on_datagram(later, b"id 6 late", 9); // a stray changes nothing
/// transaction.on_datagram(later, b"id 7 pong", 9);
/// assert_eq!(transaction.next(later), Next::Done);
/// assert_eq!(transaction.round_trip(), Some(Duration::from_millis(3)));
/// ```
#[derive(Clone, Debug)]
pub struct Transaction<M> {
    pub(super) destination: Destination<M>,
    pub(super) path: PathState,
    pub(super) active: ActiveRequest,
    pub(super) requests: Requests,
    pub(super) book: Book,
    pub(super) strays: Strays,
    pub(super) round_trip: Option<Ns>,
    /// Bytes of the reply in the buffer that it was reported from.
    pub(super) reply_len: usize,
    /// Whom errors name.
    pub(super) peer: Option<SocketAddr>,
    pub(super) stamping: Stamping,
}

impl<M: ReplyMatcher> Transaction<M> {
    /// An idle transaction; [`start`](Self::start) begins it.
    #[must_use]
    pub fn new(policy: RetryPolicy, matcher: M) -> Self {
        let stamping = Stamping::asked_for(matcher.stamps());
        Self {
            destination: Destination::new(policy, matcher),
            path: PathState::default(),
            active: ActiveRequest::idle(),
            requests: Requests::default(),
            book: Book { timeline: Timeline::new(Timestamp::ZERO), observer: None },
            strays: Strays::default(),
            round_trip: None,
            reply_len: 0,
            peer: None,
            stamping,
        }
    }

    /// Begins a request that sends the same bytes every time. `seed` keys the jitter: take a fresh one for each.
    #[inline]
    pub fn start<'r>(&mut self, request: impl Into<Request<'r>>, now: Timestamp, seed: Seed) {
        let request = request.into();
        self.begin(&request, now, seed, Bytes::Given);
        self.build_now(|_, bytes| bytes.extend_from_slice(request.bytes()));
    }

    /// Begins a request that is built anew for each transmission, when [`next`](Self::next) asks for it.
    #[inline]
    pub fn start_building(&mut self, now: Timestamp, seed: Seed) {
        self.begin(&Request::new(&[]), now, seed, Bytes::Rebuilt);
    }

    #[inline]
    fn begin(&mut self, request: &Request<'_>, now: Timestamp, seed: Seed, bytes: Bytes) {
        self.active.abandon(&self.destination, &mut self.path);
        let policy = request.own_policy().map_or(PolicyIndex::default(), |own| self.destination.adopt(own));
        let deadline = match (request.own_deadline(), self.destination.deadline) {
            (None, None) => Timestamp::MAX,
            (Some(only), None) | (None, Some(only)) => now.after(only),
            (Some(own), Some(given)) => now.after(own.min(given)),
        };
        self.active = ActiveRequest::start(&self.destination, &mut self.path, policy, now, deadline, seed, bytes);
        if self.stamping.is_stamped() {
            let sent = self.requests.newest_has_left().then(|| self.requests.newest());
            self.stamping.retire(&self.destination.matcher, sent, now);
        }
        self.requests.forget();
        self.book.timeline.restart(now);
        self.strays = Strays::default();
        self.round_trip = None;
    }

    /// Ends the request at `deadline` at the latest, whatever the policy says.
    pub fn end_by(&mut self, deadline: Timestamp) {
        self.active.end_by(deadline);
    }

    /// What to do at `now`. Asking again gives the same answer; a retransmission is asked of the budget once, and if
    /// that has nothing left, its slot passes and the listening goes on.
    #[inline]
    pub fn next(&mut self, now: Timestamp) -> Next {
        self.active.next(&self.destination, &mut self.path, now, &mut self.book)
    }

    /// Builds the request of the transmission that is due: `build` is given its number, from 1, and an empty
    /// buffer. The latest 16 requests are remembered, and a reply to any of them counts.
    #[inline]
    pub fn build(&mut self, build: impl FnOnce(u32, &mut Vec<u8>)) {
        if self.active.is_open() {
            self.build_now(build);
        }
    }

    #[inline]
    fn build_now(&mut self, build: impl FnOnce(u32, &mut Vec<u8>)) {
        let Self { active, path, requests, destination, stamping, book, .. } = self;
        build(active.transmissions().saturating_add(1), requests.fresh());
        let matcher = &destination.matcher;
        let stamped =
            if stamping.is_asked_for { stamping.stamp(matcher, requests, book.timeline.start()) } else { None };
        let identity = stamped.unwrap_or_else(|| matcher.identity(requests.newest()));
        requests.on_built();
        active.on_built(identity);
        if path.is_renewal_due() && requests.repeats_last() {
            // Servers tell the duplicates of a request by the port that they come from.
            active.keep_port();
        }
    }

    /// By what replies to the present request are told from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.active.identity()
    }

    /// The request as it is to be sent now.
    #[must_use]
    #[inline]
    pub fn datagram(&self) -> &[u8] {
        self.requests.newest()
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
            Incoming::Datagram(Received { len, actual, at, .. }) => {
                self.on_datagram(at, buffer.get(..len).unwrap_or(buffer), actual);
            }
            Incoming::TimeUp(at) => self.on_time_up(at),
            Incoming::PathError { error, quoted, .. } => {
                self.on_quoted_error(now, error, buffer.get(..quoted).unwrap_or(buffer));
            }
            Incoming::Cancelled => self.on_cancelled(),
        }
    }

    /// How the renewal of a path went, at `now`.
    pub fn on_renewed(&mut self, now: Timestamp, path: PathIndex, renewed: Result<Renewed, PathError>) {
        let _only_one = path;
        if !self.active.is_open() {
            return;
        }
        if renewed == Ok(Renewed::FreshPort) {
            self.stamping.on_fresh_port();
        }
        let without_port = match self.stamping.all_resting() {
            Some(until) => Failure::IdsResting { until },
            None => Failure::NoFreshPort,
        };
        self.active.on_renewed(&self.destination, &mut self.path, now, renewed, without_port, &mut self.book);
    }

    /// The request was sent at `now`.
    #[inline]
    pub fn on_transmitted(&mut self, now: Timestamp) {
        if !self.active.is_open() {
            return;
        }
        if let Some(swallowed) = self.active.take_swallowed() {
            self.on_earlier_error(now, swallowed);
        }
        self.active.on_transmitted(&self.destination, &mut self.path, now, &mut self.book);
        self.requests.on_transmitted(now);
    }

    /// The system refused to send the request at `now`. The first such error of a slot may be an earlier datagram's:
    /// `next` asks for the same bytes once more. "Too big" ends the request, unless the same bytes have left before.
    #[cold]
    pub fn on_not_transmitted(&mut self, now: Timestamp, error: PathError) {
        if !self.active.is_open() {
            return;
        }
        let len = u32::try_from(self.requests.newest().len()).unwrap_or(u32::MAX);
        let unsent = Unsent { len, left_once: self.requests.newest_has_left() };
        let earlier =
            self.active.on_not_transmitted(&self.destination, &mut self.path, now, error, unsent, &mut self.book);
        if let Some(earlier) = earlier {
            self.on_earlier_error(now, earlier);
        }
    }

    /// A datagram arrived at `at`; of its `actual` bytes these were received. Returns what it was taken for.
    #[inline]
    pub fn on_datagram(&mut self, at: Timestamp, datagram: &[u8], actual: usize) -> Match {
        let (verdict, sent_at) = match self.active.accepts(at) {
            true => self.requests.judge(&self.destination.matcher, datagram),
            false => (Match::Foreign, None),
        };
        // A time of arrival that is only a bound is no measurement.
        let round_trip = sent_at.filter(|_| !self.active.is_overdue(at)).map(|sent_at| at.since_ns(sent_at));
        match verdict {
            Match::Reply => self.on_reply(at, datagram.len(), actual, round_trip),
            Match::Provisional(hold) => {
                if !self.active.is_answered() {
                    self.round_trip = round_trip;
                }
                self.active.on_provisional(&self.destination, &mut self.path, at, hold, round_trip, &mut self.book);
            }
            Match::Foreign => self.on_stray(at, datagram, actual),
        }
        verdict
    }

    #[inline]
    fn on_reply(&mut self, at: Timestamp, len: usize, actual: usize, round_trip: Option<Ns>) {
        if !self.active.is_answered() {
            self.round_trip = round_trip;
        }
        self.reply_len = len;
        if actual > len {
            self.active.on_truncated(
                &self.destination,
                &mut self.path,
                at,
                round_trip,
                Failure::truncated(len, actual),
            );
        } else {
            self.active.on_reply(&self.destination, &mut self.path, at, round_trip, &mut self.book);
        }
    }

    #[cold]
    fn on_stray(&mut self, at: Timestamp, datagram: &[u8], actual: usize) {
        let kind = self.requests.stray(&self.destination.matcher, datagram, actual);
        self.strays.add(kind);
        if self.active.is_open() {
            let len = u32::try_from(actual).unwrap_or(u32::MAX);
            self.book.record(at, Event::Stray { path: PathIndex::FIRST, kind, len });
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

    // What came of it.

    /// Bytes of the reply, at the start of the buffer that it was reported from; valid once `next` says `Done`.
    #[must_use]
    #[inline]
    pub fn reply_len(&self) -> usize {
        self.reply_len
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.active.transmissions()
    }

    /// How many transmissions the budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.active.withheld()
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        Duration::from_nanos(self.elapsed_ns(now))
    }

    #[inline]
    pub(crate) fn elapsed_ns(&self, now: Timestamp) -> Ns {
        now.since_ns(self.book.timeline.start())
    }

    /// From transmission to the first answer, if that cannot belong to another transmission (Karn, RFC 6298 §3), and if
    /// it was read in time to be a measurement.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from_nanos)
    }

    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn round_trip_ns(&self) -> Option<Ns> {
        self.round_trip
    }

    /// Whether the peer may have executed the request.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.active.execution()
    }

    /// What arrived and answered nothing.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// What the system reported last, if it reported anything.
    #[must_use]
    pub fn last_error(&self) -> Option<PathError> {
        self.active.last_error()
    }

    /// What happened so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.book.timeline
    }

    /// The timeout that the path calls for, if it is measured.
    #[must_use]
    pub fn estimator(&self) -> Option<&RttEstimator> {
        self.path.estimator.as_ref()
    }

    /// Who is asked, if the front has said so.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The error to hand to the caller of a front: `failure` is what [`next`](Self::next) said at `now`.
    #[must_use]
    pub fn error(&self, failure: Failure, now: Timestamp) -> RequestError {
        RequestError::new(failure, self, now)
    }
}
