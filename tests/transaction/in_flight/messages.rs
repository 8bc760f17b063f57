//! How requests and replies look, and matchers of every kind for them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use udp_retry::entropy::IdSource;
use udp_retry::transaction::{Hold, Identity, KeyedMatcher, Match, ReplyMatcher, TransactionId, transaction_id};

/// `[filler][id][kind][question][padding]`; the filler of replies has a length of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) id_at: usize,
    pub(super) found_at: usize,
    pub(super) width: usize,
}

pub(super) const REPLY: u8 = b'R';
pub(super) const STOP: u8 = b'S';
pub(super) const SLOW: u8 = b'L';

impl Format {
    pub(super) fn request(self, id: &[u8], question: u32, padding: usize) -> Vec<u8> {
        assert_eq!(id.len(), self.width);
        [&vec![b'.'; self.id_at][..], id, b"?", &question.to_be_bytes(), &vec![b'p'; padding]].concat()
    }

    /// What a server that received `request` answers.
    pub(super) fn answer(self, request: &[u8], kind: u8) -> Vec<u8> {
        let rest = &request[self.id_at..];
        let (id, question) = (&rest[..self.width], &rest[self.width + 1..][..4]);
        [&vec![b':'; self.found_at][..], id, &[kind], question, b"answer"].concat()
    }

    pub(super) fn range(self) -> Range<usize> {
        self.id_at..self.id_at + self.width
    }

    pub(super) fn id_of(self, request: &[u8]) -> Option<&[u8]> {
        request.get(self.range())
    }

    pub(super) fn id_in(self, datagram: &[u8]) -> Option<&[u8]> {
        datagram.get(self.found_at..self.found_at + self.width)
    }

    pub(super) fn transaction_id(self) -> TransactionId {
        transaction_id(self.range()).found_at(self.found_at)
    }

    /// Whether a datagram with the right id answers the question, too.
    pub(super) fn confirms(self, request: &[u8], datagram: &[u8]) -> bool {
        let asked = request.get(self.id_at + self.width + 1..).and_then(|rest| rest.get(..4));
        asked.is_some() && asked == datagram.get(self.found_at + self.width + 1..).and_then(|rest| rest.get(..4))
    }

    pub(super) fn judge(self, request: &[u8], datagram: &[u8]) -> Match {
        let same_id = self.id_of(request).is_some() && self.id_of(request) == self.id_in(datagram);
        match datagram.get(self.found_at + self.width) {
            _ if !same_id || !self.confirms(request, datagram) => Match::Foreign,
            Some(&REPLY) => Match::Reply,
            Some(&STOP) => Match::Provisional(Hold::Stop),
            Some(&SLOW) => Match::Provisional(Hold::Slow),
            _ => Match::Foreign,
        }
    }
}

/// Ids that are stamped, and answers of every kind.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    format: Format,
    id: TransactionId,
}

impl Stamped {
    pub(super) fn new(format: Format) -> Self {
        Self { format, id: format.transaction_id().stamped() }
    }
}

impl ReplyMatcher for Stamped {
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        self.format.judge(request, datagram)
    }

    fn identity(&self, request: &[u8]) -> Identity {
        self.id.identity(request)
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        self.id.id(request)
    }

    fn stamps(&self) -> bool {
        true
    }

    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        self.id.stamp(request, ids);
    }
}

impl KeyedMatcher for Stamped {
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.id.reply_id(datagram)
    }

    fn stamped_at(&self) -> Option<Range<usize>> {
        self.id.stamped_at()
    }
}

/// The same matcher for one whose requests are stamped already.
pub(super) struct Judge<M>(pub(super) Arc<M>);

impl<M: ReplyMatcher> ReplyMatcher for Judge<M> {
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        self.0.judge(request, datagram)
    }
}

impl<M> fmt::Debug for Judge<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}
