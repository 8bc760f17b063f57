//! A bad network in front of any UDP service, for any client, in any language: a proxy that needs no privilege and
//! changes nothing on the host.
//!
//! ```text
//!   client A ──▶┐                                                  ┌──▶ (socket of A) ──▶┐
//!               ├──▶ listening socket ──▶ links of the client ──▶──┤                     ├──▶ the service
//!   client B ──▶┘                                                  └──▶ (socket of B) ──▶┘
//! ```
//!
//! Every client address has a session: one connected socket towards the service, so that the service can distinguish
//! its clients, and one [`Link`](crate::fault::Link) for each direction: **a rate is that of each client**, and its queue,
//! unless all [share](ProxyBuilder::shared) one link. Replies come from the address that the proxy listens on.
//!
//! The proxy ends the IP path: what the headers of a datagram say beside its addresses does not pass. The service sees the
//! TTL, the DSCP, the ECN marks and the DF bit of the proxy's host, and so does the client. A client that searches for the
//! MTU of its path finds that of the path to the proxy, unless the datagrams towards the service
//! [may not be fragmented](ProxyBuilder::do_not_fragment) or the impairments have an MTU.
//!
//! With nothing to do it forwards some 90 % of what a bare loop of the same shape does
//! (`taskset -c 0 cargo bench --features proxy --bench link`).

mod forwarder;
mod fragmentation;
mod kernel_drops;
mod lane;
mod links;
mod pause;
mod sessions;
mod sockets;
mod timer;

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use mio::net::UdpSocket;

use self::forwarder::Forwarder;
pub use self::kernel_drops::KernelDrops;
use self::sessions::Rules;
use crate::entropy::Seed;
use crate::fault::{Capacity, Control, DirectionStats, FateObserver, Profile, Record, Trace};
use crate::size::IpFamily;

/// A UDP fault proxy, which runs inside [`run_for`](Self::run_for).
///
/// Errors that the system reports of earlier datagrams are counted and end nothing: a service may go away and come
/// back, and its clients keep their sessions. A datagram that cannot leave at once, because a queue of the system is
/// full, is counted as failed, as a network card would drop it. One that exceeds an MTU is dropped even where the
/// impairments ask for an error, as its sender is on another host.
///
/// Of what is delayed it keeps what [`Capacity`] says, of each session. A copy in flight to the service when its session ends is discarded when it is due; one in flight to a client
/// arrives.
///
/// ```
/// use core::time::Duration;
/// use std::net::UdpSocket;
/// use udp_retry::Seed;
/// use udp_retry::fault::Profile;
/// use udp_retry::proxy::Proxy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = UdpSocket::bind("127.0.0.1:0")?;
/// let late = Profile { to_server: "delay 1ms".parse()?, ..Profile::default() };
/// let mut proxy = Proxy::builder().profile(late).seed(Seed::new(7)).bind("127.0.0.1:0", service.local_addr()?)?;
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"ping", proxy.local_addr())?;
/// proxy.run_for(Duration::from_millis(20))?;
/// assert_eq!(service.recv(&mut [0; 16])?, 4);
/// assert_eq!(proxy.stats().to_server.passed, 1);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "toxiproxy")]
#[doc(alias = "netem")]
pub struct Proxy {
    forwarder: Forwarder,
}

/// How a [`Proxy`] behaves; made by [`Proxy::builder`].
pub struct ProxyBuilder {
    profile: Profile,
    replay: Option<Trace>,
    seed: Seed,
    idle: Duration,
    max_sessions: NonZeroUsize,
    capacity: Capacity,
    shared: bool,
    do_not_fragment: bool,
    observer: Option<FateObserver<SocketAddr>>,
}

/// What a [`Proxy`] has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Requests.
    pub to_server: DirectionStats,
    /// Replies.
    pub to_client: DirectionStats,
    /// Sessions at present.
    pub sessions: usize,
    /// Sessions so far.
    pub opened: u64,
    /// Sessions that ended because nothing came for the idle time, in either direction.
    pub expired: u64,
    /// Sessions that ended before that, for new ones.
    pub evicted: u64,
    /// Datagrams of new clients for which the system had no socket.
    pub unserved: u64,
    /// Errors that the system reported of earlier datagrams, such as refusals by a service that is not there.
    pub path_errors: u64,
    /// Copies that the system refused as larger than a packet can be (`EMSGSIZE`), in either direction: a part of those
    /// that [failed](DirectionStats::failed). To the service that is the MTU of the interface where fragments
    /// [are forbidden](ProxyBuilder::do_not_fragment).
    pub too_big: u64,
}

impl Proxy {
    /// Builds a proxy. By default it forwards without any impairment.
    #[must_use]
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder {
            profile: Profile::default(),
            replay: None,
            seed: Seed::new(0),
            idle: Duration::from_secs(120),
            max_sessions: MAX_SESSIONS,
            capacity: Capacity::DEFAULT,
            shared: false,
            do_not_fragment: false,
            observer: None,
        }
    }

    /// The address that clients send to, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.forwarder.local
    }

    /// The service.
    #[must_use]
    pub fn upstream_addr(&self) -> SocketAddr {
        self.forwarder.sessions.rules.upstream
    }

    /// A handle that changes the impairments from any thread; while a recording is replayed, it changes nothing.
    #[must_use]
    pub fn control(&self) -> Control {
        self.forwarder.control.clone()
    }

    /// Forwards for this time, to within a millisecond.
    ///
    /// Call it again and again; datagrams in flight stay in flight between two calls. A signal may end it early. With a
    /// time of zero it does what can be done without waiting, up to a bounded number of datagrams.
    ///
    /// # Errors
    ///
    /// Only if the system can no longer wait for sockets. Nothing that the network does is an error.
    pub fn run_for(&mut self, time: Duration) -> io::Result<()> {
        self.forwarder.run_for(time)
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        self.forwarder.stats()
    }

    /// What never reached it because its sockets were full: of the listening one and of the sessions that are open.
    ///
    /// `None` where the system does not tell: it does on Linux and Android, where `/proc` may be read. That takes a
    /// pass over all UDP sockets of the network, so it is for now and then.
    #[must_use]
    pub fn kernel_drops(&self) -> Option<KernelDrops> {
        self.forwarder.kernel_drops()
    }
}

