//! Ids for requests one after another: unpredictable, and none again soon.

use std::collections::{BTreeSet, VecDeque};

use udp_retry::Seed;

/// Draws ids of one length. Chance alone would repeat one of two bytes after some 300 requests, and then a late reply
/// to an earlier request could pass for a new one's.
pub(crate) struct Ids {
    seed: Seed,
    drawn: u64,
    /// The latest, oldest first, and the same in order: at most half of all that there are, so that a fresh one is
    /// found at the second attempt.
    recent: VecDeque<Vec<u8>>,
    known: BTreeSet<Vec<u8>>,
    most: usize,
}

impl Ids {
    /// `first` counts as drawn.
    pub(crate) fn new(seed: Seed, first: &[u8]) -> Self {
        let most = 1 << (8 * first.len().min(3) - 1).min(16);
        let (recent, known) = (VecDeque::from([first.to_vec()]), BTreeSet::from([first.to_vec()]));
        Self { seed: seed.derive(IDS), drawn: 0, recent, known, most }
    }

    /// Replaces an id by a fresh one.
    pub(crate) fn stamp(&mut self, id: &mut [u8]) {
        if self.recent.len() >= self.most {
            self.recent.pop_front().map(|oldest| self.known.remove(&oldest));
        }
        loop {
            for bytes in id.chunks_mut(8) {
                bytes.copy_from_slice(&self.seed.draw(self.drawn).to_be_bytes()[..bytes.len()]);
                self.drawn += 1;
            }
            if self.known.insert(id.to_vec()) {
                return self.recent.push_back(id.to_vec());
            }
        }
    }
}

/// Keeps ids apart from what else is drawn from the same seed.
const IDS: u64 = 0x6964;
