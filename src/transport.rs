//! The seam between logic and the world: what a request travels over, and what can go wrong there.

use core::fmt::Debug;

use crate::size::Plpmtu;
use crate::time::Timestamp;

/// One end of a UDP path: sends datagrams, waits for them, and owns the clock.
///
/// Because waiting belongs to the transport, a fault injector can release delayed datagrams inside it and a
/// simulation can advance its clock inside it; everything above runs on either unchanged.
///
/// At a client's end a `Peer` is the index of a path (0 where there is only one); at a server's end it tells whom
/// a datagram came from and which of the own addresses it came to.
pub trait Transport {
    /// Where datagrams go to and come from.
    type Peer: Copy + Ord + Debug;

    /// The present moment. Never runs backwards.
    fn now(&self) -> Timestamp;

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// An error means that this datagram was **not** sent. It may be news of an *earlier* datagram, which a
    /// connected socket reports on whatever call comes next: see [`send_again`](Self::send_again).
    fn send(&mut self, to: Self::Peer, datagram: &[u8]) -> Result<(), PathError>;

    /// Waits for a datagram until `until`, but takes one that is there already at any time.
    ///
    /// What is due exactly at `until` is returned; `None` means that the time has come, or that the wait was
    /// cancelled. With `until` in the past nothing waits: the answer is a queued datagram or `None`.
    ///
    /// # Errors
    ///
    /// News of a datagram sent earlier. A datagram may be queued behind it: call again before deciding anything.
    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<Self::Peer>>, PathError>;

    /// As [`recv_until`](Self::recv_until), for a caller that knows the time: `now` was read a moment ago. Spares the
    /// reading of the clock where that is no loss.
    ///
    /// # Errors
    ///
    /// As [`recv_until`](Self::recv_until).
    fn recv_within(
        &mut self,
        buffer: &mut [u8],
        _now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Received<Self::Peer>>, PathError> {
        self.recv_until(buffer, until)
    }

    /// Whether somebody cancelled the wait from outside. Until that is asked, every wait ends at once; asking
    /// forgets it. Never, unless the transport has a way to be cancelled.
    fn take_cancelled(&mut self) -> bool {
        false
    }

    /// Moves to a fresh source port with nothing queued in either direction, so that no reply to anything sent
    /// before can arrive any more.
    ///
    /// # Errors
    ///
    /// [`PathError::Unsupported`] if the port cannot change, else what the system says.
    fn renew(&mut self) -> Result<(), PathError>;

    /// Sends one datagram, re-issuing it once at once if the first attempt reports an error, because that error
    /// may belong to an earlier datagram. `Ok(Some(error))` is such an error; the datagram itself has left.
    ///
    /// # Errors
    ///
    /// That of the second attempt: the datagram was not sent.
    fn send_again(&mut self, to: Self::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
        match self.send(to, datagram) {
            Ok(()) => Ok(None),
            Err(swallowed) => self.send(to, datagram).map(|()| Some(swallowed)),
        }
    }
}

/// A datagram that arrived; its payload is in the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "transports build it, drivers take it apart")]
pub struct Received<P> {
    /// Where it came from.
    pub from: P,
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes that it had on the wire; more than `len` if the buffer was too small.
    pub actual: usize,
    /// When it arrived.
    pub at: Timestamp,
}

/// What a path said of a datagram: news, not a verdict. None of these ends a transport.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Nobody listens at that port (ICMP port unreachable).
    #[error("connection refused: nobody listens there")]
    Refused,
    /// No route, or a router or the last hop gave up.
    #[error("destination unreachable")]
    Unreachable,
    /// The datagram exceeds what the path, the interface or a datagram at all can be.
    #[error("message too long{}", Limit(*limit))]
    TooBig {
        /// The largest payload that would fit, where it is known: a hint, not a proof.
        limit: Option<Plpmtu>,
    },
    /// A local rule forbids it: a firewall, or a broadcast without permission.
    #[error("permission denied")]
    Denied,
    /// A local queue is full; sending later may work.
    #[error("no buffer space")]
    NoBuffers,
    /// This transport cannot do that at all.
    #[error("not supported")]
    Unsupported,
    /// Any other, by the system's own number.
    #[error("system error {0}")]
    Other(i32),
}

struct Limit(Option<Plpmtu>);

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(limit) => write!(f, ": {} bytes would fit", limit.bytes()),
            None => Ok(()),
        }
    }
}
