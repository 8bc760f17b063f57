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
use super::line::offer;
use super::shared::{SharedResponder, Step};
use crate::net::{Look, Sockets, UnconnectedUdp};
use crate::replies::DuplicateKey;
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;
use crate::transport::{Incoming, Received, Route, Transport};

impl<K: DuplicateKey> SharedResponder<K> {
    /// Serves under tokio, with this many requests in progress at most: each is a task of its own, and copies are answered
    /// meanwhile. With the feature `tokio`.
    ///
    /// Where as many are in progress as may be, nothing is read until one has ended: what comes waits in the receive buffer, and
    /// what that does not hold is lost, so that the client asks again. A handler that panics ends its own task alone, and its
    /// request stays in progress.
    ///
    /// To end it, drop the future: that ends the handlers, too, and what they executed is not answered. A cancel handle does not wake
    /// it.
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
    /// tokio::spawn(async move {
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
        socket: UnconnectedUdp,
        most: NonZeroUsize,
        handler: impl FnMut(AsyncRequest) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = AsyncHandled> + Send + 'static,
    {
        Handle::try_current().map_err(io::Error::other)?;
        let sockets = Sockets::of(&socket)?;
        let mut server = Server {
            responder: self,
            sockets,
            dried: socket.now(),
            socket,
            handler,
            most: most.get(),
            in_progress: JoinSet::new(),
            buffer: vec![0; LARGEST_DATAGRAM],
            datagram: Vec::new(),
            rest: Box::pin(sleep(Duration::ZERO)),
            is_dry: false,
        };
        poll_fn(|context| server.turn(context)).await;
        Err(io::Error::other("the runtime has ended"))
    }
}

struct Server<'s, K, H> {
    responder: &'s SharedResponder<K>,
    sockets: Sockets,
    socket: UnconnectedUdp,
    handler: H,
    most: usize,
    /// Dropped with this: no handler outlives its server.
    in_progress: JoinSet<AsyncHandled>,
    buffer: Vec<u8>,
    /// To be sent.
    datagram: Vec<u8>,
    rest: Pin<Box<Sleep>>,
    /// Nothing was left at the last look, which was then.
    is_dry: bool,
    dried: Timestamp,
}

impl<K: DuplicateKey, H: FnMut(AsyncRequest) -> F, F: Future<Output = AsyncHandled> + Send + 'static> Server<'_, K, H> {
    /// Ready once the runtime has ended.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            self.answer(context);
            if self.in_progress.len() >= self.most {
                // The end of any wakes this.
                return Poll::Pending;
            }
            let now = self.socket.now();
            let Some(is_ready) = self.sockets.poll(now, context) else { return Poll::Ready(()) };
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
                    let now = self.socket.now();
                    let to = self.responder.lock().finish(now, job, &reply, &mut self.datagram);
                    to.into_iter().for_each(|to| self.send(to));
                }
                Made::NotExecuted(job) => self.responder.abandon(job),
                Made::Silence => {}
            }
        }
    }

    /// Reads until nothing is left, or as many are in progress as may be; a batch at most.
    fn look(&mut self) {
        self.is_dry = false;
        for _ in 0..BATCH {
            if self.in_progress.len() >= self.most {
                return;
            }
            let now = self.socket.now();
            match self.socket.look(&mut self.buffer, self.dried, now) {
                Some(Incoming::Datagram(received)) => {
                    self.sockets.on_given(0, true);
                    self.take(&received);
                }
                Some(Incoming::PathError { .. }) => self.sockets.on_given(0, false),
                Some(Incoming::TimeUp(_) | Incoming::Cancelled) => {}
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
        let step = self.responder.lock().on_datagram(received, datagram, &mut self.datagram);
        match step {
            Step::Execute(job, bytes) => {
                let request = AsyncRequest::new(bytes, received.at, job);
                self.in_progress.spawn((self.handler)(request));
            }
            Step::Send(to) => self.send(to),
            Step::Nothing => {}
        }
    }

    fn send(&mut self, to: Route) {
        let sent = offer(&mut self.socket, to, &self.datagram);
        self.responder.sent(sent);
        self.sockets.on_sent();
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
