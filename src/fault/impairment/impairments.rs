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
use super::timeline::{Setting, Timeline};
use crate::size::IpFamily;

/// What one direction of a path does to its datagrams; nothing by default.
///
/// A plain value, checked where its parts are made. As text (`parse`, `Display`), one clause for each stage, and one for
/// each change [at a later time](Self::with_change):
///
/// ```
/// use core::time::Duration;
/// use udp_retry::{Impairments, Probability};
/// use udp_retry::fault::{Corrupt, LossModel, Setting};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let percent = |n| Probability::ratio(n, 100);
/// let bad = Impairments::NONE.with_loss(LossModel::bursts(percent(5)?, 3.0)?).with_corrupt(Corrupt::new(percent(1)?));
/// assert_eq!(bad, "loss 5% burst 3; corrupt 1%".parse()?);
/// let better = bad.with_change(Duration::from_secs(9), Setting::Loss(LossModel::NONE))?;
/// assert_eq!(better, "loss 5% burst 3; corrupt 1%; at 9s loss 0%".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Impairments {
    script: Script,
    outages: Option<Arc<[Outage]>>,
    /// `None` for those of the family.
    headers: Option<u32>,
    mtu: Option<MtuClamp>,
    bottleneck: Option<Bottleneck>,
    loss: LossModel,
    duplicate: Option<Duplicate>,
    truncate: Option<Truncate>,
    corrupt: Option<Corrupt>,
    delay: Option<DelayModel>,
    reorder: Option<Reorder>,
    dose: Option<Dose>,
    pub(super) timeline: Option<Arc<Timeline>>,
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
            headers: None,
            mtu: None,
            bottleneck: None,
            loss: LossModel::Bernoulli(probability),
            duplicate: None,
            truncate: None,
            corrupt: None,
            delay: None,
            reorder: None,
            dose: None,
            timeline: None,
        }
    }

    /// What happens to datagrams by their number, before anything happens by chance.
    #[must_use]
    pub fn with_script(self, script: Script) -> Self {
        self.set(Setting::Script(script))
    }

    /// Adds an outage.
    ///
    /// # Errors
    ///
    /// [`Infeasible::TooManyOutages`] past 64.
    pub fn with_outage(mut self, outage: Outage) -> Result<Self, Infeasible> {
        let present = self.outages();
        if present.len() == MOST_OUTAGES {
            return Err(Infeasible::TooManyOutages { most: MOST_OUTAGES });
        }
        self.outages = Some(present.iter().copied().chain([outage]).collect());
        Ok(self.planned())
    }

    /// Bytes that the headers add to every payload, for the MTU and the rate: by default 28 between IPv4 addresses and 48
    /// between IPv6 addresses, by [`Link::over`](crate::fault::Link::over) for those who do not know their addresses.
    ///
    /// # Errors
    ///
    /// [`Infeasible::HeadersTooLong`] past 65,535, the longest packet; [`Infeasible::MtuBelowHeaders`].
    pub fn with_headers(self, bytes: u32) -> Result<Self, Infeasible> {
        self.with(Setting::Headers(Some(bytes)))
    }

    /// The largest packet.
    ///
    /// # Errors
    ///
    /// [`Infeasible::MtuBelowHeaders`] if not even an empty datagram fits: below the headers, or below 48 where they are
    /// not set, as IPv6 has that many.
    pub fn with_mtu(self, mtu: MtuClamp) -> Result<Self, Infeasible> {
        self.with(Setting::Mtu(Some(mtu)))
    }

    /// The slowest hop and its queue.
    #[must_use]
    pub fn with_bottleneck(self, bottleneck: Bottleneck) -> Self {
        self.set(Setting::Bottleneck(Some(bottleneck)))
    }

    /// Which datagrams are lost.
    #[must_use]
    pub fn with_loss(self, loss: LossModel) -> Self {
        self.set(Setting::Loss(loss))
    }

    /// Which datagrams arrive twice.
    #[must_use]
    pub fn with_duplicate(self, duplicate: Duplicate) -> Self {
        self.set(Setting::Duplicate(Some(duplicate)))
    }

    /// Which copies are truncated.
    #[must_use]
    pub fn with_truncate(self, truncate: Truncate) -> Self {
        self.set(Setting::Truncate(Some(truncate)))
    }

    /// In which copies bits flip.
    #[must_use]
    pub fn with_corrupt(self, corrupt: Corrupt) -> Self {
        self.set(Setting::Corrupt(Some(corrupt)))
    }

    /// How long datagrams take.
    #[must_use]
    pub fn with_delay(self, delay: DelayModel) -> Self {
        self.set(Setting::Delay(Some(delay)))
    }

    /// Which datagrams are held back.
    #[must_use]
    pub fn with_reorder(self, reorder: Reorder) -> Self {
        self.set(Setting::Reorder(Some(reorder)))
    }

    /// Any of the settings above, as it holds at first; also one that takes something away.
    ///
    /// # Errors
    ///
    /// [`Infeasible::HeadersTooLong`], [`Infeasible::MtuBelowHeaders`].
    pub fn with(self, setting: Setting) -> Result<Self, Infeasible> {
        self.set(setting).checked()
    }

    /// How much of all this may happen.
    #[must_use]
    pub fn with_dose(self, dose: Dose) -> Self {
        self.set(Setting::Dose(Some(dose)))
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

    /// Bytes that the headers add, between IPv4 addresses.
    #[must_use]
    pub const fn headers(&self) -> u32 {
        self.headers_over(IpFamily::V4)
    }

    /// Bytes that the headers add between addresses of this family.
    #[must_use]
    #[inline]
    pub const fn headers_over(&self, family: IpFamily) -> u32 {
        match self.headers {
            Some(bytes) => bytes,
            None => family.overhead(),
        }
    }

    pub(crate) const fn chosen_headers(&self) -> Option<u32> {
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

    pub(in crate::fault) fn apply(&mut self, setting: Setting) {
        match setting {
            Setting::Nothing => *self = Self { outages: self.outages.clone(), ..Self::NONE },
            Setting::Script(script) => self.script = script,
            Setting::Headers(bytes) => self.headers = bytes,
            Setting::Mtu(mtu) => self.mtu = mtu,
            Setting::Bottleneck(bottleneck) => self.bottleneck = bottleneck,
            Setting::Loss(loss) => self.loss = loss,
            Setting::Duplicate(duplicate) => self.duplicate = duplicate,
            Setting::Truncate(truncate) => self.truncate = truncate,
            Setting::Corrupt(corrupt) => self.corrupt = corrupt,
            Setting::Delay(delay) => self.delay = delay,
            Setting::Reorder(reorder) => self.reorder = reorder,
            Setting::Dose(dose) => self.dose = dose,
        }
    }

    fn set(mut self, setting: Setting) -> Self {
        let timeline = self.timeline.take();
        self.apply(setting);
        self.timeline = timeline;
        self.planned()
    }

    /// With what holds later worked out anew.
    fn planned(mut self) -> Self {
        if let Some(timeline) = self.timeline.take() {
            let (changes, repeat) = (timeline.changes().to_vec(), timeline.repeat());
            self.timeline = Timeline::new(&self, changes, repeat).map(Arc::new);
        }
        self
    }

    pub(super) fn checked(self) -> Result<Self, Infeasible> {
        self.check_mtu()?;
        self.timeline.as_ref().map_or(Ok(()), |timeline| timeline.check())?;
        Ok(self)
    }

    /// Whether a datagram fits beside the headers, of either family where they are not set.
    pub(in crate::fault) fn check_mtu(&self) -> Result<(), Infeasible> {
        match (self.headers, &self.mtu) {
            (Some(headers), _) if headers > LONGEST_PACKET => {
                Err(Infeasible::HeadersTooLong { headers, most: LONGEST_PACKET })
            }
            (headers, Some(mtu)) => {
                let (mtu, least) = (mtu.pmtu().bytes(), headers.unwrap_or(IpFamily::V6.overhead()));
                if mtu < least { Err(Infeasible::MtuBelowHeaders { mtu, least }) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

impl Default for Impairments {
    /// [`NONE`](Self::NONE)
    fn default() -> Self {
        Self::NONE
    }
}

const MOST_OUTAGES: usize = 64;
/// The length field of an IP header has 16 bits.
const LONGEST_PACKET: u32 = 65_535;
