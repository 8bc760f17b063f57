use core::num::NonZeroU16;
use core::time::Duration;

use super::wire::{Fields, REPLY, UNKNOWN};
use super::{EnvelopeError, HEADER_LEN, Incarnation};

/// The header before a reply.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::envelope::{Incarnation, ReplyHeader, ReplyKind, RequestHeader};
///
/// let asked = RequestHeader::new(2, None, None);
/// let server = Incarnation::new(7).unwrap();
/// let sent = ReplyHeader::new(ReplyKind::Reply, asked.transmission(), Duration::from_secs(5), server);
/// let datagram = [&sent.encode()[..], b"id 1 pong"].concat();
///
/// let (header, payload) = ReplyHeader::decode(&datagram)?;
/// assert_eq!((header, payload), (sent, &b"id 1 pong"[..]));
/// assert_eq!(header.transmission().get(), 2);
/// # Ok::<(), udp_retry::envelope::EnvelopeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReplyHeader {
    kind: ReplyKind,
    transmission: NonZeroU16,
    /// In milliseconds.
    uptime: u32,
    incarnation: Incarnation,
}

/// What a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a client must know both")]
pub enum ReplyKind {
    /// A reply, or a provisional answer: the payload says which.
    Reply,
    /// It has not executed the request, as an earlier incarnation may have; the payload is the request's.
    Unknown,
}

impl ReplyHeader {
    /// A header for an answer to this transmission, [as its header said](super::RequestHeader::transmission), from a server that is
    /// this `incarnation` and started `uptime` ago.
    #[must_use]
    pub fn new(kind: ReplyKind, transmission: NonZeroU16, uptime: Duration, incarnation: Incarnation) -> Self {
        Self { kind, transmission, uptime: u32::try_from(uptime.as_millis()).unwrap_or(u32::MAX), incarnation }
    }

    /// The header at the beginning of a datagram, and the payload after it.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: the datagram is no answer with an envelope of this version.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), EnvelopeError> {
        let (Fields { kind, transmission, time: uptime, incarnation }, payload) = Fields::decode(datagram)?;
        let kind = match kind {
            REPLY => ReplyKind::Reply,
            UNKNOWN => ReplyKind::Unknown,
            kind => return Err(EnvelopeError::OtherKind { kind }),
        };
        let incarnation = Incarnation::new(incarnation).ok_or(EnvelopeError::NoIncarnation)?;
        Ok((Self { kind, transmission, uptime, incarnation }, payload))
    }

    /// Its bytes, which the payload follows.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            ReplyKind::Reply => REPLY,
            ReplyKind::Unknown => UNKNOWN,
        };
        let incarnation = self.incarnation.number();
        Fields { kind, transmission: self.transmission, time: self.uptime, incarnation }.encode()
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ReplyKind {
        self.kind
    }

    /// Which transmission of the request it answers, as that one's header said.
    #[must_use]
    pub const fn transmission(&self) -> NonZeroU16 {
        self.transmission
    }

    /// How long the server had been up when it answered, to the millisecond below; at most 49 days.
    #[must_use]
    pub const fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime as u64)
    }

    /// The server that answers.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the server was up for at least this long when it answered, even if its clock runs up to 0.1 % faster than the
    /// caller's: then no earlier incarnation can have received what left this long ago.
    #[must_use]
    pub fn was_up_for(&self, span: Duration) -> bool {
        self.uptime() >= span.saturating_add(span / 1_000)
    }
}
