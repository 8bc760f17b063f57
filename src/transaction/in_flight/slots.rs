use core::mem;

use super::chunks::Chunks;
use super::finished::Handle;
use super::payloads::Place;
use crate::time::Timestamp;
use crate::time::wheel::{Link, Links};

/// One request: all that is kept of it while it goes well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Its place in the wheel.
    pub(super) link: Link,
    /// When it was sent, or is to be, or its neighbours in a [`Queue`]: which, its state says. Of a free slot, the next free one.
    moment: u64,
    pub(super) token: u64,
    /// Of a slot in use, the higher half of what names it.
    pub(super) generation: u32,
    pub(super) peer: u32,
    /// Its record, once it needs one; [`NONE`] otherwise.
    pub(super) record: u32,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) policy: u8,
}

/// A request that goes well, since it was sent.
#[derive(Clone, Copy)]
pub(super) struct Clean {
    pub(super) handle: Handle,
    pub(super) sent: Timestamp,
    pub(super) peer: u32,
    pub(super) policy: u8,
}

impl Default for Slot {
    /// A free one, behind which there is none.
    fn default() -> Self {
        let mut free = Self::new(0, Place::NOWHERE, 0, 0);
        free.state = State::Free;
        free.set_neighbours(NONE, NONE);
        free
    }
}

/// What a slot is in, and so what [`Slot::moment`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Free,
    /// For a place in its peer's window, in that queue.
    Waiting,
    /// Has its place, and waits for the moment that its policy's start delay names.
    Delayed,
    /// Is to be transmitted now; in the queue of those.
    Ready,
    /// Waits for the reply, or its next slot. The moment is that of its transmission, if it has no record.
    Sent,
    /// For a server of its group that lives, in the queue of those.
    Parked,
    /// Has a copy of a request, for another peer.
    Alias,
    /// An error was reported: the socket is to be looked at before that ends it. In the queue of those.
    Suspect,
    /// Has ended, and is to be reported. In the queue of those.
    Finished,
}

impl Slot {
    #[inline]
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.moment)
    }

    #[inline]
    pub(super) fn set_at(&mut self, at: Timestamp) {
        self.moment = at.as_nanos();
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    fn neighbours(&self) -> (u32, u32) {
        (self.moment as u32, (self.moment >> 32) as u32)
    }

    #[inline]
    fn set_neighbours(&mut self, before: u32, after: u32) {
        self.moment = u64::from(before) | u64::from(after) << 32;
    }

    /// What its schedule follows from, if it was sent once and has no record.
    #[inline]
    pub(super) fn clean(&self, number: u32) -> Clean {
        let handle = Handle { slot: number, generation: self.generation };
        Clean { handle, sent: self.at(), peer: self.peer, policy: self.policy }
    }

    /// Whether it has not ended.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Free | State::Finished)
    }

    /// Whether it has a place in its peer's window.
    #[inline]
    pub(super) fn has_place(&self) -> bool {
        self.is_open() && self.state != State::Waiting
    }
}

/// All slots: places that are used again, under another generation.
///
/// The one freed last is *warm*: it stands in the wheel still, if its request went well, and the block of its bytes is kept.
/// Where replies and requests alternate, the next request finds both as it needs them.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Chunks<Slot>,
    /// Those freed, the latest first.
    free: u32,
    /// Whether the first of those is warm. No other is.
    is_warm: bool,
    used: u32,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { slots: Chunks::new(), free: NONE, is_warm: false, used: 0 }
    }

    /// In use, those included that have ended and are to be reported.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The number of the slot that [`insert`](Self::insert) fills next.
    #[inline]
    pub(super) fn vacancy(&mut self) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        self.free
    }

    #[cold]
    fn grow(&mut self) {
        self.free = self.slots.push(Slot::default());
    }

    /// Takes the block out that the vacancy has, if it is warm.
    #[inline]
    pub(super) fn take_place(&mut self) -> Place {
        let vacancy = self.slots.get_mut(self.free);
        vacancy.map_or(Place::NOWHERE, |slot| mem::replace(&mut slot.place, Place::NOWHERE))
    }

    /// Fills the vacancy, which stays where it stands in the wheel. The generation of the slot from now on: as its id says it, or
    /// another one than before.
    #[inline(always)]
    pub(super) fn insert(&mut self, slot: Slot, of_id: Option<u32>) -> u32 {
        let Some(free) = self.slots.get_mut(self.free) else { return 0 };
        let generation = of_id.unwrap_or(free.generation.wrapping_add(1));
        self.used += 1;
        (self.free, self.is_warm) = (free.neighbours().1, false);
        // Field by field: what is put together elsewhere and moved here makes the processor wait.
        (free.moment, free.token) = (slot.moment, slot.token);
        (free.generation, free.peer, free.record) = (generation, slot.peer, slot.record);
        (free.place, free.state, free.policy) = (slot.place, slot.state, slot.policy);
        generation
    }

    /// Frees a slot, which is warm then. None is before.
    #[inline]
    pub(super) fn leave(&mut self, number: u32) {
        let next = self.free;
        let Some(slot) = self.slots.get_mut(number).filter(|slot| slot.state != State::Free) else { return };
        slot.state = State::Free;
        slot.set_neighbours(NONE, next);
        (self.free, self.is_warm) = (number, true);
        self.used -= 1;
    }

    /// Whether there is a warm one.
    #[inline]
    pub(super) fn is_warm(&self) -> bool {
        self.is_warm
    }

    /// The warm slot is free like all others then: its number, and what is still to be done about it.
    pub(super) fn cool(&mut self) -> Option<(u32, Freed)> {
        if !mem::take(&mut self.is_warm) {
            return None;
        }
        let slot = self.slots.get_mut(self.free)?;
        let link = mem::replace(&mut slot.link, Link::FREE);
        let place = mem::replace(&mut slot.place, Place::NOWHERE);
        Some((self.free, Freed { link, place }))
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number)
    }

    /// The slot of a request that has not ended.
    #[inline]
    pub(super) fn open(&self, handle: Handle) -> Option<&Slot> {
        let is_it = |slot: &&Slot| slot.is_open() && slot.generation == handle.generation;
        self.slots.get(handle.slot).filter(|slot| is_it(slot) && slot.state != State::Alias)
    }

    #[inline]
    pub(super) fn handle(&self, number: u32) -> Handle {
        Handle { slot: number, generation: self.slots.get(number).map_or(0, |slot| slot.generation) }
    }

    /// All that are in use.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.slots.len()
    }
}

