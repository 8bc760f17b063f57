use alloc::boxed::Box;
use core::ops::Range;

use super::Hold;
use crate::entropy::Seed;

/// Decides which datagram answers which request.
///
/// Without one, a reply that comes late or twice is taken for the next request's, and every reply after it is off
/// by one for ever. [`transaction_id`] covers the protocols that put an id into their messages, a closure over
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
#[non_exhaustive]
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
    #[inline]
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        (**self).judge(request, datagram)
    }

    #[inline]
    fn identity(&self, request: &[u8]) -> Identity {
        (**self).identity(request)
    }

    #[inline]
    fn stamp(&self, request: &mut [u8], ids: Seed) {
        (**self).stamp(request, ids);
    }
}

/// Matches replies that repeat these bytes of the request, at the same place.
///
/// DNS `0..2`, STUN `4..20`, ONC RPC `0..4`. Where the id moves between request and reply, add
/// [`found_at`](TransactionId::found_at): BitTorrent trackers have it at `12..16` and repeat it at 4, SNTP at `40..48` and
/// at 24. Where it moves with the lengths of other fields, as in SNMP, a closure is needed.
///
/// The id must be unpredictable and fresh for each request, or late replies and forgeries match;
/// [`stamped`](TransactionId::stamped) sees to that.
///
/// A request too short to hold the bytes cannot be sent ([`Identity::Missing`]), nor any request if the range is
/// empty or reversed.
///
/// ```
/// use udp_retry::transaction::{Match, ReplyMatcher};
/// use udp_retry::transaction_id;
///
/// let ntp = transaction_id(40..48).found_at(24);
/// let request = [7; 48];
/// let mut reply = [0; 48];
/// assert_eq!(ntp.judge(&request, &reply), Match::Foreign);
/// reply[24..32].fill(7);
/// assert_eq!(ntp.judge(&request, &reply), Match::Reply);
/// ```
#[must_use]
pub fn transaction_id(range: Range<usize>) -> TransactionId {
    TransactionId { found_at: range.start, range, stamped: false }
}

/// Matches by an id at a fixed place; made by [`transaction_id`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TransactionId {
    /// Where requests hold it.
    range: Range<usize>,
    /// Where replies hold it.
    found_at: usize,
    /// Whether the requester writes it.
    stamped: bool,
}

impl TransactionId {
    /// Replies hold the id at this offset instead: 24 for NTP, which copies bytes 40 to 48 there.
    #[must_use]
    pub fn found_at(self, offset: usize) -> Self {
        Self { found_at: offset, ..self }
    }

    /// The id is written for the caller, over whatever bytes the request has there: unpredictable, a new one for each
    /// request, and the same in all its transmissions. It follows from the requester's seed, which the operating system
    /// draws unless told.
    ///
    /// An id of two bytes, as DNS has it, can be guessed in 65,536 tries and repeats itself as often.
    ///
    /// ```
    /// use udp_retry::transaction::Transaction;
    /// use udp_retry::time::Timestamp;
    /// use udp_retry::{RetryPolicy, transaction_id};
    ///
    /// let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4).stamped());
    /// transaction.start(b"....ping", Timestamp::ZERO, 42);
    /// let first = transaction.datagram().to_vec();
    /// assert!(first.ends_with(b"ping") && !first.starts_with(b"...."));
    /// transaction.start(b"....ping", Timestamp::ZERO, 43);
    /// assert_ne!(transaction.datagram(), first);
    /// ```
    #[must_use]
    pub fn stamped(self) -> Self {
        Self { stamped: true, ..self }
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        request.get(self.range.clone()).filter(|id| !id.is_empty())
    }
}

impl ReplyMatcher for TransactionId {
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        let (Some(id), Some(rest)) = (self.id(request), datagram.get(self.found_at..)) else { return Match::Foreign };
        Match::from(rest.get(..id.len()).is_some_and(|echoed| same(id, echoed)))
    }

    fn identity(&self, request: &[u8]) -> Identity {
        if self.id(request).is_some() { Identity::Content } else { Identity::Missing }
    }

    fn stamp(&self, request: &mut [u8], ids: Seed) {
        let id = request.get_mut(self.range.clone()).filter(|_| self.stamped);
        for (n, bytes) in (0..).zip(id.unwrap_or_default().chunks_mut(8)) {
            let draw = ids.draw(n).to_be_bytes();
            for (byte, fresh) in bytes.iter_mut().zip(draw) {
                *byte = fresh;
            }
        }
    }
}

