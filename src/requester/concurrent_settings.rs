use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use std::io;
use std::net::ToSocketAddrs;

use super::groups::NewGroups;
use super::held::Held;
use super::peers::{Asked, NewPeers};
use super::{Builder, ConcurrentRequester};
use crate::entropy::labels;
use crate::envelope::HEADER_LEN;
use crate::net::UdpPaths;
use crate::policy::RetryBudget;
use crate::servers::{Paths, ServerSettings};
use crate::transaction::{InFlight, KeyedMatcher, Limits, ReplyMatcher};
use crate::transport::{NoEntropy, PathIndex, PeerAddress, Transport};

/// What a [`Builder`] of a [`ConcurrentRequester`] has besides.
///
/// | setting | default |
/// |---|---|
/// | [`envelope`](Builder::envelope) | off: nothing beside the request |
/// | [`limits`](Builder::limits) | 65,536 requests, 64 of them on the wire at a peer: [`Limits`] |
/// | [`servers`](Builder::servers) | [`ServerSettings::new`], where it connects to several |
///
/// Of the settings of all fronts,
///
/// - the [`budget`](Builder::budget) is one for all peers. It is meant for one destination: where some of many peers are
///   silent, their retransmissions empty it for the others. Without one, each [group](ConcurrentRequester::add_group) of
///   servers has its own;
/// - the [`estimator`](Builder::estimator) is the first asked peer's, so that it can be shared with other requesters of a
///   server; every other peer gets an [unmeasured](crate::policy::RttEstimator::unmeasured) one with its settings;
/// - the [`deadline`](Builder::deadline) counts from the submission, and ends a request that still waits for space in the
///   window, too.
#[derive(Clone)]
pub struct Concurrent {
    matcher: SharedKeyedMatcher,
    has_envelope: bool,
    pub(super) limits: Limits,
    pub(super) servers: ServerSettings,
}

impl Concurrent {
    pub(super) fn new(matcher: impl KeyedMatcher + Send + Sync + 'static) -> Self {
        let (limits, servers) = (Limits::default(), ServerSettings::new());
        Self { matcher: Arc::new(Box::new(matcher)), has_envelope: false, limits, servers }
    }
}

impl Concurrent {
    /// Bytes of a datagram before its payload.
    pub(super) fn header_len(&self) -> usize {
        if self.has_envelope { HEADER_LEN } else { 0 }
    }
}

impl Builder<Concurrent> {
    /// How much may be in flight, and how much of it on the wire at one peer.
    pub fn limits(self, limits: Limits) -> Self {
        Self { front: Concurrent { limits, ..self.front }, ..self }
    }

    /// Puts an [envelope](crate::envelope) of 16 bytes around every request, and expects one around every reply: for servers that
    /// do the same, such as our responder. Without it nothing changes on the wire.
    ///
    /// - Every reply is a measurement of the round trip, also after retransmissions, as it says which one it answers.
    /// - The server drops requests that wait in its queue until no one waits for them any more. That takes a
    ///   [deadline](Self::deadline), the policy's or the request's own.
    /// - A request that may have been executed before its server restarted is not executed again: it ends with
    ///   [`Failure::ServerRestarted`](crate::transaction::Failure::ServerRestarted).
    ///
    /// Ids and matchers see nothing of it; a request has 16 bytes less to fit. Of several servers each has its own incarnation.
    pub fn envelope(self) -> Self {
        Self { front: Concurrent { has_envelope: true, ..self.front }, ..self }
    }

    /// How one of several servers is chosen, and when another one is asked: for names with several addresses, and for
    /// [`connect_any`](Self::connect_any).
    pub fn servers(self, servers: ServerSettings) -> Self {
        Self { front: Concurrent { servers, ..self.front }, ..self }
    }

