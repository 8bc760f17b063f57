//! Many moments to wait for: a hierarchical timer wheel, whose lists run through the items themselves.

use core::mem;

use super::{Ns, Timestamp};

/// The precision of a [`Wheel`]: 0.131 ms.
pub(crate) const TICK: Ns = 1 << 17;

/// Where an item stands in a wheel.
///
/// Ten bytes, aligned to two: an owner that puts two bytes of its own behind it loses none.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
pub(crate) struct Link {
    /// The item behind; behind the last stands the first.
    next: u32,
    /// The item in front; in front of the first stands the first itself, so that an append touches the last alone.
    prev: u32,
    /// The level and the bucket in it.
    list: u16,
}

impl Link {
    /// In no list.
    pub(crate) const FREE: Self = Self { next: 0, prev: 0, list: u16::MAX };

    /// Whether the item waits in the wheel.
    #[cfg(test)]
    pub(crate) const fn is_linked(&self) -> bool {
        self.list != Self::FREE.list
    }
}

/// The items of a wheel, which keep their own links.
pub(crate) trait Links {
    /// The link of `item`, [`Link::FREE`] at first; `None` if there is no such item, with which nothing is done then.
    fn link(&mut self, item: u32) -> Option<&mut Link>;
}

/// Which of many items is due, in constant time for each: six levels of 64 buckets, and no memory beside them.
///
/// A bucket of level 0 spans one tick, one of each level above it 64 of those below. An item stands on the lowest level
/// on which the buckets of its tick and of the present one lie side by side under one bucket of the next level; on the
/// top level, the next 63 buckets of whatever round do. So all items of one tick stand in one list at any time, those of
/// a lower level come before those of an upper one, and a bucket above level 0 is never the present one when it is filled.
///
/// Ticks are whole: what is due within a tick comes with the next one. [`Timestamp::MAX`] counts as a tick of its own, so
/// that what is due then comes then. An item due more than 2^53 ns (104 days) ahead is parked in the last bucket in reach,
/// and comes out early like any of an upper level.
///
/// An item must be taken out of the wheel before it leaves the store.
#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    levels: [Level; LEVELS],
    /// The present tick. It never passes a bucket that holds something, so it stays behind if a `pop` was the last one
    /// before the wheel had said `None`.
    tick: u64,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit for each bucket: whether there is something in it.
    occupied: u64,
    /// The last item of each bucket that is occupied.
    last: [u32; BUCKETS],
}

impl Wheel {
    /// An empty wheel at [`Timestamp::ZERO`].
    pub(crate) const fn new() -> Self {
        Self { levels: [Level { occupied: 0, last: [0; BUCKETS] }; LEVELS], tick: 0 }
    }

    /// Makes `item` wait for the first tick that begins at `due` or after it, at most 2^17 ns late; at once if that tick
    /// is the present one or has passed. One that waits already is moved, behind all others of its tick.
    pub(crate) fn insert(&mut self, links: &mut impl Links, item: u32, due: Timestamp) {
        self.move_to(links, item, self.list_of(due));
    }

    /// As [`insert`](Self::insert), of what is due when this list is: one that stands in it already stays where it is.
    #[inline]
    pub(crate) fn put_in(&mut self, links: &mut impl Links, item: u32, list: u16) {
        if links.link(item).is_none_or(|link| link.list != list) {
            self.move_to(links, item, list);
        }
    }

    #[inline(never)]
    fn move_to(&mut self, links: &mut impl Links, item: u32, list: u16) {
        self.remove(links, item);
        self.append(links, item, list);
    }

    /// An item that does not wait is the last of this list.
    fn append(&mut self, links: &mut impl Links, item: u32, list: u16) {
        if links.link(item).is_none() {
            return;
        }
        let Some((occupied, last)) = self.bucket(list) else { return };
        // What is no longer occupied names an old last item, which may wait elsewhere by now.
        let behind = if *occupied & bit(list) != 0 { links.link(*last) } else { None };
        let (first, before) = match behind {
            Some(link) => {
                let first = link.next;
                link.next = item;
                (first, *last)
            }
            None => (item, item),
        };
        *occupied |= bit(list);
        *last = item;
        if let Some(link) = links.link(item) {
            *link = Link { next: first, prev: before, list };
        }
    }

    /// The list that what is due at this moment is [put in](Self::put_in) at present.
    #[inline]
    pub(crate) fn list_of(&self, due: Timestamp) -> u16 {
        self.list(first_tick_from(due))
    }

    /// The same, if what is there comes before it is due, as from a level above 0.
    #[inline]
    pub(crate) fn early_list(&self, due: Timestamp) -> Option<u16> {
        Some(self.list_of(due)).filter(|&list| list >= LISTS_OF_LEVEL_0)
    }

    /// Takes `item` out, if it waits.
    #[inline]
    pub(crate) fn remove(&mut self, links: &mut impl Links, item: u32) {
        if let Some(link) = links.link(item) {
            let link = mem::replace(link, Link::FREE);
            self.take_out(links, item, link);
        }
    }

    /// As [`remove`](Self::remove), of an item that had this link, which its owner has taken from it already.
    #[inline]
    pub(crate) fn take_out(&mut self, links: &mut impl Links, item: u32, link: Link) {
        let Link { next, prev, list } = link;
        // The number of no list has no bucket.
        let Some((occupied, last)) = self.bucket(list) else { return };
        let (is_first, is_last) = (prev == item, *last == item);
        if is_first && is_last {
            *occupied &= !bit(list);
            return;
        }
        if let Some(before) = links.link(if is_first { *last } else { prev }) {
            before.next = next;
        }
        if is_last {
            *last = prev;
        } else if let Some(behind) = links.link(next) {
            behind.prev = if is_first { next } else { prev };
        }
    }

