mod free;
mod resting;
mod slot_table;

use self::free::FreeIds;
use self::resting::Resting;
use self::slot_table::SlotTable;
use super::limits::Rest;
use crate::entropy::IdSource;
use crate::time::Timestamp;

/// Ids of one or two bytes: which request has which, and which rest because replies to them may be on their way.
///
/// One is drawn at random among those that have rested. These are refilled, the longest rested first, only once half of all
/// ids are gone: so each rests as long as the others allow, and what comes next stays unpredictable.
#[derive(Debug)]
pub(super) struct ShortIds {
    slots: SlotTable,
    /// Those that may be used. One bit each: a list of them would take as much of the caches as all else here.
    free: FreeIds,
    /// Those that rest after clean requests, and after others.
    clean: Resting,
    other: Resting,
    rest: Rest,
}

impl ShortIds {
    /// Of one byte or of two.
    pub(super) fn new(width: usize, rest: Rest) -> Self {
        let bits = if width == 1 { 8 } else { 16 };
        let (slots, free) = (SlotTable::new(1 << bits), FreeIds::all(bits));
        Self { slots, free, clean: Resting::EMPTY, other: Resting::EMPTY, rest }
    }

    /// An id for a request, to be [`set`](Self::set) at once.
    ///
    /// # Errors
    ///
    /// When the first one has rested, if all are in use or rest; `None` if all are in use.
    #[inline]
    pub(super) fn draw(&mut self, now: Timestamp, ids: &mut IdSource) -> Result<u16, Option<Timestamp>> {
        if self.free.is_less_than_half() {
            self.refill(now);
        }
        self.free.draw(ids).ok_or_else(|| self.first_free())
    }

    #[inline]
    pub(super) fn find(&self, id: u16) -> Option<u32> {
        self.slots.get(id)
    }

    #[inline]
    pub(super) fn set(&mut self, id: u16, slot: u32) {
        self.slots.set(id, slot);
    }

    /// The request that has it has ended at `now`.
    #[inline]
    pub(super) fn release(&mut self, now: Timestamp, id: u16, clean: bool) {
        let Self { rest, clean: after_clean, other, .. } = self;
        let (queue, rest) = if clean { (after_clean, rest.clean) } else { (other, rest.other) };
        queue.push(now.after_ns(rest), id);
        self.slots.clear(id);
    }

    /// Whether it was used, and rests.
    pub(super) fn is_resting(&self, id: u16) -> bool {
        !self.free.has(id) && self.slots.get(id).is_none()
    }

    /// Takes over those that have rested until half are free again.
    #[inline]
    fn refill(&mut self, now: Timestamp) {
        while self.free.is_less_than_half() {
            let queue = if self.clean.first <= self.other.first { &mut self.clean } else { &mut self.other };
            let Some(id) = queue.pop(now) else { return };
            self.free.add(id);
        }
    }

    fn first_free(&self) -> Option<Timestamp> {
        let fronts = [&self.clean, &self.other].into_iter().filter_map(|queue| queue.until());
        fronts.min()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeSet, VecDeque};
    use alloc::vec::Vec;

    use super::*;
    use crate::entropy::{Seed, uniform};

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
        ids.set(7, 70_000);
        assert_eq!(ids.draw(at(1009), &mut source), Err(Some(at(1010))));
        assert_eq!(ids.draw(at(1010), &mut source), Ok(8));
        ids.set(8, 8);
        // A number that needs more than two bytes has changed no other.
        assert_eq!([7, 8, 9].map(|id| ids.find(id)), [Some(70_000), Some(8), Some(9)]);
        assert_eq!(ids.draw(at(1010), &mut source), Err(None));
        assert!(!ids.is_resting(7) && !ids.is_resting(8));
    }

    #[test]
    fn the_ids_drawn_are_those_of_plain_lists_whatever_ends_when() {
        let (mut ids, mut source) = (ShortIds::new(1, REST), IdSource::from_seed(Seed::new(4)));
        let mut same_source = IdSource::from_seed(Seed::new(4));
        let (mut free, mut clean, mut other) = ((0..256).collect::<BTreeSet<u16>>(), VecDeque::new(), VecDeque::new());
        let (mut used, mut now, mut seen) = (Vec::new(), 0, [0; 4]);
        for turn in 0..50_000 {
            let draw = Seed::new(6).draw(turn);
            // So slowly that all are used up, or so fast that most have rested.
            now += [0, 1, if turn / 2000 % 2 == 0 { 3 } else { 900 }][draw as usize % 3];
            while free.len() < 128 {
                let first = |queue: &VecDeque<(u64, u16)>| queue.front().map_or(u64::MAX, |&(until, _)| until);
                let queue = if first(&clean) <= first(&other) { &mut clean } else { &mut other };
                let Some((_, id)) = queue.front().copied().filter(|&(until, _)| until <= now) else { break };
                queue.pop_front();
                free.insert(id);
            }
            // The first of many that is free, or else one by its number among those that are.
            let parts = |number: u64| [0, 16, 32, 48].map(|by| (number >> by) as u16 & 0xff);
            let tried = (0..if free.is_empty() { 0 } else { 8 })
                .find_map(|_| parts(same_source.number()).into_iter().find(|id| free.contains(id)));
            let drawn = match (tried, free.len()) {
                (Some(id), _) => Ok(id),
                (None, 0) => {
                    seen[0] += 1;
                    let first: Option<&(u64, u16)> = clean.front().into_iter().chain(other.front()).min();
                    Err(first.map(|&(until, _)| at(until)))
                }
                (None, few) => {
                    seen[3] += 1;
                    Ok(*free.iter().nth(uniform(0, few as u64 - 1, same_source.number()) as usize).unwrap())
                }
            };
            drawn.iter().for_each(|id| assert!(free.remove(id)));
            assert_eq!(ids.draw(at(now), &mut source), drawn, "{turn}");
            if let Ok(id) = drawn {
                ids.set(id, id.into());
                used.push(id);
            }
            let target = (draw >> 8) as usize % 260;
            while used.len() > target {
                let id = used.swap_remove((draw >> 20) as usize % used.len());
                let is_clean = (u64::from(id) + turn) % 3 > 0;
                let (queue, rest) = if is_clean { (&mut clean, REST.clean) } else { (&mut other, REST.other) };
                ids.release(at(now), id, is_clean);
                queue.push_back((now + rest, id));
            }
            for id in (0..256).filter(|_| turn % 50 == 0) {
                let rests = clean.iter().chain(&other).any(|&(_, it)| it == id);
                assert_eq!((ids.is_resting(id), ids.find(id).is_some()), (rests, used.contains(&id)), "{id}, {turn}");
                seen[1] += u32::from(rests);
                seen[2] += u32::from(used.contains(&id));
            }
        }
        println!(
            "used up {} times, few free {}; {} looked at that rested, {} in use",
            seen[0], seen[3], seen[1], seen[2]
        );
        let bounds = [3_000..8_000, 120_000..200_000, 10_000..30_000, 100..8_000];
        assert!(bounds.iter().zip(&seen).all(|(bounds, seen)| bounds.contains(seen)), "{seen:?}");
    }

    #[test]
    fn while_half_are_free_none_comes_again_although_it_has_rested() {
        let (mut ids, mut source) = (ShortIds::new(2, REST), IdSource::from_seed(Seed::new(1)));
        let mut used = BTreeSet::new();
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
