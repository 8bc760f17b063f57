/// Why a datagram has no header that can be read: of [`RequestHeader::decode`](super::RequestHeader::decode) and
/// [`ReplyHeader::decode`](super::ReplyHeader::decode).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It has fewer bytes than a header.
    #[error("{len} bytes are too few for an envelope")]
    #[non_exhaustive]
    TooShort {
        /// Its bytes.
        len: usize,
    },
    /// It does not begin with the mark: the other end sends none.
    #[error("no envelope")]
    Missing,
    /// The other end speaks another version.
    #[error("an envelope of version {version}")]
    #[non_exhaustive]
    OtherVersion {
        /// Which.
        version: u8,
    },
    /// It is a request where a reply is expected, the reverse, or neither.
    #[error("an envelope of another kind, {kind}")]
    #[non_exhaustive]
    OtherKind {
        /// Which.
        kind: u8,
    },
    /// The number of the transmission is 0, which no end sends.
    #[error("an envelope without the number of a transmission")]
    NoTransmission,
    /// A reply that names no incarnation.
    #[error("an envelope without the incarnation of the server")]
    NoIncarnation,
}
