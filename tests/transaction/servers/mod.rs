//! One request to several servers: which is asked when, whose reply counts, what an error does, and what is probed.

mod answers;
mod budget;
mod dead;
mod failover;
mod hedges;
mod identity;
mod refusals;
mod reports;
mod simulated;
mod worlds;

use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::policy::Backoff;
use udp_retry::servers::{Health, ServerSet, ServerSettings, Spread};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Match, Next, ReplyMatcher, Request, Transaction, TransactionId, transaction_id};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy};

use crate::scripted::{START, at_ms, ms};

/// A transaction with several servers that a test drives itself, and what left of it: when, and on which path.
struct Asked<M> {
    transaction: Transaction<M>,
    now: Timestamp,
    sent: Vec<(u64, u32)>,
    /// Requests so far.
    count: u64,
}

impl<M: ReplyMatcher> Asked<M> {
    fn of(transaction: Transaction<M>) -> Self {
        Self { transaction, now: START, sent: Vec::new(), count: 0 }
    }

    fn start<'r>(&mut self, request: impl Into<Request<'r>>) {
        self.count += 1;
        self.sent.clear();
        self.transaction.start(request, self.now, Seed::new(self.count));
    }

    /// Obeys until there is nothing but to wait, or an end.
    fn obey(&mut self) -> Next {
        for _ in 0..1000 {
            let next = self.transaction.next(self.now);
            assert_eq!(self.transaction.next(self.now), next, "asking again changes nothing");
            match next {
                Next::Transmit(path) => {
                    self.transaction.on_transmitted(self.now);
                    self.sent.push((self.at(), path.number()));
                }
                Next::Renew(path, _) => self.transaction.on_renewed(self.now, path, Ok(Renewed::FreshPort)),
                Next::WaitUntil(until) if until <= self.now => self.transaction.on_time_up(self.now),
                next => return next,
            }
        }
        panic!("spins at {}", self.at());
    }

    /// Until this time after the start nothing comes. What left by then, that included.
    fn silence(&mut self, until: u64) -> &[(u64, u32)] {
        let end = at_ms(until);
        while let Next::WaitUntil(wake) = self.obey() {
            if wake > end {
                self.now = end;
                break;
            }
            self.now = wake;
            self.transaction.on_time_up(wake);
        }
        &self.sent
    }

    /// For this long nothing comes.
    fn silence_for(&mut self, time: u64) {
        self.silence(self.at() + time);
    }

    /// Nothing comes until the request ends. How it does, and when.
    fn until_it_ends(&mut self) -> (u64, Next) {
        self.silence(10_000_000);
        let end = self.obey();
        (self.at(), end)
    }

    fn receive(&mut self, path: u32, datagram: &[u8]) -> Match {
        self.transaction.on_datagram(self.now, PathIndex::new(path), datagram, datagram.len())
    }

    fn refuse(&mut self, path: u32) {
        self.transaction.on_path_error(self.now, Some(PathIndex::new(path)), PathError::Refused);
    }

    /// A request that this server answers after this time, whatever the others would.
    fn answered_by(&mut self, path: u32, after: u64) {
        let mut bytes = Vec::new();
        self.start(b"id 0 earlier");
        for _ in 0..1000 {
            let waits = self.obey();
            if self.sent.last().is_some_and(|&(_, last)| last == path) {
                bytes.extend_from_slice(self.transaction.datagram());
                break;
            }
            let Next::WaitUntil(until) = waits else { panic!("{waits:?}") };
            self.now = until;
        }
        self.now = self.now.after(ms(after));
        assert_eq!(self.receive(path, &bytes), Match::Reply);
        assert_eq!(self.obey(), Next::Done);
    }

    /// As many requests as it takes are refused by this server, until it is dead; the next ones answer.
    fn kill(&mut self, path: u32) {
        while !self.is_dead(path) {
            self.start(b"id 0 earlier");
            self.obey();
            while self.sent.last().is_none_or(|&(_, last)| last != path) {
                self.now = self.now.after(ms(100));
                self.obey();
            }
            self.refuse(path);
            self.transaction.on_cancelled();
            self.obey();
        }
    }

    fn kill_all(&mut self, count: u32) {
        while (0..count).any(|path| !self.is_dead(path)) {
            self.start(b"id 0 earlier");
            while let Next::WaitUntil(until) = self.obey() {
                self.now = until;
                self.transaction.on_time_up(until);
            }
        }
    }

    fn is_dead(&self, path: u32) -> bool {
        let servers = self.transaction.servers().unwrap();
        matches!(servers.health(self.now, PathIndex::new(path)), Health::Dead { .. })
    }

    /// Milliseconds since the start.
    fn at(&self) -> u64 {
        u64::try_from(self.now.since(START).as_millis()).unwrap()
    }
}

/// Servers that are asked in order.
fn asked(count: usize) -> Asked<TransactionId> {
    Asked::of(in_order(count, transaction_id(0..4)))
}

fn in_order<M: ReplyMatcher>(count: usize, matcher: M) -> Transaction<M> {
    Transaction::new(policy(), matcher).with_servers(set(count, ordered()))
}

/// The same, and none is ever taken for dead.
fn undying<M: ReplyMatcher>(count: usize, matcher: M) -> Transaction<M> {
    let settings = ordered().with_dead_after(NonZeroU32::MAX);
    Transaction::new(policy(), matcher).with_servers(set(count, settings))
}

fn set(count: usize, settings: ServerSettings) -> ServerSet {
    ServerSet::new(count, settings, Seed::new(7)).unwrap()
}

fn ordered() -> ServerSettings {
    ServerSettings::new().with_spread(Spread::InOrder).unwrap()
}

/// Waits of 1, 2 and 4 s.
fn policy() -> RetryPolicy {
    let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(3).unwrap()
}

/// One that neither gains nor grows.
fn tokens(count: u32) -> RetryBudget {
    RetryBudget::new(0.0, count, count).unwrap()
}
