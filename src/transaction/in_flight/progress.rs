//! How a request moves on: to its place, to the wire, to its next slot, to its end.

use core::fmt::Debug;

use super::peers::{Peer, PeerTerms};
use super::recipient::{Recipient, routed};
use super::slots::{NONE, Slot, State};
use super::troubled::Troubled;
use super::{Handle, InFlight};
use crate::time::{Ns, Timestamp};
use crate::transaction::active_request::{ActiveRequest, Bytes};
use crate::transaction::destination::PolicyIndex;
use crate::transaction::{Identity, KeyedMatcher, Next};

/// A troubled request, and what its machine is told of with every call.
pub(super) struct Case<'c, P> {
    pub(super) troubled: &'c mut Troubled,
    pub(super) terms: PeerTerms<'c>,
    pub(super) recipient: Recipient<'c, P>,
}

/// Where a request goes that is to be transmitted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its send failed, and may have been an earlier datagram's failure.
    First,
    Last,
}

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// To its place in the window, or to the end of those that wait for one.
    #[inline]
    pub(super) fn enqueue(&mut self, now: Timestamp, number: u32, peer: u32, leaves_at_once: bool) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        if peer.places >= self.limits.window.get() || peer.waiting.len() > 0 {
            peer.waiting.push_back(&mut self.slots, number, State::Waiting);
        } else {
            peer.take_place(number);
            if leaves_at_once {
                self.ready.push_back(&mut self.slots, number, State::Ready);
            } else {
                self.take_place_until(now, number);
            }
        }
    }

    /// It has ended: the first of those that wait takes its place.
    #[inline]
    pub(super) fn leave_place(&mut self, now: Timestamp, number: u32, peer_number: u32) {
        let Some(peer) = self.peers.get_mut(peer_number) else { return };
        peer.leave_place(number);
        if peer.places >= self.limits.window.get() {
            // Copies stand beside the window.
        } else if let Some(next) = peer.waiting.pop_front(&mut self.slots) {
            peer.take_place(next);
            self.take_place_until(now, next);
        } else if self.groups.are_used() {
            self.groups.touch_all_of(peer_number);
        }
    }

    /// The place of a request that may not leave at once, or may have to end before.
    pub(super) fn take_place_until(&mut self, now: Timestamp, number: u32) {
        let Some(slot) = self.slots.get(number) else { return };
        let handle = Handle { slot: number, generation: slot.generation };
        let (delay, end_by) = (self.start_delay(handle, slot.policy), self.end_by_of(slot));
        match delay {
            0 if now < end_by => self.ready.push_back(&mut self.slots, number, State::Ready),
            // Also one whose deadline has come: that ends it at the next look, and nothing of it leaves.
            delay => {
                let due = now.after_ns(delay);
                if let Some(slot) = self.slots.get_mut(number) {
                    slot.state = State::Delayed;
                    slot.set_at(due);
                }
                self.wake_at(number, due.min(end_by));
            }
        }
    }

    /// The request is reported to [`come_due`](Self::come_due) then.
    pub(super) fn wake_at(&mut self, number: u32, due: Timestamp) {
        self.soonest = self.soonest.min(due);
        self.wheel.insert(&mut self.slots, number, due);
    }

    /// The same, at its own deadline, if it has one.
    pub(super) fn wake_by(&mut self, number: u32, end_by: Timestamp) {
        if end_by != Timestamp::MAX {
            self.wake_at(number, end_by);
        }
    }

    /// Out of the wheel, and out of whatever queue it is in.
    pub(super) fn detach(&mut self, number: u32) {
        let Some(slot) = self.slots.get(number) else { return };
        let (state, peer) = (slot.state, slot.peer);
        self.wheel.remove(&mut self.slots, number);
        let group = self.groups.group_of(number).and_then(|group| self.groups.get_mut(group));
        let queue = match (state, group) {
            (State::Parked, group) => group.map(|group| &mut group.parked),
            (State::Waiting, Some(group)) => Some(&mut group.waiting),
            (State::Waiting, None) => self.peers.get_mut(peer).map(|peer| &mut peer.waiting),
            (State::Ready, _) => Some(&mut self.ready),
            (State::Suspect, _) => Some(&mut self.suspects),
            (State::Finished, _) => Some(&mut self.finished),
            (State::Free | State::Delayed | State::Sent | State::Alias, _) => None,
        };
        if let Some(queue) = queue {
            queue.remove(&mut self.slots, number);
        }
    }

    /// What was to happen at a moment that has come.
    pub(super) fn come_due(&mut self, now: Timestamp, number: u32) {
        let Some(&slot) = self.slots.get(number) else { return };
        let end_by = self.end_by_of(&slot);
        match slot.state {
            State::Delayed if now < slot.at().min(end_by) => self.wake_at(number, slot.at().min(end_by)),
            State::Delayed if now < end_by && self.is_lost(number) => {
                self.detach(number);
                self.give_up_place(now, number);
            }
            State::Delayed if now < end_by => {
                self.ready.push_back(&mut self.slots, number, State::Ready);
                self.wake_by(number, end_by);
            }
            State::Sent if slot.record == NONE => match self.first_due(&slot.clean(number)) {
                due if due > now => self.wake_at(number, due),
                _ => self.look_on(now, number),
            },
            State::Waiting if now < end_by => self.wake_by(number, end_by),
            State::Ready | State::Delayed if now < end_by && !self.has_begun(&slot) => self.wake_by(number, end_by),
            State::Free | State::Alias | State::Finished => {}
            // Whoever looks in on a group before it is time sends its probes before.
            State::Sent | State::Parked if self.groups.group_of(number).is_some() => match self.due_of(number) {
                Some(due) if due > now => self.wake_at(number, due),
                _ => self.look_on(now, number),
            },
            _ => self.look_on(now, number),
        }
    }

    /// When what stands in the wheel is due; `None` of what was left there for a next request, and waits for no moment yet.
    pub(super) fn due_of(&self, number: u32) -> Option<Timestamp> {
        let slot = self.slots.get(number)?;
        let active = self.records.get(slot.record).and_then(|troubled| troubled.active.as_ref());
        match slot.state {
            State::Delayed => Some(slot.at().min(self.end_by_of(slot))),
            State::Waiting | State::Ready => Some(self.end_by_of(slot)).filter(|&end_by| end_by != Timestamp::MAX),
            State::Parked => active.map(ActiveRequest::wait_end),
            State::Sent => {
                let due = active.map_or_else(|| self.first_due(&slot.clean(number)), ActiveRequest::wait_end);
                let hedge = self.groups.request(number).and_then(|request| request.course.next_hedge());
                Some(hedge.map_or(due, |hedge| due.min(hedge)))
            }
            State::Free | State::Suspect | State::Finished | State::Alias => None,
        }
    }

    pub(super) fn end_by_of(&self, slot: &Slot) -> Timestamp {
        self.records.get(slot.record).map_or(Timestamp::MAX, Troubled::end_by)
    }

    pub(super) fn has_begun(&self, slot: &Slot) -> bool {
        self.records.get(slot.record).is_some_and(|record| record.active.is_some())
    }

    /// Nothing was queued at `now`.
    pub(super) fn look_on(&mut self, now: Timestamp, number: u32) {
        self.detach(number);
        if let Some(Case { troubled, .. }) = self.case(now, number) {
            if let Some(active) = &mut troubled.active {
                active.on_time_up(now);
            }
        }
        self.go_on(now, number, Turn::Last);
    }

    /// What the machine of a troubled request asks for, which is in the wheel and in the queues no more.
    pub(super) fn go_on(&mut self, now: Timestamp, number: u32, turn: Turn) {
        if let Some(group) = self.groups.group_of(number) {
            return self.go_on_in_group(now, number, group, turn);
        }
        let Some(&slot) = self.slots.get(number) else { return };
        let Some(peer) = self.peers.get_mut(slot.peer) else { return };
        let Some(troubled) = self.records.get_mut(slot.record) else { return };
        let began = troubled.began();
        let Some(active) = &mut troubled.active else { return };
        match (peer.heard, peer.error) {
            (Some(heard), _) if heard >= began => active.on_sign_of_life(),
            (_, Some((at, error))) if at >= began => active.on_error_nearby(error),
            _ => {}
        }
        let Peer { budget, path, .. } = peer;
        let terms = PeerTerms { rules: &self.rules, budget };
        match active.next(&terms, path, now, &mut troubled.log) {
            Next::Transmit(_) => {
                let deadline = active.deadline();
                match turn {
                    Turn::First => self.ready.push_front(&mut self.slots, number, State::Ready),
                    Turn::Last => self.ready.push_back(&mut self.slots, number, State::Ready),
                }
                self.wake_by(number, deadline);
            }
            Next::WaitUntil(_) if active.is_suspect() => {
                self.suspects.push_back(&mut self.slots, number, State::Suspect);
                self.suspected = now;
                self.soonest = self.soonest.min(now);
            }
            Next::WaitUntil(until) => {
                if let Some(slot) = self.slots.get_mut(number) {
                    slot.state = State::Sent;
                }
                self.wake_at(number, until);
            }
            // A port is not renewed where others use it, and bytes are given once; those would be ends too.
            Next::Failed(_) | Next::Done | Next::Idle | Next::Build(..) | Next::Renew(..) => {
                peer.port.on_end(began, peer.heard, active);
                troubled.on_end(now);
                self.close(now, number);
                self.finished.push_back(&mut self.slots, number, State::Finished);
            }
        }
    }

    /// A request with its record, which is made of what its slot knows if there is none; then it begins now, if it has not yet.
    pub(super) fn case(&mut self, now: Timestamp, number: u32) -> Option<Case<'_, P>> {
        let &slot = self.slots.get(number)?;
        if slot.record == NONE {
            let troubled = self.replay(number, &slot, now);
            self.slots.get_mut(number)?.record = self.records.insert(troubled);
            if self.envelopes.is_some() {
                self.keep_envelope(number, &slot);
            }
        }
        if self.groups.are_used() {
            self.keep_in_group(number, &slot);
        }
        let handle = Handle { slot: number, generation: slot.generation };
        let seed = self.seed_of(handle);
        let record = self.slots.get(number)?.record;
        let troubled = self.records.get_mut(record)?;
        let Self { rules, peers, groups, .. } = self;
        let (budget, mut recipient, bytes, is_placed) = match groups.with_group(number) {
            None => {
                let Peer { budget, path, .. } = peers.get_mut(slot.peer)?;
                (&*budget, Recipient::One(path), Bytes::Given, true)
            }
            Some((request, group)) => {
                let is_placed = request.is_admitted;
                let (budget, recipient) = Recipient::several(peers, group, &mut request.course);
                (budget, recipient, Bytes::Copied, is_placed)
            }
        };
        let terms = PeerTerms { rules, budget };
        if troubled.active.is_none() {
            // One that no server is there for begins without its place, and without having waited for its moment.
            let delay = if is_placed { terms.rules.policy(slot.policy).start_delay_ns(seed) } else { 0 };
            let (start, policy, end_by) = (before(now, delay), PolicyIndex(slot.policy), troubled.end_by());
            let mut active = routed!(&mut recipient, routing =>
                ActiveRequest::start(&terms, routing, policy, start, end_by, seed, bytes));
            if is_placed {
                active.on_built(Identity::Content);
            }
            active.on_time_up(now);
            troubled.begin(now, active);
        }
        Some(Case { troubled, terms, recipient })
    }
}

pub(super) fn before(now: Timestamp, ns: Ns) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_sub(ns))
}
