use alloc::vec::Vec;

use super::active_request::Whose;
use super::{Match, ReplyMatcher, Stray};
use crate::time::Timestamp;

/// The requests that a reply may answer; buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    newest: Kept,
    /// Those of this transaction before it, 16 at most, one place used after the other: more than none only where the
    /// bytes are built anew for each transmission. Places that are not used again yet still hold those of transactions
    /// before.
    earlier: Vec<Kept>,
    /// How many of `earlier`, before `next`, belong to this transaction.
    len: usize,
    /// The place in `earlier` that is used next.
    next: usize,
    /// The latest of earlier transactions, to tell what is late from what is forged; empty where there was none.
    past: [Vec<u8>; PAST],
    next_past: usize,
    /// The latter have room, so that only the first transaction allocates.
    roomy: bool,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    transmissions: u32,
    /// Refusals that quote it.
    refusals: u32,
    /// When it was sent last.
    at: Timestamp,
}

impl Requests {
    #[inline]
    pub(super) fn forget(&mut self) {
        if self.newest.transmissions > 0 {
            if let Some(past) = self.past.get_mut(self.next_past) {
                core::mem::swap(&mut self.newest.bytes, past);
            }
            self.next_past = (self.next_past + 1) % PAST;
            self.newest.was_never_sent();
        }
        self.newest.bytes.clear();
        self.len = 0;
    }

    fn past(&self) -> impl Iterator<Item = &[u8]> {
        shown(&self.past)
    }

    /// The newest request, to be changed before it is sent, and those of earlier transactions.
    pub(super) fn newest_and_past(&mut self) -> (&mut [u8], impl Iterator<Item = &[u8]> + Clone) {
        (&mut self.newest.bytes, shown(&self.past))
    }

    /// An empty buffer for a request; one never sent goes at once. The oldest of 16 stays until this one has left, so that
    /// the same bytes are known again.
    #[inline]
    pub(super) fn fresh(&mut self) -> &mut Vec<u8> {
        if self.newest.transmissions > 0 {
            self.keep_newest();
        }
        self.newest.bytes.clear();
        &mut self.newest.bytes
    }

    #[cold]
    fn keep_newest(&mut self) {
        if self.earlier.is_empty() {
            // All at once, as which of them is used next does not begin anew with a transaction.
            let len = self.newest.bytes.len();
            self.earlier.resize_with(KEPT, || Kept { bytes: Vec::with_capacity(len), ..Kept::default() });
        }
        if let Some(oldest) = self.earlier.get_mut(self.next) {
            core::mem::swap(&mut self.newest, oldest);
        }
        self.len = (self.len + 1).min(KEPT);
        self.next = (self.next + 1) % KEPT;
        self.newest.was_never_sent();
    }

    #[inline]
    pub(super) fn on_transmitted(&mut self, now: Timestamp) {
        self.newest.transmissions = self.newest.transmissions.saturating_add(1);
        self.newest.at = now;
        if self.len == KEPT {
            self.forget_oldest();
        }
        if !self.roomy {
            self.make_room();
        }
    }

    #[cold]
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.earlier.get_mut(self.next) {
            oldest.was_never_sent();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        let len = self.newest.bytes.len();
        self.past.iter_mut().for_each(|past| past.reserve(len));
        self.roomy = true;
    }

    /// The newest request is built. The same bytes built again are one request that is sent twice, so that no reply is
    /// taken for the answer to the second transmission alone (Karn's rule).
    #[inline]
    pub(super) fn on_built(&mut self) {
        if self.len > 0 {
            self.merge();
        }
    }

    #[cold]
    fn merge(&mut self) {
        let Self { newest, earlier, len, next, .. } = self;
        for (place, earlier) in earlier.iter_mut().enumerate() {
            if is_before(*next, place, *len) && earlier.transmissions > 0 && earlier.bytes == newest.bytes {
                (newest.transmissions, newest.refusals, newest.at) =
                    (earlier.transmissions, earlier.refusals, earlier.at);
                earlier.was_never_sent();
                earlier.bytes.clear();
            }
        }
    }

    /// Whether a transmission of the newest bytes has left.
    pub(super) fn newest_has_left(&self) -> bool {
        self.newest.transmissions > 0
    }

    /// Whether any transmission of the present request has left.
    pub(super) fn has_left(&self) -> bool {
        self.sent().next().is_some()
    }

    /// Whether a transmission of the present request has left that these bytes begin.
    pub(super) fn has_sent(&self, quoted: &[u8]) -> bool {
        self.sent().any(|sent| sent.bytes.starts_with(quoted))
    }

    /// Whether a transmission of the present request has left that had these bytes, or, of `actual` ones, began with them.
    pub(super) fn has_sent_whole(&self, quoted: &[u8], actual: usize) -> bool {
        self.sent().any(|sent| is_whole(&sent.bytes, quoted, actual))
    }

    /// The same of this and the latest requests before.
    pub(super) fn has_known_whole(&self, quoted: &[u8], actual: usize) -> bool {
        self.has_sent_whole(quoted, actual) || self.past().any(|past| is_whole(past, quoted, actual))
    }

