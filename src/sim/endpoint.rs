use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;

use crate::time::Timestamp;
use crate::transport::PathError;

/// A program at an address of a [`SimNet`](super::SimNet) that is called when something happens: a server, or a client
/// that drives a [`Transaction`](crate::transaction::Transaction).
///
/// Closures over (now, from, datagram, outbox) are endpoints without timers. An endpoint may use only what it is given:
/// the network itself is in use while an endpoint is called, and a call to it would panic.
pub trait Endpoint {
    /// A datagram has arrived.
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox);

    /// The path has reported an error of a datagram sent before. Only called if the endpoint is
    /// [connected](super::SimNet::serve_connected); does nothing by default.
    fn on_path_error(&mut self, now: Timestamp, error: PathError, out: &mut Outbox) {
        let _ = (now, error, out);
    }

    /// The time of [`wake_at`](Self::wake_at) has come; does nothing by default.
    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// When to be woken; asked at the start and after every call. A time in the past is due at once. Never by default.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

impl<F: FnMut(Timestamp, SocketAddr, &[u8], &mut Outbox)> Endpoint for F {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self(now, from, datagram, out);
    }
}

/// A server that sends every datagram back.
#[must_use]
pub fn echo() -> impl Endpoint {
    |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| out.send(from, datagram)
}

/// What an endpoint sends; it leaves from the endpoint's address when the call ends.
#[derive(Default, Debug)]
pub struct Outbox {
    renewed: bool,
    bytes: Vec<u8>,
    sends: Vec<(SocketAddr, Range<usize>, Duration)>,
}

impl Outbox {
    /// Moves the endpoint to a fresh port before anything is sent; what arrives at the old one is refused.
    pub fn renew(&mut self) {
        self.renewed = true;
    }

    /// Sends a datagram.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.send_after(Duration::ZERO, to, datagram);
    }

    /// Sends a datagram after a time: the time that it takes to work out an answer.
    pub fn send_after(&mut self, after: Duration, to: SocketAddr, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.sends.push((to, start..self.bytes.len(), after));
    }

    pub(super) const fn is_renewed(&self) -> bool {
        self.renewed
    }

    pub(super) fn sends(&self) -> impl Iterator<Item = (SocketAddr, &[u8], Duration)> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.sends.iter().map(move |(to, range, after)| (*to, bytes(range), *after))
    }

    pub(super) fn clear(&mut self) {
        self.renewed = false;
        self.bytes.clear();
        self.sends.clear();
    }
}
