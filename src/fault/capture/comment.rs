use core::fmt::{self, Display};

use crate::fault::direction::Direction;
use crate::fault::impairment::damage::Flips;
use crate::fault::link::fate::{Delivery, Fate};
use crate::fault::record::Record;
use crate::fault::text::quantity::TIME;
use crate::time::Ns;

/// What a copy of a datagram carries with it until it leaves its link: shown as the comment of its packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(super) direction: Direction,
    link: u64,
    n: u64,
    after: Ns,
    /// Which one, from 1, and of how many.
    copy: u8,
    copies: u8,
    truncated: Option<u32>,
    flips: Flips,
}

impl Tag {
    /// Of the copy with this number, from 0.
    pub(crate) fn new(record: &Record, nth: usize, copy: &Delivery) -> Self {
        let copies = match &record.fate {
            Fate::Delivered(copies) => copies.as_slice().len(),
            Fate::Dropped(_) | Fate::TooBig { .. } => 0,
        };
        Self {
            direction: record.direction,
            link: record.link,
            n: record.n,
            after: copy.at.since_ns(record.at),
            copy: u8::try_from(nth + 1).unwrap_or(u8::MAX),
            copies: u8::try_from(copies).unwrap_or(u8::MAX),
            truncated: (copy.len < record.len).then(|| u32::try_from(copy.len).unwrap_or(u32::MAX)),
            flips: copy.flips,
        }
    }

    /// The number of the link, as in its record.
    pub(crate) fn link(&self) -> u64 {
        self.link
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        begin(f, self.direction, self.n)?;
        Course(self).fmt(f)
    }
}

/// What has become of one copy.
struct Course<'a>(&'a Tag);

impl fmt::Display for Course<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tag { after, copy, copies, truncated, flips, .. } = self.0;
        f.write_str("delivered")?;
        if *after > 0 {
            write!(f, " after {}", TIME.shown(*after))?;
        }
        if *copies > 1 {
            write!(f, ", copy {copy} of {copies}")?;
        }
        if let Some(len) = truncated {
            write!(f, ", truncated to {len} bytes")?;
        }
        if let [first, rest @ ..] = flips.as_slice() {
            write!(f, ", bits {first}")?;
            rest.iter().try_for_each(|bit| write!(f, " {bit}"))?;
            f.write_str(" flipped")?;
        }
        Ok(())
    }
}

/// What becomes of a datagram, as the comment of the packet that enters the link.
pub(super) struct Verdict<'a>(pub(super) &'a Record);

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { direction, n, fate, .. } = self.0;
        begin(f, *direction, *n)?;
        match fate {
            Fate::Delivered(copies) => copies.iter().enumerate().try_for_each(|(nth, copy)| {
                f.write_str(if nth == 0 { "" } else { "; " })?;
                Course(&Tag::new(self.0, nth, copy)).fmt(f)
            }),
            Fate::Dropped(cause) => write!(f, "dropped ({})", cause.as_str()),
            Fate::TooBig { limit } => write!(f, "too big, {} bytes would fit", limit.bytes()),
        }
    }
}

/// Which datagram it is. Piece by piece, as every packet has it, and to combine formats takes twice as long.
fn begin(f: &mut fmt::Formatter<'_>, direction: Direction, n: u64) -> fmt::Result {
    f.write_str(direction.as_str())?;
    f.write_str(" n ")?;
    n.fmt(f)?;
    f.write_str(": ")
}
