use super::Impairments;
use crate::entropy::Seed;
use crate::time::Timestamp;

/// One direction of one path: a datagram goes in, its [`Fate`] comes out.
///
/// Pure: the time is an argument, and datagram number n meets the same fate whenever seed and impairments are the
/// same, whatever happened to the others.
///
/// ```
/// use udp_retry::fault::{Fate, Link};
/// use udp_retry::time::Timestamp;
/// use udp_retry::{Impairments, Probability, Seed};
///
/// let mut link = Link::new(Impairments::loss(Probability::HALF), Seed(7));
/// let delivered = (0..1000).filter(|_| matches!(link.transmit(Timestamp::ZERO, b"ping"), Fate::Delivered { .. })).count();
/// assert_eq!(delivered as u64, link.stats().delivered);
/// assert!((400..600).contains(&delivered));
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    impairments: Impairments,
    /// Keys the draws of the loss stage, one for each datagram.
    loss: Seed,
    stats: LinkStats,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It arrives.
    #[non_exhaustive]
    Delivered {
        /// When it arrives.
        at: Timestamp,
    },
    /// It does not.
    Dropped(DropCause),
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DropCause {
    /// The loss model took it.
    Loss,
}

/// What a link has done; `received = delivered + lost`, always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct LinkStats {
    /// Datagrams that went in.
    pub received: u64,
    /// Datagrams that came out.
    pub delivered: u64,
    /// Datagrams that the loss model took.
    pub lost: u64,
}

impl Link {
    /// A link that has not carried anything yet.
    #[must_use]
    pub fn new(impairments: Impairments, seed: Seed) -> Self {
        Self { impairments, loss: seed.derive(LOSS), stats: LinkStats::default() }
    }

    /// Decides what becomes of a datagram that enters at `now`.
    pub fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> Fate {
        let _ = datagram; // Loss is blind to contents.
        let sequence = self.stats.received;
        self.stats.received += 1;
        if self.impairments.loss_model().loses(self.loss, sequence) {
            self.stats.lost += 1;
            return Fate::Dropped(DropCause::Loss);
        }
        self.stats.delivered += 1;
        Fate::Delivered { at: now }
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn stats(&self) -> &LinkStats {
        &self.stats
    }
}

/// The label of the loss stage among the draws of a link.
const LOSS: u64 = 1;
