use alloc::boxed::Box;
use alloc::vec;
use core::ops::Range;

use super::finished::Handle;
use super::id_table::IdTable;
use super::limits::{Limits, SubmitError};
use super::payloads::{Payloads, Place};
use super::short_ids::ShortIds;
use super::slots::{Slot, Slots};
use crate::entropy::{Draws, IdSource, Seed};
use crate::time::Timestamp;
use crate::transaction::transaction_id::same;
use crate::transaction::{KeyedMatcher, Stray};

/// Which request has which id.
#[derive(Debug)]
pub(super) struct Ids {
    kind: Kind,
    source: Option<IdSource>,
    /// Keys what is made of ids: no one outside can choose ids that meet in one place.
    hashes: Draws,
    recent: Recent,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an engine has one of it")]
#[repr(u8)] // asked thrice a request, which a tag hidden in another value would make slow
enum Kind {
    /// Stamped, of 8 bytes: the first four are the slot, the next four its generation, which is random.
    Eight(Range<usize>),
    /// The same with more random bytes behind.
    Wide(Range<usize>),
    /// Stamped, of one byte or two.
    Short(Range<usize>, ShortIds),
    /// Any other: the caller's own, or stamped by the matcher in its own way. The slots that have them, by their hashes.
    Table { slots: IdTable, stamps: bool },
}

/// Why a request was given no id where its bytes are kept.
#[derive(Clone, Copy)]
pub(super) enum Unstamped {
    /// Such ids have to be [entered](Ids::enter) in a table.
    InTable,
    /// There is no source of ids, or no space for one in the request.
    NoPlace,
    /// All are in use or rest, [until then](Ids::first_free).
    NoneFree,
}

/// What a request is found by: its id, and what is made of it, once.
#[derive(Clone, Copy)]
pub(super) struct Key<'i> {
    id: &'i [u8],
    /// The id itself, where it has eight bytes of ours or is short; else its hash.
    number: u64,
}

/// What the ids of requests are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Kept<'k> {
    pub(super) slots: &'k Slots,
    pub(super) payloads: &'k Payloads,
}

impl Kept<'_> {
    #[inline]
    fn has(self, slot: u32, peer: u32, id: &[u8], matcher: &impl KeyedMatcher) -> bool {
        let slot = self.slots.get(slot).filter(|slot| slot.is_open() && slot.peer == peer);
        let own = slot.and_then(|slot| matcher.id(self.payloads.get(slot.place)));
        own.is_some_and(|own| own.len() == id.len() && same(own, id))
    }
}

impl Ids {
    pub(super) fn new(matcher: &impl KeyedMatcher, limits: &Limits, source: Option<IdSource>, seed: Seed) -> Self {
        let at = matcher.stamped_at().filter(|_| matcher.stamps());
        let kind = match at.as_ref().map(Range::len) {
            Some(1) => Kind::Short(at.unwrap_or_default(), ShortIds::new(1, limits.rest)),
            Some(2) => Kind::Short(at.unwrap_or_default(), ShortIds::new(2, limits.rest)),
            Some(WIDE) => Kind::Eight(at.unwrap_or_default()),
            Some(WIDE..=MOST) => Kind::Wide(at.unwrap_or_default()),
            _ => Kind::Table { slots: IdTable::new(), stamps: matcher.stamps() },
        };
        let mut key = [0; 8];
        let mut source = source;
        if let Some(source) = &mut source {
            source.fill(&mut key);
        }
        let hashes = Seed::new(seed.number() ^ u64::from_le_bytes(key)).draws();
        Self { kind, source, hashes, recent: Recent::new() }
    }

    /// Gives a request an id, which has it found by that from now on, and returns the generation of its slot, if the id says that.
    ///
    /// # Errors
    ///
    /// Why it has none; then nothing has changed.
    #[inline]
    pub(super) fn stamp(&mut self, now: Timestamp, request: &mut [u8], slot: u32) -> Result<Option<u32>, Unstamped> {
        let Self { kind, source, .. } = self;
        match kind {
            Kind::Eight(at) | Kind::Wide(at) => {
                let id = request.get_mut(at.clone()).and_then(|id| id.split_first_chunk_mut::<WIDE>());
                let (Some(source), Some((first, rest))) = (source, id) else { return Err(Unstamped::NoPlace) };
                let (_, generation) = halves(source.number());
                *first = (u64::from(generation) << 32 | u64::from(slot)).to_le_bytes();
                if !rest.is_empty() {
                    source.fill(rest);
                }
                Ok(Some(generation))
            }
            Kind::Short(at, ids) => {
                let (Some(source), Some(place)) = (source, request.get_mut(at.clone())) else {
                    return Err(Unstamped::NoPlace);
                };
                let id = ids.draw(now, source).ok_or(Unstamped::NoneFree)?;
                match (place, id.to_be_bytes()) {
                    ([high, low], id) => [*high, *low] = id,
                    ([low], [_, id]) => *low = id,
                    _ => {}
                }
                ids.set(id, slot);
                Ok(None)
            }
            Kind::Table { .. } => Err(Unstamped::InTable),
        }
    }

