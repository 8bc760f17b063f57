use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;

use super::{Builder, OverServersError, ReliableRequester, span};
use crate::entropy::{Seed, labels};
use crate::envelope::HEADER_LEN;
use crate::net::UdpPaths;
use crate::policy::RetryBudget;
use crate::servers::{ServerSet, ServerSettings};
use crate::transaction::{Event, Observer, ReplyMatcher, Transaction};
use crate::transport::{NoEntropy, PathIndex, Transport};

/// What a [`Builder`] of a [`ReliableRequester`] has besides.
///
/// | setting | default |
/// |---|---|
/// | [`envelope`](Builder::envelope) | off: nothing beside the request |
/// | [`keep_port`](Builder::keep_port) | off: a fresh port after a request that was not answered |
/// | [`observer`](Builder::observer) | none |
/// | [`peer`](Builder::peer) | the server that it connects to |
/// | [`servers`](Builder::servers) | [`ServerSettings::new`], where there are several |
#[derive(Clone)]
pub struct Sequential {
    matcher: SharedMatcher,
    observer: Option<Observer>,
    keeps_port: bool,
    has_envelope: bool,
    peer: Option<SocketAddr>,
    servers: ServerSettings,
}

impl Sequential {
    pub(super) fn new(matcher: impl ReplyMatcher + Send + Sync + 'static) -> Self {
        let servers = ServerSettings::new();
        let matcher: SharedMatcher = Arc::new(Box::new(matcher));
        Self { matcher, observer: None, keeps_port: false, has_envelope: false, peer: None, servers }
    }
}

impl Builder<Sequential> {
    /// Leaves from the same port although the request before was not answered. By default the next one leaves from a
    /// fresh port then, where nothing late reaches it and a NAT makes a new mapping; protocols that bind a session to
    /// the port, and firewalls that admit one, want this. A port that the system picked changes all the same where this host
    /// lost the address that it leaves from.
    pub fn keep_port(self) -> Self {
        Self { front: Sequential { keeps_port: true, ..self.front }, ..self }
    }

    /// Puts an [envelope](crate::envelope) of 16 bytes around every request, and expects one around every reply: for a server that
    /// does the same, such as our responder. Without it nothing changes on the wire.
    ///
    /// - Every reply is a measurement of the round trip, also after retransmissions, as it says which one it answers.
    /// - The server drops requests that wait in its queue until no one waits for them any more. That takes a
    ///   [deadline](Self::deadline), the policy's or the request's own.
    /// - A request that may have been executed before its server restarted is not executed again: it ends with
    ///   [`Failure::ServerRestarted`](crate::transaction::Failure::ServerRestarted).
    ///
    /// Ids, builders and matchers see nothing of it; a request has 16 bytes less to fit.
    pub fn envelope(self) -> Self {
        Self { front: Sequential { has_envelope: true, ..self.front }, ..self }
    }

    /// Names the peer in errors, where the transport is the caller's own. [`connect`](Self::connect) knows it.
    pub fn peer(self, peer: SocketAddr) -> Self {
        Self { front: Sequential { peer: Some(peer), ..self.front }, ..self }
    }

    /// Shows every event of every request to this function as it happens, with the time since the request began:
    /// for metrics and logs. It runs within the request, so it must not block.
    ///
    /// A request begins with transmission 1 (or what prevented it) and ends with [`Event::Replied`] or
    /// [`Event::Failed`].
    pub fn observer(self, observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        let observer = Some(Observer::new(observer));
        Self { front: Sequential { observer, ..self.front }, ..self }
    }

    /// How one of several servers is chosen, and when another one is asked: for [`connect_any`](Self::connect_any), names with
    /// several addresses, and [`over_servers`](Self::over_servers).
    pub fn servers(self, servers: ServerSettings) -> Self {
        Self { front: Sequential { servers, ..self.front }, ..self }
    }

