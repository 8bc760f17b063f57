use alloc::vec::Vec;

use super::{Match, ReplyMatcher, Stray};
use crate::time::Timestamp;

/// The requests that a reply may answer, newest last in time; buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    kept: Vec<Kept>,
    /// How many of `kept` belong to this transaction.
    len: usize,
    newest: usize,
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
    /// When it was sent last.
    at: Timestamp,
}

impl Requests {
    #[inline]
    pub(super) fn forget(&mut self) {
        let newest = self.kept.get_mut(self.newest).filter(|newest| self.len > 0 && newest.transmissions > 0);
        if let (Some(newest), Some(past)) = (newest, self.past.get_mut(self.next_past)) {
            core::mem::swap(&mut newest.bytes, past);
            self.next_past = (self.next_past + 1) % PAST;
        }
        (self.len, self.newest) = (0, 0);
    }

    fn past(&self) -> impl Iterator<Item = &[u8]> {
        shown(&self.past)
    }

    /// The newest request, to be changed before it is sent, and those of earlier transactions.
    pub(super) fn newest_and_past(&mut self) -> (&mut [u8], impl Iterator<Item = &[u8]> + Clone) {
        let newest = self.kept.get_mut(self.newest).filter(|_| self.len > 0);
        (newest.map_or(&mut [], |newest| &mut newest.bytes), shown(&self.past))
    }

    /// An empty buffer for a request; one never sent goes at once. The oldest of 16 stays until this one has left, so that
    /// the same bytes are known again.
    #[inline]
    pub(super) fn fresh(&mut self) -> &mut Vec<u8> {
        let unsent = self.len > 0 && self.kept.get(self.newest).is_some_and(|newest| newest.transmissions == 0);
        if !unsent {
            self.newest = if self.len == 0 { 0 } else { (self.newest + 1) % RING };
            self.len = self.len.max(self.newest + 1);
        }
        if self.kept.len() <= self.newest {
            self.kept.resize_with(self.newest + 1, Kept::default);
        }
        #[expect(clippy::indexing_slicing, reason = "grown to hold it just above")]
        let kept = &mut self.kept[self.newest];
        kept.bytes.clear();
        kept.transmissions = 0;
        &mut kept.bytes
    }

    #[inline]
    pub(super) fn on_transmitted(&mut self, now: Timestamp) {
        if self.len == RING {
            if let Some(oldest) = self.kept.get_mut((self.newest + 1) % RING) {
                oldest.transmissions = 0;
            }
        }
        if let Some(newest) = self.kept.get_mut(self.newest) {
            newest.transmissions = newest.transmissions.saturating_add(1);
            newest.at = now;
            if !self.roomy {
                self.past.iter_mut().for_each(|past| past.reserve(newest.bytes.len()));
                self.roomy = true;
            }
        }
    }

    /// The newest request is built. The same bytes built again are one request that is sent twice, so that no reply is
    /// taken for the answer to the second transmission alone (Karn's rule).
    #[inline]
    pub(super) fn on_built(&mut self) {
        if self.len > 1 {
            self.merge();
        }
    }

    #[cold]
    fn merge(&mut self) {
        let Some(newest) = self.kept.get_mut(self.newest).map(core::mem::take) else { return };
        let mut merged = newest;
        for earlier in self.kept.iter_mut().take(self.len) {
            if earlier.transmissions > 0 && earlier.bytes == merged.bytes {
                (merged.transmissions, merged.at) = (earlier.transmissions, earlier.at);
                earlier.transmissions = 0;
            }
        }
        if let Some(place) = self.kept.get_mut(self.newest) {
            *place = merged;
        }
    }

    /// Whether a transmission of the newest bytes has left.
    pub(super) fn newest_has_left(&self) -> bool {
        self.len > 0 && self.kept.get(self.newest).is_some_and(|newest| newest.transmissions > 0)
    }

    /// Whether the newest bytes are those of the request before.
    pub(super) fn repeats_last(&self) -> bool {
        let last = self.past.get((self.next_past + PAST - 1) % PAST);
        last.is_some_and(|last| !last.is_empty() && last == self.newest())
    }

    #[inline]
    pub(super) fn newest(&self) -> &[u8] {
        self.kept.get(self.newest).filter(|_| self.len > 0).map_or(&[], |newest| &newest.bytes)
    }

    /// What the datagram is to any of the requests sent, and when the transmission left that it answers, if only one can
    /// be meant.
    #[inline]
    pub(super) fn judge(&self, matcher: &impl ReplyMatcher, datagram: &[u8]) -> (Match, Option<Timestamp>) {
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
    #[inline]
    fn sent(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().take(self.len).filter(|kept| kept.transmissions > 0)
    }
}

fn shown(past: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> + Clone {
    past.iter().map(Vec::as_slice).filter(|past| !past.is_empty())
}

/// How many different requests of one transaction a reply may answer.
const KEPT: usize = 16;
/// And the one that is built beside them.
const RING: usize = KEPT + 1;
/// Requests of earlier transactions that are remembered.
const PAST: usize = 8;
