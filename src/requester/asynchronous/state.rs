mod driven;

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Waker;
use core::time::Duration;

use super::calls::{Answer, Calls, Key, Left, Outcome, UNMEASURED};
use super::shared::{Beginning, Wakes};
use super::spare::Spare;
use super::target::Target;
use super::waiters::{Ticket, Turn, Waiters};
use crate::policy::RttEstimator;
use crate::requester::concurrent_settings::{Many, SharedKeyedMatcher};
use crate::requester::groups::NewGroups;
use crate::requester::peers::{Asked, NewPeers};
use crate::servers::{ServerSettings, ServersError};
use crate::time::{Timestamp, saturating_ns};
use crate::transaction::{
    Addressee, Failure, Finished, GiveUp, GroupId, InFlight, PeerId, Request, RequestError, SubmitError,
};
use crate::transport::PeerAddress;

/// What the lock guards: the machine, who waits for what, and whether the driver sleeps.
pub(super) struct State<A: PeerAddress> {
    pub(super) engine: InFlight<Asked<A>, SharedKeyedMatcher>,
    peers: NewPeers,
    groups: NewGroups,
    calls: Calls,
    pub(super) waiters: Waiters,
    pub(super) spare: Spare,
    driver: Driven,
    phase: Phase,
    /// They wait for the end of the driver.
    stopping: Vec<Waker>,
    /// Of all requests.
    deadline: Option<Duration>,
    server: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    /// The driver is to end.
    Closing,
    Ended,
}

/// The driver, while it waits.
#[derive(Debug)]
struct Driven {
    waker: Option<Waker>,
    /// It has looked at everything, and is to be woken for more.
    asleep: bool,
    /// When it looks again by itself.
    until: Timestamp,
}

/// What has become of a call that wants to begin.
#[derive(Debug)]
pub(super) enum Entered {
    InFlight(Key),
    Waits(Ticket),
    Failed(Failure),
}

impl<A: PeerAddress> State<A> {
    pub(super) fn new(Beginning { many, deadline, server, service: _ }: Beginning<A>) -> Self {
        let Many { engine, peers, groups } = many;
        Self {
            engine,
            peers,
            groups,
            calls: Calls::new(),
            waiters: Waiters::new(),
            spare: Spare::new(),
            driver: Driven { waker: None, asleep: false, until: Timestamp::ZERO },
            phase: Phase::Running,
            stopping: Vec::new(),
            deadline,
            server,
        }
    }

    // Calls.

    /// When a call that is made now ends at the latest.
    pub(super) fn end_by(&self, now: Timestamp, request: &Request<'_>) -> Timestamp {
        let deadline = self.deadline.into_iter().chain(request.own_deadline()).min();
        deadline.map_or(Timestamp::MAX, |deadline| now.after_ns(saturating_ns(deadline)))
    }

    /// A call begins.
    pub(super) fn enter(
        &mut self,
        now: Timestamp,
        to: Target<A>,
        request: &Request<'_>,
        waker: &Waker,
        wakes: &mut Wakes,
    ) -> Entered {
        if self.phase != Phase::Running {
            return Entered::Failed(Failure::Stopped);
        }
        if self.waiters.lets_pass(self.engine.available()) {
            match self.submit(now, to, request, waker) {
                Ok(key) => {
                    self.rouse(wakes);
                    return Entered::InFlight(key);
                }
                Err(refused) => match Refusal::from(refused) {
                    Refusal::ForNow(until) => self.waiters.on_refused(until),
                    Refusal::ForGood(failure) => return Entered::Failed(failure),
                },
            }
        }
        let ticket = self.waiters.join(waker, self.end_by(now, request));
        self.rouse(wakes);
        Entered::Waits(ticket)
    }

    /// A call that has waited is polled.
    pub(super) fn enter_again(
        &mut self,
        now: Timestamp,
        (ticket, end_by): (Ticket, Timestamp),
        to: Target<A>,
        request: &Request<'_>,
        waker: &Waker,
        wakes: &mut Wakes,
    ) -> Entered {
        let entered = match self.waiters.poll(ticket, waker, wakes) {
            _ if self.phase != Phase::Running => Entered::Failed(Failure::Stopped),
            Turn::Waiting => return Entered::Waits(ticket),
            Turn::Expired => Entered::Failed(TOO_LATE),
            Turn::Come => match self.submit_by(now, end_by, to, request, waker) {
                Ok(key) => Entered::InFlight(key),
                Err(refused) => match Refusal::from(refused) {
                    Refusal::ForNow(until) => {
                        self.waiters.return_first(ticket, waker, until);
                        self.rouse(wakes);
                        return Entered::Waits(ticket);
                    }
                    Refusal::ForGood(failure) => Entered::Failed(failure),
                },
            },
        };
        self.waiters.leave(ticket, wakes);
        self.admit(wakes);
        self.rouse(wakes);
        entered
    }

    /// The outcome of a call that is in flight.
    pub(super) fn take_outcome(&mut self, key: Key, waker: &Waker, wakes: &mut Wakes) -> Option<Outcome> {
        self.calls.poll(key, waker, wakes)
    }

