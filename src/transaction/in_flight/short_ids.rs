use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::ids::halves;
use super::limits::Rest;
use crate::entropy::{IdSource, uniform};
use crate::time::{Ns, Timestamp};

/// Ids of one or two bytes: which request has which, and which rest because replies to them may be on their way.
///
/// One is drawn at random among those that have rested. These are refilled, the longest rested first, only once half of all
/// ids are gone: so each rests as long as the others allow, and what comes next stays unpredictable.
#[derive(Debug)]
pub(super) struct ShortIds {
    /// By id: the slot of the request that has it, or as which of those that rest it was put in the queue.
    slots: Box<[u32]>,
    /// Those that may be used.
    free: Vec<u16>,
    /// Those that rest after clean requests, and after others.
    clean: Queue,
    other: Queue,
    rest: Rest,
}

impl ShortIds {
    /// Of one byte or of two.
    pub(super) fn new(width: usize, rest: Rest) -> Self {
        let last = if width == 1 { u16::from(u8::MAX) } else { u16::MAX };
        let free: Vec<u16> = (0..=last).collect();
        Self {
            slots: vec![u32::MAX; free.len()].into_boxed_slice(),
            free,
            clean: Queue::EMPTY,
            other: Queue::EMPTY,
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
        self.slots.get(usize::from(id)).copied().filter(|&slot| slot < RESTS)
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
        let Self { rest, clean: after_clean, other, .. } = self;
        let (queue, rest) = if clean { (after_clean, rest.clean) } else { (other, rest.other) };
        let number = queue.push(now.after_ns(rest), id);
        self.set(id, RESTS | number);
    }

    /// Whether it was used, and rests.
    pub(super) fn is_resting(&self, id: u16) -> bool {
        // What stands there of one that has rested is not written over: that would touch one more line of memory a request.
        let number = self.slots.get(usize::from(id)).copied().filter(|&slot| slot >= RESTS);
        number.is_some_and(|number| self.clean.holds(number, id) || self.other.holds(number, id))
    }

    /// Takes over those that have rested until half are free again.
    #[inline]
    fn refill(&mut self, now: Timestamp) {
        while self.free.len() < self.slots.len() / 2 {
            let queue = if self.clean.first <= self.other.first { &mut self.clean } else { &mut self.other };
            let Some(id) = queue.pop(now) else { return };
            self.free.push(id);
        }
    }

    fn first_free(&self) -> Option<Timestamp> {
        let fronts = [&self.clean, &self.other].into_iter().filter(|queue| !queue.words.is_empty());
        fronts.map(|queue| queue.first).min()
    }
}

/// Ids that rest, in the order of time.
///
/// All of it passes through the caches while requests are answered, so an entry takes 4 bytes if the one before it rests until
/// at most 65 µs earlier, as where there are many; 12 otherwise.
#[derive(Debug)]
struct Queue {
    /// Entries: in the low half the id, in the high half by how many nanoseconds it rests longer than the one before it;
    /// if that is [`LONG`], the true number follows, its low half first.
    words: VecDeque<u32>,
    /// Until when the first rests, if there is any; and the last.
    first: Timestamp,
    last: Timestamp,
    /// How many words were taken out.
    taken: u32,
}

impl Queue {
    const EMPTY: Self = Self { words: VecDeque::new(), first: Timestamp::MAX, last: Timestamp::ZERO, taken: 0 };

    /// Returns its number, in as many bits as are below [`RESTS`].
    #[inline]
    fn push(&mut self, until: Timestamp, id: u16) -> u32 {
        if self.words.is_empty() {
            (self.first, self.last) = (until, until);
        }
        // A clock that ran backwards must not disturb the order.
        let until = until.max(self.last);
        let longer = until.since_ns(self.last);
        self.last = until;
        let number = self.taken.wrapping_add(self.len()) % RESTS;
        if longer < LONG {
            self.words.push_back(halves(longer).0 << 16 | u32::from(id));
        } else {
            self.push_long(longer, id);
        }
        number
    }

    #[inline(never)]
    fn push_long(&mut self, longer: Ns, id: u16) {
        let (low, high) = halves(longer);
        self.words.extend([halves(LONG).0 << 16 | u32::from(id), low, high]);
    }

    /// Takes the first out, if it has rested.
    #[inline]
    fn pop(&mut self, now: Timestamp) -> Option<u16> {
        let first = if self.first <= now { self.words.pop_front()? } else { return None };
        self.taken = self.taken.wrapping_add(1);
        if is_long(first) {
            let _low = self.words.pop_front();
            let _high = self.words.pop_front();
            self.taken = self.taken.wrapping_add(2);
        }
        self.first = match self.words.front() {
            Some(&next) if is_long(next) => self.first.after_ns(self.longer()),
            Some(&next) => self.first.after_ns((next >> 16).into()),
            None => Timestamp::MAX,
        };
        Some(id_of(first))
    }

    /// By how much the first rests longer than the one that was before it, where that follows it.
    #[inline(never)]
    fn longer(&self) -> Ns {
        let word = |place| self.words.get(place).copied().map_or(0, u64::from);
        word(1) | word(2) << 32
    }

    /// Whether the id that got this number is still there.
    fn holds(&self, number: u32, id: u16) -> bool {
        let place = number.wrapping_sub(self.taken) % RESTS;
        self.words.get(place as usize).is_some_and(|&word| id_of(word) == id)
    }

