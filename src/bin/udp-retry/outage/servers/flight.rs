//! One request to several servers: rounds, failovers, repeats, hedges, probes and parking, as the crate's machine does
//! them. What a row decides lies behind [`Selection`].

use std::time::Duration;

use udp_retry::servers::{Choice, Paths, Sent};
use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::client::Outbox;
use super::selection::{BURST, Selection};

/// A request under way.
pub(crate) struct Flight {
    number: u64,
    began: Timestamp,
    deadline: Timestamp,
    /// Of its intervals.
    seed: Seed,
    round: u32,
    /// In this round.
    tried: Paths,
    asked: Vec<Asked>,
    /// Where the latest slot fell, used or withheld.
    latest: Timestamp,
    /// When the next slot is due.
    due: Timestamp,
    hedge: Option<Timestamp>,
    is_parked: bool,
    has_failed_over: bool,
    wake: Timestamp,
}

/// A transmission.
struct Asked {
    path: PathIndex,
    sent: Timestamp,
    what: Sent,
    /// How long its reply is waited for, until that has passed; no one waits for a probe's.
    wait: Option<Duration>,
    /// A reply to it counts.
    open: bool,
}

/// What the requests of a client share.
pub(crate) struct Shared<'c> {
    pub(crate) selection: &'c mut dyn Selection,
    pub(crate) budget: &'c RetryBudget,
    pub(crate) policy: &'c RetryPolicy,
    pub(crate) out: &'c mut Outbox,
}

impl Flight {
    pub(crate) fn new(now: Timestamp, number: u64, policy: &RetryPolicy, seed: Seed) -> Self {
        Self {
            number,
            began: now,
            deadline: now.after(policy.deadline().unwrap_or(Duration::MAX)),
            seed,
            round: 0,
            tried: Paths::NONE,
            asked: Vec::new(),
            latest: now,
            due: now,
            hedge: None,
            is_parked: false,
            has_failed_over: false,
            wake: now,
        }
    }

    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// When it is to be looked at.
    pub(crate) fn wake(&self) -> Timestamp {
        self.wake
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.deadline
    }

    /// Whether a reply from there answers it.
    pub(crate) fn awaits(&self, path: PathIndex) -> bool {
        self.asked.iter().any(|asked| asked.path == path && asked.open)
    }

    /// Karn's rule, for this path: it was asked once.
    pub(crate) fn round_trip(&self, now: Timestamp, path: PathIndex) -> Option<Duration> {
        let mut asked = self.asked.iter().filter(|asked| asked.path == path);
        let first = asked.next()?;
        asked.next().is_none().then(|| now.since(first.sent))
    }

    /// The slot of a parked request is due now. Returns whether it was parked.
    pub(crate) fn release(&mut self, now: Timestamp) -> bool {
        if self.is_parked {
            (self.is_parked, self.tried, self.due) = (false, Paths::NONE, now);
            return true;
        }
        false
    }

    /// It has ended: no server owes it anything.
    pub(crate) fn settle(&self, selection: &mut dyn Selection) {
        for asked in &self.asked {
            if !matches!(asked.what, Sent::Repeat | Sent::Probe) {
                selection.on_settled(asked.path);
            }
        }
    }

    /// Does what is due, and names the moment to look again.
    pub(crate) fn step(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        self.expire(now, shared);
        while self.due <= now {
            self.slot(now, shared);
        }
        if self.hedge.is_some_and(|at| at <= now) {
            self.hedge = None;
            self.send_hedge(now, shared);
        }
        if let Some(path) = shared.selection.probe_due(now) {
            self.send(now, path, Sent::Probe, None, shared);
        }
        self.wake = self.next_look(now, shared);
        shared.out.wakes.push((self.wake, self.number));
    }

    /// Reports the waits that have ended.
    fn expire(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        for asked in &mut self.asked {
            if let Some(wait) = asked.wait.take_if(|wait| asked.sent.after(*wait) <= now) {
                asked.open = shared.selection.keeps_listening();
                shared.selection.on_expired(now, asked.path, asked.sent, wait);
            }
        }
    }

    /// A slot is due: the next server is asked, or the round ends, or nothing leaves.
    fn slot(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        let last = self.asked.iter().rev().find(|asked| asked.what != Sent::Probe).map(|asked| asked.path);
        let interval = shared.policy.backoff().delay(self.round, self.seed);
        match shared.selection.choose(now, self.tried, last) {
            Choice::Ask(path) => {
                self.tried = self.tried.with(path);
                self.latest = now;
                let wait = match shared.selection.is_one_left(now, self.tried) {
                    true => shared.selection.wait(now, path, interval, self.round),
                    false => interval,
                };
                self.due = now.after(wait);
                let what = self.what(path);
                if self.may_send(what, last, shared) {
                    self.send(now, path, what, Some(wait), shared);
                    if what == Sent::Request {
                        let hedge = shared.selection.hedge_after(now, path).filter(|after| *after < wait);
                        self.hedge = hedge.map(|after| now.after(after));
                    }
                }
            }
            Choice::TriedAll => {
                let end = self.latest.after(shared.selection.round_wait(interval));
                if end > now {
                    self.due = end;
                } else {
                    (self.round, self.tried) = (self.round + 1, Paths::NONE);
                    // It listens on until its deadline.
                    self.due = if self.round < shared.policy.max_transmissions() { now } else { Timestamp::MAX };
                }
            }
            Choice::Park => (self.is_parked, self.due) = (true, Timestamp::MAX),
        }
    }

    fn what(&self, path: PathIndex) -> Sent {
        match self.asked.iter().any(|asked| asked.what != Sent::Probe) {
            false => Sent::Request,
            true if self.asked.iter().any(|asked| asked.path == path && asked.what != Sent::Probe) => Sent::Repeat,
            true => Sent::Failover,
        }
    }

    /// What is not the first costs a token, but for the first failover from a server that never replied.
    fn may_send(&mut self, what: Sent, last: Option<PathIndex>, shared: &Shared<'_>) -> bool {
        let is_free = match what {
            Sent::Request => true,
            Sent::Failover => {
                let is_first = !std::mem::replace(&mut self.has_failed_over, true);
                is_first && last.is_some_and(|last| shared.selection.never_replied(last))
            }
            _ => false,
        };
        is_free || shared.budget.try_withdraw()
    }

    /// A copy goes to a second server, if the budget is at least half full.
    fn send_hedge(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        let interval = shared.policy.backoff().delay(self.round, self.seed);
        if shared.budget.balance() < BURST / 2 {
            return;
        }
        let Choice::Ask(path) = shared.selection.choose(now, self.tried, None) else { return };
        if shared.budget.try_withdraw() {
            let wait = shared.selection.wait(now, path, interval, self.round);
            (self.tried, self.latest) = (self.tried.with(path), now);
            self.send(now, path, Sent::Hedge, Some(wait), shared);
        }
    }

    fn send(&mut self, now: Timestamp, path: PathIndex, what: Sent, wait: Option<Duration>, shared: &mut Shared<'_>) {
        shared.selection.on_transmitted(now, path, what);
        self.asked.push(Asked { path, sent: now, what, wait, open: true });
        shared.out.sends.push((path, self.number));
    }

    /// Only what is parked waits for a probe: else they go along with what leaves anyway.
    fn next_look(&self, now: Timestamp, shared: &Shared<'_>) -> Timestamp {
        let expiries = self.asked.iter().filter_map(|asked| Some(asked.sent.after(asked.wait?)));
        let probe = shared.selection.next_probe().filter(|at| self.is_parked && *at > now);
        let next = expiries.chain(self.hedge).chain(probe).chain([self.due]).min();
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }
}
