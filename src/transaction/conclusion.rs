use super::{Execution, Failure, GiveUp, OnUnreachable};
use crate::transport::PathError;

/// How a request ends, and what was reported on the way to that.
///
/// A failure is *certain* once nothing can change it, or *pending* until the queue was looked at, because the error
/// that it follows from may hide a reply. Once `given`, nothing changes any more.
#[derive(Clone, Debug)]
pub(super) struct Conclusion {
    failure: Option<Failure>,
    state: State,
    last_error: Option<PathError>,
    /// Refusals of this request's transmissions.
    refusals: u32,
    /// Sends that the system itself refused, as no program listens or no route leads there: nothing left.
    unsent: u32,
    received: Kinds,
    /// A reply or a provisional answer came: the peer had the request.
    answered: bool,
    /// As it was at the end: what is open on the path changes afterwards.
    execution: Option<Execution>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Pending,
    Certain,
    Given,
}

/// What kinds of things came back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Kinds(u8);

impl Kinds {
    const REFUSED: Self = Self(1);
    const UNREACHABLE: Self = Self(2);
    const OTHER: Self = Self(4);

    fn add(&mut self, kind: Self) {
        self.0 |= kind.0;
    }
}

impl Conclusion {
    /// Nothing is known yet. A constant, which a new request copies in fewer steps than it would take to build.
    pub(super) const OPEN: Self = Self {
        failure: None,
        state: State::Open,
        last_error: None,
        refusals: 0,
        unsent: 0,
        received: Kinds(0),
        answered: false,
        execution: None,
    };

    /// The failure that holds by now, if the queue was looked at since it became likely.
    #[inline]
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.filter(|_| self.state != State::Pending)
    }

    /// A failure waits for a look at the queue.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    #[inline]
    pub(super) fn is_given(&self) -> bool {
        self.state == State::Given
    }

    /// Not even a reply would change anything.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Certain | State::Given)
    }

    /// The reply came, and was not handed out yet.
    #[inline]
    pub(super) fn is_replied(&self) -> bool {
        self.state == State::Certain && self.failure.is_none()
    }

    #[inline]
    pub(super) fn last_error(&self) -> Option<PathError> {
        self.last_error
    }

    #[inline]
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Refusals of its transmissions.
    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Transmissions that a reply or a refusal has accounted for.
    #[inline]
    pub(super) fn settled(&self) -> u32 {
        self.refusals.saturating_add(u32::from(self.answered))
    }

    /// It fails, whatever else is reported.
    pub(super) fn decide(&mut self, failure: Failure) {
        if !self.is_settled() {
            self.failure = Some(failure);
            self.state = State::Certain;
        }
    }

    /// It fails, unless a look at the queue finds its reply.
    pub(super) fn suspect(&mut self, failure: Failure) {
        if self.state == State::Open {
            self.failure = Some(failure);
            self.state = State::Pending;
        }
    }

    /// The queue was empty, or hides nothing within reach.
    pub(super) fn on_looked(&mut self) {
        if self.state == State::Pending {
            self.state = State::Certain;
        }
    }

    /// The end, as it is handed out.
    #[inline]
    pub(super) fn give(&mut self, failure: Option<Failure>, execution: Execution) {
        self.failure = failure;
        self.execution = Some(execution);
        self.state = State::Given;
    }

    /// The reply came, whole: nothing that is reported later takes it back, nor what was likely before.
    #[inline]
    pub(super) fn on_replied(&mut self) {
        self.failure = None;
        self.state = State::Certain;
    }

    /// The peer had the request: a reply came, or a provisional answer.
    #[inline]
    pub(super) fn on_answered(&mut self) {
        self.answered = true;
    }

    /// Some datagram came, so the peer's host or its port is not simply gone.
    #[inline]
    pub(super) fn on_datagram(&mut self) {
        self.received.add(Kinds::OTHER);
    }

    /// A refusal of one of this request's `transmissions`. Each vouches for something that was sent before it came, and for
    /// one thing only.
    pub(super) fn on_refusal(&mut self, error: PathError, transmissions: u32, rule: OnUnreachable) {
        self.refusals = self.refusals.saturating_add(1).min(transmissions);
        self.bear(error, rule);
    }

    /// The system itself did not send.
    pub(super) fn on_not_transmitted(&mut self, error: PathError, rule: OnUnreachable) {
        self.note(error);
        if is_refusal(error) {
            self.unsent = self.unsent.saturating_add(1);
            self.bear(error, rule);
        }
    }

    /// An error that may well be of this request.
    pub(super) fn note(&mut self, error: PathError) {
        self.last_error = Some(error);
        self.received.add(match error {
            PathError::Refused => Kinds::REFUSED,
            PathError::Unreachable => Kinds::UNREACHABLE,
            _ => Kinds::OTHER,
        });
    }

    /// Applies the caller's rule to the transmissions that met a refusal, and to those not sent.
    fn bear(&mut self, error: PathError, rule: OnUnreachable) {
        let attempts = self.refusals.saturating_add(self.unsent);
        let ends = match rule {
            OnUnreachable::KeepTrying => false,
            OnUnreachable::FailFast => attempts > 0,
            OnUnreachable::FailAfter(most) => attempts >= most.get(),
        };
        if ends {
            self.suspect(if error == PathError::Refused { Failure::Refused } else { Failure::Unreachable });
        }
    }

    /// Why the schedule ended without a reply.
    pub(super) fn gave_up(&self, reason: GiveUp, transmissions: u32) -> Failure {
        match (reason, self.received, self.last_error) {
            (GiveUp::Cancelled, ..) => Failure::Cancelled,
            (_, Kinds::REFUSED, _) => Failure::Refused,
            (_, Kinds::UNREACHABLE, _) => Failure::Unreachable,
            (_, _, Some(error)) if transmissions == 0 => Failure::Local(error),
            _ => Failure::TimedOut(reason),
        }
    }

    /// Whether the peer may have executed the request.
    #[inline]
    pub(super) fn execution(&self, transmissions: u32) -> Execution {
        match (self.execution, transmissions) {
            (Some(at_the_end), _) => at_the_end,
            (None, 0) => Execution::NotSent,
            _ if self.refusals >= transmissions && !self.answered => Execution::Refused,
            _ => Execution::Unknown,
        }
    }
}

pub(super) fn is_refusal(error: PathError) -> bool {
    matches!(error, PathError::Refused | PathError::Unreachable)
}
