use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::time::Duration;

use super::cache::ReplyCache;
use super::key::DuplicateKey;
use super::limits::ReplyLimits;
use super::stats::ResponderStats;
use super::todo::{Answer, Asked, Job, Todo, Why};
use super::verdict::{Kept, Verdict};
use crate::envelope::{Admission, HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
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
    incarnation: Option<Incarnation>,
    /// An answer with its header, where there are headers.
    out: Vec<u8>,
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
            incarnation: None,
            out: Vec::new(),
            stats: ResponderStats::default(),
        }
    }

    /// Ignores all datagrams for this long after the start: what a server executed before it was restarted is not known
    /// any more, and copies may still arrive. With the [lifetime](ReplyLimits::lifetime) or more, nothing is executed again. None by
    /// default; with an [`envelope`](Self::envelope) there is no need of any.
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

    /// Takes requests with a header of [`envelope`](crate::envelope) only, and sends answers with one: ids and keys count in
    /// what follows it, and so does what a handler sees.
    ///
    /// A request that no one waits for any more is not executed. One that an earlier incarnation of this server may have
    /// executed is answered "unknown" instead, so that a restart needs no [silence](Self::silent_after_start). The incarnation is drawn
    /// at each start, from the system's entropy (`Incarnation::over`): one that is used again is no help. The uptime that answers state
    /// counts from the moment that [`new`](Self::new) was given, when the server before must be gone.
    #[must_use]
    pub fn envelope(self, incarnation: Incarnation) -> Self {
        // All at once, as the cache has its memory.
        let out = Vec::with_capacity(HEADER_LEN + usize::from(u16::MAX));
        Self { incarnation: Some(incarnation), out, ..self }
    }

    /// Says what to do about a datagram that came from there now, with `actual` bytes on the wire.
    #[inline]
    pub fn on_datagram<'d>(&mut self, now: Timestamp, from: Route, datagram: &'d [u8], actual: usize) -> Todo<'_, 'd> {
        match self.ignores(now, datagram, actual) {
            Some(why) => Todo::Nothing(why),
            None if self.incarnation.is_some() => self.on_enveloped(now, from, datagram),
            None => {
                let asked = Asked { to: from, at: now, len: datagram.len(), transmission: None, deadline: None };
                self.on_request(now, asked, datagram)
            }
        }
    }

    /// The request was executed, and this is the reply: it is kept, and what is to be sent is returned. `None` if its lifetime has
    /// ended, so that no one waits for it any more, or if it exceeds the request [too much](Self::at_most_times); [`stats`](Self::stats)
    /// says which.
    pub fn finish<'r>(&'r mut self, now: Timestamp, job: Job, reply: &'r [u8]) -> Option<Answer<'r>> {
        let framing = self.settle(now, job, reply)?;
        Some(Answer { to: framing.to, datagram: framing.of(reply, &mut self.out) })
    }

    /// What to send to say that the request is being executed, before it is finished. It is not kept. `None` if it exceeds
    /// the request too much.
    pub fn provisional<'r>(&'r mut self, job: &Job, answer: &'r [u8]) -> Option<Answer<'r>> {
        let framing = self.announce(job, answer)?;
        Some(Answer { to: framing.to, datagram: framing.of(answer, &mut self.out) })
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
        self.cache.memory() + self.out.capacity()
    }

    #[inline]
    fn ignores(&mut self, now: Timestamp, datagram: &[u8], actual: usize) -> Option<Why> {
        if actual > datagram.len() {
            self.stats.truncated += 1;
            Some(Why::Truncated)
        } else if now.since(self.started) < self.silence {
            self.stats.silent += 1;
            Some(Why::Silent)
        } else {
            None
        }
    }

    #[inline(never)]
    fn on_enveloped<'d>(&mut self, now: Timestamp, from: Route, datagram: &'d [u8]) -> Todo<'_, 'd> {
        let (header, request) = match RequestHeader::decode(datagram) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.stats.without_envelope += 1;
                return Todo::Nothing(Why::Envelope(error));
            }
        };
        if header.is_expired(Duration::ZERO) {
            self.stats.expired += 1;
            return Todo::Nothing(Why::Expired);
        }
        let deadline = header.remaining().map(|remaining| now.after(remaining));
        let transmission = Some(header.transmission());
        let asked = Asked { to: from, at: now, len: datagram.len(), transmission, deadline };
        let (uptime, lifetime) = (now.since(self.started), self.cache.lifetime());
        let admission = self.incarnation.map(|own| header.admission(own, uptime, lifetime));
        if admission != Some(Admission::Unknown) {
            return self.on_request(now, asked, request);
        }
        // Whatever is no request of ours would be sent back else.
        if self.duplicates.key(from.identity(), request).is_none() {
            self.stats.foreign += 1;
            return Todo::Nothing(Why::Foreign);
        }
        self.stats.unknown += 1;
        self.stats.unnamed += u64::from(header.incarnation().is_none());
        if let Some(header) = self.header(now, &asked, ReplyKind::Unknown) {
            put(header, request, &mut self.out);
        }
        Todo::Send(Answer { to: from, datagram: &self.out })
    }

    #[inline]
    fn on_request<'d>(&mut self, now: Timestamp, asked: Asked, request: &'d [u8]) -> Todo<'_, 'd> {
        let Some(key) = self.duplicates.key(asked.to.identity(), request) else {
            self.stats.foreign += 1;
            return Todo::Nothing(Why::Foreign);
        };
        let header = self.header(now, &asked, ReplyKind::Reply);
        match self.cache.on_request(now, &key) {
            Verdict::Fresh(ticket) => Todo::Execute { job: Job { ticket, asked }, request },
            Verdict::Replay(reply) if amplifies(self.at_most_times, &asked, reply) => {
                self.stats.amplifying += 1;
                Todo::Nothing(Why::Amplifying)
            }
            Verdict::Replay(reply) => {
                let framing = Framing { to: asked.to, header };
                Todo::Send(Answer { to: asked.to, datagram: framing.of(reply, &mut self.out) })
            }
            Verdict::InProgress => Todo::Nothing(Why::InProgress),
            Verdict::ReplyForgotten => Todo::Nothing(Why::ReplyForgotten),
            Verdict::ReplayedOften => Todo::Nothing(Why::ReplayedOften),
            Verdict::Busy(busy) => Todo::Nothing(Why::Busy(busy)),
        }
    }

    /// As [`finish`](Self::finish), but the caller puts together what is sent.
    #[inline]
    pub(crate) fn settle(&mut self, now: Timestamp, job: Job, reply: &[u8]) -> Option<Framing> {
        let Job { ticket, asked } = job;
        match self.cache.on_reply(now, ticket, reply) {
            Kept::Late => None,
            Kept::Kept | Kept::TooLarge | Kept::Forgotten => self.framing(now, &asked, reply),
        }
    }

    /// As [`provisional`](Self::provisional), but the caller puts together what is sent.
    pub(crate) fn announce(&mut self, job: &Job, answer: &[u8]) -> Option<Framing> {
        self.framing(job.asked.at, &job.asked, answer)
    }

    #[inline]
    fn framing(&mut self, now: Timestamp, asked: &Asked, payload: &[u8]) -> Option<Framing> {
        if amplifies(self.at_most_times, asked, payload) {
            self.stats.amplifying += 1;
            return None;
        }
        Some(Framing { to: asked.to, header: self.header(now, asked, ReplyKind::Reply) })
    }

    /// The header of an answer, if answers have one.
    fn header(&self, now: Timestamp, asked: &Asked, kind: ReplyKind) -> Option<ReplyHeader> {
        let (transmission, incarnation) = (asked.transmission?, self.incarnation?);
        Some(ReplyHeader::new(kind, transmission, now.since(self.started), incarnation))
    }
}

/// How an answer is sent.
pub(crate) struct Framing {
    /// Whereto, and from which of the own addresses.
    pub(crate) to: Route,
    header: Option<ReplyHeader>,
}

impl Framing {
    /// The answer behind its header, put together in `out`; without one, as it is.
    #[inline]
    pub(crate) fn of<'r>(&self, answer: &'r [u8], out: &'r mut Vec<u8>) -> &'r [u8] {
        let Some(header) = self.header else { return answer };
        put(header, answer, out);
        out
    }
}

fn put(header: ReplyHeader, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
}

/// Headers count in both.
#[inline]
fn amplifies(at_most_times: Option<NonZeroU16>, asked: &Asked, payload: &[u8]) -> bool {
    let header = asked.transmission.map_or(0, |_| HEADER_LEN);
    at_most_times.is_some_and(|times| payload.len() + header > asked.len.saturating_mul(times.get().into()))
}
