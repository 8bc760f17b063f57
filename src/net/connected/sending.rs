use std::io;

use super::ConnectedUdp;
use crate::net::calls::uninterrupted;
use crate::net::segments::Divided;
use crate::net::swallowed::{MOST_SWALLOWED, is_of_this_host, is_too_big};
use crate::net::{classify, pmtu, sys};
use crate::transport::PathError;

/// Whether a datagram leaves, and why not.
impl ConnectedUdp {
    /// Nothing has left: because of what an earlier datagram met, which then is kept for the next `recv`, or for a reason
    /// of this datagram or this host.
    #[cold]
    pub(super) fn not_sent(&mut self, mut error: io::Error, datagram: &[u8]) -> Result<(), PathError> {
        let mut left = MOST_SWALLOWED;
        while left > 0 && self.swallowed.takes(self.endpoint.socket(), &error, datagram.len()) {
            left -= 1;
            match self.transmit(datagram) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        if self.stuck {
            match self.insist(error, datagram) {
                Ok(()) => return Ok(()),
                Err(last) => error = last,
            }
        }
        self.stuck = true;
        Err(match classify(&error) {
            PathError::TooBig { .. } => PathError::TooBig { limit: pmtu::sendable(self.endpoint.socket()) },
            error => error,
        })
    }

    /// Sends what has failed to leave twice. Either this host will not have it, or the errors of earlier datagrams come
    /// faster than they are read; where they have no queue, trying tells the two apart.
    #[cold]
    fn insist(&mut self, mut error: io::Error, datagram: &[u8]) -> io::Result<()> {
        let is_full = classify(&error) == PathError::NoBuffers;
        if is_full || is_too_big(self.endpoint.socket(), &error, datagram.len()) {
            return Err(error);
        }
        let has_queue = sys::QUEUES_ERRORS && !self.endpoint.is_lent();
        // An error may be set a moment after its entry was read.
        let tries = if has_queue { 8 } else { 64 };
        for _ in 0..tries {
            // Takes what has come since, if anything.
            let _ = self.endpoint.socket().take_error();
            match self.transmit(datagram) {
                Ok(()) => {
                    self.swallowed.took(&error);
                    return Ok(());
                }
                Err(next) => error = next,
            }
            self.swallowed.takes(self.endpoint.socket(), &error, datagram.len());
        }
        if is_of_this_host(classify(&error)) && self.reconnect().is_ok() {
            return self.transmit(datagram);
        }
        Err(error)
    }

    /// Sees to what has become of the socket since it was used last.
    #[inline]
    pub(super) fn prepare_to_send(&mut self) -> Result<(), PathError> {
        if self.endpoint.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        if *self.lent_again.get_mut() {
            self.ask_for_device();
        }
        if self.in_vain {
            self.leave_lost_address();
        }
        if self.apart {
            self.reconnect().map_err(|error| classify(&error))?;
        }
        Ok(())
    }

    /// Sends as many of these as can leave at once, and returns how many: to a peer that answers. Where none does, a host may
    /// report one error for all that left together, and only alone each request learns of its own.
    pub(super) fn send_first_of(&mut self, datagrams: &[&[u8]]) -> Result<usize, PathError> {
        let Some(&first) = datagrams.first() else { return Ok(0) };
        self.prepare_to_send()?;
        let divided = if self.answers { self.endpoint.transmit_segments(None, datagrams) } else { Divided::Alone };
        let sent = match divided {
            Divided::Sent(sent) => {
                self.stuck = false;
                return Ok(sent);
            }
            Divided::Alone => self.transmit(first),
            Divided::Failed(error) => Err(error),
        };
        sent.or_else(|error| self.not_sent(error, first)).map(|()| 1)
    }

    #[inline]
    pub(super) fn transmit(&mut self, datagram: &[u8]) -> io::Result<()> {
        uninterrupted(|| sys::transmit(self.endpoint.socket(), datagram))?;
        self.stuck = false;
        self.endpoint.on_sent();
        Ok(())
    }
}
