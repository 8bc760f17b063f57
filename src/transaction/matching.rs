use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use super::Hold;
use crate::entropy::IdSource;

/// Decides which datagram answers which request.
///
/// Without one, a reply that comes late or twice is taken for the next request's, and every reply after it is off
/// by one indefinitely. [`transaction_id`](crate::transaction_id) covers the protocols that put an id into their
/// messages, [`matching`] makes a matcher of a closure over request and datagram, and [`any_reply`] is for those
/// without any id. References, boxes and `Arc`s of matchers are matchers too.
///
/// One that stamps ids of its own kind implements [`id`](Self::id), [`stamps`](Self::stamps) and
/// [`stamp`](Self::stamp) together:
///
/// ```
/// use udp_retry::entropy::IdSource;
/// use udp_retry::transaction::{Match, ReplyMatcher};
///
/// /// RADIUS (RFC 2865): byte 1 is the identifier, which the reply repeats.
/// struct Radius;
///
/// impl ReplyMatcher for Radius {
///     fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
///         Match::from(request.get(1).is_some() && request.get(1) == datagram.get(1))
///     }
///
///     fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
///         request.get(1..2)
///     }
///
///     fn stamps(&self) -> bool {
///         true
///     }
///
///     fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
///         ids.fill(request.get_mut(1..2).unwrap_or_default());
///     }
/// }
///
/// assert_eq!(Radius.judge(b"\x01\x2a..", b"\x02\x2a.."), Match::Reply);
/// assert_eq!(Radius.id(b"\x01\x2a.."), Some(&b"\x2a"[..]));
/// ```
#[doc(alias = "correlation")]
pub trait ReplyMatcher {
    /// What `datagram` is to someone who sent `request`. Both are the whole payloads, but a datagram that was truncated
    /// because it exceeded the receive buffer comes as far as it was received.
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match;

    /// By what replies to `request` are told from replies to others; by its content by default.
    fn identity(&self, request: &[u8]) -> Identity {
        let _ = request;
        Identity::Content
    }

    /// The id of `request`, where its replies repeat one; `None`, the default, if there is none that could be compared.
    ///
    /// Of stamped requests it keeps the ids apart: see [`stamp`](Self::stamp).
    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        let _ = request;
        None
    }

    /// Whether [`stamp`](Self::stamp) writes ids; not by default. Then a source of unpredictable bytes is required.
    fn stamps(&self) -> bool {
        false
    }

    /// Writes a fresh id, from `ids`, into a request that is about to be sent for the first time; nothing by default:
    /// then the request has its id already.
    ///
    /// May be called more than once for one request: until its [`id`](Self::id) differs from those of earlier requests.
    /// The bytes written must depend on `ids` only, so that every build of one request gets the same id.
    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        let _ = (request, ids);
    }
}

/// What a datagram is to a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every answer must be handled")]
pub enum Match {
    /// The reply to it, be it a good one or an error: the request has ended.
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
#[non_exhaustive]
pub enum Identity {
    /// By what they contain.
    Content,
    /// By the port that they are sent to, as they contain nothing that could tell: every request needs a fresh one.
    Port,
    /// By nothing: the request lacks the id that its replies would repeat, so it cannot be sent.
    Missing,
}

/// Matches by a closure that is given the request and a datagram, and returns a [`Match`], or whether it is the reply.
///
/// For protocols whose ids move about, or whose replies are recognised by more than an id. Where there is an id at a
/// fixed place, [`transaction_id`](crate::transaction_id) with
/// [`confirmed_by`](super::TransactionId::confirmed_by) can stamp it too.
///
/// ```
/// use udp_retry::transaction::{Hold, Match, ReplyMatcher, matching};
///
/// // The first byte is a message type, the rest a token that the reply repeats.
/// let same_token = matching(|request, datagram| match (request, datagram) {
///     ([_, token @ ..], [2, echoed @ ..]) if token == echoed => Match::Reply,
///     ([_, token @ ..], [1, echoed @ ..]) if token == echoed => Match::Provisional(Hold::Stop),
///     _ => Match::Foreign,
/// });
/// assert_eq!(same_token.judge(b"\x00abc", b"\x02abc"), Match::Reply);
/// assert_eq!(same_token.judge(b"\x00abc", b"\x02abd"), Match::Foreign);
///
/// let same_length = matching(|request, datagram| request.len() == datagram.len());
/// assert_eq!(same_length.judge(b"ab", b"cd"), Match::Reply);
/// ```
#[must_use]
pub fn matching<F, M>(judge: F) -> Matching<F>
where
    F: Fn(&[u8], &[u8]) -> M,
    M: Into<Match>,
{
    Matching { judge }
}

/// Matches by a closure; made by [`matching`].
#[derive(Clone, Copy)]
pub struct Matching<F> {
    judge: F,
}

impl<F, M> ReplyMatcher for Matching<F>
where
    F: Fn(&[u8], &[u8]) -> M,
    M: Into<Match>,
{
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        (self.judge)(request, datagram).into()
    }
}

