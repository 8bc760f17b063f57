//! The requests and peers of a model, and how each must be reported to have ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use udp_retry::envelope::{Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::policy::RttEstimator;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Action, Execution, Failure, GiveUp, Handle, KeyedMatcher, Next, PeerId, Request, RetryTimer, Transaction,
};
use udp_retry::transport::PathError;
use udp_retry::transport::PathIndex;
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::messages::Judge;
use super::settings::Settings;

pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) address: u32,
    /// The engine's, and the one that the transactions draw from.
    pub(super) budgets: [RetryBudget; 2],
    pub(super) estimators: [Option<RttEstimator>; 2],
    pub(super) waiting: VecDeque<usize>,
    pub(super) places: u32,
    /// Errors that may be of any of several requests.
    pub(super) errors: Vec<(Timestamp, PathError)>,
    /// When its latest datagram arrived.
    pub(super) heard: Option<Timestamp>,
    /// Transmissions of ended requests that may still be refused.
    pub(super) unsettled: u32,
    pub(super) is_removed: bool,
    /// The incarnation that its server has, and the one that answered last.
    pub(super) lives: u64,
    pub(super) known: Option<Incarnation>,
}

/// A request, and how far it has got.
pub(super) struct Asked<M> {
    pub(super) handle: Handle,
    pub(super) peer: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) policy: RetryPolicy,
    pub(super) seed: Seed,
    /// Its own deadline; `MAX` without one.
    pub(super) end_by: Timestamp,
    /// How long its policy has it wait before it is first sent.
    pub(super) delay: Duration,
    pub(super) stage: Stage<M>,
    /// When it ended, and whether after one transmission and one reply.
    pub(super) ended: Option<(Timestamp, bool)>,
}

pub(super) enum Stage<M> {
    Waiting,
    /// It has its place in the window, and is due then.
    Placed {
        due: Timestamp,
        ready: bool,
    },
    Begun(Box<Begun<M>>),
    Ended,
}

pub(super) struct Begun<M> {
    pub(super) at: Timestamp,
    pub(super) transaction: Transaction<Judge<M>>,
    pub(super) ready: bool,
    /// It was ready, and its end has come since: the next look ends it, unless it is sent before.
    pub(super) unsure: bool,
    /// What its latest send failed with, if that may be an earlier datagram's.
    pub(super) swallowed: Option<PathError>,
    pub(super) failed_sends: u32,
    /// Its transmissions that have met a refusal.
    pub(super) refusals: u32,
    pub(super) answered: bool,
    /// How often nothing had been queued when its server did not know it.
    pub(super) repeated: Option<u64>,
    /// Refusals that were taken for those of earlier requests.
    pub(super) guessed: u32,
    pub(super) sent: Vec<Timestamp>,
    /// Errors that may be another request's.
    noted: Vec<PathError>,
    /// The latest that is its own, and the latest of both.
    last_error: Option<PathError>,
    seen: Option<PathError>,
}

/// How a request must be reported to have ended.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct End {
    pub(super) token: usize,
    pub(super) failure: Option<Failure>,
    /// As well possible, where several errors came that may be of any request.
    pub(super) or: Vec<Option<Failure>>,
    pub(super) execution: Execution,
    pub(super) transmissions: u32,
    pub(super) withheld: u32,
    pub(super) elapsed: Duration,
    pub(super) round_trip: Option<Duration>,
    /// One of these.
    pub(super) last_error: Vec<Option<PathError>>,
    /// When its transmissions left.
    pub(super) sent: Vec<Timestamp>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Arrival {
    Reply(End),
    Truncated(End),
    Provisional(usize),
    /// Its server does not know whether it executed it.
    Unknown(usize),
    Stray,
}

impl<M: KeyedMatcher> Begun<M> {
    /// It is sent for the first time, or should be.
    pub(super) fn start(now: Timestamp, asked: &Asked<M>, peer: &Peer, matcher: Arc<M>, settings: &Settings) -> Self {
        let mut transaction = Transaction::new(asked.policy, Judge(matcher));
        if settings.envelope {
            transaction = transaction.with_envelope();
        }
        let mut transaction = after_others(transaction, now, peer.known)
            .with_budget(peer.budgets[1].clone())
            .with_on_unreachable(settings.on_unreachable);
        if settings.fails_over_budget {
            transaction = transaction.failing_over_budget();
        }
        if let [_, Some(estimator)] = &peer.estimators {
            transaction = transaction.with_estimator(estimator.clone());
        }
        // As if it had begun with its start delay, which is over.
        let start = Timestamp::from_nanos(now.as_nanos() - asked.delay.as_nanos() as u64);
        let mut request = Request::new(&asked.bytes);
        if asked.end_by != Timestamp::MAX {
            request = request.deadline(asked.end_by.since(start));
        }
        transaction.start(request, start, asked.seed);
        transaction.on_time_up(now);
        if peer.heard == Some(now) {
            // At the same moment: whichever came first, the peer's host is there.
            transaction.on_datagram(now, PathIndex::FIRST, b"", 0);
        }
        if asked.end_by > now {
            assert!(matches!(transaction.next(now), Next::Transmit(_)), "not due at {now:?}");
        }
        Self {
            at: now,
            transaction,
            ready: true,
            unsure: false,
            swallowed: None,
            failed_sends: 0,
            refusals: 0,
            answered: false,
            repeated: None,
            guessed: 0,
            sent: Vec::new(),
            noted: Vec::new(),
            last_error: None,
            seen: None,
        }
    }