    #[expect(clippy::cast_possible_truncation, reason = "three words at most for each id")]
    #[inline]
    fn len(&self) -> u32 {
        self.words.len() as u32
    }
}

#[expect(clippy::cast_possible_truncation, reason = "its low half")]
#[inline]
const fn id_of(word: u32) -> u16 {
    word as u16
}

#[inline]
fn is_long(word: u32) -> bool {
    Ns::from(word >> 16) == LONG
}

/// From here on a number is no slot's: those before would be 96 GiB.
const RESTS: u32 = 1 << 31;
/// By how much longer an id rests that is written in words of its own, in nanoseconds.
const LONG: Ns = 0xffff;

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
        assert_eq!(ids.draw(at(1010), &mut source), Err(None));
        assert!(!ids.is_resting(7) && !ids.is_resting(8));
    }

    #[test]
    fn the_ids_drawn_are_those_of_plain_lists_whatever_ends_when() {
        let (mut ids, mut source) = (ShortIds::new(1, REST), IdSource::from_seed(Seed::new(4)));
        let mut same_source = IdSource::from_seed(Seed::new(4));
        let (mut free, mut clean, mut other) = ((0..256).collect::<Vec<u16>>(), VecDeque::new(), VecDeque::new());
        let (mut used, mut now, mut seen) = (Vec::new(), 0, [0; 3]);
        for turn in 0..50_000 {
            let draw = Seed::new(6).draw(turn);
            // So slowly that all are used up, or so fast that most have rested.
            now += [0, 1, if turn / 2000 % 2 == 0 { 3 } else { 900 }][draw as usize % 3];
            while free.len() < 128 {
                let first = |queue: &VecDeque<(u64, u16)>| queue.front().map_or(u64::MAX, |&(until, _)| until);
                let queue = if first(&clean) <= first(&other) { &mut clean } else { &mut other };
                let Some((_, id)) = queue.front().copied().filter(|&(until, _)| until <= now) else { break };
                queue.pop_front();
                free.push(id);
            }
            let drawn = if free.is_empty() {
                seen[0] += 1;
                let first: Option<&(u64, u16)> = clean.front().into_iter().chain(other.front()).min();
                Err(first.map(|&(until, _)| at(until)))
            } else {
                Ok(free.swap_remove(uniform(0, free.len() as u64 - 1, same_source.number()) as usize))
            };
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
        println!("used up {} times; {} looked at that rested, {} in use", seen[0], seen[1], seen[2]);
        let bounds = [3_000..8_000, 120_000..200_000, 10_000..30_000];
        assert!(bounds.iter().zip(&seen).all(|(bounds, seen)| bounds.contains(seen)), "{seen:?}");
    }

    #[test]
    fn a_queue_gives_back_what_was_put_in_to_the_nanosecond_and_knows_what_is_there() {
        // Clocks that stand, that run on by as much as fits into a word and by one more, that jump by days or backwards.
        let steps = [0, 1, 100, LONG - 1, LONG, LONG + 1, 1 << 32, (7 << 32) + 5, 1 << 50, u64::MAX >> 8];
        let (mut queue, mut plain) = (Queue::EMPTY, VecDeque::new());
        let mut draws = (0..).map(|n| Seed::new(5).draw(n) as usize);
        let (mut now, mut last, mut longs, mut gone) = (0_u64, 0, 0, VecDeque::new());
        // Numbers pass their end on the way.
        queue.taken = RESTS - 1000;
        for turn in 0..20_000_u64 {
            let id = (turn * 7) as u16;
            let step = steps[draws.next().unwrap() % if turn % 1000 == 7 { 10 } else { 7 }];
            now = if turn % 97 == 0 { now.saturating_sub(step) } else { now.saturating_add(step) };
            last = if plain.is_empty() { now } else { now.max(last) };
            longs += u32::from(turn % 97 > 0 && step >= LONG);
            let number = queue.push(at(now), id);
            assert!(number < RESTS && queue.holds(number, id) && !queue.holds(number, !id));
            plain.push_back((last, id, number));
            for _ in 0..draws.next().unwrap() % 3 {
                let Some(&(until, id, number)) = plain.front() else {
                    assert_eq!((queue.first, queue.pop(Timestamp::MAX)), (Timestamp::MAX, None));
                    break;
                };
                assert_eq!(queue.first, at(until));
                assert_eq!(until.checked_sub(1).and_then(|before| queue.pop(at(before))), None);
                assert!(queue.holds(number, id));
                assert_eq!(queue.pop(at(until)), Some(id));
                plain.pop_front();
                gone.push_back((number, id));
            }
            if gone.len() > 500 {
                let (number, id) = gone.pop_front().unwrap();
                assert!(!queue.holds(number, id));
            }
        }
        assert!((5_000..15_000).contains(&longs), "{longs}");
    }

    #[test]
    fn an_entry_takes_four_bytes_while_requests_end_within_65_us_of_each_other() {
        let (mut dense, mut sparse) = (Queue::EMPTY, Queue::EMPTY);
        for n in 0..10_000_u16 {
            dense.push(at(u64::from(n) * 65_534), n);
            sparse.push(at(u64::from(n) * 65_535), n);
        }
        // The first has none before it.
        assert_eq!((dense.len(), sparse.len()), (10_000, 29_998));
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
