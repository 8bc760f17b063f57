//! Ways to choose that the field has, as shapes: written from what is published of them, and named after what they do. They
//! are not the programs.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::policy::{PolicyError, RttEstimator};
use udp_retry::servers::{Choice, Paths, Sent};
use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;

use super::selection::Selection;
use super::server::fraction;

/// Each request has one server, the next one in turn, to which it is sent again by the policy.
pub(crate) struct OneServer {
    turn: Turn,
}

/// Each transmission goes to the next server in turn, a second after the one before; what a server did counts for nothing.
pub(crate) struct RoundRobin {
    turn: Turn,
}

/// A random one of those within 400 ms of the best, whose timeout doubles as it fails (unbound: "Timeout Information" in its
/// documentation; 376 ms are assumed of an unknown server). A reply that comes after the timeout is not seen, as the
/// port is closed by then.
pub(crate) struct WideBand {
    servers: Vec<RttEstimator>,
    seed: Seed,
    choices: u64,
}

/// The lowest cost: round trip, and loss in time. It stays where it is while no other is cheaper.
pub(crate) struct Greedy {
    servers: Vec<Cost>,
    current: Option<PathIndex>,
}

struct Cost {
    estimator: RttEstimator,
    /// Of late; each outcome weighs an eighth.
    loss: f64,
    is_untried: bool,
}

struct Turn {
    servers: u32,
    next: u32,
}

impl OneServer {
    pub(crate) fn new(servers: usize, seed: Seed) -> Self {
        Self { turn: Turn::new(servers, seed) }
    }
}

impl Selection for OneServer {
    fn choose(&mut self, _now: Timestamp, tried: Paths, last: Option<PathIndex>) -> Choice {
        match last {
            Some(_) if !tried.is_empty() => Choice::TriedAll,
            Some(last) => Choice::Ask(last),
            None => Choice::Ask(self.turn.take()),
        }
    }

    fn wait(&self, _now: Timestamp, _path: PathIndex, interval: Duration, _round: u32) -> Duration {
        interval
    }

    fn on_transmitted(&mut self, _now: Timestamp, _path: PathIndex, _what: Sent) {}

    fn on_reply(&mut self, _now: Timestamp, _path: PathIndex, _round_trip: Option<Duration>) -> bool {
        false
    }

    fn on_expired(&mut self, _now: Timestamp, _path: PathIndex, _sent: Timestamp, _wait: Duration) {}
}

impl RoundRobin {
    pub(crate) fn new(servers: usize, seed: Seed) -> Self {
        Self { turn: Turn::new(servers, seed) }
    }
}

impl Selection for RoundRobin {
    fn choose(&mut self, _now: Timestamp, _tried: Paths, last: Option<PathIndex>) -> Choice {
        Choice::Ask(match last {
            Some(last) => self.turn.after(last),
            None => self.turn.take(),
        })
    }

    fn wait(&self, _now: Timestamp, _path: PathIndex, _interval: Duration, _round: u32) -> Duration {
        Duration::from_secs(1)
    }

    fn on_transmitted(&mut self, _now: Timestamp, _path: PathIndex, _what: Sent) {}

    fn on_reply(&mut self, _now: Timestamp, _path: PathIndex, _round_trip: Option<Duration>) -> bool {
        false
    }

    fn on_expired(&mut self, _now: Timestamp, _path: PathIndex, _sent: Timestamp, _wait: Duration) {}
}

impl WideBand {
    pub(crate) fn new(servers: usize, seed: Seed) -> Result<Self, PolicyError> {
        let estimator = RttEstimator::new(ms(376), ms(50), Duration::from_secs(120))?;
        Ok(Self { servers: (0..servers).map(|_| estimator.unmeasured()).collect(), seed, choices: 0 })
    }
}

