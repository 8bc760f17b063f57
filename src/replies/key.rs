use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;

/// How the copies of one request are told from other requests: by a key that they have in common.
///
/// | what requests have | key |
/// |---|---|
/// | an id at a fixed place | [`same_id`] |
/// | nothing that makes them differ | [`same_bytes`] |
/// | anything else | [`keyed_by`], with a closure |
pub trait DuplicateKey {
    /// The key of a request, or `None` if this is no request of ours: such a datagram is not executed.
    fn key<'r>(&self, peer: SocketAddr, request: &'r [u8]) -> Option<RequestKey<'r>>;
}

/// What copies of one request have in common: the peer that it came from, and bytes of it.
///
/// Two keys are the same if their peers and each of their bytes are. The peer is address **and** port: a client that
/// asks again from another port asks anew, and two clients behind one address are two.
///
/// ```
/// use udp_retry::replies::RequestKey;
///
/// let peer = "192.0.2.1:700".parse()?;
/// assert_eq!(RequestKey::new(peer, b"id").and(b"auth"), RequestKey::new(peer, b"id").and(b"auth"));
/// assert_ne!(RequestKey::new(peer, b"id").and(b"auth"), RequestKey::new(peer, b"ida").and(b"uth"));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestKey<'r> {
    pub(super) peer: SocketAddr,
    pub(super) any_peer: bool,
    pub(super) id: &'r [u8],
    pub(super) besides: &'r [u8],
}

impl<'r> RequestKey<'r> {
    /// The key of this peer and this id.
    #[must_use]
    pub const fn new(peer: SocketAddr, id: &'r [u8]) -> Self {
        Self { peer, any_peer: false, id, besides: &[] }
    }

    /// Also these bytes; a second call takes the place of the first.
    #[must_use]
    pub const fn and(self, besides: &'r [u8]) -> Self {
        Self { besides, ..self }
    }

    /// The same request from whatever peer it comes: for ids that no two clients have in common by chance, 64 random bits
    /// at least. A client whose address changes asks the same request then, and **anyone who sees an id can fetch the
    /// reply**.
    #[must_use]
    pub const fn from_any_peer(self) -> Self {
        Self { any_peer: true, ..self }
    }
}

/// Requests are the same if these bytes and their peers are: `0..2` for DNS, `2..4` for CoAP, `4..20` for STUN, `0..4` for
/// ONC RPC.
///
/// A request that is too short to hold the bytes, and every one if the range is empty or reversed, is no request of ours.
///
/// ```
/// use udp_retry::replies::{DuplicateKey, same_id};
///
/// let peer = "192.0.2.1:700".parse()?;
/// // RADIUS: the identifier and, as it repeats after 256 requests, the authenticator (RFC 5080 §2.2.2).
/// let radius = same_id(1..2).and(4..20);
/// assert!(radius.key(peer, &[0; 20]).is_some());
/// assert!(radius.key(peer, &[0; 19]).is_none());
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[must_use]
pub const fn same_id(range: Range<usize>) -> SameId {
    SameId { range, besides: None, any_peer: false }
}

/// Recognises copies by an id at a fixed place; made by [`same_id`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SameId {
    range: Range<usize>,
    besides: Option<Range<usize>>,
    any_peer: bool,
}

impl SameId {
    /// These bytes have to be the same, too: for ids that are used again soon. A second call takes the place of the first;
    /// more are for [`keyed_by`].
    #[must_use]
    pub fn and(self, range: Range<usize>) -> Self {
        Self { besides: Some(range), ..self }
    }

    /// The same id is the same request from whatever peer it comes, as [`RequestKey::from_any_peer`] has it: a client
    /// behind a NAT that gives it another port, or one that roams, is not executed again.
    #[must_use]
    pub fn from_any_peer(self) -> Self {
        Self { any_peer: true, ..self }
    }
}

impl DuplicateKey for SameId {
    #[inline]
    fn key<'r>(&self, peer: SocketAddr, request: &'r [u8]) -> Option<RequestKey<'r>> {
        let bytes = |range: &Range<usize>| request.get(range.clone()).filter(|bytes| !bytes.is_empty());
        let besides = match &self.besides {
            Some(range) => bytes(range)?,
            None => &[],
        };
        Some(RequestKey { peer, any_peer: self.any_peer, id: bytes(&self.range)?, besides })
    }
}

/// Requests are the same if all their bytes and their peers are.
///
/// For protocols without ids. A client that asks the same thing twice gets the first reply again for the whole lifetime,
/// and one that builds its retransmissions anew, with another time in them, is executed for each.
#[must_use]
pub const fn same_bytes() -> SameBytes {
    SameBytes(())
}

/// Recognises copies by all their bytes; made by [`same_bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SameBytes(());

impl DuplicateKey for SameBytes {
    #[inline]
    fn key<'r>(&self, peer: SocketAddr, request: &'r [u8]) -> Option<RequestKey<'r>> {
        Some(RequestKey::new(peer, request))
    }
}

/// Recognises copies by the key that a closure makes of peer and request; `None` is no request of ours.
///
/// ```
/// use udp_retry::replies::{DuplicateKey, RequestKey, keyed_by};
///
/// // The first byte is the length of a token that follows.
/// let by_token = keyed_by(|peer, request| {
///     let (&len, rest) = request.split_first()?;
///     Some(RequestKey::new(peer, rest.get(..len.into())?))
/// });
/// let peer = "192.0.2.1:700".parse()?;
/// assert_eq!(by_token.key(peer, b"\x02abc"), by_token.key(peer, b"\x02abd"));
/// assert_eq!(by_token.key(peer, b"\x02a"), None);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[must_use]
pub const fn keyed_by<F>(key: F) -> KeyedBy<F>
where
    F: for<'r> Fn(SocketAddr, &'r [u8]) -> Option<RequestKey<'r>>,
{
    KeyedBy(key)
}

/// Recognises copies by a closure; made by [`keyed_by`].
#[derive(Clone, Copy)]
pub struct KeyedBy<F>(F);

impl<F> fmt::Debug for KeyedBy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBy").finish_non_exhaustive()
    }
}

impl<F> DuplicateKey for KeyedBy<F>
where
    F: for<'r> Fn(SocketAddr, &'r [u8]) -> Option<RequestKey<'r>>,
{
    #[inline]
    fn key<'r>(&self, peer: SocketAddr, request: &'r [u8]) -> Option<RequestKey<'r>> {
        (self.0)(peer, request)
    }
}
