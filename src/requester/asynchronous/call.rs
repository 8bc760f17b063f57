use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::calls::{Key, Outcome};
use super::reply::AsyncReply;
use super::shared::{Shared, Wakes};
use super::state::Entered;
use super::target::Target;
use super::waiters::Ticket;
use crate::requester::span::CallSpan;
use crate::time::Timestamp;
use crate::transaction::{Failure, Request, RequestError};
use crate::transport::{PathIndex, PeerAddress};

/// A request of an [`AsyncRequester`](super::AsyncRequester), as a future: it begins when it is first polled, and dropping it
/// cancels it.
#[must_use = "a request is sent when its future is polled"]
pub struct Call<'r, P: PeerAddress = PathIndex> {
    shared: &'r Arc<Shared<P>>,
    to: Target<P>,
    request: Request<'r>,
    stage: Stage,
    span: CallSpan,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    /// For capacity, since and until these times.
    Waiting(Ticket, Timestamp, Timestamp),
    InFlight(Key),
    Over,
}

impl<'r, P: PeerAddress> Call<'r, P> {
    pub(super) fn new(shared: &'r Arc<Shared<P>>, to: Target<P>, request: Request<'r>) -> Self {
        Self { shared, to, request, stage: Stage::New, span: CallSpan::open() }
    }

    fn begin(&mut self, waker: &Waker, wakes: &mut Wakes) -> Poll<Result<AsyncReply<P>, RequestError>> {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        let (entered, since, end_by) = match self.stage {
            Stage::Waiting(ticket, since, end_by) => {
                let waited = (ticket, end_by);
                (state.enter_again(now, waited, self.to, &self.request, waker, wakes), since, end_by)
            }
            _ => {
                let end_by = state.end_by(now, &self.request);
                (state.enter(now, self.to, &self.request, waker, wakes), now, end_by)
            }
        };
        match entered {
            Entered::InFlight(key) => self.stage = Stage::InFlight(key),
            Entered::Waits(ticket) => self.stage = Stage::Waiting(ticket, since, end_by),
            Entered::Failed(failure) => {
                self.stage = Stage::Over;
                return Poll::Ready(Err(state.error(failure, self.to, now.since(since))));
            }
        }
        Poll::Pending
    }

    fn end(&mut self, key: Key, waker: &Waker, wakes: &mut Wakes) -> Poll<Result<AsyncReply<P>, RequestError>> {
        let mut state = self.shared.lock();
        let Some(outcome) = state.take_outcome(key, waker, wakes) else { return Poll::Pending };
        self.stage = Stage::Over;
        let answer = match outcome {
            Outcome::Reply(answer) => answer,
            Outcome::Failed(error) => return Poll::Ready(Err(error)),
        };
        match state.address(answer.peer) {
            Some(peer) => Poll::Ready(Ok(AsyncReply::new(answer, peer, self.shared))),
            None => Poll::Ready(Err(state.error(Failure::UnknownPeer, self.to, core::time::Duration::ZERO))),
        }
    }
}

impl<P: PeerAddress> Future for Call<'_, P> {
    type Output = Result<AsyncReply<P>, RequestError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (call, mut wakes) = (self.get_mut(), Wakes::default());
        let polled = match call.stage {
            Stage::New | Stage::Waiting(..) => call.begin(context.waker(), &mut wakes),
            Stage::InFlight(key) => call.end(key, context.waker(), &mut wakes),
            // It has returned what there was.
            Stage::Over => Poll::Pending,
        };
        wakes.wake();
        if let Poll::Ready(ended) = &polled {
            match ended {
                Ok(reply) => call.span.close(reply.transmissions(), reply.withheld(), None),
                Err(error) => call.span.close(error.transmissions(), error.withheld(), Some(error.failure())),
            }
        }
        polled
    }
}

/// Cancels it, and passes on what was reserved for it.
impl<P: PeerAddress> Drop for Call<'_, P> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::InFlight(key) => {
                let now = self.shared.now();
                self.shared.lock().forget(now, key, &mut wakes);
            }
            Stage::Waiting(ticket, ..) => self.shared.lock().forget_waiting(ticket, &mut wakes),
            Stage::New | Stage::Over => return,
        }
        wakes.wake();
    }
}

impl<P: PeerAddress> fmt::Debug for Call<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("to", &self.to).field("stage", &self.stage).finish_non_exhaustive()
    }
}