    /// Connects to a server by a UDP socket of its own, made anew for each address that is asked. Where the name has several,
    /// of one family or of both, they are [servers](Self::servers) of one service: see [`connect_any`](Self::connect_any).
    /// The name is not resolved again. Many different servers take [`over`](Self::over) an
    /// [`UnconnectedUdp`](crate::net::UnconnectedUdp).
    ///
    /// # Errors
    ///
    /// What the system reports of the name, or of the last of the addresses if it has a route to none; that it has no entropy, if
    /// the matcher stamps ids.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<ConcurrentRequester> {
        self.over_paths(UdpPaths::connect_all(server)?)
    }

    /// Connects to a service that has several servers, by a socket for each: all addresses of all these names, which are one
    /// [group](ConcurrentRequester::service), and [`submit`](ConcurrentRequester::submit) asks any of them. A name is resolved
    /// again once a server was asked in vain that it led to: see [`UdpPaths`].
    ///
    /// ```
    /// use udp_retry::{ConcurrentRequester, transaction_id};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let closed = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string();
    /// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let open = server.local_addr()?.to_string();
    /// # std::thread::spawn(move || {
    /// #     let mut buffer = [0; 64];
    /// #     while let Ok((len, from)) = server.recv_from(&mut buffer) {
    /// #         let _ = server.send_to(&buffer[..len], from);
    /// #     }
    /// # });
    /// let mut requester = ConcurrentRequester::connect_any([closed, open], transaction_id(0..8).stamped())?;
    /// for token in 0..100 {
    ///     requester.submit(b"........ping", token)?;
    /// }
    /// while let Some(done) = requester.wait() {
    ///     // No one listens at the first: the second answers.
    ///     assert_eq!((&done.reply()?[8..], done.peer().number()), (&b"ping"[..], 1));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`UdpPaths::resolve`] for the names, else as [`connect`](Self::connect).
    pub fn connect_any(self, servers: impl IntoIterator<Item = impl Into<String>>) -> io::Result<ConcurrentRequester> {
        let mut paths = UdpPaths::resolve(servers)?;
        paths.open_one()?;
        self.over_paths(paths)
    }

    fn over_paths(self, paths: UdpPaths) -> io::Result<ConcurrentRequester> {
        let count = paths.len();
        // Several are measured in any case.
        let paths = if count > 1 || self.estimator.is_some() { paths.with_arrival_times() } else { paths };
        let (settings, first) = (self.front.servers, paths.address(PathIndex::FIRST));
        let mut requester = self.over(paths).map_err(io::Error::other)?;
        if count > 1 {
            let all = Paths::first(count);
            requester.service = Some(requester.add_group(all.iter(), settings).map_err(io::Error::other)?);
        } else {
            requester.server = first;
        }
        Ok(requester)
    }

    /// Runs over a transport of the caller's: an unconnected socket, a bad network, a simulated one, or a socket with settings.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`] if the matcher stamps ids and the transport has no unpredictable bytes for them. A weaker source is
    /// never used; jitter alone needs none.
    pub fn over<T: Transport<Peer: PeerAddress>>(self, mut transport: T) -> Result<ConcurrentRequester<T>, NoEntropy> {
        let (buffer, limits) = (self.receive_buffer(self.front.header_len()), self.front.limits);
        let Many { engine, peers, groups } = self.engine(&mut transport)?;
        Ok(ConcurrentRequester {
            transport,
            engine,
            peers,
            groups,
            buffer,
            to_read: 0,
            held: Held::new(),
            limits,
            server: None,
            service: None,
        })
    }

    /// The machine, with the entropy of this transport.
    pub(super) fn engine<T: Transport<Peer: PeerAddress>>(self, transport: &mut T) -> Result<Many<T::Peer>, NoEntropy> {
        let (seed, ids) = self.chance(transport, self.front.matcher.stamps())?;
        let Concurrent { matcher, has_envelope, limits, servers: _ } = self.front;
        let mut engine = InFlight::new(self.policy, matcher, limits, seed.derive(labels::REQUESTS), ids)
            .with_on_unreachable(self.on_unreachable);
        if self.fails_over_budget {
            engine = engine.failing_over_budget();
        }
        if has_envelope {
            engine = engine.with_envelope();
        }
        if let Some(deadline) = self.deadline {
            engine = engine.with_deadline(deadline);
        }
        let groups = NewGroups { budget: self.budget.clone(), draws: seed.derive(labels::GROUPS).draws(), count: 0 };
        let peers = NewPeers {
            budget: self.budget.unwrap_or_else(RetryBudget::unlimited),
            estimator: self.estimator,
            count: 0,
        };
        Ok(Many { engine, peers, groups })
    }
}

/// What every front for many requests drives.
pub(super) struct Many<A: PeerAddress> {
    pub(super) engine: InFlight<Asked<A>, SharedKeyedMatcher>,
    pub(super) peers: NewPeers,
    pub(super) groups: NewGroups,
}

/// The caller's matcher, whatever its type; in a box, as that of the other front.
pub(super) type SharedKeyedMatcher = Arc<Box<dyn KeyedMatcher + Send + Sync>>;

impl fmt::Debug for Concurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concurrent").field("limits", &self.limits).finish_non_exhaustive()
    }
}