impl<F> fmt::Debug for Matching<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matching").finish_non_exhaustive()
    }
}

/// What a pointer leads to decides. All methods, also those with a default.
macro_rules! a_matcher_behind {
    ($($pointer:ty),+) => {$(
        impl<M: ReplyMatcher + ?Sized> ReplyMatcher for $pointer {
            #[inline]
            fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
                (**self).judge(request, datagram)
            }

            fn identity(&self, request: &[u8]) -> Identity {
                (**self).identity(request)
            }

            fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
                (**self).id(request)
            }

            fn stamps(&self) -> bool {
                (**self).stamps()
            }

            fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
                (**self).stamp(request, ids);
            }
        }
    )+};
}

a_matcher_behind!(&M, Box<M>, Arc<M>);

/// Takes any datagram for the reply, for protocols whose messages carry no id.
///
/// So that a late or repeated reply to one request is not taken for another one's, **every request leaves from a fresh
/// source port** (some 2 µs on Linux): never from one of the 8192 that were given up last, if the system has more. A reply
/// that is late by more requests than that meets its old port in use by chance: one in 20,000 does, of the 28,232 ports that
/// Linux has to give by default (34 of 588,000 were measured, late by 12,000 requests each). Where the system has fewer, a
/// port comes again after half of the others at the soonest.
///
/// At the very moment at which a port changes the system may be about to queue a datagram, which then comes out at the new one.
/// A socket of our own therefore makes way for another after a request that was not answered; one of the caller's does not.
///
/// A port of the caller's choice cannot change: then every request fails at once with
/// [`Failure::NoFreshPort`](crate::transaction::Failure::NoFreshPort).
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
    use crate::entropy::Seed;
    use crate::transaction::transaction_id;

    #[test]
    fn closures_may_judge_by_comparison_and_need_no_types() {
        let same_length = matching(|request, datagram| request.len() == datagram.len());
        assert_eq!(same_length.judge(b"ab", b"cd"), Match::Reply);
        assert_eq!(same_length.judge(b"ab", b"c"), Match::Foreign);
        assert_eq!(same_length.identity(b"ab"), Identity::Content);
        assert_eq!((same_length.id(b"ab"), same_length.stamps()), (None, false));
    }

    #[test]
    fn functions_and_closures_that_capture_are_matchers_by_the_same_call() {
        fn repeats(request: &[u8], datagram: &[u8]) -> bool {
            datagram.starts_with(request)
        }
        let most = [3];
        let short = move |_: &[u8], datagram: &[u8]| match datagram.len() <= most[0] {
            true => Match::Provisional(Hold::Slow),
            false => Match::Foreign,
        };
        assert_eq!(matching(repeats).judge(b"ab", b"abc"), Match::Reply);
        assert_eq!(matching(&short).judge(b"", b"abc"), Match::Provisional(Hold::Slow));
        assert_eq!(format!("{:?}", matching(short)), "Matching { .. }");
    }

    #[test]
    fn matchers_can_be_chosen_at_run_time() {
        let matchers: [&dyn ReplyMatcher; 2] = [&transaction_id(0..1), &any_reply()];
        assert_eq!(matchers.map(|matcher| matcher.judge(b"a", b"b")), [Match::Foreign, Match::Reply]);
    }

    #[test]
    fn a_pointer_to_a_matcher_hands_on_every_method() {
        fn holds(matcher: impl ReplyMatcher) {
            let (request, reply) = (*b"abcd", *b"..abcd");
            assert_eq!(matcher.judge(&request, &reply), Match::Reply);
            assert_eq!(matcher.judge(&request, b"..abc"), Match::Foreign);
            assert_eq!((matcher.identity(&request), matcher.identity(b"abc")), (Identity::Content, Identity::Missing));
            assert_eq!((matcher.id(&request), matcher.id(b"abc")), (Some(&request[..]), None));
            assert!(matcher.stamps());
            let mut stamped = request;
            matcher.stamp(&mut stamped, &mut IdSource::from_seed(Seed::new(1)));
            let mut drawn = [0; 4];
            IdSource::from_seed(Seed::new(1)).fill(&mut drawn);
            assert_eq!(stamped, drawn);
        }
        let matcher = transaction_id(0..4).found_at(2).stamped();
        holds(&matcher);
        holds(Box::new(matcher.clone()));
        holds(Arc::new(matcher.clone()));
        holds(Box::new(matcher.clone()) as Box<dyn ReplyMatcher>);
        holds(Arc::new(matcher.clone()) as Arc<dyn ReplyMatcher + Send + Sync>);
        holds(&matcher as &dyn ReplyMatcher);
        holds(Box::new(Arc::new(matcher)) as Box<dyn ReplyMatcher + Send>);
    }
}
