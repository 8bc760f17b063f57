use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use super::Sequential;
use crate::entropy::{IdSource, Seed};
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::size::LARGEST_DATAGRAM;
use crate::transaction::OnUnreachable;
use crate::transport::{NoEntropy, Transport};

/// Settings of a requester. `F` is the front that they are for: each has some of its own, and none without an effect.
///
/// | made by | for | its own settings |
/// |---|---|---|
/// | [`ReliableRequester::builder`](super::ReliableRequester::builder) | one request at a time | [`Sequential`] |
/// | [`ConcurrentRequester::builder`](super::ConcurrentRequester::builder) | many in flight | [`Concurrent`](super::Concurrent) |
/// | `AsyncRequester::builder`, with the feature `tokio` or `sim` | many in flight, as futures | `Asynchronous` |
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RetryPolicy::default`]: for the Internet |
/// | [`budget`](Self::budget) | unlimited; [`RetryBudget::default`] is recommended, shared by all requests to a destination. With several servers ratio 0.2, burst 20, full at first |
/// | [`on_unreachable`](Self::on_unreachable) | keeps trying: a server that restarts is back before the schedule ends |
/// | [`estimator`](Self::estimator) | none: every request starts with the policy's first wait |
/// | [`fail_over_budget`](Self::fail_over_budget) | off: listens on when the budget is empty |
/// | [`deadline`](Self::deadline) | none but the policy's |
/// | [`seed`](Self::seed) | from the transport's entropy: the operating system's, or a simulated network's seed |
/// | [`buffer`](Self::buffer) | 65,535 bytes: any reply fits |
#[must_use]
#[derive(Clone)]
pub struct Builder<F = Sequential> {
    pub(super) policy: RetryPolicy,
    /// `None`: the front's own.
    pub(super) budget: Option<RetryBudget>,
    pub(super) fails_over_budget: bool,
    pub(super) on_unreachable: OnUnreachable,
    pub(super) estimator: Option<RttEstimator>,
    pub(super) deadline: Option<Duration>,
    pub(super) seed: Option<Seed>,
    pub(super) buffer: usize,
    /// What only this front has.
    pub(super) front: F,
}

impl<F> Builder<F> {
    pub(super) fn new(front: F) -> Self {
        Self {
            policy: RetryPolicy::default(),
            budget: None,
            fails_over_budget: false,
            on_unreachable: OnUnreachable::KeepTrying,
            estimator: None,
            deadline: None,
            seed: None,
            buffer: LARGEST_DATAGRAM,
            front,
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
        Self { budget: Some(budget.clone()), ..self }
    }

    /// Fails a request at once when the budget has no token for its next retransmission, for a caller who has something
    /// else to try. By default such a request listens on until its last wait or its deadline ends.
    pub fn fail_over_budget(self) -> Self {
        Self { fails_over_budget: true, ..self }
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

    /// The same settings, of another front.
    #[cfg(any(feature = "tokio", feature = "sim"))]
    pub(super) fn of<G>(self, front: G) -> Builder<G> {
        let Self { policy, budget, fails_over_budget, on_unreachable, estimator, deadline, seed, buffer, front: _ } =
            self;
        Builder { policy, budget, fails_over_budget, on_unreachable, estimator, deadline, seed, buffer, front }
    }

    /// Bytes to receive into, where replies have this many before their payload.
    pub(super) fn receive_buffer(&self, header: usize) -> Vec<u8> {
        vec![0; self.buffer.saturating_add(header).min(LARGEST_DATAGRAM)]
    }

    /// Where jitter and ids come from: the caller's seed, else what the transport has.
    pub(super) fn chance<T: Transport>(
        &self,
        transport: &mut T,
        stamps: bool,
    ) -> Result<(Seed, Option<IdSource>), NoEntropy> {
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
}

/// Nothing is half done after a panic of a matcher or an observer.
impl<F> UnwindSafe for Builder<F> {}
impl<F> RefUnwindSafe for Builder<F> {}

impl<F> fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("deadline", &self.deadline)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}
