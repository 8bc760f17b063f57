use core::fmt;
use core::ops::Range;

use super::{Identity, Match, ReplyMatcher};
use crate::entropy::IdSource;

/// Matches replies that repeat these bytes of the request, at the same place.
///
/// DNS `0..2`, STUN `4..20`, ONC RPC `0..4`. Where the id moves between request and reply, add
/// [`found_at`](TransactionId::found_at): BitTorrent trackers have it at `12..16` and repeat it at 4, SNTP at `40..48` and
/// at 24. Where it moves with the lengths of other fields, as in SNMP, a closure is needed:
/// [`matching`](super::matching).
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
    /// request, and the same in all its transmissions.
    ///
    /// It comes from an [`IdSource`], which a requester keys from the operating system, unless the caller set a seed:
    /// then the ids are as repeatable as everything else, and no secret. A process that forks makes its requester in the
    /// child: [`IdSource`] says why.
    ///
    /// An id differs from those of earlier requests that the requester has in memory. An id of one or two bytes rests
    /// for two minutes after use; when all rest, the request leaves from a fresh port. An id of two bytes, as DNS has
    /// it, can still be guessed in 65,536 tries.
    ///
    /// ```
    /// use udp_retry::entropy::IdSource;
    /// use udp_retry::time::Timestamp;
    /// use udp_retry::transaction::Transaction;
    /// use udp_retry::{RetryPolicy, Seed, transaction_id};
    ///
    /// let ids = IdSource::from_seed(Seed::new(7)); // of a test; else from_key
    /// let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4).stamped()).with_ids(ids);
    /// transaction.start(b"....ping", Timestamp::ZERO, Seed::new(42));
    /// let first = transaction.datagram().to_vec();
    /// assert!(first.ends_with(b"ping") && !first.starts_with(b"...."));
    /// transaction.start(b"....ping", Timestamp::ZERO, Seed::new(42));
    /// assert_ne!(transaction.datagram(), first);
    /// ```
    #[must_use]
    pub fn stamped(self) -> Self {
        Self { stamped: true, ..self }
    }

    /// A datagram with the right id is the reply only if this closure, which is given request and datagram, agrees.
    /// Everything else stays: where the id is and whether it is stamped.
    ///
    /// ```
    /// use udp_retry::transaction::{Match, ReplyMatcher};
    /// use udp_retry::transaction_id;
    ///
    /// // DNS: besides the id, a response repeats the question (RFC 5452, section 9.1), which follows the header of 12
    /// // bytes and is all that the query has. Bit 7 of byte 2 says that it is a response.
    /// let dns = transaction_id(0..2).stamped().confirmed_by(|query, response| {
    ///     let question = query.get(12..).unwrap_or_default();
    ///     response.get(2).is_some_and(|flags| flags & 0x80 != 0)
    ///         && response.get(12..).is_some_and(|rest| rest.starts_with(question))
    /// });
    /// let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";
    /// let mut response = *query;
    /// response[2] |= 0x80;
    /// assert_eq!(dns.judge(query, &response), Match::Reply);
    /// response[13] = b'b'; // the answer to another question
    /// assert_eq!(dns.judge(query, &response), Match::Foreign);
    /// ```
    #[must_use]
    pub fn confirmed_by<F>(self, confirm: F) -> Confirmed<F>
    where
        F: Fn(&[u8], &[u8]) -> bool,
    {
        Confirmed { id: self, confirm }
    }

    /// The id of a request; `None` if it is too short to hold one, or if the range is empty.
    ///
    /// ```
    /// use udp_retry::transaction_id;
    ///
    /// assert_eq!(transaction_id(1..3).id(b"?id!"), Some(&b"id"[..]));
    /// assert_eq!(transaction_id(1..3).id(b"?i"), None);
    /// ```
    #[inline]
    #[must_use]
    pub fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        request.get(self.range.clone()).filter(|id| !id.is_empty())
    }

    /// The id that a datagram repeats, if it is long enough for one.
    #[inline]
    pub(super) fn id_in_reply<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        datagram.get(self.found_at..)?.get(..self.range.len()).filter(|id| !id.is_empty())
    }

    /// Where the id is written, if it is.
    pub(super) fn stamped_range(&self) -> Option<Range<usize>> {
        self.stamped.then(|| self.range.clone())
    }
}

impl ReplyMatcher for TransactionId {
    #[inline]
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        let (Some(id), Some(rest)) = (self.id(request), datagram.get(self.found_at..)) else { return Match::Foreign };
        Match::from(rest.get(..id.len()).is_some_and(|echoed| same(id, echoed)))
    }

    fn identity(&self, request: &[u8]) -> Identity {
        if self.id(request).is_some() { Identity::Content } else { Identity::Missing }
    }

    #[inline]
    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        self.id(request)
    }

    fn stamps(&self) -> bool {
        self.stamped
    }

    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        if let Some(id) = request.get_mut(self.range.clone()).filter(|_| self.stamped) {
            ids.fill(id);
        }
    }
}

/// Matches by an id and what a closure says; made by [`TransactionId::confirmed_by`].
#[derive(Clone)]
pub struct Confirmed<F> {
    id: TransactionId,
    confirm: F,
}