/// Whether two ids of one length are the same. The usual lengths are compared as numbers: a call of `memcmp` costs more
/// than all the rest of the judging.
#[inline]
fn same(id: &[u8], echoed: &[u8]) -> bool {
    match (id, echoed) {
        (&[a, b], &[x, y]) => [a, b] == [x, y],
        (&[a, b, c, d], &[w, x, y, z]) => [a, b, c, d] == [w, x, y, z],
        _ => id == echoed,
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

    #[test]
    fn an_id_matches_only_where_it_belongs_and_whole() {
        let dns = transaction_id(0..2);
        assert_eq!(dns.judge(b"\x12\x34rest", b"\x12\x34anything"), Match::Reply);
        assert_eq!(dns.judge(b"\x12\x34rest", b"\x12\x34"), Match::Reply);
        for datagram in [&b""[..], b"\x12", b"\x12\x35", b"\x34\x12", b"x\x12\x34"] {
            assert_eq!(dns.judge(b"\x12\x34rest", datagram), Match::Foreign, "{datagram:?}");
        }
    }

    #[test]
    fn a_request_without_the_id_matches_nothing_and_is_called_so() {
        let matcher = transaction_id(4..8);
        for request in [&b""[..], b"1234", b"1234567"] {
            assert_eq!(matcher.identity(request), Identity::Missing);
            assert_eq!(matcher.judge(request, request), Match::Foreign);
        }
        assert_eq!(matcher.identity(b"12345678"), Identity::Content);
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "the very mistake under test")]
    fn empty_reversed_and_endless_ranges_identify_nothing() {
        for range in [0..0, 3..3, 5..2, usize::MAX..usize::MAX, 0..usize::MAX] {
            let matcher = transaction_id(range);
            assert_eq!(matcher.identity(b"12345678"), Identity::Missing);
            assert_eq!(matcher.judge(b"12345678", b"12345678"), Match::Foreign);
        }
        let beyond = transaction_id(0..4).found_at(usize::MAX);
        assert_eq!(beyond.judge(b"12345678", b"12345678"), Match::Foreign);
    }

    #[test]
    fn a_stamp_is_fresh_for_every_seed_and_touches_the_id_only() {
        let matcher = transaction_id(2..14).stamped();
        let stamp = |seed| {
            let mut request = [7; 20];
            matcher.stamp(&mut request, Seed::new(seed));
            request
        };
        let mut ones = [0_u32; 96];
        for seed in 0..10_000 {
            let request = stamp(seed);
            assert_eq!((&request[..2], &request[14..]), (&[7; 2][..], &[7; 6][..]));
            assert_eq!((matcher.judge(&request, &request), request), (Match::Reply, stamp(seed)));
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(request[2 + bit / 8] >> (bit % 8) & 1);
            }
        }
        // 6 sigma of a fair coin thrown 10,000 times is 300.
        assert!(ones.iter().all(|ones| ones.abs_diff(5_000) <= 300), "{ones:?}");
        let mut ids: Vec<_> = (0..10_000).map(stamp).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "a mistake that must do nothing")]
    fn nothing_is_stamped_where_there_is_no_room_or_nobody_asked() {
        for range in [0..4, 2..9, 5..2, 3..3, 0..usize::MAX] {
            let (asked, unasked) = (transaction_id(range.clone()).stamped(), transaction_id(range));
            for len in 0..4 {
                let mut request = vec![7; len];
                asked.stamp(&mut request, Seed::new(1));
                assert_eq!(request, vec![7; len]);
            }
            let mut request = [7; 16];
            unasked.stamp(&mut request, Seed::new(1));
            assert_eq!(request, [7; 16]);
        }
        let boxed: Box<dyn ReplyMatcher + Send> = Box::new(transaction_id(0..4).found_at(8).stamped());
        let mut request = [7; 4];
        boxed.stamp(&mut request, Seed::new(1));
        assert_eq!(request, Seed::new(1).draw(0).to_be_bytes()[..4]);
    }

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
