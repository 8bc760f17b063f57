//! The shape of c-ares: an order of the servers, the failed ones last, and a timeout by the mean latency.
//!
//! Published in its sources: five times the mean latency of the minute, from 250 ms to 5 s, 2 s while fewer than three
//! replies are known (`ares_metrics.c`); twice that in each further round of all servers; whatever has failed stands behind
//! what has not, and is tried again after 5 s, by one request in ten (`ares_init_options`: server failover). Among those
//! that have not failed c-ares keeps the configured order; here the one with the lowest mean comes first, and what was
//! never measured before all.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::servers::{Choice, Paths, Sent};
use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;

use super::selection::Selection;
use super::server::fraction;
use super::shapes::index;

pub(crate) struct Fastest {
    servers: Vec<Server>,
    seed: Seed,
    requests: u64,
    /// Of this request a copy may go to a server that has failed.
    may_probe: bool,
}

#[derive(Clone, Default)]
struct Server {
    /// In a row.
    failures: u32,
    failed: Timestamp,
    /// The present minute, and the one before.
    minutes: [Minute; 2],
}

#[derive(Clone, Copy, Default)]
struct Minute {
    number: u64,
    total: Duration,
    count: u32,
}

impl Fastest {
    pub(crate) fn new(servers: usize, seed: Seed) -> Self {
        Self { servers: vec![Server::default(); servers], seed, requests: 0, may_probe: false }
    }
}

impl Selection for Fastest {
    fn choose(&mut self, _now: Timestamp, tried: Paths, _last: Option<PathIndex>) -> Choice {
        let left = (0..).map(PathIndex::new).zip(&self.servers).filter(|(path, _)| !tried.contains(*path));
        let best = left.min_by_key(|(_, server)| (server.failures, server.latency().unwrap_or_default()));
        best.map_or(Choice::TriedAll, |(path, _)| Choice::Ask(path))
    }

    fn wait(&self, _now: Timestamp, path: PathIndex, _interval: Duration, round: u32) -> Duration {
        let measured = self.servers[index(path)].mean().map(|mean| mean * 5);
        let timeout = measured.unwrap_or(UNKNOWN).clamp(SHORTEST, LONGEST);
        timeout.saturating_mul(1 << round.min(8)).min(LONGEST)
    }

    fn round_wait(&self, _interval: Duration) -> Duration {
        Duration::ZERO
    }

    fn on_transmitted(&mut self, now: Timestamp, path: PathIndex, what: Sent) {
        match what {
            Sent::Request => {
                self.requests += 1;
                self.may_probe = fraction(self.seed.draw(self.requests)) < 0.1;
            }
            Sent::Probe => (self.may_probe, self.servers[index(path)].failed) = (false, now),
            _ => {}
        }
    }

    fn on_reply(&mut self, now: Timestamp, path: PathIndex, round_trip: Option<Duration>) -> bool {
        let server = &mut self.servers[index(path)];
        server.failures = 0;
        if let Some(round_trip) = round_trip {
            server.measure(now, round_trip);
        }
        false
    }

    fn on_expired(&mut self, now: Timestamp, path: PathIndex, _sent: Timestamp, _wait: Duration) {
        let server = &mut self.servers[index(path)];
        (server.failures, server.failed) = (server.failures + 1, now);
    }

    fn probe_due(&self, now: Timestamp) -> Option<PathIndex> {
        let failed = |server: &Server| server.failures > 0 && now >= server.failed.after(AGAIN);
        let place = self.servers.iter().position(failed).filter(|_| self.may_probe)?;
        Some(PathIndex::new(place as u32))
    }
}

impl Server {
    fn measure(&mut self, now: Timestamp, latency: Duration) {
        let number = now.since(Timestamp::ZERO).as_secs() / 60;
        if self.minutes[0].number != number {
            self.minutes = [Minute { number, ..Minute::default() }, self.minutes[0]];
        }
        self.minutes[0].total += latency;
        self.minutes[0].count += 1;
    }

    /// Of three replies at least.
    fn mean(&self) -> Option<Duration> {
        let minute = self.minutes.iter().find(|minute| minute.count >= 3)?;
        Some(minute.total / minute.count)
    }

    /// Of one at least.
    fn latency(&self) -> Option<Duration> {
        let minute = self.minutes.iter().find(|minute| minute.count > 0)?;
        Some(self.mean().unwrap_or(minute.total / minute.count))
    }
}

const UNKNOWN: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(5);
