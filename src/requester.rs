//! The front that programs hold: a requester that blocks until the reply is there.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;

use crate::entropy::Seed;
use crate::error::RequestError;
use crate::exchange::{Failure, Identity, Match, Next, OnUnreachable, ReplyMatcher, Strays, Timeline, Transaction};
use crate::net::{UdpTransport, system_seed};
use crate::policy::{RetryBudget, RetryPolicy};
use crate::time::Timestamp;
use crate::transport::Transport;

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
/// let mut requester = ReliableRequester::connect(address, transaction_id(0..4))?;
/// let reply = requester.request(b"\x00\x00\x00\x07ping")?;
/// println!("{:?} after {:?}", reply.payload(), reply.elapsed());
/// # assert_eq!(reply.payload(), b"\x00\x00\x00\x07ping");
/// # answering.join().unwrap();
/// # Ok(())
/// # }
/// ```
pub struct ReliableRequester<T = UdpTransport> {
    transport: T,
    transaction: Transaction<Box<dyn ReplyMatcher + Send>>,
    deadline: Option<Duration>,
    /// Each request draws from a seed of its own, by its number.
    seed: Seed,
    requests: u64,
    buffer: Vec<u8>,
}

impl ReliableRequester<UdpTransport> {
    /// Connects to a server with [`RetryPolicy::default`]; `matcher` tells which datagram answers which request.
    ///
    /// # Errors
    ///
    /// What the system says of the name or the address.
    pub fn connect(server: impl ToSocketAddrs, matcher: impl ReplyMatcher + Send + 'static) -> io::Result<Self> {
        Self::builder(matcher).connect(server)
    }

    /// A requester with settings of the caller's.
    pub fn builder(matcher: impl ReplyMatcher + Send + 'static) -> Builder {
        Builder {
            matcher: Box::new(matcher),
            policy: RetryPolicy::default(),
            budget: RetryBudget::unlimited(),
            on_unreachable: OnUnreachable::KeepTrying,
            deadline: None,
            seed: None,
            buffer: 65_535,
        }
    }
}

