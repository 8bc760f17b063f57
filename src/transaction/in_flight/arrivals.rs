use core::fmt::Debug;
use core::time::Duration;

use super::finished::{Arrived, Finished, PeerId};
use super::progress::{Case, Turn};
use super::slots::{Clean, Freed, NONE, Slot};
use super::{InFlight, State};
use crate::policy::RttEstimator;
use crate::time::{Ns, Timestamp};
use crate::transaction::{Execution, Failure, Hold, KeyedMatcher, Match, Stray};

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
        let Some((number, peer)) = self.peers.at_mut(from) else { return self.on_stray(None, datagram, actual) };
        peer.on_heard(at);
        let id = self.matcher.reply_id(datagram);
        let found = id.and_then(|id| self.ids.find(id, number, self.kept(), &self.matcher));
        let Some((number, slot)) = found.filter(|(_, slot)| self.accepts(at, slot)) else {
            return self.on_stray(id, datagram, actual);
        };
        match self.matcher.judge_found(self.payloads.get(slot.place), datagram) {
            Match::Reply if actual > datagram.len() => {
                self.on_truncated(at, number, Failure::truncated(datagram.len(), actual))
            }
            Match::Reply if slot.record == NONE => {
                let (clean, token) = (slot.clean(number), slot.token);
                self.on_clean_reply(at, clean, token)
            }
            Match::Reply => self.on_troubled_reply(at, number),
            Match::Provisional(hold) => self.on_provisional(at, number, hold),
            Match::Foreign => self.on_stray(None, datagram, actual),
        }
    }

    /// Whether a reply to this request that arrived at `at` would be accepted.
    #[inline]
    fn accepts(&self, at: Timestamp, slot: &Slot) -> bool {
        match if slot.record == NONE { None } else { self.records.get(slot.record) } {
            // The deadline of a policy counts from the transmission.
            None => {
                let deadline = self.rules.policy(slot.policy).deadline_ns();
                slot.state == State::Sent && deadline.is_none_or(|deadline| at <= slot.at().after_ns(deadline))
            }
            Some(troubled) => {
                troubled.active.as_ref().is_some_and(|active| active.transmissions() > 0 && active.accepts(at))
            }
        }
    }

    /// Of a request that took one transmission. What is returned is made where it is returned: moving it would take as long
    /// as all the rest.
    #[inline]
    fn on_clean_reply(&mut self, at: Timestamp, clean: Clean, token: u64) -> Arrived {
        let number = clean.handle.slot;
        let waited = at.since_ns(clean.sent);
        let is_measured = self.is_in_first_wait(at, &clean);
        if let Some(peer) = self.peers.get(clean.peer) {
            peer.budget.deposit();
            if let Some(estimator) = &peer.path.estimator {
                measure(estimator, at, is_measured.then_some(waited));
            }
        }
        if let Some(Freed { link, place }) = self.slots.remove(number) {
            self.wheel.take_out(&mut self.slots, number, link);
            self.ids.release(at, clean.handle, (clean.peer, place), true, &self.payloads, &self.matcher);
            self.payloads.release(place);
        }
        self.leave_place(at, number, clean.peer);
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
        })
    }

    #[cold]
    fn on_troubled_reply(&mut self, at: Timestamp, number: u32) -> Arrived {
        self.detach(number);
        let mut measured = None;
        if let Some(Case { troubled, terms, path }) = self.case(at, number) {
            let round_trip = troubled.round_trip(at);
            measured = troubled.measured().or(round_trip);
            if let Some(active) = &mut troubled.active {
                active.on_reply(&terms, path, at, round_trip, &mut troubled.log);
                let _done = active.next(&terms, path, at, &mut troubled.log);
            }
        }
        self.close(at, number);
        self.take_answered(at, number, measured).map_or(Arrived::Stray(Stray::Foreign), Arrived::Reply)
    }

    #[cold]
    fn on_truncated(&mut self, at: Timestamp, number: u32, truncated: Failure) -> Arrived {
        let handle = self.slots.handle(number);
        if let Some(Case { troubled, terms, path }) = self.case(at, number) {
            let round_trip = troubled.round_trip(at);
            troubled.on_answer(round_trip);
            if let Some(active) = &mut troubled.active {
                active.on_truncated(&terms, path, at, round_trip, truncated);
            }
        }
        self.detach(number);
        self.go_on(at, number, Turn::Last);
        Arrived::Truncated(handle)
    }

    #[cold]
    fn on_provisional(&mut self, at: Timestamp, number: u32, hold: Hold) -> Arrived {
        let handle = self.slots.handle(number);
        if let Some(Case { troubled, terms, path }) = self.case(at, number) {
            let round_trip = troubled.round_trip(at);
            troubled.on_answer(round_trip);
            if let Some(active) = &mut troubled.active {
                active.on_provisional(&terms, path, at, hold, round_trip, &mut troubled.log);
            }
        }
        self.detach(number);
        self.go_on(at, number, Turn::Last);
        Arrived::Provisional(handle)
    }

    #[cold]
    fn on_stray(&mut self, id: Option<&[u8]>, datagram: &[u8], actual: usize) -> Arrived {
        let kind = self.ids.stray(id, datagram.len(), actual);
        self.strays.add(kind);
        Arrived::Stray(kind)
    }
}

/// Apart from the rest, which goes without it where no round trips are measured.
#[inline(never)]
fn measure(estimator: &RttEstimator, at: Timestamp, round_trip: Option<Ns>) {
    estimator.on_reply(at, round_trip.map(Duration::from_nanos));
}