impl Selection for WideBand {
    fn choose(&mut self, now: Timestamp, _tried: Paths, _last: Option<PathIndex>) -> Choice {
        let timeouts: Vec<_> = self.servers.iter().map(|server| server.rto(now)).collect();
        let widest = timeouts.iter().min().map_or(Duration::ZERO, |best| *best + ms(400));
        let band: Vec<_> = paths().zip(timeouts).filter(|(_, timeout)| *timeout <= widest).collect();
        self.choices += 1;
        let chosen = (fraction(self.seed.draw(self.choices)) * band.len() as f64) as usize;
        Choice::Ask(band[chosen].0)
    }

    fn wait(&self, now: Timestamp, path: PathIndex, _interval: Duration, _round: u32) -> Duration {
        self.servers[index(path)].rto(now)
    }

    fn on_transmitted(&mut self, _now: Timestamp, _path: PathIndex, _what: Sent) {}

    fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        self.servers[index(path)].on_reply(now, round_trip);
        false
    }

    fn on_expired(&mut self, now: Timestamp, path: PathIndex, _sent: Timestamp, wait: Duration) {
        self.servers[index(path)].on_expiry(now, wait);
    }

    fn keeps_listening(&self) -> bool {
        false
    }
}

impl Greedy {
    pub(crate) fn new(servers: usize) -> Result<Self, PolicyError> {
        let estimator = RttEstimator::new(UNKNOWN, ms(50), Duration::from_secs(60))?;
        let server = |_| Cost { estimator: estimator.unmeasured(), loss: 0.0, is_untried: true };
        Ok(Self { servers: (0..servers).map(server).collect(), current: None })
    }
}

impl Selection for Greedy {
    fn choose(&mut self, now: Timestamp, tried: Paths, _last: Option<PathIndex>) -> Choice {
        let left = paths().zip(&self.servers).filter(|(path, _)| !tried.contains(*path));
        let cost = |&(path, server): &(PathIndex, &Cost)| (server.cost(now), self.current != Some(path));
        let best = left.min_by(|one, other| cost(one).partial_cmp(&cost(other)).unwrap_or(std::cmp::Ordering::Equal));
        let Some((path, _)) = best else { return Choice::TriedAll };
        if tried.is_empty() {
            self.current = Some(path);
        }
        Choice::Ask(path)
    }

    fn wait(&self, now: Timestamp, path: PathIndex, _interval: Duration, _round: u32) -> Duration {
        self.servers[index(path)].estimator.rto(now)
    }

    fn on_transmitted(&mut self, _now: Timestamp, path: PathIndex, _what: Sent) {
        self.servers[index(path)].is_untried = false;
    }

    fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        let server = &mut self.servers[index(path)];
        server.estimator.on_reply(now, round_trip);
        server.loss -= server.loss / 8.0;
        false
    }

    fn on_expired(&mut self, now: Timestamp, path: PathIndex, _sent: Timestamp, wait: Duration) {
        let server = &mut self.servers[index(path)];
        server.estimator.on_expiry(now, wait);
        server.loss += (1.0 - server.loss) / 8.0;
    }
}

impl Cost {
    /// Seconds; each server is tried once before that is known.
    fn cost(&self, now: Timestamp) -> f64 {
        if self.is_untried {
            return 0.0;
        }
        let loss = self.loss.min(0.99);
        let round_trip = self.estimator.srtt(now).unwrap_or(UNKNOWN).as_secs_f64();
        round_trip + loss / (1.0 - loss) * self.estimator.rto(now).as_secs_f64()
    }
}

impl Turn {
    /// Each client begins elsewhere.
    fn new(servers: usize, seed: Seed) -> Self {
        let next = (fraction(seed.draw(0)) * servers as f64) as u32;
        Self { servers: servers as u32, next }
    }

    fn take(&mut self) -> PathIndex {
        let path = PathIndex::new(self.next);
        self.next = self.after(path).number();
        path
    }

    fn after(&self, path: PathIndex) -> PathIndex {
        PathIndex::new((path.number() + 1) % self.servers)
    }
}

/// What is assumed of a server that has not replied (RFC 8305 §5).
const UNKNOWN: Duration = ms(250);

fn paths() -> impl Iterator<Item = PathIndex> {
    (0..).map(PathIndex::new)
}

pub(super) fn index(path: PathIndex) -> usize {
    path.number() as usize
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
