//! Errors of what was sent earlier, and whose they are.

use super::active_request::{Reported, Whose};
use super::conclusion::is_refusal;
use super::reach::routed;
use super::{ReplyMatcher, Transaction};
use crate::envelope::HEADER_LEN;
use crate::time::Timestamp;
use crate::transport::{PathError, PathIndex};

impl<M: ReplyMatcher> Transaction<M> {
    /// Records an error that a path returned for a datagram sent earlier (on a connected socket: a pending ICMP error). It
    /// ends the request only if [`OnUnreachable`](super::OnUnreachable) says so; of several servers it hastens the next one
    /// to be asked.
    ///
    /// It may be of any datagram sent before on that path, or on any, if that is not known. Those of earlier requests that
    /// nothing has settled yet are taken to be refused first; [`on_quoted_error`](Self::on_quoted_error) need not guess.
    #[cold]
    pub fn on_path_error(&mut self, now: Timestamp, path: Option<PathIndex>, error: PathError) {
        self.on_quoted_error(now, path, error, &[]);
    }

    /// As [`on_path_error`](Self::on_path_error), with the datagram that met the error or its beginning, as far as the
    /// system [quotes](crate::transport::Incoming::PathError) it; nothing where it does not.
    ///
    /// Where it quotes a request of this transaction, the error is of that one, once for each of its transmissions. Where it
    /// quotes anything else, it is of an earlier request: recorded, and no reason for
    /// [`OnUnreachable`](super::OnUnreachable) or [`Failure::Refused`](super::Failure::Refused). Bytes that this request
    /// and one of the latest before have in common quote neither.
    #[cold]
    pub fn on_quoted_error(&mut self, now: Timestamp, path: Option<PathIndex>, error: PathError, quoted: &[u8]) {
        // What tells requests apart stands after the header.
        let quoted = if self.envelope.is_some() { quoted.get(HEADER_LEN..).unwrap_or_default() } else { quoted };
        if self.active.is_open() {
            let path = path.or_else(|| self.quoted_path(quoted)).or_else(|| self.reach.only_path());
            self.attribute(now, path, error, quoted);
        }
    }

    /// A send took an error off the socket that is of something sent before on its path.
    #[cold]
    pub(super) fn on_earlier_error(&mut self, now: Timestamp, error: PathError) {
        let path = self.reach.named();
        self.attribute(now, Some(path), error, &[]);
    }

    fn attribute(&mut self, now: Timestamp, path: Option<PathIndex>, error: PathError, quoted: &[u8]) {
        let whose = match path.and_then(|path| self.outbox.lane_mut(path)) {
            Some(lane) if self.reach.is_several() && !lane.requests.has_left() => Whose::Earlier,
            Some(lane) => lane.requests.quoted(quoted, is_refusal(error)),
            None => Whose::Unknown,
        };
        if let Some(path) = path {
            self.reach.report(path, |report| report.last_error = Some(error));
        }
        let Self { active, destination, book, .. } = self;
        routed!(self, routing => active.on_path_error(destination, routing, now, Reported { path, error, whose }, book));
    }

    /// The path on which the present request was sent that is quoted, if that is one only.
    fn quoted_path(&mut self, quoted: &[u8]) -> Option<PathIndex> {
        if !self.reach.is_several() || quoted.is_empty() {
            return None;
        }
        let mut sent = self.outbox.lanes_mut().filter(|(_, lane)| lane.requests.has_sent(quoted)).map(|(path, _)| path);
        sent.next().filter(|_| sent.next().is_none())
    }
}
