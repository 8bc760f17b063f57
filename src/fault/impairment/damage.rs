use core::fmt;

use super::infeasible::Infeasible;
use super::probability::Probability;
use crate::entropy::{Draws, Seed, labels, uniform};

/// Flipped bits, as the program sees them: above the checksum of UDP, which would turn them into loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt {
    probability: Probability,
    bits: u8,
}

/// A datagram that loses its tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncate {
    probability: Probability,
    to: Option<u16>,
}

impl Corrupt {
    /// Flips one bit of a datagram with this probability, any bit alike. An empty datagram has none.
    #[must_use]
    pub const fn new(probability: Probability) -> Self {
        Self { probability, bits: 1 }
    }

    /// Flips exactly `bits` different bits, or all of a datagram that has fewer; 1 by default.
    ///
    /// # Errors
    ///
    /// [`Infeasible::BitCount`] unless from 1 to 8.
    pub const fn bits(self, bits: u8) -> Result<Self, Infeasible> {
        match bits {
            0 => Err(Infeasible::BitCount { bits, nearest: 1 }),
            1..=8 => Ok(Self { bits, ..self }),
            _ => Err(Infeasible::BitCount { bits, nearest: 8 }),
        }
    }

    /// The chance of a datagram to be corrupted.
    #[must_use]
    pub const fn probability(&self) -> Probability {
        self.probability
    }

    /// How many bits flip.
    #[must_use]
    pub const fn bit_count(&self) -> u8 {
        self.bits
    }

    /// Whether this datagram is corrupted.
    #[inline]
    pub(in crate::fault) fn happens(&self, draws: &DamageDraws, sequence: u64) -> bool {
        self.probability.happens(draws.own.draw(sequence))
    }

    /// The bits that flip in a datagram of `len` bytes that is corrupted.
    pub(in crate::fault) fn flips(&self, draws: &DamageDraws, sequence: u64, len: usize) -> Flips {
        let mut flips = Flips::default();
        let places = draws.places.derive(sequence).draws();
        let bits = len as u64 * 8;
        // Floyd's sample: each set of this size is equally likely, without a second try.
        for n in bits.saturating_sub(self.bits.into())..bits {
            let any = uniform(0, n, places.draw(n));
            let bit = if flips.contains(any) { n } else { any };
            flips.push(bit);
        }
        flips
    }
}

impl Truncate {
    /// Truncates a datagram with this probability, to any shorter length alike. An empty datagram stays as it is.
    #[must_use]
    pub const fn new(probability: Probability) -> Self {
        Self { probability, to: None }
    }

    /// Truncates to this length; a datagram that is not longer is spared.
    #[must_use]
    pub const fn to(self, len: u16) -> Self {
        Self { to: Some(len), ..self }
    }

    /// The chance of a datagram to be truncated.
    #[must_use]
    pub const fn probability(&self) -> Probability {
        self.probability
    }

    /// The length that is left, if it is always the same.
    #[must_use]
    pub const fn length(&self) -> Option<u16> {
        self.to
    }

    /// Whether this datagram is truncated, unless it is empty.
    #[inline]
    pub(in crate::fault) fn happens(&self, draws: &DamageDraws, sequence: u64) -> bool {
        self.probability.happens(draws.own.draw(sequence))
    }

    /// How many of `len` bytes are left.
    #[inline]
    pub(in crate::fault) fn left_of(&self, draws: &DamageDraws, sequence: u64, len: usize) -> usize {
        if len == 0 || !self.happens(draws, sequence) {
            return len;
        }
        match self.to {
            Some(to) => len.min(to.into()),
            None => {
                let shorter = uniform(0, len as u64 - 1, draws.places.draw(sequence));
                usize::try_from(shorter).unwrap_or(len)
            }
        }
    }
}

/// What chance decides by: whether a copy is damaged, and where.
#[derive(Clone, Copy, Debug)]
pub(in crate::fault) struct DamageDraws {
    own: Draws,
    places: Seed,
}

impl DamageDraws {
    pub(in crate::fault) const fn of(seed: Seed) -> Self {
        Self { own: seed.draws(), places: seed.derive(labels::PLACES) }
    }
}

/// The bits that flip in one copy; bit 0 is the highest of the first byte, as RFCs draw it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flips {
    bits: [u32; MOST_FLIPS],
    count: u8,
}

impl Flips {
    /// The numbers of the bits, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        self.bits.get(..self.count.into()).unwrap_or_default()
    }

    /// Flips them where the datagram has them.
    pub fn apply(&self, datagram: &mut [u8]) {
        for &bit in self.as_slice() {
            if let Some(byte) = datagram.get_mut(bit as usize / 8) {
                *byte ^= 0x80 >> (bit % 8);
            }
        }
    }

    /// `false` if that would be one flip too many, or if no datagram has such a bit.
    pub(in crate::fault) fn push(&mut self, bit: u64) -> bool {
        let Ok(bit) = u32::try_from(bit) else { return false };
        let Some((free, before)) = self.bits.get_mut(..=usize::from(self.count)).and_then(<[u32]>::split_last_mut)
        else {
            return false;
        };
        // The others are in their order already. Each place keeps the lower, without a branch that chance decides.
        *free = before.iter_mut().fold(bit, |bit, place| {
            let higher = bit.max(*place);
            *place = bit.min(*place);
            higher
        });
        self.count += 1;
        true
    }

    fn contains(&self, bit: u64) -> bool {
        self.as_slice().iter().any(|&flipped| u64::from(flipped) == bit)
    }
}

impl fmt::Debug for Flips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

pub(in crate::fault) const MOST_FLIPS: usize = 8;
