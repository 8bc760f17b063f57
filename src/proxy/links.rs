//! Which links a datagram passes: those of its client, or the same for all.

use super::sessions::Rules;
use crate::fault::{Direction, LinkPair, LinkStats};
use crate::size::IpFamily;

/// The links that all clients pass together, if they do.
#[derive(Debug)]
pub(super) struct Shared(Option<LinkPair>);

impl Shared {
    pub(super) fn new(rules: &Rules, families: (IpFamily, IpFamily)) -> Self {
        Self(rules.shared.then(|| rules.links(0, families)))
    }

    /// The links of a new client, unless it passes those of all.
    pub(super) fn apart(&self, rules: &Rules, ordinal: u64, families: (IpFamily, IpFamily)) -> Option<LinkPair> {
        self.0.is_none().then(|| rules.links(ordinal, families))
    }

    /// All that there are, with those of each client by itself.
    pub(super) fn and<'l>(
        &'l mut self,
        apart: impl Iterator<Item = &'l mut LinkPair>,
    ) -> impl Iterator<Item = &'l mut LinkPair> {
        self.0.iter_mut().chain(apart)
    }

    pub(super) fn or<'l>(&'l mut self, apart: Option<&'l mut LinkPair>) -> Option<&'l mut LinkPair> {
        self.0.as_mut().or(apart)
    }

    pub(super) fn stats(&self, direction: Direction) -> impl Iterator<Item = &LinkStats> {
        self.0.iter().map(move |links| links.stats(direction))
    }
}

impl Rules {
    /// As of client number `ordinal`, by the families of the service's end and of the clients'.
    fn links(&self, ordinal: u64, (service, client): (IpFamily, IpFamily)) -> LinkPair {
        let links = match &self.replay {
            Some(trace) => LinkPair::new(&trace.profile(ordinal), self.seed, ordinal),
            None => LinkPair::new(&self.profile, self.seed, ordinal),
        };
        links.over(service, client)
    }
}
