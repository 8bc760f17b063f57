//! The fronts that programs hold: a requester that blocks until the reply is there, and two for many requests at once, of which
//! one waits for whatever ends next and one has futures.

#[cfg(any(feature = "tokio", feature = "sim"))]
mod asynchronous;
mod buffer_warning;
mod builder;
#[cfg(feature = "fault")]
mod cancel;
mod completion;
mod concurrent;
mod concurrent_settings;
mod error;
mod groups;
mod held;
mod peers;
mod reply;
mod sequential;
#[cfg_attr(not(feature = "tracing"), path = "no_span.rs")]
mod span;
mod transmission;
mod turn;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use std::io;
use std::net::ToSocketAddrs;

#[cfg(any(feature = "tokio", feature = "sim"))]
pub use self::asynchronous::{AsyncReply, AsyncRequester, Asynchronous, Call, Target};
pub use self::buffer_warning::BufferWarning;
pub use self::builder::Builder;
pub use self::completion::{Completion, Waited};
pub use self::concurrent::ConcurrentRequester;
pub use self::concurrent_settings::Concurrent;
pub use self::error::OverServersError;
pub use self::reply::{OwnedReply, Reply};
pub use self::sequential::Sequential;
use self::sequential::SharedMatcher;
use crate::entropy::{Draws, Seed};
use crate::net::{Cancel, CancelHandle, UdpPaths};
use crate::policy::RttEstimator;
use crate::servers::ServerState;
use crate::time::Timestamp;
use crate::transaction::{BuildFor, Failure, Next, ReplyMatcher, Request, RequestError, Transaction};
use crate::transport::{PathIndex, Transport};

/// Sends a request, waits for its reply, and sends again while none comes: exponential-backoff request/reply over
/// a connected UDP socket, or over any other [`Transport`].
///
/// **At least once**: a request may reach the server more than once, so the server may run it more than once. Send
/// only what may be repeated, or have the server tell repetitions by their id.
///
/// What it takes care of:
///
/// - Only a reply to *this* request is returned. Late, repeated, malformed and forged datagrams change nothing.
/// - An ICMP error is information, not a verdict: it neither ends the request nor uses up a transmission, and a reply
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
/// let mut requester = ReliableRequester::connect(address, transaction_id(0..4))?;
/// let reply = requester.request(b"\x00\x00\x00\x07ping")?;
/// println!("{:?} after {:?}", reply.payload(), reply.elapsed());
/// # assert_eq!(reply.payload(), b"\x00\x00\x00\x07ping");
/// # answering.join().unwrap();
/// # Ok(())
/// # }
/// ```
pub struct ReliableRequester<T = UdpPaths> {
    transport: T,
    transaction: Transaction<SharedMatcher>,
    /// Each request draws from a seed of its own, by its number.
    draws: Draws,
    requests: u64,
    buffer: Vec<u8>,
}

impl ReliableRequester<UdpPaths> {
    /// Connects to a server with [`RetryPolicy::default`](crate::RetryPolicy); `matcher` tells which datagram answers which
    /// request. A name with several addresses is a service with [several servers](Builder::connect_any).
    ///
    /// # Errors
    ///
    /// What the system says of the name or the address.
    pub fn connect(server: impl ToSocketAddrs, matcher: impl ReplyMatcher + Send + Sync + 'static) -> io::Result<Self> {
        Self::builder(matcher).connect(server)
    }

    /// Connects to a service with several servers, all addresses of these names, of which any may answer: see
    /// [`Builder::connect_any`].
    ///
    /// # Errors
    ///
    /// What the system says of the names, or the addresses.
    pub fn connect_any(
        servers: impl IntoIterator<Item = impl Into<String>>,
        matcher: impl ReplyMatcher + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::builder(matcher).connect_any(servers)
    }

    /// A requester with settings of the caller's.
    pub fn builder(matcher: impl ReplyMatcher + Send + Sync + 'static) -> Builder {
        Builder::new(Sequential::new(matcher))
    }
}

impl<T: Cancel> ReliableRequester<T> {
    /// A handle that ends the wait of a request from any thread.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.transport.cancel_handle()
    }
}

