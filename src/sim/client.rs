use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Endpoint, Outbox};
use crate::entropy::{Seed, labels};
use crate::time::Timestamp;
use crate::transaction::{Execution, Failure, Next, ReplyMatcher, Timeline, Transaction};
use crate::transport::{PathError, PathIndex, Renewed};

/// A client of a [`SimNet`](super::SimNet) that makes one request after the other: an [`Endpoint`] that drives a
/// [`Transaction`], as every front does. It is made for fleets; for a single client use a
/// [`ReliableRequester`](crate::ReliableRequester).
///
/// `next` receives how a request ended and an empty buffer for the next one, and returns when that begins; `None` ends
/// the client.
pub struct Client<M, F> {
    server: SocketAddr,
    transaction: Transaction<M>,
    /// Draws the seed of each request, by its number.
    seed: Seed,
    requests: u64,
    /// When the next request begins; `None` while one is in progress, and at the end.
    begin: Option<Timestamp>,
    wait: Option<Timestamp>,
    request: Vec<u8>,
    next: F,
}

/// How a request of a [`Client`] ended.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// There was no request before.
    First,
    /// With this reply.
    #[non_exhaustive]
    Reply {
        /// What the server sent, without its [envelope](crate::envelope) if it has one.
        payload: &'a [u8],
        /// How often the request was sent.
        transmissions: u32,
        /// From the start to the reply.
        elapsed: Duration,
        /// What happened, event by event.
        timeline: &'a Timeline,
    },
    /// Without one.
    #[non_exhaustive]
    Failed {
        /// Why.
        failure: Failure,
        /// How often the request was sent.
        transmissions: u32,
        /// From the start to the end.
        elapsed: Duration,
        /// Whether the server may have executed the request.
        execution: Execution,
        /// What the system reported last, if it reported anything.
        last_path_error: Option<PathError>,
        /// What happened, event by event.
        timeline: &'a Timeline,
    },
}

impl<M, F> Client<M, F>
where
    M: ReplyMatcher,
    F: FnMut(Timestamp, Outcome<'_>, &mut Vec<u8>) -> Option<Timestamp>,
{
    /// A client of `server` that begins at time zero, or at its start if that is later.
    #[must_use]
    pub fn new(server: SocketAddr, transaction: Transaction<M>, seed: Seed, mut next: F) -> Self {
        let mut request = Vec::new();
        let begin = next(Timestamp::ZERO, Outcome::First, &mut request);
        Self { server, transaction, seed: seed.derive(labels::REQUESTS), requests: 0, begin, wait: None, request, next }
    }

    /// Does what the transaction asks for, until it has to wait or has ended.
    fn drive(&mut self, now: Timestamp, datagram: &[u8], out: &mut Outbox<'_>) {
        loop {
            let outcome = match self.transaction.next(now) {
                // Its bytes are given, so there is nothing to build.
                Next::Idle | Next::Build(..) => return,
                Next::Renew(path, _) => {
                    let renewed = out.try_renew().map(|()| Renewed::FreshPort);
                    self.transaction.on_renewed(now, path, renewed);
                    continue;
                }
                Next::Transmit(_) => {
                    let sent = out.try_send(self.server, self.transaction.datagram());
                    self.transaction.on_sent(now, sent);
                    continue;
                }
                Next::WaitUntil(until) => {
                    self.wait = Some(until);
                    return;
                }
                Next::Done => Outcome::Reply {
                    payload: datagram.get(self.transaction.reply()).unwrap_or_default(),
                    transmissions: self.transaction.transmissions(),
                    elapsed: self.transaction.elapsed(now),
                    timeline: self.transaction.timeline(),
                },
                Next::Failed(failure) => Outcome::Failed {
                    failure,
                    transmissions: self.transaction.transmissions(),
                    elapsed: self.transaction.elapsed(now),
                    execution: self.transaction.execution(),
                    last_path_error: self.transaction.last_error(),
                    timeline: self.transaction.timeline(),
                },
            };
            self.wait = None;
            self.request.clear();
            self.begin = (self.next)(now, outcome, &mut self.request);
            return;
        }
    }
}

impl<M, F> Endpoint for Client<M, F>
where
    M: ReplyMatcher,
    F: FnMut(Timestamp, Outcome<'_>, &mut Vec<u8>) -> Option<Timestamp>,
{
    fn on_datagram(&mut self, now: Timestamp, _from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        // Between two requests everything is late: a request in progress always waits for something.
        if self.wait.is_some() {
            self.transaction.on_datagram(now, PathIndex::FIRST, datagram, datagram.len());
            self.drive(now, datagram, out);
        }
    }

    fn on_path_error(&mut self, now: Timestamp, error: PathError, out: &mut Outbox<'_>) {
        if self.wait.is_some() {
            self.transaction.on_path_error(now, Some(PathIndex::FIRST), error);
            self.drive(now, &[], out);
        }
    }

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox<'_>) {
        if self.wait.is_some_and(|until| until <= now) {
            // What was queued by now came through `on_datagram`.
            self.transaction.on_time_up(now);
        } else if self.wait.is_none() && self.begin.is_some_and(|begin| begin <= now) {
            self.begin = None;
            self.transaction.start(&self.request, now, Seed::new(self.seed.draw(self.requests)));
            self.requests += 1;
        }
        if self.begin.is_none() {
            self.drive(now, &[], out);
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.wait.or(self.begin)
    }
}

impl<M, F> core::fmt::Debug for Client<M, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client").field("server", &self.server).field("requests", &self.requests).finish_non_exhaustive()
    }
}
