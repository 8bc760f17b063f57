use alloc::collections::VecDeque;

use crate::time::{Ns, Timestamp};
use crate::transaction::in_flight::ids::halves;

/// Ids that rest, in the order of time.
///
/// All of it passes through the caches while requests are answered, so an entry takes 4 bytes if the one before it rests until
/// at most 65 µs earlier, as where there are many; 12 otherwise.
#[derive(Debug)]
pub(super) struct Resting {
    /// In the low half the id, in the high half by how many nanoseconds it rests longer than the one before it; [`LONG`] if
    /// that is the next of these.
    words: VecDeque<u32>,
    longs: VecDeque<Ns>,
    /// Until when the one before the first rested, and the last rests.
    before: Timestamp,
    last: Timestamp,
}

impl Resting {
    pub(super) const EMPTY: Self =
        Self { words: VecDeque::new(), longs: VecDeque::new(), before: Timestamp::ZERO, last: Timestamp::ZERO };

    #[inline]
    pub(super) fn push(&mut self, until: Timestamp, id: u16) {
        // A clock that ran backwards must not disturb the order.
        let longer = until.since_ns(self.last);
        self.last = until.max(self.last);
        let half = if longer < LONG { longer } else { self.push_long(longer) };
        self.words.push_back(halves(half).0 << 16 | u32::from(id));
    }

    #[inline(never)] // it is rare
    fn push_long(&mut self, longer: Ns) -> Ns {
        self.longs.push_back(longer);
        LONG
    }

    /// Takes out those at the front that have rested at `now`, `most` at most, or some of them: none only if there are none. How
    /// many those were.
    #[inline]
    pub(super) fn take(&mut self, now: Timestamp, most: usize, mut each: impl FnMut(u16)) -> usize {
        let (mut taken, mut before) = (0, self.before);
        let (first, _) = self.words.as_slices();
        for &word in first.iter().take(most) {
            let until = before.after_ns(longer(word, &self.longs));
            if until > now {
                break;
            }
            if is_long(word) {
                self.longs.pop_front();
            }
            before = until;
            each(id_of(word));
            taken += 1;
        }
        self.before = before;
        self.words.drain(..taken);
        taken
    }

    /// Until when the first rests, if there is any.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.words.front().map(|&first| self.before.after_ns(longer(first, &self.longs)))
    }
}

#[inline]
fn longer(word: u32, longs: &VecDeque<Ns>) -> Ns {
    match Ns::from(word >> 16) {
        LONG => longs.front().copied().unwrap_or(LONG),
        longer => longer,
    }
}

#[inline]
fn is_long(word: u32) -> bool {
    Ns::from(word >> 16) == LONG
}

#[expect(clippy::cast_possible_truncation, reason = "its low half")]
#[inline]
const fn id_of(word: u32) -> u16 {
    word as u16
}

/// By how many nanoseconds longer than the one before it an id rests at least for which half a word is too short.
const LONG: Ns = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_nanos(ns)
    }

    fn pop(queue: &mut Resting, now: Timestamp) -> Option<u16> {
        let mut popped = None;
        assert_eq!(queue.take(now, 1, |id| popped = Some(id)), usize::from(popped.is_some()));
        popped
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
            last = now.max(last);
            longs += u32::from(turn % 97 > 0 && step >= LONG);
            queue.push(at(now), id);
            plain.push_back((last, id));
            for _ in 0..draws.next().unwrap() % 3 {
                let Some(&(until, id)) = plain.front() else {
                    assert_eq!((queue.until(), pop(&mut queue, Timestamp::MAX)), (None, None));
                    break;
                };
                assert_eq!(queue.until(), Some(at(until)));
                assert_eq!(until.checked_sub(1).and_then(|before| pop(&mut queue, at(before))), None);
                assert_eq!(pop(&mut queue, at(until)), Some(id));
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
        assert_eq!([dense.words.len(), dense.longs.len()], [10_000, 0]);
        assert_eq!([sparse.words.len(), sparse.longs.len()], [10_000, 9_999]);
    }
}
