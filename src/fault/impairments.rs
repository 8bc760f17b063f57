use super::{LossModel, Probability};

/// What one direction of a path does to its datagrams; nothing, unless told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impairments {
    loss: LossModel,
}

impl Impairments {
    /// A perfect path.
    pub const NONE: Self = Self::loss(Probability::ZERO);

    /// Loses each datagram with this probability, whatever happens to the others.
    #[must_use]
    pub const fn loss(probability: Probability) -> Self {
        Self { loss: LossModel::Bernoulli(probability) }
    }

    /// Which datagrams are lost.
    #[must_use]
    pub const fn loss_model(&self) -> &LossModel {
        &self.loss
    }
}

impl Default for Impairments {
    /// [`NONE`](Self::NONE)
    fn default() -> Self {
        Self::NONE
    }
}
