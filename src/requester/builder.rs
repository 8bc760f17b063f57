use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::fmt;
use core::net::SocketAddr;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;

use super::{ReliableRequester, span};
use crate::entropy::{IdSource, Seed, labels};
use crate::net::ConnectedUdp;
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::size::LARGEST_DATAGRAM;
use crate::transaction::{Event, Observer, OnUnreachable, ReplyMatcher, Transaction};
use crate::transport::{NoEntropy, PathIndex, Transport};

/// Settings of a [`ReliableRequester`]; made by [`ReliableRequester::builder`].
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RetryPolicy::default`]: for the Internet |
/// | [`budget`](Self::budget) | unlimited; [`RetryBudget::default`] is recommended, shared by all requests to a destination |
/// | [`on_unreachable`](Self::on_unreachable) | keeps trying: a server that restarts is back before the schedule ends |
/// | [`estimator`](Self::estimator) | none: every request starts with the policy's first wait |
/// | [`fail_over_budget`](Self::fail_over_budget) | off: listens on when the budget is empty |
/// | [`deadline`](Self::deadline) | none but the policy's |
/// | [`keep_port`](Self::keep_port) | off: a fresh port after a request that was not answered |
/// | [`observer`](Self::observer) | none |
/// | [`seed`](Self::seed) | from the transport's entropy: the operating system's, or a simulated network's seed |
/// | [`buffer`](Self::buffer) | 65,535 bytes: any reply fits |
#[must_use]
#[derive(Clone)]
pub struct Builder {
    matcher: SharedMatcher,
    policy: RetryPolicy,
    budget: RetryBudget,
    fails_over_budget: bool,
    on_unreachable: OnUnreachable,
    estimator: Option<RttEstimator>,
    observer: Option<Observer>,
    deadline: Option<Duration>,
    keeps_port: bool,
    peer: Option<SocketAddr>,
    seed: Option<Seed>,
    buffer: usize,
}

impl Builder {
    pub(super) fn new(matcher: impl ReplyMatcher + Send + Sync + 'static) -> Self {
        Self {
            matcher: Arc::new(Box::new(matcher)),
            policy: RetryPolicy::default(),
            budget: RetryBudget::unlimited(),
            fails_over_budget: false,
            on_unreachable: OnUnreachable::KeepTrying,
            estimator: None,
            observer: None,
            deadline: None,
            keeps_port: false,
            peer: None,
            seed: None,
            buffer: LARGEST_DATAGRAM,
        }
    }

    /// When to send again, and when to give up.
    pub fn policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Spends retransmissions from a budget that all requests to the destination should share: a request that finds
    /// it empty keeps listening instead of sending again. Recommended: clones of one
    /// [`RetryBudget::default`](RetryBudget), which pays while at most 23 % of the attempts fail (12 % of the datagrams in
    /// either direction). A path that is known to lose more needs a larger ratio, see
    /// [`RetryBudget::bearable_loss`].
    pub fn budget(self, budget: &RetryBudget) -> Self {
        Self { budget: budget.clone(), ..self }
    }

    /// Fails a request at once when the budget has no token for its next retransmission, for a caller who has something
    /// else to try. By default such a request listens on until its last wait or its deadline ends.
    pub fn fail_over_budget(self) -> Self {
        Self { fails_over_budget: true, ..self }
    }

    /// Leaves from the same port although the request before was not answered. By default the next one leaves from a
    /// fresh port then, where nothing late reaches it and a NAT makes a new mapping; protocols that bind a session to
    /// the port, and firewalls that admit one, want this. A port that the system picked changes all the same where this host
    /// lost the address that it leaves from.
    pub fn keep_port(self) -> Self {
        Self { keeps_port: true, ..self }
    }

    /// Names the peer in errors, where the transport is the caller's own. [`connect`](Self::connect) knows it.
    pub fn peer(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Takes the message that nobody listens there, or that no way leads there, for the end of a request: at once, or
    /// after some of them. A reply that is there already is still found. Which messages the system passes on depends on the
    /// socket: see [`OnUnreachable`].
    pub fn on_unreachable(self, on_unreachable: OnUnreachable) -> Self {
        Self { on_unreachable, ..self }
    }

    /// Starts each request with the wait that the round trips of those before it call for, instead of the policy's
    /// first one, and keeps it long after a timeout until a clean round trip (RFC 6298). The estimator's floor is the
    /// shortest such wait. All later waits follow from the first one, so on a quick path the whole request ends sooner,
    /// too. Clones of one estimator share what they learn: give one to all requesters of a peer.
    ///
    /// Build the request anew for each transmission with an id of its own, if the protocol allows that: then every reply
    /// is a measurement. On a path that loses datagrams an estimator has a [price](RttEstimator), above all without such
    /// ids.
    pub fn estimator(self, estimator: RttEstimator) -> Self {
        Self { estimator: Some(estimator), ..self }
    }

    /// Shows every event of every request to this function as it happens, with the time since the request began:
    /// for metrics and logs. It runs within the request, so it must not block.
    ///
    /// A request begins with transmission 1 (or what prevented it) and ends with [`Event::Replied`] or
    /// [`Event::Failed`].
    pub fn observer(self, observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Observer::new(observer)), ..self }
    }

    /// Ends every request this long after its call at the latest, whatever the policy says. A reply that arrives
    /// exactly then is accepted. A builder, a matcher or an observer of the caller's runs within the request: one that takes
    /// longer is waited for.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Makes jitter and stamped ids repeatable: same seed, same intervals, same ids. **Whoever knows the seed knows every
    /// id**, so it is for tests; by default both come from the [entropy](Transport::entropy) of the transport.
    pub fn seed(self, seed: Seed) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The longest reply that can be received, in bytes: 65,535 by default, more than any datagram has, and at most. A
    /// longer one is an error that gives both sizes.
    pub fn buffer(self, bytes: usize) -> Self {
        Self { buffer: bytes.min(LARGEST_DATAGRAM), ..self }
    }

    /// Connects a UDP socket of its own to the first address that the system accepts.
    ///
    /// # Errors
    ///
    /// What the system reports of the name or the address; that it has no entropy, if the matcher stamps ids.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<ReliableRequester> {
        let mut transport = ConnectedUdp::connect(server)?;
        if self.estimator.is_some() {
            transport = transport.with_arrival_times();
        }
        let peer = self.peer.unwrap_or(transport.peer_addr());
        self.peer(peer).over(transport).map_err(io::Error::other)
    }

    /// Runs over a transport of the caller's: a bad network, a simulated one, or a socket with settings.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`] if the matcher stamps ids and the transport has no unpredictable bytes for them. A weaker source is
    /// never used; jitter alone needs none.
    pub fn over<T: Transport<Peer = PathIndex>>(self, mut transport: T) -> Result<ReliableRequester<T>, NoEntropy> {
        let (seed, ids) = self.chance(&mut transport)?;
        let buffer = vec![0; self.buffer];
        let mut transaction = self.transaction();
        if let Some(ids) = ids {
            transaction = transaction.with_ids(ids);
        }
        let draws = seed.derive(labels::REQUESTS).draws();
        Ok(ReliableRequester { transport, transaction, draws, requests: 0, buffer })
    }

    /// Where jitter and ids come from: the caller's seed, else what the transport has.
    fn chance<T: Transport>(&self, transport: &mut T) -> Result<(Seed, Option<IdSource>), NoEntropy> {
        let stamps = self.matcher.stamps();
        if let Some(seed) = self.seed {
            return Ok((seed, stamps.then(|| IdSource::from_seed(seed))));
        }
        let mut drawn = [0; 32];
        let seed = match transport.entropy(&mut drawn) {
            Ok(()) => drawn.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
            // Jitter needs no secrecy, only that two processes differ: their ids do.
            Err(_) => Seed::new(std::process::id().into()).draw(transport.now().as_nanos()),
        };
        // A key of its own, because jitter shows what it is drawn from.
        let ids = if stamps {
            transport.entropy(&mut drawn)?;
            Some(IdSource::from_key(&drawn))
        } else {
            None
        };
        Ok((Seed::new(seed), ids))
    }

    fn transaction(self) -> Transaction<SharedMatcher> {
        let mut transaction = Transaction::new(self.policy, self.matcher)
            .with_budget(self.budget)
            .with_on_unreachable(self.on_unreachable);
        if self.fails_over_budget {
            transaction = transaction.failing_over_budget();
        }
        if self.keeps_port {
            transaction = transaction.keeping_port();
        }
        if let Some(deadline) = self.deadline {
            transaction = transaction.with_deadline(deadline);
        }
        if let Some(peer) = self.peer {
            transaction = transaction.with_peer(peer);
        }
        if let Some(estimator) = self.estimator {
            transaction = transaction.with_estimator(estimator);
        }
        if !span::ENABLED {
            return match self.observer {
                Some(observer) => transaction.observed_by(observer),
                None => transaction,
            };
        }
        transaction.with_observer(move |at, event| {
            span::record(at, event);
            if let Some(observer) = &self.observer {
                observer.show(at, event);
            }
        })
    }
}

/// The caller's matcher, whatever its type. In a box, because an `Arc` does not know where a value of unknown alignment
/// begins and works it out at every call.
pub(super) type SharedMatcher = Arc<Box<dyn ReplyMatcher + Send + Sync>>;

/// Nothing is half done after a panic of a matcher or an observer.
impl UnwindSafe for Builder {}
impl RefUnwindSafe for Builder {}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("deadline", &self.deadline)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}
