//! The front that programs hold: a requester that blocks until the reply is there.

mod builder;
mod error;
mod reply;
#[cfg_attr(not(feature = "tracing"), path = "no_span.rs")]
mod span;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;

pub use self::builder::Builder;
pub use self::reply::Reply;
use crate::entropy::Seed;
use crate::net::{CancelHandle, ConnectedUdp};
use crate::policy::RttEstimator;
use crate::time::Timestamp;
use crate::transaction::{Failure, Identity, Match, Next, ReplyMatcher, RequestError, Transaction};
use crate::transport::{PathError, Transport};

/// Sends a request, waits for its reply, and sends again while none comes: exponential-backoff request/reply over
/// a connected UDP socket, or over any other [`Transport`].
///
/// **At least once**: a request may reach the server more than once, so the server may run it more than once. Send
/// only what may be repeated, or have the server tell repetitions by their id.
///
/// What it takes care of:
///
/// - Only a reply to *this* request is returned. Late, repeated, malformed and forged datagrams change nothing.
/// - An ICMP error is news, not a verdict: it neither ends the request nor uses up a transmission, and a reply
///   behind it is still found.
/// - Retransmissions leave when they are due, never early and never in a burst.
/// - A request that got no reply says [why](RequestError::failure), and whether it
///   [may have been executed](RequestError::execution).
///
/// ```
/// use udp_retry::{ReliableRequester, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # let answering = std::thread::spawn(move || {
/// #     let mut buffer = [0; 64];
/// #     let (len, from) = server.recv_from(&mut buffer).unwrap();
/// #     server.send_to(&buffer[..len], from).unwrap();
/// # });
/// let mut requester = ReliableRequester::connect(address, transaction_id(0..4).stamped())?;
/// let reply = requester.request(b"....ping")?;
/// println!("{:?} after {:?}", reply.payload(), reply.elapsed());
/// # assert_eq!(reply.payload()[4..], *b"ping");
/// # answering.join().unwrap();
/// # Ok(())
/// # }
/// ```
pub struct ReliableRequester<T = ConnectedUdp> {
    transport: T,
    transaction: Transaction<Box<dyn ReplyMatcher + Send>>,
    deadline: Option<Duration>,
    /// Draws the seed of each request, by its number.
    seed: Seed,
    requests: u64,
    buffer: Vec<u8>,
}

impl ReliableRequester<ConnectedUdp> {
    /// Connects to a server with [`RetryPolicy::default`](crate::RetryPolicy); `matcher` tells which datagram answers which request.
    ///
    /// # Errors
    ///
    /// What the system says of the name or the address.
    pub fn connect(server: impl ToSocketAddrs, matcher: impl ReplyMatcher + Send + 'static) -> io::Result<Self> {
        Self::builder(matcher).connect(server)
    }

    /// A requester with settings of the caller's.
    pub fn builder(matcher: impl ReplyMatcher + Send + 'static) -> Builder {
        Builder::new(Box::new(matcher))
    }

    /// A handle that ends the wait of a request from any thread.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.transport.cancel_handle()
    }
}

