use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use std::io;
use std::net::UdpSocket;

use super::calls::drain;
use super::classify::classify_received;
use super::{classify, pmtu, sys};
use crate::transport::PathError;

/// What sends met that was an earlier datagram's: kept for the next `recv`, with the bytes of the datagram that met it.
#[derive(Debug, Default)]
pub(super) struct Swallowed {
    kept: VecDeque<(PathError, Vec<u8>)>,
}

impl Swallowed {
    /// Whether `error`, of a send of `len` bytes, is an earlier datagram's, as an entry in the queue of errors says: then to
    /// send again is no repetition.
    pub(super) fn takes(&mut self, socket: &UdpSocket, error: &io::Error, len: usize) -> bool {
        if is_too_big(socket, error, len) {
            // This host itself leaves an entry for a datagram that is too big for it.
            drain(|| sys::queued_error(socket, &mut []).is_none());
            return false;
        }
        let mut quoted = vec![0; QUOTED];
        let Some((error, len)) = queued(socket, &mut quoted) else { return false };
        quoted.truncate(len);
        self.keep(error, quoted);
        true
    }

    /// As [`takes`](Self::takes), where the system has no queue of errors: the send succeeded when it was repeated.
    pub(super) fn took(&mut self, error: &io::Error) {
        self.keep(classify_received(error), Vec::new());
    }

    /// A flood of them must not fill the memory, and its beginning says what there is to say.
    fn keep(&mut self, error: PathError, quoted: Vec<u8>) {
        if self.kept.len() < MOST {
            self.kept.push_back((error, quoted));
        }
    }

    /// The next one, with its bytes in the buffer.
    #[inline]
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Option<(PathError, usize)> {
        if self.kept.is_empty() { None } else { self.hand_out(buffer) }
    }

    #[cold]
    fn hand_out(&mut self, buffer: &mut [u8]) -> Option<(PathError, usize)> {
        let (error, quoted) = self.kept.pop_front()?;
        let len = quoted.len().min(buffer.len());
        if let (Some(to), Some(quoted)) = (buffer.get_mut(..len), quoted.get(..len)) {
            to.copy_from_slice(quoted);
        }
        Some((error, len))
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

/// An entry of the queue of errors.
#[derive(Debug)]
pub(super) struct QueuedError {
    /// Bytes, in the buffer, of the datagram that it is about.
    pub(super) quoted: usize,
    /// What the datagram met; `None` in an entry of another kind, such as the time of a transmission.
    pub(super) met: Option<io::Error>,
}

/// The error that has been queued the longest, with the bytes of its datagram in the buffer. A call reports the latest of
/// them, and the next call the next one only after this has been taken: what the calls say fits no entry.
#[cold]
pub(super) fn queued(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(PathError, usize)> {
    let mut found = None;
    drain(|| {
        let Some(QueuedError { quoted, met }) = sys::queued_error(socket, buffer) else { return true };
        found = met.map(|error| (classify_received(&error), quoted));
        found.is_some()
    });
    found
}

/// Whether a datagram of `len` bytes exceeds what this host lets out; an earlier one may have met a narrower link.
pub(super) fn is_too_big(socket: &UdpSocket, error: &io::Error, len: usize) -> bool {
    let is_too_big = matches!(classify(error), PathError::TooBig { .. });
    // The kernel has no estimate while it replaces one; then the next send says more.
    is_too_big && pmtu::sendable(socket).is_some_and(|limit| len > limit.bytes())
}

/// Whether a send failed for a reason that connecting anew may remove.
pub(super) fn is_of_this_host(error: PathError) -> bool {
    matches!(error, PathError::Unreachable | PathError::Other(_))
}

/// What Linux quotes at most: of an ICMP message of 576 bytes (RFC 1812 §4.3.2.3).
const QUOTED: usize = 576;
/// Errors that are kept from one wait to the next: as many as the datagrams that a front with many requests in flight sends
/// between two of them.
const MOST: usize = 64;
/// Errors of earlier datagrams that a send gets past; no error queue holds as many.
pub(super) const MOST_SWALLOWED: u32 = 4096;
