use core::cmp::Ordering;

use super::concurrent_settings::SharedKeyedMatcher;
use crate::policy::{RetryBudget, RttEstimator};
use crate::transaction::{InFlight, PeerId};
use crate::transport::PeerAddress;

/// An address as it was asked, compared by who is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<A: PeerAddress> {
    identity: A::Identity,
    pub(super) address: A,
}

impl<A: PeerAddress> Asked<A> {
    #[inline]
    pub(super) fn at(address: A) -> Self {
        Self { identity: address.identity(), address }
    }
}

impl<A: PeerAddress> PartialEq for Asked<A> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl<A: PeerAddress> Eq for Asked<A> {}

impl<A: PeerAddress> PartialOrd for Asked<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<A: PeerAddress> Ord for Asked<A> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity.cmp(&other.identity)
    }
}

/// What a peer gets when it is first asked.
#[derive(Debug)]
pub(super) struct NewPeers {
    pub(super) budget: RetryBudget,
    pub(super) estimator: Option<RttEstimator>,
    /// How many there are.
    pub(super) count: usize,
}

impl NewPeers {
    /// The peer with this address, which is made if there is none.
    #[inline]
    pub(super) fn at<A: PeerAddress>(
        &mut self,
        engine: &mut InFlight<Asked<A>, SharedKeyedMatcher>,
        asked: Asked<A>,
    ) -> PeerId {
        match engine.peer(asked) {
            Some(known) => known,
            None => self.add(engine, asked),
        }
    }

    #[cold]
    fn add<A: PeerAddress>(&mut self, engine: &mut InFlight<Asked<A>, SharedKeyedMatcher>, asked: Asked<A>) -> PeerId {
        let estimator = self.estimator.as_ref();
        let estimator = if self.count == 0 { estimator.cloned() } else { estimator.map(RttEstimator::unmeasured) };
        self.count += 1;
        engine.add_peer(asked, self.budget.clone(), estimator)
    }
}
