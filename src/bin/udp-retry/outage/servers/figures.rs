//! What is counted in a run, and what comes of it.

use std::time::Duration;

use udp_retry::time::Timestamp;

use crate::outage::ledger::share;

/// Counts of those requests that begin within a window.
pub(crate) struct Tally {
    from: Timestamp,
    until: Timestamp,
    requests: u64,
    transmissions: u64,
    /// Of those that were answered.
    latencies: Vec<Duration>,
}

/// A cell of the table.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Milliseconds until the reply, of those that were answered.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// For each request, probes included.
    pub(crate) transmissions: f64,
}

impl Tally {
    pub(crate) fn new((from, until): (Timestamp, Timestamp)) -> Self {
        Self { from, until, requests: 0, transmissions: 0, latencies: Vec::new() }
    }

    pub(crate) fn on_request(&mut self, now: Timestamp) {
        self.requests += u64::from(self.counts(now));
    }

    pub(crate) fn on_sent(&mut self, now: Timestamp) {
        self.transmissions += u64::from(self.counts(now));
    }

    pub(crate) fn on_end(&mut self, began: Timestamp, took: Option<Duration>) {
        if self.counts(began) {
            self.latencies.extend(took);
        }
    }

    fn counts(&self, at: Timestamp) -> bool {
        at >= self.from && at < self.until
    }
}

impl Figures {
    /// Of several runs together.
    pub(crate) fn of(runs: Vec<Tally>) -> Self {
        let requests = runs.iter().map(|run| run.requests).sum();
        let transmissions = runs.iter().map(|run| run.transmissions).sum();
        let mut latencies: Vec<_> = runs.into_iter().flat_map(|run| run.latencies).collect();
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            latencies.get(latencies.len() * percent / 100).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        Self {
            requests,
            failed: requests - latencies.len() as u64,
            p50: percentile(50),
            p99: percentile(99),
            transmissions: share(transmissions, requests),
        }
    }

    pub(crate) fn success(&self) -> f64 {
        share(self.requests - self.failed, self.requests)
    }
}
