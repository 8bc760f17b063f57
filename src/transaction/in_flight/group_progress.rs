//! How a request to a group moves on: from one member to the next, to its end.

use core::fmt::Debug;

use super::InFlight;
use super::finished::Handle;
use super::group_request::GroupRequest;
use super::progress::{Case, Turn, before};
use super::recipient::{Recipient, routed};
use super::slots::{Clean, Slot, State};
use crate::servers::Sent;
use crate::time::{Ns, Timestamp};
use crate::transaction::course::Course;
use crate::transaction::{Identity, KeyedMatcher, Next};
use crate::transport::PathIndex;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// A request without a record was transmitted to the member that has its place.
    pub(super) fn begin_in_group(&mut self, now: Timestamp, number: u32) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        slot.state = State::Sent;
        slot.set_at(now);
        let clean = slot.clean(number);
        let seed = self.seed_of(clean.handle);
        let policy = self.rules.policy(clean.policy);
        if let Some(peer) = self.peers.get_mut(clean.peer) {
            peer.path.on_start(before(now, policy.start_delay_ns(seed)));
            peer.path.on_transmitted(now);
        }
        let Some(group) = self.groups.group_of(number).and_then(|group| self.groups.get_mut(group)) else { return };
        let Some(path) = group.path_of(clean.peer) else { return };
        group.shared.set.on_transmitted(now, path, Sent::Request);
        let is_another_left = !group.shared.set.live().without(path).is_empty();
        let hop = is_another_left.then(|| group.shared.failover_ns(now, path, policy.wait_ns(0, false, seed)));
        let carries_probe = group.shared.probe_due(now).is_some();
        if let Some(wait) = self.first_waits.as_mut().and_then(|waits| waits.get_mut(number)) {
            *wait = hop.unwrap_or(NO_HOP);
        }
        let due = self.first_due(&clean);
        self.wake_at(number, due);
        if carries_probe {
            self.wheel.remove(&mut self.slots, number);
            let _kept = self.case(now, number);
            self.go_on(now, number, Turn::Last);
        }
    }

    /// How long its server has before another one is asked, if a request without a record is to a group and there is another.
    pub(super) fn hop_of(&self, clean: &Clean) -> Option<Ns> {
        self.groups.group_of(clean.handle.slot)?;
        let wait = self.first_waits.as_ref().and_then(|waits| waits.get(clean.handle.slot)).copied();
        wait.filter(|&wait| wait != NO_HOP)
    }

    /// The reply came to a request without a record, if that was to a group.
    #[inline(never)]
    pub(super) fn on_clean_reply_in_group(&mut self, at: Timestamp, clean: &Clean, round_trip: Option<Ns>) -> bool {
        let number = clean.handle.slot;
        let Some(group_number) = self.groups.group_of(number) else { return false };
        let Some(group) = self.groups.get_mut(group_number) else { return false };
        group.budget.deposit();
        if let Some(path) = group.path_of(clean.peer) {
            group.shared.on_reply(at, path, round_trip);
            group.shared.set.on_settled(path);
        }
        self.groups.forget(number);
        self.groups.touch(group_number);
        true
    }

    /// Keeps what a record does not of a request to a group, as it would be if it had been kept from the start.
    #[cold]
    pub(super) fn keep_in_group(&mut self, number: u32, slot: &Slot) {
        if self.groups.request(number).is_some() {
            return;
        }
        let Some(group_number) = self.groups.group_of(number) else { return };
        let path = self.groups.get(group_number).and_then(|group| group.path_of(slot.peer));
        let is_hopping = self.hop_of(&slot.clean(number)).is_some();
        let (course, path) = match (slot.state, path) {
            (State::Sent, Some(path)) => (Course::sent(path, slot.at(), is_hopping), Some(path)),
            (State::Waiting, _) | (_, None) => (Course::new(false), None),
            (_, path) => (Course::new(false), path),
        };
        let mut request = GroupRequest::new(group_number, number, course);
        if let Some(path) = path {
            request.carry(path);
            request.is_admitted = true;
            if slot.state == State::Sent {
                request.on_transmitted(slot.at(), path);
                self.begin_at_members(group_number, &slot.clean(number));
            }
        }
        self.groups.keep(number, request);
        if let Some(path) = path.filter(|_| slot.state != State::Sent) {
            self.aim(number, path);
        }
    }

    /// What was sent before it, and can be neither answered nor refused any more, is not open at any of its paths.
    fn begin_at_members(&mut self, group: u32, clean: &Clean) {
        let delay = self.rules.policy(clean.policy).start_delay_ns(self.seed_of(clean.handle));
        let Some(group) = self.groups.get_mut(group) else { return };
        for &member in &group.members {
            if let Some(peer) = self.peers.get_mut(member) {
                peer.path.on_start(before(clean.sent, delay));
            }
        }
    }

    /// What the machine of a request to a group asks for, which is in the wheel and in the queues no more.
    #[cold]
    pub(super) fn go_on_in_group(&mut self, now: Timestamp, number: u32, group: u32, turn: Turn) {
        self.groups.touch(group);
        if self.queues_again(now, number) {
            return;
        }
        self.note_signs(number);
        self.go_on_if_released(now, number);
        let next = self.next_in_group(now, number);
        let Some(Case { troubled, recipient, .. }) = self.case(now, number) else { return };
        let Some(active) = &troubled.active else { return };
        let (is_suspect, deadline, wait_end) = (active.is_suspect(), active.deadline(), active.wait_end());
        let is_stranded = matches!(recipient, Recipient::Several(asking) if asking.is_stranded());
        match next {
            Next::Transmit(_) => {
                match turn {
                    Turn::First => self.ready.push_front(&mut self.slots, number, State::Ready),
                    Turn::Last => self.ready.push_back(&mut self.slots, number, State::Ready),
                }
                if deadline != Timestamp::MAX {
                    self.wake_at(number, deadline);
                }
            }
            Next::WaitUntil(_) if is_suspect => {
                self.suspects.push_back(&mut self.slots, number, State::Suspect);
                self.suspected = now;
                self.soonest = self.soonest.min(now);
            }
            // One of all that are parked sends the probes.
            Next::WaitUntil(_) if is_stranded => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.parked.push_back(&mut self.slots, number, State::Parked);
                }
                self.note_probe(group);
                self.wake_at(number, wait_end);
            }
            Next::WaitUntil(until) => {
                if let Some(slot) = self.slots.get_mut(number) {
                    slot.state = State::Sent;
                }
                self.wake_at(number, until);
            }
            Next::Failed(_) | Next::Done | Next::Idle | Next::Build(..) | Next::Renew(..) => {
                self.note_end_in_group(number);
                if let Some(Case { troubled, .. }) = self.case(now, number) {
                    troubled.on_end(now);
                }
                self.close_in_group(now, number, group);
                self.finished.push_back(&mut self.slots, number, State::Finished);
            }
        }
    }

    /// All servers were dead when its latest slot came, and one is not any more.
    fn go_on_if_released(&mut self, now: Timestamp, number: u32) {
        let Some(Case { troubled, recipient: Recipient::Several(mut asking), .. }) = self.case(now, number) else {
            return;
        };
        if let Some(active) = troubled.active.as_mut().filter(|_| asking.is_rescued()) {
            active.on_released(&mut asking, now);
        }
    }

    /// What the machine asks for, once what it sends next is there.
    fn next_in_group(&mut self, now: Timestamp, number: u32) -> Next {
        loop {
            let Some(Case { troubled, terms, mut recipient }) = self.case(now, number) else { return Next::Idle };
            let Some(active) = &mut troubled.active else { return Next::Idle };
            let next = routed!(&mut recipient, routing => active.next(&terms, routing, now, &mut troubled.log));
            let Next::Build(path, _) = next else { return next };
            let is_carried = self.is_carried(now, number, path);
            let Some(Case { troubled, terms, mut recipient }) = self.case(now, number) else { return Next::Idle };
            let Some(active) = &mut troubled.active else { return Next::Idle };
            if is_carried {
                active.on_built(Identity::Content);
            } else {
                routed!(&mut recipient, routing => active.on_uncopied(&terms, routing, now, &mut troubled.log));
            }
        }
    }

    /// Tells the machine what came from those that it asked, for whatever request.
    fn note_signs(&mut self, number: u32) {
        let Some(&slot) = self.slots.get(number) else { return };
        let Some((request, group)) = self.groups.with_group(number) else { return };
        let Some(troubled) = self.records.get_mut(slot.record) else { return };
        let began = troubled.began();
        let Some(active) = &mut troubled.active else { return };
        for asked in request.asked.iter().filter(|asked| asked.has_left()) {
            let Some(peer) = group.member(asked.report.path).and_then(|member| self.peers.get(member)) else {
                continue;
            };
            match (peer.heard, peer.error) {
                (Some(heard), _) if heard >= began => active.on_sign_of_life(),
                (_, Some((at, error))) if at >= began => active.on_error_nearby(error),
                _ => {}
            }
        }
    }

    /// Tells the ports of those that it asked how it ended.
    fn note_end_in_group(&mut self, number: u32) {
        let Some(&slot) = self.slots.get(number) else { return };
        let Some((request, group)) = self.groups.with_group(number) else { return };
        let Some(troubled) = self.records.get(slot.record) else { return };
        let Some(active) = &troubled.active else { return };
        for asked in request.asked.iter().filter(|asked| asked.has_left()) {
            let Some(member) = group.member(asked.report.path) else { continue };
            if let Some(peer) = self.peers.get_mut(member) {
                peer.port.on_end(troubled.began(), peer.heard, active);
            }
        }
    }

    /// The end of a request to a group: all its places and ids are others' from now on.
    #[cold]
    pub(super) fn close_in_group(&mut self, now: Timestamp, number: u32, group: u32) {
        let Some(&slot) = self.slots.get(number) else { return };
        let handle = Handle { slot: number, generation: slot.generation };
        self.release_id(now, handle, slot.peer, slot.place);
        self.groups.touch(group);
        let last = self.groups.request(number).and_then(|request| request.last);
        for at in 0.. {
            let Some(&asked) = self.groups.request(number).and_then(|request| request.asked.get(at)) else { break };
            match asked.slot {
                own if own == number => self.leave_place(now, number, slot.peer),
                alias => self.free_alias(now, alias),
            }
        }
        let last = last.and_then(|path| self.groups.get(group)?.member(path));
        if let (Some(slot), Some(last)) = (self.slots.get_mut(number), last) {
            slot.peer = last;
        }
    }

    /// From its only transmission on a path to what arrived from there at `at`, if that was read in time to be a measurement.
    pub(super) fn round_trip_on(&mut self, at: Timestamp, number: u32, path: PathIndex) -> Option<Ns> {
        let sent = self.groups.request(number).and_then(|request| request.at(path)?.sent_once())?;
        (!self.is_bound(at, number)).then(|| at.since_ns(sent))
    }
}

/// Instead of a wait: the policy's own holds.
const NO_HOP: Ns = 0;
