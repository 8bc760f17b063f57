use alloc::vec::Vec;

use super::line::Line;
use super::shared::Buffers;
use super::{Handled, Request, SharedResponder};
use crate::replies::DuplicateKey;
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;
use crate::transport::{Incoming, Received, Route, Transport};

/// Why a loop has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "nothing else ends it")]
pub enum Ended {
    /// Its transport was cancelled. What was executed has been answered.
    Cancelled,
    /// Its time has come, and nothing was queued then; in a simulated network also, nothing will ever come.
    TimeUp,
}

impl<K: DuplicateKey> SharedResponder<K> {
    /// Serves until the transport is cancelled: executes what is new by the handler, and answers copies by the reply that is kept.
    ///
    /// The handler gets a request once, whatever the network repeats, within what [`replies`](crate::replies) promises; it writes the
    /// reply into an empty buffer that is used again and again. Answers leave from the address that was asked
    /// ([`UnconnectedUdp`](crate::net::UnconnectedUdp) has it on Linux). Several threads serve one socket by clones of it and of
    /// this: see [`UnconnectedUdp::try_clone`](crate::net::UnconnectedUdp::try_clone).
    ///
    /// - Nothing that a socket reports ends the loop, as none of it is final: a network that is down may come up. A socket that
    ///   fails at every call is left alone for up to 0.1 s between them, by the transports of [`net`](crate::net).
    /// - A reply that cannot leave is offered once more, then counted ([`unsent`](Self::unsent)). The client asks again, and is
    ///   answered by it.
    /// - A handler that panics has its request stay in progress: what it did is not known, so no copy is executed. The panic goes on
    ///   to the caller of this, who may call it again; all else is as it was, and the other threads go on.
    ///
    /// ```
    /// # use std::panic::{AssertUnwindSafe, catch_unwind};
    /// # use udp_retry::net::UnconnectedUdp;
    /// # use udp_retry::replies::{ReplyLimits, Responder, same_id};
    /// # use udp_retry::serving::{Handled, Request, SharedResponder};
    /// # fn handle(_: &mut Request<'_>, _: &mut Vec<u8>) -> Handled { Handled::Silence }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut socket = UnconnectedUdp::bind("127.0.0.1:0")?;
    /// let responder = SharedResponder::from(Responder::over(&mut socket, ReplyLimits::default(), same_id(0..8))?);
    /// # socket.cancel_handle()?.cancel();
    /// // Goes on after a panic of the handler.
    /// while catch_unwind(AssertUnwindSafe(|| responder.serve(&mut socket, handle))).is_err() {}
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<T: Transport<Peer = Route>>(
        &self,
        transport: &mut T,
        handler: impl FnMut(&mut Request<'_>, &mut Vec<u8>) -> Handled,
    ) -> Ended {
        self.serve_until(transport, Timestamp::MAX, handler)
    }

    /// As [`serve`](Self::serve), until this moment at the latest: one in the past serves what is queued. So a server has its turns
    /// in an event loop, or in a simulated network (`sim::SimNet::run_in_turns`).
    pub fn serve_until<T: Transport<Peer = Route>>(
        &self,
        transport: &mut T,
        until: Timestamp,
        mut handler: impl FnMut(&mut Request<'_>, &mut Vec<u8>) -> Handled,
    ) -> Ended {
        let Buffers { mut request, mut reply, answer } = self.take_buffers();
        request.resize(LARGEST_DATAGRAM, 0);
        let (mut line, mut overdue) = (Line::new(transport, self, answer), 0);
        let ended = loop {
            let now = line.now();
            match line.transport.recv(&mut request, now, until) {
                Incoming::Datagram(received) => {
                    let datagram = request.get(..received.len).unwrap_or_default();
                    serve_one(&mut line, &received, datagram, &mut reply, &mut handler);
                    // A flood must not keep the caller past its time.
                    overdue += u32::from(now > until);
                    if line.is_cancelled || overdue > MOST_OVERDUE {
                        break if line.is_cancelled { Ended::Cancelled } else { Ended::TimeUp };
                    }
                }
                Incoming::PathError { .. } => {}
                Incoming::TimeUp(_) => break Ended::TimeUp,
                Incoming::Cancelled => break Ended::Cancelled,
            }
        };
        self.give_back(Buffers { request, reply, answer: line.answer });
        ended
    }
}

#[inline]
fn serve_one<T: Transport<Peer = Route>, K: DuplicateKey>(
    line: &mut Line<'_, T, K>,
    received: &Received<Route>,
    datagram: &[u8],
    reply: &mut Vec<u8>,
    handler: &mut impl FnMut(&mut Request<'_>, &mut Vec<u8>) -> Handled,
) {
    line.take(received, datagram, |line, job, bytes| {
        reply.clear();
        let mut provisional = |job: &_, answer: &_| line.provisional(job, answer);
        let mut request = Request::new(bytes, received, job, &mut provisional);
        let handled = handler(&mut request, reply);
        // Without a job it comes later; one that is dropped here stays in progress.
        let Some(job) = request.into_job() else { return };
        match handled {
            Handled::Reply => line.finish(job, reply),
            Handled::NotExecuted => line.abandon(job),
            Handled::Silence => {}
        }
    });
}

/// Datagrams that are still served once the time is up.
const MOST_OVERDUE: u32 = 64;
