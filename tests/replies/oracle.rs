//! The cache in random worlds, beside a list of all requests that ever came, searched from its end.
//!
//! `UDP_RETRY_SEEDS=100000` runs more of them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::replies::{Busy, Kept, ReplyCache, ReplyLimits, ReplyStats, RequestKey, Ticket, Verdict, WhenFull};
use udp_retry::time::Timestamp;

use crate::dice::Dice;
use crate::wire::{SECRET, peer};

#[test]
fn every_verdict_is_that_of_a_list_of_all_requests_ever() {
    let worlds = std::env::var("UDP_RETRY_SEEDS").map_or(6_000, |it| it.parse().unwrap());
    let mut seen = ReplyStats::default();
    for seed in 0..worlds {
        let stats = World::new(seed).run();
        seen.replayed += stats.replayed;
        seen.replies_forgotten += stats.replies_forgotten;
        seen.replayed_often += stats.replayed_often;
        seen.refused += stats.refused;
        seen.refused_of_peer += stats.refused_of_peer;
        seen.evicted_early += stats.evicted_early;
        seen.too_large += stats.too_large;
        seen.late += stats.late;
        seen.forgotten += stats.forgotten;
        seen.abandoned += stats.abandoned;
    }
    let all = [seen.replayed, seen.replies_forgotten, seen.replayed_often, seen.refused, seen.refused_of_peer];
    assert!(all.iter().all(|&count| count > worlds), "too little of something: {seen:?}");
    let all = [seen.evicted_early, seen.too_large, seen.late, seen.forgotten, seen.abandoned];
    assert!(all.iter().all(|&count| count > worlds / 2), "too little of something: {seen:?}");
}

struct World {
    seed: u64,
    dice: Dice,
    limits: ReplyLimits,
    /// In milliseconds, as the cache counts.
    lifetime: u64,
    bytes: u64,
    per_peer: Option<u32>,
    replays: u16,
    forgets: bool,
    now: Timestamp,
    /// What the cache is told of that: some threads are late with the clock that they have read.
    told: Timestamp,
    /// The latest that it was told.
    latest: Timestamp,
    cache: ReplyCache,
    tickets: Vec<(Ticket, usize)>,
    /// All that were ever to be executed.
    ever: Vec<Asked>,
    /// Those that take an entry, by their place in the list, oldest first.
    held: Vec<usize>,
    /// All that were kept once: of which request, and the memory that each took.
    replies: Vec<(usize, u64)>,
    stats: ReplyStats,
}

#[derive(Clone, PartialEq)]
struct Name {
    peer: Option<SocketAddr>,
    id: Vec<u8>,
    besides: Vec<u8>,
}

struct Asked {
    name: Name,
    share: IpAddr,
    ms: u64,
    state: State,
    replays: u16,
    evicted: bool,
}

