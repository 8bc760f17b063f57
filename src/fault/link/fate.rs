use alloc::vec::Vec;
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
    /// The bench itself could not keep it until it was due: see [`Capacity`](crate::fault::Capacity).
    Capacity,
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

impl Fate {
    /// How many copies there are from this one on.
    pub(crate) fn copies_from(&self, next: usize) -> u64 {
        match self {
            Self::Delivered(copies) => copies.as_slice().len().saturating_sub(next) as u64,
            _ => 0,
        }
    }

    /// Whether a datagram of `len` bytes arrives once and whole.
    #[inline]
    pub(super) fn is_harmless(&self, len: usize) -> bool {
        match self {
            Self::Delivered(copies) => matches!(copies.as_slice(), [copy] if copy.is_whole(len)),
            Self::Dropped(_) | Self::TooBig { .. } => false,
        }
    }

    /// Leaves out the copies that cannot be kept, and returns how many these are.
    #[inline]
    pub(super) fn keep(&mut self, mut admits: impl FnMut(&Delivery) -> bool) -> u64 {
        let Self::Delivered(copies) = self else { return 0 };
        let refused = copies.iter().map(|copy| !admits(copy)).enumerate();
        let refused = refused.fold(0_u8, |refused, (n, refuse)| refused | u8::from(refuse) << n);
        if refused > 0 {
            *self = copies.without(refused);
        }
        refused.count_ones().into()
    }
}

#[cfg(any(test, feature = "sim"))]
impl Fate {
    /// All copies, `by` later.
    pub(crate) fn late(copies: &Deliveries, by: core::time::Duration) -> Self {
        let mut late = *copies;
        for copy in late.as_mut_slice() {
            copy.at = copy.at.after(by);
        }
        Self::Delivered(late)
    }
}

impl DropCause {
    /// `script`, `outage`, `mtu`, `queue`, `loss` or `capacity`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Outage => "outage",
            Self::Mtu => "mtu",
            Self::Queue => "queue",
            Self::Loss => "loss",
            Self::Capacity => "capacity",
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

    /// The fate without some of the copies, whose bits are set.
    #[cold]
    fn without(&self, refused: u8) -> Fate {
        let mut kept = Self { count: 0, ..*self };
        for (n, copy) in self.iter().enumerate() {
            if refused >> n & 1 == 0 {
                kept.push(*copy);
            }
        }
        if kept.count == 0 { Fate::Dropped(DropCause::Capacity) } else { Fate::Delivered(kept) }
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

    /// The datagram as it leaves: itself where nothing happened to it, else a copy.
    pub(crate) fn as_it_leaves<'d>(&self, datagram: &'d [u8], scratch: &'d mut Vec<u8>) -> &'d [u8] {
        if self.is_whole(datagram.len()) {
            return datagram;
        }
        scratch.clear();
        scratch.extend_from_slice(datagram);
        self.apply_to(scratch)
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
