//! A client of several servers, with any number of requests under way: who is answered, what is released, what ends.

use std::collections::BTreeMap;
use std::time::Duration;

use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::flight::{Flight, Shared};
use super::selection::Selection;

/// What its requests share, and the requests by number.
pub(crate) struct Client {
    selection: Box<dyn Selection>,
    budget: RetryBudget,
    policy: RetryPolicy,
    seed: Seed,
    flights: BTreeMap<u64, Flight>,
}

/// What a client wants done, and what has ended.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Whom to ask, for which request.
    pub(crate) sends: Vec<(PathIndex, u64)>,
    /// When to look at which request.
    pub(crate) wakes: Vec<(Timestamp, u64)>,
    /// When a request began, and how long its reply took, if one came.
    pub(crate) ended: Vec<(Timestamp, Option<Duration>)>,
}

impl Client {
    pub(crate) fn new(selection: Box<dyn Selection>, policy: RetryPolicy, seed: Seed) -> Self {
        Self { budget: selection.budget(), selection, policy, seed, flights: BTreeMap::new() }
    }

    /// A request begins.
    pub(crate) fn begin(&mut self, now: Timestamp, number: u64, out: &mut Outbox) {
        self.flights.insert(number, Flight::new(now, number, &self.policy, self.seed.derive(number)));
        self.step(now, number, out);
    }

    /// A moment that a request named has come; it may have ended, or named another one since.
    pub(crate) fn on_wake(&mut self, now: Timestamp, number: u64, out: &mut Outbox) {
        if self.flights.get(&number).is_some_and(|flight| flight.wake() == now) {
            self.step(now, number, out);
        }
    }

    /// An answer to this request came from this server.
    pub(crate) fn on_reply(&mut self, now: Timestamp, path: PathIndex, number: u64, out: &mut Outbox) {
        let flight = self.flights.get(&number).filter(|flight| flight.awaits(path));
        if flight.is_none() && !self.selection.keeps_listening() {
            return;
        }
        // An answer to a request that has ended is a sign of life, and no more.
        let (is_answer, round_trip) = (flight.is_some(), flight.and_then(|flight| flight.round_trip(now, path)));
        let releases = self.selection.on_reply(now, path, round_trip);
        if is_answer {
            self.budget.deposit();
            self.end(now, number, true, out);
        }
        if releases {
            let parked = self.flights.iter_mut().filter_map(|(&number, flight)| flight.release(now).then_some(number));
            for number in parked.collect::<Vec<_>>() {
                self.step(now, number, out);
            }
        }
    }

    fn step(&mut self, now: Timestamp, number: u64, out: &mut Outbox) {
        let Self { selection, budget, policy, flights, .. } = self;
        let Some(flight) = flights.get_mut(&number) else { return };
        if flight.is_over(now) {
            return self.end(now, number, false, out);
        }
        flight.step(now, &mut Shared { selection: &mut **selection, budget, policy, out });
    }

    fn end(&mut self, now: Timestamp, number: u64, success: bool, out: &mut Outbox) {
        let Some(flight) = self.flights.remove(&number) else { return };
        flight.settle(&mut *self.selection);
        out.ended.push((flight.began(), success.then(|| now.since(flight.began()))));
    }
}