    /// When the first id has rested, where none is free; `None` if all are in use.
    pub(super) fn first_free(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::Short(_, ids) => ids.first_free(),
            _ => None,
        }
    }

    /// As [`stamp`](Self::stamp), for ids that are in a table, some of which are the caller's.
    ///
    /// # Errors
    ///
    /// No id is free, the caller's is in use, or there is none; then nothing has changed but bytes of the request.
    pub(super) fn enter(
        &mut self,
        matcher: &impl KeyedMatcher,
        (slots, payloads): (&Slots, &mut Payloads),
        place: Place,
        slot: u32,
        peer: u32,
    ) -> Result<(), SubmitError> {
        let Self { kind, source, hashes, recent } = self;
        let Kind::Table { slots: table, stamps } = kind else { return Err(SubmitError::Unmatchable) };
        let mut tries = if *stamps { DRAWS } else { 1 };
        loop {
            if *stamps {
                let source = source.as_mut().ok_or(SubmitError::Unmatchable)?;
                matcher.stamp(payloads.get_mut(place), source);
            }
            let kept = Kept { slots, payloads };
            let id = matcher.id(kept.payloads.get(place)).filter(|id| id.len() <= MOST);
            let id = id.ok_or(SubmitError::Unmatchable)?;
            let hash = hash(hashes, id);
            let is_stale = *stamps && recent.holds(hash);
            let is_it = |slot| kept.has(slot, peer, id, matcher);
            let entered = match is_stale {
                true => Err(SubmitError::IdInUse),
                false => table.insert(at_peer(hash, peer), slot, is_it),
            };
            tries -= 1;
            match entered {
                Err(SubmitError::IdInUse) if tries > 0 => {}
                Err(SubmitError::IdInUse) if *stamps => return Err(SubmitError::IdsUsedUp { until: None }),
                entered => return entered,
            }
        }
    }

    /// The key of an id; `None` of what can be none here.
    #[inline(always)] // once a datagram, where the kind of the ids is then known
    pub(super) fn key<'i>(&self, id: &'i [u8]) -> Option<Key<'i>> {
        let number = match &self.kind {
            Kind::Eight(_) => u64::from_le_bytes(id.try_into().ok()?),
            Kind::Short(_, ids) => ids.number(id)?.into(),
            Kind::Wide(_) | Kind::Table { .. } => hash(&self.hashes, id),
        };
        Some(Key { id, number })
    }

    /// The slot of the request to this peer whose key this is.
    #[inline(always)] // what it returns is used where it is called, and else passes through memory
    pub(super) fn find<'k>(
        &self,
        key: Key<'_>,
        peer: u32,
        kept: Kept<'k>,
        matcher: &impl KeyedMatcher,
    ) -> Option<(u32, &'k Slot)> {
        match &self.kind {
            Kind::Eight(_) => {
                let (number, generation) = halves(key.number);
                let slot = kept.slots.get(number)?;
                (slot.is_open() && slot.generation == generation && slot.peer == peer).then_some((number, slot))
            }
            Kind::Wide(_) => {
                let (number, _) = halves(u64::from_le_bytes(*key.id.first_chunk()?));
                kept.has(number, peer, key.id, matcher).then_some((number, kept.slots.get(number)?))
            }
            Kind::Short(_, ids) => {
                let number = ids.find(key.short())?;
                let slot = kept.slots.get(number).filter(|slot| slot.is_open())?;
                (slot.peer == peer).then_some((number, slot))
            }
            Kind::Table { slots, .. } => find_in(slots, key, peer, kept, matcher),
        }
    }

    /// A request that was looked for at one peer is to be found at another from now on, where no other has its id.
    pub(super) fn move_to(
        &mut self,
        peer: u32,
        (from, slot): (u32, u32),
        place: Place,
        kept: Kept<'_>,
        matcher: &impl KeyedMatcher,
    ) {
        let Kind::Table { slots: table, .. } = &mut self.kind else { return };
        let id = matcher.id(kept.payloads.get(place)).filter(|_| from != peer);
        if let Some(hash) = id.map(|id| hash(&self.hashes, id)) {
            table.remove(at_peer(hash, from), slot);
            let _inserted = table.insert(at_peer(hash, peer), slot, |_| false);
        }
    }

    /// A request with this key has ended: that finds nothing any more. After one transmission and one reply it is clean. It is
    /// then the reply that says the id: the bytes of the request need not come from memory again.
    #[inline(always)] // the usual one of its callers knows that it is clean
    pub(super) fn release(&mut self, now: Timestamp, handle: Handle, peer: u32, clean: bool, key: Option<Key<'_>>) {
        match &mut self.kind {
            Kind::Eight(_) => self.recent.add(spread(handle.slot, handle.generation)),
            Kind::Short(_, ids) => {
                if let Some(key) = key {
                    ids.release(now, key.short(), clean);
                    // Of two bytes, the last half of all ids rest: no more need be remembered.
                    if ids.width == 1 {
                        self.recent.add(self.hashes.draw(key.number));
                    }
                }
            }
            _ => self.release_any(handle.slot, peer, key),
        }
    }

    /// As [`release`](Self::release), of the other kinds.
    #[inline(never)]
    fn release_any(&mut self, slot: u32, peer: u32, key: Option<Key<'_>>) {
        let Some(key) = key else { return };
        self.recent.add(key.number);
        if let Kind::Table { slots, .. } = &mut self.kind {
            slots.remove(at_peer(key.number, peer), slot);
        }
    }

    /// What a datagram is that repeats the id of this key and answers nothing.
    #[cold]
    pub(super) fn stray(&self, key: Option<Key<'_>>, len: usize, actual: usize) -> Stray {
        let is_stale = key.is_some_and(|key| match &self.kind {
            Kind::Short(_, ids) => {
                let is_remembered = || ids.width == 1 && self.recent.holds(self.hashes.draw(key.number));
                ids.is_resting(key.short()) || is_remembered()
            }
            Kind::Eight(_) => {
                let (slot, generation) = halves(key.number);
                self.recent.holds(spread(slot, generation))
            }
            Kind::Wide(_) | Kind::Table { .. } => self.recent.holds(key.number),
        });
        match is_stale {
            true => Stray::Stale,
            false if actual == 0 => Stray::Empty,
            false if actual > len => Stray::Truncated,
            false => Stray::Foreign,
        }
    }
}