    /// The future of a call in flight is gone.
    pub(super) fn forget(&mut self, now: Timestamp, key: Key, wakes: &mut Wakes) {
        match self.calls.remove(key) {
            Some(Left::InFlight(handle, waker)) => {
                wakes.unused = Some(waker);
                self.engine.cancel(now, handle);
                self.settle(true, wakes);
                self.rouse(wakes);
            }
            Some(Left::Ended(Outcome::Reply(answer))) => {
                let _ = self.spare.take_back(answer.payload);
            }
            Some(Left::Ended(Outcome::Failed(_))) | None => {}
        }
    }

    /// The future of a call that waits is gone.
    pub(super) fn forget_waiting(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        self.waiters.leave(ticket, wakes);
        self.admit(wakes);
    }

    fn submit_by(
        &mut self,
        now: Timestamp,
        end_by: Timestamp,
        to: Target<A>,
        request: &Request<'_>,
        waker: &Waker,
    ) -> Result<Key, SubmitError> {
        if end_by == Timestamp::MAX {
            return self.submit(now, to, request, waker);
        }
        // Its deadline counts from the call.
        let request = Request::from(request).deadline(end_by.since(now));
        self.submit(now, to, &request, waker)
    }

    fn submit(
        &mut self,
        now: Timestamp,
        to: Target<A>,
        request: &Request<'_>,
        waker: &Waker,
    ) -> Result<Key, SubmitError> {
        let to: Addressee = match to {
            Target::Peer(peer) => self.peers.at(&mut self.engine, Asked::at(peer)).into(),
            Target::Group(group) => group.into(),
        };
        let key = self.calls.next_key();
        let handle = self.engine.submit(now, to, request, key.token())?;
        self.calls.insert(key, handle, waker.clone());
        Ok(key)
    }

    // Ends.

    /// Something has happened, by which a request `has_ended` that was taken out, and others may have that were not. None of
    /// them stays behind: a call that is dropped later takes its own from the machine.
    pub(super) fn settle(&mut self, mut has_ended: bool, wakes: &mut Wakes) {
        while let Some(finished) = self.engine.next_finished() {
            self.deliver(finished, &[], wakes);
            has_ended = true;
        }
        if has_ended {
            self.waiters.on_ended();
        }
        self.admit(wakes);
    }

    /// A request has ended, with this reply or as it says.
    pub(super) fn deliver(&mut self, finished: Finished, payload: &[u8], wakes: &mut Wakes) {
        let Self { calls, spare, engine, server, .. } = self;
        let address = || engine.address(finished.peer).and_then(|asked| asked.address.socket_addr()).or(*server);
        let waker = calls.end(finished.token, || match finished.failure.and_then(|_| finished.error(address())) {
            Some(error) => Outcome::Failed(error),
            None => Outcome::Reply(Answer {
                payload: spare.filled(payload),
                peer: finished.peer,
                transmissions: finished.transmissions,
                withheld: finished.withheld,
                elapsed: saturating_ns(finished.elapsed),
                round_trip: finished.round_trip.map_or(UNMEASURED, saturating_ns),
            }),
        });
        wakes.calls.extend(waker);
    }

    pub(super) fn admit(&mut self, wakes: &mut Wakes) {
        while let Some(waker) = self.waiters.admit(self.engine.available()) {
            wakes.calls.push(waker);
        }
    }

    // Peers.

    pub(super) fn add_group(&mut self, servers: Vec<A>, settings: ServerSettings) -> Result<GroupId, ServersError> {
        let Self { engine, peers, groups, .. } = self;
        groups.add(engine, peers, servers, settings)
    }

    pub(super) fn estimator(&self, peer: A) -> Option<RttEstimator> {
        self.engine.estimator(self.engine.peer(Asked::at(peer))?).cloned()
    }

    /// `None` never: no peer is removed.
    pub(super) fn address(&self, peer: PeerId) -> Option<A> {
        Some(self.engine.address(peer)?.address)
    }

    /// Why a call has failed that never came as far as the machine.
    pub(super) fn error(&self, failure: Failure, to: Target<A>, elapsed: Duration) -> RequestError {
        let peer = match to {
            Target::Peer(peer) => peer.socket_addr().or(self.server),
            Target::Group(_) => None,
        };
        RequestError::unsent(failure, peer, elapsed)
    }
}

/// What a refusal means to a call.
enum Refusal {
    /// There is capacity when something has ended, or at this time.
    ForNow(Option<Timestamp>),
    ForGood(Failure),
}

impl From<SubmitError> for Refusal {
    fn from(refused: SubmitError) -> Self {
        match refused {
            SubmitError::Full => Self::ForNow(None),
            SubmitError::IdsUsedUp { until } => Self::ForNow(until),
            SubmitError::IdInUse => Self::ForGood(Failure::IdInUse),
            SubmitError::Unmatchable => Self::ForGood(Failure::Unmatchable),
            SubmitError::TooLarge { len } => Self::ForGood(Failure::too_large(len)),
            SubmitError::UnknownPeer => Self::ForGood(Failure::UnknownPeer),
            SubmitError::TooManyPolicies => Self::ForGood(Failure::TooManyPolicies),
        }
    }
}

const TOO_LATE: Failure = Failure::TimedOut(GiveUp::Deadline);
