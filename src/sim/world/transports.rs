use core::net::SocketAddr;

use super::arena::Key;
use super::sockets::{Queued, Reader, Socket};
use super::{Read, World};
use crate::entropy::labels;
use crate::transport::PathError;

/// What a transport does with its socket.
impl<A> World<A> {
    /// Sends, unless an error is pending: the call that reports it sends nothing (Linux).
    pub(in crate::sim) fn send(&mut self, socket: Key, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        if let Some(error) = self.sockets.get_mut(socket).and_then(|socket| socket.pending.take()) {
            return Err(error);
        }
        if !self.guard.step(self.now) {
            return Err(PathError::Unreachable);
        }
        self.transmit(socket, None, to, datagram)
    }

    /// What a read finds now: an error that is pending, else the datagram that has waited the longest.
    pub(in crate::sim) fn receive(&mut self, socket: Key, buffer: &mut [u8]) -> Option<Read> {
        self.guard.step(self.now);
        let socket = self.sockets.get_mut(socket)?;
        if let Some(error) = socket.pending.take() {
            let quoted = copy_into(buffer, &core::mem::take(&mut socket.quoted));
            return Some(Read::Error(error, quoted));
        }
        let Queued { at, from, to, datagram, .. } = socket.dequeue()?;
        let (len, actual) = (copy_into(buffer, &datagram), datagram.len());
        self.flights.give_back(datagram);
        Some(Read::Datagram { at, from, to, len, actual })
    }

    /// What stands for the entropy of a system: by the seed, and other bytes each time.
    pub(in crate::sim) fn entropy(&mut self, key: &mut [u8; 32]) {
        let draws = self.topology.seed().derive(labels::NET_ENTROPY).derive(self.keys_drawn);
        self.keys_drawn += 1;
        for (n, bytes) in (0..).zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&draws.draw(n).to_le_bytes());
        }
    }

    pub(in crate::sim) fn set_receive_buffer(&mut self, socket: Key, bytes: usize) {
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.capacity = bytes;
        }
    }

    pub(in crate::sim) fn local_addr(&self, socket: Key) -> Option<SocketAddr> {
        self.sockets.get(socket).map(|socket| socket.address)
    }

    /// Gives the socket another address, with nothing queued; what comes to the old one is refused.
    ///
    /// # Errors
    ///
    /// [`PathError::Unsupported`] if it is closed, and what Linux says if the host has no free port.
    pub(in crate::sim) fn renew(&mut self, socket: Key) -> Result<(), PathError> {
        let host = self.sockets.get(socket).ok_or(PathError::Unsupported)?.host;
        self.sockets.rebind(socket, self.topology.addresses_of(host)).ok_or(PathError::Other(EADDRINUSE))?;
        while let Some(queued) = self.sockets.get_mut(socket).and_then(Socket::dequeue) {
            self.discard(queued);
        }
        Ok(())
    }

    /// Closes a transport's socket, unless it is closed already.
    pub(in crate::sim) fn close(&mut self, socket: Key) {
        self.unbind(socket);
    }

    /// Returns who read it.
    pub(super) fn unbind(&mut self, socket: Key) -> Option<Reader> {
        let mut closed = self.sockets.unbind(socket)?;
        self.forget_watch(closed.watch);
        closed.groups.drain(..).for_each(|group| self.segments.leave(closed.host, group));
        while let Some(queued) = closed.dequeue() {
            self.discard(queued);
        }
        Some(closed.reader)
    }

    /// It had arrived, but will not be read.
    fn discard(&mut self, queued: Queued) {
        self.stats.arrived -= 1;
        self.stats.discarded += 1;
        self.flights.give_back(queued.datagram);
    }
}

/// Returns how many bytes fit.
fn copy_into(buffer: &mut [u8], bytes: &[u8]) -> usize {
    let len = bytes.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..len), bytes.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// What Linux says where no port is left.
const EADDRINUSE: i32 = 98;
