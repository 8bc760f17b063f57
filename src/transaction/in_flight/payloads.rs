use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use crate::envelope::HEADER_LEN;

/// The bytes of requests, each in a block at most a quarter too large, in chunks of 64 KiB.
///
/// A chunk holds blocks of one size while any of them is used; one that has become empty serves any size. So a load of
/// small requests never shuts out large ones for good. Everything takes constant time, and memory is taken a chunk at
/// a time, never given back and never moved.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    chunks: Vec<Chunk>,
    most_chunks: usize,
    /// Bytes of the header before each payload that is kept from now on: those of an envelope, or none.
    header: u8,
    /// For each class, the first of its chunks in which a block is free: a list that runs both ways.
    with_free_block: [u32; CLASSES],
    /// The first chunk of which no block is used: a list that runs one way.
    empty: u32,
}

/// Where a payload is kept: what [`Payloads::keep_with`] gave out, good until it is released.
///
/// From the highest bits down: the chunk, twelve bits of the block in it, 16 of the length, eight of the header's, eight of the
/// class. One number, because what is written in parts and read as a whole makes the processor wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u64);

#[derive(Clone, Debug)]
struct Chunk {
    bytes: Box<[u8; CHUNK_BYTES]>,
    /// In the list of its class while a block is used and another one free, in that of the empty chunks while none is used.
    next: u32,
    prev: u32,
    class: u8,
    /// By its class, as is how many blocks it has.
    block_bytes: u32,
    blocks: u16,
    /// How many of them are used.
    used: u16,
    /// The blocks from here on were not used yet since the chunk was empty.
    fresh: u16,
    /// The block that was released last; its first two bytes name the one that was released before it.
    released: u16,
}

impl Payloads {
    /// Room for `most_bytes`, counted in whole chunks of 64 KiB, from 1 to 2^20 of them. They are taken as needed.
    pub(super) fn new(most_bytes: usize) -> Self {
        let most_chunks = (most_bytes / CHUNK_BYTES).clamp(1, MOST_CHUNKS);
        Self { chunks: Vec::new(), most_chunks, header: 0, with_free_block: [NONE; CLASSES], empty: NONE }
    }

    /// From now on each payload has the header of an envelope before it.
    pub(super) fn envelop(&mut self) {
        self.header = ENVELOPE;
    }

    /// The longest payload that is kept.
    #[inline]
    pub(super) fn longest(&self) -> usize {
        usize::from(LONGEST - u16::from(self.header))
    }

    /// Keeps a copy of `bytes`; `None` if there is no room for them, or if they are more than the [`longest`](Self::longest).
    #[cfg(test)]
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Option<Place> {
        self.keep_with(bytes, Place::NOWHERE, |_| ()).map(|(place, ())| place)
    }

    /// As [`keep`](Self::keep), in the place of other bytes, which are released; has the copy changed at once, and what that
    /// returns. A header is empty at first.
    #[inline]
    pub(super) fn keep_with<R>(
        &mut self,
        bytes: &[u8],
        old: Place,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Option<(Place, R)> {
        let header = self.header;
        let Some(len) = u16::try_from(bytes.len() + usize::from(header)).ok().filter(|&len| len <= LONGEST) else {
            self.release(old);
            return None;
        };
        let place = if old.len() == len { old } else { self.exchange(old, len)? };
        let chunk = self.chunks.get_mut(index(place.chunk()))?;
        let whole = chunk.whole(place);
        let mut kept = chunk.bytes.get_mut(whole)?;
        if header > 0 {
            let (empty, payload) = kept.split_at_mut_checked(header.into())?;
            empty.fill(0);
            kept = payload;
        }
        kept.copy_from_slice(bytes);
        Some((place, change(kept)))
    }

    /// A place for so many bytes instead of another: the same block, if it is of the right size.
    fn exchange(&mut self, old: Place, len: u16) -> Option<Place> {
        let (class, header) = (class_of(len), self.header);
        if old.class() == class {
            return Some(Place::new(old.block(), len, header, class));
        }
        self.release(old);
        let number = self.chunk_for(class)?;
        let chunk = self.chunks.get_mut(index(number))?;
        let block = chunk.take_block()?;
        if chunk.is_full() {
            self.unlink(number);
        }
        Some(Place::new(number << BLOCK_BITS | u32::from(block), len, header, class))
    }

    /// The header before the bytes kept there, if they have one, and these bytes.
    #[inline]
    pub(super) fn datagram(&self, place: Place) -> &[u8] {
        let chunk = self.chunks.get(index(place.chunk()));
        chunk.and_then(|chunk| chunk.bytes.get(chunk.whole(place))).unwrap_or(&[])
    }

    /// The header before the bytes kept there, if they have one.
    pub(super) fn header(&self, place: Place) -> Option<&[u8; HEADER_LEN]> {
        self.datagram(place).first_chunk().filter(|_| place.header() == ENVELOPE)
    }

    /// The same, to be written over.
    pub(super) fn header_mut(&mut self, place: Place) -> Option<&mut [u8; HEADER_LEN]> {
        let chunk = self.chunks.get_mut(index(place.chunk())).filter(|_| place.header() == ENVELOPE)?;
        let range = chunk.whole(place);
        chunk.bytes.get_mut(range)?.first_chunk_mut()
    }

    /// The bytes kept there.
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let chunk = self.chunks.get(index(place.chunk()));
        chunk.and_then(|chunk| chunk.bytes.get(chunk.range(place))).unwrap_or(&[])
    }

