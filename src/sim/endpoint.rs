use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::time::Timestamp;
use crate::transport::PathError;

/// A program at an address of a [`SimNet`](super::SimNet) that is called when something happens: a server, or a client
/// that drives a [`Transaction`](crate::transaction::Transaction).
///
/// Closures over (now, from, datagram, outbox) are endpoints without timers. An endpoint may use only what it is given:
/// the network itself is in use while an endpoint is called, and a call to it would panic. A panic of an endpoint goes on
/// to whoever let time move; the endpoint is never called again, and what it is sent is lost, until it is
/// [stopped](super::SimNet::stop).
pub trait Endpoint {
    /// A datagram has arrived.
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>);

    /// An error of a datagram sent before; does nothing by default.
    ///
    /// What the path reports, only a [connected](super::SimNet::serve_connected) endpoint learns. What its own host says
    /// of a datagram every endpoint does: that it is too large, that its destination does not exist. Such a datagram has
    /// not left, and the call comes at the time of the send, once the call that sent it has ended.
    fn on_path_error(&mut self, now: Timestamp, error: PathError, out: &mut Outbox<'_>) {
        let _ = (now, error, out);
    }

    /// The time of [`wake_at`](Self::wake_at) has come; does nothing by default.
    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox<'_>) {
        let _ = (now, out);
    }

    /// When to be woken; asked at the start and after every call. A time in the past is due at once. Never by default.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

impl<F: FnMut(Timestamp, SocketAddr, &[u8], &mut Outbox<'_>)> Endpoint for F {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        self(now, from, datagram, out);
    }
}

/// A server that sends every datagram back.
pub fn echo() -> impl FnMut(Timestamp, SocketAddr, &[u8], &mut Outbox<'_>) {
    |_, from, datagram, out| out.send(from, datagram)
}

/// What an endpoint sends with: its socket, for as long as it is called.
pub struct Outbox<'n> {
    socket: &'n mut dyn OpenSocket,
}

/// What an endpoint can do with its socket.
pub(super) trait OpenSocket {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError>;
    fn send_after(&mut self, after: Duration, to: SocketAddr, datagram: &[u8]);
    fn renew(&mut self) -> Result<(), PathError>;
    /// Has the error come to the endpoint, once it is no longer called.
    fn report(&mut self, error: PathError);
}

impl<'n> Outbox<'n> {
    pub(super) fn new(socket: &'n mut dyn OpenSocket) -> Self {
        Self { socket }
    }

    /// Sends a datagram. If it cannot leave, [`Endpoint::on_path_error`] is called next.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        if let Err(error) = self.socket.send(to, datagram) {
            self.socket.report(error);
        }
    }

    /// Sends a datagram, and returns what is wrong with it instead of having that reported.
    ///
    /// # Errors
    ///
    /// [`PathError::TooBig`] by a link that refuses or by the size of a datagram at all, [`PathError::Unreachable`] if no
    /// such host exists: it has not left.
    pub fn try_send(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        self.socket.send(to, datagram)
    }

    /// Sends a datagram after a time: the time that it takes to work out an answer. If it cannot leave then,
    /// [`Endpoint::on_path_error`] is called.
    pub fn send_after(&mut self, after: Duration, to: SocketAddr, datagram: &[u8]) {
        if after.is_zero() {
            self.send(to, datagram);
        } else {
            self.socket.send_after(after, to, datagram);
        }
    }

    /// Moves the endpoint to a fresh port; what arrives at the old one is refused. If there is none,
    /// [`Endpoint::on_path_error`] is called next.
    pub fn renew(&mut self) {
        if let Err(error) = self.try_renew() {
            self.socket.report(error);
        }
    }

    /// As [`renew`](Self::renew), and returns what is wrong instead of having it reported.
    ///
    /// # Errors
    ///
    /// [`PathError::Other`] with the number that Linux has for it if the host has no free port.
    pub fn try_renew(&mut self) -> Result<(), PathError> {
        self.socket.renew()
    }
}

impl fmt::Debug for Outbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
