use crate::atomic::AtomicU64;
use core::array;
use core::hint;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// Words that change together, for any number of threads, without a lock: a reader gets all words of one update, never
/// a mixture of two.
///
/// Two copies stand side by side. Readers read the one that the version names; an update goes into the other one, and
/// then the version moves on. So a reader never waits for a writer, not even for one that was interrupted halfway (an
/// interrupt handler may read what it has interrupted), and reads again only if an update was completed meanwhile.
/// Writers exclude each other by a flag that is tried and never waited for.
pub(super) struct Latch<const N: usize> {
    writing: AtomicBool,
    version: AtomicUsize,
    copies: [[AtomicU64; N]; 2],
}

impl<const N: usize> Latch<N> {
    pub(super) fn new(words: [u64; N]) -> Self {
        Self {
            writing: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            copies: [words.map(AtomicU64::new), array::from_fn(|_| AtomicU64::new(0))],
        }
    }

    pub(super) fn read(&self) -> [u64; N] {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let words = self.load(version);
            // Meets the release fence of a writer: if a word above was its, the load below sees a later version.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return words;
            }
            hint::spin_loop();
        }
    }

    /// Replaces the words by what `change` makes of them, unless another update is under way: then nothing happens,
    /// and the answer is false. `change` must not panic, as the flag would stay up.
    pub(super) fn try_update(&self, change: impl FnOnce([u64; N]) -> [u64; N]) -> bool {
        // Acquire: all that the writer before has written is seen from here on.
        if self.writing.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let version = self.version.load(Ordering::Relaxed);
        let next = version.wrapping_add(1);
        let words = change(self.load(version));
        // Readers of the version before may still be reading the copy that is overwritten now. If one sees a new word,
        // its acquire fence meets this one, and it finds that the version has moved on.
        fence(Ordering::Release);
        for (cell, word) in self.copy(next).iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.version.store(next, Ordering::Release);
        self.writing.store(false, Ordering::Release);
        true
    }

    fn load(&self, version: usize) -> [u64; N] {
        self.copy(version).each_ref().map(|cell| cell.load(Ordering::Relaxed))
    }

    const fn copy(&self, version: usize) -> &[AtomicU64; N] {
        let [even, odd] = &self.copies;
        if version & 1 == 0 { even } else { odd }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn no_reader_gets_a_mixture_and_every_update_that_was_accepted_counts() {
        // So many words that updates are completed while they are read.
        let (latch, start) = (Latch::new([0; 512]), Barrier::new(4));
        let accepted: u64 = thread::scope(|scope| {
            let writers = [0, 1].map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..50_000).filter(|_| latch.try_update(|words| words.map(|word| word + 1))).count() as u64
                })
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    let mut before = 0;
                    for n in 0..50_000 {
                        let words = latch.read();
                        assert_eq!(words, [words[0]; 512], "read {n}");
                        assert!(words[0] >= before, "read {n}: {} after {before}", words[0]);
                        before = words[0];
                    }
                });
            }
            writers.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(latch.read(), [accepted; 512]);
    }

    /// `cargo test --lib latch -- --nocapture` prints how many updates are dropped if two threads do nothing else.
    #[test]
    fn of_updates_that_meet_one_is_made() {
        const UPDATES: u64 = 200_000;
        let mut dropped = [0; 21].map(|_| {
            let (latch, start) = (Latch::new([0; 5]), Barrier::new(2));
            let hammer = || {
                start.wait();
                (0..UPDATES).for_each(|_| _ = latch.try_update(next));
            };
            thread::scope(|scope| {
                scope.spawn(hammer);
                hammer();
            });
            let [accepted, ..] = latch.read();
            // One thread alone is never refused, and of two that meet the first one is not.
            assert!((1..=2 * UPDATES).contains(&accepted), "{accepted}");
            100.0 * (1.0 - accepted as f64 / (2 * UPDATES) as f64)
        });
        dropped.sort_by(f64::total_cmp);
        println!(
            "dropped of updates on two threads: {:.1} %, from {:.1} to {:.1} %",
            dropped[10], dropped[0], dropped[20]
        );
    }

    #[test]
    fn an_update_within_an_update_is_refused_and_a_read_within_one_sees_the_words_before() {
        let latch = Latch::new([0; 5]);
        let accepted = latch.try_update(|words| {
            assert!(!latch.try_update(next));
            assert_eq!(latch.read(), [0; 5]);
            next(words)
        });
        assert!(accepted);
        assert_eq!(latch.read(), [1; 5]);
    }

    fn next(words: [u64; 5]) -> [u64; 5] {
        words.map(|word| word + 1)
    }
}
