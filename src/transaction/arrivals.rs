//! What a datagram does that has been judged.

use super::active_request::Answer;
use super::record::Record;
use super::{Event, Failure, ReplyMatcher, Stray, Transaction};
use crate::time::Timestamp;
use crate::transport::PathIndex;

impl<M: ReplyMatcher> Transaction<M> {
    #[inline]
    pub(super) fn on_reply(&mut self, answer: Answer, len: usize, actual: usize) {
        if !self.active.is_answered() {
            self.round_trip = answer.round_trip;
        }
        self.reply_len = len;
        let Self { active, destination, reach, book, .. } = self;
        if actual > len {
            active.on_truncated(destination, &mut reach.only, answer, Failure::truncated(len, actual));
        } else {
            active.on_reply(destination, &mut reach.only, answer, book);
        }
    }

    #[cold]
    pub(super) fn on_stray(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8], actual: usize) -> Stray {
        let kind = match self.outbox.lane(path) {
            Some(lane) => lane.requests.stray(&self.destination.matcher, datagram, actual),
            None => Stray::Foreign,
        };
        self.add_stray(at, path, kind, actual);
        kind
    }

    #[cold]
    pub(super) fn add_stray(&mut self, at: Timestamp, path: PathIndex, kind: Stray, actual: usize) {
        self.strays.add(kind);
        if kind == Stray::Stale {
            self.sizes.on_late_reply(path, at);
        }
        if self.active.is_open() {
            let len = u32::try_from(actual).unwrap_or(u32::MAX);
            self.book.record(at, Event::Stray { path, kind, len });
            self.active.on_stray(at);
        }
    }
}