    /// The bytes kept there, to be written over.
    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> &mut [u8] {
        let Some(chunk) = self.chunks.get_mut(index(place.chunk())) else { return &mut [] };
        let range = chunk.range(place);
        chunk.bytes.get_mut(range).unwrap_or(&mut [])
    }

    /// Gives the block back, once.
    #[inline]
    pub(super) fn release(&mut self, place: Place) {
        let number = place.chunk();
        let Some(chunk) = self.chunks.get_mut(index(number)) else { return };
        if chunk.class != place.class() || chunk.used == 0 {
            return;
        }
        let was_full = chunk.is_full();
        chunk.release_block(place.block_in_chunk());
        let is_empty = chunk.used == 0;
        if was_full || is_empty {
            self.relist(number, was_full, is_empty);
        }
    }

    /// A block of this chunk was released, which has changed the list that it belongs to.
    fn relist(&mut self, number: u32, was_full: bool, is_empty: bool) {
        let Some(class) = self.chunks.get(index(number)).map(|chunk| chunk.class) else { return };
        match (was_full, is_empty) {
            (true, false) => self.link(number, class),
            (false, true) => self.unlink(number),
            _ => {}
        }
        if let Some(chunk) = self.chunks.get_mut(index(number)).filter(|_| is_empty) {
            chunk.next = self.empty;
            self.empty = number;
        }
    }

    /// The memory that was taken for payloads: chunks of 64 KiB, also those that are empty now.
    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
    }

    /// A chunk with a free block of `class`: one that has others in use, else an empty one, else a new one.
    #[inline]
    fn chunk_for(&mut self, class: u8) -> Option<u32> {
        let begun = *self.with_free_block.get(usize::from(class))?;
        if begun != NONE { Some(begun) } else { self.begin_chunk(class) }
    }

    #[cold]
    fn begin_chunk(&mut self, class: u8) -> Option<u32> {
        let number = if self.empty != NONE { self.empty } else { self.new_chunk()? };
        let chunk = self.chunks.get_mut(index(number))?;
        self.empty = chunk.next;
        chunk.serve(class);
        self.link(number, class);
        Some(number)
    }

    /// An empty one, at the front of the list of those.
    fn new_chunk(&mut self) -> Option<u32> {
        if self.chunks.len() >= self.most_chunks {
            return None;
        }
        let number = u32::try_from(self.chunks.len()).ok()?;
        self.chunks.push(Chunk::new(self.empty)?);
        self.empty = number;
        Some(number)
    }

    /// Puts a chunk behind the first of its class that have a free block: requests fill that one up first. In front it would be
    /// full again with the next request, and to be taken out.
    fn link(&mut self, number: u32, class: u8) {
        let Some(first) = self.with_free_block.get_mut(usize::from(class)) else { return };
        let prev = *first;
        let next = match self.chunks.get_mut(index(prev)) {
            Some(prev) => mem::replace(&mut prev.next, number),
            None => {
                *first = number;
                NONE
            }
        };
        if let Some(next) = self.chunks.get_mut(index(next)) {
            next.prev = number;
        }
        if let Some(chunk) = self.chunks.get_mut(index(number)) {
            (chunk.next, chunk.prev) = (next, prev);
        }
    }

    fn unlink(&mut self, number: u32) {
        let Some(&Chunk { next, prev, class, .. }) = self.chunks.get(index(number)) else { return };
        if let Some(next) = self.chunks.get_mut(index(next)) {
            next.prev = prev;
        }
        if let Some(prev) = self.chunks.get_mut(index(prev)) {
            prev.next = next;
        } else if let Some(first) = self.with_free_block.get_mut(usize::from(class)) {
            *first = next;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "its parts")]
impl Place {
    /// Where nothing is kept.
    pub(super) const NOWHERE: Self = Self(u64::MAX);

    #[inline]
    fn new(block: u32, len: u16, header: u8, class: u8) -> Self {
        Self(u64::from(block) << 32 | u64::from(len) << 16 | u64::from(header) << 8 | u64::from(class))
    }

