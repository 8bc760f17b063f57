//! What a caller may set before the first request.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use super::grant::Grants;
use super::observer::Observer;
use super::{Event, OnUnreachable, ReplyMatcher, Transaction};
use crate::entropy::IdSource;
use crate::policy::{RetryBudget, RttEstimator};
use crate::servers::ServerSet;

impl<M: ReplyMatcher> Transaction<M> {
    /// Asks these servers: [`next`](Self::next) says on which path, of the server's number, and a reply on any path that was
    /// asked counts.
    ///
    /// In each slot of the policy every server that lives is asked at most once, each as soon as the one before has had
    /// [long enough](ServerSet::failover_after); then the slot's own wait begins. Failovers are paid from the budget, but
    /// for those that a refusal hastened, and the first of a request that leaves a server which never replied.
    #[must_use]
    pub fn with_servers(mut self, servers: ServerSet) -> Self {
        self.outbox.resize(servers.len());
        self.reach = self.reach.to_several(servers);
        self
    }

    /// Spends retransmissions from this budget, which others may share; unlimited by default.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.destination.budget = Grants::of(budget);
        self
    }

    /// Fails a request at once, as [`TimedOut(OverBudget)`](super::Failure::TimedOut), when the budget has no token for its
    /// next retransmission. By default it listens on until its last wait or its deadline ends.
    #[must_use]
    pub fn failing_over_budget(mut self) -> Self {
        self.destination.fails_over_budget = true;
        self
    }

    /// Chooses the reaction to ICMP "port unreachable" and "destination unreachable". They are ignored by default.
    #[must_use]
    pub fn with_on_unreachable(mut self, on_unreachable: OnUnreachable) -> Self {
        self.destination.on_unreachable = on_unreachable;
        self
    }

    /// Starts each request's waits at the timeout that the round trips of those before it call for, instead of the
    /// policy's first wait. The rest of the policy stays: its growth, jitter, maximum and deadline.
    #[must_use]
    pub fn with_estimator(mut self, estimator: RttEstimator) -> Self {
        self.reach.measured_by(estimator);
        self
    }

    /// Ends every request this long after its start at the latest, whatever the policy says. None by default.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.destination.deadline = Some(deadline);
        self
    }

    /// Leaves from the same port although the request before was not answered. By default the next one leaves from a
    /// fresh port then, where nothing late reaches it and a NAT makes a new mapping. A matcher without ids still asks
    /// for a fresh port each time.
    #[must_use]
    pub fn keeping_port(mut self) -> Self {
        self.destination.keeps_port = true;
        self
    }

    /// Stamps requests with ids from this source, if the matcher [stamps](ReplyMatcher::stamps). Without a source no
    /// such request can be sent: it ends as [`Failure::Unmatchable`](super::Failure::Unmatchable). A clone of the transaction has none, as it would
    /// repeat the ids.
    #[must_use]
    pub fn with_ids(mut self, ids: IdSource) -> Self {
        self.outbox.stamp_from(ids);
        self
    }

    /// Puts an [envelope](crate::envelope) around requests, and expects one around replies: the server must do the same. None
    /// by default.
    #[must_use]
    pub fn with_envelope(self) -> Self {
        Self { envelope: Some(Box::default()), ..self }
    }

    /// Names the peer in errors.
    #[must_use]
    pub fn with_peer(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Shows every event to this function, as it happens and with the time since the start: also those that the
    /// timeline has no space for.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        self.observed_by(Observer::new(observer))
    }

    pub(crate) fn observed_by(mut self, observer: Observer) -> Self {
        self.book.observer = Some(observer);
        self
    }
}
