use alloc::vec::Vec;
use core::time::Duration;

use super::{Health, Paths, ServerSettings, ServerState, ServersError};
use crate::entropy::Seed;
use crate::time::Timestamp;
use crate::transport::{PathError, PathIndex};

/// Up to 64 servers of one service: which to ask, and what each has shown.
///
/// Pure, as a transaction is: facts come in through `on_…`, and the present moment is an argument.
#[derive(Clone, Debug)]
pub struct ServerSet {
    settings: ServerSettings,
    seed: Seed,
    servers: Vec<Server>,
}

#[derive(Clone, Debug, Default)]
struct Server {
    outstanding: u32,
    transmissions: u64,
    probes: u64,
    replies: u64,
    expiries: u64,
}

/// Where a transmission goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum Choice {
    /// To this server.
    Ask(PathIndex),
    /// Every server that lives was tried: the round is over.
    TriedAll,
    /// All are dead: nothing leaves but probes until one replies.
    Park,
}

/// What a transmission is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must say which")]
pub enum Sent {
    /// The first of a request.
    Request,
    /// A further one of a request, to a server that was asked before.
    Repeat,
    /// A further one of a request, to a server that it has not asked yet.
    Failover,
    /// One to a second server although the wait for the first has not ended.
    Hedge,
    /// A copy to a dead server, for whose reply no request waits.
    Probe,
}

impl ServerSet {
    /// This many servers of which nothing is known. `seed` decides ties.
    ///
    /// # Errors
    ///
    /// [`ServersError::Count`] unless there are 1 to 64.
    pub fn new(count: usize, settings: ServerSettings, seed: Seed) -> Result<Self, ServersError> {
        if !(1..=Paths::MOST).contains(&count) {
            return Err(ServersError::Count { count });
        }
        Ok(Self { settings, seed, servers: alloc::vec![Server::default(); count] })
    }

    /// How many servers there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Which server to ask next in a round of a request in which these were `tried`. Each asking may draw anew: keep the
    /// answer until it was acted on.
    #[must_use]
    pub fn choose(&mut self, now: Timestamp, tried: Paths) -> Choice {
        let _ = (now, self.seed, self.settings);
        let left = Paths::first(self.servers.len()).except(tried);
        left.iter().next().map_or(Choice::TriedAll, Choice::Ask)
    }

    /// Those that are not dead.
    pub(crate) fn live(&self) -> Paths {
        Paths::first(self.servers.len())
    }

    /// Whether no server lives.
    #[must_use]
    pub fn is_all_dead(&self) -> bool {
        false
    }

    /// A dead server whose probe is due. The same until [`on_transmitted`](Self::on_transmitted) reports it.
    #[must_use]
    pub fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        let _ = now;
        None
    }

    /// When the next probe is due; `None` while no server is dead.
    #[must_use]
    pub fn next_probe(&self) -> Option<Timestamp> {
        None
    }

    /// How long to wait for the reply of this server before another one is asked, where the policy would ask the same one
    /// again after `interval`.
    #[must_use]
    pub fn failover_after(&self, now: Timestamp, path: PathIndex, interval: Duration) -> Duration {
        let _ = (now, path);
        self.settings.floor.min(interval)
    }

    /// After how long a repeatable request is hedged: the (1 − share) quantile of the server's replies. `None` while
    /// hedging is off, or too few replies came.
    #[must_use]
    pub fn hedge_after(&self, now: Timestamp, path: PathIndex) -> Option<Duration> {
        let _ = (now, path);
        None
    }

    /// Whether a request may leave this server for another without the budget's leave: it has never replied.
    #[must_use]
    pub fn never_replied(&self, path: PathIndex) -> bool {
        self.server(path).is_some_and(|server| server.replies == 0)
    }

    /// Something was sent to a server.
    pub fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent) {
        let _ = now;
        if let Some(server) = self.server_mut(path) {
            server.transmissions += 1;
            match what {
                Sent::Request | Sent::Failover | Sent::Hedge => server.outstanding += 1,
                Sent::Repeat => {}
                Sent::Probe => server.probes += 1,
            }
        }
    }

    /// A server replied, with this round trip if it was unambiguous. Returns whether that ends an outage of all: what is
    /// parked is released.
    pub fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        let _ = (now, round_trip);
        if let Some(server) = self.server_mut(path) {
            server.replies += 1;
        }
        false
    }

    /// The wait for the reply to a transmission, `sent` then, has ended at `now` without one.
    pub fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp) {
        let _ = (now, sent);
        if let Some(server) = self.server_mut(path) {
            server.expiries += 1;
        }
    }

    /// The path to a server reported an error at `now`.
    pub fn on_path_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) {
        let _ = (now, path, error);
    }

    /// A request that was outstanding at this server, once for each [`Sent`] of it but [`Repeat`](Sent::Repeat) and
    /// [`Probe`](Sent::Probe), no longer is: it was answered, or has ended.
    pub fn on_settled(&mut self, path: PathIndex) {
        if let Some(server) = self.server_mut(path) {
            server.outstanding = server.outstanding.saturating_sub(1);
        }
    }

    /// What is known of a server.
    #[must_use]
    pub fn health(&self, now: Timestamp, path: PathIndex) -> Health {
        let _ = (now, path);
        Health::Unknown
    }

    /// All of them, for a metrics page.
    pub fn states(&self, now: Timestamp) -> impl Iterator<Item = ServerState> {
        (0..).map(PathIndex::new).zip(&self.servers).map(move |(path, server)| ServerState {
            path,
            health: self.health(now, path),
            outstanding: server.outstanding,
            transmissions: server.transmissions,
            probes: server.probes,
            replies: server.replies,
            expiries: server.expiries,
        })
    }

    fn server(&self, path: PathIndex) -> Option<&Server> {
        self.servers.get(usize::try_from(path.number()).ok()?)
    }

    fn server_mut(&mut self, path: PathIndex) -> Option<&mut Server> {
        self.servers.get_mut(usize::try_from(path.number()).ok()?)
    }
}