    /// The chunk, and in the low twelve bits the block in it.
    #[inline]
    const fn block(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    const fn chunk(self) -> u32 {
        self.block() >> BLOCK_BITS
    }

    /// Of the header and the payload.
    #[inline]
    const fn len(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline]
    const fn header(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline]
    const fn class(self) -> u8 {
        self.0 as u8
    }

    #[inline]
    const fn block_in_chunk(self) -> u16 {
        (self.block() & ((1 << BLOCK_BITS) - 1)) as u16
    }
}

impl Chunk {
    fn new(next_empty: u32) -> Option<Self> {
        let bytes = vec![0; CHUNK_BYTES].try_into().ok()?;
        Some(Self {
            bytes,
            next: next_empty,
            prev: NONE,
            class: 0,
            block_bytes: 0,
            blocks: 0,
            used: 0,
            fresh: 0,
            released: NO_BLOCK,
        })
    }

    /// None of its blocks is used: from now on they have the size of `class`.
    fn serve(&mut self, class: u8) {
        let bytes = block_bytes(class);
        self.class = class;
        self.block_bytes = u32::try_from(bytes).unwrap_or(0);
        self.blocks = u16::try_from(CHUNK_BYTES / bytes).unwrap_or(0);
        (self.fresh, self.released) = (0, NO_BLOCK);
    }

    /// Where a block starts.
    #[inline]
    fn start(&self, block: u16) -> usize {
        usize::from(block) * self.block_bytes as usize
    }

    /// Where the bytes kept at a place of this chunk stand.
    #[inline]
    fn range(&self, place: Place) -> Range<usize> {
        let Range { start, end } = self.whole(place);
        start + usize::from(place.header())..end
    }

    /// The same, with the header before them.
    #[inline]
    fn whole(&self, place: Place) -> Range<usize> {
        let start = self.start(place.block_in_chunk());
        start..start + usize::from(place.len())
    }

    #[inline]
    const fn is_full(&self) -> bool {
        self.used >= self.blocks
    }

    /// The block that was released last, as its memory is warm; else the first that is fresh.
    #[inline]
    fn take_block(&mut self) -> Option<u16> {
        let block = if self.released != NO_BLOCK {
            let block = self.released;
            self.released = u16::from_ne_bytes(*self.name_of_next(block)?);
            block
        } else if self.fresh < self.blocks {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        self.used += 1;
        Some(block)
    }

    #[inline]
    fn release_block(&mut self, block: u16) {
        let released = self.released;
        if let Some(next) = self.name_of_next(block) {
            *next = released.to_ne_bytes();
            self.released = block;
            self.used -= 1;
        }
    }

    /// The first bytes of a block.
    #[inline]
    fn name_of_next(&mut self, block: u16) -> Option<&mut [u8; 2]> {
        let start = self.start(block);
        self.bytes.get_mut(start..)?.first_chunk_mut()
    }
}

/// The smallest class whose blocks hold `len` bytes. Above the smallest size, it is the power of two below the last
/// byte and the quarter between that power and the next.
#[inline]
const fn class_of(len: u16) -> u8 {
    let last = if len > SMALLEST { len - 1 } else { return 0 };
    let power = last.ilog2();
    let quarter = (last >> (power - 2)) & 3;
    // At most 48, which a byte holds.
    let [class, ..] = ((power - SMALLEST.ilog2()) * 4 + 1 + quarter as u32).to_le_bytes();
    class
}

/// The size of the blocks of a class: 16, then 20, 24, 28, 32, 40, 48, 56, 64, 80, ..., 65,536.
const fn block_bytes(class: u8) -> usize {
    match class.checked_sub(1) {
        None => SMALLEST as usize,
        Some(above) => (5 + above as usize % 4) << (2 + above / 4),
    }
}

/// A chunk's number as a place in the list; of [`NONE`], no place.
const fn index(number: u32) -> usize {
    number as usize
}

const CHUNK_BYTES: usize = 1 << 16;
const SMALLEST: u16 = 16;
/// The payload of the largest datagram of IPv4.
const LONGEST: u16 = 65_507;
#[expect(clippy::cast_possible_truncation, reason = "16")]
const ENVELOPE: u8 = HEADER_LEN as u8;
/// The sizes from the smallest to a whole chunk.
const CLASSES: usize = 49;
/// A chunk holds 4096 of the smallest blocks.
const BLOCK_BITS: u32 = 12;
/// As many as a number of 32 bits can name beside a block: 64 GiB.
const MOST_CHUNKS: usize = 1 << (32 - BLOCK_BITS);
const NONE: u32 = u32::MAX;
const NO_BLOCK: u16 = u16::MAX;

#[cfg(test)]
mod tests;
