use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::fmt;
use std::io;
use std::net::ToSocketAddrs;

use super::groups::NewGroups;
use super::peers::NewPeers;
use super::{Builder, ConcurrentRequester};
use crate::entropy::labels;
use crate::net::ConnectedUdp;
use crate::policy::RetryBudget;
use crate::transaction::{InFlight, KeyedMatcher, Limits, ReplyMatcher};
use crate::transport::{NoEntropy, PeerAddress, Transport};

/// What a [`Builder`] of a [`ConcurrentRequester`] has besides.
///
/// | setting | default |
/// |---|---|
/// | [`limits`](Builder::limits) | 65,536 requests, 64 of them on the wire at a peer: [`Limits`] |
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
    limits: Limits,
}

impl Concurrent {
    pub(super) fn new(matcher: impl KeyedMatcher + Send + Sync + 'static) -> Self {
        Self { matcher: Arc::new(Box::new(matcher)), limits: Limits::default() }
    }
}

impl Builder<Concurrent> {
    /// How much may be in flight, and how much of it on the wire at one peer.
    pub fn limits(self, limits: Limits) -> Self {
        Self { front: Concurrent { limits, ..self.front }, ..self }
    }

    /// Connects a UDP socket of its own to the first address that the system accepts: for one server. Several of one service
    /// take [`connect_any`](Self::connect_any), many different ones take
    /// [`over`](Self::over) an [`UnconnectedUdp`](crate::net::UnconnectedUdp).
    ///
    /// # Errors
    ///
    /// What the system reports of the name or the address; that it has no entropy, if the matcher stamps ids.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<ConcurrentRequester> {
        let mut transport = ConnectedUdp::connect(server)?;
        if self.estimator.is_some() {
            transport = transport.with_arrival_times();
        }
        let server = Some(transport.peer_addr());
        Ok(ConcurrentRequester { server, ..self.over(transport).map_err(io::Error::other)? })
    }

    /// Runs over a transport of the caller's: an unconnected socket, a bad network, a simulated one, or a socket with settings.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`] if the matcher stamps ids and the transport has no unpredictable bytes for them. A weaker source is
    /// never used; jitter alone needs none.
    pub fn over<T: Transport<Peer: PeerAddress>>(self, mut transport: T) -> Result<ConcurrentRequester<T>, NoEntropy> {
        let (seed, ids) = self.chance(&mut transport, self.front.matcher.stamps())?;
        let Concurrent { matcher, limits } = self.front;
        let mut engine = InFlight::new(self.policy, matcher, limits, seed.derive(labels::REQUESTS), ids)
            .with_on_unreachable(self.on_unreachable);
        if self.fails_over_budget {
            engine = engine.failing_over_budget();
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
        let buffer = vec![0; self.buffer];
        Ok(ConcurrentRequester { transport, engine, peers, groups, buffer, to_read: 0, limits, server: None })
    }
}

/// The caller's matcher, whatever its type; in a box, as that of the other front.
pub(super) type SharedKeyedMatcher = Arc<Box<dyn KeyedMatcher + Send + Sync>>;

impl fmt::Debug for Concurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concurrent").field("limits", &self.limits).finish_non_exhaustive()
    }
}
