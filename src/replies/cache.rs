use core::fmt;
use core::time::Duration;

use super::entries::{Entries, Entry, Ms, State};
use super::index::{At, Index};
use super::key::RequestKey;
use super::limits::{ReplyLimits, WhenFull};
use super::reply_ring::{Replayed, ReplyRing};
use super::shares::Shares;
use super::stats::ReplyStats;
use super::tag::{Tag, Tags};
use super::verdict::{Busy, Kept, Ticket, Verdict};
use crate::time::Timestamp;

/// What a server remembers of the requests that it has executed, so that a copy is answered instead of executed.
///
/// Ask [`on_request`](Self::on_request) of everything that arrives, and execute only what is
/// [`Verdict::Fresh`]. Then report the reply, **before** it is sent: a copy that comes between would be
/// executed else.
///
/// ```
/// use udp_retry::replies::{ReplyCache, ReplyLimits, RequestKey, Verdict};
/// use udp_retry::time::Timestamp;
///
/// let now = Timestamp::ZERO;
/// let mut cache = ReplyCache::new(ReplyLimits::default(), &[7; 32]); // of a test; else from the system
/// let key = RequestKey::new("192.0.2.1:700".parse()?, b"id 1");
/// let Verdict::Fresh(ticket) = cache.on_request(now, &key) else { panic!() };
/// assert!(matches!(cache.on_request(now, &key), Verdict::InProgress));
/// cache.on_reply(now, ticket, b"done");
/// assert!(matches!(cache.on_request(now, &key), Verdict::Replay(b"done")));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub struct ReplyCache {
    limits: ReplyLimits,
    lifetime: Ms,
    /// The latest time that was seen, as none goes back.
    now: Ms,
    tags: Tags,
    index: Index,
    entries: Entries,
    replies: ReplyRing,
    shares: Shares,
    stats: ReplyStats,
}

impl ReplyCache {
    /// An empty cache with these limits, which takes all its memory at once. The secret is for the keys of its hashes: one
    /// who knows it can have a request mistaken for another.
    #[must_use]
    pub fn new(limits: ReplyLimits, secret: &[u8; 32]) -> Self {
        Self {
            limits,
            lifetime: limits.lifetime.div_ceil(NS_PER_MS),
            now: 0,
            tags: Tags::new(secret),
            index: Index::new(limits.entries.get()),
            entries: Entries::new(limits.entries.get()),
            replies: ReplyRing::new(limits.bytes),
            shares: Shares::new(limits.per_peer),
            stats: ReplyStats::default(),
        }
    }

    /// Says whether a request that arrived now is new, and remembers it if it is to be executed. A moment before the latest that it
    /// was given counts as that one: threads may come with the clocks that they have read in any order.
    pub fn on_request(&mut self, now: Timestamp, key: &RequestKey<'_>) -> Verdict<'_> {
        self.pass(now);
        self.drop_ended(AT_ONCE);
        let tag = self.tags.of_request(key);
        let known = self.find(tag);
        match known.filter(|&at| self.lives(at)) {
            Some(At::Reply(place)) => self.replay(place),
            Some(At::Entry(slot)) => self.without_reply(slot),
            None => {
                if let Some(ended) = known {
                    self.index.remove(tag.fragment(), ended);
                }
                self.admit(tag, key)
            }
        }
    }

    /// The request was executed, and this is the reply. Report it before it is sent.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub fn on_reply(&mut self, now: Timestamp, ticket: Ticket, reply: &[u8]) -> Kept {
        self.pass(now);
        let found = self.entries.in_progress(&ticket).filter(|(_, entry)| !self.has_ended(entry));
        let Some((slot, tag)) = found.map(|(slot, entry)| (slot, entry.tag)) else {
            return self.not_kept(&ticket);
        };
        let Self { entries, index, replies, stats, .. } = self;
        let place = replies.put(slot, tag, reply, |owner, place| {
            // It may have ended meanwhile, and its slot may be another's.
            if let Some(entry) = entries.get_mut(owner).filter(|entry| entry.state == State::Done(place)) {
                entry.state = State::Forgotten;
                index.replace(entry.tag.fragment(), At::Reply(place), At::Entry(owner));
            }
        });
        let (state, kept) = match place {
            Some(place) => (State::Done(place), Kept::Kept),
            None => (State::Forgotten, Kept::TooLarge),
        };
        *(if kept == Kept::Kept { &mut stats.kept } else { &mut stats.too_large }) += 1;
        if let Some(entry) = entries.get_mut(slot) {
            entry.state = state;
            index.replace(tag.fragment(), At::Entry(slot), entry.at(slot));
        }
        kept
    }

