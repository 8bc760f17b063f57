use core::num::NonZeroU16;
use core::time::Duration;

use super::wire::{Fields, REQUEST};
use super::{EnvelopeError, HEADER_LEN, Incarnation};

/// The header before a request.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::envelope::{Admission, Incarnation, RequestHeader};
///
/// let sent = RequestHeader::new(2, Some(Duration::from_millis(300)), Incarnation::new(7));
/// let datagram = [&sent.encode()[..], b"id 1 ping"].concat();
///
/// let (header, payload) = RequestHeader::decode(&datagram)?;
/// assert_eq!((header, payload), (sent, &b"id 1 ping"[..]));
/// // It has waited in a queue for longer than its client waits.
/// assert!(header.is_expired(Duration::from_millis(400)));
///
/// let (hour, minute) = (Duration::from_secs(3_600), Duration::from_secs(60));
/// let restarted = Incarnation::new(8).unwrap();
/// assert_eq!(header.admission(restarted, hour, minute), Admission::Unknown);
/// # Ok::<(), udp_retry::envelope::EnvelopeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestHeader {
    transmission: NonZeroU16,
    /// In microseconds; `u32::MAX` for none.
    remaining: u32,
    incarnation: Option<Incarnation>,
}

/// What a server does with a request, as far as restarts go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a server must know both")]
pub enum Admission {
    /// Its cache of replies decides whether to execute it.
    Admitted,
    /// An earlier incarnation may have executed it: the answer is [`ReplyKind::Unknown`](super::ReplyKind::Unknown).
    Unknown,
}

impl RequestHeader {
    /// A header for this transmission, counted from 1, of a request whose client gives up after `remaining`: `None` if it never
    /// does, which 71 minutes and more become too. Without an `incarnation` none is known.
    #[must_use]
    pub fn new(transmission: u32, remaining: Option<Duration>, incarnation: Option<Incarnation>) -> Self {
        Self { transmission: wire_number(transmission), remaining: remaining.map_or(NONE, micros_up), incarnation }
    }

    /// The header at the beginning of a datagram, and the request after it.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: the datagram is no request with an envelope of this version.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), EnvelopeError> {
        let (Fields { kind, transmission, time, incarnation }, payload) = Fields::decode(datagram)?;
        if kind != REQUEST {
            return Err(EnvelopeError::OtherKind { kind });
        }
        Ok((Self { transmission, remaining: time, incarnation: Incarnation::new(incarnation) }, payload))
    }

    /// Its bytes, which the request follows.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let incarnation = self.incarnation.map_or(0, Incarnation::number);
        Fields { kind: REQUEST, transmission: self.transmission, time: self.remaining, incarnation }.encode()
    }

    /// Which transmission of the request this is, from 1; 1 follows upon 65,535.
    #[must_use]
    pub const fn transmission(&self) -> NonZeroU16 {
        self.transmission
    }

    /// How long the client went on waiting when this left, to the microsecond above; `None` for no limit, and for more than
    /// 71 minutes.
    #[must_use]
    pub const fn remaining(&self) -> Option<Duration> {
        match self.remaining {
            NONE => None,
            micros => Some(Duration::from_micros(micros as u64)),
        }
    }

    /// The server that is meant, if the client knew one.
    #[must_use]
    pub const fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// Whether no one waits for its reply any more, `waited` after it arrived: zero for a server that receives at once.
    #[must_use]
    pub fn is_expired(&self, waited: Duration) -> bool {
        self.remaining().is_some_and(|remaining| remaining <= waited)
    }

    /// What a server does with it that is this `incarnation`, started `uptime` ago, and remembers requests for `lifetime`, as
    /// [`ReplyLimits::lifetime`](crate::replies::ReplyLimits::lifetime) has it.
    #[must_use]
    pub fn admission(&self, incarnation: Incarnation, uptime: Duration, lifetime: Duration) -> Admission {
        let is_meant = match self.incarnation {
            Some(meant) => meant == incarnation,
            None => uptime >= lifetime,
        };
        if is_meant { Admission::Admitted } else { Admission::Unknown }
    }
}

/// 1 follows upon 65,535, as 0 is no number.
pub(super) fn wire_number(transmission: u32) -> NonZeroU16 {
    let number = transmission.saturating_sub(1) % u32::from(u16::MAX);
    u16::try_from(number).ok().and_then(|number| NonZeroU16::MIN.checked_add(number)).unwrap_or(NonZeroU16::MAX)
}

fn micros_up(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(NONE)
}

const NONE: u32 = u32::MAX;
