//! What must happen: a `Transaction` for each request that has begun, and plain lists for all that is around them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use udp_retry::policy::RttEstimator;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Action, Execution, Failure, GiveUp, Handle, KeyedMatcher, Match, Next, PeerId, Request, RetryTimer, Transaction,
};
use udp_retry::transport::PathError;
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::messages::Judge;
use super::settings::Settings;

pub(super) struct Model<M> {
    pub(super) settings: Settings,
    pub(super) matcher: Arc<M>,
    pub(super) peers: Vec<Peer>,
    /// All that were ever submitted; a request's place is its token.
    pub(super) asked: Vec<Asked<M>>,
    /// Those that have not ended.
    pub(super) open: Vec<usize>,
}

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
    refusals: u32,
    answered: bool,
    /// Refusals that were taken for those of earlier requests.
    pub(super) guessed: u32,
    sent: Vec<Timestamp>,
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
    Stray,
}

impl<M: KeyedMatcher> Model<M> {
    pub(super) fn admit(&mut self, now: Timestamp, asked: Asked<M>) {
        let (token, peer) = (self.asked.len(), asked.peer);
        self.asked.push(asked);
        self.open.push(token);
        self.peers[peer].waiting.push_back(token);
        self.fill(now, peer);
    }

    /// Gives free places to those that wait, in order.
    fn fill(&mut self, now: Timestamp, peer: usize) {
        while self.peers[peer].places < self.settings.window {
            let Some(token) = self.peers[peer].waiting.pop_front() else { return };
            self.peers[peer].places += 1;
            let asked = &mut self.asked[token];
            let due = now.after(asked.delay);
            asked.stage = Stage::Placed { due, ready: asked.delay.is_zero() };
        }
    }

    /// Nothing was queued at `now`. Whoever is `first` draws from the budget first. Returns the failures.
    pub(super) fn on_time_up(&mut self, now: Timestamp, first: &[usize]) -> Vec<End> {
        let mut ends = Vec::new();
        let others = self.open.iter().copied().filter(|token| !first.contains(token));
        let order: Vec<usize> = first.iter().copied().chain(others).collect();
        for token in order {
            let asked = &mut self.asked[token];
            match &mut asked.stage {
                Stage::Begun(begun) => {
                    begun.transaction.on_time_up(now);
                    ends.extend(self.settle(now, token));
                }
                Stage::Ended => {}
                _ if asked.end_by <= now => {
                    ends.push(self.end(now, token, Some(Failure::TimedOut(GiveUp::Deadline))));
                }
                Stage::Placed { due, ready } => *ready |= *due <= now,
                Stage::Waiting => {}
            }
        }
        ends
    }

    /// Asks what is next, and takes note.
    fn settle(&mut self, now: Timestamp, token: usize) -> Option<End> {
        let Self { asked, peers, .. } = self;
        let Asked { stage: Stage::Begun(begun), peer, .. } = &mut asked[token] else { return None };
        begun.take_note(now, &peers[*peer]);
        let next = begun.transaction.next(now);
        begun.unsure = begun.ready && matches!(next, Next::WaitUntil(until) if until <= now);
        begun.ready = begun.unsure || matches!(next, Next::Transmit(_));
        match next {
            Next::Transmit(_) | Next::WaitUntil(_) => None,
            Next::Done => Some(self.end(now, token, None)),
            Next::Failed(failure) => Some(self.end(now, token, Some(failure))),
            other => panic!("request {token}: {other:?}"),
        }
    }

