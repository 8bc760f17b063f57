//! The requester, from the first request that can have one.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use udp_retry::net::system_seed;
use udp_retry::transaction::ReplyMatcher;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use super::Arguments;
use super::resolver::Resolver;
use super::sent::Sent;
use crate::values::{Host, Id};

/// Whom to ask: what each request tries again where it failed before.
pub(crate) struct Client<'a> {
    arguments: &'a Arguments,
    server: Host,
    policy: RetryPolicy,
    resolver: Resolver,
    /// Once they are known; they are not looked up again.
    addresses: Option<Vec<SocketAddr>>,
    seed: Option<Seed>,
    connections: u64,
    connected: Option<Connected>,
}

struct Connected {
    requester: ReliableRequester,
    /// The lookup took some of the time of the request that it was made for, and of no other.
    is_hurried: bool,
}

impl<'a> Client<'a> {
    pub(crate) fn new(arguments: &'a Arguments, server: Host, policy: RetryPolicy) -> Self {
        let addresses = server.literal().map(|address| vec![address]);
        let name = server.clone();
        let resolver = Resolver::new(move || name.addresses());
        Self { arguments, server, policy, resolver, addresses, seed: None, connections: 0, connected: None }
    }

    /// What the ids are drawn from; the jitter, too.
    pub(crate) fn seed(&mut self) -> io::Result<Seed> {
        let seed = match (self.seed, self.arguments.seed) {
            (Some(seed), _) => seed,
            (None, Some(number)) => Seed::new(number),
            (None, None) => system_seed()?,
        };
        Ok(*self.seed.insert(seed))
    }

    /// A requester whose next request ends when the deadline of one that began at `begun` does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if the lookup took all of that time; else what the system says.
    pub(crate) fn requester(&mut self, begun: Instant, sent: &Sent) -> io::Result<&mut ReliableRequester> {
        let connected = match self.connected.take() {
            Some(connected) if !connected.is_hurried => connected,
            _ => self.connect(begun, sent)?,
        };
        Ok(&mut self.connected.insert(connected).requester)
    }

    fn connect(&mut self, begun: Instant, sent: &Sent) -> io::Result<Connected> {
        let seed = match (self.seed()?, self.connections) {
            (seed, 0) => seed,
            // Jitter of its own, not that of the first one again.
            (seed, again) => Seed::new(seed.draw(again)),
        };
        let deadline = self.arguments.deadline;
        let (addresses, left) = match &self.addresses {
            Some(known) => (known.clone(), deadline),
            None => {
                let found = self.resolver.addresses(deadline).map_err(|error| self.server.without_address(&error))?;
                (found, deadline.map(|deadline| deadline.saturating_sub(begun.elapsed())))
            }
        };
        self.addresses = Some(addresses.clone());

        let matcher: Box<dyn ReplyMatcher + Send + Sync> = match self.arguments.id.clone() {
            Some(Id { range, found_at }) => Box::new(transaction_id(range).found_at(found_at)),
            None => Box::new(any_reply()),
        };
        let builder = ReliableRequester::builder(matcher).policy(self.policy).seed(seed).observer(sent.observer());
        let builder = if let Some(left) = left { builder.deadline(left) } else { builder };
        let whom = |error: io::Error| match addresses.first() {
            Some(first) => io::Error::new(error.kind(), format!("cannot ask {first}: {error}")),
            None => error,
        };
        let requester = builder.connect(&addresses[..]).map_err(whom)?;
        self.connections += 1;
        Ok(Connected { requester, is_hurried: left != deadline })
    }
}
