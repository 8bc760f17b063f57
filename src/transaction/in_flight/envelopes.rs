use super::chunks::Chunks;
use super::slots::NONE;
use crate::envelope::Incarnation;
use crate::transaction::said::Said;

/// What envelopes have said of the requests in flight that need more than the header that lies before their bytes: those that
/// were sent and have a record, each copy for a member of a group by itself.
///
/// One that was sent once and goes well needs nothing here: its only transmission is number 1, left when its slot says, and names
/// what its header does.
#[derive(Debug)]
pub(super) struct Envelopes {
    /// Of each slot, where in `said` that is.
    places: Chunks<Place>,
    said: Chunks<Said>,
    /// Of these, those that no slot has.
    free: Chunks<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Place(u32);

impl Default for Place {
    fn default() -> Self {
        Self(NONE)
    }
}

impl Envelopes {
    pub(super) const fn new() -> Self {
        Self { places: Chunks::new(), said: Chunks::new(), free: Chunks::new() }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Said> {
        let &Place(place) = self.places.get(slot)?;
        self.said.get(place).filter(|_| place != NONE)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Said> {
        let &Place(place) = self.places.get(slot)?;
        self.said.get_mut(place).filter(|_| place != NONE)
    }

    /// The same, made if there is none: then the first transmission named this incarnation.
    pub(super) fn keep(&mut self, slot: u32, named: Option<Incarnation>) -> Option<&mut Said> {
        if self.get(slot).is_none() {
            let mut said = Said::default();
            let _named = said.name(named);
            while self.places.len() <= slot {
                self.places.push(Place::default());
            }
            let place = self.free.pop().unwrap_or_else(|| self.said.push(Said::default()));
            *self.said.get_mut(place)? = said;
            *self.places.get_mut(slot)? = Place(place);
        }
        self.get_mut(slot)
    }

    /// The slot has ended, or its copy.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(place) = self.places.get_mut(slot) else { return };
        let Place(freed) = core::mem::take(place);
        if freed != NONE {
            self.free.push(freed);
        }
    }
}
