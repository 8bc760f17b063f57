use alloc::boxed::Box;
use core::time::Duration;

use super::latencies::Latencies;
use super::loss::Loss;
use super::overdue::Overdue;
use super::probes::Probes;
use super::quickest::Quickest;
use super::{Health, Sent, ServerSettings, ServerState};
use crate::policy::{Estimate, Measured, RttBounds};
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::{PathError, PathIndex};

/// What one server has shown.
#[derive(Clone, Debug)]
pub(super) struct Server {
    outstanding: u32,
    transmissions: u64,
    probes: u64,
    replies: u64,
    expiries: u64,
    /// What counts towards dead: expiries and refusals since the latest reply.
    misses: u32,
    /// When the latest of these came.
    missed: Option<Timestamp>,
    replied: Option<Timestamp>,
    dead: Option<Probes>,
    /// The end of the latest time of being dead: what was sent before says nothing of the server as it is.
    revived: Timestamp,
    rtt: Measured,
    /// The round trip without queues, as far as it shows: falls to a shorter one at once and rises by 1/64. At most the
    /// smoothed one.
    idle: Ns,
    loss: Loss,
    overdue: Overdue,
    /// Tells losses in a queue from those on the path.
    quickest: Quickest,
    /// Where requests are hedged.
    latencies: Option<Box<Latencies>>,
}

impl Server {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self {
            outstanding: 0,
            transmissions: 0,
            probes: 0,
            replies: 0,
            expiries: 0,
            misses: 0,
            missed: None,
            replied: None,
            dead: None,
            revived: Timestamp::ZERO,
            rtt: Measured::default(),
            idle: 0,
            loss: Loss::default(),
            overdue: Overdue::default(),
            quickest: Quickest::NONE,
            latencies: settings.hedged.map(|share| Box::new(Latencies::new(share))),
        }
    }

    pub(super) const fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    pub(super) const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    pub(super) const fn never_replied(&self) -> bool {
        self.replied.is_none()
    }

    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        self.dead.map(|probes| probes.next)
    }

    /// What it costs to ask it while nothing waits there; `None` while that is unknown.
    ///
    /// What was measured in a queue says nothing once the queue has gone, and a server that is avoided for it shows no
    /// better: of three of unequal capacity the smallest would be left first, and then the next one for its share.
    pub(super) fn idle_cost(&self, now: Timestamp, settings: &ServerSettings) -> Option<Ns> {
        settings.rtt_bounds().fresh_estimate(&self.rtt, now)?;
        Some(self.cost(now, self.idle, settings))
    }

    /// What it costs as loaded as it is.
    pub(super) fn loaded_cost(&self, now: Timestamp, settings: &ServerSettings) -> Option<Ns> {
        let srtt = settings.rtt_bounds().fresh_estimate(&self.rtt, now)?.srtt;
        Some(self.cost(now, srtt, settings))
    }

    fn cost(&self, now: Timestamp, round_trip: Ns, settings: &ServerSettings) -> Ns {
        let wait = self.wait(now, settings);
        self.loss.cost(now, saturating_ns(settings.max_age), round_trip, wait)
    }

    /// Whether most of its round trip is a queue, of a length that matters to a wait.
    fn is_congested(&self, now: Timestamp, settings: &ServerSettings) -> bool {
        let longest = self.quickest.get().saturating_mul(2).max(saturating_ns(settings.floor) / 2);
        self.estimate(now, settings).is_some_and(|estimate| estimate.srtt > longest)
    }

    fn estimate(&self, now: Timestamp, settings: &ServerSettings) -> Option<Estimate> {
        settings.rtt_bounds().fresh_estimate(&self.rtt, now)
    }

    /// How long its reply is waited for at least, without a margin.
    fn wait(&self, now: Timestamp, settings: &ServerSettings) -> Ns {
        self.rto(now, settings).max(saturating_ns(settings.floor))
    }

    pub(super) fn rto(&self, now: Timestamp, settings: &ServerSettings) -> Ns {
        settings.rtt_bounds().rto(&self.rtt, now)
    }

    pub(super) fn hedge_after(&self, now: Timestamp, settings: &ServerSettings) -> Option<Ns> {
        self.latencies.as_ref()?.quantile(now, saturating_ns(settings.max_age))
    }

    pub(super) fn health(&self, now: Timestamp, settings: &ServerSettings) -> Health {
        if let Some(next_probe) = self.next_probe() {
            return Health::Dead { next_probe };
        }
        if self.misses > 0 {
            return Health::Suspect { expiries: self.misses };
        }
        match settings.rtt_bounds().fresh_estimate(&self.rtt, now) {
            None => Health::Unknown,
            Some(estimate) => Health::Good {
                srtt: Duration::from_nanos(estimate.srtt),
                rto: Duration::from_nanos(self.rto(now, settings)),
                loss: self.loss.share(now, saturating_ns(settings.max_age)),
            },
        }
    }

    pub(super) fn state(&self, now: Timestamp, path: PathIndex, settings: &ServerSettings) -> ServerState {
        let &Self { outstanding, transmissions, probes, replies, expiries, .. } = self;
        let health = self.health(now, settings);
        ServerState { path, health, outstanding, transmissions, probes, replies, expiries }
    }
}

