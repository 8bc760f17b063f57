use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use super::shared::Wakes;
use crate::time::Ns;
use crate::transaction::{Chunks, Handle, PeerId, RequestError};

/// The futures whose requests were taken in, by places that keep their number. A place stays its future's until that has taken
/// the outcome or was dropped, however long ago the request has ended.
pub(super) struct Calls {
    places: Chunks<Place>,
    /// The first of those that are free: a list.
    free: u32,
}

/// Names a call. No later one has the same name for a long time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    place: u32,
    generation: u32,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    stage: Stage,
}

impl Default for Place {
    fn default() -> Self {
        Self { generation: 0, stage: Stage::Free { next: NONE } }
    }
}

#[derive(Debug)]
enum Stage {
    Free { next: u32 },
    InFlight { handle: Handle, waker: Waker },
    Ended(Outcome),
}

#[derive(Debug)]
pub(super) enum Outcome {
    Reply(Answer),
    Failed(RequestError),
}

#[derive(Debug)]
pub(super) struct Answer {
    /// In a buffer of the pool's.
    pub(super) payload: Vec<u8>,
    pub(super) peer: PeerId,
    pub(super) transmissions: u32,
    pub(super) withheld: u32,
    pub(super) elapsed: Ns,
    /// [`UNMEASURED`] if it may belong to more than one transmission.
    pub(super) round_trip: Ns,
}

/// What was left of a call whose future was dropped.
#[derive(Debug)]
pub(super) enum Left {
    /// Its request is in flight, and this would have been woken.
    InFlight(Handle, Waker),
    /// No one took this.
    Ended(Outcome),
}

impl Key {
    /// What the engine returns with the end of the request.
    pub(super) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place)
    }

    fn of(token: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "it is made of two halves")]
        let (place, generation) = (token as u32, (token >> 32) as u32);
        Self { place, generation }
    }
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { places: Chunks::new(), free: NONE }
    }

    /// The name of the call that is inserted next.
    pub(super) fn next_key(&mut self) -> Key {
        if self.free == NONE {
            self.free = self.places.push(Place::default());
        }
        let generation = self.places.get(self.free).map_or(0, |place| place.generation);
        Key { place: self.free, generation }
    }

    pub(super) fn insert(&mut self, key: Key, handle: Handle, waker: Waker) {
        let Some(place) = self.at(key) else { return };
        if let Stage::Free { next } = mem::replace(&mut place.stage, Stage::InFlight { handle, waker }) {
            self.free = next;
        }
    }

    /// A request has ended; whom to wake. `None` if no one waits for it.
    pub(super) fn end(&mut self, token: u64, outcome: impl FnOnce() -> Outcome) -> Option<Waker> {
        let place = self.at(Key::of(token))?;
        if !matches!(place.stage, Stage::InFlight { .. }) {
            return None;
        }
        match mem::replace(&mut place.stage, Stage::Ended(outcome())) {
            Stage::InFlight { waker, .. } => Some(waker),
            Stage::Free { .. } | Stage::Ended(_) => None,
        }
    }

    /// The outcome, with which the place is free; else this one is woken by it.
    pub(super) fn poll(&mut self, key: Key, waker: &Waker, wakes: &mut Wakes) -> Option<Outcome> {
        let place = self.at(key)?;
        if let Stage::InFlight { waker: known, .. } = &mut place.stage {
            if !known.will_wake(waker) {
                wakes.unused = Some(mem::replace(known, waker.clone()));
            }
            return None;
        }
        match self.remove(key)? {
            Left::Ended(outcome) => Some(outcome),
            Left::InFlight(..) => None,
        }
    }

    /// The future does not want it any more.
    pub(super) fn remove(&mut self, key: Key) -> Option<Left> {
        let free = self.free;
        let place = self.at(key)?;
        if matches!(place.stage, Stage::Free { .. }) {
            return None;
        }
        place.generation = place.generation.wrapping_add(1);
        let left = mem::replace(&mut place.stage, Stage::Free { next: free });
        self.free = key.place;
        match left {
            Stage::InFlight { handle, waker } => Some(Left::InFlight(handle, waker)),
            Stage::Ended(outcome) => Some(Left::Ended(outcome)),
            Stage::Free { .. } => None,
        }
    }

    /// Those whose requests are in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = Handle> {
        (0..self.places.len()).filter_map(|number| match &self.places.get(number)?.stage {
            Stage::InFlight { handle, .. } => Some(*handle),
            Stage::Free { .. } | Stage::Ended(_) => None,
        })
    }

    fn at(&mut self, key: Key) -> Option<&mut Place> {
        self.places.get_mut(key.place).filter(|place| place.generation == key.generation)
    }
}

const NONE: u32 = u32::MAX;
/// No round trip takes as long.
pub(super) const UNMEASURED: Ns = Ns::MAX;
