use core::time::Duration;

use super::delay::ns;
use super::infeasible::Infeasible;
use super::probability::Probability;
use crate::time::Ns;

/// Some datagrams are held back, so that those behind them overtake.
///
/// Held by time, not by count: in a request/reply protocol there may be no later datagram that would release them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reorder {
    probability: Probability,
    by: Ns,
}

impl Reorder {
    /// Holds back each datagram with this probability, for the time `by`.
    ///
    /// # Errors
    ///
    /// [`Infeasible::HoldOfNothing`], [`Infeasible::HoldOfAll`] of 100 %, as what is held back alike stays in its order,
    /// [`Infeasible::DurationTooLong`].
    pub fn new(probability: Probability, by: Duration) -> Result<Self, Infeasible> {
        match ns(by)? {
            _ if probability == Probability::ONE => Err(Infeasible::HoldOfAll),
            0 => Err(Infeasible::HoldOfNothing),
            by => Ok(Self { probability, by }),
        }
    }

    /// The chance of a datagram to be held back.
    #[must_use]
    pub const fn probability(&self) -> Probability {
        self.probability
    }

    /// For how long it is held.
    #[must_use]
    pub const fn by(&self) -> Duration {
        Duration::from_nanos(self.by)
    }

    /// The share of datagrams that arrive behind one that was sent later (RFC 4737), where they are sent at equal
    /// distances and nothing else reorders: P(1 - Pᵐ) for the m that are sent during the hold. A spacing of zero is one
    /// nanosecond here.
    #[must_use]
    pub fn reordered_share(&self, spacing: Duration) -> f64 {
        let (hold, spacing) = (u128::from(self.by), spacing.as_nanos().max(1));
        let overtakers = (hold.div_ceil(spacing) - 1) as f64;
        let held = self.probability.as_f64();
        held * (1.0 - libm::pow(held, overtakers))
    }

    pub(in crate::fault) const fn hold(&self) -> Ns {
        self.by
    }
}
