//! The loop of a [`ConcurrentRequester`], which knows no rule of when to send or when to stop: only in which order to look at
//! what there is.

use super::ConcurrentRequester;
use super::peers::Asked;
use super::transmission::{CLOCK_EACH, Transmission, transmit};
use crate::time::Timestamp;
use crate::transaction::{Arrived, Finished};
use crate::transport::{Incoming, PeerAddress, Transport};

/// What a turn came to.
pub(super) enum Turn {
    /// A request has ended, with a reply of this many bytes.
    Ended(Finished, usize),
    /// Also: nothing is in flight.
    TimeUp,
    Cancelled,
}

impl<T: Transport<Peer: PeerAddress>> ConcurrentRequester<T> {
    /// Sends and receives until a request has ended or the time has come; without a time, until nothing is in flight.
    pub(super) fn turn(&mut self, until: Option<Timestamp>) -> Turn {
        let (mut now, mut is_over, mut overdue) = (self.transport.now(), false, 0);
        let end = until.unwrap_or(Timestamp::MAX);
        loop {
            let more = self.holds(now) || self.transmit(&mut now);
            // What was sent last may have ended its request.
            if let Some(failed) = self.engine.next_finished() {
                return Turn::Ended(failed, 0);
            }
            if is_over || until.is_none() && self.engine.is_empty() {
                return Turn::TimeUp;
            }
            // Not the caller's time where that is past: datagrams would pass for having arrived by then.
            let latest = if more { now } else { end.max(now) };
            self.engine.advance(now);
            let wake = self.engine.next_deadline().unwrap_or(latest).min(latest);
            let incoming = self.transport.recv(&mut self.buffer, now, wake);
            let Self { transport, engine, buffer, .. } = self;
            match incoming {
                Incoming::Datagram(received) => {
                    // One that waited in the queue came before it was looked for.
                    now = now.max(received.at);
                    self.to_read = self.to_read.saturating_sub(1);
                    let datagram = buffer.get(..received.len).unwrap_or_default();
                    let arrived = engine.on_datagram(received.at, Asked::at(received.from), datagram, received.actual);
                    if let Arrived::Reply(finished) = arrived {
                        return Turn::Ended(finished, received.len);
                    }
                    overdue += u32::from(now >= end);
                }
                Incoming::PathError { path, error, quoted } => {
                    now = transport.now();
                    let quoted = buffer.get(..quoted).unwrap_or_default();
                    engine.on_path_error(now, path.map(Asked::at), error, quoted);
                    overdue += u32::from(now >= end);
                }
                Incoming::TimeUp(at) => {
                    now = at;
                    self.to_read = 0;
                    self.held.on_nothing_queued(engine.ready());
                    engine.on_time_up(now);
                    is_over = now >= end;
                }
                Incoming::Cancelled => return Turn::Cancelled,
            }
            // A flood of strays, or of errors, must not keep the caller past the time.
            is_over |= overdue > MOST_OVERDUE;
        }
    }

    /// Whether what is ready waits for more, as replies may be queued.
    #[inline]
    fn holds(&mut self, now: Timestamp) -> bool {
        let ready = self.engine.ready();
        self.held.holds(now, ready, self.engine.len().saturating_sub(ready))
    }

    /// Sends what is ready, a batch of it at most, and returns whether more is.
    ///
    /// After a full batch, as many datagrams are read before the next one as it had: the replies to thousands of requests that
    /// leave in one go would overflow the receive buffer.
    fn transmit(&mut self, now: &mut Timestamp) -> bool {
        let Self { transport, engine, .. } = self;
        let mut left = if self.to_read == 0 { BATCH } else { 0 };
        while left > 0 {
            match transmit(engine, transport, *now) {
                Transmission::Nothing | Transmission::All | Transmission::Cancelled => return false,
                Transmission::Some | Transmission::Failed => {}
            }
            left = left.saturating_sub(CLOCK_EACH);
            *now = transport.now();
            if left == 0 {
                self.to_read = BATCH;
            }
        }
        engine.transmits().next().is_some()
    }
}

/// Sent before what is queued is looked at: the replies to fewer than this fit into any receive buffer.
const BATCH: usize = 64;
/// Datagrams and errors that are still looked at once the time is up, to find a reply.
const MOST_OVERDUE: u32 = 64;
