use core::ops::Range;

use super::{Identity, Match, ReplyMatcher};
use crate::entropy::Seed;

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
        // Byte by byte: an id is short, and a call of `memcmp` is not.
        Match::from(id.len() <= rest.len() && id.iter().zip(rest).all(|(id, byte)| id == byte))
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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

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
}