/// What was kept of a request that is gone: its place in the wheel, and that of its bytes.
#[must_use]
pub(super) struct Freed {
    pub(super) link: Link,
    pub(super) place: Place,
}

impl Links for Slots {
    #[inline]
    fn link(&mut self, item: u32) -> Option<&mut Link> {
        self.slots.get_mut(item).map(|slot| &mut slot.link)
    }
}

/// Slots in an order, linked through what their state does not need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

impl Queue {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The slot is in no queue.
    #[inline]
    pub(super) fn push_back(&mut self, slots: &mut Slots, number: u32, state: State) {
        let last = self.last;
        let Some(slot) = slots.get_mut(number) else { return };
        slot.state = state;
        slot.set_neighbours(last, NONE);
        self.last = number;
        self.len += 1;
        match slots.get_mut(last) {
            Some(before) => before.set_neighbours(before.neighbours().0, number),
            None => self.first = number,
        }
    }

    /// The slot is in no queue.
    pub(super) fn push_front(&mut self, slots: &mut Slots, number: u32, state: State) {
        let first = self.first;
        let Some(slot) = slots.get_mut(number) else { return };
        slot.state = state;
        slot.set_neighbours(NONE, first);
        self.first = number;
        self.len += 1;
        match slots.get_mut(first) {
            Some(after) => after.set_neighbours(number, after.neighbours().1),
            None => self.last = number,
        }
    }

    /// The slot is in this queue.
    #[inline]
    pub(super) fn remove(&mut self, slots: &mut Slots, number: u32) {
        let Some((before, after)) = slots.get(number).map(Slot::neighbours) else { return };
        match slots.get_mut(before) {
            Some(slot) => slot.set_neighbours(slot.neighbours().0, after),
            None => self.first = after,
        }
        match slots.get_mut(after) {
            Some(slot) => slot.set_neighbours(before, slot.neighbours().1),
            None => self.last = before,
        }
        self.len -= 1;
    }

    #[inline]
    pub(super) fn pop_front(&mut self, slots: &mut Slots) -> Option<u32> {
        let first = self.first()?;
        let (_, after) = slots.get(first)?.neighbours();
        self.drop_first(slots, after);
        Some(first)
    }

    /// The first goes, and this one is next.
    #[inline]
    fn drop_first(&mut self, slots: &mut Slots, after: u32) {
        self.first = after;
        self.len -= 1;
        match slots.get_mut(after) {
            Some(slot) => slot.set_neighbours(NONE, slot.neighbours().1),
            None => self.last = NONE,
        }
    }

    /// As [`pop_front`](Self::pop_front), of what is sent at this moment; its number alone, if it has a record.
    #[inline]
    pub(super) fn pop_sent(&mut self, slots: &mut Slots, sent: Timestamp) -> Option<Result<Clean, u32>> {
        let first = self.first()?;
        let slot = slots.get(first)?;
        let (_, after) = slot.neighbours();
        let popped = if slot.record == NONE { Ok(Clean { sent, ..slot.clean(first) }) } else { Err(first) };
        self.drop_first(slots, after);
        Some(popped)
    }

    /// From the first on.
    pub(super) fn iter<'s>(&self, slots: &'s Slots) -> impl Iterator<Item = (u32, &'s Slot)> + use<'s> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            let slot = slots.get(next)?;
            let number = mem::replace(&mut next, slot.neighbours().1);
            Some((number, slot))
        })
    }
}

impl Slot {
    #[inline]
    pub(super) fn new(peer: u32, place: Place, policy: u8, token: u64) -> Self {
        Self {
            link: Link::FREE,
            moment: 0,
            token,
            generation: 0,
            peer,
            record: NONE,
            place,
            state: State::Waiting,
            policy,
        }
    }
}

/// No slot and no record has this number.
pub(super) const NONE: u32 = u32::MAX;

const _: () = assert!(size_of::<Slot>() == 48);