    /// When something is due next; `None` if nothing waits for time.
    pub(super) fn first_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Self { asked, open, .. } = self;
        let dues = open.iter().filter_map(|&token| {
            let asked = &mut asked[token];
            match &mut asked.stage {
                Stage::Begun(begun) => match begun.transaction.next(now) {
                    Next::WaitUntil(until) => Some(until),
                    _ => None,
                },
                Stage::Placed { due, ready: false } => Some(asked.end_by.min(*due)),
                _ => Some(asked.end_by).filter(|&end_by| end_by != Timestamp::MAX),
            }
        });
        dues.min()
    }

    pub(super) fn is_ready(&self, token: usize) -> bool {
        match &self.asked[token].stage {
            Stage::Begun(begun) => begun.ready,
            Stage::Placed { ready, .. } => *ready,
            Stage::Waiting | Stage::Ended => false,
        }
    }

    /// Whether it is ready, and nothing puts that in doubt.
    pub(super) fn must_be_sent(&self, now: Timestamp, token: usize) -> bool {
        let unsure = matches!(&self.asked[token].stage, Stage::Begun(begun) if begun.unsure);
        self.is_ready(token) && !unsure && !self.has_expired(token, now)
    }

    /// Whether it has its place, was not sent, and its own deadline has come.
    pub(super) fn has_expired(&self, token: usize, now: Timestamp) -> bool {
        let asked = &self.asked[token];
        asked.end_by <= now && matches!(asked.stage, Stage::Placed { .. })
    }

    /// Has the request begin, if it has not.
    fn begin(&mut self, now: Timestamp, token: usize) -> &mut Begun<M> {
        let Self { asked, peers, matcher, settings, .. } = self;
        let asked = &mut asked[token];
        if let Stage::Placed { .. } = asked.stage {
            let [_, budget] = &peers[asked.peer].budgets;
            let mut transaction = after_others(Transaction::new(asked.policy, Judge(matcher.clone())), now)
                .with_budget(budget.clone())
                .with_on_unreachable(settings.on_unreachable);
            if settings.fails_over_budget {
                transaction = transaction.failing_over_budget();
            }
            if let [_, Some(estimator)] = &peers[asked.peer].estimators {
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
            if peers[asked.peer].heard == Some(now) {
                // At the same moment: whichever came first, the peer's host is there.
                transaction.on_datagram(now, b"", 0);
            }
            if asked.end_by > now {
                assert!(matches!(transaction.next(now), Next::Transmit(_)), "request {token} is not due at {now:?}");
            }
            let begun = Begun {
                at: now,
                transaction,
                ready: true,
                unsure: false,
                swallowed: None,
                failed_sends: 0,
                refusals: 0,
                answered: false,
                guessed: 0,
                sent: Vec::new(),
                noted: Vec::new(),
                last_error: None,
                seen: None,
            };
            asked.stage = Stage::Begun(Box::new(begun));
        }
        match &mut asked.stage {
            Stage::Begun(begun) => begun,
            _ => panic!("request {token} was not to be sent"),
        }
    }

    pub(super) fn on_transmitted(&mut self, now: Timestamp, token: usize) {
        if let Some(earlier) = self.begin(now, token).swallowed.take() {
            self.on_unknown_error(now, self.asked[token].peer, earlier);
        }
        let begun = self.begin(now, token);
        (begun.failed_sends, begun.ready) = (0, false);
        begun.sent.push(now);
        begun.transaction.on_transmitted(now);
        assert_eq!(self.settle(now, token), None);
        assert!(!self.must_be_sent(now, token), "request {token} is due again at once");
    }

    pub(super) fn on_not_transmitted(&mut self, now: Timestamp, token: usize, error: PathError) -> Option<End> {
        let begun = self.begin(now, token);
        begun.failed_sends += 1;
        assert!(begun.failed_sends <= 8, "more than the model knows of");
        if error == PathError::Refused || begun.swallowed != Some(error) {
            if let Some(earlier) = begun.swallowed.replace(error) {
                self.on_unknown_error(now, self.asked[token].peer, earlier);
            }
            return self.settle(now, token);
        }
        (begun.swallowed, begun.failed_sends, begun.ready) = (None, 0, false);
        begun.transaction.on_not_transmitted(now, error);
        begun.transaction.on_not_transmitted(now, error);
        self.settle(now, token)
    }

    /// What a datagram from this peer must be taken for.
    pub(super) fn on_datagram(&mut self, at: Timestamp, peer: usize, datagram: &[u8], actual: usize) -> Arrival {
        if self.peers[peer].is_removed {
            return Arrival::Stray;
        }
        self.peers[peer].heard = self.peers[peer].heard.max(Some(at));
        let mut arrival = Arrival::Stray;
        for token in self.open.clone() {
            let asked = &mut self.asked[token];
            let Stage::Begun(begun) = &mut asked.stage else { continue };
            if asked.peer != peer {
                continue;
            }
            let verdict = begun.transaction.on_datagram(at, datagram, actual);
            if verdict == Match::Foreign {
                continue;
            }
            begun.answered = true;
            assert_eq!(arrival, Arrival::Stray, "two requests have one id");
            arrival = match self.settle(at, token) {
                None => Arrival::Provisional(token),
                Some(end) if end.failure.is_none() => Arrival::Reply(end),
                Some(end) => Arrival::Truncated(end),
            };
        }
        arrival
    }

    /// An error that quotes a datagram to this peer, or its beginning: of a request that is open, if it is one of those.
    pub(super) fn on_quoted_error(&mut self, now: Timestamp, peer: Option<usize>, error: PathError, quoted: &[u8]) {
        let Self { asked, open, .. } = self;
        let is_it = |token: &usize| {
            let asked = &asked[*token];
            peer.is_none_or(|peer| asked.peer == peer) && asked.bytes.starts_with(quoted)
        };
        let Some(token) = open.iter().copied().find(is_it) else { return };
        if let Stage::Begun(begun) = &mut asked[token].stage {
            let most = begun.transaction.transmissions();
            begun.refusals = (begun.refusals + u32::from(is_refusal(error))).min(most);
            begun.transaction.on_quoted_error(now, error, quoted);
            assert_eq!(self.settle(now, token), None, "no error ends a request before a look");
        }
    }

    /// An error of something that was sent to this peer: of the only request there, if an earlier one's is not as likely.
    pub(super) fn on_unknown_error(&mut self, now: Timestamp, peer: usize, error: PathError) {
        let Some(only) = self.only_one(peer) else {
            self.peers[peer].errors.push((now, error));
            return;
        };
        let asked = &mut self.asked[only];
        let Stage::Begun(begun) = &mut asked.stage else { return };
        let unsettled = &mut self.peers[peer].unsettled;
        if is_refusal(error) && *unsettled == 0 {
            let bytes = asked.bytes.clone();
            return self.on_quoted_error(now, Some(peer), error, &bytes);
        }
        if is_refusal(error) {
            *unsettled -= 1;
            begun.guessed += 1;
            assert!(begun.guessed <= BEFORE);
        }
        begun.transaction.on_path_error(now, error);
        assert_eq!(self.settle(now, only), None, "no error ends a request before a look");
    }

    /// Whether nothing that is open at a peer has left, so that no error can be of it.
    pub(super) fn alone_and_unsent(&self, peer: usize) -> bool {
        match self.only_one(peer).map(|only| &self.asked[only].stage) {
            Some(Stage::Begun(begun)) => begun.transaction.transmissions() == 0,
            other => other.is_some(),
        }
    }

    /// The request that is alone on the wire at a peer.
    fn only_one(&self, peer: usize) -> Option<usize> {
        let has_place = |token: &usize| {
            let asked = &self.asked[*token];
            asked.peer == peer && !matches!(asked.stage, Stage::Waiting)
        };
        let mut placed = self.open.iter().copied().filter(has_place);
        placed.next().filter(|_| placed.next().is_none())
    }

    pub(super) fn cancel(&mut self, now: Timestamp, token: usize) -> End {
        if let Stage::Begun(begun) = &mut self.asked[token].stage {
            begun.transaction.on_cancelled();
            return self.settle(now, token).unwrap();
        }
        self.end(now, token, Some(Failure::Cancelled))
    }

    /// Cancels all requests to a peer, for good.
    pub(super) fn remove(&mut self, now: Timestamp, peer: usize) -> Vec<End> {
        self.peers[peer].is_removed = true;
        let its: Vec<usize> = self.open.iter().copied().filter(|&token| self.asked[token].peer == peer).collect();
        its.into_iter().map(|token| self.cancel(now, token)).collect()
    }

    fn end(&mut self, now: Timestamp, token: usize, failure: Option<Failure>) -> End {
        let asked = &mut self.asked[token];
        let stage = std::mem::replace(&mut asked.stage, Stage::Ended);
        let peer = &mut self.peers[asked.peer];
        let end = match &stage {
            Stage::Begun(begun) => {
                let transaction = &begun.transaction;
                let settled = begun.refusals + u32::from(begun.answered);
                peer.unsettled += transaction.transmissions().saturating_sub(settled);
                // Which of several were noted depends on when it was seen to.
                let any = begun.noted.len() > 1;
                let reasons = [GiveUp::Unanswered, GiveUp::OverBudget, GiveUp::Deadline, GiveUp::PatienceEnded];
                let or = [Failure::Refused, Failure::Unreachable].into_iter().chain(reasons.map(Failure::TimedOut));
                let or: Vec<_> = or.map(Some).filter(|_| any).collect();
                let or = if or.contains(&failure) { or } else { Vec::new() };
                // Nor is it promised whether one was noted before the peer sent something after all.
                let since = peer.errors.iter().filter(|&&(at, _)| at >= begun.at && transaction.transmissions() > 0);
                let last_error = since.map(|&(_, error)| Some(error)).chain([begun.last_error]).collect();
                End {
                    token,
                    failure,
                    or,
                    execution: transaction.execution(),
                    transmissions: transaction.transmissions(),
                    withheld: transaction.withheld(),
                    elapsed: now.since(begun.at),
                    round_trip: transaction.round_trip(),
                    last_error,
                    sent: begun.sent.clone(),
                }
            }
            _ => End {
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
            },
        };
        match stage {
            Stage::Waiting => peer.waiting.retain(|&waiting| waiting != token),
            _ => peer.places -= 1,
        }
        asked.ended = Some((now, end.failure.is_none() && end.transmissions == 1));
        self.open.retain(|&open| open != token);
        let peer = self.asked[token].peer;
        self.fill(now, peer);
        end
    }
}

