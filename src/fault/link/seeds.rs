use crate::entropy::{Draws, Seed, labels};
use crate::fault::impairment::damage::DamageDraws;
use crate::fault::impairment::delay::DelayDraws;
use crate::fault::impairment::loss::LossDraws;
use crate::fault::impairment::script::MOST_COPIES;

/// A family of draws for each stage, each with the half of the work done that is the same for all datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeds {
    pub(super) loss: LossDraws,
    pub(super) duplicate: Draws,
    pub(super) lateness: Seed,
    /// By copy.
    pub(super) truncate: [DamageDraws; MOST_COPIES],
    pub(super) corrupt: [DamageDraws; MOST_COPIES],
    pub(super) delay: DelayDraws,
    pub(super) reorder: Draws,
}

impl Seeds {
    pub(super) fn new(seed: Seed) -> Self {
        let damage = |label| [0, 1, 2].map(|copy| DamageDraws::of(seed.derive(label).derive(copy)));
        Self {
            loss: LossDraws::of(seed.derive(labels::LOSS)),
            duplicate: seed.derive(labels::DUPLICATE).draws(),
            lateness: seed.derive(labels::LATENESS),
            truncate: damage(labels::TRUNCATE),
            corrupt: damage(labels::CORRUPT),
            delay: DelayDraws::of(seed.derive(labels::DELAY)),
            reorder: seed.derive(labels::REORDER).draws(),
        }
    }
}
