use alloc::boxed::Box;
use core::cmp::Reverse;
use core::net::SocketAddr;

use super::arena::Key;
use super::sockets::{Reader, Socket};
use super::{Timer, World};
use crate::fault::Delivery;
use crate::sim::{Endpoint, Outbox};
use crate::time::Timestamp;

/// An endpoint, where it lives, and when it will be woken.
pub(super) struct Resident {
    /// Absent while it is called.
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
        self.void_timers(dismissed.wake.is_some());
        dismissed.endpoint
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

    /// Calls an endpoint, notes when it wants to be woken, and sends what it has written.
    pub(super) fn call(&mut self, resident: Key, call: impl FnOnce(&mut dyn Endpoint, Timestamp, &mut Outbox)) {
        // Both are put back below; in between the world has neither.
        let Some(mut endpoint) = self.residents.get_mut(resident).and_then(|it| it.endpoint.take()) else { return };
        let mut out = core::mem::take(&mut self.outbox);
        call(&mut *endpoint, self.now, &mut out);
        let wake = endpoint.wake_at().map(|at| at.max(self.now));
        let Some(called) = self.residents.get_mut(resident) else { return };
        called.endpoint = Some(endpoint);
        let socket = called.socket;
        if wake != called.wake.map(|(at, _)| at) {
            self.change_wake(resident, wake);
        }
        self.post(socket, &out);
        out.clear();
        self.outbox = out;
    }

    fn change_wake(&mut self, resident: Key, wake: Option<Timestamp>) {
        let set = wake.map(|at| (at, self.set_timer(at, Timer::Wake(resident))));
        let before = self.residents.get_mut(resident).and_then(|it| core::mem::replace(&mut it.wake, set));
        self.void_timers(before.is_some());
    }

    /// Timers cannot be taken back one by one; but those that mean nothing any more never outnumber the others by much.
    pub(super) fn void_timers(&mut self, one: bool) {
        self.timers_void += usize::from(one);
        if self.timers_void > self.timers.len() / 2 + MOST_VOID {
            let (residents, scheduled) = (&self.residents, &self.scheduled);
            self.timers.retain(|Reverse((_, number, timer))| match timer {
                Timer::Wake(resident) => {
                    residents.get(*resident).is_some_and(|it| it.wake.is_some_and(|(_, set)| set == *number))
                }
                Timer::Scheduled(_) => scheduled.contains_key(number),
            });
            self.timers_void = 0;
        }
    }

    /// Sends what an endpoint has written, or keeps it for as long as the endpoint works on it.
    fn post(&mut self, socket: Key, out: &Outbox) {
        // First, so that everything leaves from the fresh port.
        if out.is_renewed() {
            let _ = self.renew(socket);
        }
        for (to, datagram, after) in out.sends() {
            let posted = if after.is_zero() {
                // Why a send failed is not reported to an endpoint: to it that is a loss like any other.
                self.transmit(socket, None, to, datagram).is_ok()
            } else {
                let leaving = Delivery::whole(self.now.after(after), datagram.len());
                self.departures.push(Departure { socket, to }, &leaving, datagram)
            };
            self.stats.unsent += u64::from(!posted);
        }
    }

    /// An answer that was worked on leaves.
    pub(super) fn depart(&mut self, now: Timestamp) {
        let Some((Departure { socket, to }, _, datagram)) = self.departures.take_due(now) else { return };
        // One that was ended meanwhile gives no answer.
        if self.sockets.get(socket).is_none() {
            self.stats.unsent += 1;
        } else {
            // No error can reach an endpoint that was called long ago.
            let _ = self.transmit(socket, None, to, &datagram);
        }
        self.departures.give_back(datagram);
    }
}

/// Not worth looking for.
const MOST_VOID: usize = 64;
