use alloc::boxed::Box;
use alloc::vec;

/// The replies that are kept, one behind the other: a ring of bytes, in which a new one takes the place of the oldest.
///
/// Each lies in one piece behind a header that names its owner. What is too short at the end of the ring for the next one is
/// a record without an owner.
pub(super) struct ReplyRing {
    bytes: Box<[u8]>,
    /// All in units of 8 bytes.
    units: u32,
    /// Where the next record begins.
    next: u32,
    /// Where the oldest one begins.
    oldest: u32,
    used: u32,
}

impl ReplyRing {
    pub(super) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX);
        Self { bytes: vec![0; units as usize * UNIT].into(), units, next: 0, oldest: 0, used: 0 }
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps a reply, and returns where. The owners of those that make place for it come to `forget`, with where theirs
    /// began. `None` if it exceeds the ring: then nothing has changed.
    pub(super) fn put(&mut self, owner: u32, reply: &[u8], mut forget: impl FnMut(u32, u32)) -> Option<u32> {
        let units = u32::try_from(reply.len().div_ceil(UNIT)).ok()?.checked_add(1)?;
        if units > self.units {
            return None;
        }
        let rest = self.units - self.next;
        if units > rest {
            self.free(rest, &mut forget);
            self.write(NO_OWNER, rest, &[]);
        }
        self.free(units, &mut forget);
        let place = self.next;
        self.write(owner, units, reply);
        Some(place)
    }

    /// The reply of this length that begins there.
    #[inline]
    pub(super) fn get(&self, place: u32, len: u16) -> Option<&[u8]> {
        self.bytes.get(place as usize * UNIT + UNIT..)?.get(..len.into())
    }

    fn free(&mut self, units: u32, forget: &mut impl FnMut(u32, u32)) {
        while self.units - self.used < units {
            let (owner, len) = self.header(self.oldest);
            if owner != NO_OWNER {
                forget(owner, self.oldest);
            }
            self.oldest = self.after(self.oldest, len);
            self.used = self.used.saturating_sub(len.max(1));
        }
    }

    fn write(&mut self, owner: u32, units: u32, reply: &[u8]) {
        let header = u64::from(owner) << 32 | u64::from(units);
        let record = self.bytes.get_mut(self.next as usize * UNIT..).and_then(<[u8]>::split_first_chunk_mut);
        if let Some((first, rest)) = record {
            *first = header.to_le_bytes();
            if let Some(place) = rest.get_mut(..reply.len()) {
                place.copy_from_slice(reply);
            }
        }
        self.next = self.after(self.next, units);
        self.used += units;
    }

    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    fn header(&self, place: u32) -> (u32, u32) {
        let header = self.bytes.get(place as usize * UNIT..).and_then(|bytes| bytes.first_chunk());
        let header = u64::from_le_bytes(*header.unwrap_or(&[0; UNIT]));
        ((header >> 32) as u32, header as u32)
    }

    fn after(&self, place: u32, units: u32) -> u32 {
        let after = place.saturating_add(units.max(1));
        if after >= self.units { 0 } else { after }
    }
}

const UNIT: usize = 8;
const NO_OWNER: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use std::collections::VecDeque;

    #[test]
    fn it_gives_back_every_reply_until_its_owner_was_told_and_the_oldest_go_first() {
        for seed in 0..300 {
            let draws = Seed::new(seed).draws();
            let bytes = 8 + (seed as usize * 13) % 400;
            let (mut ring, mut kept) = (ReplyRing::new(bytes), VecDeque::<(u32, u32, Vec<u8>)>::new());
            for owner in 0..500 {
                let draw = draws.draw(owner.into());
                let len = (draw >> 20) as usize % if draw % 4 == 0 { bytes + 8 } else { 1 + bytes / 5 };
                let reply: Vec<u8> = (0..len).map(|n| (draw >> 32) as u8 ^ n as u8).collect();
                let mut forgotten = Vec::new();
                let place = ring.put(owner, &reply, |owner, place| forgotten.push((owner, place)));
                assert_eq!(place.is_none(), (len.div_ceil(8) + 1) * 8 > bytes / 8 * 8, "seed {seed}: {len} bytes");
                assert!(place.is_some() || forgotten.is_empty());
                for gone in forgotten {
                    let oldest = kept.pop_front().map(|(owner, place, _)| (owner, place));
                    assert_eq!(Some(gone), oldest, "seed {seed}, owner {owner}");
                }
                kept.extend(place.map(|place| (owner, place, reply)));
                for (owner, place, reply) in &kept {
                    let found = ring.get(*place, reply.len() as u16);
                    assert_eq!(found, Some(&reply[..]), "seed {seed}, owner {owner}");
                }
            }
        }
    }

    #[test]
    fn as_much_is_kept_as_the_ring_holds() {
        let mut ring = ReplyRing::new(1000 * 24);
        let mut forgotten = 0;
        for owner in 0..10_000 {
            ring.put(owner, &[7; 16], |_, _| forgotten += 1).unwrap();
            assert_eq!(forgotten, (owner + 1).saturating_sub(1000));
        }
    }
}
