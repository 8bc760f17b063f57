//! A client: many requests under way at once, each a transaction, with one guard and one estimator for all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::envelope::ReplyHeader;
use udp_retry::policy::{LastWait, RttEstimator};
use udp_retry::sim::{Endpoint, Outbox};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, GiveUp, Match, Next, Transaction, TransactionId};
use udp_retry::transport::{PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};

use super::guard::{Granted, Guard};
use super::ledger::Ledger;
use super::message::Message;
use super::rows::Row;

/// Asks at random moments, whether or not it was answered: an open loop.
pub(crate) struct Client {
    server: SocketAddr,
    policy: RetryPolicy,
    guard: Guard,
    estimator: Option<RttEstimator>,
    has_envelope: bool,
    seed: Seed,
    /// Requests a second.
    rate: f64,
    /// No request begins from then on.
    end: Timestamp,
    /// When the next request begins, and its number.
    next: (Timestamp, u64),
    /// Boxed, as an empty map keeps its last node, with room for eleven: much, for a hundred thousand clients.
    flights: BTreeMap<u64, Box<Flight>>,
    /// When each of them is to be looked at, the soonest first.
    waits: BTreeSet<(Timestamp, u64)>,
    ledger: Rc<RefCell<Ledger>>,
}

/// A request under way.
struct Flight {
    began: Timestamp,
    transaction: Transaction<TransactionId>,
    policy: RetryPolicy,
    wait: Timestamp,
    budget: RetryBudget,
    granted: Granted,
    /// Waits that have ended without a reply.
    expired: u32,
}

impl Client {
    pub(crate) fn new(
        server: SocketAddr,
        row: &Row,
        seed: Seed,
        rate: f64,
        end: Timestamp,
        ledger: Rc<RefCell<Ledger>>,
    ) -> Self {
        let mut client = Self {
            server,
            policy: row.policy,
            guard: row.guard.fresh(),
            estimator: row.estimator.as_ref().map(RttEstimator::unmeasured),
            has_envelope: row.has_envelope,
            seed,
            rate,
            end,
            next: (Timestamp::ZERO, 0),
            flights: BTreeMap::new(),
            waits: BTreeSet::new(),
            ledger,
        };
        client.next.0 = client.pause(Timestamp::ZERO);
        client
    }

