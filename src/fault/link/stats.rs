use core::ops::AddAssign;

use super::fate::{DropCause, Fate};

/// What a link has done to its datagrams.
///
/// Every datagram is accounted for: `received + duplicates = delivered + dropped.total()`, always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct LinkStats {
    /// Datagrams that went in.
    pub received: u64,
    /// Copies that come out.
    pub delivered: u64,
    /// Second and further copies that were made.
    pub duplicates: u64,
    /// Datagrams that do not come out, by cause.
    pub dropped: Dropped,
    /// Bursts of losses: how often the loss model took a datagram and not the one before.
    pub bursts: u64,
    /// Copies with flipped bits.
    pub corrupted: u64,
    /// Copies that were truncated by the truncate stage or the script.
    pub truncated: u64,
    /// Datagrams that were truncated to the MTU.
    pub clamped: u64,
    /// Datagrams held back by the reorder stage.
    pub held: u64,
    /// Datagrams that the script has a rule for.
    pub scripted: u64,
    /// Datagrams that the dose has spared a fault; those count nowhere else but as delivered.
    pub spared: u64,
    /// Links that have carried something: 1, or as many as were counted together.
    pub links: u64,
    /// Whether the loss model took the last datagram.
    in_burst: bool,
}

/// Datagrams that did not pass, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct Dropped {
    /// By the script.
    pub script: u64,
    /// In an outage.
    pub outage: u64,
    /// As too big, whether the sender got an error or not.
    pub mtu: u64,
    /// By a full queue.
    pub queue: u64,
    /// By the loss model.
    pub loss: u64,
    /// Copies that the bench could not keep until they were due, beyond its [`Capacity`](crate::fault::Capacity).
    pub capacity: u64,
}

/// What became of the datagrams of one direction of a [`LossySink`](crate::fault::LossySink) or a proxy.
///
/// Every copy is accounted for: `fates.delivered = passed + in_flight + discarded + failed`, always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct DirectionStats {
    /// What all links together decided.
    pub fates: LinkStats,
    /// Copies passed on.
    pub passed: u64,
    /// Copies that are still in flight.
    pub in_flight: u64,
    /// Copies dropped by `renew`, because their session has ended, or because an observer panicked over them.
    pub discarded: u64,
    /// Copies that the system did not send.
    pub failed: u64,
}

impl Dropped {
    /// By any cause.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.script + self.outage + self.mtu + self.queue + self.loss + self.capacity
    }

    const fn since(&self, earlier: &Self) -> Self {
        Self {
            script: self.script.saturating_sub(earlier.script),
            outage: self.outage.saturating_sub(earlier.outage),
            mtu: self.mtu.saturating_sub(earlier.mtu),
            queue: self.queue.saturating_sub(earlier.queue),
            loss: self.loss.saturating_sub(earlier.loss),
            capacity: self.capacity.saturating_sub(earlier.capacity),
        }
    }
}

impl LinkStats {
    /// Before the first datagram.
    pub const NONE: Self = Self {
        received: 0,
        delivered: 0,
        duplicates: 0,
        dropped: Dropped { script: 0, outage: 0, mtu: 0, queue: 0, loss: 0, capacity: 0 },
        bursts: 0,
        corrupted: 0,
        truncated: 0,
        clamped: 0,
        held: 0,
        scripted: 0,
        spared: 0,
        links: 0,
        in_burst: false,
    };

    /// What has been counted since an earlier look at the same link, or at the same links together.
    ///
    /// Each count by itself, at least 0; `links` are those that there are now.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            delivered: self.delivered.saturating_sub(earlier.delivered),
            duplicates: self.duplicates.saturating_sub(earlier.duplicates),
            dropped: self.dropped.since(&earlier.dropped),
            bursts: self.bursts.saturating_sub(earlier.bursts),
            corrupted: self.corrupted.saturating_sub(earlier.corrupted),
            truncated: self.truncated.saturating_sub(earlier.truncated),
            clamped: self.clamped.saturating_sub(earlier.clamped),
            held: self.held.saturating_sub(earlier.held),
            scripted: self.scripted.saturating_sub(earlier.scripted),
            spared: self.spared.saturating_sub(earlier.spared),
            links: self.links,
            in_burst: self.in_burst,
        }
    }

    /// Counts a datagram that arrives once and whole.
    #[inline]
    pub(super) fn count_whole(&mut self) {
        self.received += 1;
        self.links = 1;
        self.delivered += 1;
        self.in_burst = false;
    }

    /// Counts a fate; `len` is the length of the datagram that the MTU left, and `refused` copies found no capacity.
    #[inline]
    pub(in crate::fault) fn count(&mut self, fate: &Fate, len: usize, refused: u64) {
        self.received += 1;
        self.links = 1;
        self.dropped.capacity += refused;
        let mut lost = false;
        match fate {
            Fate::Delivered(deliveries) => {
                let copies = deliveries.as_slice();
                self.delivered += copies.len() as u64;
                self.duplicates += (copies.len() as u64 + refused).saturating_sub(1);
                for copy in copies {
                    self.corrupted += u64::from(!copy.flips.as_slice().is_empty());
                    self.truncated += u64::from(copy.len < len);
                }
            }
            Fate::Dropped(DropCause::Script) => self.dropped.script += 1,
            Fate::Dropped(DropCause::Outage) => self.dropped.outage += 1,
            Fate::Dropped(DropCause::Mtu) | Fate::TooBig { .. } => self.dropped.mtu += 1,
            Fate::Dropped(DropCause::Queue) => self.dropped.queue += 1,
            Fate::Dropped(DropCause::Loss) => {
                self.dropped.loss += 1;
                self.bursts += u64::from(!self.in_burst);
                lost = true;
            }
            Fate::Dropped(DropCause::Capacity) => self.duplicates += refused.saturating_sub(1),
        }
        self.in_burst = lost;
    }
}

impl AddAssign for LinkStats {
    /// The counts of several links together.
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.dropped += other.dropped;
        self.bursts += other.bursts;
        self.corrupted += other.corrupted;
        self.truncated += other.truncated;
        self.clamped += other.clamped;
        self.held += other.held;
        self.scripted += other.scripted;
        self.spared += other.spared;
        self.links += other.links;
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.script += other.script;
        self.outage += other.outage;
        self.mtu += other.mtu;
        self.queue += other.queue;
        self.loss += other.loss;
        self.capacity += other.capacity;
    }
}
