use super::entries::Ms;

/// What a [`ReplyCache`](super::ReplyCache) says of a request. Only a [`Fresh`](Self::Fresh) one may be executed.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a server must handle every verdict")]
pub enum Verdict<'c> {
    /// It is new: execute it, and report what came of it with the ticket.
    Fresh(Ticket),
    /// A copy of it is being executed.
    InProgress,
    /// It was executed, and this was the reply.
    Replay(&'c [u8]),
    /// It was executed, and the reply had to make place for others, or was too large to be kept.
    ReplyForgotten,
    /// It was executed, and the reply was sent again as often as the limits allow.
    ReplayedOften,
    /// It is new, and there is no place to remember it.
    Busy(Busy),
}

/// What there is no place for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Busy {
    /// As many requests are remembered as the limits allow.
    Full,
    /// As many requests of this peer are remembered as the limits allow one.
    Peer,
}

/// The place of a request that is to be executed, in the cache that gave it out. One that is dropped leaves the request in
/// progress, so that no copy of it is executed.
#[derive(PartialEq, Eq, Hash, Debug)]
#[must_use = "a request stays in progress until its reply is kept, or it is abandoned"]
pub struct Ticket {
    /// Which request, from the first that the cache has remembered.
    pub(super) number: u64,
    pub(super) arrived: Ms,
    /// A ticket of another cache is none of this one.
    pub(super) check: u64,
}

/// What became of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a server must handle every outcome")]
pub enum Kept {
    /// It answers the copies that still come.
    Kept,
    /// It exceeds all memory for replies: the request is remembered, the reply is not.
    TooLarge,
    /// The lifetime of the request has ended: no one waits for it any more.
    Late,
    /// The request was forgotten for others, by [`WhenFull::Forget`](super::WhenFull::Forget). The reply may be awaited yet.
    Forgotten,
}
