use core::num::NonZeroU16;
use core::time::Duration;

use super::cache::ReplyCache;
use super::key::DuplicateKey;
use super::limits::ReplyLimits;
use super::stats::ResponderStats;
use super::todo::{Answer, Job, Todo, Why};
use super::verdict::{Kept, Verdict};
use crate::time::Timestamp;
use crate::transport::{PeerAddress, Route};

/// The server's end: says of each datagram whether to execute it, to send a reply again, or to do nothing.
///
/// A loop around it receives, executes and sends; `serving` has one over sockets, `sim` one in virtual time.
///
/// ```
/// use udp_retry::replies::{ReplyLimits, Responder, Todo, same_id};
/// use udp_retry::time::Timestamp;
/// use udp_retry::transport::Route;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = Timestamp::ZERO;
/// let from = Route::new("192.0.2.1:700".parse()?, "192.0.2.7:1060".parse()?);
/// // The key comes from the system, `Transport::entropy`: whoever knows it can have requests mistaken for others.
/// let mut responder = Responder::new(ReplyLimits::default(), same_id(0..4), &[7; 32], now);
///
/// let Todo::Execute { job, request } = responder.on_datagram(now, from, b"\0\0\0\x01add", 7) else { panic!() };
/// assert_eq!(request, b"\0\0\0\x01add");
/// // A copy that comes meanwhile is not executed.
/// assert!(matches!(responder.on_datagram(now, from, b"\0\0\0\x01add", 7), Todo::Nothing(_)));
///
/// let answer = responder.finish(now, job, b"\0\0\0\x01done").unwrap();
/// assert_eq!((answer.to, answer.datagram), (from, &b"\0\0\0\x01done"[..]));
/// // A copy that comes later is answered by the same bytes.
/// let Todo::Send(again) = responder.on_datagram(now, from, b"\0\0\0\x01add", 7) else { panic!() };
/// assert_eq!(again.datagram, b"\0\0\0\x01done");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Responder<K> {
    cache: ReplyCache,
    duplicates: K,
    started: Timestamp,
    silence: Duration,
    at_most_times: Option<NonZeroU16>,
    stats: ResponderStats,
}

impl<K: DuplicateKey> Responder<K> {
    /// A responder with these limits, which recognises copies by `duplicates` and has started now. The secret is for the
    /// keys of its hashes, [`Transport::entropy`](crate::transport::Transport::entropy) has it.
    #[must_use]
    pub fn new(limits: ReplyLimits, duplicates: K, secret: &[u8; 32], started: Timestamp) -> Self {
        Self {
            cache: ReplyCache::new(limits, secret),
            duplicates,
            started,
            silence: Duration::ZERO,
            at_most_times: None,
            stats: ResponderStats::default(),
        }
    }

    /// Ignores all datagrams for this long after the start: what a server executed before it was restarted is not known
    /// any more, and copies may still arrive. As long as the lifetime, nothing is executed again. None by default.
    #[must_use]
    pub fn silent_after_start(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Sends no answer of more than this many times the bytes of its request, so that the server is of no use to one who
    /// forges the addresses of others. QUIC allows three times (RFC 9000 §8.1). Any size by default.
    #[must_use]
    pub fn at_most_times(self, times: NonZeroU16) -> Self {
        Self { at_most_times: Some(times), ..self }
    }

    /// Says what to do about a datagram that came from there now, with `actual` bytes on the wire.
    pub fn on_datagram<'d>(&mut self, now: Timestamp, from: Route, datagram: &'d [u8], actual: usize) -> Todo<'_, 'd> {
        if actual > datagram.len() {
            self.stats.truncated += 1;
            return Todo::Nothing(Why::Truncated);
        }
        if now.since(self.started) < self.silence {
            self.stats.silent += 1;
            return Todo::Nothing(Why::Silent);
        }
        let Some(key) = self.duplicates.key(from.identity(), datagram) else {
            self.stats.foreign += 1;
            return Todo::Nothing(Why::Foreign);
        };
        let len = datagram.len();
        match self.cache.on_request(now, &key) {
            Verdict::Fresh(ticket) => Todo::Execute { job: Job { ticket, to: from, len }, request: datagram },
            Verdict::Replay(reply) if amplifies(self.at_most_times, len, reply) => {
                self.stats.amplifying += 1;
                Todo::Nothing(Why::Amplifying)
            }
            Verdict::Replay(reply) => Todo::Send(Answer { to: from, datagram: reply }),
            Verdict::InProgress => Todo::Nothing(Why::InProgress),
            Verdict::ReplyForgotten => Todo::Nothing(Why::ReplyForgotten),
            Verdict::ReplayedOften => Todo::Nothing(Why::ReplayedOften),
            Verdict::Busy(busy) => Todo::Nothing(Why::Busy(busy)),
        }
    }

    /// The request was executed, and this is the reply: it is kept, and what is to be sent is returned. `None` if no one
    /// waits for it any more, or if it exceeds the request too much.
    pub fn finish<'r>(&'r mut self, now: Timestamp, job: Job, reply: &'r [u8]) -> Option<Answer<'r>> {
        let Job { ticket, to, len } = job;
        let kept = self.cache.on_reply(now, ticket, reply);
        if amplifies(self.at_most_times, len, reply) {
            self.stats.amplifying += 1;
            return None;
        }
        (kept != Kept::Late).then_some(Answer { to, datagram: reply })
    }

    /// What to send to say that the request is being executed, before it is finished. It is not kept.
    pub fn provisional<'r>(&'r mut self, job: &Job, answer: &'r [u8]) -> Answer<'r> {
        Answer { to: job.to, datagram: answer }
    }

    /// The request was **not** executed: the next copy of it may be.
    pub fn abandon(&mut self, job: Job) {
        self.cache.on_abandoned(job.ticket);
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> ResponderStats {
        ResponderStats { replies: self.cache.stats(), ..self.stats }
    }

    /// Bytes of memory that it takes, from the start.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.cache.memory()
    }
}

fn amplifies(at_most_times: Option<NonZeroU16>, request: usize, answer: &[u8]) -> bool {
    at_most_times.is_some_and(|times| answer.len() > request.saturating_mul(times.get().into()))
}
