//! What a transaction with several servers does otherwise. Apart, so that one with a single server is not slowed by it.

use super::active_request::{ActiveRequest, Answer, Bytes};
use super::reach::Several;
use super::{Failure, Match, Next, ReplyMatcher, Request, Stray, Transaction};
use crate::entropy::Seed;
use crate::envelope::ReplyHeader;
use crate::time::Timestamp;
use crate::transport::PathIndex;

impl<M: ReplyMatcher> Transaction<M> {
    /// Where it goes is decided later: each path gets a copy then, with an id of its own.
    #[cold]
    pub(super) fn start_for_one_of(&mut self, request: &Request<'_>, now: Timestamp, seed: Seed) {
        self.begin_for_one_of(request, now, seed, Bytes::Copied);
        self.outbox.give(request.bytes());
    }

    #[cold]
    pub(super) fn begin_for_one_of(&mut self, request: &Request<'_>, now: Timestamp, seed: Seed, bytes: Bytes) {
        let (policy, deadline) = self.plan(request, now);
        if let Some(several) = &mut self.reach.several {
            self.active.abandon(&self.destination, &mut several.asking());
            several.begin(request.is_repeatable());
            let asking = &mut several.asking();
            self.active = ActiveRequest::start(&self.destination, asking, policy, now, deadline, seed, bytes);
        }
        self.outbox.begin(&self.destination.matcher, now);
        self.forget(now);
    }

    #[cold]
    pub(super) fn next_of_several(&mut self, now: Timestamp) -> Next {
        match self.asked_of_several(now) {
            Next::Build(path, _) if self.active.copies() => {
                let identity = self.outbox.copy(&self.destination.matcher, path, self.book.timeline.start());
                self.on_built(path, identity);
                self.asked_of_several(now)
            }
            next => next,
        }
    }

    #[cold]
    pub(super) fn datagram_to_one(&self) -> &[u8] {
        self.outbox.lane(self.reach.named()).map_or(&[], |lane| lane.requests.newest())
    }

    fn asked_of_several(&mut self, now: Timestamp) -> Next {
        let Some(several) = &mut self.reach.several else { return Next::Idle };
        self.active.next(&self.destination, &mut several.asking(), now, &mut self.book)
    }

    #[cold]
    pub(super) fn on_transmitted_to_one(&mut self, now: Timestamp) {
        let path = self.reach.named();
        if let Some(several) = &mut self.reach.several {
            self.active.on_transmitted(&self.destination, &mut several.asking(), now, &mut self.book);
        }
        if let Some(lane) = self.outbox.lane_mut(path) {
            lane.requests.on_transmitted(now);
        }
        self.reach.report(path, |report| report.transmissions = report.transmissions.saturating_add(1));
    }

    #[cold]
    pub(super) fn on_payload_of_one(
        &mut self,
        at: Timestamp,
        path: PathIndex,
        payload: &[u8],
        actual: usize,
        header: Option<&ReplyHeader>,
    ) -> Match {
        // On a path that was not asked, nothing was sent that it could answer.
        let (verdict, by_bytes) = match self.outbox.lane(path) {
            Some(lane) if self.active.accepts(at) => lane.requests.judge(&self.destination.matcher, payload),
            _ => (Match::Foreign, None),
        };
        if verdict == Match::Foreign {
            self.on_stray_of_one(at, path, payload, actual);
            return verdict;
        }
        let sent_at = self.sent_at(path, header, by_bytes);
        let Self { active, destination, reach, book, .. } = self;
        let Some(several) = &mut reach.several else { return Match::Foreign };
        let is_overdue = active.is_overdue(at) || several.is_overdue(at);
        let round_trip = sent_at.filter(|_| !is_overdue).map(|sent_at| at.since_ns(sent_at));
        if !active.is_answered() {
            self.round_trip = round_trip;
        }
        (self.reply_len, self.reply_path) = (payload.len(), path);
        let (answer, asking) = (Answer { at, path, round_trip }, &mut several.asking());
        match verdict {
            Match::Provisional(hold) => active.on_provisional(destination, asking, answer, hold, book),
            _ if actual > payload.len() => {
                active.on_truncated(destination, asking, answer, Failure::truncated(payload.len(), actual));
            }
            _ => active.on_reply(destination, asking, answer, book),
        }
        // A request that is being worked on is parked no more, and no later sign of life hastens it.
        let _released = several.group.take_released();
        reach.report(path, |report| report.answered = true);
        verdict
    }

    /// A second or late answer completes nothing, and shows that its server lives: what is parked goes on at once.
    fn on_stray_of_one(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8], actual: usize) {
        let kind = self.on_stray(at, path, datagram, actual);
        let Some(several) = self.reach.several.as_mut().filter(|_| kind == Stray::Stale) else { return };
        let Several { group, .. } = &mut **several;
        group.on_sign_of_life(at, path);
        if group.take_released() {
            self.active.on_released(&mut several.asking(), at);
        }
    }
}