    /// The moment of the next request: memoryless.
    fn pause(&self, now: Timestamp) -> Timestamp {
        let draw = self.seed.derive(ARRIVALS).draw(self.next.1);
        // In (0, 1]; the 53 bits of a float.
        let share = ((draw >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let pause = Duration::from_secs_f64(-libm::log(share) / self.rate);
        let at = now.after(pause);
        if at < self.end { at } else { Timestamp::MAX }
    }

    fn begin(&mut self, now: Timestamp, out: &mut Outbox) {
        let (_, number) = self.next;
        self.next.1 += 1;
        self.next.0 = self.pause(now);
        self.guard.on_request(now);
        self.ledger.borrow_mut().on_request(now);
        let measured = self.estimator.as_ref().map(|estimator| starting_at(self.policy, estimator.rto(now)));
        let policy = measured.unwrap_or(self.policy);
        let budget = self.guard.budget();
        let mut transaction = Transaction::new(policy, transaction_id(Message::ID)).with_budget(budget.clone());
        if self.has_envelope {
            transaction = transaction.with_envelope();
        }
        transaction.start_building(now, Seed::new(self.seed.derive(REQUESTS).draw(number)));
        let flight =
            Flight { began: now, transaction, policy, wait: now, budget, granted: Granted::default(), expired: 0 };
        self.flights.insert(number, Box::new(flight));
        self.drive(number, now, out);
    }

    fn deadline(&self, began: Timestamp) -> Timestamp {
        began.after(self.policy.deadline().unwrap_or(Duration::MAX))
    }

    /// The wait of a request is over: the guard is asked before the transaction is.
    fn on_expiry(&mut self, number: u64, now: Timestamp) {
        let active = self.flights.len();
        let Some(began) = self.flights.get(&number).map(|flight| flight.began) else { return };
        if now >= self.deadline(began) {
            return;
        }
        if let Some(flight) = self.flights.get_mut(&number) {
            if self.guard.may_retry(now, active, &mut flight.granted) {
                flight.budget.deposit();
            }
        }
    }

    /// Does what a request asks for, until it waits or is over.
    fn drive(&mut self, number: u64, now: Timestamp, out: &mut Outbox) {
        let Some(began) = self.flights.get(&number).map(|flight| flight.began) else { return };
        let deadline = self.deadline(began);
        let Some(flight) = self.flights.get_mut(&number).map(Box::as_mut) else { return };
        let Flight { transaction, .. } = flight;
        self.waits.remove(&(flight.wait, number));
        let success = loop {
            let next = transaction.next(now);
            let used = transaction.transmissions() + transaction.withheld();
            let ended = matches!(next, Next::Failed(Failure::TimedOut(GiveUp::Unanswered | GiveUp::OverBudget)));
            let due = matches!(next, Next::Build(..) | Next::Transmit(_));
            let waits = used.saturating_sub(u32::from(!due && !ended));
            while flight.expired < waits {
                if let Some(estimator) = &self.estimator {
                    estimator.on_expiry(now, flight.policy.backoff().interval(flight.expired));
                }
                flight.expired += 1;
            }
            match next {
                Next::Build(..) => {
                    let transmission = u8::try_from(transaction.transmissions()).unwrap_or(u8::MAX);
                    transaction.build(|_, bytes| Message { number, transmission, deadline }.write(bytes));
                }
                Next::Transmit(_) => {
                    let is_repeat = transaction.transmissions() > 0;
                    out.send(self.server, transaction.datagram());
                    transaction.on_sent(now, Ok(()));
                    self.ledger.borrow_mut().on_sent(now, is_repeat);
                }
                Next::Renew(path, _) => transaction.on_renewed(now, path, Ok(Renewed::SamePort)),
                Next::WaitUntil(until) => {
                    flight.wait = until;
                    self.waits.insert((until, number));
                    return;
                }
                Next::Done => break true,
                Next::Failed(_) | Next::Idle => break false,
            }
        };
        if let (true, Some(estimator)) = (success, &self.estimator) {
            estimator.on_reply(now, transaction.round_trip());
        }
        self.guard.on_end(success, flight.granted);
        self.ledger.borrow_mut().on_end(flight.began, now, success);
        self.flights.remove(&number);
    }
}

impl Endpoint for Client {
    fn on_datagram(&mut self, now: Timestamp, _from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        let enveloped = ReplyHeader::decode(datagram).ok().filter(|_| self.has_envelope);
        let payload = enveloped.map_or(datagram, |(_, payload)| payload);
        let Some(Message { number, .. }) = Message::read(payload) else { return };
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let verdict = flight.transaction.on_datagram(now, PathIndex::FIRST, datagram, datagram.len());
        if verdict == Match::Reply || enveloped.is_some() {
            self.drive(number, now, out);
        }
    }

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox) {
        while let Some(&(_, number)) = self.waits.first().filter(|(wait, _)| *wait <= now) {
            self.on_expiry(number, now);
            if let Some(flight) = self.flights.get_mut(&number) {
                // What was queued by now came through `on_datagram`.
                flight.transaction.on_time_up(now);
            }
            self.drive(number, now, out);
        }
        while self.next.0 <= now {
            self.begin(now, out);
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let wait = self.waits.first().map_or(Timestamp::MAX, |(wait, _)| *wait);
        Some(wait.min(self.next.0)).filter(|&at| at < Timestamp::MAX)
    }
}

/// The waits begin at `rto`, and the last one still ends with the deadline.
fn starting_at(policy: RetryPolicy, rto: Duration) -> RetryPolicy {
    let policy = policy.starting_at(rto);
    policy.with_last_wait(LastWait::Initial(5)).unwrap_or(policy)
}

const ARRIVALS: u64 = 1;
const REQUESTS: u64 = 2;
