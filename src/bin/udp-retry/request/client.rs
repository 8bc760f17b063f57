//! The requester, from the first request that can have one.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use udp_retry::net::system_seed;
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::transaction::ReplyMatcher;
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use super::Arguments;
use super::record::Record;
use super::resolver::Resolver;
use crate::interrupt::Interrupt;
use crate::values::{Hosts, Id};

/// Which of several servers a request goes to first
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Preference {
    /// Of those about as quick as the quickest, one at random
    Band,
    /// The first that lives
    InOrder,
    /// One until it is dead
    Sticky,
    /// One after the other
    RoundRobin,
}

/// Whom to ask: what each request tries again where it failed before.
pub(crate) struct Client<'a> {
    arguments: &'a Arguments,
    servers: Hosts,
    policy: RetryPolicy,
    resolver: Resolver,
    seed: Option<Seed>,
    connected: Option<Connected>,
    /// What ends its waits.
    interrupt: Option<&'a Interrupt>,
}

struct Connected {
    requester: ReliableRequester,
    addresses: Vec<SocketAddr>,
}

/// What a request needs.
pub(crate) struct Ready<'c> {
    pub(crate) requester: &'c mut ReliableRequester,
    /// Where each of its paths leads.
    pub(crate) addresses: &'c [SocketAddr],
    /// What is left of the deadline.
    pub(crate) left: Option<Duration>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        servers: Hosts,
        policy: RetryPolicy,
        interrupt: Option<&'a Interrupt>,
    ) -> Self {
        let names = servers.clone();
        let resolver = Resolver::new(move || names.addresses());
        Self { arguments, servers, policy, resolver, seed: None, connected: None, interrupt }
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

    /// A requester, for a request that began at `begun`. Names are looked up until they have been found, and then never again:
    /// that takes some of the time of the request that it is done for, and of no other.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if the lookup took all of that time; else what the system says.
    pub(crate) fn ready(&mut self, begun: Instant, record: &Record) -> io::Result<Ready<'_>> {
        let deadline = self.arguments.deadline;
        let (connected, left) = match self.connected.take() {
            Some(connected) => (connected, deadline),
            None => {
                let connected = self.connect(record)?;
                (connected, deadline.map(|deadline| deadline.saturating_sub(begun.elapsed())))
            }
        };
        let Connected { requester, addresses } = self.connected.insert(connected);
        Ok(Ready { requester, addresses, left })
    }

    fn connect(&mut self, record: &Record) -> io::Result<Connected> {
        let seed = self.seed()?;
        let addresses = addresses(&self.servers, &mut self.resolver, self.arguments.deadline)?;
        let matcher: Box<dyn ReplyMatcher + Send + Sync> = match self.arguments.id.clone() {
            Some(Id { range, found_at }) => Box::new(transaction_id(range).found_at(found_at)),
            None => Box::new(any_reply()),
        };
        let settings = ServerSettings::new().with_spread(self.arguments.spread.into()).map_err(io::Error::other)?;
        let builder = ReliableRequester::builder(matcher).policy(self.policy).seed(seed);
        let builder = builder.servers(settings).observer(record.observer());
        let builder = if self.arguments.envelope { builder.envelope() } else { builder };
        // As addresses: looking a name up again knows no deadline.
        let servers: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let whom =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot ask {}: {error}", servers.join(", ")));
        let mut requester = builder.connect_any(&servers).map_err(whom)?;
        if let Some(interrupt) = self.interrupt {
            interrupt.ends(requester.cancel_handle()?)?;
        }
        let addresses = (0..).map_while(|path| requester.transport().address(PathIndex::new(path))).collect();
        Ok(Connected { requester, addresses })
    }
}

/// Of all of these servers, within the deadline.
pub(crate) fn addresses(
    servers: &Hosts,
    resolver: &mut Resolver,
    deadline: Option<Duration>,
) -> io::Result<Vec<SocketAddr>> {
    match servers.literal() {
        Some(known) => Ok(known),
        None => resolver.addresses(deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => servers.without_address(&error),
            _ => error,
        }),
    }
}

impl From<Preference> for Spread {
    fn from(order: Preference) -> Self {
        match order {
            Preference::Band => Self::BAND,
            Preference::InOrder => Self::InOrder,
            Preference::Sticky => Self::Sticky,
            Preference::RoundRobin => Self::RoundRobin,
        }
    }
}
