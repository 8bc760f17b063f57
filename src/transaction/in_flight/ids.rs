use core::ops::Range;

use hashbrown::HashTable;

use super::limits::{Limits, SubmitError};
use super::payloads::{Payloads, Place};
use super::short_ids::ShortIds;
use super::slots::Slots;
use crate::entropy::{Draws, IdSource, Seed};
use crate::time::Timestamp;
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
enum Kind {
    /// Stamped, of 8 bytes and more: the first four are the slot, the next four its generation, and like the rest random.
    Wide(Range<usize>),
    /// Stamped, of one byte or two.
    Short(Range<usize>, ShortIds),
    /// Any other: the caller's own, or stamped by the matcher in its own way. The slots that have them, by their hashes.
    Table { slots: HashTable<u32>, stamps: bool },
}

/// The name that a request gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) peer: u32,
}

/// What the ids of requests are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Kept<'k> {
    pub(super) slots: &'k Slots,
    pub(super) payloads: &'k Payloads,
}

impl Kept<'_> {
    fn has(self, slot: u32, peer: Option<u32>, id: &[u8], matcher: &impl KeyedMatcher) -> bool {
        let slot = self.slots.get(slot).filter(|slot| slot.is_open() && peer.is_none_or(|peer| slot.peer == peer));
        slot.is_some_and(|slot| matcher.id(self.payloads.get(slot.place)) == Some(id))
    }
}

impl Ids {
    pub(super) fn new(matcher: &impl KeyedMatcher, limits: &Limits, source: Option<IdSource>, seed: Seed) -> Self {
        let at = matcher.stamped_at().filter(|_| matcher.stamps());
        let kind = match at.as_ref().map(Range::len) {
            Some(1..=2) => {
                let at = at.unwrap_or_default();
                let ids = ShortIds::new(at.len(), limits.rest);
                Kind::Short(at, ids)
            }
            Some(WIDE..=MOST) => Kind::Wide(at.unwrap_or_default()),
            _ => Kind::Table { slots: HashTable::new(), stamps: matcher.stamps() },
        };
        let mut key = [0; 8];
        let mut source = source;
        if let Some(source) = &mut source {
            source.fill(&mut key);
        }
        let hashes = Seed::new(seed.number() ^ u64::from_le_bytes(key)).draws();
        Self { kind, source, hashes, recent: Recent::new() }
    }

