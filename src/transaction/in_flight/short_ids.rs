mod free;
mod resting;
mod slot_table;

use alloc::vec::Vec;

use self::free::FreeIds;
use self::resting::Resting;
use self::slot_table::SlotTable;
use super::limits::Rest;
use super::progress::before;
use crate::entropy::IdSource;
use crate::time::Timestamp;

/// Ids of one or two bytes: which request has which, and which rest because replies to them may be on their way.
///
/// Those that have rested are taken over, the longest rested first, only once half of all ids are gone: so each rests as long as
/// the others allow. Each is drawn at random among at least that half, where so many have rested, and what comes next stays
/// unpredictable.
///
/// They are drawn by the hand: 128 of two bytes at a time, which takes half of what single draws do, and one of one byte. Half
/// of all are free when the last of a hand is drawn, so up to 127 come again earlier than they had to.
#[derive(Debug)]
pub(super) struct ShortIds {
    slots: SlotTable,
    /// Those that may be used. One bit each: a list of them would take as much of the caches as all else here.
    free: FreeIds,
    /// Those that come next.
    hand: Vec<u16>,
    /// Those that rest after clean requests, and after others.
    clean: Resting,
    other: Resting,
    rest: Rest,
    /// Bytes of an id.
    pub(super) width: u32,
}

impl ShortIds {
    /// Of one byte or of two.
    pub(super) fn new(width: u32, rest: Rest) -> Self {
        let bits = if width == 1 { 8 } else { 16 };
        let (slots, free) = (SlotTable::new(1 << bits), FreeIds::all(bits));
        let hand = Vec::new();
        Self { slots, free, hand, clean: Resting::EMPTY, other: Resting::EMPTY, rest, width }
    }

    /// An id for a request, to be [`set`](Self::set) at once; `None` if all are in use or rest.
    #[inline]
    pub(super) fn draw(&mut self, now: Timestamp, ids: &mut IdSource) -> Option<u16> {
        self.hand.pop().or_else(|| self.deal(now, ids))
    }

    /// An id of this width as a number.
    #[inline]
    pub(super) fn number(&self, id: &[u8]) -> Option<u16> {
        match *id {
            [high, low] if self.width == 2 => Some(u16::from_be_bytes([high, low])),
            [id] if self.width == 1 => Some(id.into()),
            _ => None,
        }
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
        // To the end of the hand, as the compiler then compares many at once: a flood of forged ids must not take long.
        let is_in_hand = || self.hand.iter().fold(false, |found, &next| found | (next == id));
        !self.free.has(id) && self.slots.get(id).is_none() && !is_in_hand()
    }

    /// Draws another hand. The first of it.
    #[inline(never)] // it is rare
    fn deal(&mut self, now: Timestamp, ids: &mut IdSource) -> Option<u16> {
        let half = 1 << (8 * self.width - 1);
        let most = (half / HANDS).max(1);
        self.refill(now, half + most - 1);
        self.free.draw(most, ids, &mut self.hand);
        self.hand.pop()
    }

    /// Takes over those that have rested, the longest rested first, until this many are free.
    fn refill(&mut self, now: Timestamp, enough: u32) {
        let Self { free, clean, other, .. } = self;
        loop {
            let missing = enough.saturating_sub(free.len()) as usize;
            let [first_clean, first_other] = [&*clean, &*other].map(|queue| queue.until().unwrap_or(Timestamp::MAX));
            // One queue after the other, until its first has not rested longer than the other's.
            let taken = if first_clean <= first_other {
                clean.take(now.min(first_other), missing, |id| free.add(id))
            } else {
                other.take(now.min(before(first_clean, 1)), missing, |id| free.add(id))
            };
            if taken == 0 {
                return;
            }
        }
    }

    /// When the first one that rests has rested, if any does.
    pub(super) fn first_free(&self) -> Option<Timestamp> {
        let fronts = [&self.clean, &self.other].into_iter().filter_map(|queue| queue.until());
        fronts.min()
    }
}

