//! Copies of a request for further members of its group: each has a slot of its own, by which replies from there find it.

use core::fmt::Debug;
use core::mem;

use super::finished::{Handle, PeerId};
use super::group_request::Asked;
use super::slots::Slot;
use super::{InFlight, State};
use crate::time::Timestamp;
use crate::transaction::KeyedMatcher;
use crate::transport::PathIndex;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// Makes sure that a request has what the peer of this path gets: its own bytes, or a copy. `false` if there is no space.
    pub(super) fn is_carried(&mut self, now: Timestamp, number: u32, path: PathIndex) -> bool {
        let Some(request) = self.groups.request(number).filter(|request| request.at(path).is_none()) else {
            return true;
        };
        match request.of_slot(number) {
            // A parked one sends its first probe itself.
            None => self.take_place_at(number, path),
            Some(_) => self.copy_for(now, number, path).is_some(),
        }
    }

    /// Copies a request for the peer of a path: with an id of its own, if ids are ours to give, and a place beside the window.
    #[cold]
    fn copy_for(&mut self, now: Timestamp, number: u32, path: PathIndex) -> Option<()> {
        if self.available() == 0 {
            return None;
        }
        let group = self.groups.group_of(number)?;
        let member = self.groups.get(group)?.member(path)?;
        let original = *self.slots.get(number)?;
        let mut bytes = mem::take(&mut self.groups.copy);
        bytes.clear();
        bytes.extend_from_slice(self.payloads.get(original.place));
        let alias = self.slots.vacancy();
        let kept = self.keep(now, &bytes, alias, PeerId(member));
        self.groups.copy = bytes;
        let (place, of_id) = kept.ok()?;
        let mut slot = Slot::new(member, place, original.policy, original.token);
        (slot.record, slot.state) = (original.record, State::Alias);
        self.slots.insert(slot, of_id);
        self.groups.aliases += 1;
        self.groups.share(alias, number);
        self.groups.request_mut(number)?.asked.push(Asked::new(path, alias));
        self.peers.get_mut(member)?.take_place(alias);
        Some(())
    }

    /// Frees a copy, its place and its id.
    pub(super) fn free_alias(&mut self, now: Timestamp, alias: u32) {
        let copy = self.slots.get(alias).filter(|slot| slot.state == State::Alias);
        let Some(&Slot { peer, generation, place, .. }) = copy else { return };
        let handle = Handle { slot: alias, generation };
        self.release_id(now, handle, peer, place);
        self.free(alias);
        self.groups.forget_copy(alias);
        if let Some(envelopes) = &mut self.envelopes {
            envelopes.forget(alias);
        }
        self.groups.aliases -= 1;
        self.leave_place(now, alias, peer);
    }
}
