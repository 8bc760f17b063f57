use super::gilbert::GilbertElliott;
use super::infeasible::Infeasible;
use super::probability::Probability;
use crate::entropy::{Draws, Seed, labels, uniform};

/// Which datagrams of a link are lost.
///
/// Whatever the model, [`stationary_loss`](Self::stationary_loss) is what is observed in the long run, from the
/// first datagram on: chains start in their stationary state.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum LossModel {
    /// Each with this probability, whatever happened to the others.
    Bernoulli(Probability),
    /// In bursts.
    GilbertElliott(GilbertElliott),
    /// A fixed number of every block, at places that chance picks.
    ExactPerBlock(ExactPerBlock),
    /// By a pattern that repeats without end.
    Pattern(BitPattern),
}

/// A fixed number of losses in every block of datagrams: exact rates in short tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExactPerBlock {
    drops: u32,
    of: u32,
}

/// Up to 64 fates that repeat without end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BitPattern {
    /// The first datagram's fate in the lowest bit; set means lost.
    bits: u64,
    places: u8,
}

impl LossModel {
    /// Loses nothing.
    pub const NONE: Self = Self::Bernoulli(Probability::ZERO);

    /// Loses `loss` of the datagrams, in bursts of `mean_burst` on average (a simple Gilbert chain).
    ///
    /// # Errors
    ///
    /// As [`GilbertElliott::with_mean_burst`].
    pub fn bursts(loss: Probability, mean_burst: f64) -> Result<Self, Infeasible> {
        GilbertElliott::with_mean_burst(loss, mean_burst).map(Self::GilbertElliott)
    }

    /// Loses exactly `drops` of every `of` datagrams.
    ///
    /// # Errors
    ///
    /// [`Infeasible::EmptyBlock`], [`Infeasible::MoreThanTheBlock`].
    pub const fn exactly(drops: u32, of: u32) -> Result<Self, Infeasible> {
        match (drops, of) {
            (_, 0) => Err(Infeasible::EmptyBlock),
            _ if drops > of => Err(Infeasible::MoreThanTheBlock { drops, of }),
            _ => Ok(Self::ExactPerBlock(ExactPerBlock { drops, of })),
        }
    }

    /// Loses the datagrams whose place in the pattern is `true`, over and over.
    ///
    /// # Errors
    ///
    /// [`Infeasible::PatternLength`] unless it has from 1 to 64 places.
    pub fn pattern(lost: &[bool]) -> Result<Self, Infeasible> {
        match u8::try_from(lost.len()) {
            Ok(places @ 1..=64) => {
                let bits = lost.iter().rev().fold(0, |bits, &lost| bits << 1 | u64::from(lost));
                Ok(Self::Pattern(BitPattern { bits, places }))
            }
            _ => Err(Infeasible::PatternLength { places: lost.len(), nearest: lost.len().clamp(1, 64) }),
        }
    }

    /// The share of all datagrams that is lost in the long run.
    #[must_use]
    pub fn stationary_loss(&self) -> f64 {
        match self {
            Self::Bernoulli(probability) => probability.as_f64(),
            Self::GilbertElliott(chain) => chain.stationary_loss(),
            Self::ExactPerBlock(block) => f64::from(block.drops) / f64::from(block.of),
            Self::Pattern(pattern) => f64::from(pattern.bits.count_ones()) / f64::from(pattern.places),
        }
    }

    /// How many datagrams in a row are lost, on average, where any is: 0 if none ever is, infinite if all are.
    #[must_use]
    pub fn mean_burst(&self) -> f64 {
        let loss = self.stationary_loss();
        if loss == 0.0 {
            return 0.0;
        }
        // Losses per datagram over bursts per datagram: a burst ends where a delivery follows a loss.
        loss / match self {
            Self::Bernoulli(_) => loss * (1.0 - loss),
            Self::GilbertElliott(chain) => chain.bursts(),
            // Neighbours in a block exclude each other a little, those in different ones do not.
            Self::ExactPerBlock(block) => loss * (1.0 - loss) * (1.0 + 1.0 / f64::from(block.of)),
            Self::Pattern(pattern) => f64::from(pattern.bursts()) / f64::from(pattern.places),
        }
    }