    /// Whether the newest bytes are those of the request before.
    pub(super) fn repeats_last(&self) -> bool {
        let last = self.past.get((self.next_past + PAST - 1) % PAST);
        last.is_some_and(|last| !last.is_empty() && last == self.newest())
    }

    #[inline]
    pub(super) fn newest(&self) -> &[u8] {
        &self.newest.bytes
    }

    /// What the datagram is to any of the requests sent, and when the transmission left that it answers, if only one can
    /// be meant.
    #[inline]
    pub(super) fn judge(&self, matcher: &impl ReplyMatcher, datagram: &[u8]) -> (Match, Option<Timestamp>) {
        if self.len > 0 {
            return self.judge_all(matcher, datagram);
        }
        match self.newest.transmissions {
            0 => (Match::Foreign, None),
            sent => (matcher.judge(&self.newest.bytes, datagram), (sent == 1).then_some(self.newest.at)),
        }
    }

    #[cold]
    fn judge_all(&self, matcher: &impl ReplyMatcher, datagram: &[u8]) -> (Match, Option<Timestamp>) {
        let mut verdict = Match::Foreign;
        let mut sent_at = None;
        for sent in self.sent() {
            match matcher.judge(&sent.bytes, datagram) {
                Match::Foreign => {}
                Match::Reply if verdict == Match::Reply => return (verdict, None),
                Match::Reply => {
                    verdict = Match::Reply;
                    sent_at = (sent.transmissions == 1).then_some(sent.at);
                }
                provisional if verdict == Match::Foreign => {
                    verdict = provisional;
                    sent_at = (sent.transmissions == 1).then_some(sent.at);
                }
                // Of which of them, it does not say.
                Match::Provisional(_) if verdict != Match::Reply => sent_at = None,
                Match::Provisional(_) => {}
            }
        }
        (verdict, sent_at)
    }

    /// Whose transmission an error is of that quotes these bytes, or what begins with them, and whether it counts, as a
    /// refusal does: once for each transmission.
    #[cold]
    pub(super) fn quoted(&mut self, quoted: &[u8], is_refusal: bool) -> Whose {
        if quoted.is_empty() {
            return Whose::Unknown;
        }
        if !self.sent().any(|sent| sent.bytes.starts_with(quoted)) {
            return Whose::Earlier;
        }
        let past = self.earlier.iter().enumerate().filter(|&(place, _)| !is_before(self.next, place, self.len));
        let past = past.map(|(_, kept)| &*kept.bytes);
        if self.past().chain(past).any(|past| past.starts_with(quoted)) {
            return Whose::Unknown;
        }
        if is_refusal { self.on_refused(quoted) } else { Whose::Own }
    }

    fn on_refused(&mut self, quoted: &[u8]) -> Whose {
        let Self { newest, earlier, len, next, .. } = self;
        let earlier = earlier.iter_mut().enumerate().filter(|&(place, _)| is_before(*next, place, *len));
        let mut sent = earlier.map(|(_, kept)| kept).chain([newest]);
        match sent.find(|sent| sent.refusals < sent.transmissions && sent.bytes.starts_with(quoted)) {
            Some(sent) => {
                sent.refusals += 1;
                Whose::Own
            }
            None => Whose::Again,
        }
    }

    /// What a datagram is that answers nothing (any more).
    pub(super) fn stray(&self, matcher: &impl ReplyMatcher, datagram: &[u8], actual: usize) -> Stray {
        let answers = |request: &[u8]| matcher.judge(request, datagram) != Match::Foreign;
        match self.sent().any(|sent| answers(&sent.bytes)) || self.past().any(answers) {
            true => Stray::Stale,
            false if actual == 0 => Stray::Empty,
            false if actual > datagram.len() => Stray::Truncated,
            false => Stray::Foreign,
        }
    }

    /// Only what was sent can have been answered.
    fn sent(&self) -> impl Iterator<Item = &Kept> {
        let earlier = self.earlier.iter().enumerate().filter(|&(place, _)| is_before(self.next, place, self.len));
        earlier.map(|(_, kept)| kept).chain([&self.newest]).filter(|kept| kept.transmissions > 0)
    }
}

impl Kept {
    #[inline]
    fn was_never_sent(&mut self) {
        (self.transmissions, self.refusals) = (0, 0);
    }
}

/// Whether a place is one of so many before the next one.
fn is_before(next: usize, place: usize, len: usize) -> bool {
    (next + KEPT - 1 - place) % KEPT < len
}

fn is_whole(bytes: &[u8], quoted: &[u8], actual: usize) -> bool {
    bytes.len() == actual && bytes.starts_with(quoted)
}

fn shown(past: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> + Clone {
    past.iter().map(Vec::as_slice).filter(|past| !past.is_empty())
}

/// How many different requests of one transaction a reply may answer.
const KEPT: usize = 16;
/// Requests of earlier transactions that are remembered.
const PAST: usize = 8;
