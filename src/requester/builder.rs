use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;

use super::{ReliableRequester, span};
use crate::entropy::Seed;
use crate::net::ConnectedUdp;
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::size::LARGEST_DATAGRAM;
use crate::transaction::{Event, OnUnreachable, ReplyMatcher, Transaction};
use crate::transport::{PathIndex, Transport};

/// Settings of a [`ReliableRequester`]; made by [`ReliableRequester::builder`].
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RetryPolicy::default`]: for the Internet |
/// | [`budget`](Self::budget) | unlimited; [`RetryBudget::default`] is recommended, shared by all requests to a destination |
/// | [`on_unreachable`](Self::on_unreachable) | keeps trying: a server that restarts is back before the schedule ends |
/// | [`estimator`](Self::estimator) | none: every request starts with the policy's first wait |
/// | [`deadline`](Self::deadline) | none but the policy's |
/// | [`observer`](Self::observer) | none |
/// | [`seed`](Self::seed) | from the transport's entropy: the operating system's, or a simulated network's seed |
/// | [`buffer`](Self::buffer) | 65,535 bytes: any reply fits |
#[must_use]
pub struct Builder {
    matcher: Box<dyn ReplyMatcher + Send>,
    policy: RetryPolicy,
    budget: RetryBudget,
    on_unreachable: OnUnreachable,
    estimator: Option<RttEstimator>,
    observer: Option<Observer>,
    deadline: Option<Duration>,
    seed: Option<Seed>,
    buffer: usize,
}

type Observer = Arc<dyn Fn(Duration, Event) + Send + Sync>;

impl Builder {
    pub(super) fn new(matcher: Box<dyn ReplyMatcher + Send>) -> Self {
        Self {
            matcher,
            policy: RetryPolicy::default(),
            budget: RetryBudget::unlimited(),
            on_unreachable: OnUnreachable::KeepTrying,
            estimator: None,
            observer: None,
            deadline: None,
            seed: None,
            buffer: LARGEST_DATAGRAM,
        }
    }

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

    /// Starts each request with the wait that the round trips of those before it call for, instead of the policy's
    /// first one, and keeps it long after a timeout until a clean round trip (RFC 6298). The estimator's floor is the
    /// shortest such wait. Build the request anew for each transmission with an id of its own, if the protocol allows
    /// that: then every reply is a measurement.
    pub fn estimator(self, estimator: RttEstimator) -> Self {
        Self { estimator: Some(estimator), ..self }
    }

    /// Shows every event of every request to this function as it happens, with the time since the request began:
    /// for metrics and logs. It runs within the request, so it must not block.
    ///
    /// A request begins with transmission 1 (or what prevented it) and ends with [`Event::Replied`] or
    /// [`Event::Failed`].
    pub fn observer(self, observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
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
        Ok(self.over(ConnectedUdp::connect(server)?))
    }

    /// Runs over a transport of the caller's: a bad network, a simulated one, or a socket with settings.
    pub fn over<T: Transport<Peer = PathIndex>>(self, mut transport: T) -> ReliableRequester<T> {
        let mut transaction = Transaction::new(self.policy, self.matcher)
            .with_budget(self.budget)
            .with_on_unreachable(self.on_unreachable);
        if let Some(estimator) = self.estimator {
            transaction = transaction.with_estimator(estimator);
        }
        if span::ENABLED || self.observer.is_some() {
            transaction = transaction.with_observer(move |at, event| {
                span::record(at, event);
                if let Some(observer) = &self.observer {
                    observer(at, event);
                }
            });
        }
        ReliableRequester {
            transaction,
            deadline: self.deadline,
            draws: self.seed.unwrap_or_else(|| fresh_seed(&mut transport)).draws(),
            requests: 0,
            buffer: vec![0; self.buffer],
            transport,
        }
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

/// Jitter needs no secrecy, only that two processes differ: where there is no entropy, their ids do.
fn fresh_seed(transport: &mut impl Transport) -> Seed {
    let mut key = [0; 32];
    match (transport.entropy(&mut key), key.first_chunk()) {
        (Ok(()), Some(number)) => Seed::new(u64::from_le_bytes(*number)),
        _ => Seed::new(std::process::id().into()).derive(transport.now().as_nanos()),
    }
}
