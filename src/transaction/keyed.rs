use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use super::{Confirmed, Identity, Match, Matching, ReplyMatcher, TransactionId};
use crate::entropy::IdSource;

/// Finds, among thousands of requests in flight, the one that a datagram may answer: **the id finds, the judge decides**.
///
/// A request is known by its [`id`](ReplyMatcher::id), a datagram by the one that it repeats; where they are the same,
/// [`judge`](ReplyMatcher::judge) has the last word. So what finds may be coarse, and what decides is written once.
/// [`transaction_id`](crate::transaction_id) does all of it, with and without
/// [`confirmed_by`](TransactionId::confirmed_by); a closure becomes one by [`Matching::keyed_by`]. Ids have 1 to 16 bytes.
///
/// **An id of one or two bytes needs a judge that compares more**, such as the question of a DNS message: with thousands in
/// flight, a stranger who sends 65,536 datagrams hits every one of them.
///
/// [`any_reply`](crate::any_reply) is none: requests that share a port need something that tells their replies apart.
///
/// ```compile_fail
/// fn shares_a_socket(_: impl udp_retry::transaction::KeyedMatcher) {}
/// shares_a_socket(udp_retry::any_reply());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell the replies of requests that share a socket",
    label = "finds no request by its id",
    note = "use `transaction_id(range)`, or `matching(judge).keyed_by(id, reply_id)`; `any_reply()` needs a port for each request, as `ReliableRequester` gives it"
)]
pub trait KeyedMatcher: ReplyMatcher {
    /// The id that `datagram` repeats; `None` if it can answer nothing.
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]>;

    /// As [`judge`](ReplyMatcher::judge), of a datagram whose [`reply_id`](Self::reply_id) is the id of the request. Asks that by
    /// default; a matcher of which the id alone decides need compare nothing.
    fn judge_found(&self, request: &[u8], datagram: &[u8]) -> Match {
        self.judge(request, datagram)
    }

    /// Where requests hold the id that is stamped, if that is a fixed place and every byte of it is free; `None`, the default,
    /// otherwise. Ids of 8 bytes and more are then found without any search.
    fn stamped_at(&self) -> Option<Range<usize>> {
        None
    }
}

impl KeyedMatcher for TransactionId {
    #[inline]
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.id_in_reply(datagram)
    }

    #[inline]
    fn judge_found(&self, _request: &[u8], _datagram: &[u8]) -> Match {
        Match::Reply
    }

    fn stamped_at(&self) -> Option<Range<usize>> {
        self.stamped_range()
    }
}

impl<F: Fn(&[u8], &[u8]) -> bool> KeyedMatcher for Confirmed<F> {
    #[inline]
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.transaction_id().id_in_reply(datagram)
    }

    #[inline]
    fn judge_found(&self, request: &[u8], datagram: &[u8]) -> Match {
        Match::from(self.confirms(request, datagram))
    }

    fn stamped_at(&self) -> Option<Range<usize>> {
        self.transaction_id().stamped_range()
    }
}

macro_rules! a_keyed_matcher_behind {
    ($($pointer:ty),+) => {$(
        impl<M: KeyedMatcher + ?Sized> KeyedMatcher for $pointer {
            #[inline]
            fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
                (**self).reply_id(datagram)
            }

            #[inline]
            fn judge_found(&self, request: &[u8], datagram: &[u8]) -> Match {
                (**self).judge_found(request, datagram)
            }

            fn stamped_at(&self) -> Option<Range<usize>> {
                (**self).stamped_at()
            }
        }
    )+};
}

a_keyed_matcher_behind!(&M, Box<M>, Arc<M>);

impl<F> Matching<F> {
    /// Adds what finds a request among many: the id of a request, and the one that a datagram repeats, of at most 16 bytes
    /// each. Where they are the same, the closure decides.
    ///
    /// ```
    /// use udp_retry::transaction::{KeyedMatcher, ReplyMatcher, matching};
    ///
    /// // CoAP: byte 0 has the length of the token, which starts at byte 4 of both.
    /// let token = |message: &[u8]| (message.first().copied().unwrap_or_default() & 0x0f) as usize;
    /// let coap = matching(|request, datagram| request.len() >= 4 && datagram.len() >= 4).keyed_by(
    ///     move |request| request.get(4..4 + token(request)),
    ///     move |datagram| datagram.get(4..4 + token(datagram)),
    /// );
    /// assert_eq!(coap.id(b"\x42\x01\x00\x07idpath"), Some(&b"id"[..]));
    /// assert_eq!(coap.reply_id(b"\x62\x45\x00\x07id\xff5"), Some(&b"id"[..]));
    /// ```
    #[must_use]
    pub fn keyed_by<I, R>(self, id: I, reply_id: R) -> Keyed<F, I, R>
    where
        I: Fn(&[u8]) -> Option<&[u8]>,
        R: Fn(&[u8]) -> Option<&[u8]>,
    {
        Keyed { matching: self, id, reply_id }
    }
}

