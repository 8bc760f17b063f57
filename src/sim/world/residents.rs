use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use super::arena::Key;
use super::sockets::{Reader, Socket};
use super::{Timer, World};
use crate::fault::Delivery;
use crate::sim::endpoint::OpenSocket;
use crate::sim::{Endpoint, Outbox};
use crate::time::Timestamp;
use crate::transport::PathError;

/// An endpoint, where it lives, and when it will be woken.
pub(super) struct Resident {
    /// Absent while it is called, and once it has panicked.
    endpoint: Option<Box<dyn Endpoint>>,
    socket: Key,
    /// When, and the number of the timer.
    wake: Option<(Timestamp, u64)>,
}

/// From whose socket an answer leaves once it is worked out, and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    socket: Key,
    to: SocketAddr,
}

impl<A> World<A> {
    pub(super) fn settle(
        &mut self,
        endpoint: Box<dyn Endpoint>,
        host: usize,
        at: SocketAddr,
        peer: Option<SocketAddr>,
    ) {
        // The two name each other, and one of them has to be there first.
        let vacant = Reader::Transport;
        let socket = self.sockets.bind(Socket::new(host, at, peer, vacant));
        let resident = self.residents.insert(Resident { endpoint: Some(endpoint), socket, wake: None });
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.reader = Reader::Endpoint(resident);
        }
        // Only to learn when it wants to be woken.
        self.call(resident, |_, _, _| {});
    }

    /// Ends the endpoint that reads a socket, if one does, and hands it out: it may hold a transport, which closes its
    /// own socket when dropped, and needs the world for that.
    pub(super) fn dismiss(&mut self, reader: Reader) -> Option<Box<dyn Endpoint>> {
        let Reader::Endpoint(resident) = reader else { return None };
        let dismissed = self.residents.remove(resident)?;
        self.void_timer(dismissed.wake);
        dismissed.endpoint
    }

    /// Ends all endpoints, and hands them out.
    pub(super) fn dismiss_all(&mut self) -> Vec<Box<dyn Endpoint>> {
        let all: Vec<_> = self.residents.iter().map(|(resident, it)| (resident, it.socket)).collect();
        let dismissed = all.into_iter().filter_map(|(resident, socket)| {
            self.close(socket);
            self.residents.remove(resident)?.endpoint
        });
        dismissed.collect()
    }

    /// A timer of a resident fires.
    pub(super) fn wake(&mut self, resident: Key, timer: u64) {
        // One that was set before the resident changed its mind, or of one that has gone, is void.
        let due = self.residents.get_mut(resident).filter(|it| it.wake.is_some_and(|(_, set)| set == timer));
        let Some(due) = due else {
            self.timers_void -= 1;
            return;
        };
        due.wake = None;
        self.call(resident, |endpoint, now, out| endpoint.on_wake(now, out));
    }

    /// Calls an endpoint, and notes when it wants to be woken.
    pub(super) fn call(&mut self, resident: Key, call: impl FnOnce(&mut dyn Endpoint, Timestamp, &mut Outbox<'_>)) {
        // It is put back below. If it panics it is not, and has gone for good.
        let Some(called) = self.residents.get_mut(resident) else { return };
        let (socket, Some(mut endpoint)) = (called.socket, called.endpoint.take()) else { return };
        self.stats.panicked += 1;
        let now = self.now;
        call(&mut *endpoint, now, &mut Outbox::new(&mut Called { world: self, resident, socket }));
        let wake = endpoint.wake_at().map(|at| at.max(now));
        self.stats.panicked -= 1;
        let Some(called) = self.residents.get_mut(resident) else { return };
        called.endpoint = Some(endpoint);
        if wake != called.wake.map(|(at, _)| at) {
            self.change_wake(resident, wake);
        }
    }

    /// Whether this endpoint has panicked: between two calls it is absent for no other reason.
    #[inline]
    pub(super) fn has_panicked(&self, resident: Key) -> bool {
        self.residents.get(resident).is_some_and(|it| it.endpoint.is_none())
    }

    /// An endpoint learns what became of a send of its own.
    pub(super) fn report(&mut self) {
        if let Some((resident, error)) = self.reports.pop_front() {
            self.call(resident, |endpoint, now, out| endpoint.on_path_error(now, error, out));
        }
    }

    fn change_wake(&mut self, resident: Key, wake: Option<Timestamp>) {
        let set = wake.map(|at| (at, self.set_timer(at, Timer::Wake(resident))));
        let before = self.residents.get_mut(resident).and_then(|it| core::mem::replace(&mut it.wake, set));
        self.void_timer(before);
    }

    /// Timers cannot be taken back one by one; but those that mean nothing any more never outnumber the others by much.
    fn void_timer(&mut self, timer: Option<(Timestamp, u64)>) {
        self.timers_void += usize::from(timer.is_some());
        if self.timers_void > self.timers.len() / 2 + MOST_VOID {
            let residents = &self.residents;
            self.timers.retain(|Reverse((_, number, timer))| match timer {
                Timer::Wake(resident) => {
                    residents.get(*resident).is_some_and(|it| it.wake.is_some_and(|(_, set)| set == *number))
                }
                Timer::Scheduled(_) => true,
            });
            self.timers_void = 0;
        }
    }

    /// An answer that was worked on leaves.
    pub(super) fn depart(&mut self, now: Timestamp) {
        let Some((Departure { socket, to }, _, datagram)) = self.departures.take_due(now) else { return };
        // One that was ended meanwhile gives no answer.
        let reader = self.sockets.get(socket).map(|it| it.reader);
        let sent = match reader {
            Some(Reader::Endpoint(resident)) if !self.has_panicked(resident) => {
                self.transmit(socket, to, &datagram).inspect_err(|error| self.reports.push_back((resident, *error)))
            }
            _ => Err(PathError::Unsupported),
        };
        self.stats.unsent += u64::from(sent.is_err());
        self.departures.give_back(datagram);
    }
}

/// The socket of an endpoint that is being called.
struct Called<'w, A> {
    world: &'w mut World<A>,
    resident: Key,
    socket: Key,
}

impl<A> OpenSocket for Called<'_, A> {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), PathError> {
        self.world.transmit(self.socket, to, datagram).inspect_err(|_| self.world.stats.unsent += 1)
    }

    fn send_after(&mut self, after: Duration, to: SocketAddr, datagram: &[u8]) {
        let leaving = Delivery::whole(self.world.now.after(after), datagram.len());
        let kept = self.world.departures.push(Departure { socket: self.socket, to }, &leaving, datagram);
        self.world.stats.unsent += u64::from(!kept);
    }

    fn renew(&mut self) -> Result<(), PathError> {
        self.world.renew(self.socket)
    }

    fn report(&mut self, error: PathError) {
        self.world.reports.push_back((self.resident, error));
    }
}

/// Not worth looking for.
const MOST_VOID: usize = 64;
