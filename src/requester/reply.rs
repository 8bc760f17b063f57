use core::time::Duration;

use crate::time::{Ns, Timestamp};
use crate::transaction::{ReplyMatcher, Strays, Timeline, Transaction};

/// A reply, and what it took; borrows the requester's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    payload: &'r [u8],
    transmissions: u32,
    withheld: u32,
    elapsed: Ns,
    round_trip: Option<Ns>,
    strays: Strays,
    timeline: &'r Timeline,
}

impl<'r> Reply<'r> {
    #[inline]
    pub(super) fn new(payload: &'r [u8], transaction: &'r Transaction<impl ReplyMatcher>, at: Timestamp) -> Self {
        Self {
            payload,
            transmissions: transaction.transmissions(),
            withheld: transaction.withheld(),
            elapsed: transaction.elapsed_ns(at),
            round_trip: transaction.round_trip_ns(),
            strays: transaction.strays(),
            timeline: transaction.timeline(),
        }
    }

    /// What the server sent; an empty datagram is a reply too.
    #[must_use]
    pub fn payload(&self) -> &'r [u8] {
        self.payload
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.transmissions
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.withheld
    }

    /// The time from the call to the reply.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed)
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3).
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from_nanos)
    }

    /// What arrived meanwhile and answered nothing, by kind.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// What happened, event by event.
    #[must_use]
    pub fn timeline(&self) -> &'r Timeline {
        self.timeline
    }
}
