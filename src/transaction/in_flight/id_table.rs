use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use super::limits::SubmitError;
use super::slots::NONE;

/// Which slots have ids of which hashes: a table that grows by a page at a time.
///
/// One that is as large as all requests ever may be is spread over more memory than a processor keeps near, and one that
/// doubles moves everything while all requests wait. Here a page that is half full gives half of its entries to a
/// new one: the directory names a page for each value of the highest bits of a hash ("extendible hashing", Fagin 1979). A
/// page is read from the place on that other bits of the hash name, up to the first empty one.
#[derive(Debug)]
pub(super) struct IdTable {
    directory: Vec<u32>,
    /// Bits of a hash that the directory looks at.
    depth: u32,
    pages: Vec<Page>,
}

#[derive(Debug)]
struct Page {
    /// The kept half of a hash, and below it the slot; or [`EMPTY`].
    entries: Box<[u64; ENTRIES]>,
    used: usize,
    /// Bits of a hash that all entries share.
    depth: u32,
}

impl IdTable {
    pub(super) fn new() -> Self {
        Self { directory: vec![0], depth: 0, pages: vec![Page::new(0)] }
    }

    /// The slot with this hash of which `is_it` is true.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let page = self.pages.get(self.page_of(hash)?).filter(|page| !page.surely_lacks(hash))?;
        let (_, entry) = page.search(hash, is_it)?;
        (entry != EMPTY).then_some(slot_of(entry))
    }

    /// Adds a slot, which is not in it, unless `is_it` is true of one with the same hash.
    ///
    /// # Errors
    ///
    /// [`IdInUse`](SubmitError::IdInUse) then, and [`Full`](SubmitError::Full) if the page of this hash is full and cannot be
    /// divided: thousands of millions of entries are needed for that.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, slot: u32, is_it: impl FnMut(u32) -> bool) -> Result<(), SubmitError> {
        while self.page_mut(hash).is_some_and(|page| page.used >= MOST_USED) {
            self.divide(hash)?;
        }
        let page = self.page_mut(hash).ok_or(SubmitError::Full)?;
        match page.search(hash, is_it) {
            Some((place, EMPTY)) => page.add(place, hash, slot),
            Some(_) => return Err(SubmitError::IdInUse),
            None => return Err(SubmitError::Full),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        if let Some(page) = self.page_mut(hash) {
            page.remove(hash, slot);
        }
    }

    #[inline]
    fn page_of(&self, hash: u64) -> Option<usize> {
        self.directory.get(first_bits(hash, self.depth)).map(|&page| page as usize)
    }

    #[inline]
    fn page_mut(&mut self, hash: u64) -> Option<&mut Page> {
        let page = self.page_of(hash)?;
        self.pages.get_mut(page)
    }

    /// Gives half of the entries of a page to a new one.
    ///
    /// # Errors
    ///
    /// The hashes are too short for that.
    #[cold]
    fn divide(&mut self, hash: u64) -> Result<(), SubmitError> {
        let new = u32::try_from(self.pages.len()).map_err(|_| SubmitError::Full)?;
        let page = self.page_mut(hash).filter(|page| page.depth < MOST_DEPTH).ok_or(SubmitError::Full)?;
        page.depth += 1;
        let depth = page.depth;
        let old = mem::replace(&mut page.entries, Page::empty());
        page.used = 0;
        self.pages.push(Page::new(depth));
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&page| [page, page]).collect();
            self.depth = depth;
        }
        // Half of those that named the page: all that begin as this hash does.
        let wide = 1 << (self.depth - depth);
        let from = first_bits(hash, depth) * wide;
        self.directory.iter_mut().skip(from).take(wide).for_each(|page| *page = new);
        for &entry in old.iter().filter(|&&entry| entry != EMPTY) {
            let Some(page) = self.page_mut(entry) else { continue };
            if let Some((place, _)) = page.search(entry, |_| false) {
                page.add(place, entry, slot_of(entry));
            }
        }
        Ok(())
    }
}

