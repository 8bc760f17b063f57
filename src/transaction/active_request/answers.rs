//! What the answers to a request do to it.

use core::time::Duration;

use super::{ActiveRequest, pace};
use crate::time::{Ns, Timestamp};
use crate::transaction::destination::Terms;
use crate::transaction::record::Record;
use crate::transaction::routing::Routing;
use crate::transaction::{Event, Failure, Hold};
use crate::transport::PathIndex;

/// An answer to this request: when it arrived, where, and after how long, if that is known.
#[derive(Clone, Copy, Debug)]
pub(in crate::transaction) struct Answer {
    pub(in crate::transaction) at: Timestamp,
    pub(in crate::transaction) path: PathIndex,
    pub(in crate::transaction) round_trip: Option<Ns>,
}

impl ActiveRequest {
    /// The reply arrived at `at`.
    #[inline]
    pub(in crate::transaction) fn on_reply(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        answer: Answer,
        record: &mut impl Record,
    ) {
        self.on_answered(terms, routing, answer);
        let Answer { at, path, .. } = answer;
        self.timer.on_reply(at);
        self.conclusion.on_replied();
        record.record(at, Event::Replied { path });
    }

    /// The reply arrived at `at`, and the caller's buffer was too small for it.
    #[cold]
    pub(in crate::transaction) fn on_truncated(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        answer: Answer,
        truncated: Failure,
    ) {
        self.on_answered(terms, routing, answer);
        self.conclusion.decide(truncated);
    }

    /// The server answered that it has not executed the request, nor has one before it: it is sent once more, in the same slot.
    #[cold]
    pub(in crate::transaction) fn on_taken(
        &mut self,
        routing: &mut impl Routing,
        answer: Answer,
        record: &mut impl Record,
    ) {
        let Answer { at, path, .. } = answer;
        self.measure(routing, answer);
        self.conclusion.on_datagram();
        match routing.is_hopping() {
            true => self.timer.hasten(at),
            false => self.timer.repeat(at),
        }
        routing.ask_again(at, path);
        self.is_repeat = true;
        record.record(at, Event::Unknown { path });
    }

    /// The server answered that an earlier incarnation may have executed the request, and it `is_lost` if no other one was
    /// asked.
    #[cold]
    pub(in crate::transaction) fn on_lost(&mut self, answer: Answer, is_lost: bool, record: &mut impl Record) {
        let Answer { at, path, .. } = answer;
        self.conclusion.on_datagram();
        if is_lost {
            self.conclusion.suspect(Failure::ServerRestarted);
        }
        record.record(at, Event::Unknown { path });
    }

    #[inline]
    fn on_answered(&mut self, terms: &impl Terms, routing: &mut impl Routing, answer: Answer) {
        terms.budget().deposit();
        self.measure(routing, answer);
        routing.on_answered(answer.at, answer.path, answer.round_trip, true);
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
    }

    /// After a provisional answer the wait for the reply measures the server, not the path.
    #[inline]
    fn measure(&self, routing: &mut impl Routing, answer: Answer) {
        if let Some(estimator) = routing.estimator().filter(|_| !self.conclusion.is_answered()) {
            estimator.on_reply(answer.at, answer.round_trip.map(Duration::from_nanos));
        }
    }

    /// A provisional answer arrived at `at`; it is the path's round trip (RFC 7252 §4.2: the acknowledgement ends the
    /// timer), the reply after it is not.
    #[cold]
    pub(in crate::transaction) fn on_provisional(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        answer: Answer,
        hold: Hold,
        record: &mut impl Record,
    ) {
        let Answer { at, path, round_trip } = answer;
        self.measure(routing, answer);
        routing.on_answered(at, path, round_trip, false);
        self.conclusion.on_datagram();
        self.conclusion.on_answered();
        let mut own = None;
        self.timer.on_provisional(pace(self.first_wait, terms.policy(self.policy), &mut own), at, hold);
        record.record(at, Event::Provisional { path });
    }
}