impl<F> Confirmed<F> {
    #[inline]
    pub(super) fn confirms(&self, request: &[u8], datagram: &[u8]) -> bool
    where
        F: Fn(&[u8], &[u8]) -> bool,
    {
        (self.confirm)(request, datagram)
    }

    /// What finds; the closure only confirms.
    #[inline]
    pub(super) fn transaction_id(&self) -> &TransactionId {
        &self.id
    }
}

impl<F: Fn(&[u8], &[u8]) -> bool> ReplyMatcher for Confirmed<F> {
    /// The id first: it is the cheaper, and spares the closure what strangers send.
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        Match::from(self.id.judge(request, datagram) == Match::Reply && (self.confirm)(request, datagram))
    }

    fn identity(&self, request: &[u8]) -> Identity {
        self.id.identity(request)
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        self.id.id(request)
    }

    fn stamps(&self) -> bool {
        self.id.stamps()
    }

    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        self.id.stamp(request, ids);
    }
}

impl<F> fmt::Debug for Confirmed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmed").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether two ids of one length are the same. The usual lengths are compared as numbers: a call of `memcmp` costs more
/// than all the rest of the judging.
#[inline]
pub(super) fn same(id: &[u8], echoed: &[u8]) -> bool {
    match (id, echoed) {
        (&[a, b], &[x, y]) => [a, b] == [x, y],
        (&[a, b, c, d], &[w, x, y, z]) => [a, b, c, d] == [w, x, y, z],
        _ => match (<[u8; 8]>::try_from(id), <[u8; 8]>::try_from(echoed)) {
            (Ok(id), Ok(echoed)) => id == echoed,
            _ => id == echoed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

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
    fn a_stamp_is_fresh_each_time_and_touches_the_id_only() {
        let matcher = transaction_id(2..14).stamped();
        let ids = &mut IdSource::from_seed(Seed::new(1));
        let mut stamp = || {
            let mut request = [7; 20];
            matcher.stamp(&mut request, ids);
            request
        };
        let mut ones = [0_u32; 96];
        let mut stamped: Vec<_> = (0..10_000).map(|_| stamp()).collect();
        for request in &stamped {
            assert_eq!((&request[..2], &request[14..]), (&[7; 2][..], &[7; 6][..]));
            assert_eq!(matcher.judge(request, request), Match::Reply);
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(request[2 + bit / 8] >> (bit % 8) & 1);
            }
        }
        // 6 sigma of a fair coin thrown 10,000 times is 300.
        assert!(ones.iter().all(|ones| ones.abs_diff(5_000) <= 300), "{ones:?}");
        stamped.sort_unstable();
        stamped.dedup();
        assert_eq!(stamped.len(), 10_000);
    }

    #[test]
    fn a_stamp_follows_from_the_source_alone() {
        let matcher = transaction_id(2..14).stamped();
        for seed in (0..10_000).map(Seed::new) {
            let mut requests = [[7; 20], [8; 20]];
            requests.iter_mut().for_each(|request| matcher.stamp(request, &mut IdSource::from_seed(seed)));
            assert_eq!(matcher.id(&requests[0]), matcher.id(&requests[1]));
        }
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "a mistake that must do nothing")]
    fn nothing_is_stamped_where_there_is_no_room_or_no_one_asked() {
        let ids = &mut IdSource::from_seed(Seed::new(1));
        for range in [0..4, 2..9, 5..2, 3..3, 0..usize::MAX] {
            let (asked, unasked) = (transaction_id(range.clone()).stamped(), transaction_id(range));
            assert_eq!((asked.stamps(), unasked.stamps()), (true, false));
            for len in 0..4 {
                let mut request = vec![7; len];
                asked.stamp(&mut request, ids);
                assert_eq!(request, vec![7; len]);
            }
            let mut request = [7; 16];
            unasked.stamp(&mut request, ids);
            assert_eq!(request, [7; 16]);
        }
        assert_eq!(ids.position(), 0, "drawn in vain");
    }

    #[test]
    fn the_id_finds_and_the_closure_confirms() {
        let matcher = transaction_id(0..2).found_at(1).stamped().confirmed_by(|request, datagram| {
            assert_eq!(&request[..2], &datagram[1..3], "asked of a stranger's datagram");
            datagram[3..] == request[2..]
        });
        assert_eq!(matcher.judge(b"idask", b"-idask"), Match::Reply);
        assert_eq!(matcher.judge(b"idask", b"-idother"), Match::Foreign);
        assert_eq!(matcher.judge(b"idask", b"-xdask"), Match::Foreign);
        assert_eq!((matcher.identity(b"id"), matcher.identity(b"i")), (Identity::Content, Identity::Missing));
        assert_eq!((matcher.id(b"idask"), matcher.id(b"i"), matcher.stamps()), (Some(&b"id"[..]), None, true));
        let mut request = *b"..ask";
        matcher.stamp(&mut request, &mut IdSource::pattern(*b"id"));
        assert_eq!(&request, b"idask");
        assert_eq!(
            format!("{matcher:?}"),
            "Confirmed { id: TransactionId { range: 0..2, found_at: 1, stamped: true }, .. }"
        );
    }
}
