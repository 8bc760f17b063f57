use core::fmt;
use core::time::Duration;

use super::BoxedTransaction;
use crate::exchange::{Strays, Timeline};
use crate::time::Timestamp;

/// A reply, and what it took; borrows the requester's buffer.
#[derive(Clone, Copy)]
pub struct Reply<'r> {
    payload: &'r [u8],
    /// The one that it ended.
    transaction: &'r BoxedTransaction,
    at: Timestamp,
}

impl<'r> Reply<'r> {
    pub(super) fn new(payload: &'r [u8], transaction: &'r BoxedTransaction, at: Timestamp) -> Self {
        Self { payload, transaction, at }
    }

    /// What the server sent; an empty datagram is a reply too.
    #[must_use]
    pub fn payload(&self) -> &'r [u8] {
        self.payload
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.transaction.transmissions()
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.transaction.withheld()
    }

    /// The time from the call to the reply.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.transaction.elapsed(self.at)
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3).
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.transaction.round_trip()
    }

    /// What arrived meanwhile and answered nothing, by kind.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.transaction.strays()
    }

    /// What happened, event by event.
    #[must_use]
    pub fn timeline(&self) -> &'r Timeline {
        self.transaction.timeline()
    }
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("payload", &self.payload)
            .field("transmissions", &self.transmissions())
            .field("withheld", &self.withheld())
            .field("elapsed", &self.elapsed())
            .field("round_trip", &self.round_trip())
            .field("strays", &self.strays())
            .finish_non_exhaustive()
    }
}
