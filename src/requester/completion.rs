use core::net::SocketAddr;
use core::time::Duration;

use crate::transaction::{Finished, Handle, RequestError};
use crate::transport::{PathIndex, PeerAddress};

/// What a wait of a [`ConcurrentRequester`](super::ConcurrentRequester) came to.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every answer")]
pub enum Waited<'r, P = PathIndex> {
    /// A request has ended.
    Completion(Completion<'r, P>),
    /// The time has come.
    TimeUp,
    /// The wait was [cancelled](super::ConcurrentRequester::cancel_handle). Every request goes on with the next wait.
    Cancelled,
}

impl<'r, P> Waited<'r, P> {
    /// The request that has ended, if one has.
    #[must_use]
    pub fn completion(self) -> Option<Completion<'r, P>> {
        match self {
            Self::Completion(completion) => Some(completion),
            Self::TimeUp | Self::Cancelled => None,
        }
    }
}

/// A request that has ended, and what it took; borrows the requester's buffer.
#[derive(Clone, Debug)]
pub struct Completion<'r, P = PathIndex> {
    finished: Finished,
    peer: P,
    /// Of a connected socket.
    server: Option<SocketAddr>,
    payload: &'r [u8],
}

impl<'r, P: PeerAddress> Completion<'r, P> {
    #[inline]
    pub(super) fn new(finished: Finished, peer: P, server: Option<SocketAddr>, payload: &'r [u8]) -> Self {
        Self { finished, peer, server, payload }
    }

    /// What the caller gave with the request.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.finished.token
    }

    /// What [`submit`](super::ConcurrentRequester::submit) returned. The request has ended, so it names nothing any more.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.finished.handle
    }

    /// Whom the request was sent to; of a group who answered, else who was asked last.
    #[must_use]
    pub fn peer(&self) -> P {
        self.peer
    }

    /// What the server sent; an empty datagram is a reply too.
    ///
    /// # Errors
    ///
    /// Why there is no reply: see [`RequestError::failure`].
    pub fn reply(&self) -> Result<&'r [u8], RequestError> {
        match self.finished.error(self.peer.socket_addr().or(self.server)) {
            None => Ok(self.payload),
            Some(error) => Err(error),
        }
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.finished.transmissions
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.finished.withheld
    }

    /// The time since the request was first sent, or was to be: without that for which it waited for space in the window. Zero
    /// if it ended before.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.finished.elapsed
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3); in an [envelope](crate::envelope) it says to which it does.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.finished.round_trip
    }
}