/// Half of all ids are so many hands, or more of one id each.
const HANDS: u32 = 256;

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
        assert_eq!((ids.draw(at(0), &mut source), ids.first_free()), (None, None));
        drawn.iter().for_each(|&id| ids.set(id, id.into()));
        assert!(drawn.iter().all(|&id| ids.find(id) == Some(id.into())));
        let sorted = drawn.is_sorted();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!((drawn.len(), sorted), (256, false));

        ids.release(at(10), 7, true);
        ids.release(at(10), 8, false);
        assert_eq!((ids.find(7), ids.is_resting(7), ids.is_resting(9)), (None, true, false));
        assert_eq!((ids.draw(at(109), &mut source), ids.first_free()), (None, Some(at(110))));
        assert_eq!(ids.draw(at(110), &mut source), Some(7));
        ids.set(7, 70_000);
        assert_eq!((ids.draw(at(1009), &mut source), ids.first_free()), (None, Some(at(1010))));
        assert_eq!(ids.draw(at(1010), &mut source), Some(8));
        ids.set(8, 8);
        // A number that needs more than two bytes has changed no other.
        assert_eq!([7, 8, 9].map(|id| ids.find(id)), [Some(70_000), Some(8), Some(9)]);
        assert_eq!((ids.draw(at(1010), &mut source), ids.first_free()), (None, None));
        assert!(!ids.is_resting(7) && !ids.is_resting(8));
    }

    /// What `ShortIds` does, by plain lists and without a thought for what it takes.
    struct Plain {
        free: BTreeSet<u16>,
        hand: Vec<u16>,
        /// Until when which id rests: after clean requests, and after others.
        queues: [VecDeque<(u64, u16)>; 2],
        source: IdSource,
        /// How often all were used up, and how often one was drawn by its number among few.
        seen: [u32; 2],
    }

    impl Plain {
        fn draw(&mut self, now: u64, half: usize) -> Option<u16> {
            if self.hand.is_empty() {
                let most = if half > 128 { 128 } else { 1 };
                while self.free.len() < half + most - 1 {
                    let [clean, other] = self.queues.each_ref().map(|queue| queue.front().map_or(u64::MAX, |it| it.0));
                    let queue = &mut self.queues[usize::from(clean > other)];
                    let Some((_, id)) = queue.front().copied().filter(|it| it.0 <= now) else { break };
                    queue.pop_front();
                    self.free.insert(id);
                }
                self.deal(most, (half * 2 - 1) as u16);
            }
            self.seen[0] += u32::from(self.hand.is_empty());
            self.hand.pop()
        }

        fn deal(&mut self, most: usize, mask: u16) {
            let mut in_vain = 0;
            while self.hand.len() < most && in_vain < 8 && !self.free.is_empty() {
                let (number, before) = (self.source.number(), self.hand.len());
                for id in [0, 16, 32, 48].map(|by| (number >> by) as u16 & mask) {
                    if self.hand.len() < most && self.free.remove(&id) {
                        self.hand.push(id);
                    }
                }
                in_vain = if self.hand.len() > before { 0 } else { in_vain + 1 };
            }
            if self.hand.is_empty() && !self.free.is_empty() {
                self.seen[1] += 1;
                let place = uniform(0, self.free.len() as u64 - 1, self.source.number());
                let id = *self.free.iter().nth(place as usize).unwrap();
                self.free.remove(&id);
                self.hand.push(id);
            }
        }

        fn first_free(&self) -> Option<Timestamp> {
            self.queues.iter().filter_map(VecDeque::front).min().map(|&(until, _)| at(until))
        }
    }

    /// Draws and releases ids of so many bytes, so slowly that all are used up, or so fast that most have rested, as plain
    /// lists do. How often all were used up, one was drawn by its number, and which were looked at that rested or were in use.
    fn as_plain_lists(width: u32, turns: u64, slow: u64, looks: u64) -> [u32; 4] {
        let all = 1_usize << (8 * width);
        let rest = Rest { clean: REST.clean * all as u64 / 256, other: REST.other * all as u64 / 256 };
        let mut ids = ShortIds::new(width, rest);
        let [mut source, same_source] = [(); 2].map(|()| IdSource::from_seed(Seed::new(4)));
        let free = (0..all).map(|id| id as u16).collect();
        let (hand, queues) = (Vec::new(), [VecDeque::new(), VecDeque::new()]);
        let mut plain = Plain { free, hand, queues, source: same_source, seen: [0; 2] };
        let (mut used, mut now, mut looked) = (Vec::new(), 0, [0; 2]);
        for turn in 0..turns {
            let draw = Seed::new(6).draw(turn);
            now += [0, 1, if turn / slow % 2 == 0 { 3 } else { 900 }][draw as usize % 3];
            let drawn = plain.draw(now, all / 2);
            assert_eq!(ids.draw(at(now), &mut source), drawn, "{turn}");
            match drawn {
                Some(id) => {
                    ids.set(id, id.into());
                    used.push(id);
                }
                None => assert_eq!(ids.first_free(), plain.first_free(), "{turn}"),
            }
            let target = (draw >> 8) as usize % (all + 4);
            while used.len() > target {
                let id = used.swap_remove((draw >> 20) as usize % used.len());
                let is_clean = (u64::from(id) + turn) % 3 > 0;
                let until = now + if is_clean { rest.clean } else { rest.other };
                ids.release(at(now), id, is_clean);
                plain.queues[usize::from(!is_clean)].push_back((until, id));
            }
            if turn % looks == 0 {
                let resting: BTreeSet<u16> = plain.queues.iter().flatten().map(|&(_, id)| id).collect();
                let in_use: BTreeSet<u16> = used.iter().copied().collect();
                for id in (0..all).map(|id| id as u16) {
                    let expected = (resting.contains(&id), in_use.contains(&id));
                    assert_eq!((ids.is_resting(id), ids.find(id).is_some()), expected, "{id}, {turn}");
                }
                looked[0] += resting.len() as u32;
                looked[1] += in_use.len() as u32;
            }
        }
        [plain.seen[0], plain.seen[1], looked[0], looked[1]]
    }

    #[test]
    fn the_ids_drawn_are_those_of_plain_lists_whatever_ends_when() {
        let one_byte = as_plain_lists(1, 50_000, 2_000, 50);
        let two_bytes = as_plain_lists(2, 750_000, 250_000, 50_000);
        println!("used up, few free, looked at that rested, in use: {one_byte:?}, {two_bytes:?}");
        let bounds = [3_000..8_000, 100..8_000, 120_000..200_000, 10_000..30_000];
        assert!(bounds.iter().zip(&one_byte).all(|(bounds, seen)| bounds.contains(seen)), "{one_byte:?}");
        let bounds = [20_000..120_000, 50_000..250_000, 300_000..1_200_000, 1_500..10_000];
        assert!(bounds.iter().zip(&two_bytes).all(|(bounds, seen)| bounds.contains(seen)), "{two_bytes:?}");
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
