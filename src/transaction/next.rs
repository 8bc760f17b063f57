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
    /// Build the bytes of the transmission of this number, from 1: [`Transaction::build`]; then read the clock. Asked again for
    /// the same number if the system refuses the bytes as too big and smaller ones may do.
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