/// What happens to it.
impl Server {
    pub(super) fn on_transmitted(&mut self, now: Timestamp, what: Sent, all_dead: bool, settings: &ServerSettings) {
        self.transmissions += 1;
        match what {
            Sent::Request | Sent::Failover | Sent::Hedge => self.outstanding = self.outstanding.saturating_add(1),
            // Its reply will be ambiguous, and not be late for that.
            Sent::Repeat => _ = self.overdue.take(now, self.wait(now, settings).saturating_mul(LATEST)),
            Sent::Probe => {
                self.probes += 1;
                // One that was alive again before its probe left has no schedule any more.
                if let Some(probes) = &mut self.dead {
                    probes.sent(now, all_dead, settings);
                }
            }
        }
    }

    /// Any reply shows that it lives. Returns whether it came after its wait had ended.
    pub(super) fn on_reply(&mut self, now: Timestamp, round_trip: Option<Ns>, settings: &ServerSettings) -> bool {
        self.replies += 1;
        self.misses = 0;
        self.replied = self.replied.max(Some(now));
        if self.dead.take().is_some() {
            self.begin_anew(now);
        }
        let max_age = saturating_ns(settings.max_age);
        self.loss.add(now, false, max_age);
        let wait = self.wait(now, settings);
        // What is ambiguous may be. While the server is unknown its timeout is a guess, and proves nothing.
        let may_be_late = round_trip.is_none_or(|it| it >= wait) && self.estimate(now, settings).is_some();
        let is_late = may_be_late && self.overdue.take(now, wait.saturating_mul(LATEST));
        if let Some(round_trip) = round_trip {
            let bounds = settings.rtt_bounds();
            let known = bounds.fresh_estimate(&self.rtt, now).is_some();
            self.idle = if known {
                round_trip.min(self.idle + (round_trip.saturating_sub(self.idle) >> 6))
            } else {
                round_trip
            };
            self.quickest.add(now, round_trip, max_age / PERIODS);
            self.rtt = bounds.sampled(self.rtt, now, round_trip);
            if let Some(latencies) = &mut self.latencies {
                latencies.add(now, Some(round_trip), max_age);
            }
        }
        is_late
    }

    /// Returns whether that has killed it.
    pub(super) fn on_expired(&mut self, now: Timestamp, sent: Timestamp, settings: &ServerSettings) -> bool {
        self.expiries += 1;
        if sent < self.revived || self.is_dead() {
            return false;
        }
        let max_age = saturating_ns(settings.max_age);
        // A queue answers late, and drops what it has no place for. If that counted, the load would go to the others, then
        // from those, and some would always be idle while the rest cannot do all.
        if !self.is_congested(now, settings) {
            self.loss.add(now, true, max_age);
        }
        self.overdue.add(now, self.wait(now, settings).saturating_mul(LATEST));
        if let Some(latencies) = &mut self.latencies {
            latencies.add(now, None, max_age);
        }
        // A sign of life since then: this one was lost, but the server is not. And waits that overlap are one piece of
        // evidence, however many requests were in flight.
        if self.replied.is_some_and(|at| at > sent) || self.missed.is_some_and(|at| at > sent) {
            return false;
        }
        // Longer waits find out how slow a server is; for one that may not be there at all they are only longer.
        if !self.never_replied() {
            let bounds = settings.rtt_bounds();
            self.rtt = bounds.expired(self.rtt, now, bounds.rto(&self.rtt, now));
        }
        self.miss(now, settings)
    }

    /// Returns whether that has killed it.
    pub(super) fn on_path_error(&mut self, now: Timestamp, error: PathError, settings: &ServerSettings) -> bool {
        if let Some(probes) = &mut self.dead {
            probes.failed(now);
            return false;
        }
        if !matches!(error, PathError::Refused | PathError::Unreachable) {
            return false;
        }
        self.loss.add(now, true, saturating_ns(settings.max_age));
        self.miss(now, settings)
    }

    pub(super) fn on_settled(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// All are dead from now on.
    pub(super) fn hasten_probe(&mut self, now: Timestamp, settings: &ServerSettings) {
        if let Some(probes) = &mut self.dead {
            probes.hasten(now, settings);
        }
    }

    fn miss(&mut self, now: Timestamp, settings: &ServerSettings) -> bool {
        self.missed = self.missed.max(Some(now));
        self.misses = self.misses.saturating_add(1);
        let dies = self.misses >= settings.dead_after.get();
        if dies {
            self.dead = Some(Probes::begin(now, settings));
        }
        dies
    }

    /// What was measured before it died, and while it did, is of another time. Ordinary requests learn it anew.
    fn begin_anew(&mut self, now: Timestamp) {
        self.revived = now;
        self.rtt = Measured::default();
        self.loss = Loss::default();
        self.overdue = Overdue::default();
        self.quickest = Quickest::NONE;
        if let Some(latencies) = &mut self.latencies {
            latencies.forget();
        }
    }
}

impl ServerSettings {
    /// Until a server is measured, its timeout is the floor.
    fn rtt_bounds(&self) -> RttBounds {
        let initial = saturating_ns(self.floor);
        let max_age = saturating_ns(self.max_age);
        RttBounds { initial, floor: MILLISECOND.min(initial), cap: LONGEST_RTO.max(initial), max_age }
    }
}

/// In waits: how long a reply may be late, at least, and be known to be.
const LATEST: Ns = 4;
/// Periods of [`Quickest`] in the age at which knowledge is forgotten.
const PERIODS: Ns = 16;
const MILLISECOND: Ns = 1_000_000;
/// RFC 6298 §2.5
const LONGEST_RTO: Ns = 60_000 * MILLISECOND;
