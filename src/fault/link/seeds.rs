use crate::entropy::{Seed, labels};

/// A family of draws for each stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeds {
    pub(super) loss: Seed,
    pub(super) duplicate: Seed,
    pub(super) lateness: Seed,
    pub(super) truncate: Seed,
    pub(super) corrupt: Seed,
    pub(super) delay: Seed,
    pub(super) reorder: Seed,
}

impl Seeds {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            loss: seed.derive(labels::LOSS),
            duplicate: seed.derive(labels::DUPLICATE),
            lateness: seed.derive(labels::LATENESS),
            truncate: seed.derive(labels::TRUNCATE),
            corrupt: seed.derive(labels::CORRUPT),
            delay: seed.derive(labels::DELAY),
            reorder: seed.derive(labels::REORDER),
        }
    }
}
