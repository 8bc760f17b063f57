use super::delay::DelayLaw;
use super::probability::Probability;

/// A second copy of some datagrams.
///
/// It arrives together with the first one, or later by what `late` says, and is corrupted and truncated independently.
/// A datagram that is lost has no copy, as copies are made behind the loss.
#[derive(Clone, PartialEq, Debug)]
pub struct Duplicate {
    probability: Probability,
    late: Option<DelayLaw>,
}

impl Duplicate {
    /// Duplicates each datagram with this probability; both copies arrive together.
    #[must_use]
    pub const fn new(probability: Probability) -> Self {
        Self { probability, late: None }
    }

    /// Delays the second copy behind the first, by a time of this distribution.
    #[must_use]
    pub fn late(self, law: DelayLaw) -> Self {
        Self { late: Some(law), ..self }
    }

    /// The chance of a second copy.
    #[must_use]
    pub const fn probability(&self) -> Probability {
        self.probability
    }

    /// By how much the second copy is later.
    #[must_use]
    pub const fn lateness(&self) -> Option<&DelayLaw> {
        self.late.as_ref()
    }
}