/// Matches by closures; made by [`Matching::keyed_by`].
#[derive(Clone, Copy)]
pub struct Keyed<F, I, R> {
    matching: Matching<F>,
    id: I,
    reply_id: R,
}

impl<F, I, R, V> ReplyMatcher for Keyed<F, I, R>
where
    F: Fn(&[u8], &[u8]) -> V,
    V: Into<Match>,
    I: Fn(&[u8]) -> Option<&[u8]>,
    R: Fn(&[u8]) -> Option<&[u8]>,
{
    /// The ids first, so that it is right for one request as for many.
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        match (self.id(request), self.reply_id(datagram)) {
            (Some(id), Some(repeated)) if id == repeated => self.matching.judge(request, datagram),
            _ => Match::Foreign,
        }
    }

    fn identity(&self, request: &[u8]) -> Identity {
        if self.id(request).is_some() { Identity::Content } else { Identity::Missing }
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        (self.id)(request).filter(|id| !id.is_empty())
    }

    fn stamps(&self) -> bool {
        false
    }

    fn stamp(&self, _request: &mut [u8], _ids: &mut IdSource) {}
}

impl<F, I, R, V> KeyedMatcher for Keyed<F, I, R>
where
    F: Fn(&[u8], &[u8]) -> V,
    V: Into<Match>,
    I: Fn(&[u8]) -> Option<&[u8]>,
    R: Fn(&[u8]) -> Option<&[u8]>,
{
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        (self.reply_id)(datagram).filter(|id| !id.is_empty())
    }
}

impl<F, I, R> fmt::Debug for Keyed<F, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::{matching, transaction_id};

    #[test]
    fn an_id_is_found_where_replies_hold_it() {
        let tracker = transaction_id(12..16).found_at(4).stamped();
        assert_eq!(tracker.reply_id(b"....id 7rest"), Some(&b"id 7"[..]));
        assert_eq!(tracker.reply_id(b"....id "), None);
        assert_eq!((tracker.stamped_at(), transaction_id(0..2).stamped_at()), (Some(12..16), None));
        let confirmed = tracker.clone().confirmed_by(|_, _| false);
        assert_eq!((confirmed.reply_id(b"....id 7"), confirmed.stamped_at()), (Some(&b"id 7"[..]), Some(12..16)));
    }

    #[test]
    fn what_finds_nothing_judges_nothing() {
        let keyed = matching(|_, _| true).keyed_by(|request| request.get(..2), |datagram| datagram.get(1..3));
        assert_eq!(keyed.judge(b"id..", b"-id"), Match::Reply);
        assert_eq!(keyed.judge(b"id..", b"-ix"), Match::Foreign);
        assert_eq!(keyed.judge(b"i", b"-i"), Match::Foreign);
        assert_eq!((keyed.identity(b"id"), keyed.identity(b"i")), (Identity::Content, Identity::Missing));
        let empty = matching(|_, _| true).keyed_by(|_| Some(&[]), |_| Some(&[]));
        assert_eq!((empty.id(b"id"), empty.reply_id(b"id"), empty.judge(b"", b"")), (None, None, Match::Foreign));
    }

    #[test]
    fn pointers_pass_every_method_on() {
        let matcher = transaction_id(0..2).stamped();
        let boxed: Box<dyn KeyedMatcher> = Box::new(matcher.clone());
        for one in [&boxed as &dyn KeyedMatcher, &&matcher, &Arc::new(matcher.clone())] {
            assert_eq!((one.reply_id(b"id.."), one.stamped_at()), (Some(&b"id"[..]), Some(0..2)));
            // Of those it would be told that the ids are the same, which no pointer but the matcher itself decides.
            assert_eq!((one.judge(b"id", b"xx"), one.judge_found(b"id", b"xx")), (Match::Foreign, Match::Reply));
        }
    }
}
