use crate::entropy::Seed;

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
    /// The labels never change: they are part of what a seed promises.
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            loss: seed.derive(1),
            duplicate: seed.derive(2),
            lateness: seed.derive(3),
            truncate: seed.derive(4),
            corrupt: seed.derive(5),
            delay: seed.derive(6),
            reorder: seed.derive(7),
        }
    }
}
