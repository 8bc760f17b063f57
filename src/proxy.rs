//! A bad network in front of any UDP service, for any client, in any language: a proxy that needs no privilege and
//! changes nothing on the host.
//!
//! ```text
//!   client A ──▶┐                                                  ┌──▶ (socket of A) ──▶┐
//!               ├──▶ listening socket ──▶ links of the client ──▶──┤                     ├──▶ the service
//!   client B ──▶┘                                                  └──▶ (socket of B) ──▶┘
//! ```
//!
//! Every client address has a session: one connected socket towards the service, so that the service can tell its
//! clients apart, and one [`Link`](crate::fault::Link) for each direction. Replies come from the address that the
//! client sent to.

use core::time::Duration;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::entropy::Seed;
use crate::fault::{Control, DirectionStats, Profile, Record, Trace};

/// A UDP fault proxy, run by whoever calls [`run_for`](Self::run_for).
#[derive(Debug)]
pub struct Proxy {
    placeholder: (),
}

/// How a [`Proxy`] behaves; made by [`Proxy::builder`].
#[derive(Debug)]
pub struct Builder {
    profile: Profile,
    seed: Seed,
    idle: Duration,
    max_sessions: usize,
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
    /// Sessions ever.
    pub opened: u64,
    /// Sessions that ended because nothing came for the idle time, in either direction.
    pub expired: u64,
    /// Sessions that made room for new ones before that.
    pub evicted: u64,
    /// Datagrams of new clients for which the system had no socket.
    pub unserved: u64,
    /// Errors that the system reported of earlier datagrams, such as refusals by a service that is not there.
    pub path_errors: u64,
}

impl Proxy {
    /// A proxy that does nothing to anybody, until told.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { profile: Profile::default(), seed: Seed(0), idle: Duration::from_secs(120), max_sessions: 1024 }
    }

    /// Where clients send to, with the port that the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// The service.
    #[must_use]
    pub fn upstream_addr(&self) -> SocketAddr {
        todo!()
    }

    /// A handle that changes the impairments from any thread.
    #[must_use]
    pub fn control(&self) -> Control {
        todo!()
    }

    /// Forwards for so long.
    ///
    /// To be called again and again; whatever is on its way between two calls stays on its way. A signal may end it
    /// early.
    ///
    /// # Errors
    ///
    /// Only what makes going on impossible: that the system can wait no more. Nothing that the network does.
    pub fn run_for(&mut self, time: Duration) -> io::Result<()> {
        todo!("{time:?}")
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        todo!()
    }
}

impl Builder {
    /// What happens in each direction; nothing by default.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The seed of all decisions; 0 by default.
    #[must_use]
    pub fn seed(self, seed: Seed) -> Self {
        Self { seed, ..self }
    }

    /// Session number n meets what link n of the recording met, instead of the profile.
    #[must_use]
    pub fn replay(self, trace: Trace) -> Self {
        let _ = trace;
        self
    }

    /// A session ends when nothing has come for so long, in either direction; 120 s by default, the least that a NAT
    /// should keep a mapping (RFC 4787 section 4.3).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// So many sessions at most, at least one; 1,024 by default. The one idle for the longest time makes room for a
    /// new one.
    #[must_use]
    pub fn max_sessions(self, max_sessions: usize) -> Self {
        Self { max_sessions, ..self }
    }

    /// Shows every fate as it is decided, with the client's address.
    #[must_use]
    pub fn observer(self, observer: impl FnMut(SocketAddr, &Record) + Send + 'static) -> Self {
        let _ = observer;
        self
    }

    /// Listens on the first of the addresses that the system accepts, in front of the first address of the service.
    ///
    /// # Errors
    ///
    /// That of the last address, or of the name resolution.
    pub fn bind(self, listen: impl ToSocketAddrs, upstream: impl ToSocketAddrs) -> io::Result<Proxy> {
        let _ = (listen, upstream);
        Ok(Proxy { placeholder: () })
    }
}
