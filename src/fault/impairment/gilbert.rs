use super::infeasible::Infeasible;
use super::loss::LossDraws;
use super::probability::Probability;

/// Loss that comes in bursts: a chain of a good and a bad state, each with a loss of its own (Gilbert 1960,
/// Elliott 1963).
///
/// A datagram is lost by the state that it meets, and then the state may change. The chain starts in its stationary
/// distribution, so that the first datagrams are lost as often as all others.
///
/// ```
/// use udp_retry::Probability;
/// use udp_retry::fault::{GilbertElliott, LossModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let chain = GilbertElliott::with_mean_burst(Probability::ratio(5, 100)?, 3.0)?;
/// assert!((LossModel::GilbertElliott(chain).stationary_loss() - 0.05).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GilbertElliott {
    /// From good to bad, and back.
    p: Probability,
    r: Probability,
    loss_in_good: Probability,
    loss_in_bad: Probability,
    /// How it was asked for, which is how it is written.
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::fault) enum Asked {
    Transitions,
    MeanBurst { loss: Probability, mean_burst: f64 },
    Correlation { loss: Probability, correlation: Probability },
}

impl GilbertElliott {
    /// Loses everything in the bad state and nothing in the good one, so that `loss` of all datagrams is lost, in
    /// bursts of `mean_burst` on average: r = 1/burst, p = loss/(burst·(1 - loss)).
    ///
    /// # Errors
    ///
    /// [`Infeasible::BurstTooShort`] below max(1, loss/(1 - loss)), [`Infeasible::BurstTooLong`] past 10⁹,
    /// [`Infeasible::CertainLossInBursts`].
    pub fn with_mean_burst(loss: Probability, mean_burst: f64) -> Result<Self, Infeasible> {
        let share = loss.as_f64();
        let odds = share / (1.0 - share);
        let least = odds.max(1.0);
        // As good as certain: its shortest burst is longer than the longest.
        if least > LONGEST_BURST {
            return Err(Infeasible::CertainLossInBursts { mean_burst });
        }
        if mean_burst > LONGEST_BURST {
            return Err(Infeasible::BurstTooLong { mean_burst, most: LONGEST_BURST });
        }
        // What is not a number is no burst either.
        if mean_burst.is_nan() || mean_burst < least {
            return Err(Infeasible::BurstTooShort { loss, mean_burst, least });
        }
        let infeasible = |_| Infeasible::BurstTooShort { loss, mean_burst, least };
        let p = Probability::new((odds / mean_burst).min(1.0)).map_err(infeasible)?;
        let r = Probability::new(1.0 / mean_burst).map_err(infeasible)?;
        Ok(Self { asked: Asked::MeanBurst { loss, mean_burst }, ..Self::of_states(p, r) })
    }

    /// Repeats the fate before with probability `correlation` and draws afresh otherwise, so that fates next to each
    /// other correlate by exactly that while `loss` of all datagrams is lost.
    ///
    /// # Errors
    ///
    /// [`Infeasible::CertainCorrelation`].
    pub fn with_correlation(loss: Probability, correlation: Probability) -> Result<Self, Infeasible> {
        if correlation == Probability::ONE {
            return Err(Infeasible::CertainCorrelation);
        }
        let (share, fresh) = (loss.as_f64(), 1.0 - correlation.as_f64());
        let of_fresh = |part: f64| Probability::new(fresh * part).map_err(|_| Infeasible::CertainCorrelation);
        let states = Self::of_states(of_fresh(share)?, of_fresh(1.0 - share)?);
        Ok(Self { asked: Asked::Correlation { loss, correlation }, ..states })
    }

    /// From the chances to go from good to bad (`p`) and back (`r`), and the loss in each state.
    ///
    /// # Errors
    ///
    /// [`Infeasible::FrozenChain`] if it can neither go nor come back.
    pub const fn new(
        p: Probability,
        r: Probability,
        loss_in_good: Probability,
        loss_in_bad: Probability,
    ) -> Result<Self, Infeasible> {
        if !p.is_possible() && !r.is_possible() {
            return Err(Infeasible::FrozenChain);
        }
        Ok(Self { p, r, loss_in_good, loss_in_bad, asked: Asked::Transitions })
    }

    const fn of_states(p: Probability, r: Probability) -> Self {
        Self { p, r, loss_in_good: Probability::ZERO, loss_in_bad: Probability::ONE, asked: Asked::Transitions }
    }

    /// From good to bad.
    #[must_use]
    pub const fn p(&self) -> Probability {
        self.p
    }

    /// From bad to good.
    #[must_use]
    pub const fn r(&self) -> Probability {
        self.r
    }

    /// The loss in the good state.
    #[must_use]
    pub const fn loss_in_good(&self) -> Probability {
        self.loss_in_good
    }

    /// The loss in the bad state.
    #[must_use]
    pub const fn loss_in_bad(&self) -> Probability {
        self.loss_in_bad
    }

    pub(in crate::fault) const fn asked(&self) -> Asked {
        self.asked
    }

    pub(in crate::fault) fn stationary_loss(&self) -> f64 {
        let Chain { good, bad, k, h, .. } = self.chain();
        good * k + bad * h
    }

    /// Bursts of losses per datagram: how often a delivery follows a loss.
    pub(in crate::fault) fn bursts(&self) -> f64 {
        let Chain { p, r, good, bad, k, h } = self.chain();
        good * k * ((1.0 - p) * (1.0 - k) + p * (1.0 - h)) + bad * h * (r * (1.0 - k) + (1.0 - r) * (1.0 - h))
    }

    pub(in crate::fault) fn variance_inflation(&self) -> f64 {
        let Chain { p, r, good, bad, k, h } = self.chain();
        let loss = self.stationary_loss();
        let independent = loss * (1.0 - loss);
        if independent <= 0.0 {
            return 1.0;
        }
        let memory = 1.0 - p - r;
        1.0 + 2.0 * good * bad * (h - k) * (h - k) * memory / (1.0 - memory) / independent
    }

    pub(in crate::fault) fn loses(&self, bad: &mut Option<bool>, draws: &LossDraws, sequence: u64) -> bool {
        let start = || self.p.part(self.r).happens(draws.start.draw(sequence));
        let in_bad = bad.unwrap_or_else(start);
        let (loss, change) = if in_bad { (self.loss_in_bad, self.r) } else { (self.loss_in_good, self.p) };
        *bad = Some(in_bad != change.happens(draws.transition.draw(sequence)));
        loss.happens(draws.own.draw(sequence))
    }

    fn chain(&self) -> Chain {
        let (p, r) = (self.p.as_f64(), self.r.as_f64());
        let (good, bad) = (r / (p + r), p / (p + r));
        Chain { p, r, good, bad, k: self.loss_in_good.as_f64(), h: self.loss_in_bad.as_f64() }
    }
}

/// The chain in the letters of the literature, with the share of time in each state.
struct Chain {
    p: f64,
    r: f64,
    good: f64,
    bad: f64,
    k: f64,
    h: f64,
}

/// 1/burst must stay far above a probability's resolution.
const LONGEST_BURST: f64 = 1e9;
