use alloc::vec::Vec;
use core::mem;

use super::SharedResponder;
use crate::replies::{Answer, DuplicateKey, Framing, Job, Todo};
use crate::time::Timestamp;
use crate::transport::{Incoming, PathError, Received, Route, Transport};

/// What a loop sends its answers by.
pub(super) struct Line<'l, T, K> {
    pub(super) transport: &'l mut T,
    responder: &'l SharedResponder<K>,
    /// What an answer is put together in.
    pub(super) answer: Vec<u8>,
    /// When the last reply was finished, if nothing else has happened since but that it was sent.
    finished: Option<Timestamp>,
    /// A send has met a cancellation, which was taken so that the answer could leave.
    pub(super) is_cancelled: bool,
}

impl<'l, T: Transport<Peer = Route>, K: DuplicateKey> Line<'l, T, K> {
    pub(super) fn new(transport: &'l mut T, responder: &'l SharedResponder<K>, answer: Vec<u8>) -> Self {
        Self { transport, responder, answer, finished: None, is_cancelled: false }
    }

    /// The time as it was read a moment ago, or is read now: a reading less for each request.
    #[inline]
    pub(super) fn now(&mut self) -> Timestamp {
        self.finished.take().unwrap_or_else(|| self.transport.now())
    }

    /// Has a request executed by `execute`, if it is to be, and sends an answer that is kept; returns whether it has.
    #[inline]
    pub(super) fn take<'d>(
        &mut self,
        received: &Received<Route>,
        datagram: &'d [u8],
        execute: impl FnOnce(&mut Self, Job, &'d [u8]),
    ) -> bool {
        let mut shared = self.responder.lock();
        // Threads come here in another order than they read the clock, which the cache bears.
        match shared.responder.on_datagram(received.at, received.from, datagram, received.actual) {
            Todo::Execute { job, request } => {
                drop(shared);
                execute(self, job, request);
                false
            }
            Todo::Send(Answer { to, datagram }) => {
                self.answer.clear();
                self.answer.extend_from_slice(datagram);
                drop(shared);
                self.send(to);
                true
            }
            Todo::Nothing(_) => false,
        }
    }

    pub(super) fn abandon(&self, job: Job) {
        self.responder.abandon(job);
    }

    /// Keeps the reply, and sends it then: a copy of the request that comes between meets it.
    pub(super) fn finish(&mut self, job: Job, reply: &[u8]) {
        let now = self.transport.now();
        self.finished = Some(now);
        let framing = self.responder.lock().responder.settle(now, job, reply);
        if let Some(framing) = framing {
            self.send_framed(&framing, reply);
        }
    }

    pub(super) fn provisional(&mut self, job: &Job, answer: &[u8]) {
        let framing = self.responder.lock().responder.announce(job, answer);
        if let Some(framing) = framing {
            self.send_framed(&framing, answer);
        }
    }

    /// Sends what was copied.
    fn send(&mut self, to: Route) {
        let datagram = mem::take(&mut self.answer);
        self.send_this(to, &datagram);
        self.answer = datagram;
    }

    fn send_framed(&mut self, framing: &Framing, answer: &[u8]) {
        let mut framed = mem::take(&mut self.answer);
        self.send_this(framing.to, framing.of(answer, &mut framed));
        self.answer = framed;
    }

    fn send_this(&mut self, to: Route, datagram: &[u8]) {
        let mut sent = self.transport.send(to, datagram);
        if sent == Err(PathError::Cancelled) {
            self.take_cancellation();
            sent = self.transport.send(to, datagram);
        }
        // An error can be an earlier datagram's: then this one has not been tried.
        let sent = sent.or_else(|_| self.transport.send(to, datagram)).is_ok();
        self.responder.sent(sent);
    }

    /// The reply of a request that was executed still leaves: the loop that ends will not answer its copies.
    #[cold]
    fn take_cancellation(&mut self) {
        let now = self.transport.now();
        self.is_cancelled = (0..MOST_BEFORE).any(|_| self.transport.recv(&mut [], now, now) == Incoming::Cancelled);
    }
}

/// Whether it has left, for one whose cancellations are taken by another.
pub(super) fn offer(transport: &mut impl Transport<Peer = Route>, to: Route, datagram: &[u8]) -> bool {
    transport.send(to, datagram).or_else(|_| transport.send(to, datagram)).is_ok()
}

/// Datagrams that a cancelled transport may show before it says so; they are lost, as all that come to a server that ends.
const MOST_BEFORE: u32 = 64;
