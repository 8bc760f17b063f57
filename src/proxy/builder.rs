use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
#[cfg(feature = "pcap")]
use std::time::SystemTime;

use super::forwarder::Forwarder;
use super::listener::Listener;
use super::resolving::Resolver;
use super::service_sockets::ServiceSockets;
use super::sessions::Rules;
use super::upstream::Upstream;
use super::watch::Watch;
use super::{Proxy, fragmentation, sockets};
use crate::entropy::Seed;
#[cfg(feature = "pcap")]
use crate::fault::Capture;
use crate::fault::{Capacity, FateObserver, Profile, Record, Tap, Trace};
#[cfg(feature = "pcap")]
use crate::time::Timestamp;

/// How a [`Proxy`] behaves; made by [`Proxy::builder`]. Without any setting it only forwards.
pub struct ProxyBuilder {
    rules: Rules,
    any_port: bool,
    do_not_fragment: bool,
    observer: Option<FateObserver<SocketAddr>>,
    #[cfg(feature = "pcap")]
    capture: Option<Capture>,
}

impl ProxyBuilder {
    pub(super) fn new() -> Self {
        let rules = Rules {
            profile: Profile::default(),
            replay: None,
            seed: Seed::new(0),
            idle: Duration::from_secs(120),
            max_sessions: MAX_SESSIONS,
            capacity: Capacity::DEFAULT,
            shared: false,
        };
        Self {
            rules,
            any_port: false,
            do_not_fragment: false,
            observer: None,
            #[cfg(feature = "pcap")]
            capture: None,
        }
    }