impl<M: KeyedMatcher> Begun<M> {
    /// Of errors that may be of any request at its peer, while the peer has sent nothing since this one began.
    fn take_note(&mut self, now: Timestamp, peer: &Peer) {
        if self.transaction.last_error() != self.seen {
            self.last_error = self.transaction.last_error();
        }
        if self.transaction.transmissions() > 0 && peer.heard.is_none_or(|heard| heard < self.at) {
            for &(_, error) in peer.errors.iter().filter(|&&(at, _)| at >= self.at) {
                if !self.noted.contains(&error) {
                    self.noted.push(error);
                    self.transaction.on_path_error(now, error);
                }
            }
        }
        self.seen = self.transaction.last_error();
    }
}

/// The transaction as one before which others have sent a lot: a refusal that quotes nothing is not its own. Those that
/// are, the model has quote it.
fn after_others<M: KeyedMatcher>(transaction: Transaction<Judge<M>>, now: Timestamp) -> Transaction<Judge<M>> {
    let mut transaction = transaction.keeping_port();
    transaction.start(b"", now, Seed::new(0));
    (0..BEFORE).for_each(|_| transaction.on_transmitted(now));
    transaction.on_cancelled();
    assert!(matches!(transaction.next(now), Next::Failed(_)));
    transaction
}

/// More than are refused while one request is open.
const BEFORE: u32 = 24;

fn is_refusal(error: PathError) -> bool {
    matches!(error, PathError::Refused | PathError::Unreachable)
}

/// How long a policy has the request with this seed wait before it is first sent.
pub(super) fn start_delay(policy: &RetryPolicy, seed: Seed) -> Duration {
    match RetryTimer::start(policy, Timestamp::ZERO, seed).poll(Timestamp::ZERO) {
        Action::WaitUntil(until) => until.since(Timestamp::ZERO),
        _ => Duration::ZERO,
    }
}
