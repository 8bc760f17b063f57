//! How a request to a group gets its place: at the peer that the group's servers call for, or at none while all are dead.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::mem;

use super::finished::{Handle, PeerId};
use super::group_request::GroupRequest;
use super::groups::{Group, GroupId};
use super::limits::SubmitError;
use super::progress::{Case, Turn};
use super::recipient::{Recipient, routed};
use super::slots::{NONE, Slot};
use super::troubled::Troubled;
use super::{InFlight, State};
use crate::policy::RetryBudget;
use crate::servers::{Choice, Paths, ServerSet, ServersError};
use crate::time::Timestamp;
use crate::transaction::course::{Course, Place};
use crate::transaction::grant::Grants;
use crate::transaction::{KeyedMatcher, Request};
use crate::transport::PathIndex;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// Peers that are servers of one service: a request [to the group](Self::submit) goes to the one that `set` chooses, and on
    /// to others while no reply comes, as that of a [`Transaction`](crate::transaction::Transaction::with_servers) does. `set` has a server
    /// for each of the `members`, in this order; `budget` is for the retransmissions of all requests to the group.
    ///
    /// Members are peers like others: each has its window, may be asked directly and be in several groups. Copies that a request
    /// sends to further members are on the wire beside the window, as they wait for no place. Estimators of peers hold for
    /// requests to these alone: the set measures its servers itself.
    ///
    /// # Errors
    ///
    /// [`ServersError::Count`] unless there are 1 to 64 members, [`ServersError::Members`] if these are not as many known peers
    /// as `set` has servers, each named once.
    pub fn add_group(
        &mut self,
        members: &[PeerId],
        set: ServerSet,
        budget: RetryBudget,
    ) -> Result<GroupId, ServersError> {
        if !(1..=Paths::MOST).contains(&members.len()) {
            return Err(ServersError::Count { count: members.len() });
        }
        let is_new = |(at, member): (usize, &PeerId)| {
            self.peers.present(*member).is_some() && !members.iter().take(at).any(|earlier| earlier == member)
        };
        if set.len() != members.len() || !members.iter().enumerate().all(is_new) {
            return Err(ServersError::Members);
        }
        if self.first_waits.is_none() {
            self.first_waits = Some(super::chunks::Chunks::new());
        }
        Ok(self.groups.add(members, set, Grants::of(budget)))
    }

    /// What is known of the servers of a group.
    #[must_use]
    pub fn servers(&self, group: GroupId) -> Option<&ServerSet> {
        self.groups.get(group.0).map(|group| &group.shared.set)
    }

    /// Takes in a request to a group.
    pub(super) fn take_in_for_group(
        &mut self,
        now: Timestamp,
        to: GroupId,
        request: &Request<'_>,
        token: u64,
    ) -> Result<Handle, SubmitError> {
        let group = self.groups.get(to.0).filter(|group| !group.is_dissolved).ok_or(SubmitError::UnknownPeer)?;
        // Until its place is known, its id is looked up at the first one.
        let &first = group.members.first().ok_or(SubmitError::UnknownPeer)?;
        let is_hedged = request.is_repeatable() && group.shared.set.is_hedging();
        if self.available() == 0 {
            return Err(SubmitError::Full);
        }
        if !self.matcher.stamps() && self.is_in_use(group, request.bytes()) {
            return Err(SubmitError::IdInUse);
        }
        let policy = request.own_policy().map_or(Some(0), |own| self.rules.intern(own));
        let policy = policy.ok_or(SubmitError::TooManyPolicies)?;
        let number = self.slots.vacancy();
        let (place, of_id) = self.keep(now, request.bytes(), number, PeerId(first))?;
        let generation = self.slots.insert(Slot::new(first, place, policy, token), of_id);
        self.keep_wait_of(number);
        self.groups.begin(number, to);
        let end_by = self.end_by(now, request);
        if end_by != Timestamp::MAX {
            self.keep_deadline(now, number, end_by);
        }
        if is_hedged {
            self.watch(now, number, to);
        }
        self.wait_for_any(number);
        self.groups.touch(to.0);
        self.settle(now);
        Ok(Handle { slot: number, generation })
    }

    /// A request that may be hedged is watched from its first transmission on, which takes a record.
    #[cold]
    fn watch(&mut self, now: Timestamp, number: u32, group: GroupId) {
        let log = self.records.log(now);
        let record = self.slots.get_mut(number).filter(|slot| slot.record == NONE);
        if let Some(slot) = record {
            slot.record = self.records.insert(Troubled::waiting(now, Timestamp::MAX, log));
        }
        self.groups.keep(number, GroupRequest::new(group.0, number, Course::new(true)));
    }

    /// Whether a request that may go to one of these has this id of the caller's.
    fn is_in_use(&self, group: &Group, bytes: &[u8]) -> bool {
        let Some(key) = self.matcher.id(bytes).and_then(|id| self.ids.key(id)) else { return false };
        group.members.iter().any(|&member| self.ids.find(key, member, self.kept(), &self.matcher).is_some())
    }

    /// To the end of those that wait for a place at any member.
    pub(super) fn wait_for_any(&mut self, number: u32) {
        let Some(group) = self.groups.group_of(number) else { return };
        if let Some(group) = self.groups.get_mut(group) {
            group.waiting.push_back(&mut self.slots, number, State::Waiting);
        }
    }

    /// Moves what waits in the groups that something has happened to.
    #[inline]
    pub(super) fn settle(&mut self, now: Timestamp) {
        if self.groups.are_touched() {
            self.settle_all(now);
        }
    }

    #[cold]
    fn settle_all(&mut self, now: Timestamp) {
        while let Some(number) = self.groups.next_touched() {
            let Some(group) = self.groups.get_mut(number) else { continue };
            if group.shared.take_released() {
                self.release_parked(now, number);
            }
            self.recall(now, number);
            while self.place_first(now, number) {}
            self.note_probe(number);
        }
    }

    /// A server lives again: all go on, the oldest first; those that have asked no one yet take their turn for a place.
    fn release_parked(&mut self, now: Timestamp, number: u32) {
        let parked = self.groups.get(number).map_or(0, |group| group.parked.len());
        for _ in 0..parked {
            let Some(group) = self.groups.get_mut(number) else { return };
            let Some(first) = group.parked.pop_front(&mut self.slots) else { return };
            self.wheel.remove(&mut self.slots, first);
            self.go_on(now, first, Turn::Last);
        }
    }

    /// What is ready for a server that has died in the meantime goes elsewhere.
    fn recall(&mut self, now: Timestamp, number: u32) {
        let Some(group) = self.groups.get_mut(number) else { return };
        let live = group.shared.set.live();
        let before = mem::replace(&mut group.ready_for, live);
        if before.except(live).is_empty() {
            return;
        }
        let is_lost = |&(ready, _): &(u32, &Slot)| self.groups.group_of(ready) == Some(number) && self.is_lost(ready);
        let lost: Vec<u32> = self.ready.iter(&self.slots).filter(is_lost).map(|(ready, _)| ready).collect();
        for ready in lost {
            self.detach(ready);
            if self.slots.get(ready).is_some_and(|slot| self.has_begun(slot)) {
                self.go_on(now, ready, Turn::Last);
            } else {
                self.give_up_place(now, ready);
            }
        }
    }

    /// Whether the server is dead that a request is to be sent to, and that not as a probe.
    pub(super) fn is_lost(&self, number: u32) -> bool {
        let Some(group) = self.groups.group_of(number).and_then(|group| self.groups.get(group)) else { return false };
        let target = match self.groups.request(number) {
            Some(request) => request.course.target.path().filter(|_| request.course.target != request.course.worker),
            None => self.slots.get(number).and_then(|slot| group.path_of(slot.peer)),
        };
        target.is_some_and(|target| !group.shared.set.live().contains(target))
    }

    /// A request that has not begun takes its turn again, before all others.
    pub(super) fn give_up_place(&mut self, now: Timestamp, number: u32) {
        let Some(peer) = self.slots.get(number).map(|slot| slot.peer) else { return };
        if let Some(request) = self.groups.request_mut(number) {
            request.asked.clear();
            request.is_admitted = false;
            request.course.target = Place::NONE;
        }
        if let Some(group) = self.groups.group_of(number) {
            if let Some(group) = self.groups.get_mut(group) {
                group.waiting.push_front(&mut self.slots, number, State::Waiting);
            }
            self.groups.touch(group);
        }
        let end_by = self.slots.get(number).map_or(Timestamp::MAX, |slot| self.end_by_of(slot));
        if end_by != Timestamp::MAX {
            self.wake_at(number, end_by);
        }
        self.leave_place(now, number, peer);
    }

    /// Has the first of those that wait take a place, or parks it if no server lives; `false` if it waits on.
    fn place_first(&mut self, now: Timestamp, number: u32) -> bool {
        let Some(group) = self.groups.get(number) else { return false };
        let Some(first) = group.waiting.first() else { return false };
        let full = self.full_for(group, first);
        let live = group.shared.set.live();
        if !live.is_empty() && live.except(full).is_empty() {
            return false;
        }
        let Some(group) = self.groups.get_mut(number) else { return false };
        let choice = group.shared.set.choose(now, full);
        if choice == Choice::TriedAll {
            return false;
        }
        group.waiting.remove(&mut self.slots, first);
        match choice {
            Choice::Ask(path) => self.place(now, first, path),
            Choice::TriedAll | Choice::Park => self.park(now, first),
        }
        true
    }

    /// The members at which it cannot take a place at present.
    fn full_for(&self, group: &Group, number: u32) -> Paths {
        let window = self.limits.window.get();
        let full = group.paths_where(|member| self.peers.get(member).is_none_or(|peer| peer.places >= window));
        // Where it has sent a probe it has a place.
        let has = self.groups.request(number).map_or(Paths::NONE, GroupRequest::carried);
        let full = full.except(has);
        if self.matcher.stamps() {
            return full;
        }
        // As if it were full: the reply to one could not be told from that to the other.
        group.paths_where(|member| self.is_taken_at(member, number)).iter().fold(full, Paths::with)
    }

    /// Whether another request to this peer has its id, which is the caller's.
    fn is_taken_at(&self, member: u32, number: u32) -> bool {
        let id = self.slots.get(number).and_then(|slot| self.matcher.id(self.payloads.get(slot.place)));
        let key = id.and_then(|id| self.ids.key(id));
        let owner = |found| self.groups.request(found).map_or(found, |request| request.slot);
        let other =
            |key| self.ids.find(key, member, self.kept(), &self.matcher).is_some_and(|it| owner(it.0) != number);
        !self.matcher.stamps() && key.is_some_and(other)
    }

    /// It takes a place at the peer of this path, and begins, or goes on where it was parked.
    fn place(&mut self, now: Timestamp, number: u32, path: PathIndex) {
        let has_begun = self.slots.get(number).is_some_and(|slot| self.has_begun(slot));
        match self.groups.request(number) {
            None => _ = self.take_place_at(number, path),
            Some(_) => _ = self.is_carried(now, number, path),
        }
        if let Some(request) = self.groups.request_mut(number) {
            request.is_admitted = true;
        }
        if !has_begun {
            self.aim(number, path);
            return self.take_place_until(now, number);
        }
        self.wheel.remove(&mut self.slots, number);
        if let Some(Case { troubled, mut recipient, .. }) = self.case(now, number) {
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing => active.on_released(routing, now));
            }
        }
        self.aim(number, path);
        self.go_on(now, number, Turn::Last);
    }

    /// Has its own bytes go to the peer of this path; `false` if another request there has its id.
    pub(super) fn take_place_at(&mut self, number: u32, path: PathIndex) -> bool {
        let member = self.groups.group_of(number).and_then(|group| self.groups.get(group)?.member(path));
        let (Some(member), Some(&slot)) = (member, self.slots.get(number)) else { return false };
        if self.is_taken_at(member, number) {
            return false;
        }
        let kept = super::Kept { slots: &self.slots, payloads: &self.payloads };
        self.ids.move_to(member, (slot.peer, number), slot.place, kept, &self.matcher);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.peer = member;
        }
        if let Some(peer) = self.peers.get_mut(member) {
            peer.take_place(number);
        }
        if let Some(request) = self.groups.request_mut(number) {
            request.carry(path);
        }
        true
    }

    /// Its slot that is due goes there; nothing need be known of that while it goes well.
    pub(super) fn aim(&mut self, number: u32, path: PathIndex) {
        let Self { peers, groups, .. } = self;
        if let Some((request, group)) = groups.with_group(number) {
            if let (_, Recipient::Several(mut asking)) = Recipient::several(peers, group, &mut request.course) {
                asking.aim_at(path);
            }
        }
    }

    /// No server lives: it begins all the same, and its slots pass.
    fn park(&mut self, now: Timestamp, number: u32) {
        self.wheel.remove(&mut self.slots, number);
        let _begun = self.case(now, number);
        self.go_on(now, number, Turn::Last);
    }

    /// Whether a request that was parked waits for a place, as a server lives again; then that is where it is.
    pub(super) fn queues_again(&mut self, now: Timestamp, number: u32) -> bool {
        let Some((request, group)) = self.groups.with_group(number) else { return false };
        if request.is_admitted || group.shared.set.is_all_dead() {
            return false;
        }
        let number_of_group = request.group;
        let record = self.slots.get(number).map_or(NONE, |slot| slot.record);
        let active = self.records.get(record).and_then(|troubled| troubled.active.as_ref());
        let Some(active) = active.filter(|active| !active.is_ending(now)) else { return false };
        let deadline = active.deadline();
        self.wait_for_any(number);
        if deadline != Timestamp::MAX {
            self.wake_at(number, deadline);
        }
        self.groups.touch(number_of_group);
        true
    }

    /// Has the next probe looked for in time, while requests wait for it.
    pub(super) fn note_probe(&mut self, number: u32) {
        if let Some(probe) = self.groups.get(number).and_then(Group::next_probe) {
            self.soonest = self.soonest.min(probe);
        }
    }

    /// Has the oldest of those that are parked carry the probes that are due.
    pub(super) fn send_probes(&mut self, now: Timestamp) {
        for number in self.groups.numbers() {
            let parked = self.groups.get(number).map_or(0, |group| group.parked.len());
            for _ in 0..parked {
                let Some(group) = self.groups.get(number) else { break };
                let is_due = group.next_probe().is_some_and(|probe| probe <= now);
                let Some(first) = group.parked.first().filter(|_| is_due) else { break };
                self.look_on(now, first);
            }
        }
    }

    /// A group of which a member was removed asks no one any more.
    pub(super) fn dissolve_groups_of(&mut self, peer: u32) {
        for at in 0..self.groups.of_peer(peer).len() {
            let group = self.groups.of_peer(peer).get(at).map(|&(group, _)| group);
            if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
                group.is_dissolved = true;
            }
        }
    }
}