    /// Connects to a server by a UDP socket of its own, made anew for each address that is asked. Where the name has several,
    /// of one family or of both, they are [servers](Self::servers) of one service: see [`connect_any`](Self::connect_any).
    /// The name is not resolved again.
    ///
    /// # Errors
    ///
    /// What the system reports of the name, or of the last of the addresses if it has a route to none; that it has no entropy, if
    /// the matcher stamps ids.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<ReliableRequester> {
        self.over_paths(UdpPaths::connect_all(server)?)
    }

    /// Connects to a service that has several servers, such as `["192.0.2.7:53", "ns.example.org:53"]`: all addresses of all
    /// these names. A request goes to one of them, and to another one where no reply comes; which, and when, is for
    /// [`servers`](Self::servers) to say. [`Reply::path`](super::Reply::path) is which of them answered, and
    /// [`UdpPaths::address`] where that is.
    ///
    /// Names are resolved again after a request that was not answered: see [`UdpPaths`].
    ///
    /// ```
    /// use udp_retry::{ReliableRequester, transaction_id};
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
    /// let mut requester = ReliableRequester::builder(transaction_id(0..8).stamped()).connect_any([closed, open])?;
    /// for _ in 0..10 {
    ///     // No one listens at the first: the second answers, and no request waits for that.
    ///     assert_eq!(requester.request(b"........ping")?.path().number(), 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`UdpPaths::resolve`] for the names, else as [`connect`](Self::connect).
    pub fn connect_any(self, servers: impl IntoIterator<Item = impl Into<String>>) -> io::Result<ReliableRequester> {
        let mut paths = UdpPaths::resolve(servers)?;
        paths.open_one()?;
        self.over_paths(paths)
    }

    fn over_paths(self, paths: UdpPaths) -> io::Result<ReliableRequester> {
        let count = paths.len();
        // Several are measured in any case.
        let paths = if count > 1 || self.estimator.is_some() { paths.with_arrival_times() } else { paths };
        if count > 1 {
            return self.over_servers(paths, count).map_err(io::Error::other);
        }
        let peer = self.front.peer.or(paths.address(PathIndex::FIRST));
        let front = Sequential { peer, ..self.front };
        Self { front, ..self }.over(paths).map_err(io::Error::other)
    }

    /// Runs over a transport of the caller's: a bad network, a simulated one, or a socket with settings.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`] if the matcher stamps ids and the transport has no unpredictable bytes for them. A weaker source is
    /// never used; jitter alone needs none.
    pub fn over<T: Transport<Peer = PathIndex>>(self, transport: T) -> Result<ReliableRequester<T>, NoEntropy> {
        self.start(transport, |transaction, _| transaction)
    }

    /// Runs over a transport of the caller's with this many paths, numbered from 0, each to a server of the same service:
    /// a request goes to one of them, and to others if no reply comes. How is for [`servers`](Self::servers) to say.
    ///
    /// ```
    /// use udp_retry::servers::ServerSettings;
    /// # #[cfg(feature = "sim")]
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::{ReliableRequester, Seed, transaction_id};
    ///
    /// # #[cfg(not(feature = "sim"))]
    /// # fn main() {}
    /// # #[cfg(feature = "sim")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let client = net.host("10.0.0.1".parse()?)?;
    /// let servers: [core::net::SocketAddr; 2] = ["10.0.0.2:53".parse()?, "10.0.0.3:53".parse()?];
    /// net.host(servers[0].ip())?; // no one listens there
    /// net.host(servers[1].ip())?;
    /// net.serve(servers[1], echo())?;
    ///
    /// let builder = ReliableRequester::builder(transaction_id(0..4)).servers(ServerSettings::LAN);
    /// let mut requester = builder.over_servers(net.connect_all(client, &servers)?, servers.len())?;
    /// for _ in 0..10 {
    ///     assert_eq!(requester.request(b"id 1 ping")?.path().number(), 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`OverServersError::Servers`] unless there are 1 to 64, [`OverServersError::NoEntropy`] as from [`over`](Self::over).
    pub fn over_servers<T: Transport<Peer = PathIndex>>(
        mut self,
        transport: T,
        count: usize,
    ) -> Result<ReliableRequester<T>, OverServersError> {
        // Whatever the seed, this finds whether there may be so many.
        let servers = self.front.servers;
        let _possible = ServerSet::new(count, servers, Seed::default())?;
        if self.budget.is_none() {
            self.budget = RetryBudget::new(0.2, 20, 20).ok();
        }
        Ok(self.start(transport, |transaction, seed| match ServerSet::new(count, servers, seed) {
            Ok(set) => transaction.with_servers(set),
            Err(_) => transaction,
        })?)
    }

    fn start<T: Transport<Peer = PathIndex>>(
        self,
        mut transport: T,
        aim: impl FnOnce(Transaction<SharedMatcher>, Seed) -> Transaction<SharedMatcher>,
    ) -> Result<ReliableRequester<T>, NoEntropy> {
        let (seed, ids) = self.chance(&mut transport, self.front.matcher.stamps())?;
        let header = if self.front.has_envelope { HEADER_LEN } else { 0 };
        let buffer = self.receive_buffer(header);
        let mut transaction = aim(self.transaction(), seed);
        if let Some(ids) = ids {
            transaction = transaction.with_ids(ids);
        }
        let draws = seed.derive(labels::REQUESTS).draws();
        Ok(ReliableRequester { transport, transaction, draws, requests: 0, buffer })
    }

    fn transaction(self) -> Transaction<SharedMatcher> {
        let Sequential { matcher, observer, keeps_port, has_envelope, peer, servers: _ } = self.front;
        let budget = self.budget.unwrap_or_else(RetryBudget::unlimited);
        let mut transaction =
            Transaction::new(self.policy, matcher).with_budget(budget).with_on_unreachable(self.on_unreachable);
        if self.fails_over_budget {
            transaction = transaction.failing_over_budget();
        }
        if keeps_port {
            transaction = transaction.keeping_port();
        }
        if has_envelope {
            transaction = transaction.with_envelope();
        }
        if let Some(deadline) = self.deadline {
            transaction = transaction.with_deadline(deadline);
        }
        if let Some(peer) = peer {
            transaction = transaction.with_peer(peer);
        }
        if let Some(estimator) = self.estimator {
            transaction = transaction.with_estimator(estimator);
        }
        if !span::ENABLED {
            return match observer {
                Some(observer) => transaction.observed_by(observer),
                None => transaction,
            };
        }
        transaction.with_observer(move |at, event| {
            span::record(at, event);
            if let Some(observer) = &observer {
                observer.show(at, event);
            }
        })
    }
}

/// The caller's matcher, whatever its type. In a box, because an `Arc` does not know where a value of unknown alignment
/// begins and works it out at every call.
pub(super) type SharedMatcher = Arc<Box<dyn ReplyMatcher + Send + Sync>>;

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequential")
            .field("keeps_port", &self.keeps_port)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