/// Settings of a [`ReliableRequester`]; made by [`ReliableRequester::builder`].
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RetryPolicy::default`]: for the Internet |
/// | [`budget`](Self::budget) | unlimited; [`RetryBudget::default`] is recommended, shared by all requests to a destination |
/// | [`on_unreachable`](Self::on_unreachable) | keeps trying: a server that restarts is back before the schedule ends |
/// | [`deadline`](Self::deadline) | none but the policy's |
/// | [`seed`](Self::seed) | from the operating system |
/// | [`buffer`](Self::buffer) | 65,535 bytes: any reply fits |
#[must_use]
pub struct Builder {
    matcher: Box<dyn ReplyMatcher + Send>,
    policy: RetryPolicy,
    budget: RetryBudget,
    on_unreachable: OnUnreachable,
    deadline: Option<Duration>,
    seed: Option<Seed>,
    buffer: usize,
}

impl Builder {
    /// When to send again, and when to give up.
    pub fn policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Spends retransmissions from a budget that all requests to the destination should share: a request that finds
    /// it empty keeps listening instead of sending again.
    pub fn budget(self, budget: &RetryBudget) -> Self {
        Self { budget: budget.clone(), ..self }
    }

    /// Takes the message that nobody listens there, or that no way leads there, for the end of a request: at once, or
    /// after some of them. A reply that is there already is still found.
    pub fn on_unreachable(self, on_unreachable: OnUnreachable) -> Self {
        Self { on_unreachable, ..self }
    }

    /// Ends every request this long after its call at the latest, whatever the policy says. A reply that arrives
    /// exactly then is accepted.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Makes the jitter repeatable: same seed, same intervals.
    pub fn seed(self, seed: Seed) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The longest reply that can be received, in bytes. A longer one is an error that tells both sizes.
    pub fn buffer(self, bytes: usize) -> Self {
        Self { buffer: bytes, ..self }
    }

    /// Connects a UDP socket of its own to the first address that the system accepts.
    ///
    /// # Errors
    ///
    /// What the system says of the name or the address.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<ReliableRequester> {
        Ok(self.over(UdpTransport::connect(server)?))
    }

    /// Runs over a transport of the caller's: a bad network, a simulated one, or a socket with settings.
    pub fn over<T: Transport<Peer = usize>>(self, transport: T) -> ReliableRequester<T> {
        ReliableRequester {
            transaction: Transaction::new(self.policy, self.matcher)
                .with_budget(self.budget)
                .with_on_unreachable(self.on_unreachable),
            deadline: self.deadline,
            seed: self.seed.unwrap_or_else(|| fresh_seed(transport.now())),
            requests: 0,
            buffer: vec![0; self.buffer],
            transport,
        }
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
        self.exchange(|_, bytes| bytes.extend_from_slice(request), Rebuild::Never)
    }

    /// As [`request`](Self::request), but builds the request anew for each transmission: `build` is given the number
    /// of the transmission, from 1, and an empty buffer. For time stamps and attempt counters; a reply to any of
    /// the latest 16 counts.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_with(&mut self, build: impl FnMut(u32, &mut Vec<u8>)) -> Result<Reply<'_>, RequestError> {
        self.exchange(build, Rebuild::EachTime)
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

    fn exchange(
        &mut self,
        mut build: impl FnMut(u32, &mut Vec<u8>),
        rebuild: Rebuild,
    ) -> Result<Reply<'_>, RequestError> {
        let now = self.begin(&mut build)?;
        let (len, at) = self.drive(now, build, rebuild)?;
        Ok(Reply {
            payload: self.buffer.get(..len).unwrap_or_default(),
            transmissions: self.transaction.transmissions(),
            withheld: self.transaction.withheld(),
            elapsed: self.transaction.elapsed(at),
            round_trip: self.transaction.round_trip(),
            strays: self.transaction.strays(),
            timeline: self.transaction.timeline(),
        })
    }

    /// Starts the transaction; returns the moment at which its first transmission may leave.
    fn begin(&mut self, build: &mut impl FnMut(u32, &mut Vec<u8>)) -> Result<Timestamp, RequestError> {
        let now = self.transport.now();
        self.transaction.start_building(now, self.seed.draw(self.requests));
        self.requests = self.requests.wrapping_add(1);
        if let Some(deadline) = self.deadline {
            self.transaction.end_by(now.after(deadline));
        }
        self.transaction.build(build);
        if self.transaction.identity() != Identity::Port {
            return Ok(now);
        }
        self.transport.renew().map_err(|error| self.failed(Failure::Local(error)))?;
        let now = self.transport.now();
        self.transaction.put_off(now);
        Ok(now)
    }

    /// Asks what to do next, does it, and reports how it went, until it is over. Returns how long the reply is, and
    /// when it came.
    fn drive(
        &mut self,
        mut now: Timestamp,
        mut build: impl FnMut(u32, &mut Vec<u8>),
        rebuild: Rebuild,
    ) -> Result<(usize, Timestamp), RequestError> {
        let mut built = true;
        let mut len = 0;
        loop {
            match self.transaction.next(now) {
                Next::Transmit => {
                    if rebuild == Rebuild::EachTime && !built {
                        self.transaction.build(&mut build);
                        built = true; // ask again: it may lack its id
                        continue;
                    }
                    built = false;
                    self.transmit(now);
                }
                Next::WaitUntil(until) => (len, now) = self.listen(until),
                Next::Done => return Ok((len, now)),
                Next::Failed(failure) => return Err(self.failed(failure)),
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
    fn listen(&mut self, until: Timestamp) -> (usize, Timestamp) {
        for _ in 0..MOST_OVERDUE {
            match self.transport.recv_until(&mut self.buffer, until) {
                Ok(Some(heard)) => {
                    let datagram = self.buffer.get(..heard.len).unwrap_or_default();
                    let verdict = self.transaction.on_datagram(heard.at, datagram, heard.actual);
                    if verdict == Match::Reply {
                        return (heard.len, heard.at);
                    }
                }
                Ok(None) => break,
                Err(error) => self.transaction.on_path_error(self.transport.now(), error),
            }
            if self.transport.now() < until {
                break;
            }
        }
        (0, self.transport.now())
    }

    fn failed(&self, failure: Failure) -> RequestError {
        RequestError::new(failure, &self.transaction, self.transport.now())
    }
}

/// A reply, and what it took; borrows the requester's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    payload: &'r [u8],
    transmissions: u32,
    withheld: u32,
    elapsed: Duration,
    round_trip: Option<Duration>,
    strays: Strays,
    timeline: &'r Timeline,
}

impl<'r> Reply<'r> {
    /// What the server sent; an empty datagram is a reply too.
    #[must_use]
    pub fn payload(&self) -> &'r [u8] {
        self.payload
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.transmissions
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.withheld
    }

    /// The time from the call to the reply.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The time from transmission to reply, unless the reply may belong to more than one of them (Karn's rule,
    /// RFC 6298 §3).
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What arrived meanwhile and answered nothing, by kind.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// What happened, event by event.
    #[must_use]
    pub fn timeline(&self) -> &'r Timeline {
        self.timeline
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
            .field("seed", &self.seed)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("deadline", &self.deadline)
            .field("seed", &self.seed)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

/// Jitter needs no secrecy, only that two processes differ: where the system has no entropy, their ids do.
fn fresh_seed(now: Timestamp) -> Seed {
    system_seed().unwrap_or_else(|_| Seed(std::process::id().into()).derive(now.as_nanos()))
}

/// So much is read at most once the time has come, lest a flood put off the next transmission.
const MOST_OVERDUE: u32 = 64;

/// A requester has one path.
const PATH: usize = 0;
