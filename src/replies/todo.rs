use core::num::NonZeroU16;

use super::verdict::{Busy, Ticket};
use crate::envelope::EnvelopeError;
use crate::time::Timestamp;
use crate::transport::Route;

/// What a [`Responder`](super::Responder) wants done about a datagram.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a server must handle every answer")]
#[must_use]
pub enum Todo<'r, 'd> {
    /// Execute the request, then [`finish`](super::Responder::finish) the job, or [`abandon`](super::Responder::abandon) it
    /// if it was not executed.
    Execute {
        /// The job.
        job: Job,
        /// The request.
        request: &'d [u8],
    },
    /// Send this.
    Send(Answer<'r>),
    /// There is nothing to do, for this reason.
    Nothing(Why),
}

/// A datagram to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Answer<'r> {
    /// Whereto, and from which of the own addresses: the one that was asked.
    pub to: Route,
    /// Its bytes.
    pub datagram: &'r [u8],
}

/// A request that is being executed.
///
/// One that is dropped without a word stays in progress, and no copy of it is executed: so does one whose handler panics.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a request stays in progress until its job is finished or abandoned"]
pub struct Job {
    pub(super) ticket: Ticket,
    pub(super) asked: Asked,
}

/// What an answer needs to know of the copy that it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) to: Route,
    pub(super) at: Timestamp,
    /// Bytes of the datagram.
    pub(super) len: usize,
    /// Which transmission it was, with an envelope.
    pub(super) transmission: Option<NonZeroU16>,
    pub(super) deadline: Option<Timestamp>,
}

impl Job {
    /// Who asked, and which of the own addresses.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.asked.to
    }

    /// Until when the client waits, as its envelope says; `None` without one, or if it waits for longer than that can say. A
    /// request that has waited inside the server until then is better [abandoned](super::Responder::abandon) than executed.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        self.asked.deadline
    }
}

/// Why nothing is to be done about a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Why {
    /// A copy of this request is being executed.
    InProgress,
    /// It was executed, and its reply is no longer there.
    ReplyForgotten,
    /// It was executed, and its reply was sent again as often as the limits allow.
    ReplayedOften,
    /// It is new, and there is no place to remember it.
    Busy(Busy),
    /// It has no key.
    Foreign,
    /// It was truncated: what it would do is not known.
    Truncated,
    /// The server has started lately, and copies may arrive of what it executed before.
    Silent,
    /// The answer exceeds the request too much to be sent to an address that may be forged.
    Amplifying,
    /// It lacks the envelope that requests must have here.
    Envelope(EnvelopeError),
    /// No one waits for its reply any more, as its envelope says.
    Expired,
}
