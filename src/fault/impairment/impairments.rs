use alloc::sync::Arc;

use super::bottleneck::Bottleneck;
use super::damage::{Corrupt, Truncate};
use super::delay::DelayModel;
use super::dose::Dose;
use super::duplicate::Duplicate;
use super::infeasible::Infeasible;
use super::loss::LossModel;
use super::mtu::MtuClamp;
use super::outage::Outage;
use super::probability::Probability;
use super::reorder::Reorder;
use super::script::Script;
use crate::size::IpFamily;

/// What one direction of a path does to its datagrams; nothing by default.
///
/// A plain value, checked where its parts are made. As text (`parse`, `Display`), one clause for each stage:
///
/// ```
/// use udp_retry::{Impairments, Probability};
/// use udp_retry::fault::{Corrupt, LossModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let percent = |n| Probability::ratio(n, 100);
/// let bad = Impairments::NONE.with_loss(LossModel::bursts(percent(5)?, 3.0)?).with_corrupt(Corrupt::new(percent(1)?));
/// assert_eq!(bad, "loss 5% burst 3; corrupt 1%".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Impairments {
    script: Script,
    outages: Option<Arc<[Outage]>>,
    headers: u32,
    mtu: Option<MtuClamp>,
    bottleneck: Option<Bottleneck>,
    loss: LossModel,
    duplicate: Option<Duplicate>,
    truncate: Option<Truncate>,
    corrupt: Option<Corrupt>,
    delay: Option<DelayModel>,
    reorder: Option<Reorder>,
    dose: Option<Dose>,
}

impl Impairments {
    /// A perfect path.
    pub const NONE: Self = Self::loss(Probability::ZERO);

    /// Loses each datagram with this probability, whatever happens to the others.
    #[must_use]
    pub const fn loss(probability: Probability) -> Self {
        Self {
            script: Script::EMPTY,
            outages: None,
            headers: IpFamily::V4.overhead(),
            mtu: None,
            bottleneck: None,
            loss: LossModel::Bernoulli(probability),
            duplicate: None,
            truncate: None,
            corrupt: None,
            delay: None,
            reorder: None,
            dose: None,
        }
    }

    /// What happens to datagrams by their number, before anything happens by chance.
    #[must_use]
    pub fn with_script(self, script: Script) -> Self {
        Self { script, ..self }
    }

    /// Adds an outage.
    ///
    /// # Errors
    ///
    /// [`Infeasible::TooManyOutages`] past 64.
    pub fn with_outage(self, outage: Outage) -> Result<Self, Infeasible> {
        let present = self.outages();
        if present.len() == MOST_OUTAGES {
            return Err(Infeasible::TooManyOutages { most: MOST_OUTAGES });
        }
        let outages = present.iter().copied().chain([outage]).collect();
        Ok(Self { outages: Some(outages), ..self })
    }

    /// Bytes that the headers add to every payload, for the MTU and the rate: 28 by default, for IPv4 and UDP; 48 for
    /// IPv6 and UDP.
    #[must_use]
    pub fn with_headers(self, bytes: u32) -> Self {
        Self { headers: bytes, ..self }
    }

    /// The largest packet.
    #[must_use]
    pub fn with_mtu(self, mtu: MtuClamp) -> Self {
        Self { mtu: Some(mtu), ..self }
    }

    /// The slowest hop and its queue.
    #[must_use]
    pub fn with_bottleneck(self, bottleneck: Bottleneck) -> Self {
        Self { bottleneck: Some(bottleneck), ..self }
    }

    /// Which datagrams are lost.
    #[must_use]
    pub fn with_loss(self, loss: LossModel) -> Self {
        Self { loss, ..self }
    }

    /// Which datagrams arrive twice.
    #[must_use]
    pub fn with_duplicate(self, duplicate: Duplicate) -> Self {
        Self { duplicate: Some(duplicate), ..self }
    }

    /// Which copies are truncated.
    #[must_use]
    pub fn with_truncate(self, truncate: Truncate) -> Self {
        Self { truncate: Some(truncate), ..self }
    }

    /// In which copies bits flip.
    #[must_use]
    pub fn with_corrupt(self, corrupt: Corrupt) -> Self {
        Self { corrupt: Some(corrupt), ..self }
    }

    /// How long datagrams take.
    #[must_use]
    pub fn with_delay(self, delay: DelayModel) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// Which datagrams are held back.
    #[must_use]
    pub fn with_reorder(self, reorder: Reorder) -> Self {
        Self { reorder: Some(reorder), ..self }
    }

    /// How much of all this may happen.
    #[must_use]
    pub fn with_dose(self, dose: Dose) -> Self {
        Self { dose: Some(dose), ..self }
    }

    /// What happens by number.
    #[must_use]
    pub const fn script(&self) -> &Script {
        &self.script
    }

    /// When nothing passes.
    #[must_use]
    pub fn outages(&self) -> &[Outage] {
        self.outages.as_deref().unwrap_or_default()
    }

    /// Bytes that the headers add.
    #[must_use]
    pub const fn headers(&self) -> u32 {
        self.headers
    }

    /// The largest packet.
    #[must_use]
    pub const fn mtu(&self) -> Option<&MtuClamp> {
        self.mtu.as_ref()
    }

    /// The slowest hop and its queue.
    #[must_use]
    pub const fn bottleneck(&self) -> Option<&Bottleneck> {
        self.bottleneck.as_ref()
    }

    /// Which datagrams are lost.
    #[must_use]
    pub const fn loss_model(&self) -> &LossModel {
        &self.loss
    }

    /// Which datagrams arrive twice.
    #[must_use]
    pub const fn duplicate(&self) -> Option<&Duplicate> {
        self.duplicate.as_ref()
    }

    /// Which copies are truncated.
    #[must_use]
    pub const fn truncate(&self) -> Option<&Truncate> {
        self.truncate.as_ref()
    }

    /// In which copies bits flip.
    #[must_use]
    pub const fn corrupt(&self) -> Option<&Corrupt> {
        self.corrupt.as_ref()
    }

    /// How long datagrams take.
    #[must_use]
    pub const fn delay(&self) -> Option<&DelayModel> {
        self.delay.as_ref()
    }

    /// Which datagrams are held back.
    #[must_use]
    pub const fn reorder(&self) -> Option<&Reorder> {
        self.reorder.as_ref()
    }

    /// How much of all this may happen.
    #[must_use]
    pub const fn dose(&self) -> Option<&Dose> {
        self.dose.as_ref()
    }
}

impl Default for Impairments {
    /// [`NONE`](Self::NONE)
    fn default() -> Self {
        Self::NONE
    }
}

const MOST_OUTAGES: usize = 64;