#[derive(PartialEq)]
enum State {
    InProgress,
    Abandoned,
    Done(Vec<u8>),
    Unkept,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let lifetime = Duration::from_nanos(dice.within(1..=40) * 500_000 + dice.within(0..=1));
        let (entries, bytes) = (dice.within(1..=24), dice.pick(&[0, 100, 1_000, 1 << 14, 1 << 17]));
        let per_peer = dice.one_in(5).then(|| u32::try_from(dice.within(1..=3)).unwrap());
        let (replays, forgets) = (u16::try_from(dice.within(0..=3)).unwrap(), dice.one_in(2));
        let limits = ReplyLimits::default().with_lifetime(lifetime).unwrap();
        let limits = limits.with_entries(NonZeroU32::new(entries as u32).unwrap()).with_bytes(bytes as usize);
        let limits = limits.with_replays(replays).when_full(if forgets { WhenFull::Forget } else { WhenFull::Refuse });
        let limits = match per_peer {
            Some(most) => limits.with_per_peer(NonZeroU32::new(most).unwrap()),
            None => limits,
        };
        // Often just before a clock of 32 bits would begin again, in milliseconds or in nanoseconds.
        let start = dice.pick(&[0, 0, (u64::from(u32::MAX) - 5) * 1_000_000, u64::from(u32::MAX) - 50, 1 << 60]);
        let start = Timestamp::from_nanos(start);
        let mut cache = ReplyCache::new(limits, &SECRET);
        cache.expire(start);
        Self {
            seed,
            dice,
            limits,
            lifetime: u64::try_from(lifetime.as_nanos().div_ceil(1_000_000)).unwrap(),
            bytes,
            per_peer,
            replays,
            forgets,
            now: start,
            told: start,
            latest: start,
            cache,
            tickets: Vec::new(),
            ever: Vec::new(),
            held: Vec::new(),
            replies: Vec::new(),
            stats: ReplyStats::default(),
        }
    }

    fn run(mut self) -> ReplyStats {
        for step in 0..200 {
            let what = self.step();
            let wrong = self.wrong(step, &what);
            assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
        }
        self.stats
    }

    fn wrong(&self, step: u32, what: &Result<(), String>) -> Option<String> {
        let Self { seed, limits, now, .. } = self;
        let (stats, mut expected) = (self.cache.stats(), self.stats);
        expected.entries = stats.entries;
        let what = what.clone().and_then(|()| match stats == expected {
            true => Ok(()),
            false => Err(format!("{stats:?}\nexpected {expected:?}")),
        });
        what.err().map(|wrong| format!("seed {seed}, step {step}, at {now:?}, {limits:?}: {wrong}"))
    }

    fn step(&mut self) -> Result<(), String> {
        let weeks = Duration::from_millis(self.dice.pick(&LONG));
        let pause = match self.dice.within(0..=99) {
            0 => weeks,
            1..=9 => Duration::from_nanos(self.dice.within(0..=self.lifetime * 300_000)),
            _ => Duration::from_nanos(self.dice.within(0..=self.lifetime * 20_000)),
        };
        if self.dice.one_in(5) {
            let back = self.dice.within(0..=self.lifetime * 2_000_000);
            self.now = self.latest;
            self.told = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(back));
        } else {
            self.now = self.now.after(pause).max(self.latest);
            self.told = self.now;
        }
        match self.dice.within(0..=9) {
            0..=5 => self.request(),
            6..=7 => self.reply(),
            8 => self.abandon(),
            _ => {
                self.expire();
                self.settle();
                match self.cache.stats().entries as usize == self.held.len() {
                    true => Ok(()),
                    false => Err(format!("{} entries, not {}", self.cache.stats().entries, self.held.len())),
                }
            }
        }
    }

    fn request(&mut self) -> Result<(), String> {
        let from = peer(self.dice.pick(&PEERS));
        let any = self.dice.one_in(5);
        let bytes =
            self.dice.pick(&[("ab", ""), ("a", "b"), ("", "ab"), ("b", ""), ("c", ""), ("d", ""), ("cd", "cd")]);
        let key = RequestKey::new(from, bytes.0.as_bytes()).and(bytes.1.as_bytes());
        let key = if any { key.from_any_peer() } else { key };
        let name = Name { peer: (!any).then_some(from), id: bytes.0.into(), besides: bytes.1.into() };
        if self.per_peer.is_some() {
            // How many entries are in use decides: none that has ended shall be counted.
            self.expire();
        }
        self.settle();
        let (told, ms) = (self.tell(), self.ms());
        let known = self.ever.iter().rposition(|it| it.name == name && self.is_known(it));
        let share = share(from);
        let (full, used_up) = (self.is_full(), self.has_used_up(share));
        let keeps = known.map(|place| self.keeps(place));
        let verdict = self.cache.on_request(told, &key);
        let Some(place) = known else {
            match verdict {
                Verdict::Busy(Busy::Peer) if used_up => self.stats.refused_of_peer += 1,
                Verdict::Busy(Busy::Full) if !used_up && full && !self.forgets => self.stats.refused += 1,
                Verdict::Fresh(ticket) if !used_up && (!full || self.forgets) => {
                    if full {
                        let oldest = self.held.remove(0);
                        self.ever[oldest].evicted = true;
                        self.stats.evicted_early += 1;
                    }
                    let place = self.ever.len();
                    self.ever.push(Asked { name, share, ms, state: State::InProgress, replays: 0, evicted: false });
                    self.held.push(place);
                    self.tickets.push((ticket, place));
                    self.stats.fresh += 1;
                }
                other => return Err(format!("{key:?} is new: {other:?}; full {full}, used up {used_up}")),
            }
            return Ok(());
        };
        let (must_be_kept, may_be_kept) = keeps.unwrap_or_default();
        let (asked, most) = (&mut self.ever[place], self.replays);
        match (&asked.state, verdict) {
            (State::InProgress, Verdict::InProgress) => self.stats.in_progress += 1,
            (State::Done(_), Verdict::ReplayedOften) if asked.replays >= most && may_be_kept => {
                self.stats.replayed_often += 1;
            }
            (State::Done(reply), Verdict::Replay(again)) if reply == again && asked.replays < most && may_be_kept => {
                asked.replays += 1;
                self.stats.replayed += 1;
            }
            (State::Done(_), Verdict::ReplyForgotten) if !must_be_kept => {
                // Once it is gone, it is gone.
                asked.state = State::Unkept;
                self.stats.replies_forgotten += 1;
            }
            (State::Unkept, Verdict::ReplyForgotten) => self.stats.replies_forgotten += 1,
            (_, verdict) => return Err(format!("{key:?} is known: {verdict:?}, {} replays", asked.replays)),
        }
        Ok(())
    }

    fn reply(&mut self) -> Result<(), String> {
        let Some((ticket, place)) = self.ticket() else { return Ok(()) };
        self.settle();
        let len = self.dice.pick(&[0, 1, 8, 8, 30, 30, 30, 93, 93, 93, 500, 500, 65_527, 65_528]);
        let reply: Vec<u8> = (0..len).map(|n: u64| (n as u8) ^ (place as u8)).collect();
        let fits = len <= 65_527 && 20 + len.next_multiple_of(4) <= self.bytes / 4 * 4;
        let (known, ended) = (self.is_known(&self.ever[place]), self.has_ended(&self.ever[place]));
        let told = self.tell();
        let kept = self.cache.on_reply(told, ticket, &reply);
        match kept {
            Kept::Kept if known && fits => {
                self.ever[place].state = State::Done(reply);
                self.replies.push((place, 20 + len.next_multiple_of(4)));
                self.stats.kept += 1;
            }
            Kept::TooLarge if known && !fits => {
                self.ever[place].state = State::Unkept;
                self.stats.too_large += 1;
            }
            Kept::Late if ended => self.stats.late += 1,
            Kept::Forgotten if !known && !ended => self.stats.forgotten += 1,
            kept => return Err(format!("{kept:?} of {len} bytes; known {known}, ended {ended}")),
        }
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), String> {
        let Some((ticket, place)) = self.ticket() else { return Ok(()) };
        // It is not told the time, so the latest that it was told counts.
        self.now = self.latest;
        if self.held.contains(&place) && !self.has_ended(&self.ever[place]) {
            self.ever[place].state = State::Abandoned;
            self.stats.abandoned += 1;
        } else if self.has_ended(&self.ever[place]) {
            self.expire();
        }
        self.cache.on_abandoned(ticket);
        self.settle();
        Ok(())
    }

    fn ticket(&mut self) -> Option<(Ticket, usize)> {
        // The latest as a rule, and now and then one that has been forgotten long since.
        let at = match self.dice.one_in(4) {
            _ if self.tickets.is_empty() => return None,
            true => self.dice.index(self.tickets.len()),
            false => self.tickets.len() - 1,
        };
        Some(self.tickets.remove(at))
    }

    /// An entry is free once it is the oldest and has ended or was abandoned; also once it is the newest and was abandoned.
    fn settle(&mut self) {
        let free = |it: &Asked| self.has_ended(it) || it.state == State::Abandoned;
        let from = self.held.iter().position(|&it| !free(&self.ever[it])).unwrap_or(self.held.len());
        let rest = self.held[from..].to_vec();
        let used = rest.iter().rposition(|&it| self.ever[it].state != State::Abandoned).map_or(0, |last| last + 1);
        self.held = rest[..used].to_vec();
    }

    fn tell(&mut self) -> Timestamp {
        self.latest = self.latest.max(self.told);
        self.told
    }

    fn expire(&mut self) {
        let told = self.tell();
        self.cache.expire(told);
    }

    fn ms(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    fn has_ended(&self, asked: &Asked) -> bool {
        self.ms() - asked.ms > self.lifetime
    }

    fn is_known(&self, asked: &Asked) -> bool {
        !self.has_ended(asked) && !asked.evicted && asked.state != State::Abandoned
    }

    fn is_full(&self) -> bool {
        self.held.len() as u32 >= self.limits.entries().get()
    }

    fn has_used_up(&self, share: IpAddr) -> bool {
        let own = self.held.iter().filter(|&&it| self.ever[it].share == share && self.is_known(&self.ever[it])).count();
        let half = self.limits.entries().get() as usize / 2;
        self.per_peer.is_some_and(|most| own >= most as usize) && self.held.len() > half
    }

    /// Whether the reply must still be there, and whether it can be: with what came after it, and at most one gap in which
    /// the longest of those did not fit.
    fn keeps(&self, place: usize) -> (bool, bool) {
        let from = self.replies.iter().rposition(|it| it.0 == place).unwrap_or_default();
        let sizes = self.replies.iter().skip(from).map(|it| it.1);
        let (all, longest) = (sizes.clone().sum::<u64>(), sizes.max().unwrap_or_default());
        let space = self.bytes / 4 * 4;
        (all + longest <= space, all <= space)
    }
}

fn share(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(ip) => IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes()),
        ip => ip,
    }
}

const PEERS: [&str; 6] = [
    "192.0.2.1:700",
    "192.0.2.1:701",
    "192.0.2.2:700",
    "[2001:db8::1]:700",
    "[2001:db8::2]:700",
    "[2001:db8:0:1::1]:700",
];

/// In milliseconds: longer than any lifetime, and as long as a clock of 32 bits takes to begin again.
const LONG: [u64; 4] = [1_000, 1 << 32, (1 << 32) + 1, 2 << 32];
