//! Requests with an id of eight bytes, stamped or the caller's, and answers of every kind.

use std::ops::Range;

use udp_retry::entropy::IdSource;
use udp_retry::transaction::{Hold, KeyedMatcher, Match, ReplyMatcher, TransactionId, transaction_id};

#[derive(Clone, Debug)]
pub(super) struct Kinds(TransactionId);

pub(super) const REPLY: u8 = b'R';
pub(super) const STOP: u8 = b'S';
pub(super) const SLOW: u8 = b'L';

impl Kinds {
    pub(super) fn stamped(width: usize) -> Self {
        Self(transaction_id(0..width).stamped())
    }

    pub(super) fn own(width: usize) -> Self {
        Self(transaction_id(0..width))
    }
}

/// What a server that has received these bytes answers.
pub(super) fn answer(request: &[u8], kind: u8) -> Vec<u8> {
    [request, &[kind]].concat()
}

impl ReplyMatcher for Kinds {
    fn judge(&self, request: &[u8], datagram: &[u8]) -> Match {
        match datagram.split_last() {
            Some((&REPLY, rest)) if rest == request => Match::Reply,
            Some((&STOP, rest)) if rest == request => Match::Provisional(Hold::Stop),
            Some((&SLOW, rest)) if rest == request => Match::Provisional(Hold::Slow),
            _ => Match::Foreign,
        }
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        self.0.id(request)
    }

    fn stamps(&self) -> bool {
        self.0.stamps()
    }

    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        self.0.stamp(request, ids);
    }
}

impl KeyedMatcher for Kinds {
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.0.reply_id(datagram)
    }

    fn stamped_at(&self) -> Option<Range<usize>> {
        self.0.stamped_at()
    }
}