impl<T: Transport<Peer = usize>> ReliableRequester<T> {
    /// Sends these bytes, again and again if it must, and returns the reply.
    ///
    /// # Errors
    ///
    /// After the whole schedule without a reply; at once if the request is too large for the path or lacks the id
    /// that the matcher looks for, or if the reply exceeds the buffer. See [`RequestError::failure`].
    pub fn request(&mut self, request: &[u8]) -> Result<Reply<'_>, RequestError> {
        self.transact(|_, bytes| bytes.extend_from_slice(request), Rebuild::Never)
    }

    /// As [`request`](Self::request), but builds the request anew for each transmission: `build` is given the number
    /// of the transmission, from 1, and an empty buffer. For time stamps and attempt counters; a reply to any of
    /// the latest 16 counts.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_with(&mut self, build: impl FnMut(u32, &mut Vec<u8>)) -> Result<Reply<'_>, RequestError> {
        self.transact(build, Rebuild::EachTime)
    }

    /// What the round trips so far call for, if the requester [measures](Builder::estimator) them.
    #[must_use]
    pub fn estimator(&self) -> Option<&RttEstimator> {
        self.transaction.estimator()
    }

    /// The transport underneath.
    #[must_use]
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport underneath; what is received on it directly is lost to the requester.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The transport, without the requester.
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }

    fn transact(
        &mut self,
        mut build: impl FnMut(u32, &mut Vec<u8>),
        rebuild: Rebuild,
    ) -> Result<Reply<'_>, RequestError> {
        let span = span::open();
        let now = self.begin(&mut build);
        let ended = self.drive(now, build, rebuild);
        span.close(&self.transaction, ended.err());
        match ended {
            Ok((len, at)) => Ok(Reply::new(self.buffer.get(..len).unwrap_or_default(), &self.transaction, at)),
            Err(failure) => Err(RequestError::new(failure, &self.transaction, self.transport.now())),
        }
    }

    /// Starts the transaction; returns when that was.
    fn begin(&mut self, build: &mut impl FnMut(u32, &mut Vec<u8>)) -> Timestamp {
        let now = self.transport.now();
        self.transaction.start_building(now, Seed::new(self.seed.draw(self.requests)));
        self.requests = self.requests.wrapping_add(1);
        if let Some(deadline) = self.deadline {
            self.transaction.end_by(now.after(deadline));
        }
        self.transaction.build(build);
        if self.transport.take_cancelled() {
            self.transaction.on_cancelled();
        }
        now
    }

    /// Asks what to do next, does it, and reports how it went, until it is over. Returns how long the reply is, and
    /// when it came.
    fn drive(
        &mut self,
        mut now: Timestamp,
        mut build: impl FnMut(u32, &mut Vec<u8>),
        rebuild: Rebuild,
    ) -> Result<(usize, Timestamp), Failure> {
        let mut built = true;
        let mut port_is_fit = self.transaction.identity() != Identity::Port;
        let mut len = 0;
        loop {
            match self.transaction.next(now) {
                Next::Transmit if !port_is_fit => (port_is_fit, now) = self.renew(now),
                Next::Transmit => {
                    if rebuild == Rebuild::EachTime && !built {
                        self.transaction.build(&mut build);
                        built = true; // ask again: it may lack its id
                        continue;
                    }
                    built = false;
                    self.transmit(now);
                }
                Next::WaitUntil(until) => {
                    (len, now) = self.listen(now, until);
                    if self.transaction.is_done() {
                        return Ok((len, now));
                    }
                }
                Next::Done => return Ok((len, now)),
                Next::Failed(failure) => return Err(failure),
            }
        }
    }

    /// Moves to a fresh port; whether that was possible, and the time.
    fn renew(&mut self, now: Timestamp) -> (bool, Timestamp) {
        match self.transport.renew() {
            Ok(()) => {
                let now = self.transport.now();
                self.transaction.put_off(now);
                (true, now)
            }
            Err(PathError::Unsupported) => {
                self.transaction.on_not_renewed(PathError::Unsupported);
                (false, now)
            }
            // Such as a route that is gone: it may be there again when the next transmission is due.
            Err(error) => {
                self.transaction.on_not_transmitted(now, error);
                (false, self.transport.now())
            }
        }
    }

    fn transmit(&mut self, now: Timestamp) {
        match self.transport.send_again(PATH, self.transaction.datagram()) {
            Ok(swallowed) => {
                if let Some(error) = swallowed {
                    self.transaction.on_path_error(now, error);
                }
                self.transaction.on_transmitted(now);
            }
            Err(error) => self.transaction.on_not_transmitted(now, error),
        }
    }

    /// Listens until something came or the time has come; returns the length of what is in the buffer, and the time.
    ///
    /// Once the time has come everything that is queued is read, because it may hide the reply.
    fn listen(&mut self, mut now: Timestamp, until: Timestamp) -> (usize, Timestamp) {
        for _ in 0..MOST_OVERDUE {
            match self.transport.recv_within(&mut self.buffer, now, until) {
                Ok(Some(heard)) => {
                    let datagram = self.buffer.get(..heard.len).unwrap_or_default();
                    let verdict = self.transaction.on_datagram(heard.at, datagram, heard.actual);
                    if verdict == Match::Reply {
                        return (heard.len, heard.at);
                    }
                }
                Ok(None) => {
                    if self.transport.take_cancelled() {
                        self.transaction.on_cancelled();
                    }
                    break;
                }
                Err(error) => self.transaction.on_path_error(self.transport.now(), error),
            }
            now = self.transport.now();
            if now < until {
                return (0, now);
            }
        }
        (0, self.transport.now())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebuild {
    Never,
    EachTime,
}

impl<T: fmt::Debug> fmt::Debug for ReliableRequester<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReliableRequester")
            .field("transport", &self.transport)
            .field("deadline", &self.deadline)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// So much is read at most once the time has come, lest a flood put off the next transmission.
const MOST_OVERDUE: u32 = 64;

/// A requester has one path.
const PATH: usize = 0;
