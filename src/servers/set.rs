use alloc::vec::Vec;
use core::time::Duration;

use super::choice::Chooser;
use super::server::Server;
use super::{Health, Paths, ServerSettings, ServerState, ServersError};
use crate::entropy::Seed;
use crate::time::{Timestamp, saturating_ns};
use crate::transport::{PathError, PathIndex};

/// Up to 64 servers of one service: which to ask, and what each has shown.
///
/// Pure, as a transaction is: facts come in through `on_…`, and the present moment is an argument.
#[derive(Clone, Debug)]
pub struct ServerSet {
    settings: ServerSettings,
    servers: Vec<Server>,
    chooser: Chooser,
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
        let servers = alloc::vec![Server::new(&settings); count];
        Ok(Self { settings, servers, chooser: Chooser::new(seed) })
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
        let live = self.live();
        if live.is_empty() {
            return Choice::Park;
        }
        let left = live.except(tried);
        self.chooser.choose(now, &self.servers, live, left, &self.settings).map_or(Choice::TriedAll, Choice::Ask)
    }

    /// Whether no server lives.
    #[must_use]
    pub fn is_all_dead(&self) -> bool {
        self.servers.iter().all(Server::is_dead)
    }

    /// A dead server whose probe is due. The same until [`on_transmitted`](Self::on_transmitted) reports it.
    #[must_use]
    pub fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        let next = |path| self.server(path)?.next_probe().filter(|&at| at <= now);
        let due = self.paths().iter().filter_map(|path| Some((next(path)?, path)));
        due.min().map(|(_, path)| path)
    }

    /// When the next probe is due; `None` while no server is dead.
    #[must_use]
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.servers.iter().filter_map(Server::next_probe).min()
    }

    /// How long to wait for the reply of this server before another one is asked, where the policy would ask the same one
    /// again after `interval`.
    #[must_use]
    pub fn failover_after(&self, now: Timestamp, path: PathIndex, interval: Duration) -> Duration {
        let shortest = self.settings.floor.min(interval);
        let rto = self.server(path).map_or(0, |server| server.rto(now, &self.settings));
        shortest.max(Duration::from_nanos(rto))
    }

    /// After how long a repeatable request is hedged: the (1 − share) quantile of the server's replies. `None` while
    /// hedging is off, or too few replies came.
    #[must_use]
    pub fn hedge_after(&self, now: Timestamp, path: PathIndex) -> Option<Duration> {
        self.server(path)?.hedge_after(now, &self.settings).map(Duration::from_nanos)
    }

    /// Whether a request may leave this server for another without the budget's leave: it has never replied.
    #[must_use]
    pub fn never_replied(&self, path: PathIndex) -> bool {
        self.server(path).is_some_and(Server::never_replied)
    }

    /// Something was sent to a server.
    pub fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent) {
        let (all_dead, settings) = (self.is_all_dead(), self.settings);
        if let Some(server) = self.server_mut(path) {
            server.on_transmitted(now, what, all_dead, &settings);
        }
    }

    /// A server replied, with this round trip if it was unambiguous. Returns whether that ends an outage of all: what is
    /// parked is released.
    pub fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        let (all_dead, settings) = (self.is_all_dead(), self.settings);
        let Some(server) = self.server_mut(path) else {
            return false;
        };
        server.on_reply(now, round_trip.map(saturating_ns), &settings);
        all_dead
    }

    /// The wait for the reply to a transmission, `sent` then, has ended at `now` without one.
    pub fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp) {
        let settings = self.settings;
        if self.server_mut(path).is_some_and(|server| server.on_expired(now, sent, &settings)) {
            self.on_death(now);
        }
    }

    /// The path to a server reported an error at `now`.
    pub fn on_path_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) {
        let settings = self.settings;
        if self.server_mut(path).is_some_and(|server| server.on_path_error(now, error, &settings)) {
            self.on_death(now);
        }
    }

    /// A request that was outstanding at this server, once for each [`Sent`] of it but [`Repeat`](Sent::Repeat) and
    /// [`Probe`](Sent::Probe), no longer is: it was answered, or has ended.
    pub fn on_settled(&mut self, path: PathIndex) {
        if let Some(server) = self.server_mut(path) {
            server.on_settled();
        }
    }

    /// What is known of a server.
    #[must_use]
    pub fn health(&self, now: Timestamp, path: PathIndex) -> Health {
        self.server(path).map_or(Health::Unknown, |server| server.health(now, &self.settings))
    }

    /// All of them, for a metrics page.
    pub fn states(&self, now: Timestamp) -> impl Iterator<Item = ServerState> {
        (0..).map(PathIndex::new).zip(&self.servers).map(move |(path, server)| server.state(now, path, &self.settings))
    }

    /// Requests wait for probes from now on, if no server lives.
    fn on_death(&mut self, now: Timestamp) {
        if self.is_all_dead() {
            self.servers.iter_mut().for_each(|server| server.hasten_probe(now, &self.settings));
        }
    }

    fn paths(&self) -> Paths {
        Paths::first(self.servers.len())
    }

    /// Whether requests may be hedged at all.
    pub(crate) const fn is_hedging(&self) -> bool {
        self.settings.is_hedging()
    }

    /// Those that are not dead.
    pub(crate) fn live(&self) -> Paths {
        let dead = |path: &PathIndex| self.server(*path).is_some_and(Server::is_dead);
        self.paths().except(self.paths().iter().filter(dead).fold(Paths::NONE, Paths::with))
    }

    fn server(&self, path: PathIndex) -> Option<&Server> {
        self.servers.get(usize::try_from(path.number()).ok()?)
    }

    fn server_mut(&mut self, path: PathIndex) -> Option<&mut Server> {
        self.servers.get_mut(usize::try_from(path.number()).ok()?)
    }
}
