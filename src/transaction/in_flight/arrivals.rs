use core::fmt::Debug;
use core::time::Duration;

use super::finished::{Arrived, Finished, PeerId};
use super::ids::Key;
use super::progress::{Case, Turn};
use super::recipient::{Recipient, routed};
use super::slots::{Clean, NONE, Slot};
use super::{InFlight, State};
use crate::envelope::ReplyHeader;
use crate::policy::RttEstimator;
use crate::time::{Ns, Timestamp};
use crate::transaction::active_request::{ActiveRequest, Answer};
use crate::transaction::{Execution, Failure, Hold, KeyedMatcher, Match, Stray};
use crate::transport::PathIndex;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// A datagram arrived at `at` from this address; of its `actual` bytes these were received. What it was taken for.
    #[inline]
    pub fn on_datagram(&mut self, at: Timestamp, from: P, datagram: &[u8], actual: usize) -> Arrived {
        if at >= self.soonest {
            return self.take_overdue(at, from, datagram, actual);
        }
        self.take_datagram(at, from, datagram, actual)
    }

    /// One that was read past the moment at which something is due: a flood of them must not put that off indefinitely.
    #[cold]
    fn take_overdue(&mut self, at: Timestamp, from: P, datagram: &[u8], actual: usize) -> Arrived {
        self.advance(at);
        let arrived = self.take_datagram(at, from, datagram, actual);
        self.count_overdue(at);
        arrived
    }

    fn take_datagram(&mut self, at: Timestamp, from: P, datagram: &[u8], actual: usize) -> Arrived {
        let Some((peer_number, peer)) = self.peers.at_mut(from) else {
            return self.on_stray(at, None, None, datagram, actual);
        };
        peer.on_heard(at);
        if self.envelopes.is_some() {
            return self.take_enveloped(at, peer_number, datagram, actual);
        }
        self.take_payload(at, peer_number, datagram, actual, None)
    }

    /// A payload arrived from a peer, after this header where there are envelopes.
    #[inline(always)] // one of its callers is the usual one, and has no header
    pub(super) fn take_payload(
        &mut self,
        at: Timestamp,
        peer_number: u32,
        datagram: &[u8],
        actual: usize,
        header: Option<&ReplyHeader>,
    ) -> Arrived {
        // No closures: they would not be compiled into this, where the compiler keeps what it finds in registers.
        let key = match self.matcher.reply_id(datagram) {
            Some(id) => self.ids.key(id),
            None => None,
        };
        let found = match key {
            Some(key) => self.ids.find(key, peer_number, self.kept(), &self.matcher),
            None => None,
        };
        let (number, slot) = match found {
            Some((number, slot)) if self.accepts(at, number, slot) => (number, slot),
            _ => return self.on_stray(at, Some(peer_number), key, datagram, actual),
        };
        let verdict = self.matcher.judge_found(self.payloads.get(slot.place), datagram);
        if header.is_some_and(|header| verdict != Match::Foreign && !self.fits(number, header)) {
            return self.count_stray(Stray::Envelope);
        }
        match verdict {
            Match::Reply if actual > datagram.len() => {
                self.on_truncated(at, number, header, Failure::truncated(datagram.len(), actual))
            }
            Match::Reply if slot.record == NONE => {
                let (clean, token) = (slot.clean(number), slot.token);
                self.on_clean_reply(at, clean, token, key)
            }
            Match::Reply => self.on_troubled_reply(at, number, header),
            Match::Provisional(hold) => self.on_provisional(at, number, header, hold),
            Match::Foreign => self.on_stray(at, None, None, datagram, actual),
        }
    }

    /// Whether a reply to this request that arrived at `at` would be accepted.
    #[inline]
    pub(super) fn accepts(&self, at: Timestamp, number: u32, slot: &Slot) -> bool {
        match if slot.record == NONE { None } else { self.records.get(slot.record) } {
            // The deadline of a policy counts from the transmission.
            None => {
                let deadline = self.rules.policy(slot.policy).deadline_ns();
                slot.state == State::Sent && deadline.is_none_or(|deadline| at <= slot.at().after_ns(deadline))
            }
            Some(troubled) => {
                let accepts = |active: &ActiveRequest| active.transmissions() > 0 && active.accepts(at);
                let was_asked = || self.groups.group_of(number).is_none() || self.groups.was_asked(number);
                troubled.active.as_ref().is_some_and(accepts) && was_asked()
            }
        }
    }

    /// Of a request with this key that took one transmission. What is returned is made where it is returned: moving it would
    /// take as long as all the rest.
    #[inline(always)] // one of its callers is the usual one
    fn on_clean_reply(&mut self, at: Timestamp, clean: Clean, token: u64, key: Option<Key<'_>>) -> Arrived {
        let number = clean.handle.slot;
        let waited = at.since_ns(clean.sent);
        let is_measured = self.is_in_first_wait(at, &clean);
        if self.groups.are_used() && self.on_clean_reply_in_group(at, &clean, is_measured.then_some(waited)) {
            // The budget and the measure are the group's.
        } else if let Some(peer) = self.peers.get(clean.peer) {
            peer.budget.deposit();
            if let Some(estimator) = &peer.path.estimator {
                measure(estimator, at, is_measured.then_some(waited));
            }
        }
        self.free(number);
        self.ids.release(at, clean.handle, clean.peer, true, key);
        self.leave_place(at, number, clean.peer);
        self.settle(at);
        Arrived::Reply(Finished {
            handle: clean.handle,
            token,
            peer: PeerId(clean.peer),
            failure: None,
            execution: Execution::Unknown,
            transmissions: 1,
            withheld: 0,
            elapsed: Duration::from_nanos(waited),
            round_trip: is_measured.then(|| Duration::from_nanos(waited)),
            last_error: None,
            timeline: None,
            paths: None,
        })
    }

    #[cold]
    fn on_troubled_reply(&mut self, at: Timestamp, found: u32, header: Option<&ReplyHeader>) -> Arrived {
        let (number, answer) = self.answer(at, found, header);
        self.detach(number);
        let mut measured = None;
        if let Some(Case { troubled, terms, mut recipient }) = self.case(at, number) {
            measured = if troubled.is_answered() { troubled.measured() } else { answer.round_trip };
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing => {
                    active.on_reply(&terms, routing, answer, &mut troubled.log);
                    let _done = active.next(&terms, routing, at, &mut troubled.log);
                });
            }
        }
        self.close(at, number);
        self.settle(at);
        self.take_answered(at, number, measured).map_or(Arrived::Stray(Stray::Foreign), Arrived::Reply)
    }

    #[cold]
    fn on_truncated(&mut self, at: Timestamp, found: u32, header: Option<&ReplyHeader>, truncated: Failure) -> Arrived {
        let (number, answer) = self.answer(at, found, header);
        let handle = self.slots.handle(number);
        if let Some(Case { troubled, terms, mut recipient }) = self.case(at, number) {
            troubled.on_answer(answer.round_trip);
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing =>
                    active.on_truncated(&terms, routing, answer, truncated));
            }
        }
        self.detach(number);
        self.go_on(at, number, Turn::Last);
        self.settle(at);
        Arrived::Truncated(handle)
    }

    #[cold]
    fn on_provisional(&mut self, at: Timestamp, found: u32, header: Option<&ReplyHeader>, hold: Hold) -> Arrived {
        let (number, answer) = self.answer(at, found, header);
        let handle = self.slots.handle(number);
        if let Some(Case { troubled, terms, mut recipient }) = self.case(at, number) {
            troubled.on_answer(answer.round_trip);
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing =>
                    active.on_provisional(&terms, routing, answer, hold, &mut troubled.log));
            }
        }
        self.detach(number);
        self.go_on(at, number, Turn::Last);
        self.settle(at);
        Arrived::Provisional(handle)
    }

    /// What an answer is to, that this slot has found; where it has a header, that says to which transmission.
    fn answer(&mut self, at: Timestamp, found: u32, header: Option<&ReplyHeader>) -> (u32, Answer) {
        let number = self.groups.request(found).map_or(found, |request| request.slot);
        let only = self.case(at, number).and_then(|case| case.troubled.round_trip(at));
        let path = self.groups.request_mut(found).map(|request| {
            let path = request.of_slot(found).map_or(PathIndex::FIRST, |asked| asked.report.path);
            request.on_answered(path);
            path
        });
        let round_trip = match (header, path) {
            (Some(header), _) => self.round_trip_by(at, number, found, header),
            (None, Some(path)) => self.round_trip_on(at, number, path),
            (None, None) => only,
        };
        (number, Answer { at, path: path.unwrap_or_default(), round_trip })
    }

    #[cold]
    fn on_stray(
        &mut self,
        at: Timestamp,
        from: Option<u32>,
        key: Option<Key<'_>>,
        datagram: &[u8],
        actual: usize,
    ) -> Arrived {
        let is_late = self.groups.are_used() && self.is_late(from, key, datagram);
        let kind = if is_late { Stray::Stale } else { self.ids.stray(key, datagram.len(), actual) };
        self.strays.add(kind);
        if let Some(peer) = from.filter(|_| kind == Stray::Stale) {
            self.on_sign_of_life(at, peer);
        }
        Arrived::Stray(kind)
    }

    /// Whether it would have answered a request to a group that has not ended only because no one has looked at the time.
    fn is_late(&self, from: Option<u32>, key: Option<Key<'_>>, datagram: &[u8]) -> bool {
        let (Some(peer), Some(key)) = (from, key) else { return false };
        let Some((number, slot)) = self.ids.find(key, peer, self.kept(), &self.matcher) else { return false };
        let is_asked = self.groups.group_of(number).is_some() && self.was_transmitted(number);
        is_asked && self.matcher.judge(self.payloads.get(slot.place), datagram) != Match::Foreign
    }

    /// A peer has answered something that no request waits for any more.
    fn on_sign_of_life(&mut self, at: Timestamp, peer: u32) {
        for place in 0..self.groups.of_peer(peer).len() {
            let Some(&(number, path)) = self.groups.of_peer(peer).get(place) else { break };
            if let Some(group) = self.groups.get_mut(number) {
                group.shared.on_reply(at, path, None);
                self.groups.touch(number);
            }
        }
        self.settle(at);
    }
}

/// Apart from the rest, which goes without it where no round trips are measured.
#[inline(never)]
fn measure(estimator: &RttEstimator, at: Timestamp, round_trip: Option<Ns>) {
    estimator.on_reply(at, round_trip.map(Duration::from_nanos));
}
