use super::Probability;
use crate::entropy::Seed;

/// Which datagrams of a link are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LossModel {
    /// Each with this probability, whatever happened to the others.
    Bernoulli(Probability),
}

impl LossModel {
    /// Whether datagram number `sequence` is lost.
    pub(super) fn loses(&self, seed: Seed, sequence: u64) -> bool {
        match self {
            Self::Bernoulli(probability) => probability.happens(seed.draw(sequence)),
        }
    }
}
