use core::num::NonZeroU16;

use super::{EnvelopeError, HEADER_LEN};

/// What both headers have in common: where which bytes stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields {
    pub(super) kind: u8,
    pub(super) transmission: NonZeroU16,
    /// Remaining time, or uptime.
    pub(super) time: u32,
    pub(super) incarnation: u64,
}

impl Fields {
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let [n0, n1] = self.transmission.get().to_be_bytes();
        let [t0, t1, t2, t3] = self.time.to_be_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.incarnation.to_be_bytes();
        [MARK, VERSION << 4 | self.kind, n0, n1, t0, t1, t2, t3, i0, i1, i2, i3, i4, i5, i6, i7]
    }

    /// The fields, and the payload after them.
    pub(super) fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), EnvelopeError> {
        let Some((header, payload)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(EnvelopeError::TooShort { len: datagram.len() });
        };
        let [mark, what, n0, n1, t0, t1, t2, t3, incarnation @ ..] = *header;
        if mark != MARK {
            return Err(EnvelopeError::Missing);
        }
        let (version, kind) = (what >> 4, what & 0xf);
        if version != VERSION {
            return Err(EnvelopeError::OtherVersion { version });
        }
        if !(REQUEST..=UNKNOWN).contains(&kind) {
            return Err(EnvelopeError::OtherKind { kind });
        }
        let transmission = NonZeroU16::new(u16::from_be_bytes([n0, n1])).ok_or(EnvelopeError::NoTransmission)?;
        let time = u32::from_be_bytes([t0, t1, t2, t3]);
        Ok((Self { kind, transmission, time, incarnation: u64::from_be_bytes(incarnation) }, payload))
    }
}

pub(super) const REQUEST: u8 = 1;
pub(super) const REPLY: u8 = 2;
pub(super) const UNKNOWN: u8 = 3;

/// No character of ASCII, and no beginning of UTF-8 text that is common.
const MARK: u8 = 0xe5;
const VERSION: u8 = 1;
