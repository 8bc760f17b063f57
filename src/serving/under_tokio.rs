use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};

use super::asynchronous::{AsyncHandled, AsyncRequest, Made};
use super::line::Line;
use super::shared::SharedResponder;
use crate::net::{Look, Sockets, UnconnectedUdp};
use crate::replies::DuplicateKey;
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;
use crate::transport::{Incoming, Received, Route, Transport};

impl<K: DuplicateKey> SharedResponder<K> {
    /// Serves under tokio, with `most` requests in progress at once: each is a task of its own, and copies are answered meanwhile. With
    /// the feature `tokio`.
    ///
    /// `most` bounds the memory, that of a task and the bytes of its request each: as many as what the handlers wait for can do at
    /// once, such as the connections of a pool, or a thousand where they wait for nothing in particular.
    ///
    /// Where as many are in progress as may be, nothing is read until one has ended: what comes waits in the receive buffer, and
    /// what that does not hold is lost, so that the client asks again. A handler that panics ends its own task alone, and its
    /// request stays in progress.
    ///
    /// It ends by a [cancel handle](UnconnectedUdp::cancel_handle) that was made before, from any thread: it reads nothing from then
    /// on, answers what is in progress once that has ended, and returns. To end it at once, drop the future: that ends the handlers,
    /// too, and what they executed is not answered.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use udp_retry::net::UnconnectedUdp;
    /// use udp_retry::replies::{ReplyLimits, Responder, same_id};
    /// use udp_retry::serving::{AsyncRequest, SharedResponder};
    /// use udp_retry::{AsyncRequester, transaction_id};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let mut socket = UnconnectedUdp::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr();
    /// let responder = SharedResponder::from(Responder::over(&mut socket, ReplyLimits::default(), same_id(0..8))?);
    /// let stop = socket.cancel_handle()?;
    /// let serving = tokio::spawn(async move {
    ///     let most = NonZeroUsize::new(1000).unwrap();
    ///     responder.serve_async(socket, most, async |request: AsyncRequest| {
    ///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    ///         let reply = [&request.bytes()[..8], b"pong"].concat();
    ///         request.reply(reply)
    ///     }).await
    /// });
    ///
    /// let requester = AsyncRequester::connect(address, transaction_id(0..8).stamped()).await?;
    /// assert_eq!(requester.request(b"........ping").await?.payload()[8..], *b"pong");
    /// stop.cancel();
    /// serving.await??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// There is no tokio runtime, or it has no descriptor for the socket, or it ends. Nothing that the network does is an error.
    pub async fn serve_async<F>(
        &self,
        mut socket: UnconnectedUdp,
        most: NonZeroUsize,
        handler: impl FnMut(AsyncRequest) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = AsyncHandled> + Send + 'static,
    {
        Handle::try_current().map_err(io::Error::other)?;
        let sockets = Sockets::of(&socket)?;
        let mut server = Server {
            sockets,
            dried: socket.now(),
            line: Line::new(&mut socket, self, Vec::new()),
            handler,
            most: most.get(),
            in_progress: JoinSet::new(),
            buffer: vec![0; LARGEST_DATAGRAM],
            rest: Box::pin(sleep(Duration::ZERO)),
            is_dry: false,
        };
        poll_fn(|context| server.turn(context)).await
    }
}

struct Server<'s, K, H> {
    line: Line<'s, UnconnectedUdp, K>,
    sockets: Sockets,
    handler: H,
    most: usize,
    /// Dropped with this: no handler outlives its server.
    in_progress: JoinSet<AsyncHandled>,
    buffer: Vec<u8>,
    rest: Pin<Box<Sleep>>,
    /// Nothing was left at the last look, which was then.
    is_dry: bool,
    dried: Timestamp,
}

impl<K: DuplicateKey, H: FnMut(AsyncRequest) -> F, F: Future<Output = AsyncHandled> + Send + 'static> Server<'_, K, H> {
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            self.answer(context);
            self.line.is_cancelled |= self.line.transport.poll_cancelled(context);
            if self.line.is_cancelled && self.in_progress.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !self.reads() {
                // The end of any wakes this.
                return Poll::Pending;
            }
            let now = self.line.transport.now();
            let Some(is_ready) = self.sockets.poll(now, context) else {
                return Poll::Ready(Err(io::Error::other("the runtime has ended")));
            };
            if is_ready || !self.is_dry {
                self.look();
            } else if self.rests(now, context) {
                return Poll::Pending;
            }
        }
        // The others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Answers what has been executed.
    fn answer(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(handled)) = self.in_progress.poll_join_next(context) {
            // Where the handler has panicked, its job is gone, and its request in progress.
            let Ok(AsyncHandled { made }) = handled else { continue };
            match made {
                Made::Reply(job, reply) => {
                    self.line.finish(job, &reply);
                    self.sockets.on_sent();
                }
                Made::NotExecuted(job) => self.line.abandon(job),
                Made::Silence => {}
            }
        }
    }

    /// Whether what comes may be executed.
    fn reads(&self) -> bool {
        !self.line.is_cancelled && self.in_progress.len() < self.most
    }

    /// Reads until nothing is left, or no more may be executed; a batch at most.
    fn look(&mut self) {
        self.is_dry = false;
        for _ in 0..BATCH {
            if !self.reads() {
                return;
            }
            let now = self.line.transport.now();
            match self.line.transport.look(&mut self.buffer, self.dried, now) {
                Some(Incoming::Datagram(received)) => {
                    self.sockets.on_given(0, true);
                    self.take(&received);
                }
                Some(Incoming::PathError { .. }) => self.sockets.on_given(0, false),
                Some(Incoming::Cancelled) => self.line.is_cancelled = true,
                Some(Incoming::TimeUp(_)) => {}
                None => {
                    self.sockets.on_dry(now);
                    (self.is_dry, self.dried) = (true, now);
                    return;
                }
            }
        }
    }

    fn take(&mut self, received: &Received<Route>) {
        let datagram = self.buffer.get(..received.len).unwrap_or_default();
        let has_sent = self.line.take(received, datagram, |_, job, bytes| {
            let request = AsyncRequest::new(bytes, received.at, job);
            self.in_progress.spawn((self.handler)(request));
        });
        if has_sent {
            self.sockets.on_sent();
        }
    }

    /// Whether there is nothing to do until it is woken.
    fn rests(&mut self, now: Timestamp, context: &mut Context<'_>) -> bool {
        let alarm = self.sockets.alarm(now);
        if alarm == Timestamp::MAX {
            return true;
        }
        self.rest.as_mut().reset(Instant::now() + alarm.since(now));
        self.rest.as_mut().poll(context).is_pending()
    }
}

/// So often one thing leads to another before others have their turn.
const ROUNDS: u32 = 4;
/// Read before what has been executed is answered.
const BATCH: u32 = 64;
