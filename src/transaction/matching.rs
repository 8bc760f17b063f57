use alloc::boxed::Box;

use super::Hold;
use crate::entropy::Seed;

/// Decides which datagram answers which request.
///
/// Without one, a reply that comes late or twice is taken for the next request's, and every reply after it is off
/// by one for ever. [`transaction_id`](super::transaction_id) covers the protocols that put an id into their messages, a closure over
/// request and datagram whatever else there is, and [`any_reply`] those without any id.
///
/// ```
/// use udp_retry::transaction::{Match, ReplyMatcher};
///
/// // The first byte is a message type, the rest a token that the reply repeats.
/// let same_token = |request: &[u8], datagram: &[u8]| {
///     match (request, datagram) {
///         ([_, token @ ..], [2, echoed @ ..]) if token == echoed => Match::Reply,
///         _ => Match::Foreign,
///     }
/// };
/// assert_eq!(same_token.judge(b"\x01abc", b"\x02abc"), Match::Reply);
/// assert_eq!(same_token.judge(b"\x01abc", b"\x02abd"), Match::Foreign);
/// ```
#[doc(alias = "correlation")]
pub trait ReplyMatcher {
    /// What `datagram` is to someone who sent `request`. Both are the whole payloads, but a datagram that was cut
    /// because it exceeded the receive buffer comes as far as it was received.
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match;

    /// By what replies to `request` are told from replies to others; by its content unless overridden.
    fn identity(&self, request: &[u8]) -> Identity {
        let _ = request;
        Identity::Content
    }

    /// Writes a fresh id into a request before it is sent for the first time; `ids` is another seed for every request.
    /// Nothing unless overridden: then the request has its id already.
    fn stamp(&self, request: &mut [u8], ids: Seed) {
        let _ = (request, ids);
    }
}

/// What a datagram is to a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every answer must be handled")]
pub enum Match {
    /// The reply to it, be it a good one or an error: the request is over.
    Reply,
    /// A sign that the reply is being worked on: retransmissions stop or slow down, the wait goes on.
    Provisional(Hold),
    /// Nothing to it: stale, malformed, forged or somebody else's. Counted, and without any effect.
    Foreign,
}

impl From<bool> for Match {
    /// `true` is [`Reply`](Self::Reply), so that a closure may return a comparison.
    fn from(is_reply: bool) -> Self {
        if is_reply { Self::Reply } else { Self::Foreign }
    }
}

/// By what the replies to one request are told from those to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every answer must be handled")]
pub enum Identity {
    /// By what they contain.
    Content,
    /// By the port that they are sent to, as they contain nothing that tells: every request needs a fresh one.
    Port,
    /// By nothing: the request lacks the id that its replies would repeat, so it cannot be sent.
    Missing,
}

impl<F, M> ReplyMatcher for F
where
    F: Fn(&[u8], &[u8]) -> M,
    M: Into<Match>,
{
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        self(request, datagram).into()
    }
}

impl ReplyMatcher for Box<dyn ReplyMatcher + Send> {
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        (**self).judge(request, datagram)
    }

    fn identity(&self, request: &[u8]) -> Identity {
        (**self).identity(request)
    }

    fn stamp(&self, request: &mut [u8], ids: Seed) {
        (**self).stamp(request, ids);
    }
}

/// Takes any datagram for the reply, for protocols whose messages carry no id.
///
/// So that a late or repeated reply to one request is never taken for the next one's, **every request leaves from
/// a fresh source port** (some 2 µs on Linux).
///
/// ```
/// use udp_retry::any_reply;
/// use udp_retry::transaction::{Identity, ReplyMatcher};
///
/// assert_eq!(any_reply().identity(b"time?"), Identity::Port);
/// ```
#[must_use]
pub fn any_reply() -> AnyReply {
    AnyReply { identity: Identity::Port }
}

/// Matches every datagram; made by [`any_reply`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AnyReply {
    identity: Identity,
}

impl AnyReply {
    /// Keeps one source port for all requests. Only for a path that neither delays nor duplicates, such as
    /// loopback or one cable: a single late reply makes every later one wrong.
    #[must_use]
    pub fn on_a_faithful_path(self) -> Self {
        Self { identity: Identity::Content }
    }
}

impl ReplyMatcher for AnyReply {
    fn judge(&self, _request: &[u8], _datagram: &[u8]) -> Match {
        Match::Reply
    }

    fn identity(&self, _request: &[u8]) -> Identity {
        self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::transaction_id;

    #[test]
    fn closures_may_judge_by_comparison() {
        let same_length = |request: &[u8], datagram: &[u8]| request.len() == datagram.len();
        assert_eq!(same_length.judge(b"ab", b"cd"), Match::Reply);
        assert_eq!(same_length.judge(b"ab", b"c"), Match::Foreign);
        assert_eq!(same_length.identity(b"ab"), Identity::Content);
    }

    #[test]
    fn matchers_can_be_chosen_at_run_time() {
        let matchers: [&dyn ReplyMatcher; 2] = [&transaction_id(0..1), &any_reply()];
        assert_eq!(matchers.map(|matcher| matcher.judge(b"a", b"b")), [Match::Foreign, Match::Reply]);
    }
}
