use alloc::collections::VecDeque;

use crate::time::{Ns, Timestamp};
use crate::transaction::in_flight::ids::halves;

/// Ids that rest, in the order of time.
///
/// All of it passes through the caches while requests are answered, so an entry takes 4 bytes if the one before it rests until
/// at most 65 µs earlier, as where there are many; 12 otherwise.
#[derive(Debug)]
pub(super) struct Resting {
    /// Entries: in the low half the id, in the high half by how many nanoseconds it rests longer than the one before it;
    /// if that is [`LONG`], the true number follows, its low half first.
    words: VecDeque<u32>,
    /// Until when the first rests, if there is any; and the last.
    pub(super) first: Timestamp,
    last: Timestamp,
}

impl Resting {
    pub(super) const EMPTY: Self = Self { words: VecDeque::new(), first: Timestamp::MAX, last: Timestamp::ZERO };

    #[inline]
    pub(super) fn push(&mut self, until: Timestamp, id: u16) {
        if self.words.is_empty() {
            (self.first, self.last) = (until, until);
        }
        // A clock that ran backwards must not disturb the order.
        let until = until.max(self.last);
        let longer = until.since_ns(self.last);
        self.last = until;
        if longer < LONG {
            self.words.push_back(halves(longer).0 << 16 | u32::from(id));
        } else {
            self.push_long(longer, id);
        }
    }

    #[inline(never)]
    fn push_long(&mut self, longer: Ns, id: u16) {
        let (low, high) = halves(longer);
        self.words.extend([halves(LONG).0 << 16 | u32::from(id), low, high]);
    }

    /// Takes the first out, if it has rested.
    #[inline]
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<u16> {
        let first = if self.first <= now { self.words.pop_front()? } else { return None };
        if is_long(first) {
            let _low = self.words.pop_front();
            let _high = self.words.pop_front();
        }
        self.first = match self.words.front() {
            Some(&next) if is_long(next) => self.first.after_ns(self.longer()),
            Some(&next) => self.first.after_ns((next >> 16).into()),
            None => Timestamp::MAX,
        };
        Some(id_of(first))
    }

    /// Until when the first rests.
    pub(super) fn until(&self) -> Option<Timestamp> {
        (!self.words.is_empty()).then_some(self.first)
    }

    /// By how much the first rests longer than the one that was before it, where that follows it.
    #[inline(never)]
    fn longer(&self) -> Ns {
        let word = |place| self.words.get(place).copied().map_or(0, u64::from);
        word(1) | word(2) << 32
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

/// By how much longer an id rests that is written in words of its own, in nanoseconds.
const LONG: Ns = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_nanos(ns)
    }

    #[test]
    fn a_queue_gives_back_what_was_put_in_to_the_nanosecond() {
        // Clocks that stand, that run on by as much as fits into a word and by one more, that jump by days or backwards.
        let steps = [0, 1, 100, LONG - 1, LONG, LONG + 1, 1 << 32, (7 << 32) + 5, 1 << 50, u64::MAX >> 8];
        let (mut queue, mut plain) = (Resting::EMPTY, VecDeque::new());
        let mut draws = (0..).map(|n| Seed::new(5).draw(n) as usize);
        let (mut now, mut last, mut longs) = (0_u64, 0, 0);
        for turn in 0..20_000_u64 {
            let id = (turn * 7) as u16;
            let step = steps[draws.next().unwrap() % if turn % 1000 == 7 { 10 } else { 7 }];
            now = if turn % 97 == 0 { now.saturating_sub(step) } else { now.saturating_add(step) };
            last = if plain.is_empty() { now } else { now.max(last) };
            longs += u32::from(turn % 97 > 0 && step >= LONG);
            queue.push(at(now), id);
            plain.push_back((last, id));
            for _ in 0..draws.next().unwrap() % 3 {
                let Some(&(until, id)) = plain.front() else {
                    assert_eq!((queue.until(), queue.first, queue.pop(Timestamp::MAX)), (None, Timestamp::MAX, None));
                    break;
                };
                assert_eq!((queue.until(), queue.first), (Some(at(until)), at(until)));
                assert_eq!(until.checked_sub(1).and_then(|before| queue.pop(at(before))), None);
                assert_eq!(queue.pop(at(until)), Some(id));
                plain.pop_front();
            }
        }
        assert!((5_000..15_000).contains(&longs), "{longs}");
    }

    #[test]
    fn an_entry_takes_four_bytes_while_requests_end_within_65_us_of_each_other() {
        let (mut dense, mut sparse) = (Resting::EMPTY, Resting::EMPTY);
        for n in 0..10_000_u16 {
            dense.push(at(u64::from(n) * 65_534), n);
            sparse.push(at(u64::from(n) * 65_535), n);
        }
        // The first has none before it.
        assert_eq!((dense.words.len(), sparse.words.len()), (10_000, 29_998));
    }
}
