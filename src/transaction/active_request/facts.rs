//! What is reported to a request, and what it does to its schedule, its slot and its end.

use core::time::Duration;

use super::{ActiveRequest, Bytes, Stage};
use crate::policy::RetryPolicy;
use crate::time::{Ns, Timestamp};
use crate::transaction::conclusion::is_refusal;
use crate::transaction::destination::Terms;
use crate::transaction::grant::Granted;
use crate::transaction::path_state::PathState;
use crate::transaction::record::Record;
use crate::transaction::{Event, Failure, GiveUp, Hold, Identity, NotTransmitted};
use crate::transport::{PathError, PathIndex, Renewed};

impl ActiveRequest {
    /// The bytes of the slot that is due are there.
    #[inline]
    pub(in crate::transaction) fn on_built(&mut self, identity: Identity) {
        self.identity = identity;
        self.stage = Stage::Built;
        self.from_transmission |= self.bytes == Bytes::Rebuilt;
        if identity == Identity::Missing {
            self.conclusion.decide(Failure::Unmatchable);
        }
    }

    /// The request leaves from the port of the one before, unless its matcher needs a fresh one.
    #[cold]
    pub(in crate::transaction) fn keep_port(&mut self) {
        self.renewed |= self.identity != Identity::Port;
    }

    /// The port was renewed, or could not be: then a request that needs a fresh one fails as `without_port`.
    #[cold]
    pub(in crate::transaction) fn on_renewed(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        renewed: Result<Renewed, PathError>,
        without_port: Failure,
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
                self.conclusion.decide(without_port);
            }
            // Such as a route that is gone: it may be there again when the next slot is due.
            Err(error) if self.identity == Identity::Port => {
                self.not_transmitted(terms, path, now, error, record);
            }
            // Ids make up for it.
            Ok(Renewed::SamePort) => {
                path.on_same_port();
                self.renewed = true;
            }
            // What is wrong with the path, the send will report.
            Err(_) => self.renewed = true,
        }
    }

    /// What a send of this slot failed with, now that one went well: it was of something sent earlier.
    #[inline]
    pub(in crate::transaction) fn take_swallowed(&mut self) -> Option<PathError> {
        self.swallowed.take()
    }

    /// The request was sent at `now`.
    #[inline]
    pub(in crate::transaction) fn on_transmitted(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        if self.from_transmission {
            self.timer.shift_due(now);
        }
        self.end_wait(terms, path, now);
        let mut own = None;
        self.timer.on_transmitted(pace(self.first_wait, terms.policy(self.policy), &mut own), now);
        if self.granted.0 {
            terms.budget().spend();
        }
        path.on_transmitted(now);
        self.use_slot();
        let number = self.timer.transmissions();
        record.record(now, Event::Transmitted { path: PathIndex::FIRST, number });
    }

    /// The system did not send the request at `now`: `len` bytes, of which a copy has `left_once` if an earlier
    /// transmission had the same ones. Returns an error that was of something sent earlier.
    #[cold]
    pub(in crate::transaction) fn on_not_transmitted(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        error: PathError,
        unsent: Unsent,
        record: &mut impl Record,
    ) -> Option<PathError> {
        // A failure that differs from the one before, or is a refusal, was taken off the socket and concerns something
        // earlier; the same verdict twice in a row is the system's own.
        let taken_off = error == PathError::Refused || self.swallowed != Some(error);
        self.failed_sends = self.failed_sends.saturating_add(1);
        if taken_off && self.failed_sends <= MOST_REISSUES {
            return self.swallowed.replace(error);
        }
        if let (PathError::TooBig { limit }, false) = (error, unsent.left_once) {
            self.conclusion.decide(Failure::TooLarge { len: unsent.len, limit });
        }
        self.not_transmitted(terms, path, now, error, record);
        None
    }

    #[cold]
    fn not_transmitted(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        error: PathError,
        record: &mut impl Record,
    ) {
        self.swallowed = None;
        record.record(now, Event::NotTransmitted { path: PathIndex::FIRST, error });
        self.conclusion.on_not_transmitted(error, terms.on_unreachable());
        self.pass_slot(terms, path, now, NotTransmitted::SendFailed);
    }

    #[cold]
    pub(super) fn on_withheld(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        self.withheld = self.withheld.saturating_add(1);
        record.record(now, Event::Withheld);
        if terms.fails_over_budget() {
            self.conclusion.decide(Failure::TimedOut(GiveUp::OverBudget));
        }
        self.pass_slot(terms, path, now, NotTransmitted::OverBudget);
    }

    /// The reply arrived at `at`.
    #[inline]
    pub(in crate::transaction) fn on_reply(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        at: Timestamp,
        round_trip: Option<Ns>,
        record: &mut impl Record,
    ) {
        self.on_answered(terms, path, at, round_trip);
        self.timer.on_reply(at);
        self.conclusion.on_replied();
        record.record(at, Event::Replied { path: PathIndex::FIRST });
    }

    /// The reply arrived at `at`, and the caller's buffer was too small for it.
    #[cold]
    pub(in crate::transaction) fn on_truncated(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        at: Timestamp,
        round_trip: Option<Ns>,
        truncated: Failure,
    ) {
        self.on_answered(terms, path, at, round_trip);
        self.conclusion.decide(truncated);
    }

    #[inline]
    fn on_answered(&mut self, terms: &impl Terms, path: &mut PathState, at: Timestamp, round_trip: Option<Ns>) {
        terms.budget().deposit();
        // After a provisional answer the wait for the reply measures the server, not the path.
        if let Some(estimator) = path.estimator.as_ref().filter(|_| !self.conclusion.is_answered()) {
            estimator.on_reply(at, round_trip.map(Duration::from_nanos));
        }
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
    }

    /// A provisional answer arrived at `at`; it is the path's round trip (RFC 7252 §4.2: the acknowledgement ends the
    /// timer), the reply after it is not.
    #[cold]
    pub(in crate::transaction) fn on_provisional(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        at: Timestamp,
        hold: Hold,
        round_trip: Option<Ns>,
        record: &mut impl Record,
    ) {
        if let Some(estimator) = path.estimator.as_ref().filter(|_| !self.conclusion.is_answered()) {
            estimator.on_reply(at, round_trip.map(Duration::from_nanos));
        }
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
        let mut own = None;
        self.timer.on_provisional(pace(self.first_wait, terms.policy(self.policy), &mut own), at, hold);
        record.record(at, Event::Provisional { path: PathIndex::FIRST });
    }

    /// A datagram arrived at `at` that answers nothing.
    #[cold]
    pub(in crate::transaction) fn on_stray(&mut self, at: Timestamp) {
        self.conclusion.on_datagram();
        self.count_overdue(at);
    }

    /// The path reported at `now` an error of something sent earlier.
    #[cold]
    pub(in crate::transaction) fn on_path_error(
        &mut self,
        terms: &impl Terms,
        path: &mut PathState,
        now: Timestamp,
        error: PathError,
        whose: Whose,
        record: &mut impl Record,
    ) {
        record.record(now, Event::PathError { path: Some(PathIndex::FIRST), error });
        let transmissions = self.timer.transmissions();
        if transmissions > 0 && whose != Whose::Earlier {
            self.conclusion.note(error);
        }
        if is_refusal(error) && is_own(whose, path) {
            self.conclusion.on_refusal(error, transmissions, terms.on_unreachable());
        }
        self.count_overdue(now);
    }

    /// A datagram of its peer came for another request.
    #[inline]
    pub(in crate::transaction) fn on_sign_of_life(&mut self) {
        self.conclusion.on_datagram();
    }

    /// An error came that may be of this request, or of another one to its peer.
    #[cold]
    pub(in crate::transaction) fn on_error_nearby(&mut self, error: PathError) {
        if self.timer.transmissions() > 0 {
            self.conclusion.note(error);
        }
    }

    /// Nothing was queued at `now`.
    #[inline]
    pub(in crate::transaction) fn on_time_up(&mut self, now: Timestamp) {
        self.looked = self.looked.max(now);
        self.conclusion.on_looked();
    }

    pub(in crate::transaction) fn on_cancelled(&mut self, terms: &impl Terms) {
        self.timer.on_cancelled();
        // A front that drops its handle to the request may never ask again.
        self.release(terms);
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
    fn pass_slot(&mut self, terms: &impl Terms, path: &mut PathState, now: Timestamp, why: NotTransmitted) {
        self.end_wait(terms, path, now);
        let mut own = None;
        self.timer.on_not_transmitted(pace(self.first_wait, terms.policy(self.policy), &mut own), now, why);
        self.release(terms);
        self.use_slot();
    }

    #[inline]
    fn use_slot(&mut self) {
        self.granted = Granted(false);
        self.failed_sends = 0;
        self.overdue = 0;
        self.from_transmission = false;
        if self.bytes == Bytes::Rebuilt {
            self.stage = Stage::Unbuilt;
        }
    }

    /// A slot is due, or the end: the wait before it, if there was one, has brought nothing.
    #[inline]
    pub(super) fn end_wait(&mut self, terms: &impl Terms, path: &mut PathState, now: Timestamp) {
        let Some(estimator) = &path.estimator else { return };
        if let Some(slot) = self.timer.waited_slot() {
            if self.timer.transmissions() > 0 && !self.conclusion.is_answered() {
                let mut own = None;
                let policy = pace(self.first_wait, terms.policy(self.policy), &mut own);
                estimator.on_expiry(now, policy.backoff().interval(slot));
            }
        }
    }
}