impl Key<'_> {
    /// That of a short id.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "of at most two bytes")]
    fn short(self) -> u16 {
        self.number as u16
    }
}

/// As [`Ids::find`], in a table. Apart from the other kinds, which are too short for a call.
#[inline(never)]
fn find_in<'k>(
    table: &IdTable,
    key: Key<'_>,
    peer: u32,
    kept: Kept<'k>,
    matcher: &impl KeyedMatcher,
) -> Option<(u32, &'k Slot)> {
    let number = table.find(at_peer(key.number, peer), |slot| kept.has(slot, peer, key.id, matcher))?;
    Some((number, kept.slots.get(number)?))
}

/// Of an id of at most 16 bytes; longer ones are told by their first 8, their last 8 and their length.
#[inline]
fn hash(hashes: &Draws, id: &[u8]) -> u64 {
    match (id.first_chunk::<8>(), id.last_chunk::<8>()) {
        (Some(first), _) if id.len() == 8 => hashes.draw(u64::from_le_bytes(*first)),
        (Some(first), Some(last)) => {
            let last = hashes.draw(u64::from_le_bytes(*last) ^ hashes.draw(id.len() as u64));
            hashes.draw(u64::from_le_bytes(*first) ^ last)
        }
        _ => {
            let shifted = |number: u64, byte: u8| number << 8 | u64::from(byte);
            let number = match *id {
                // The usual one of these, without a loop.
                [first, last] => shifted(shifted(2, last), first),
                _ => id.iter().rev().fold(id.len() as u64, |number, &byte| shifted(number, byte)),
            };
            hashes.draw(number)
        }
    }
}

/// Stands for the hash of a generation, which is random, and its slot.
#[inline]
fn spread(slot: u32, generation: u32) -> u64 {
    u64::from(slot ^ generation.rotate_left(16)) << 32 | u64::from(generation)
}

/// Many peers may be asked with one id each, the same: that must not have them all meet in one place of a table.
#[inline]
fn at_peer(hash: u64, peer: u32) -> u64 {
    hash.wrapping_add(u64::from(peer).wrapping_mul(ODD))
}

/// The lower one first.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "its halves")]
pub(super) fn halves(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}

/// Ids of requests that ended lately, by their hashes: a newer one takes the place of another.
#[derive(Debug)]
struct Recent(Box<[u32; RECENT]>);

impl Recent {
    fn new() -> Self {
        // Made where it stays: not all stacks have this much.
        Self(vec![0; RECENT].try_into().unwrap_or_else(|_| Box::new([0; RECENT])))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash decides the place, another is kept")]
    #[inline]
    fn place(hash: u64) -> (usize, u32) {
        // Zero is an empty place.
        (hash as usize % RECENT, (hash >> 32) as u32 | 1)
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        let (place, kept) = Self::place(hash);
        if let Some(place) = self.0.get_mut(place) {
            *place = kept;
        }
    }

    fn holds(&self, hash: u64) -> bool {
        let (place, kept) = Self::place(hash);
        self.0.get(place) == Some(&kept)
    }
}

/// The fewest bytes that hold a slot and a generation.
const WIDE: usize = 8;
/// The golden ratio, as any odd number whose multiples lie apart.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The longest id.
const MOST: usize = 16;
/// Of a source of ids until one is free.
const DRAWS: u32 = 16;
/// Ids that are told from forged ones after their end.
const RECENT: usize = 4096;
