use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use super::calls::{Answer, UNMEASURED};
use super::shared::Shared;
use crate::transport::PeerAddress;

/// A reply of an [`AsyncRequester`](super::AsyncRequester), and what it took. It borrows nothing; its buffer goes back to a pool
/// when it is dropped.
pub struct AsyncReply<P: PeerAddress> {
    answer: Answer,
    peer: P,
    shared: Arc<Shared<P>>,
}

impl<P: PeerAddress> AsyncReply<P> {
    pub(super) fn new(answer: Answer, peer: P, shared: &Arc<Shared<P>>) -> Self {
        Self { answer, peer, shared: Arc::clone(shared) }
    }

    /// What the server sent; an empty datagram is a reply too.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.answer.payload
    }

    /// What the server sent, without the rest: the buffer itself, which the pool then lacks.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        mem::take(&mut self.answer.payload)
    }

    /// Who replied: of a group, one of its servers.
    #[must_use]
    pub fn peer(&self) -> P {
        self.peer
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.answer.transmissions
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.answer.withheld
    }

    /// The time since the request was first sent, or was to be: without that for which it waited for capacity, or for space in
    /// the window.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.answer.elapsed)
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3); in an [envelope](crate::envelope) it says to which it does.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        Some(self.answer.round_trip).filter(|&it| it != UNMEASURED).map(Duration::from_nanos)
    }
}

impl<P: PeerAddress> Drop for AsyncReply<P> {
    fn drop(&mut self) {
        self.shared.take_back(mem::take(&mut self.answer.payload));
    }
}

impl<P: PeerAddress> fmt::Debug for AsyncReply<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReply")
            .field("payload", &self.answer.payload)
            .field("peer", &self.peer)
            .field("transmissions", &self.answer.transmissions)
            .field("elapsed", &self.elapsed())
            .field("round_trip", &self.round_trip())
            .finish_non_exhaustive()
    }
}
