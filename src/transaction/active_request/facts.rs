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
use crate::transaction::routing::Routing;
use crate::transaction::{Event, Failure, GiveUp, Identity, NotTransmitted, OnUnreachable};
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
        routing: &mut impl Routing,
        now: Timestamp,
        renewed: Result<Renewed, PathError>,
        without_port: Failure,
        record: &mut impl Record,
    ) {
        let path = routing.target();
        // The first wait begins when the request leaves; later slots keep to their grid.
        self.from_transmission |= self.timer.transmissions() == 0;
        match renewed {
            Ok(Renewed::FreshPort) => {
                if let Some(state) = routing.state(path) {
                    state.on_fresh_port();
                }
                self.renewed = true;
            }
            // Another path may have a port to give.
            Ok(Renewed::SamePort) | Err(PathError::Unsupported)
                if self.identity == Identity::Port && routing.has_alternative() =>
            {
                self.not_transmitted(terms, routing, now, PathError::Unsupported, record);
            }
            // Without ids, replies to earlier requests could not be told from this one's.
            Ok(Renewed::SamePort) | Err(PathError::Unsupported) if self.identity == Identity::Port => {
                self.conclusion.decide(without_port);
            }
            // Such as a route that is gone: it may be there again when the next slot is due.
            Err(error) if self.identity == Identity::Port => {
                self.not_transmitted(terms, routing, now, error, record);
            }
            // Ids make up for it.
            Ok(Renewed::SamePort) => {
                if let Some(state) = routing.state(path) {
                    state.on_same_port();
                }
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
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        let path = routing.target();
        if self.from_transmission {
            self.timer.shift_due(now);
        }
        if routing.is_several() {
            if routing.extra().is_none() {
                self.end_wait(terms, routing, now);
            }
            self.on_sent_to_one(terms, routing, now);
        } else {
            self.end_wait(terms, routing, now);
            let mut own = None;
            self.timer.on_transmitted(pace(self.first_wait, terms.policy(self.policy), &mut own), now);
            let _slot_holds = routing.on_slot_sent(now, 0);
        }
        if self.granted.0 {
            terms.budget().spend();
        }
        self.use_slot();
        self.renewed &= !routing.is_several();
        let number = self.timer.transmissions();
        record.record(now, Event::Transmitted { path, number });
    }

    /// The system did not send the request at `now`: `len` bytes, of which a copy has `left_once` if an earlier
    /// transmission had the same ones. Returns an error that was of something sent earlier.
    #[cold]
    pub(in crate::transaction) fn on_not_transmitted(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
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
        self.not_transmitted(terms, routing, now, error, record);
        None
    }

    #[cold]
    pub(super) fn not_transmitted(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        error: PathError,
        record: &mut impl Record,
    ) {
        self.swallowed = None;
        record.record(now, Event::NotTransmitted { path: routing.target(), error });
        if routing.extra().is_some() {
            self.conclusion.note(error);
            routing.on_extra_unsent(now, error);
            return self.leave_slot(terms, routing);
        }
        self.end_wait(terms, routing, now);
        let hop = routing.on_slot_unsent(now, error);
        self.conclusion.on_not_transmitted(error, rule(terms, routing));
        match hop {
            Some(wait) => {
                self.timer.hop(wait, now);
                self.leave_slot(terms, routing);
            }
            None => self.pass_slot(terms, routing, now, NotTransmitted::SendFailed),
        }
    }

    #[cold]
    pub(super) fn on_withheld(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        self.withheld = self.withheld.saturating_add(1);
        record.record(now, Event::Withheld);
        if terms.fails_over_budget() {
            self.conclusion.decide(Failure::TimedOut(GiveUp::OverBudget));
        }
        self.end_wait(terms, routing, now);
        self.pass_slot(terms, routing, now, NotTransmitted::OverBudget);
    }

    /// A datagram arrived at `at` that answers nothing.
    #[cold]
    pub(in crate::transaction) fn on_stray(&mut self, at: Timestamp) {
        self.conclusion.on_datagram();
        self.count_overdue(at);
    }

    /// A path reported at `now` an error of something sent earlier.
    #[cold]
    pub(in crate::transaction) fn on_path_error(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        reported: Reported,
        record: &mut impl Record,
    ) {
        let Reported { path, error, whose } = reported;
        record.record(now, Event::PathError { path, error });
        let transmissions = self.timer.transmissions();
        if transmissions > 0 && whose != Whose::Earlier {
            self.conclusion.note(error);
        }
        if let Some(path) = path.filter(|&path| is_refusal(error) && is_own(whose, routing, path)) {
            if routing.on_own_error(now, path, error) {
                self.timer.hasten(now);
            }
            self.conclusion.on_refusal(error, transmissions, rule(terms, routing));
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
    pub(super) fn pass_slot(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        why: NotTransmitted,
    ) {
        let mut own = None;
        self.timer.on_not_transmitted(pace(self.first_wait, terms.policy(self.policy), &mut own), now, why);
        routing.on_slot_passed();
        self.leave_slot(terms, routing);
    }

    /// What was made ready for a transmission that does not leave is of no use for the next.
    pub(super) fn leave_slot(&mut self, terms: &impl Terms, routing: &mut impl Routing) {
        self.release(terms);
        self.use_slot();
        self.renewed &= !routing.is_several();
    }

    #[inline]
    fn use_slot(&mut self) {
        self.granted = Granted(false);
        self.failed_sends = 0;
        self.overdue = 0;
        self.from_transmission = false;
        self.is_repeat = false;
        if self.bytes != Bytes::Given {
            self.stage = Stage::Unbuilt;
        }
    }

    /// A slot is due, or the end: the wait before it, if there was one, has brought nothing.
    #[inline]
    pub(super) fn end_wait(&mut self, terms: &impl Terms, routing: &mut impl Routing, now: Timestamp) {
        if routing.is_hopping() || self.is_repeat {
            return;
        }
        let Some(estimator) = routing.estimator() else { return };
        if let Some(slot) = self.timer.waited_slot() {
            if self.timer.transmissions() > 0 && !self.conclusion.is_answered() {
                let mut own = None;
                let policy = pace(self.first_wait, terms.policy(self.policy), &mut own);
                estimator.on_expiry(now, policy.backoff().interval(slot));
            }
        }
    }
}

/// An error of something sent earlier: on which path, if that is known.
#[derive(Clone, Copy, Debug)]
pub(in crate::transaction) struct Reported {
    pub(in crate::transaction) path: Option<PathIndex>,
    pub(in crate::transaction) error: PathError,
    pub(in crate::transaction) whose: Whose,
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
fn is_own(whose: Whose, routing: &mut impl Routing, path: PathIndex) -> bool {
    let mut settles_earlier = || routing.state(path).is_some_and(PathState::on_earlier_refused);
    match whose {
        Whose::Own => true,
        Whose::Again => false,
        Whose::Earlier => {
            settles_earlier();
            false
        }
        // What was sent first is taken to be refused first.
        Whose::Unknown => !settles_earlier(),
    }
}

/// What a refusal does: it is no verdict while a server is left that has not refused.
fn rule(terms: &impl Terms, routing: &mut impl Routing) -> OnUnreachable {
    match terms.on_unreachable() {
        OnUnreachable::FailFast if !routing.is_refused_by_all() => OnUnreachable::KeepTrying,
        rule => rule,
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
