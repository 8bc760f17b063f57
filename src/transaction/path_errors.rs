//! Errors of what was sent earlier, and whose they are.

use super::active_request::Whose;
use super::conclusion::is_refusal;
use super::{ReplyMatcher, Transaction};
use crate::time::Timestamp;
use crate::transport::PathError;

impl<M: ReplyMatcher> Transaction<M> {
    /// Records an error that the path returned for a datagram sent earlier (on a connected socket: a pending ICMP
    /// error). It ends the request only if [`OnUnreachable`](super::OnUnreachable) says so.
    ///
    /// It may be of any datagram sent before. Those of earlier requests that nothing has settled yet are taken to be
    /// refused first; [`on_quoted_error`](Self::on_quoted_error) need not guess.
    #[cold]
    pub fn on_path_error(&mut self, now: Timestamp, error: PathError) {
        self.on_quoted_error(now, error, &[]);
    }

    /// As [`on_path_error`](Self::on_path_error), with the datagram that met the error or its beginning, as far as the
    /// system [quotes](crate::transport::Incoming::PathError) it; nothing where it does not.
    ///
    /// Where it quotes a request of this transaction, the error is of that one, once for each of its transmissions. Where it
    /// quotes anything else, it is of an earlier request: recorded, and no reason for
    /// [`OnUnreachable`](super::OnUnreachable) or [`Failure::Refused`](super::Failure::Refused). Bytes that this request
    /// and one of the latest before have in common quote neither.
    #[cold]
    pub fn on_quoted_error(&mut self, now: Timestamp, error: PathError, quoted: &[u8]) {
        if self.active.is_open() {
            let whose = self.requests.quoted(quoted, is_refusal(error));
            self.active.on_path_error(&self.destination, &mut self.path, now, error, whose, &mut self.book);
        }
    }

    /// A send took an error off the socket that is of something sent before.
    #[cold]
    pub(super) fn on_earlier_error(&mut self, now: Timestamp, error: PathError) {
        self.active.on_path_error(&self.destination, &mut self.path, now, error, Whose::Unknown, &mut self.book);
    }
}
