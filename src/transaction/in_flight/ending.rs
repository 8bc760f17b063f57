//! How a request ends that has a record.

use core::fmt::Debug;

use super::payloads::Place;
use super::progress::{Case, Turn};
use super::{Handle, InFlight};
use crate::time::Timestamp;
use crate::transaction::KeyedMatcher;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// The end of a troubled request that is in the wheel and in the queues no more: its place and its id are others' from now on.
    pub(super) fn close(&mut self, now: Timestamp, number: u32) {
        if let Some(group) = self.groups.group_of(number) {
            return self.close_in_group(now, number, group);
        }
        let Some(slot) = self.slots.get(number) else { return };
        let handle = Handle { slot: number, generation: slot.generation };
        let (peer, place, has_place) = (slot.peer, slot.place, slot.has_place());
        self.release_id(now, handle, peer, place);
        if has_place {
            self.leave_place(now, number, peer);
        }
    }

    /// The id of a request whose bytes are kept there, and which did not simply go well, finds nothing any more.
    pub(super) fn release_id(&mut self, now: Timestamp, handle: Handle, peer: u32, place: Place) {
        let key = self.matcher.id(self.payloads.get(place)).and_then(|id| self.ids.key(id));
        self.ids.release(now, handle, peer, false, key);
    }

    /// The caller no longer wants the reply.
    pub(super) fn fail_cancelled(&mut self, now: Timestamp, number: u32) {
        self.detach(number);
        if let Some(Case { troubled, terms, .. }) = self.case(now, number) {
            if let Some(active) = &mut troubled.active {
                active.on_cancelled(&terms);
            }
        }
        self.go_on(now, number, Turn::Last);
    }
}
