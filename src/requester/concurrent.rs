use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::net::ToSocketAddrs;

use super::concurrent_settings::SharedKeyedMatcher;
use super::groups::NewGroups;
use super::held::Held;
use super::peers::{Asked, NewPeers};
use super::turn::Turn;
use super::{Builder, Completion, Concurrent, Waited};
use crate::net::{Cancel, CancelHandle, UdpPaths};
use crate::policy::RttEstimator;
use crate::time::Timestamp;
use crate::transaction::{Finished, GroupId, Handle, InFlight, KeyedMatcher, Limits, Request, Strays, SubmitError};
use crate::transport::{PathIndex, PeerAddress, Transport};

/// Thousands of requests in flight from one thread, over one socket, to one server or to many.
///
/// [`submit`](Self::submit) takes a request in, [`wait`](Self::wait) drives all of them and returns one that has ended, with
/// the caller's token; so the loop that waits is the whole program. It has no thread of its own and calls nothing back:
/// **requests are sent, and sent again, while the caller waits**. A caller who has something else to do meanwhile waits
/// [for a while](Self::wait_until) and comes back.
///
/// Each request fares as with a [`ReliableRequester`](crate::ReliableRequester): the same schedule, the same rules of which
/// datagram is its reply, the same errors. **At least once** as there. Beyond that:
///
/// - At most 64 requests are on the wire at a peer ([`Limits::window`]), because more
///   replies than the receive buffer holds would be lost, all at once and again. The others wait inside, in order;
///   [`buffer_warning`](Self::buffer_warning) says if that is still too many.
/// - Replies find their requests by an id, so the matcher is a [`KeyedMatcher`], as
///   [`transaction_id`](crate::transaction_id) makes them; [`any_reply`](crate::any_reply) is none.
/// - Replies count only from the peer that was asked.
/// - An ICMP error that does not say which request met it ends none, unless only one is on the wire at that peer.
/// - After a request that was sent in vain, if nothing came from its peer meanwhile, what is sent to it next leaves from a
///   fresh port of a socket that is not [lent](crate::net::ConnectedUdp::as_socket), and a [name](crate::net::UdpPaths) is
///   resolved again before: the wait takes as long as the resolver then.
///
/// ```
/// use udp_retry::{ConcurrentRequester, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # std::thread::spawn(move || {
/// #     let mut buffer = [0; 64];
/// #     while let Ok((len, from)) = server.recv_from(&mut buffer) {
/// #         let _ = server.send_to(&buffer[..len], from);
/// #     }
/// # });
/// let mut requester = ConcurrentRequester::connect(address, transaction_id(0..8).stamped())?;
/// for token in 0..1000 {
///     requester.submit(b"........ping", token)?;
/// }
/// let mut answered = [false; 1000];
/// while let Some(done) = requester.wait() {
///     assert_eq!(done.reply()?[8..], *b"ping");
///     answered[done.token() as usize] = true;
/// }
/// assert_eq!(answered, [true; 1000]);
/// # Ok(())
/// # }
/// ```
///
/// Several servers of one service are a [group](Self::add_group), whose requests go to one that replies.
///
/// Many servers take one unconnected socket; [`submit_to`](Self::submit_to) says whom to ask:
///
/// ```
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::{ConcurrentRequester, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = || -> std::io::Result<std::net::SocketAddr> {
/// #     let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// #     let address = server.local_addr()?;
/// #     std::thread::spawn(move || {
/// #         let mut buffer = [0; 64];
/// #         while let Ok((len, from)) = server.recv_from(&mut buffer) {
/// #             let _ = server.send_to(&buffer[..len], from);
/// #         }
/// #     });
/// #     Ok(address)
/// # };
/// # let servers = [server()?, server()?, server()?];
/// let socket = UnconnectedUdp::bind("0.0.0.0:0")?;
/// let mut requester = ConcurrentRequester::builder(transaction_id(0..8).stamped()).over(socket)?;
/// for (server, token) in servers.iter().zip(0..) {
///     requester.submit_to(*server, b"........ping", token)?;
/// }
/// while let Some(done) = requester.wait() {
///     match done.reply() {
///         Ok(reply) => println!("{} replied {reply:?}", done.peer().remote),
///         Err(error) => println!("{error}"),
///     }
///     # assert!(done.reply().is_ok());
/// }
/// # Ok(())
/// # }
/// ```
pub struct ConcurrentRequester<T: Transport<Peer: PeerAddress> = UdpPaths> {
    pub(super) transport: T,
    pub(super) engine: InFlight<Asked<T::Peer>, SharedKeyedMatcher>,
    pub(super) peers: NewPeers,
    pub(super) groups: NewGroups,
    pub(super) buffer: Vec<u8>,
    /// After a full batch was sent: how many datagrams are read before the next one.
    pub(super) to_read: usize,
    pub(super) held: Held,
    pub(super) limits: Limits,
    /// Of the only path that it was connected to.
    pub(super) server: Option<SocketAddr>,
    /// Of the several that it was connected to.
    pub(super) service: Option<GroupId>,
}

impl ConcurrentRequester<UdpPaths> {
    /// Connects to a server with [`RetryPolicy::default`](crate::RetryPolicy); by `matcher` replies find their requests. A name
    /// with several addresses is a service with [several servers](Builder<Concurrent>::connect_any).
    ///
    /// # Errors
    ///
    /// What the system reports of the name or the address; that it has no entropy, if the matcher stamps ids.
    pub fn connect(server: impl ToSocketAddrs, matcher: impl KeyedMatcher + Send + Sync + 'static) -> io::Result<Self> {
        Self::builder(matcher).connect(server)
    }

    /// Connects to a service with several servers, all addresses of these names, of which any may answer: see
    /// [`Builder::connect_any`](Builder<Concurrent>::connect_any).
    ///
    /// # Errors
    ///
    /// What the system reports of the names or the addresses; that it has no entropy, if the matcher stamps ids.
    pub fn connect_any(
        servers: impl IntoIterator<Item = impl Into<String>>,
        matcher: impl KeyedMatcher + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::builder(matcher).connect_any(servers)
    }

    /// A requester with settings of the caller's, or over another transport.
    pub fn builder(matcher: impl KeyedMatcher + Send + Sync + 'static) -> Builder<Concurrent> {
        Builder::new(Concurrent::new(matcher))
    }
}

impl<T: Transport<Peer = PathIndex>> ConcurrentRequester<T> {
    /// Takes in a request to the server, or to any of the [several](Self::service) that it was connected to; over a transport
    /// of the caller's to the first path. Else as [`submit_to`](Self::submit_to).
    ///
    /// # Errors
    ///
    /// As [`submit_to`](Self::submit_to).
    pub fn submit<'r>(&mut self, request: impl Into<Request<'r>>, token: u64) -> Result<Handle, SubmitError> {
        match self.service {
            Some(group) => self.submit_to_group(group, request, token),
            None => self.submit_to(PathIndex::FIRST, request, token),
        }
    }
}

impl<T: Transport<Peer: PeerAddress>> ConcurrentRequester<T> {
    /// Takes in a request, bytes or a [`Request`] with a deadline or a policy of its own. It leaves with the next wait, as soon
    /// as there is space in the window of its peer; while replies are queued, up to 50 µs later, with others.
    ///
    /// A `peer` is a path of a client's end, or over an unconnected socket the address of a server, or a
    /// [`Route`](crate::transport::Route) with the own address to ask from, of which the first one to a server holds for
    /// all. What is known of a peer is kept for good: some 300 bytes. The token comes back with the
    /// [`Completion`]; it need not be unique.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] and [`SubmitError::IdsUsedUp`] where there is space again later: wait, and then submit it again.
    /// [`SubmitError::IdInUse`], [`SubmitError::Unmatchable`], [`SubmitError::TooLarge`] and
    /// [`SubmitError::TooManyPolicies`] if there is something wrong with the request. Nothing of it is kept.
    pub fn submit_to<'r>(
        &mut self,
        peer: impl Into<T::Peer>,
        request: impl Into<Request<'r>>,
        token: u64,
    ) -> Result<Handle, SubmitError> {
        let peer = self.peer_at(Asked::at(peer.into()));
        // A reading of its own, because only the caller knows how long ago anything else happened.
        self.engine.submit(self.transport.now(), peer, request, token)
    }

    /// Waits until a request has ended, and returns it: **no other call sends or receives anything**.
    ///
    /// `None` if nothing is in flight, or if the wait was [cancelled](Self::cancel_handle);
    /// [`in_flight`](Self::in_flight) tells which.
    pub fn wait(&mut self) -> Option<Completion<'_, T::Peer>> {
        match self.turn(None) {
            Turn::Ended(finished, len) => self.completion(finished, len),
            Turn::TimeUp | Turn::Cancelled => None,
        }
    }

    /// As [`wait`](Self::wait), but until this time at the latest, and until then also if nothing is in flight. With a time in
    /// the past it does what is due, and returns what has ended already.
    ///
    /// ```
    /// use core::time::Duration;
    /// use udp_retry::requester::Waited;
    /// # use udp_retry::{ConcurrentRequester, transaction_id};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let mut requester = ConcurrentRequester::connect(silent.local_addr()?, transaction_id(0..4))?;
    /// requester.submit(b"0001 anyone?", 1)?;
    /// let soon = requester.now().after(Duration::from_millis(20));
    /// assert!(matches!(requester.wait_until(soon), Waited::TimeUp));
    /// assert_eq!(requester.in_flight(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_until(&mut self, until: Timestamp) -> Waited<'_, T::Peer> {
        match self.turn(Some(until)) {
            Turn::Ended(finished, len) => self.completion(finished, len).map_or(Waited::TimeUp, Waited::Completion),
            Turn::TimeUp => Waited::TimeUp,
            Turn::Cancelled => Waited::Cancelled,
        }
    }

    /// Gives a request up: no [`Completion`] of it comes any more. `false` if it has ended already, and its completion was
    /// returned or will be.
    pub fn cancel(&mut self, handle: Handle) -> bool {
        self.engine.cancel(self.transport.now(), handle).is_some()
    }

    /// The present moment, by the transport's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.transport.now()
    }

    /// Requests whose [`Completion`] is still to come: on the wire, waiting for space in the window, or failed meanwhile.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.engine.len()
    }

    /// How many more requests can be taken in at present, as far as their [number](Limits::requests) goes.
    #[must_use]
    pub fn available(&self) -> usize {
        self.engine.available()
    }

    /// What arrived and answered nothing since the requester was made, by kind.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.engine.strays()
    }

    /// What the round trips of a peer call for, if they are [measured](Builder::estimator) and it was asked before.
    pub fn estimator(&self, peer: impl Into<T::Peer>) -> Option<&RttEstimator> {
        self.engine.estimator(self.engine.peer(Asked::at(peer.into()))?)
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

    /// The transport, without the requester and what it has in flight.
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// `None` never: no peer is removed.
    fn completion(&self, finished: Finished, len: usize) -> Option<Completion<'_, T::Peer>> {
        let asked = self.engine.address(finished.peer)?;
        let payload = self.engine.payload(self.buffer.get(..len).unwrap_or_default());
        Some(Completion::new(finished, asked.address, self.server, payload))
    }
}

impl<T: Transport<Peer: PeerAddress> + Cancel> ConcurrentRequester<T> {
    /// A handle that ends a wait from any thread, the present one or else the next: that returns [`Waited::Cancelled`]. It ends
    /// no request: the next wait goes on with all of them.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.transport.cancel_handle()
    }
}

impl<T: Transport<Peer: PeerAddress> + fmt::Debug> fmt::Debug for ConcurrentRequester<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrentRequester")
            .field("transport", &self.transport)
            .field("in_flight", &self.engine.len())
            .finish_non_exhaustive()
    }
}
