use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::mem;
use core::task::Waker;

use super::shared::Wakes;
use crate::time::Timestamp;
use crate::transaction::Chunks;

/// Futures that wait for capacity, first come, first served.
///
/// What becomes free is **reserved** for the first of them, which is woken and leaves the queue: no one who comes by takes it. One
/// that is dropped before it has used it passes it on.
#[derive(Debug)]
pub(super) struct Waiters {
    places: Chunks<Place>,
    /// The first of those that are free: a list.
    free: u32,
    first: u32,
    last: u32,
    /// In the queue.
    queued: usize,
    /// Woken, and not back yet.
    admitted: usize,
    /// The first of the queue was refused: there is no use in admitting any before something has ended, or this time has come.
    refused_until: Option<Timestamp>,
    /// When those that have a deadline give up; also of some that have left.
    deadlines: BinaryHeap<Reverse<(Timestamp, Ticket)>>,
}

/// Names a waiter. No later one has the same name for a long time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ticket {
    place: u32,
    generation: u32,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    state: State,
    waker: Option<Waker>,
    /// In the queue, or in the list of those that are free.
    next: u32,
    prev: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self { generation: 0, state: State::Free, waker: None, next: NONE, prev: NONE }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Queued,
    Admitted,
    Expired,
}

/// What has become of a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Not yet: its waker is woken then.
    Waiting,
    /// There is capacity, reserved for it.
    Come,
    /// Its time was up first.
    Expired,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self {
            places: Chunks::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            queued: 0,
            admitted: 0,
            refused_until: None,
            deadlines: BinaryHeap::new(),
        }
    }

    /// Those that wait, and those whose turn has come that have not used it.
    pub(super) fn len(&self) -> usize {
        self.queued + self.admitted
    }

    /// Whether one that comes by may go ahead, with so much capacity.
    #[inline]
    pub(super) fn lets_pass(&self, available: usize) -> bool {
        self.queued == 0 && available > self.admitted && self.refused_until.is_none()
    }

    /// Joins the end of the queue.
    pub(super) fn join(&mut self, waker: &Waker, end_by: Timestamp) -> Ticket {
        let number = self.vacancy();
        let mut ticket = Ticket { place: number, generation: 0 };
        if let Some(place) = self.place(number) {
            (place.state, place.waker) = (State::Queued, Some(waker.clone()));
            ticket.generation = place.generation;
        }
        self.link_last(number);
        if end_by < Timestamp::MAX {
            self.keep_deadline(end_by, ticket);
        }
        ticket
    }

    /// What has become of it. One who waits on is woken by this waker.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker, wakes: &mut Wakes) -> Turn {
        let Some(place) = self.at(ticket) else { return Turn::Expired };
        match place.state {
            State::Queued => {
                if !place.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    wakes.unused = place.waker.replace(waker.clone());
                }
                Turn::Waiting
            }
            State::Admitted => Turn::Come,
            State::Free | State::Expired => Turn::Expired,
        }
    }

    /// Has used its turn, given up, or was dropped: what was reserved for it is not any more.
    pub(super) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        let free = self.free;
        let Some(place) = self.at(ticket) else { return };
        let state = mem::replace(&mut place.state, State::Free);
        place.generation = place.generation.wrapping_add(1);
        wakes.unused = place.waker.take();
        match state {
            State::Free => return,
            State::Queued => self.unlink(ticket.place),
            State::Admitted => self.admitted -= 1,
            State::Expired => {}
        }
        if let Some(place) = self.place(ticket.place) {
            place.next = free;
        }
        self.free = ticket.place;
    }

    /// Its turn has come too early: it is the first again, and no one is admitted before something has ended, or this time has
    /// come.
    pub(super) fn return_first(&mut self, ticket: Ticket, waker: &Waker, until: Option<Timestamp>) {
        let Some(place) = self.at(ticket).filter(|place| place.state == State::Admitted) else { return };
        (place.state, place.waker) = (State::Queued, Some(waker.clone()));
        self.admitted -= 1;
        self.link_first(ticket.place);
        self.on_refused(until);
    }

    /// The first one was refused.
    pub(super) fn on_refused(&mut self, until: Option<Timestamp>) {
        self.refused_until = Some(until.unwrap_or(Timestamp::MAX));
    }

    /// A request has ended, so that there may be capacity.
    #[inline]
    pub(super) fn on_ended(&mut self) {
        self.refused_until = None;
    }

    /// Reserves what is there for the first in the queue; whom to wake. Ask again until there is no one.
    #[inline]
    pub(super) fn admit(&mut self, available: usize) -> Option<Waker> {
        if self.queued == 0 || available <= self.admitted || self.refused_until.is_some() {
            return None;
        }
        let first = self.first;
        self.unlink(first);
        self.admitted += 1;
        let place = self.place(first)?;
        place.state = State::Admitted;
        place.waker.take()
    }

    /// When to look at the time.
    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let expires = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let retry = self.refused_until.filter(|&at| at < Timestamp::MAX);
        expires.into_iter().chain(retry).min()
    }

    /// The time has come for those that are due.
    pub(super) fn on_time(&mut self, now: Timestamp, wakers: &mut Vec<Waker>) {
        if self.refused_until.is_some_and(|until| until <= now) {
            self.refused_until = None;
        }
        while let Some(Reverse((at, ticket))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            let Some(place) = self.at(ticket).filter(|place| place.state == State::Queued) else { continue };
            place.state = State::Expired;
            wakers.extend(place.waker.take());
            self.unlink(ticket.place);
        }
    }

    /// Wakes all, for good.
    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        let places = 0..self.places.len();
        wakers.extend(places.filter_map(|number| self.places.get_mut(number)?.waker.take()));
    }

    fn keep_deadline(&mut self, at: Timestamp, ticket: Ticket) {
        if self.deadlines.len() > 2 * self.len() + FEW {
            let places = &self.places;
            let waits = |ticket: &Ticket| {
                let place = places.get(ticket.place);
                place.is_some_and(|place| place.generation == ticket.generation && place.state == State::Queued)
            };
            self.deadlines.retain(|Reverse((_, ticket))| waits(ticket));
        }
        self.deadlines.push(Reverse((at, ticket)));
    }

    fn vacancy(&mut self) -> u32 {
        let number = self.free;
        match self.place(number) {
            Some(place) => {
                self.free = place.next;
                number
            }
            None => self.places.push(Place::default()),
        }
    }

    fn link_last(&mut self, number: u32) {
        let last = mem::replace(&mut self.last, number);
        if let Some(place) = self.place(number) {
            (place.prev, place.next) = (last, NONE);
        }
        match self.place(last) {
            Some(last) => last.next = number,
            None => self.first = number,
        }
        self.queued += 1;
    }

    fn link_first(&mut self, number: u32) {
        let first = mem::replace(&mut self.first, number);
        if let Some(place) = self.place(number) {
            (place.prev, place.next) = (NONE, first);
        }
        match self.place(first) {
            Some(first) => first.prev = number,
            None => self.last = number,
        }
        self.queued += 1;
    }

    fn unlink(&mut self, number: u32) {
        let Some(place) = self.place(number) else { return };
        let (prev, next) = (place.prev, place.next);
        match self.place(prev) {
            Some(prev) => prev.next = next,
            None => self.first = next,
        }
        match self.place(next) {
            Some(next) => next.prev = prev,
            None => self.last = prev,
        }
        self.queued -= 1;
    }

    fn place(&mut self, number: u32) -> Option<&mut Place> {
        self.places.get_mut(number)
    }

    fn at(&mut self, ticket: Ticket) -> Option<&mut Place> {
        self.place(ticket.place).filter(|place| place.generation == ticket.generation)
    }
}

const NONE: u32 = u32::MAX;
/// Deadlines of waiters that have left are kept up to these, and as many as wait.
const FEW: usize = 64;

#[cfg(test)]
mod tests;
