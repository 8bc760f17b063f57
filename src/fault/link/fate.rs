use core::{fmt, slice};

use crate::fault::impairment::damage::Flips;
use crate::fault::impairment::script::MOST_COPIES;
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It arrives, perhaps more than once.
    Delivered(Deliveries),
    /// It does not.
    Dropped(DropCause),
    /// It does not; a sender on this host is informed of the largest payload that would fit.
    TooBig {
        /// The largest payload.
        limit: Plpmtu,
    },
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DropCause {
    /// The script says so.
    Script,
    /// Nothing passes at that time.
    Outage,
    /// It exceeds the MTU.
    Mtu,
    /// The queue of the bottleneck is full.
    Queue,
    /// The loss model took it.
    Loss,
}

/// The copies of a datagram that arrive: at least the datagram itself.
#[derive(Clone, Copy)]
pub struct Deliveries {
    copies: [Delivery; MOST_COPIES],
    count: u8,
}

/// One copy of a datagram, at the other end of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// When it arrives.
    pub at: Timestamp,
    /// How many bytes are left of it.
    pub len: usize,
    /// The bits that flipped.
    pub flips: Flips,
}

#[cfg(any(test, feature = "sim"))]
impl Fate {
    /// The fate of a datagram where nothing is lost, duplicated or damaged: it takes the mean delay.
    #[cfg(feature = "sim")]
    pub(crate) fn plain(now: Timestamp, impairments: &crate::fault::Impairments, len: usize) -> Self {
        let delay = impairments.delay().map(|model| model.law().mean()).unwrap_or_default();
        Self::Delivered(Deliveries::one(Delivery::whole(now.after(delay), len)))
    }

    /// Whether it arrives once and whole, as the plain one does.
    #[cfg(feature = "sim")]
    pub(crate) fn is_harmless(&self, plain: &Self) -> bool {
        match (self, plain) {
            (Self::Delivered(copies), Self::Delivered(whole)) => match (copies.as_slice(), whole.as_slice()) {
                ([copy], [whole]) => copy.len == whole.len && copy.flips == whole.flips,
                _ => false,
            },
            _ => false,
        }
    }

    /// All copies, `by` later.
    pub(crate) fn late(copies: &Deliveries, by: core::time::Duration) -> Self {
        let mut late = *copies;
        for copy in late.as_mut_slice() {
            copy.at = copy.at.after(by);
        }
        Self::Delivered(late)
    }

    /// The plain fate, at this one's time if it has one.
    #[cfg(feature = "sim")]
    pub(crate) fn healed(&self, plain: &Self) -> Self {
        match (self, plain) {
            (Self::Delivered(copies), Self::Delivered(whole)) => match (copies.as_slice(), whole.as_slice()) {
                ([copy, ..], [whole, ..]) => Self::Delivered(Deliveries::one(Delivery { at: copy.at, ..*whole })),
                _ => *plain,
            },
            _ => *plain,
        }
    }
}

impl DropCause {
    /// `script`, `outage`, `mtu`, `queue` or `loss`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Outage => "outage",
            Self::Mtu => "mtu",
            Self::Queue => "queue",
            Self::Loss => "loss",
        }
    }
}

impl Deliveries {
    pub(crate) fn one(delivery: Delivery) -> Self {
        Self { copies: [delivery; MOST_COPIES], count: 1 }
    }

    pub(crate) fn push(&mut self, delivery: Delivery) {
        if let Some(place) = self.copies.get_mut(usize::from(self.count)) {
            *place = delivery;
            self.count += 1;
        }
    }

    /// The datagram itself, then its duplicates.
    #[must_use]
    pub fn as_slice(&self) -> &[Delivery] {
        self.copies.get(..self.count.into()).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Delivery] {
        self.copies.get_mut(..self.count.into()).unwrap_or_default()
    }

    /// The datagram itself, then its duplicates.
    pub fn iter(&self) -> slice::Iter<'_, Delivery> {
        self.as_slice().iter()
    }
}

// By the copies that there are: what the other places hold means nothing.
impl PartialEq for Deliveries {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Deliveries {}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Deliveries {
    type Item = &'a Delivery;
    type IntoIter = slice::Iter<'a, Delivery>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Delivery {
    /// The one copy of a datagram that nothing happened to.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn whole(at: Timestamp, len: usize) -> Self {
        Self { at, len, flips: Flips::default() }
    }

    /// Whether nothing was done to a datagram of `len` bytes, so that it can be passed on without being copied.
    pub(crate) fn is_whole(&self, len: usize) -> bool {
        self.len == len && self.flips.as_slice().is_empty()
    }

    /// Does to a copy of the datagram what the link decided: returns what is left of it, with its bits flipped.
    pub fn apply_to<'d>(&self, datagram: &'d mut [u8]) -> &'d mut [u8] {
        let len = self.len.min(datagram.len());
        let left = datagram.get_mut(..len).unwrap_or_default();
        self.flips.apply(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn deliveries_are_equal_by_the_copies_that_there_are() {
        let later = Duration::from_nanos(7);
        let copy = Delivery::whole(Timestamp::from_nanos(5), 9);
        let late = Fate::late(&Deliveries::one(copy), later);
        assert_eq!(late, Fate::Delivered(Deliveries::one(Delivery { at: copy.at.after(later), ..copy })));
        assert_ne!(late, Fate::Delivered(Deliveries::one(copy)));
        assert_eq!(format!("{:?}", Deliveries::one(copy)), "[Delivery { at: 5ns, len: 9, flips: [] }]");
        let mut twice = Deliveries::one(copy);
        twice.push(copy);
        assert_ne!(twice, Deliveries::one(copy));
    }
}