impl ProxyBuilder {
    /// Sets what happens in each direction; nothing by default.
    ///
    /// Times within impairments count from when the proxy was bound, for every client. Where headers are not set, they have
    /// the bytes of the family by which a datagram leaves: of the service's address for requests, of the client's for
    /// replies.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Sets the seed of all decisions; 0 by default.
    #[must_use]
    pub fn seed(self, seed: Seed) -> Self {
        Self { seed, ..self }
    }

    /// Repeats a recording instead of the profile: session number n meets what link n met.
    #[must_use]
    pub fn replay(self, trace: Trace) -> Self {
        Self { replay: Some(trace), ..self }
    }

    /// Ends a session when nothing has come for this time, in either direction; 120 s by default, the least that a NAT
    /// should keep a mapping (RFC 4787 section 4.3).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Limits the number of sessions; 1,024 by default. The session that was idle for the longest time ends when a new
    /// client would exceed the limit.
    ///
    /// Each session takes a file descriptor. When the system has no more of them, the session that was idle for the
    /// longest time ends as well.
    #[must_use]
    pub fn max_sessions(self, max_sessions: NonZeroUsize) -> Self {
        Self { max_sessions, ..self }
    }

    /// Sets how much is kept of what is delayed, of each session and in each direction; [`Capacity::DEFAULT`] by default.
    ///
    /// What exceeds it is dropped and counted, as [`Dropped::capacity`](crate::fault::Dropped::capacity).
    #[must_use]
    pub fn capacity(self, capacity: Capacity) -> Self {
        Self { capacity, ..self }
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
        Self { shared: true, ..self }
    }

    /// Forbids that datagrams towards the service are fragmented (DF), so that a client can find the MTU of the path behind
    /// the proxy: what is larger than that path carries is lost there. By default routers may fragment them.
    ///
    /// What is larger than the interface carries is refused by the system at once (`EMSGSIZE`), and counted as
    /// [`too_big`](ProxyStats::too_big). A report of a router further on is counted as a path error. Neither is reported to
    /// the client, whose path ends here.
    #[must_use]
    pub fn do_not_fragment(self) -> Self {
        Self { do_not_fragment: true, ..self }
    }

    /// Shows every fate as it is decided, with the client's address.
    #[must_use]
    pub fn observer(self, observer: impl FnMut(SocketAddr, &Record) + Send + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// Listens on the first of the addresses that the system accepts, in front of the first address of the service.
    ///
    /// Their families may differ. With a wildcard address the system picks the address that replies come from, which
    /// on a host with several may be another than the client sent to.
    ///
    /// # Errors
    ///
    /// That of the last address, or of the name resolution; [`InvalidInput`](io::ErrorKind::InvalidInput) if the service is
    /// the proxy itself, by whatever address; [`Unsupported`](io::ErrorKind::Unsupported) if it is asked for
    /// [no fragments](Self::do_not_fragment), and the system cannot do that (Linux and Android can).
    pub fn bind(self, listen: impl ToSocketAddrs, upstream: impl ToSocketAddrs) -> io::Result<Proxy> {
        let upstream = upstream.to_socket_addrs()?.next().ok_or_else(no_address)?;
        let mut last = no_address();
        for address in listen.to_socket_addrs()? {
            match sockets::listening(address) {
                Ok(listener) => return self.behind(listener, upstream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn behind(self, listener: UdpSocket, upstream: SocketAddr) -> io::Result<Proxy> {
        let Self { profile, replay, seed, idle, max_sessions, capacity, shared, do_not_fragment, observer } = self;
        if sockets::receives(listener.local_addr()?, upstream) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the proxy would be its own service"));
        }
        if do_not_fragment {
            fragmentation::can_be_forbidden(upstream)?;
        }
        let shared = shared.then_some(IpFamily::of(listener.local_addr()?.ip()));
        let receive_buffer = sockets::sessions_buffer(upstream, max_sessions)?;
        let rules = Rules {
            upstream,
            profile,
            replay,
            seed,
            idle,
            max_sessions,
            receive_buffer,
            capacity,
            shared,
            do_not_fragment,
        };
        Ok(Proxy { forwarder: Forwarder::new(listener, rules, observer)? })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("local", &self.local_addr())
            .field("upstream", &self.upstream_addr())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, replay, seed, idle, max_sessions, capacity, shared, do_not_fragment, observer: _ } = self;
        f.debug_struct("ProxyBuilder")
            .field("profile", profile)
            .field("replay", replay)
            .field("seed", seed)
            .field("idle", idle)
            .field("max_sessions", max_sessions)
            .field("capacity", capacity)
            .field("shared", shared)
            .field("do_not_fragment", do_not_fragment)
            .finish_non_exhaustive()
    }
}

const MAX_SESSIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}
