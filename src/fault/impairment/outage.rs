use core::time::Duration;

use super::delay::ns;
use super::infeasible::Infeasible;
use crate::time::Ns;

/// A time in which nothing passes, once or again and again.
///
/// Times count from the beginning of what the link belongs to: of a [`LossySink`](crate::fault::LossySink), a proxy or a
/// simulated network, whenever the impairments are set. A bare [`Link`](crate::fault::Link) counts from the origin of its
/// timestamps, or as [`Link::since`](crate::fault::Link::since) says.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::fault::Outage;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let seconds = Duration::from_secs;
/// let handover = Outage::new(seconds(10), Duration::from_millis(200))?.every(seconds(15))?;
/// assert!((handover.share() - 0.2 / 15.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    from: Ns,
    lasting: Ns,
    every: Option<Ns>,
}

impl Outage {
    /// One outage.
    ///
    /// # Errors
    ///
    /// [`Infeasible::EmptyOutage`], [`Infeasible::DurationTooLong`].
    pub fn new(from: Duration, lasting: Duration) -> Result<Self, Infeasible> {
        if lasting.is_zero() {
            return Err(Infeasible::EmptyOutage);
        }
        Ok(Self { from: ns(from)?, lasting: ns(lasting)?, every: None })
    }

    /// The same again and again, from beginning to beginning.
    ///
    /// # Errors
    ///
    /// [`Infeasible::EndlessOutage`] if it would begin before it has ended, [`Infeasible::DurationTooLong`].
    pub fn every(self, period: Duration) -> Result<Self, Infeasible> {
        let every = ns(period)?;
        if every <= self.lasting {
            let (lasting, most) = (Duration::from_nanos(self.lasting), Duration::from_nanos(every.saturating_sub(1)));
            return Err(Infeasible::EndlessOutage { lasting, every: period, most });
        }
        Ok(Self { every: Some(every), ..self })
    }

    /// When it begins for the first time.
    #[must_use]
    pub const fn from(&self) -> Duration {
        Duration::from_nanos(self.from)
    }

    /// How long it lasts.
    #[must_use]
    pub const fn lasting(&self) -> Duration {
        Duration::from_nanos(self.lasting)
    }

    /// From beginning to beginning, if it comes back.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.every.map(Duration::from_nanos)
    }

    /// The share of a long time that it takes: 0 if it comes once only.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.every.map_or(0.0, |every| self.lasting as f64 / every as f64)
    }

    #[inline]
    pub(crate) fn covers(&self, now: Ns) -> bool {
        let Some(since) = now.checked_sub(self.from) else { return false };
        let since = self.every.and_then(|every| since.checked_rem(every)).unwrap_or(since);
        since < self.lasting
    }
}
