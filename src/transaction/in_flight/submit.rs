use core::fmt::Debug;

use super::finished::{Finished, Handle, PeerId};
use super::groups::Addressee;
use super::ids::Unstamped;
use super::limits::SubmitError;
use super::payloads::Place;
use super::slots::Slot;
use super::troubled::Troubled;
use super::{InFlight, State};
use crate::time::Timestamp;
use crate::transaction::{KeyedMatcher, Request};

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// Takes in a request to a peer, or to a group of them; `token` comes back with its end.
    ///
    /// # Errors
    ///
    /// It was not taken in: see [`SubmitError`].
    #[inline]
    pub fn submit<'r>(
        &mut self,
        now: Timestamp,
        to: impl Into<Addressee>,
        request: impl Into<Request<'r>>,
        token: u64,
    ) -> Result<Handle, SubmitError> {
        match to.into() {
            Addressee::Peer(peer) => self.take_in(now, peer, &request.into(), token),
            Addressee::Group(group) => self.take_in_for_group(now, group, &request.into(), token),
        }
    }

    fn take_in(
        &mut self,
        now: Timestamp,
        to: PeerId,
        request: &Request<'_>,
        token: u64,
    ) -> Result<Handle, SubmitError> {
        if self.peers.present(to).is_none() {
            return Err(SubmitError::UnknownPeer);
        }
        if self.available() == 0 {
            return Err(SubmitError::Full);
        }
        let policy = request.own_policy().map_or(Some(0), |own| self.rules.intern(own));
        let policy = policy.ok_or(SubmitError::TooManyPolicies)?;
        let number = self.slots.vacancy();
        let (place, of_id) = self.keep(now, request.bytes(), number, to)?;
        let generation = self.slots.insert(Slot::new(to.0, place, policy, token), of_id);
        self.keep_wait_of(number);
        let end_by = self.end_by(now, request);
        if end_by != Timestamp::MAX {
            self.keep_deadline(now, number, end_by);
        }
        let leaves_at_once = end_by == Timestamp::MAX && !self.rules.plan(policy).delays_start;
        self.enqueue(now, number, to.0, leaves_at_once);
        Ok(Handle { slot: number, generation })
    }

    /// Makes sure that the first wait of a slot has its place, where those are kept.
    #[inline]
    pub(super) fn keep_wait_of(&mut self, number: u32) {
        if let Some(first_waits) = &mut self.first_waits {
            while first_waits.len() <= number {
                first_waits.push(0);
            }
        }
    }

    /// Keeps the bytes of a request under an id of its own; where, and the generation of its slot if the id says that.
    #[inline]
    pub(super) fn keep(
        &mut self,
        now: Timestamp,
        bytes: &[u8],
        number: u32,
        to: PeerId,
    ) -> Result<(Place, Option<u32>), SubmitError> {
        if bytes.len() > self.payloads.longest() {
            return Err(SubmitError::TooLarge { len: bytes.len() });
        }
        let Self { ids, slots, payloads, matcher, .. } = self;
        let kept = payloads.keep_with(bytes, slots.take_place(), |kept| ids.stamp(now, kept, number));
        let (place, stamped) = kept.ok_or(SubmitError::Full)?;
        let entered = match stamped {
            Ok(of_id) => return Ok((place, of_id)),
            Err(Unstamped::InTable) => ids.enter(matcher, (slots, payloads), place, number, to.0),
            Err(Unstamped::NoPlace) => Err(SubmitError::Unmatchable),
            Err(Unstamped::NoneFree) => Err(SubmitError::IdsUsedUp { until: ids.first_free() }),
        };
        entered.inspect_err(|_| self.payloads.release(place)).map(|()| (place, None))
    }

    pub(super) fn end_by(&self, now: Timestamp, request: &Request<'_>) -> Timestamp {
        let deadline = match (request.own_deadline(), self.deadline) {
            (Some(own), Some(ours)) => Some(own.min(ours)),
            (own, ours) => own.or(ours),
        };
        deadline.map_or(Timestamp::MAX, |deadline| now.after(deadline))
    }

    /// A deadline of its own takes a record, and counts while it waits.
    #[cold]
    pub(super) fn keep_deadline(&mut self, now: Timestamp, number: u32, end_by: Timestamp) {
        let log = self.records.log(now);
        let record = self.records.insert(Troubled::waiting(now, end_by, log));
        if let Some(slot) = self.slots.get_mut(number) {
            slot.record = record;
        }
        self.wake_at(number, end_by);
    }

    /// The caller no longer wants the reply; how it ended, or `None` if it had.
    pub fn cancel(&mut self, now: Timestamp, handle: Handle) -> Option<Finished> {
        self.slots.open(handle)?;
        self.fail_cancelled(now, handle.slot);
        let was_last = self.slots.get(handle.slot).is_some_and(|slot| slot.state == State::Finished);
        if was_last {
            self.finished.remove(&mut self.slots, handle.slot);
        }
        self.settle(now);
        self.take_finished(handle.slot)
    }
}
