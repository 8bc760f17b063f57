use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::link::fate::Delivery;
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;

/// How many delayed datagrams the bench itself keeps of one peer and direction: 65,536, and 64 MiB, by default.
///
/// A bench whose delay exceeds what it can keep would lose datagrams for a reason of its own. Those are counted as
/// [`DropCause::Capacity`](super::DropCause::Capacity), and here is how to have fewer of them: rate × delay must fit.
///
/// The rule for several peers: **a datagram is kept if its peer then holds no more than is still free, of twice this.**
/// So a peer that is alone holds all of it, memory is bounded by twice of it, n peers that want more than there is hold
/// 2/(n + 1) of it each, and a peer that comes last finds half of what is free, however the others flood.
///
/// ```
/// use udp_retry::fault::{Capacity, Infeasible};
///
/// // 20 minutes of delay at 100 datagrams a second.
/// let long = Capacity::new(120_000, 120_000 * 1500)?;
/// assert_eq!((long.datagrams(), long.bytes()), (120_000, 180_000_000));
/// # Ok::<(), Infeasible>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capacity {
    datagrams: usize,
    bytes: usize,
}

impl Capacity {
    /// What is kept by default.
    pub const DEFAULT: Self = Self { datagrams: 1 << 16, bytes: 64 << 20 };

    /// Keeps this many datagrams of one peer and direction, with this many bytes of payload together.
    ///
    /// # Errors
    ///
    /// [`Infeasible::NoCapacity`] below one datagram of the largest size, 65,535 bytes.
    pub const fn new(datagrams: usize, bytes: usize) -> Result<Self, Infeasible> {
        if datagrams == 0 || bytes < LARGEST_DATAGRAM {
            return Err(Infeasible::NoCapacity { datagrams, bytes });
        }
        Ok(Self { datagrams, bytes })
    }

    /// One that is known to be enough for a datagram.
    #[cfg(feature = "sim")]
    pub(crate) const fn of(datagrams: usize, bytes: usize) -> Self {
        Self { datagrams, bytes }
    }

    /// The datagrams of one peer and direction.
    #[must_use]
    pub const fn datagrams(&self) -> usize {
        self.datagrams
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Default for Capacity {
    /// [`DEFAULT`](Self::DEFAULT)
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Datagrams and bytes that are held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Held {
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

impl Held {
    pub(crate) fn add(&mut self, len: usize) {
        self.datagrams = self.datagrams.saturating_add(1);
        self.bytes = self.bytes.saturating_add(len);
    }

    pub(crate) fn remove(&mut self, len: usize) {
        self.datagrams = self.datagrams.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(len);
    }
}

/// What there is for one datagram of a peer, as its copies are admitted one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) capacity: Capacity,
    pub(crate) of_all: Held,
    pub(crate) of_peer: Held,
    /// What is due by then leaves at once, and needs no capacity.
    pub(crate) now: Option<Timestamp>,
}

impl Admission {
    /// Whether a copy can be kept, which then counts for those that follow.
    pub(crate) fn admits(&mut self, copy: &Delivery) -> bool {
        if self.now.is_some_and(|now| copy.at <= now) {
            return true;
        }
        let (mut all, mut own) = (self.of_all, self.of_peer);
        all.add(copy.len);
        own.add(copy.len);
        let fair = |own: usize, all: usize, most: usize| own <= most.saturating_mul(2).saturating_sub(all);
        let fits = fair(own.datagrams, all.datagrams, self.capacity.datagrams)
            && fair(own.bytes, all.bytes, self.capacity.bytes);
        if fits {
            (self.of_all, self.of_peer) = (all, own);
        }
        fits
    }
}
