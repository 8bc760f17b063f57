use alloc::boxed::Box;
use core::net::SocketAddr;

use super::sockets::{Reader, Socket};
use super::{Timer, World};
use crate::fault::Delivery;
use crate::sim::{Endpoint, Outbox};
use crate::time::Timestamp;

/// An endpoint, where it lives, and when it will be woken.
pub(super) struct Resident {
    endpoint: Box<dyn Endpoint>,
    socket: usize,
    wake: Option<Timestamp>,
}

/// From whose socket an answer leaves once it is worked out, and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    socket: usize,
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
        let resident = self.residents.len();
        let socket = self.sockets.bind(Socket::new(host, at, peer, Reader::Endpoint(resident)));
        self.residents.push(Some(Resident { endpoint, socket, wake: None }));
        // Only to learn when it wants to be woken.
        self.call(resident, |_, _, _| {});
    }

    /// Ends the endpoint that reads this socket, if one does.
    pub(super) fn dismiss_reader(&mut self, socket: usize) {
        if let Some(Reader::Endpoint(resident)) = self.sockets.get(socket).map(|it| it.reader) {
            if let Some(place) = self.residents.get_mut(resident) {
                *place = None;
            }
        }
    }

    /// A timer of a resident fires.
    pub(super) fn wake(&mut self, resident: usize, at: Timestamp) {
        // Timers are not taken back: one that was set before the resident changed its mind is none of its.
        let due = self.residents.get_mut(resident).and_then(Option::as_mut).filter(|it| it.wake == Some(at));
        if let Some(due) = due {
            due.wake = None;
            self.call(resident, |endpoint, now, out| endpoint.on_wake(now, out));
        }
    }

    /// Calls an endpoint, notes when it wants to be woken, and sends what it has written.
    pub(super) fn call(&mut self, resident: usize, call: impl FnOnce(&mut dyn Endpoint, Timestamp, &mut Outbox)) {
        // Both are put back below; in between the world has neither.
        let Some(mut called) = self.residents.get_mut(resident).and_then(Option::take) else { return };
        let mut out = core::mem::take(&mut self.outbox);
        call(&mut *called.endpoint, self.now, &mut out);
        let socket = called.socket;
        let wake = called.endpoint.wake_at().map(|at| at.max(self.now));
        if wake != called.wake {
            called.wake = wake;
            if let Some(at) = wake {
                self.set_timer(at, Timer::Wake(resident));
            }
        }
        if let Some(place) = self.residents.get_mut(resident) {
            *place = Some(called);
        }
        self.post(socket, &out);
        out.clear();
        self.outbox = out;
    }

    /// Sends what an endpoint has written, or keeps it for as long as the endpoint works on it.
    fn post(&mut self, socket: usize, out: &Outbox) {
        // First, so that everything leaves from the fresh port.
        if out.is_renewed() {
            self.renew(socket);
        }
        for (to, datagram, after) in out.sends() {
            let posted = if after.is_zero() {
                // Why a send failed is not reported to an endpoint: to it that is a loss like any other.
                self.transmit(socket, to, datagram).is_ok()
            } else {
                let leaving = Delivery::whole(self.now.after(after), datagram.len());
                let fits = self.departures.admission((), None).admits(&leaving);
                if fits {
                    self.departures.push((), Departure { socket, to }, &leaving, datagram);
                }
                fits
            };
            self.stats.unsent += u64::from(!posted);
        }
    }

    /// An answer that was worked on leaves.
    pub(super) fn depart(&mut self, now: Timestamp) {
        let Some(((), Departure { socket, to }, _, datagram)) = self.departures.take_due(now) else { return };
        // One that was ended meanwhile gives no answer.
        if self.sockets.get(socket).is_none_or(|it| it.reader == Reader::Closed) {
            self.stats.unsent += 1;
        } else {
            // No error can reach an endpoint that was called long ago.
            let _ = self.transmit(socket, to, &datagram);
        }
        self.departures.give_back(datagram);
    }
}