impl Page {
    fn new(depth: u32) -> Self {
        Self { entries: Self::empty(), used: 0, depth }
    }

    fn empty() -> Box<[u64; ENTRIES]> {
        Box::new([EMPTY; ENTRIES])
    }

    /// Where an entry with this hash of which `is_it` is true stands, or else an empty one at which it could, and what stands
    /// there. No page is full, so that there is one.
    #[inline]
    fn search(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, u64)> {
        let home = home_of(hash);
        for place in home..home + ENTRIES {
            let entry = *self.entries.get(place % ENTRIES)?;
            if entry == EMPTY || entry >> 32 == hash >> 32 && is_it(slot_of(entry)) {
                return Some((place % ENTRIES, entry));
            }
        }
        None
    }

    /// Whether there is no entry with this hash, as is soon seen of nearly all that are forged. Without a branch for each place,
    /// as a processor cannot foretell where a search ends.
    #[inline]
    fn surely_lacks(&self, hash: u64) -> bool {
        let home = home_of(hash);
        let (mut is_there, mut ends) = (false, false);
        for place in home..home + NEAR {
            let entry = self.entries.get(place % ENTRIES).copied().unwrap_or(EMPTY);
            is_there |= entry >> 32 == hash >> 32;
            ends |= entry == EMPTY;
        }
        ends && !is_there
    }

    #[inline]
    fn add(&mut self, place: usize, hash: u64, slot: u32) {
        self.put(place, hash >> 32 << 32 | u64::from(slot));
        self.used += 1;
    }

    /// What stands behind and could not stand where its hash says moves up: no search ends at a gap before it.
    #[inline]
    fn remove(&mut self, hash: u64, slot: u32) {
        let Some((mut gap, _)) = self.search(hash, |other| other == slot).filter(|&(_, entry)| entry != EMPTY) else {
            return;
        };
        for place in gap + 1..gap + ENTRIES {
            let Some(&entry) = self.entries.get(place % ENTRIES).filter(|&&entry| entry != EMPTY) else { break };
            let from_home = place.wrapping_sub(home_of(entry)) % ENTRIES;
            let from_gap = place.wrapping_sub(gap) % ENTRIES;
            if from_home >= from_gap {
                self.put(gap, entry);
                gap = place;
            }
        }
        self.put(gap, EMPTY);
        self.used -= 1;
    }

    #[inline]
    fn put(&mut self, place: usize, entry: u64) {
        if let Some(place) = self.entries.get_mut(place % ENTRIES) {
            *place = entry;
        }
    }
}

#[inline]
const fn first_bits(hash: u64, count: u32) -> usize {
    // In two steps: a shift by 64 is none.
    (hash >> 1 >> (63 - count)) as usize
}

/// Where an entry with this hash belongs in its page: the last of the bits that are kept of it.
#[inline]
const fn home_of(hash: u64) -> usize {
    (hash >> 32) as usize % ENTRIES
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "its lower half")]
const fn slot_of(entry: u64) -> u32 {
    entry as u32
}

