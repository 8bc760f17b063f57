use super::Failure;
#[cfg(doc)]
use super::Transaction;
use crate::time::Timestamp;
use crate::transport::{PathIndex, Renewal};

/// What a front does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a front must handle every answer")]
pub enum Next {
    /// Nothing was started yet.
    Idle,
    /// Move the path to a fresh port, and report [`Transaction::on_renewed`].
    Renew(PathIndex, Renewal),
    /// Build the bytes of the transmission of this number, from 1: [`Transaction::build`]; then read the clock.
    Build(PathIndex, u32),
    /// Send [`Transaction::datagram`] on this path now, and report [`Transaction::on_sent`].
    Transmit(PathIndex),
    /// Listen until then, report what came, and ask again. If that time has come already: look, do not wait.
    WaitUntil(Timestamp),
    /// The reply is the datagram that was reported last.
    Done,
    /// It ended without a reply.
    Failed(Failure),
}

/// A [`Next`] without what its end is, which the request knows: two words, that go through no memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Idle,
    Renew(PathIndex, Renewal),
    Build(PathIndex, u32),
    Transmit(PathIndex),
    WaitUntil(Timestamp),
    End,
}

impl From<Next> for Step {
    fn from(next: Next) -> Self {
        match next {
            Next::Idle => Self::Idle,
            Next::Renew(path, need) => Self::Renew(path, need),
            Next::Build(path, number) => Self::Build(path, number),
            Next::Transmit(path) => Self::Transmit(path),
            Next::WaitUntil(until) => Self::WaitUntil(until),
            Next::Done | Next::Failed(_) => Self::End,
        }
    }
}

impl Step {
    /// `failure`: how the request has ended, if it has.
    #[inline]
    pub(super) fn next(self, failure: impl FnOnce() -> Option<Failure>) -> Next {
        match self {
            Self::Idle => Next::Idle,
            Self::Renew(path, need) => Next::Renew(path, need),
            Self::Build(path, number) => Next::Build(path, number),
            Self::Transmit(path) => Next::Transmit(path),
            Self::WaitUntil(until) => Next::WaitUntil(until),
            Self::End => failure().map_or(Next::Done, Next::Failed),
        }
    }
}

const _: () = assert!(size_of::<Step>() <= 16);
