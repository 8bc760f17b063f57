use alloc::boxed::Box;
use alloc::vec;

use super::tag::{REST, Tag};

/// The replies that are kept, one behind the other: a ring of bytes, in which a new one takes the place of the oldest.
///
/// Each lies in one piece behind a head that says by what its request is recognised, how often it was replayed, and which
/// entry is its owner: all that a copy of the request needs. What is too short at the end of the ring for the next one is a
/// record without an owner.
pub(super) struct ReplyRing {
    bytes: Box<[u8]>,
    /// All in units of 4 bytes.
    units: u32,
    /// Where the next record begins.
    next: u32,
    /// Where the oldest one begins.
    oldest: u32,
    used: u32,
}

/// What a copy of a request comes to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Replayed<'r> {
    Reply(&'r [u8]),
    /// It was replayed as often as it may be.
    Often,
}

impl ReplyRing {
    pub(super) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes / UNIT as usize).unwrap_or(u32::MAX);
        Self { bytes: vec![0; units as usize * UNIT as usize].into(), units, next: 0, oldest: 0, used: 0 }
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps the reply to the request of this tag, and returns where. The owners of those that make place for it come to
    /// `forget`, with where theirs began. `None` if it exceeds the ring, or any datagram: then nothing has changed.
    pub(super) fn put(&mut self, owner: u32, tag: Tag, reply: &[u8], mut forget: impl FnMut(u32, u32)) -> Option<u32> {
        let len = u16::try_from(reply.len()).ok().filter(|&len| len <= LONGEST)?;
        let head = Head { owner, len, replays: 0 };
        if head.units() > self.units {
            return None;
        }
        let rest = self.units - self.next;
        if head.units() > rest {
            self.free(rest, &mut forget);
            // It may be too short for more than that.
            self.write(&[&NO_OWNER.to_le_bytes()]);
            self.advance(rest);
        }
        self.free(head.units(), &mut forget);
        let place = self.next;
        self.write(&[&head.encode(), &tag.rest(), reply]);
        self.advance(head.units());
        Some(place)
    }

    /// Whether what begins there is the reply to the request of this tag.
    #[inline]
    pub(super) fn is_to(&self, place: u32, tag: Tag) -> bool {
        let record = self.record(place);
        record.get(HEAD..).and_then(<[u8]>::first_chunk).is_some_and(|rest| *rest == tag.rest())
    }

    /// Whose the reply is that begins there.
    pub(super) fn owner(&self, place: u32) -> Option<u32> {
        self.head(place).map(|head| head.owner)
    }

    /// The reply that begins there, once more, if it was replayed less than `most` times.
    #[inline]
    pub(super) fn replay(&mut self, place: u32, most: u16) -> Option<Replayed<'_>> {
        let record = self.bytes.get_mut(place as usize * UNIT as usize..)?;
        let (bytes, rest) = record.split_first_chunk_mut()?;
        let head = Head::decode(*bytes);
        if head.replays >= most {
            return Some(Replayed::Often);
        }
        *bytes = Head { replays: head.replays + 1, ..head }.encode();
        rest.get(REST..)?.get(..head.len.into()).map(Replayed::Reply)
    }

    fn free(&mut self, units: u32, forget: &mut impl FnMut(u32, u32)) {
        while self.units - self.used < units {
            // One without an owner goes on to the end, and may be too short for a head.
            let freed = match self.head(self.oldest).filter(|head| head.owner != NO_OWNER) {
                Some(head) => {
                    forget(head.owner, self.oldest);
                    head.units()
                }
                None => self.units - self.oldest,
            };
            self.oldest = self.after(self.oldest, freed);
            self.used = self.used.saturating_sub(freed.max(1));
        }
    }

    fn write(&mut self, parts: &[&[u8]]) {
        let mut record = self.bytes.get_mut(self.next as usize * UNIT as usize..).unwrap_or_default();
        for part in parts {
            let Some((place, rest)) = record.split_at_mut_checked(part.len()) else { return };
            place.copy_from_slice(part);
            record = rest;
        }
    }

    fn advance(&mut self, units: u32) {
        self.next = self.after(self.next, units);
        self.used += units;
    }

    #[inline]
    fn head(&self, place: u32) -> Option<Head> {
        self.record(place).first_chunk().copied().map(Head::decode)
    }

    /// What begins there, and all behind it.
    #[inline]
    fn record(&self, place: u32) -> &[u8] {
        self.bytes.get(place as usize * UNIT as usize..).unwrap_or_default()
    }

    fn after(&self, place: u32, units: u32) -> u32 {
        let after = place.saturating_add(units.max(1));
        if after >= self.units { 0 } else { after }
    }
}