    /// The request was **not** executed: the next copy of it may be.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub fn on_abandoned(&mut self, ticket: Ticket) {
        let Some((slot, _)) = self.entries.in_progress(&ticket) else { return };
        let Some(entry) = self.entries.get_mut(slot) else { return };
        entry.state = State::Abandoned;
        self.index.remove(entry.tag.fragment(), At::Entry(slot));
        self.shares.remove(entry.share);
        self.stats.abandoned += 1;
        // What stands between others is free when it is the oldest, this at once.
        while self.entries.newest().is_some_and(|(_, newest)| newest.state == State::Abandoned) {
            self.entries.drop_newest();
        }
    }

    /// Forgets all requests whose lifetime has ended by now. No need to: each request that arrives has a few forgotten.
    pub fn expire(&mut self, now: Timestamp) {
        self.pass(now);
        self.drop_ended(u32::MAX);
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> ReplyStats {
        ReplyStats { entries: self.entries.len(), ..self.stats }
    }

    /// Bytes of memory that it takes, from the start.
    #[must_use]
    pub fn memory(&self) -> usize {
        let parts = [self.index.memory(), self.entries.memory(), self.replies.memory(), self.shares.memory()];
        size_of::<Self>() + parts.iter().sum::<usize>()
    }

    /// How long a request is remembered.
    pub(super) fn lifetime(&self) -> Duration {
        self.limits.lifetime()
    }

    fn pass(&mut self, now: Timestamp) {
        self.now = self.now.max(ms(now));
    }

    #[inline]
    fn find(&self, tag: Tag) -> Option<At> {
        self.index.find(tag.fragment(), |at| match at {
            At::Entry(slot) => self.entries.get(slot).is_some_and(|entry| entry.tag == tag),
            At::Reply(place) => self.replies.is_to(place, tag),
        })
    }

    #[inline]
    fn lives(&self, at: At) -> bool {
        let slot = match at {
            At::Entry(slot) => Some(slot),
            // None has ended if the oldest has not, which spares a look at its own entry.
            At::Reply(_) if self.entries.oldest().is_some_and(|(_, oldest)| !self.has_ended(oldest)) => return true,
            At::Reply(place) => self.replies.owner(place),
        };
        slot.and_then(|slot| self.entries.get(slot)).is_some_and(|entry| !self.has_ended(entry))
    }

    #[inline]
    fn has_ended(&self, entry: &Entry) -> bool {
        self.now.saturating_sub(entry.arrived()) > self.lifetime
    }

    #[inline]
    fn drop_ended(&mut self, most: u32) {
        for _ in 0..most {
            match self.entries.oldest() {
                Some((_, oldest)) if self.has_ended(oldest) || oldest.state == State::Abandoned => self.drop_oldest(),
                _ => break,
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((slot, oldest)) = self.entries.oldest().filter(|(_, oldest)| oldest.state != State::Abandoned) {
            self.index.remove(oldest.tag.fragment(), oldest.at(slot));
            self.shares.remove(oldest.share);
        }
        self.entries.drop_oldest();
    }

    #[inline]
    fn replay(&mut self, place: u32) -> Verdict<'_> {
        let Self { replies, stats, limits, .. } = self;
        match replies.replay(place, limits.replays) {
            Some(Replayed::Reply(reply)) => {
                stats.replayed += 1;
                Verdict::Replay(reply)
            }
            Some(Replayed::Often) => {
                stats.replayed_often += 1;
                Verdict::ReplayedOften
            }
            None => Verdict::ReplyForgotten,
        }
    }

    /// A copy of what this entry is of, to which no reply is there.
    fn without_reply(&mut self, slot: u32) -> Verdict<'_> {
        if self.entries.get(slot).is_some_and(|entry| entry.state == State::Forgotten) {
            self.stats.replies_forgotten += 1;
            return Verdict::ReplyForgotten;
        }
        self.stats.in_progress += 1;
        Verdict::InProgress
    }

    /// The reply to what is no longer remembered, or not in progress.
    #[cold]
    fn not_kept(&mut self, ticket: &Ticket) -> Kept {
        let late = self.now.saturating_sub(ticket.arrived) > self.lifetime;
        *(if late { &mut self.stats.late } else { &mut self.stats.forgotten }) += 1;
        if late { Kept::Late } else { Kept::Forgotten }
    }

    fn admit(&mut self, tag: Tag, key: &RequestKey<'_>) -> Verdict<'_> {
        let share = self.shares.of(&key.peer, &self.tags);
        if self.shares.is_used_up(share) && self.entries.len() > self.entries.capacity() / 2 {
            self.stats.refused_of_peer += 1;
            return Verdict::Busy(Busy::Peer);
        }
        // What has ended is gone by now, or there is space for one.
        if self.entries.len() >= self.entries.capacity() {
            if self.limits.when_full == WhenFull::Refuse {
                self.stats.refused += 1;
                return Verdict::Busy(Busy::Full);
            }
            self.drop_oldest();
            self.stats.evicted_early += 1;
        }
        let (slot, number) = self.entries.push(Entry::new(tag, self.now, share));
        self.index.insert(tag.fragment(), At::Entry(slot));
        self.shares.add(share);
        self.stats.fresh += 1;
        Verdict::Fresh(Ticket { number, arrived: self.now, check: tag.check() })
    }
}

impl fmt::Debug for ReplyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyCache").field("limits", &self.limits).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Rounded down, so that the age of an entry is wrong by less than one.
#[inline]
fn ms(at: Timestamp) -> Ms {
    at.as_nanos() / NS_PER_MS
}

const NS_PER_MS: u64 = 1_000_000;
/// Two for the place of a new one and two to catch up, after a pause.
const AT_ONCE: u32 = 4;
