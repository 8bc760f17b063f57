use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::Hasher;
use core::mem;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::key::RequestKey;
use super::limits::{ReplyLimits, WhenFull};
use super::stats::ReplyStats;
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
    hash: SipHasher13,
    entries: Vec<Entry>,
    number: u64,
    stats: ReplyStats,
}

struct Entry {
    tag: u128,
    number: u64,
    arrived: Timestamp,
    replays: u16,
    state: State,
}

enum State {
    InProgress,
    Abandoned,
    Done(Box<[u8]>),
    Forgotten,
}

impl ReplyCache {
    /// An empty cache with these limits. The secret is for the keys of its hashes: one who knows it can have a request
    /// mistaken for another.
    #[must_use]
    pub fn new(limits: ReplyLimits, secret: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        key.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
        let hash = SipHasher13::new_with_key(&key);
        Self { limits, hash, entries: Vec::new(), number: 0, stats: ReplyStats::default() }
    }

    /// Says whether a request that arrived now is new, and remembers it if it is to be executed.
    pub fn on_request(&mut self, now: Timestamp, key: &RequestKey<'_>) -> Verdict<'_> {
        self.expire(now);
        let tag = self.tag(key);
        let Some(at) = self.entries.iter().position(|entry| entry.tag == tag) else { return self.admit(now, tag) };
        let (stats, replays) = (&mut self.stats, self.limits.replays);
        let Some(entry) = self.entries.get_mut(at) else { return Verdict::InProgress };
        if matches!(entry.state, State::Abandoned) {
            entry.state = State::InProgress;
            stats.fresh += 1;
            return Verdict::Fresh(entry.ticket());
        }
        match &entry.state {
            State::InProgress | State::Abandoned => {
                stats.in_progress += 1;
                Verdict::InProgress
            }
            State::Forgotten => {
                stats.replies_forgotten += 1;
                Verdict::ReplyForgotten
            }
            State::Done(_) if entry.replays >= replays => {
                stats.replayed_often += 1;
                Verdict::ReplayedOften
            }
            State::Done(reply) => {
                entry.replays += 1;
                stats.replayed += 1;
                Verdict::Replay(reply)
            }
        }
    }

    /// The request was executed, and this is the reply. Report it before it is sent.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub fn on_reply(&mut self, now: Timestamp, ticket: Ticket, reply: &[u8]) -> Kept {
        self.expire(now);
        let bytes = self.limits.bytes;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.ticket() == ticket) else {
            let late = now.since_ns(ticket.arrived) > self.limits.lifetime;
            *(if late { &mut self.stats.late } else { &mut self.stats.forgotten }) += 1;
            return if late { Kept::Late } else { Kept::Forgotten };
        };
        if reply.len() > bytes {
            entry.state = State::Forgotten;
            self.stats.too_large += 1;
            return Kept::TooLarge;
        }
        entry.state = State::Done(reply.into());
        self.stats.kept += 1;
        let mut held: usize = self.entries.iter().map(Entry::bytes).sum();
        for entry in &mut self.entries {
            if held > bytes && entry.bytes() > 0 {
                held -= entry.bytes();
                entry.state = State::Forgotten;
            }
        }
        Kept::Kept
    }

    /// The request was **not** executed: the next copy of it may be.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub fn on_abandoned(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.ticket() == ticket) {
            entry.state = State::Abandoned;
            self.stats.abandoned += 1;
        }
    }

    /// Forgets the requests whose lifetime has ended by now.
    pub fn expire(&mut self, now: Timestamp) {
        let lifetime = self.limits.lifetime;
        self.entries.retain(|entry| now.since_ns(entry.arrived) <= lifetime);
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> ReplyStats {
        ReplyStats { entries: u32::try_from(self.entries.len()).unwrap_or(u32::MAX), ..self.stats }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.entries.capacity() * mem::size_of::<Entry>() + self.entries.iter().map(Entry::bytes).sum::<usize>()
    }

    fn admit(&mut self, now: Timestamp, tag: u128) -> Verdict<'_> {
        if self.entries.len() >= self.limits.entries.get() as usize {
            if self.limits.when_full == WhenFull::Refuse {
                self.stats.refused += 1;
                return Verdict::Busy(Busy::Full);
            }
            self.entries.remove(0);
            self.stats.evicted_early += 1;
        }
        let entry = Entry { tag, number: self.number, arrived: now, replays: 0, state: State::InProgress };
        let ticket = entry.ticket();
        self.entries.push(entry);
        self.number += 1;
        self.stats.fresh += 1;
        Verdict::Fresh(ticket)
    }

    fn tag(&self, key: &RequestKey<'_>) -> u128 {
        let mut hash = self.hash;
        if !key.any_peer {
            match key.peer {
                core::net::SocketAddr::V4(peer) => hash.write(&peer.ip().octets()),
                core::net::SocketAddr::V6(peer) => hash.write(&peer.ip().octets()),
            }
            hash.write(&key.peer.port().to_le_bytes());
        }
        hash.write(&key.id.len().to_le_bytes());
        hash.write(key.id);
        hash.write(key.besides);
        hash.finish128().as_u128()
    }
}

impl Entry {
    fn ticket(&self) -> Ticket {
        #[expect(clippy::cast_possible_truncation, reason = "a part of it")]
        Ticket { number: self.number, arrived: self.arrived, check: self.tag as u64 }
    }

    fn bytes(&self) -> usize {
        if let State::Done(reply) = &self.state { reply.len() } else { 0 }
    }
}

impl fmt::Debug for ReplyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyCache").field("limits", &self.limits).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