/// What stands before a reply, and before the tag of its request.
#[derive(Clone, Copy)]
struct Head {
    /// The slot of its entry.
    owner: u32,
    /// Bytes of the reply.
    len: u16,
    replays: u16,
}

impl Head {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "its parts")]
    fn decode(bytes: [u8; HEAD]) -> Self {
        let all = u64::from_le_bytes(bytes);
        Self { owner: all as u32, len: (all >> 32) as u16, replays: (all >> 48) as u16 }
    }

    #[inline]
    fn encode(self) -> [u8; HEAD] {
        (u64::from(self.owner) | u64::from(self.len) << 32 | u64::from(self.replays) << 48).to_le_bytes()
    }

    /// Of the whole record.
    #[inline]
    fn units(self) -> u32 {
        BEFORE + u32::from(self.len).div_ceil(UNIT)
    }
}

/// The longest reply that is kept: no datagram is longer.
const LONGEST: u16 = 65_527;
const UNIT: u32 = 4;
const HEAD: usize = 8;
/// Units of head and tag.
const BEFORE: u32 = 5;
const NO_OWNER: u32 = u32::MAX;

const _: () = assert!(HEAD + REST == BEFORE as usize * UNIT as usize, "a reply begins with a unit");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::replies::key::RequestKey;
    use crate::replies::tag::Tags;
    use std::collections::VecDeque;

    fn tag(of: u32) -> Tag {
        Tags::new(&[7; 32]).of_request(&RequestKey::new(([192, 0, 2, 1], 700).into(), &of.to_le_bytes()))
    }

    #[test]
    fn it_gives_back_every_reply_until_its_owner_was_told_and_the_oldest_go_first() {
        for seed in 0..300 {
            let draws = Seed::new(seed).draws();
            let bytes = 20 + (seed as usize * 13) % 400;
            let (mut ring, mut kept) = (ReplyRing::new(bytes), VecDeque::<(u32, u32, Vec<u8>)>::new());
            for owner in 0..500 {
                let draw = draws.draw(owner.into());
                let len = (draw >> 20) as usize % if draw % 4 == 0 { bytes + 8 } else { 1 + bytes / 5 };
                let reply: Vec<u8> = (0..len).map(|n| (draw >> 32) as u8 ^ n as u8).collect();
                let mut forgotten = Vec::new();
                let place = ring.put(owner, tag(owner), &reply, |owner, place| forgotten.push((owner, place)));
                assert_eq!(place.is_none(), 20 + len.next_multiple_of(4) > bytes / 4 * 4, "seed {seed}: {len} bytes");
                assert!(place.is_some() || forgotten.is_empty());
                for gone in forgotten {
                    let oldest = kept.pop_front().map(|(owner, place, _)| (owner, place));
                    assert_eq!(Some(gone), oldest, "seed {seed}, owner {owner}");
                }
                kept.extend(place.map(|place| (owner, place, reply)));
                for (owner, place, reply) in &kept {
                    assert_eq!(ring.owner(*place), Some(*owner), "seed {seed}");
                    assert!(ring.is_to(*place, tag(*owner)) && !ring.is_to(*place, tag(owner + 1)), "seed {seed}");
                    let found = ring.replay(*place, u16::MAX);
                    assert_eq!(found, Some(Replayed::Reply(&reply[..])), "seed {seed}, owner {owner}");
                }
            }
        }
    }

    #[test]
    fn a_reply_is_replayed_as_often_as_it_may_be_and_counts_afresh_in_its_place() {
        let mut ring = ReplyRing::new(100);
        for owner in 0..10 {
            let place = ring.put(owner, tag(owner), b"done", |_, _| {}).unwrap();
            for _ in 0..3 {
                assert_eq!(ring.replay(place, 3), Some(Replayed::Reply(&b"done"[..])));
            }
            assert_eq!(ring.replay(place, 3), Some(Replayed::Often));
            assert_eq!(ring.replay(place, 0), Some(Replayed::Often));
        }
        assert_eq!(ring.replay(25, u16::MAX), None);
    }

    #[test]
    fn as_much_is_kept_as_the_ring_holds() {
        let mut ring = ReplyRing::new(1000 * 36);
        let mut forgotten = 0;
        for owner in 0..10_000 {
            ring.put(owner, Tag::default(), &[7; 16], |_, _| forgotten += 1).unwrap();
            assert_eq!(forgotten, (owner + 1).saturating_sub(1000));
        }
    }
}
