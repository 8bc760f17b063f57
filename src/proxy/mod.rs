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
//! unless all [share](ProxyBuilder::shared) one link. Replies come from the address that the client asked.
//!
//! It forwards inside [`Proxy::run_for`] and nowhere else, so beside a test it runs in a thread. From there it is steered, and
//! shows what it has done:
//!
//! ```
//! use core::time::Duration;
//! use std::net::UdpSocket;
//! use std::sync::atomic::{AtomicBool, Ordering};
//! use std::thread;
//! use udp_retry::fault::{Direction, Profile};
//! use udp_retry::proxy::Proxy;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = UdpSocket::bind("127.0.0.1:0")?;
//! let lossy = Profile::both("loss 100%".parse()?);
//! let mut proxy = Proxy::builder().profile(lossy).bind("127.0.0.1:0", service.local_addr()?)?;
//! let (address, control, over) = (proxy.local_addr(), proxy.control(), AtomicBool::new(false));
//! let stats = thread::scope(|scope| {
//!     let running = scope.spawn(|| {
//!         while !over.load(Ordering::Relaxed) {
//!             proxy.run_for(Duration::from_millis(10)).expect("a system that waits for sockets");
//!         }
//!         proxy.stats()
//!     });
//!     // Here goes the client that is tested.
//!     let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
//!     client.send_to(b"lost or not", address).expect("loopback");
//!     control.set(Direction::ToServer, "none".parse().expect("impairments"));
//!     client.send_to(b"not lost", address).expect("loopback");
//!     while service.recv(&mut [0; 16]).expect("a datagram") != b"not lost".len() {}
//!     over.store(true, Ordering::Relaxed);
//!     running.join().expect("no panic")
//! });
//! assert_eq!((stats.opened, stats.to_server.fates.received), (1, 2));
//! # Ok(())
//! # }
//! ```
//!
//! For clients in other languages there is the tool's command `udp-retry proxy` (feature `cli`).
//!
//! No reply reaches another client than it is for: a port whose session was owed a reply when it ended serves no other for
//! 30 s after it sent last. When all ports of the system are in use or rest, a new client is turned away and
//! [counted](ProxyStats::unserved_by).
//!
//! The proxy ends the IP path: what the headers of a datagram say beside its addresses does not pass. The service sees the
//! TTL, the DSCP, the ECN marks and the DF bit of the proxy's host, and so does the client. A client that searches for the
//! MTU of its path finds that of the path to the proxy, unless the datagrams towards the service
//! [may not be fragmented](ProxyBuilder::do_not_fragment) or the impairments have an MTU.
//!
//! With nothing to do it forwards some 90 % of what a bare loop of the same shape does
//! (`taskset -c 0 cargo bench --features proxy --bench link`).

mod builder;
mod forwarder;
mod fragmentation;
mod lane;
mod links;
mod listener;
mod pause;
mod ports;
mod resolving;
mod service_socket;
mod service_sockets;
mod sessions;
mod sockets;
mod timer;
mod unserved;
mod upstream;
mod watch;

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

pub use self::builder::ProxyBuilder;
use self::forwarder::Forwarder;
pub use self::resolving::ResolveHandle;
pub use self::unserved::Unserved;
use crate::fault::{Control, DirectionStats};

/// A UDP fault proxy, which runs inside [`run_for`](Self::run_for).
///
/// Errors that the system reports of earlier datagrams are counted and end nothing: a service may go away and come
/// back, and its clients keep their sessions. A datagram that cannot leave at once, because a queue of the system is
/// full, is counted as failed, as a network card would drop it. One that exceeds an MTU is dropped even where the
/// impairments ask for an error, as its sender is on another host.
///
/// Of what is delayed it keeps what [`Capacity`](crate::fault::Capacity) says, of each session. A copy in flight to the service when its session
/// ends is discarded when it is due; one in flight to a client arrives.
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
    /// Datagrams of new clients that got no session.
    pub unserved: u64,
    /// The same, by the reason; [`Proxy::unserved_error`] has the system's words for the last one.
    pub unserved_by: Unserved,
    /// Datagrams that came to a session from others than the host of the service. Only where [any
    /// port](ProxyBuilder::any_port) may answer: other sessions receive none.
    pub strangers: u64,
    /// Errors that the system reported of earlier datagrams, such as refusals by a service that is not there.
    pub path_errors: u64,
    /// Copies that the system refused as larger than a packet can be (`EMSGSIZE`), in either direction: a part of those
    /// that [failed](DirectionStats::failed). To the service that is the MTU of the interface where fragments
    /// [are forbidden](ProxyBuilder::do_not_fragment).
    pub too_big: u64,
}

/// Datagrams that reached the proxy's sockets and found them full, as the proxy was too slow or had no time.
///
/// Nothing that the proxy itself counts knows of them. The system counts along with them what arrived with a wrong checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct KernelDrops {
    /// Requests, so far, modulo 2^32.
    pub listener: u64,
    /// Replies, so far, those to sessions that have ended included; of each session modulo 2^32.
    pub sessions: u64,
}

impl Proxy {
    /// Builds a proxy. By default it forwards without any impairment.
    #[must_use]
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder::new()
    }

    /// The address that clients send to, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.forwarder.listener.local
    }

    /// The address of the service that new sessions go to at present: the first one, until it refuses or is no longer one of
    /// the service's name.
    #[must_use]
    pub fn upstream_addr(&self) -> SocketAddr {
        self.forwarder.sessions.sockets.upstream.current()
    }

    /// A handle that has the service's name resolved again, from any thread.
    #[must_use]
    pub fn resolve_handle(&self) -> ResolveHandle {
        self.forwarder.sessions.sockets.upstream.handle()
    }

    /// The error for which a datagram was last [unserved](ProxyStats::unserved).
    #[must_use]
    pub fn unserved_error(&self) -> Option<&io::Error> {
        self.forwarder.unserved_error.as_ref()
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

    /// What never reached it because its sockets were full: the listening one and those of all sessions so far.
    ///
    /// `None` where the system does not tell: Linux and Android do since Linux 4.12. It takes a system call for each
    /// session that is open.
    #[must_use]
    pub fn kernel_drops(&self) -> Option<KernelDrops> {
        self.forwarder.kernel_drops()
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
