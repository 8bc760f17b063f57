//! What a request to several servers does besides: it aims its slots, hops from one server to the next, and sends copies
//! beside its schedule.

use core::time::Duration;

use super::{ActiveRequest, Bytes, Stage, pace};
use crate::servers::Choice;
use crate::time::Timestamp;
use crate::transaction::destination::Terms;
use crate::transaction::grant::Granted;
use crate::transaction::record::Record;
use crate::transaction::routing::Routing;
use crate::transaction::{Action, Event, GiveUp, Next, NotTransmitted};
use crate::transport::PathError;

impl ActiveRequest {
    /// What to do while nothing of the schedule is due: send what leaves beside it, or wait.
    #[cold]
    pub(super) fn beside(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        until: Timestamp,
    ) -> Next {
        if routing.extra().is_some() {
            return self.prepared(terms, routing);
        }
        match routing.find_extra(now, self.looked, terms.budget()) {
            Some(is_granted) => {
                self.granted = Granted(is_granted);
                self.prepared(terms, routing)
            }
            None => Next::WaitUntil(routing.wake(now, until)),
        }
    }

    /// Decides where the slot that is due goes; `None` if that is known. Else there is something to do first, or, as no
    /// server lives or each was asked, the slot has passed.
    #[cold]
    pub(super) fn aim(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Option<Option<Next>> {
        // What was begun beside the schedule is finished first: it has its own bytes.
        if routing.extra().is_some() {
            return Some(Some(self.prepared(terms, routing)));
        }
        // An error that a send took off the socket may have been one too many.
        if routing.loses_target() {
            self.swallowed = None;
            self.leave_slot(terms, routing);
        }
        // Before the choice, which this may change.
        routing.on_wait_over(now);
        match routing.choose(now) {
            Choice::Ask(_) => return None,
            Choice::TriedAll => {
                let mut own = None;
                let policy = pace(self.first_wait, terms.policy(self.policy), &mut own);
                self.timer.on_round_over(policy, routing.last_sent(), now);
                routing.on_slot_passed();
            }
            Choice::Park => {
                record.record(now, Event::Parked);
                self.end_wait(terms, routing, now);
                self.pass_slot(terms, routing, now, NotTransmitted::SendFailed);
            }
        }
        Some(None)
    }

    /// The request was sent to one of several servers, as its slot or beside it.
    #[cold]
    pub(super) fn on_sent_to_one(&mut self, terms: &impl Terms, routing: &mut impl Routing, now: Timestamp) {
        if routing.extra().is_some() {
            self.timer.on_copied();
            return routing.on_extra_transmitted(now);
        }
        let mut own = None;
        let policy = pace(self.first_wait, terms.policy(self.policy), &mut own);
        match routing.on_slot_sent(now, self.timer.wait_ns(policy)) {
            Some(hop) => self.timer.on_hop(Duration::from_nanos(hop), now),
            None => self.timer.on_transmitted(policy, now),
        }
    }

    /// All servers were dead, and one is not any more.
    #[cold]
    pub(in crate::transaction) fn on_released(&mut self, routing: &mut impl Routing, now: Timestamp) {
        if self.is_open() && routing.is_parked() {
            self.timer.on_released(now);
        }
    }

    /// The same request, each path of which gets a copy of its bytes.
    pub(in crate::transaction) fn copied(mut self) -> Self {
        self.bytes = Bytes::Copied;
        self.stage = Stage::Unbuilt;
        self
    }

    /// There is no space for the copy that the target is to get: nothing leaves, as if the system had none.
    #[cold]
    pub(in crate::transaction) fn on_uncopied(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) {
        self.not_transmitted(terms, routing, now, PathError::NoBuffers, record);
    }

    /// Whether it ends at `now` whatever a server might still do.
    pub(in crate::transaction) fn is_ending(&self, now: Timestamp) -> bool {
        let over = matches!(self.timer.poll(now), Action::GiveUp(GiveUp::Cancelled | GiveUp::Deadline) | Action::Done);
        self.conclusion.is_settled() || self.conclusion.is_pending() || over
    }
}