    /// By how much the variance of a long count of losses exceeds that of independent losses of the same rate.
    ///
    /// A count of n datagrams lies within 6·√(inflation·loss·(1 - loss)·n) of loss·n, but for two in a billion.
    #[must_use]
    pub fn variance_inflation(&self) -> f64 {
        match self {
            Self::Bernoulli(_) => 1.0,
            Self::GilbertElliott(chain) => chain.variance_inflation(),
            Self::ExactPerBlock(_) | Self::Pattern(_) => 0.0,
        }
    }
}

/// What chance decides by: the fate of each datagram, and the states of a chain.
#[derive(Clone, Copy, Debug)]
pub(in crate::fault) struct LossDraws {
    pub(in crate::fault) own: Draws,
    pub(in crate::fault) transition: Draws,
    pub(in crate::fault) start: Draws,
}

impl LossDraws {
    pub(in crate::fault) const fn of(seed: Seed) -> Self {
        let [transition, start] = [seed.derive(labels::TRANSITION).draws(), seed.derive(labels::START).draws()];
        Self { own: seed.draws(), transition, start }
    }
}

/// What the loss of one datagram depends on, besides its draw.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::fault) struct LossState {
    /// Of a Gilbert-Elliott chain; `None` before its first datagram.
    pub(in crate::fault) bad: Option<bool>,
    /// The datagrams of the present block that are still to come, and how many of them will be lost.
    block: (u32, u32),
}

impl LossState {
    /// Whether datagram number `sequence` is lost. To be asked of every datagram, in order.
    #[inline]
    pub(in crate::fault) fn loses(&mut self, model: &LossModel, draws: &LossDraws, sequence: u64) -> bool {
        match model {
            // Most links lose nothing, which takes no draw.
            LossModel::Bernoulli(probability) => {
                probability.is_possible() && probability.happens(draws.own.draw(sequence))
            }
            _ => self.loses_by_state(model, draws, sequence),
        }
    }

    fn loses_by_state(&mut self, model: &LossModel, draws: &LossDraws, sequence: u64) -> bool {
        match model {
            LossModel::Bernoulli(probability) => probability.happens(draws.own.draw(sequence)),
            LossModel::GilbertElliott(chain) => chain.loses(&mut self.bad, draws, sequence),
            LossModel::ExactPerBlock(ExactPerBlock { drops, of }) => {
                let (remaining, drops) = match self.block {
                    (0, _) => (*of, *drops),
                    // After a change to a shorter block the rest of the longer one ends with it.
                    (remaining, left) => (remaining.min(*of), left.min(*drops)),
                };
                let lost = uniform(1, remaining.into(), draws.own.draw(sequence)) <= drops.into();
                self.block = (remaining - 1, drops - u32::from(lost));
                lost
            }
            LossModel::Pattern(pattern) => pattern.loses(sequence),
        }
    }
}

impl ExactPerBlock {
    /// The losses of a block.
    #[must_use]
    pub const fn drops(&self) -> u32 {
        self.drops
    }

    /// The datagrams of a block.
    #[must_use]
    pub const fn of(&self) -> u32 {
        self.of
    }
}

impl BitPattern {
    /// The fates in their order; `true` means lost.
    pub fn iter(&self) -> impl Iterator<Item = bool> + use<> {
        let pattern = *self;
        (0..u64::from(pattern.places)).map(move |sequence| pattern.loses(sequence))
    }

    fn loses(&self, sequence: u64) -> bool {
        self.bits >> (sequence % u64::from(self.places)) & 1 == 1
    }

    /// Losses that a delivery follows, the pattern taken as a ring.
    fn bursts(&self) -> u32 {
        let ends = (0..u64::from(self.places)).filter(|&n| self.loses(n) && !self.loses(n + 1));
        ends.fold(0, |bursts, _| bursts + 1)
    }
}