/// Of a page: 4 KiB.
const ENTRIES: usize = 512;
/// Places that are looked at together.
const NEAR: usize = 4;
/// In fuller ones a processor cannot foretell how long a search is, which costs it more than the memory.
const MOST_USED: usize = ENTRIES / 2;
/// The bits kept of a hash, less those that name a place in a page.
const MOST_DEPTH: u32 = 32 - ENTRIES.ilog2();
/// An entry of no slot.
const EMPTY: u64 = NONE as u64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::entropy::Seed;

    /// Hashes of which the kept halves are as told: the highest bits, and the place in a page.
    fn hash(first: u64, home: u64) -> u64 {
        first << 54 | home << 32 | 7
    }

    #[test]
    fn what_was_added_and_not_removed_is_found_and_nothing_else_is() {
        for seed in 0..30 {
            let (draws, mut table, mut naive) = (Seed::new(seed).draws(), IdTable::new(), BTreeMap::new());
            // From a page or two to dozens, and back; homes near each other, or all the same, in some of them.
            let most = [300, 2_000, 20_000][seed as usize % 3];
            let narrow = if seed % 2 == 0 { !0 } else { !(0x1f0 << 32) };
            for step in 0..4 * most {
                let drawn = draws.draw(step);
                let (slot, hash) = ((drawn % most) as u32, draws.draw(!drawn) & narrow);
                let grows = step / most % 2 == 0;
                match naive.get(&slot).copied() {
                    Some(hash) if !grows || drawn >> 60 == 0 => {
                        table.remove(hash, slot);
                        naive.remove(&slot);
                        assert_eq!(table.find(hash, |it| it == slot), None, "seed {seed}, step {step}");
                    }
                    None if grows => {
                        table.insert(hash, slot, |it| it == slot).unwrap();
                        naive.insert(slot, hash);
                        assert_eq!(table.insert(hash, slot, |it| it == slot), Err(SubmitError::IdInUse));
                    }
                    _ => assert_eq!(table.find(hash, |it| it == slot && !naive.contains_key(&it)), None),
                }
                if step % (most / 4) == 0 {
                    for (&slot, &hash) in &naive {
                        assert_eq!(table.find(hash, |it| it == slot), Some(slot), "seed {seed}, step {step}");
                    }
                }
            }
            assert!(seed % 3 != 2 || table.pages.len() > 20, "seed {seed}: {} pages", table.pages.len());
            let used: usize = table.pages.iter().map(|page| page.used).sum();
            let filled = table.pages.iter().flat_map(|page| page.entries.iter()).filter(|&&entry| entry != EMPTY);
            assert_eq!((used, filled.count()), (naive.len(), naive.len()), "seed {seed}");
        }
    }

    #[test]
    fn a_search_goes_round_the_end_of_a_page_and_a_removal_leaves_no_gap_in_it() {
        let mut table = IdTable::new();
        // Five that belong at the last place, and two that belong at the first and were pushed on by them.
        let entries: Vec<(u64, u32)> =
            (0..5).map(|slot| (hash(1, 511), slot)).chain((5..7).map(|slot| (hash(1, 0), slot))).collect();
        for gone in 0..7 {
            entries.iter().for_each(|&(hash, slot)| table.insert(hash, slot, |_| false).unwrap());
            table.remove(entries[gone].0, entries[gone].1);
            for (at, &(hash, slot)) in entries.iter().enumerate() {
                assert_eq!(table.find(hash, |it| it == slot), Some(slot).filter(|_| at != gone), "{gone}, {at}");
            }
            entries.iter().for_each(|&(hash, slot)| table.remove(hash, slot));
            assert_eq!(table.pages[0].used, 0);
        }
    }

    #[test]
    fn a_page_is_divided_once_it_is_half_full_and_no_step_touches_more_than_two() {
        let (draws, mut table, mut pages) = (Seed::new(1).draws(), IdTable::new(), 1);
        for slot in 0..50_000 {
            table.insert(draws.draw(u64::from(slot)), slot, |_| false).unwrap();
            assert!(table.pages.len() <= pages + 1, "at {slot}");
            pages = table.pages.len();
            assert_eq!(pages == 1, slot < 256, "at {slot}");
        }
        assert!((50_000 / 256..=50_000 / 120).contains(&pages), "{pages} pages");
        assert!(table.directory.len() <= 1024 && table.pages.iter().all(|page| page.used <= MOST_USED));
    }

    #[test]
    fn hashes_that_cannot_be_told_apart_fill_a_page_and_are_refused_from_then_on() {
        let mut table = IdTable::new();
        let same = hash(1, 3);
        (0..256).for_each(|slot| table.insert(same, slot, |_| false).unwrap());
        assert_eq!(table.insert(same, 256, |_| false), Err(SubmitError::Full));
        assert_eq!(table.find(same, |slot| slot == 255), Some(255));
        // Others still have a place.
        assert_eq!(table.insert(hash(2, 3), 256, |_| false), Ok(()));
        assert_eq!((table.find(hash(2, 3), |_| true), table.find(hash(3, 3), |_| true)), (Some(256), None));
    }
}
