use alloc::vec::Vec;
use core::time::Duration;

use crate::time::{Ns, Timestamp};
use crate::transaction::{ReplyMatcher, Strays, Timeline, Transaction};
use crate::transport::PathIndex;

/// A reply, and what it took; borrows the requester's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    payload: &'r [u8],
    transmissions: u32,
    withheld: u32,
    path: PathIndex,
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
            path: transaction.reply_path(),
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

    /// The path that it came on: of several [servers](super::Builder::connect_any) the one that answered.
    #[must_use]
    pub fn path(&self) -> PathIndex {
        self.path
    }

    /// The time from the call to the reply.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed)
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3): an [envelope](super::Builder::envelope) says to which it belongs.
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

    /// A copy that borrows nothing: to keep it, or to return it from a loop that asks again.
    ///
    /// ```no_run
    /// use udp_retry::requester::OwnedReply;
    /// use udp_retry::{ReliableRequester, RequestError};
    ///
    /// fn until_it_is_ready(requester: &mut ReliableRequester) -> Result<OwnedReply, RequestError> {
    ///     loop {
    ///         let reply = requester.request(b"....ready?")?;
    ///         if reply.payload().ends_with(b"yes") {
    ///             return Ok(reply.into_owned());
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn into_owned(self) -> OwnedReply {
        let Self { payload, transmissions, withheld, path, elapsed, round_trip, strays, timeline } = self;
        let (payload, timeline) = (payload.to_vec(), *timeline);
        OwnedReply { payload, transmissions, withheld, path, elapsed, round_trip, strays, timeline }
    }
}

/// A [`Reply`] that borrows nothing; made by [`Reply::into_owned`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedReply {
    payload: Vec<u8>,
    transmissions: u32,
    withheld: u32,
    path: PathIndex,
    elapsed: Ns,
    round_trip: Option<Ns>,
    strays: Strays,
    timeline: Timeline,
}

impl OwnedReply {
    /// What the server sent.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What the server sent, without the rest.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The reply as it was lent, with everything that it says of itself.
    #[must_use]
    pub fn as_reply(&self) -> Reply<'_> {
        let Self { payload, transmissions, withheld, path, elapsed, round_trip, strays, timeline } = self;
        Reply {
            payload,
            transmissions: *transmissions,
            withheld: *withheld,
            path: *path,
            elapsed: *elapsed,
            round_trip: *round_trip,
            strays: *strays,
            timeline,
        }
    }
}