/// Whose transmission an error of the path is of, as the bytes say that it quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::transaction) enum Whose {
    /// One of this request's, of which no error has come yet.
    Own,
    /// One of this request's, all copies of which have met one: the network repeats it, or someone forges it.
    Again,
    /// One of an earlier request.
    Earlier,
    /// It quotes nothing, or what both have in common.
    Unknown,
}

/// Whether a refusal counts for the request that is under way; if it does not, it may settle an earlier one.
fn is_own(whose: Whose, path: &mut PathState) -> bool {
    match whose {
        Whose::Own => true,
        Whose::Again => false,
        Whose::Earlier => {
            path.on_earlier_refused();
            false
        }
        // What was sent first is taken to be refused first.
        Whose::Unknown => !path.on_earlier_refused(),
    }
}

/// What a send that failed would have sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::transaction) struct Unsent {
    pub(in crate::transaction) len: u32,
    pub(in crate::transaction) left_once: bool,
}

/// The policy with this request's own first wait.
#[inline]
pub(in crate::transaction) fn pace<'p>(
    first_wait: Ns,
    policy: &'p RetryPolicy,
    own: &'p mut Option<RetryPolicy>,
) -> &'p RetryPolicy {
    if policy.backoff().initial_ns() == first_wait {
        return policy;
    }
    own.insert(policy.starting_at(Duration::from_nanos(first_wait)))
}

/// The first failed send of a slot may be an earlier datagram's, and so may those that differ from it.
const MOST_REISSUES: u8 = 8;
/// What is read at most once the time has come, before the queue is taken for empty.
const MOST_OVERDUE: u8 = 64;