    /// Gives a request its id, if that is ours to give, and has it found by that from now on. Returns its generation.
    ///
    /// # Errors
    ///
    /// No id is free, the caller's is in use, or there is none; then nothing has changed but bytes of the request.
    pub(super) fn admit(
        &mut self,
        now: Timestamp,
        matcher: &impl KeyedMatcher,
        (slots, payloads): (&Slots, &mut Payloads),
        place: Place,
        name: Name,
        most: u32,
    ) -> Result<u32, SubmitError> {
        let Self { kind, source, hashes, recent } = self;
        match kind {
            Kind::Wide(at) => {
                let source = source.as_mut().ok_or(SubmitError::Unmatchable)?;
                let id = payloads.get_mut(place).get_mut(at.clone()).ok_or(SubmitError::Unmatchable)?;
                source.fill(id);
                let (number, rest) = id.split_first_chunk_mut::<4>().ok_or(SubmitError::Unmatchable)?;
                let (generation, _) = rest.split_first_chunk::<4>().ok_or(SubmitError::Unmatchable)?;
                *number = name.slot.to_le_bytes();
                Ok(u32::from_le_bytes(*generation))
            }
            Kind::Short(at, ids) => {
                let source = source.as_mut().ok_or(SubmitError::Unmatchable)?;
                let place = payloads.get_mut(place).get_mut(at.clone()).ok_or(SubmitError::Unmatchable)?;
                let id = ids.draw(now, source).map_err(|until| SubmitError::IdsUsedUp { until })?;
                match place {
                    [low] => *low = id.to_be_bytes()[1],
                    _ => place.copy_from_slice(&id.to_be_bytes()),
                }
                ids.set(id, name.slot);
                Ok(name.generation)
            }
            Kind::Table { slots: table, stamps } => {
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
                    let is_used = table.find(hash, |&slot| kept.has(slot, Some(name.peer), id, matcher)).is_some();
                    let is_stale = *stamps && recent.holds(hash);
                    if !is_used && !is_stale {
                        if table.capacity() == 0 {
                            // At once, as growing would take long just when there are many.
                            table.reserve(most as usize, |_| 0);
                        }
                        let hash_of = |&slot: &u32| hash_of(hashes, slot, kept, matcher);
                        table.insert_unique(hash, name.slot, hash_of);
                        return Ok(name.generation);
                    }
                    tries -= 1;
                    if tries == 0 {
                        let used_up = SubmitError::IdsUsedUp { until: None };
                        return Err(if *stamps { used_up } else { SubmitError::IdInUse });
                    }
                }
            }
        }
    }

    /// The slot of the request to this peer, or to any, whose id this is.
    #[inline]
    pub(super) fn find(
        &self,
        id: &[u8],
        peer: Option<u32>,
        kept: Kept<'_>,
        matcher: &impl KeyedMatcher,
    ) -> Option<u32> {
        match &self.kind {
            Kind::Wide(at) => {
                let (slot, rest) = id.split_first_chunk::<4>().filter(|_| id.len() == at.len())?;
                let (generation, _) = rest.split_first_chunk::<4>()?;
                let number = u32::from_le_bytes(*slot);
                let slot = kept.slots.get(number)?;
                let is_it = slot.is_open() && slot.generation == u32::from_le_bytes(*generation);
                (is_it && peer.is_none_or(|peer| slot.peer == peer)).then_some(number)
            }
            Kind::Short(at, ids) => {
                let number = ids.find(number(id).filter(|_| id.len() == at.len())?)?;
                let slot = kept.slots.get(number).filter(|slot| slot.is_open())?;
                peer.is_none_or(|peer| slot.peer == peer).then_some(number)
            }
            Kind::Table { slots, .. } => {
                slots.find(hash(&self.hashes, id), |&slot| kept.has(slot, peer, id, matcher)).copied()
            }
        }
    }

    /// A request has ended: its id finds nothing any more. After one transmission and one reply it is clean.
    pub(super) fn release(
        &mut self,
        now: Timestamp,
        (slot, place): (u32, Place),
        clean: bool,
        payloads: &Payloads,
        matcher: &impl KeyedMatcher,
    ) {
        let Some(id) = matcher.id(payloads.get(place)) else { return };
        let hash = hash(&self.hashes, id);
        self.recent.add(hash);
        match &mut self.kind {
            Kind::Wide(_) => {}
            Kind::Short(_, ids) => {
                if let Some(id) = number(id) {
                    ids.release(now, id, clean);
                }
            }
            Kind::Table { slots, .. } => {
                if let Ok(entry) = slots.find_entry(hash, |&other| other == slot) {
                    entry.remove();
                }
            }
        }
    }

    /// What a datagram is that repeats this id and answers nothing.
    #[cold]
    pub(super) fn stray(&self, id: Option<&[u8]>, len: usize, actual: usize) -> Stray {
        let is_stale = id.is_some_and(|id| {
            let rests = matches!(&self.kind, Kind::Short(_, ids) if number(id).is_some_and(|id| ids.is_resting(id)));
            rests || self.recent.holds(hash(&self.hashes, id))
        });
        match is_stale {
            true => Stray::Stale,
            false if actual == 0 => Stray::Empty,
            false if actual > len => Stray::Truncated,
            false => Stray::Foreign,
        }
    }
}

fn hash_of(hashes: &Draws, slot: u32, kept: Kept<'_>, matcher: &impl KeyedMatcher) -> u64 {
    let id = kept.slots.get(slot).and_then(|slot| matcher.id(kept.payloads.get(slot.place)));
    hash(hashes, id.unwrap_or_default())
}

/// Of an id of at most 16 bytes; longer ones are told by their first 16 and their length.
#[inline]
fn hash(hashes: &Draws, id: &[u8]) -> u64 {
    if let Ok(id) = <[u8; 8]>::try_from(id) {
        return hashes.draw(u64::from_le_bytes(id));
    }
    let mut bytes = [0; MOST];
    bytes.iter_mut().zip(id).for_each(|(to, &from)| *to = from);
    let number = u128::from_le_bytes(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    let (low, high) = (number as u64, (number >> 64) as u64);
    hashes.draw(low ^ hashes.draw(high ^ hashes.draw(id.len() as u64)))
}

fn number(id: &[u8]) -> Option<u16> {
    match *id {
        [id] => Some(id.into()),
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// Ids of requests that ended lately, by their hashes: a newer one takes the place of another.
#[derive(Debug)]
struct Recent(alloc::boxed::Box<[u32]>);

impl Recent {
    fn new() -> Self {
        Self(alloc::vec![0; RECENT].into_boxed_slice())
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash decides the place, another is kept")]
    fn place(hash: u64) -> (usize, u32) {
        // Zero is an empty place.
        (hash as usize % RECENT, (hash >> 32) as u32 | 1)
    }

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
/// The longest id.
const MOST: usize = 16;
/// Of a source of ids until one is free.
const DRAWS: u32 = 16;
/// Ids that are told from forged ones after their end.
const RECENT: usize = 4096;