    /// Takes out the [`first`](Self::first) item whose bucket has come; to be asked until `None`.
    ///
    /// From level 0 it comes when it is due; from a level above at the start of its bucket: an owner who finds that it
    /// is not due yet inserts it again, upon which it stands on a lower level (or is parked again). Items of one tick
    /// come in the order in which they were inserted, unless others are inserted between a `Some` and its `None`, or
    /// one was parked. Items of several ticks that have come at once may come in any order.
    pub(crate) fn pop(&mut self, links: &mut impl Links, now: Timestamp) -> Option<u32> {
        let first = self.first(links, now)?;
        self.remove(links, first);
        Some(first)
    }

    /// Moves the wheel on to `now`, never back. Of the items whose buckets have come, which is the first, that stays in the wheel.
    pub(crate) fn first(&mut self, links: &mut impl Links, now: Timestamp) -> Option<u32> {
        let now = last_tick_until(now);
        while let Some((start, list)) = self.first_bucket().filter(|&(start, _)| start <= now) {
            self.tick = self.tick.max(start);
            let (occupied, last) = self.bucket(list)?;
            let first = links.link(*last).map(|link| link.next);
            match first {
                Some(first) if links.link(first).is_some_and(|link| link.list == list) => return Some(first),
                // Items have left the store with their links: a bucket that leads nowhere must not hold up the others.
                _ => *occupied &= !bit(list),
            }
        }
        self.tick = self.tick.max(now);
        None
    }

    /// When to [`pop`](Self::pop) next: the tick of the first item if that stands on level 0, else the start of its bucket,
    /// which is never later. A multiple of the tick or [`Timestamp::MAX`]; `None` if nothing waits.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.first_bucket().map(|(start, _)| Timestamp::from_nanos(start.saturating_mul(TICK)))
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.occupied == 0)
    }

    /// The list for an item that is due at `tick`.
    #[inline]
    fn list(&self, tick: u64) -> u16 {
        let tick = tick.max(self.tick);
        let highest_bit_that_differs = ((tick ^ self.tick) | 1).ilog2();
        let level = (highest_bit_that_differs / BUCKET_BITS).min(TOP_LEVEL);
        let shift = level * BUCKET_BITS;
        // Only on the top level may it lie farther ahead than there are buckets.
        let bucket = (tick >> shift).min((self.tick >> shift) + MOST_AHEAD) & MOST_AHEAD;
        // Both are small: below 6 and below 64.
        u16::try_from(u64::from(level << BUCKET_BITS) | bucket).unwrap_or(Link::FREE.list)
    }

    /// The bits of the level of `list`, and its last item.
    #[inline]
    fn bucket(&mut self, list: u16) -> Option<(&mut u64, &mut u32)> {
        let level = self.levels.get_mut(usize::from(list >> BUCKET_BITS))?;
        let last = level.last.get_mut(usize::from(list) % BUCKETS)?;
        Some((&mut level.occupied, last))
    }

    /// The tick at which the first bucket that holds something begins, and its list.
    fn first_bucket(&self) -> Option<(u64, u16)> {
        let mut first: Option<(u64, u16)> = None;
        // From the top: where two begin together, the items of the upper one were inserted before those of the lower.
        for (level, shift) in self.levels.iter().zip(SHIFTS).rev() {
            if level.occupied == 0 {
                continue;
            }
            let present = self.tick >> shift;
            // A rotation by a multiple of 64 more is the same one.
            let bits_from_present = level.occupied.rotate_right((present & MOST_AHEAD) as u32);
            let bucket = present + u64::from(bits_from_present.trailing_zeros());
            let start = bucket << shift;
            if first.is_none_or(|(earliest, _)| start < earliest) {
                let list = u64::from(shift / BUCKET_BITS) << BUCKET_BITS | bucket & MOST_AHEAD;
                first = Some((start, u16::try_from(list).unwrap_or(Link::FREE.list)));
            }
        }
        first
    }
}

/// The first tick that begins at `due` or after it.
const fn first_tick_from(due: Timestamp) -> u64 {
    due.as_nanos().div_ceil(TICK)
}

/// The last tick that has begun at `now`.
const fn last_tick_until(now: Timestamp) -> u64 {
    match now.as_nanos() {
        // 2^64 cannot be named, and what is due now or a little earlier waits for the tick that begins then.
        Ns::MAX => first_tick_from(now),
        now => now / TICK,
    }
}

/// The bit of the bucket of `list` among those of its level.
const fn bit(list: u16) -> u64 {
    1 << (list % (1 << BUCKET_BITS))
}

const LEVELS: usize = 6;
const TOP_LEVEL: u32 = 5;
const BUCKET_BITS: u32 = 6;
const BUCKETS: usize = 1 << BUCKET_BITS;
const LISTS_OF_LEVEL_0: u16 = 1 << BUCKET_BITS;
/// The farthest bucket of a level that cannot be taken for the present one; also the bits of a bucket's number.
const MOST_AHEAD: u64 = (1 << BUCKET_BITS) - 1;
/// The bits of a tick that lie within one bucket, on each level.
const SHIFTS: [u32; LEVELS] = [0, 6, 12, 18, 24, 30];

#[cfg(test)]
mod tests;