    /// Sets what happens in each direction; nothing by default.
    ///
    /// Times within impairments count from when the proxy was bound, for every client. Where headers are not set, they have
    /// the bytes of the family by which a datagram leaves: of the service's address for requests, of the client's for
    /// replies.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { rules: Rules { profile, ..self.rules }, ..self }
    }

    /// Sets the seed of all decisions; 0 by default.
    #[must_use]
    pub fn seed(self, seed: Seed) -> Self {
        Self { rules: Rules { seed, ..self.rules }, ..self }
    }

    /// Repeats a recording instead of the profile: session number n meets what link n met.
    #[must_use]
    pub fn replay(self, trace: Trace) -> Self {
        Self { rules: Rules { replay: Some(trace), ..self.rules }, ..self }
    }

    /// Ends a session when nothing has come or left for this time, in either direction; 120 s by default, the least that a
    /// NAT should keep a mapping (RFC 4787 section 4.3). From 1 ms, as a session has to last until its reply.
    ///
    /// A session that has a datagram in flight is not idle, however long that takes.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { rules: Rules { idle, ..self.rules }, ..self }
    }

    /// Limits the number of sessions; 1,024 by default. The session that was idle for the longest time ends when a new
    /// client would exceed the limit.
    ///
    /// Each session takes a file descriptor. When the system has no more of them, the session that was idle for the
    /// longest time ends as well.
    #[must_use]
    pub fn max_sessions(self, max_sessions: NonZeroUsize) -> Self {
        Self { rules: Rules { max_sessions, ..self.rules }, ..self }
    }

    /// Takes replies from any port of the service's host, and sends what a client sends next to the port that answered last:
    /// for services that answer from another port than was asked, as TFTP does. Off by default, as any program on that host
    /// can then send to the clients.
    ///
    /// What other hosts send is dropped and [counted](super::ProxyStats::strangers). Sockets that are not connected learn of no
    /// refusals: nothing moves on to another address of the service by itself.
    #[must_use]
    pub fn any_port(self) -> Self {
        Self { any_port: true, ..self }
    }

    /// Sets how much is kept of what is delayed, of each session and in each direction; [`Capacity::DEFAULT`] by default.
    ///
    /// What exceeds it is dropped and counted, as [`Dropped::capacity`](crate::fault::Dropped::capacity).
    #[must_use]
    pub fn capacity(self, capacity: Capacity) -> Self {
        Self { rules: Rules { capacity, ..self.rules }, ..self }
    }

    /// Has all clients pass one link in each direction, as they would share one wire: its rate is that of all together, and
    /// so are its queue, the order of datagrams, its draws and the numbers in a script. By default each client has links of
    /// its own.
    ///
    /// All fates are then those of link 0, in recordings as well: what was recorded so is repeated so. The headers that
    /// count are those of the family of the listening address. What is kept of what is delayed is still shared out by
    /// [`Capacity`].
    #[must_use]
    pub fn shared(self) -> Self {
        Self { rules: Rules { shared: true, ..self.rules }, ..self }
    }

    /// Forbids that datagrams towards the service are fragmented (DF), so that a client can find the MTU of the path behind
    /// the proxy: what is larger than that path carries is lost there. By default routers may fragment them.
    ///
    /// What is larger than the interface carries is refused by the system at once (`EMSGSIZE`), and counted as
    /// [`too_big`](super::ProxyStats::too_big). A report of a router further on is counted as a path error. Neither is reported to
    /// the client, whose path ends here.
    #[must_use]
    pub fn do_not_fragment(self) -> Self {
        Self { do_not_fragment: true, ..self }
    }

    /// Shows every fate as it is decided, with the client's address: within [`Proxy::run_for`], where nothing is forwarded
    /// until it returns. By default no one looks on.
    #[must_use]
    pub fn observer(self, observer: impl FnMut(SocketAddr, &Record) + Send + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// Writes every datagram and what became of it, as [`Capture`] says. Needs the feature `pcap`.
    ///
    /// On the clients' side a datagram goes between the client and the address that it asked, on the server's side between the
    /// session's own address, a wildcard where [any port](Self::any_port) may answer, and the service.
    #[cfg(feature = "pcap")]
    #[must_use]
    pub fn capture(self, capture: Capture) -> Self {
        Self { capture: Some(capture), ..self }
    }

    /// Listens on the first of the addresses that the system accepts, in front of the service. What clients send from now on
    /// waits in the socket until [`Proxy::run_for`] forwards it.
    ///
    /// Their families may differ. On a wildcard address, replies leave from the very address that the client asked, on Linux
    /// and Android; elsewhere the system picks their source, and on a host with several addresses a proxy for each is needed.
    ///
    /// All addresses of the service's name are tried: sessions go to the first one, and to the next when one refuses or
    /// cannot be reached, new sessions and refused ones alike. The name is resolved again when sessions have expired or were
    /// refused, and when a [`ResolveHandle`](super::ResolveHandle) asks for it, at most once a second and without holding up any datagram. While
    /// that fails the old addresses stay, and sessions keep the address that they have as long as it does not refuse.
    ///
    /// # Errors
    ///
    /// That of the last address to listen on, which it names, or of the name resolution; [`InvalidInput`](io::ErrorKind::InvalidInput) if the idle time is
    /// below 1 ms, or if the service has no address but such as cannot be one: the proxy itself, by whatever address; a
    /// broadcast or multicast address, which many hosts would answer by addresses of their own; or port 0.
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is asked for [no fragments](Self::do_not_fragment), and the system
    /// cannot do that (Linux and Android can). That of the system if it has no descriptor, memory or port for a single client.
    pub fn bind(self, listen: impl ToSocketAddrs, upstream: impl ToSocketAddrs + Send + 'static) -> io::Result<Proxy> {
        if self.rules.idle < SHORTEST_IDLE {
            let error = "an idle time below 1 ms would end a session before its reply comes: 120 s is usual";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in listen.to_socket_addrs()? {
            match Listener::bind(address) {
                Ok(listener) => return self.behind(listener, Resolver::of(upstream)),
                Err(error) => last = io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")),
            }
        }
        Err(last)
    }

    fn behind(self, listener: Listener, upstream: Resolver) -> io::Result<Proxy> {
        let tap = self.tap();
        let Self { rules, any_port, do_not_fragment, observer, .. } = self;
        let upstream = Upstream::new(upstream, listener.local)?;
        let service = upstream.current();
        if do_not_fragment {
            fragmentation::can_be_forbidden(service)?;
        }
        let sockets = ServiceSockets::new(upstream, any_port, do_not_fragment, rules.max_sessions)?;
        let forwarder = Forwarder::new(listener, rules, sockets, |origin| Watch::new(observer, tap, origin))?;
        // Else it would start, and serve no one.
        sockets::try_one(service)?;
        Ok(Proxy { forwarder })
    }
}

#[cfg(feature = "pcap")]
impl ProxyBuilder {
    #[expect(clippy::disallowed_methods, reason = "the time of day is written, and decides nothing")]
    fn tap(&self) -> Tap {
        let capture = self.capture.clone();
        capture.map_or(Tap::NONE, |capture| Tap::between_sides(capture, Timestamp::ZERO, SystemTime::now()))
    }
}

#[cfg(not(feature = "pcap"))]
impl ProxyBuilder {
    const fn tap(&self) -> Tap {
        Tap::NONE
    }
}

impl fmt::Debug for ProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rules, any_port, do_not_fragment, .. } = self;
        f.debug_struct("ProxyBuilder")
            .field("rules", rules)
            .field("any_port", any_port)
            .field("do_not_fragment", do_not_fragment)
            .finish_non_exhaustive()
    }
}

const MAX_SESSIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// A reply within one host takes less.
const SHORTEST_IDLE: Duration = Duration::from_millis(1);
