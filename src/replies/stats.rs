/// What a [`ReplyCache`](super::ReplyCache) has done since it was made. Verdicts first, one for each request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ReplyStats {
    /// Requests that were to be executed, also those that had been abandoned before.
    pub fresh: u64,
    /// Copies of a request that was being executed.
    pub in_progress: u64,
    /// Replies that were sent again.
    pub replayed: u64,
    /// Copies that were not answered as the reply was no longer there.
    pub replies_forgotten: u64,
    /// Copies that were not answered as the reply had been sent again often enough.
    pub replayed_often: u64,
    /// Requests that were refused as all entries were in use.
    pub refused: u64,
    /// Requests that were refused as their peer had used up its share.
    pub refused_of_peer: u64,
    /// Replies that were kept.
    pub kept: u64,
    /// Replies that exceeded all memory for them.
    pub too_large: u64,
    /// Replies that came after the lifetime of their request.
    pub late: u64,
    /// Replies to requests that had been forgotten for others meanwhile.
    pub forgotten: u64,
    /// Requests that were not executed after all.
    pub abandoned: u64,
    /// Requests that were forgotten for others within their lifetime, by [`WhenFull::Forget`](super::WhenFull::Forget).
    /// **Each may be executed again**: while this is 0 the promise holds.
    pub evicted_early: u64,
    /// Requests that are remembered now; of those whose lifetime has ended some may be counted yet.
    pub entries: u32,
}

/// What a [`Responder`](super::Responder) has done since it was made: one of these, or a verdict of its cache, for each
/// datagram.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ResponderStats {
    /// What its cache has done.
    pub replies: ReplyStats,
    /// Datagrams without a key.
    pub foreign: u64,
    /// Truncated datagrams.
    pub truncated: u64,
    /// Datagrams that came during the silence after the start.
    pub silent: u64,
    /// Answers that were not sent, as they exceeded their request too much.
    pub amplifying: u64,
    /// Datagrams without the envelope that requests must have.
    pub without_envelope: u64,
    /// Requests that no one waited for any more when they came, as their envelopes said.
    pub expired: u64,
    /// Requests that an earlier incarnation may have executed, which were answered "unknown" instead: they named that one, or none.
    pub unknown: u64,
    /// Of these, those that named none, while this incarnation was younger than the
    /// [lifetime](super::ReplyLimits::with_lifetime): what clients ask that no server has answered yet. It is no sign of a
    /// restart; each learns by the answer which incarnation to name, and asks once more at once.
    pub unnamed: u64,
}