impl<T: Transport<Peer = PathIndex>> ReliableRequester<T> {
    /// Sends a request, again and again if it must, and returns the reply: bytes, or a [`Request`] with a deadline or a
    /// policy of its own.
    ///
    /// # Errors
    ///
    /// After the whole schedule without a reply; at once if the request is too large for the path or lacks the id
    /// that the matcher looks for, or if the reply exceeds the buffer. See [`RequestError::failure`].
    pub fn request<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Reply<'_>, RequestError> {
        let (now, seed) = self.begin();
        self.transaction.start(request, now, seed);
        self.transact(now, |_, _| {})
    }

    /// As [`request`](Self::request), but builds the request anew for each transmission: `build` is given what the
    /// bytes are for, such as the number of the transmission, and an empty buffer. For time stamps and attempt counters; a
    /// reply to any of the latest 16 counts. The time that it takes shortens no wait.
    ///
    /// Where large datagrams vanish, as in the tunnel of a firewall that eats ICMP, a builder can do with smaller ones:
    /// [`BuildFor::at_most`] says when to. Such as a DNS query, which states how large a reply may be (EDNS):
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// use udp_retry::sim::SimNet;
    /// use udp_retry::size::Plpmtu;
    /// use udp_retry::{ReliableRequester, Seed, transaction_id};
    ///
    /// # #[cfg(not(feature = "sim"))]
    /// # fn main() {}
    /// # #[cfg(feature = "sim")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let [client, server] = [net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?];
    /// let back = udp_retry::fault::Profile { to_client: "mtu 1400".parse()?, ..Default::default() };
    /// net.path(client, server, back)?;
    /// net.serve("10.0.0.2:53".parse()?, |_, from, query, out| {
    ///     let size = u16::from_be_bytes([query[2], query[3]]);
    ///     out.send(from, &[&query[..2], &vec![0; usize::from(size) - 2]].concat());
    /// })?;
    /// let transport = net.connect(client, "10.0.0.2:53".parse()?)?;
    /// let mut requester = ReliableRequester::builder(transaction_id(0..2)).buffer(4096).over(transport)?;
    ///
    /// let reply = requester.request_with(|purpose, query| {
    ///     let size = purpose.at_most.map_or(4096, Plpmtu::bytes) as u16;
    ///     query.extend_from_slice(&[0, 7]); // the id
    ///     query.extend_from_slice(&size.to_be_bytes());
    /// })?;
    /// assert_eq!((reply.payload().len(), reply.transmissions()), (1200, 3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A large *request* need not find that out each time: the requester remembers which sizes are answered.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_with(&mut self, build: impl FnMut(BuildFor, &mut Vec<u8>)) -> Result<Reply<'_>, RequestError> {
        let (now, seed) = self.begin();
        self.transaction.start_building(now, seed);
        self.transact(now, build)
    }

    /// What the round trips so far call for, if the requester [measures](Builder::estimator) them.
    #[must_use]
    pub fn estimator(&self) -> Option<&RttEstimator> {
        self.transaction.estimator()
    }

    /// The servers, if it has [several](Builder::connect_any): what each has shown, for a metrics page.
    pub fn server_states(&self) -> impl Iterator<Item = ServerState> {
        let now = self.transport.now();
        self.transaction.servers().into_iter().flat_map(move |servers| servers.states(now))
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

    fn begin(&mut self) -> (Timestamp, Seed) {
        let seed = Seed::new(self.draws.draw(self.requests));
        self.requests = self.requests.wrapping_add(1);
        (self.transport.now(), seed)
    }

    fn transact(
        &mut self,
        now: Timestamp,
        build: impl FnMut(BuildFor, &mut Vec<u8>),
    ) -> Result<Reply<'_>, RequestError> {
        let span = span::open();
        let ended = self.drive(now, build);
        span.close(&self.transaction, ended.err());
        match ended {
            Ok(at) => {
                let payload = self.buffer.get(self.transaction.reply()).unwrap_or_default();
                Ok(Reply::new(payload, &self.transaction, at))
            }
            Err(failure) => Err(self.transaction.error(failure, self.transport.now())),
        }
    }

    /// Does what the transaction asks for until it has ended, and returns when the reply came. What to do, and when, is
    /// the transaction's to know.
    fn drive(
        &mut self,
        mut now: Timestamp,
        mut build: impl FnMut(BuildFor, &mut Vec<u8>),
    ) -> Result<Timestamp, Failure> {
        let Self { transport, transaction, buffer, .. } = self;
        loop {
            match transaction.next(now) {
                Next::Build(..) => {
                    transaction.build(&mut build);
                    now = transport.now();
                }
                Next::Renew(path, need) => {
                    let renewed = transport.renew(path, need);
                    now = transport.now();
                    transaction.on_renewed(now, path, renewed);
                }
                Next::Transmit(path) => transaction.on_sent(now, transport.send(path, transaction.datagram())),
                Next::WaitUntil(until) => {
                    let incoming = transport.recv(buffer, now, until);
                    now = incoming.at().unwrap_or_else(|| transport.now());
                    transaction.on_incoming(now, incoming, buffer);
                }
                Next::Done => return Ok(now),
                Next::Failed(failure) => return Err(failure),
                Next::Idle => return Err(Failure::Cancelled),
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for ReliableRequester<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReliableRequester")
            .field("transport", &self.transport)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// Nothing is half done after a panic of a matcher, a builder or an observer: the next request begins anew.
impl<T: UnwindSafe> UnwindSafe for ReliableRequester<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for ReliableRequester<T> {}
