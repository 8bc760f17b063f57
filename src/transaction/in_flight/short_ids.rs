use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::limits::Rest;
use super::slots::NONE;
use crate::entropy::{IdSource, uniform};
use crate::time::{Ns, Timestamp};

/// Ids of one or two bytes: which request has which, and which rest because replies to them may be on their way.
///
/// One is drawn at random among those that have rested. These are refilled, the longest rested first, only once half of all
/// ids are gone: so each rests as long as the others allow, and what comes next stays unpredictable.
#[derive(Debug)]
pub(super) struct ShortIds {
    /// By id: the slot of the request that has it, or that it rests.
    slots: Box<[u32]>,
    /// Those that may be used.
    free: Vec<u16>,
    /// Those that rest, each queue in the order of time: after clean requests, and after others.
    clean: VecDeque<(Timestamp, u16)>,
    other: VecDeque<(Timestamp, u16)>,
    rest: Rest,
}

impl ShortIds {
    /// Of one byte or of two.
    pub(super) fn new(width: usize, rest: Rest) -> Self {
        let last = if width == 1 { u16::from(u8::MAX) } else { u16::MAX };
        let free: Vec<u16> = (0..=last).collect();
        Self {
            slots: vec![NONE; free.len()].into_boxed_slice(),
            free,
            clean: VecDeque::new(),
            other: VecDeque::new(),
            rest,
        }
    }

    /// An id for a request.
    ///
    /// # Errors
    ///
    /// When the first one has rested, if all are in use or rest; `None` if all are in use.
    #[inline]
    pub(super) fn draw(&mut self, now: Timestamp, ids: &mut IdSource) -> Result<u16, Option<Timestamp>> {
        if self.free.len() < self.slots.len() / 2 {
            self.refill(now);
        }
        let Some(last) = self.free.len().checked_sub(1) else { return Err(self.first_free()) };
        let place = uniform(0, last as u64, ids.number());
        Ok(self.free.swap_remove(usize::try_from(place).unwrap_or(last)))
    }

    #[inline]
    pub(super) fn find(&self, id: u16) -> Option<u32> {
        self.slots.get(usize::from(id)).copied().filter(|&slot| slot < RESTING)
    }

    #[inline]
    pub(super) fn set(&mut self, id: u16, slot: u32) {
        if let Some(place) = self.slots.get_mut(usize::from(id)) {
            *place = slot;
        }
    }

    /// The request that has it has ended at `now`.
    #[inline]
    pub(super) fn release(&mut self, now: Timestamp, id: u16, clean: bool) {
        self.set(id, RESTING);
        let Self { rest, clean: after_clean, other, .. } = self;
        let (queue, rest) = if clean { (after_clean, rest.clean) } else { (other, rest.other) };
        push(queue, now, rest, id);
    }

    /// One that no request has used after all.
    pub(super) fn put_back(&mut self, id: u16) {
        self.set(id, NONE);
        self.free.push(id);
    }

    /// Whether it was used, and rests.
    pub(super) fn is_resting(&self, id: u16) -> bool {
        self.slots.get(usize::from(id)) == Some(&RESTING)
    }

    /// Takes over those that have rested until half are free again.
    fn refill(&mut self, now: Timestamp) {
        while self.free.len() < self.slots.len() / 2 {
            let first = |queue: &VecDeque<(Timestamp, u16)>| queue.front().map_or(Timestamp::MAX, |&(until, _)| until);
            let queue = if first(&self.clean) <= first(&self.other) { &mut self.clean } else { &mut self.other };
            match queue.front() {
                Some(&(until, id)) if until <= now => {
                    queue.pop_front();
                    self.put_back(id);
                }
                _ => return,
            }
        }
    }

    fn first_free(&self) -> Option<Timestamp> {
        let fronts = [&self.clean, &self.other].into_iter().filter_map(|queue| queue.front());
        fronts.map(|&(until, _)| until).min()
    }
}

#[inline]
fn push(queue: &mut VecDeque<(Timestamp, u16)>, now: Timestamp, rest: Ns, id: u16) {
    // A clock that ran backwards must not disturb the order.
    let last = queue.back().map_or(Timestamp::ZERO, |&(until, _)| until);
    queue.push_back((now.after_ns(rest).max(last), id));
}

/// No slot has this number either.
const RESTING: u32 = NONE - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    const REST: Rest = Rest { clean: 100, other: 1000 };

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_nanos(ns)
    }

    #[test]
    fn every_id_is_in_use_once_and_rests_before_it_comes_again() {
        let (mut ids, mut source) = (ShortIds::new(1, REST), IdSource::from_seed(Seed::new(1)));
        let mut drawn: Vec<u16> = (0..256).map(|_| ids.draw(at(0), &mut source).unwrap()).collect();
        assert_eq!(ids.draw(at(0), &mut source), Err(None));
        drawn.iter().for_each(|&id| ids.set(id, id.into()));
        assert!(drawn.iter().all(|&id| ids.find(id) == Some(id.into())));
        let sorted = drawn.is_sorted();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!((drawn.len(), sorted), (256, false));

        ids.release(at(10), 7, true);
        ids.release(at(10), 8, false);
        assert_eq!((ids.find(7), ids.is_resting(7), ids.is_resting(9)), (None, true, false));
        assert_eq!(ids.draw(at(109), &mut source), Err(Some(at(110))));
        assert_eq!(ids.draw(at(110), &mut source), Ok(7));
        assert_eq!(ids.draw(at(1009), &mut source), Err(Some(at(1010))));
        assert_eq!(ids.draw(at(1010), &mut source), Ok(8));
        ids.put_back(8);
        assert_eq!(ids.draw(at(1010), &mut source), Ok(8));
    }

    #[test]
    fn while_half_are_free_none_comes_again_although_it_has_rested() {
        let (mut ids, mut source) = (ShortIds::new(2, REST), IdSource::from_seed(Seed::new(1)));
        let mut used = std::collections::BTreeSet::new();
        for n in 0..u64::from(u16::MAX / 2) {
            let id = ids.draw(at(n * 10_000), &mut source).unwrap();
            assert!(used.insert(id), "{id} came again as number {n}");
            ids.release(at(n * 10_000), id, true);
        }
        // From then on the longest rested come back, and are drawn among the others.
        let later = at(1 << 40);
        let again = (0..1000).filter(|_| used.contains(&ids.draw(later, &mut source).unwrap())).count();
        assert!((1..100).contains(&again), "{again}");
    }

    #[test]
    fn what_comes_next_does_not_follow_from_what_came() {
        let (mut ids, mut source) = (ShortIds::new(2, REST), IdSource::from_seed(Seed::new(2)));
        let drawn: Vec<u16> = (0..2000).map(|_| ids.draw(at(0), &mut source).unwrap()).collect();
        let near = drawn.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 328).count();
        // Of 2,000 pairs one in a hundred is that near by chance.
        assert!((5..45).contains(&near), "{near}");
        assert!(drawn.iter().any(|&id| id < 3277) && drawn.iter().any(|&id| id > 62_258));
    }
}
