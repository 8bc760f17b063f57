use core::net::SocketAddr;

use super::arena::Key;
use super::sockets::{Reader, Socket, Watch};
use super::{Read, Timer, World};
use crate::sim::SimError;
use crate::time::Timestamp;
use crate::transport::PathError;

/// Sockets that programs of a test's own hold.
impl<A> World<A> {
    /// A socket of the host that receives from any sender. Port 0 is a fresh one. Returns its key, and where it
    /// is.
    pub(in crate::sim) fn bind(&mut self, host: usize, at: SocketAddr) -> Result<(Key, SocketAddr), SimError> {
        let addresses = self.topology.addresses_of(host);
        if !at.ip().is_unspecified() && !addresses.contains(&at.ip()) {
            return Err(SimError::NotOnHost(at.ip()));
        }
        let at = if at.port() == 0 {
            self.sockets.fresh_address(host, at.ip(), addresses).ok_or(SimError::NoPort)?
        } else if self.sockets.is_free(host, at, addresses) {
            at
        } else {
            return Err(SimError::InUse(at));
        };
        Ok((self.sockets.bind(Socket::new(host, at, None, Reader::Transport)), at))
    }

    /// Sends from a socket without a peer; `local` is the own address to send from, the host's choice if it is a wildcard.
    pub(in crate::sim) fn send_to(
        &mut self,
        socket: Key,
        local: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), PathError> {
        if !self.guard.step(self.now) {
            return Err(PathError::Unreachable);
        }
        let named = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        self.transmit(socket, named, to, datagram)
    }

    /// What a read of several sockets finds now, and on which of them: an error that is pending, else the datagram that
    /// arrived first.
    pub(in crate::sim) fn receive_any(
        &mut self,
        sockets: impl Iterator<Item = Key>,
        buffer: &mut [u8],
    ) -> Option<(usize, Read)> {
        self.guard.step(self.now);
        let order = |socket: Key| {
            let socket = self.sockets.get(socket)?;
            if socket.pending.is_some() { Some(0) } else { socket.first().map(|first| first.order) }
        };
        let (nth, socket, _) = sockets
            .enumerate()
            .filter_map(|(nth, socket)| Some((nth, socket, order(socket)?)))
            .min_by_key(|&(.., order)| order)?;
        Some((nth, self.receive(socket, buffer)?))
    }

    /// Has `action` done once something arrives at the socket, and at this time at the latest. Gives it back if the socket
    /// is closed, to be dropped where the world is not in use.
    pub(in crate::sim) fn watch(&mut self, socket: Key, until: Option<Timestamp>, action: A) -> Option<A> {
        let number = self.timers_set;
        let Some(watched) = self.sockets.get_mut(socket) else { return Some(action) };
        watched.watch = Some(Watch { number, timed: until.is_some() });
        self.scheduled.insert(number, action);
        match until {
            Some(at) => _ = self.set_timer(at, Timer::Scheduled(number)),
            None => self.timers_set += 1,
        }
        None
    }

    /// Something has arrived at the socket.
    #[cold]
    pub(super) fn rouse(&mut self, socket: Key) {
        if let Some(watch) = self.sockets.get_mut(socket).and_then(|it| it.watch.take()) {
            if let Some(action) = self.forget_watch(Some(watch)) {
                self.schedule(self.now, action);
            }
        }
    }

    /// Nothing happens any more when something arrives.
    pub(super) fn forget_watch(&mut self, watch: Option<Watch>) -> Option<A> {
        let watch = watch?;
        // If its time has come it is no longer there.
        let action = self.scheduled.remove(&watch.number)?;
        self.void_timers(watch.timed);
        Some(action)
    }

    /// How many datagrams wait at the socket.
    pub(in crate::sim) fn queued(&self, socket: Key) -> usize {
        self.sockets.get(socket).map_or(0, Socket::queued)
    }
}
