use alloc::boxed::Box;
use alloc::vec;
use core::net::SocketAddr;
use core::num::NonZeroU32;

use super::tag::Tags;

/// How many of the entries each peer has, if one may have no more than its share.
pub(super) struct Shares {
    most: u32,
    /// By the number of the share; none if peers are not limited.
    counts: Box<[u32]>,
}

impl Shares {
    pub(super) fn new(per_peer: Option<NonZeroU32>) -> Self {
        let count = if per_peer.is_some() { SHARES } else { 0 };
        Self { most: per_peer.map_or(u32::MAX, NonZeroU32::get), counts: vec![0; count].into() }
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// The number of the peer's share.
    #[inline]
    pub(super) fn of(&self, peer: &SocketAddr, tags: &Tags) -> u16 {
        if self.counts.is_empty() { 0 } else { tags.share(peer) }
    }

    #[inline]
    pub(super) fn is_used_up(&self, share: u16) -> bool {
        self.counts.get(usize::from(share)).is_some_and(|&count| count >= self.most)
    }

    #[inline]
    pub(super) fn add(&mut self, share: u16) {
        if let Some(count) = self.counts.get_mut(usize::from(share)) {
            *count += 1;
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, share: u16) {
        if let Some(count) = self.counts.get_mut(usize::from(share)) {
            *count = count.saturating_sub(1);
        }
    }
}

/// As many as 16 bits can name.
const SHARES: usize = 1 << 16;
