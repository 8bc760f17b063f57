use alloc::vec::Vec;
use core::time::Duration;

use super::choice::Chooser;
use super::margin::Margin;
use super::server::Server;
use super::{Health, Paths, ServerSettings, ServerState, ServersError};
use crate::entropy::Seed;
use crate::time::{Timestamp, saturating_ns};
use crate::transport::{PathError, PathIndex};

/// Up to 64 servers of one service: which to ask, and what each has shown.
///
/// Pure, as a transaction is: facts come in through `on_…`, the present moment is an argument, and ties are drawn from a
/// seed, so that the same facts and the same seed give the same choices on every platform. A path is a server by its number;
/// one that is no server's changes nothing. No call allocates, and each takes time in proportion to the servers at most.
///
/// # Whom it chooses
///
/// What asking a server *costs* is the expected time to its reply: (round trip + loss/(1 − loss) · wait) · (1 + (loss/0.2)²),
/// where `wait` is how long its reply is waited for, and 0.2 is the share of repeats that a retry budget pays. All whose cost
/// is within the [band](super::Spread::Band) around the best are as good as it. Of these the one with the fewest requests
/// outstanding is asked, ties at random. Choosing the fastest instead puts all load on one server, and collapses at
/// two thirds of what all of them can do.
///
/// - Who is in the band is said by the round trip without queues, how wide it is by what the best one costs with its own. So it
///   widens under load, and no server is avoided for a queue that has gone.
/// - A server that is unknown, or of which nothing was measured for [`max_age`](ServerSettings::with_max_age), is in the band
///   and does not say how good the best is: ordinary requests learn it. No server that lives is ever probed.
/// - Loss is an average in which each outcome counts 1/64. It halves with each sixteenth of `max_age` that passes without one:
///   a server that is avoided for its losses shows no new ones. What is lost in a queue does not count: the load would
///   move on to the next one, and from there again.
///
/// # Who is dead
///
/// One that let three waits in a row end without a reply. A wait counts only if nothing came from the server since its
/// transmission was sent, and waits that overlap count once, however many requests were in flight. Three refusals in a
/// row are as good. No request goes to a dead server; [probes](Self::probe_due) do, for which no one waits, 250 ms later,
/// then after twice that, up to 30 s. **Any reply revives it, and time alone never does**: a mark that expires sends
/// requests to a dead server again. Then it is unknown; what it lost while it was dead is forgotten.
///
/// While all are dead, requests are [parked](Choice::Park) and each server is probed once a second. The first reply
/// [releases](Self::on_reply) them.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::Seed;
/// use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSet, ServerSettings};
/// use udp_retry::time::Timestamp;
///
/// # fn main() -> Result<(), udp_retry::servers::ServersError> {
/// let mut servers = ServerSet::new(2, ServerSettings::default(), Seed::new(7))?;
/// let (mut now, mut tried) = (Timestamp::ZERO, Paths::NONE);
///
/// // A request to one of them, which does not reply.
/// let Choice::Ask(silent) = servers.choose(now, tried) else { unreachable!("both live") };
/// servers.on_transmitted(now, silent, Sent::Request);
/// tried = tried.with(silent);
/// let sent = now;
/// now = now.after(servers.failover_after(now, silent, Duration::from_secs(1)));
/// servers.on_expired(now, silent, sent);
///
/// // After 250 ms the other one is asked, and replies.
/// let Choice::Ask(other) = servers.choose(now, tried) else { unreachable!("both live") };
/// servers.on_transmitted(now, other, Sent::Failover);
/// now = now.after(Duration::from_millis(40));
/// servers.on_reply(now, other, Some(Duration::from_millis(40)));
///
/// // The request has ended, at both.
/// servers.on_settled(silent);
/// servers.on_settled(other);
/// assert!(matches!(servers.health(now, silent), Health::Suspect { expiries: 1, .. }));
/// assert!(matches!(servers.health(now, other), Health::Good { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServerSet {
    settings: ServerSettings,
    servers: Vec<Server>,
    chooser: Chooser,
    margin: Margin,
}

