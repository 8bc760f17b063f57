use alloc::boxed::Box;
use alloc::vec;

/// By id: the slot of the request that has it.
///
/// Ids are spread over all of it, so it takes two bytes an id while all slots have such small numbers.
#[derive(Debug)]
pub(super) enum SlotTable {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl SlotTable {
    pub(super) fn new(ids: usize) -> Self {
        Self::Narrow(vec![u16::MAX; ids].into_boxed_slice())
    }

    #[inline]
    pub(super) fn get(&self, id: u16) -> Option<u32> {
        match self {
            Self::Narrow(slots) => {
                slots.get(usize::from(id)).filter(|&&slot| slot != u16::MAX).map(|&slot| slot.into())
            }
            Self::Wide(slots) => slots.get(usize::from(id)).copied().filter(|&slot| slot != u32::MAX),
        }
    }

    #[inline]
    pub(super) fn set(&mut self, id: u16, slot: u32) {
        match (self, u16::try_from(slot)) {
            (Self::Narrow(slots), Ok(slot)) if slot != u16::MAX => put(slots, id, slot),
            (Self::Wide(slots), _) => put(slots, id, slot),
            (narrow, _) => narrow.widen(id, slot),
        }
    }

    #[inline]
    pub(super) fn clear(&mut self, id: u16) {
        match self {
            Self::Narrow(slots) => put(slots, id, u16::MAX),
            Self::Wide(slots) => put(slots, id, u32::MAX),
        }
    }

    #[cold]
    fn widen(&mut self, id: u16, slot: u32) {
        let slots = (0..=u16::MAX).take(self.ids()).map(|id| self.get(id).unwrap_or(u32::MAX)).collect();
        *self = Self::Wide(slots);
        self.set(id, slot);
    }

    fn ids(&self) -> usize {
        match self {
            Self::Narrow(slots) => slots.len(),
            Self::Wide(slots) => slots.len(),
        }
    }
}

#[inline]
fn put<T>(slots: &mut [T], id: u16, slot: T) {
    if let Some(place) = slots.get_mut(usize::from(id)) {
        *place = slot;
    }
}