    /// Of errors that may be of any request at its peer, while the peer has sent nothing since this one began.
    pub(super) fn take_note(&mut self, now: Timestamp, peer: &Peer) {
        if self.transaction.last_error() != self.seen {
            self.last_error = self.transaction.last_error();
        }
        if self.transaction.transmissions() > 0 && peer.heard.is_none_or(|heard| heard < self.at) {
            for &(_, error) in peer.errors.iter().filter(|&&(at, _)| at >= self.at) {
                if !self.noted.contains(&error) {
                    self.noted.push(error);
                    self.transaction.on_path_error(now, Some(PathIndex::FIRST), error);
                }
            }
        }
        self.seen = self.transaction.last_error();
    }

    /// Its transmissions that no answer and no refusal has accounted for.
    pub(super) fn unsettled(&self) -> u32 {
        self.transaction.transmissions().saturating_sub(self.refusals + u32::from(self.answered))
    }

    pub(super) fn end(&self, now: Timestamp, token: usize, failure: Option<Failure>, peer: &Peer) -> End {
        let transaction = &self.transaction;
        // Which of several errors were noted depends on when it was seen to.
        let reasons = [GiveUp::Unanswered, GiveUp::OverBudget, GiveUp::Deadline, GiveUp::PatienceEnded];
        let any = [Failure::Refused, Failure::Unreachable].into_iter().chain(reasons.map(Failure::TimedOut));
        let or: Vec<_> = any.map(Some).filter(|_| self.noted.len() > 1).collect();
        // Nor is it promised whether one was noted before the peer sent something after all.
        let since = peer.errors.iter().filter(|&&(at, _)| at >= self.at && transaction.transmissions() > 0);
        End {
            token,
            failure,
            or: if or.contains(&failure) { or } else { Vec::new() },
            execution: transaction.execution(),
            transmissions: transaction.transmissions(),
            withheld: transaction.withheld(),
            elapsed: now.since(self.at),
            round_trip: transaction.round_trip(),
            last_error: since.map(|&(_, error)| Some(error)).chain([self.last_error]).collect(),
            sent: self.sent.clone(),
        }
    }
}

impl End {
    /// Of a request that never had its turn.
    pub(super) fn unsent(token: usize, failure: Option<Failure>) -> Self {
        Self {
            token,
            failure,
            or: Vec::new(),
            execution: Execution::NotSent,
            transmissions: 0,
            withheld: 0,
            elapsed: Duration::ZERO,
            round_trip: None,
            last_error: vec![None],
            sent: Vec::new(),
        }
    }
}

/// The transaction as one before which others have sent a lot: a refusal that quotes nothing is not its own. Those that
/// are, the model has quote it.
fn after_others<M: KeyedMatcher>(
    transaction: Transaction<Judge<M>>,
    now: Timestamp,
    known: Option<Incarnation>,
) -> Transaction<Judge<M>> {
    let mut transaction = transaction.keeping_port();
    transaction.start(b"", now, Seed::new(0));
    (0..BEFORE).for_each(|_| transaction.on_transmitted(now));
    if let Some(known) = known {
        // It has just come up, so it may have been another that executed the request.
        let latest = RequestHeader::new(BEFORE, None, None).transmission();
        let header = ReplyHeader::new(ReplyKind::Unknown, latest, Duration::ZERO, known).encode();
        transaction.on_datagram(now.after(Duration::from_nanos(1)), PathIndex::FIRST, &header, header.len());
    }
    transaction.on_cancelled();
    assert!(matches!(transaction.next(now), Next::Failed(_)));
    transaction
}

/// More than are refused while one request is open.
pub(super) const BEFORE: u32 = 24;

/// How long a policy has the request with this seed wait before it is first sent.
pub(super) fn start_delay(policy: &RetryPolicy, seed: Seed) -> Duration {
    match RetryTimer::start(policy, Timestamp::ZERO, seed).poll(Timestamp::ZERO) {
        Action::WaitUntil(until) => until.since(Timestamp::ZERO),
        _ => Duration::ZERO,
    }
}