/// Where a transmission goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum Choice {
    /// To this server.
    Ask(PathIndex),
    /// Every server that lives was tried: the round has ended. After the policy's own interval the next one begins, with
    /// none tried.
    TriedAll,
    /// All are dead: nothing leaves but probes until one replies. Repeats that no one answers would be there when the
    /// servers come back, and keep them down.
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
    /// This many servers of which nothing is known, as paths 0 to count − 1. `seed` decides ties, and which server a client
    /// begins with: give each client another one, or all of them make the same choices.
    ///
    /// # Errors
    ///
    /// [`ServersError::Count`] unless there are 1 to 64.
    pub fn new(count: usize, settings: ServerSettings, seed: Seed) -> Result<Self, ServersError> {
        if !(1..=Paths::MOST).contains(&count) {
            return Err(ServersError::Count { count });
        }
        let servers = alloc::vec![Server::new(&settings); count];
        Ok(Self { settings, servers, chooser: Chooser::new(seed), margin: Margin::NONE })
    }

    /// How many servers there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Which server to ask next in a round of a request in which these were `tried`: never one of them, never a dead one.
    /// Each asking may draw anew, or take the next one's turn: keep the answer until it was acted on.
    #[must_use]
    pub fn choose(&mut self, now: Timestamp, tried: Paths) -> Choice {
        let live = self.live();
        if live.is_empty() {
            return Choice::Park;
        }
        let left = live.except(tried);
        self.chooser.choose(now, &self.servers, live, left, &self.settings).map_or(Choice::TriedAll, Choice::Ask)
    }

    /// Whether no server lives, so that requests are parked.
    #[must_use]
    pub fn is_all_dead(&self) -> bool {
        self.servers.iter().all(Server::is_dead)
    }

    /// A dead server whose probe is due, of several the one that is due longest: a copy of any request's bytes may be
    /// sent to it. The same until [`on_transmitted`](Self::on_transmitted) reports it as a [`Sent::Probe`], or
    /// [`on_path_error`](Self::on_path_error) that it could not leave. Never one that lives.
    ///
    /// Probes are not of the retry budget: at most one leaves in each wait between them.
    #[must_use]
    pub fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        let next = |path| self.server(path)?.next_probe().filter(|&at| at <= now);
        let due = self.paths().iter().filter_map(|path| Some((next(path)?, path)));
        due.min().map(|(_, path)| path)
    }

    /// When the next probe is due; `None` while no server is dead. Only who is parked need wake for it: otherwise probes go
    /// along with what leaves anyway.
    #[must_use]
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.servers.iter().filter_map(Server::next_probe).min()
    }

    /// How long to wait for the reply of this server before another one is asked, where the policy would ask the same one
    /// again after `interval`: the [floor](ServerSettings::with_floor) or the interval, whichever is shorter, but no less than
    /// the server's own retransmission timeout (RFC 6298). That is the floor while it is unknown; it doubles with each expiry
    /// that counts until a round trip is measured, unless the server has never replied.
    ///
    /// A reply that comes after its wait makes this four times as long, up to sixteen, for all servers: where a queue is why,
    /// whoever leaves it for another one makes that one's longer. Each reply in time takes a 64th of it back.
    #[must_use]
    pub fn failover_after(&self, now: Timestamp, path: PathIndex, interval: Duration) -> Duration {
        let shortest = self.settings.floor.min(interval);
        let rto = self.server(path).map_or(0, |server| server.rto(now, &self.settings));
        Duration::from_nanos(self.margin.applied_to(rto.max(saturating_ns(shortest))))
    }

    /// After how long a repeatable request is hedged: what all but a share of this server's transmissions were answered
    /// within, so that about that share is hedged.
    ///
    /// One that expired counts as longer than any. Right to a fourth: the end of a range of time, four to each doubling
    /// from 131 µs to 8.6 s, that holds the quantile of the last 32 to 64 outcomes per share (640 to 1,280 for 0.05).
    /// `None` while hedging is off, before 1/share outcomes, and while more than the share expires.
    #[must_use]
    pub fn hedge_after(&self, now: Timestamp, path: PathIndex) -> Option<Duration> {
        self.server(path)?.hedge_after(now, &self.settings).map(Duration::from_nanos)
    }

    /// Whether a request may leave this server for another without the budget's leave: it has never replied. So a dead
    /// first address does not cost a client that has just begun the budget which it has not earned yet.
    #[must_use]
    pub fn never_replied(&self, path: PathIndex) -> bool {
        self.server(path).is_some_and(Server::never_replied)
    }

    /// Something has left for a server. Anything but a [`Sent::Repeat`] and a [`Sent::Probe`] is outstanding there until
    /// [`on_settled`](Self::on_settled).
    pub fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent) {
        let (all_dead, settings) = (self.is_all_dead(), self.settings);
        if let Some(server) = self.server_mut(path) {
            server.on_transmitted(now, what, all_dead, &settings);
        }
    }

    /// A server replied, with this round trip if it was unambiguous (Karn's rule, RFC 6298 §3): if this path got the request
    /// once. Any reply is a sign of life, also a late one to an earlier request. Returns whether that ends an outage of all:
    /// what is parked is released, once an outage.
    pub fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        let (all_dead, settings) = (self.is_all_dead(), self.settings);
        let Some(server) = self.server_mut(path) else {
            return false;
        };
        let was_late = server.on_reply(now, round_trip.map(saturating_ns), &settings);
        self.margin.on_reply(was_late);
        all_dead
    }

    /// The wait for the reply to a transmission, `sent` then, has ended at `now` without one. Once for each transmission,
    /// not for one that an error has ended, and not for a probe.
    pub fn on_expired(&mut self, now: Timestamp, path: PathIndex, sent: Timestamp) {
        let settings = self.settings;
        if self.server_mut(path).is_some_and(|server| server.on_expired(now, sent, &settings)) {
            self.on_death(now);
        }
    }

    /// The path to a server reported an error at `now`, of a transmission that is no longer waited for, or a send to it
    /// failed. [`Refused`](PathError::Refused) and [`Unreachable`](PathError::Unreachable) count as an expiry does, each; other
    /// errors are of this host or of one datagram. If a probe is due, it is put off by the wait before it.
    pub fn on_path_error(&mut self, now: Timestamp, path: PathIndex, error: PathError) {
        let settings = self.settings;
        if self.server_mut(path).is_some_and(|server| server.on_path_error(now, error, &settings)) {
            self.on_death(now);
        }
    }

    /// A request that was outstanding at this server, once for each [`Sent`] of it but [`Repeat`](Sent::Repeat) and
    /// [`Probe`](Sent::Probe), no longer is: it was answered, by any server, or has ended otherwise.
    pub fn on_settled(&mut self, path: PathIndex) {
        if let Some(server) = self.server_mut(path) {
            server.on_settled();
        }
    }

    /// What is known of a server at present; of a path that is none, nothing.
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
