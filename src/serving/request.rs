use core::fmt;
use core::net::SocketAddr;

use crate::replies::Job;
use crate::time::Timestamp;
use crate::transport::{Received, Route};

/// A request that is to be executed, as a handler gets it: for the first time, as far as the responder knows.
pub struct Request<'r> {
    bytes: &'r [u8],
    received: &'r Received<Route>,
    job: Option<Job>,
    line: &'r mut dyn FnMut(&Job, &[u8]),
}

/// What a handler says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a handler can say nothing else")]
pub enum Handled {
    /// It was executed, and what the handler has written is the reply, which may be empty: it is kept, then sent.
    Reply,
    /// It was executed, or will be, and nothing is sent now: there is no reply, or it comes [later](Request::later). No copy of it
    /// is executed.
    Silence,
    /// It was **not** executed, such as for a lock that someone else holds, and nothing is sent: the next copy of it may be.
    NotExecuted,
}

impl<'r> Request<'r> {
    pub(super) fn new(
        bytes: &'r [u8],
        received: &'r Received<Route>,
        job: Job,
        line: &'r mut dyn FnMut(&Job, &[u8]),
    ) -> Self {
        Self { bytes, received, job: Some(job), line }
    }

    /// The job, unless it was taken.
    #[inline]
    pub(super) fn into_job(self) -> Option<Job> {
        self.job
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'r [u8] {
        self.bytes
    }

    /// Who asked.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.received.from.remote
    }

    /// Who asked, at which of the own addresses, and over which interface.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.received.from
    }

    /// When it arrived, by the clock of the transport.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.received.at
    }

    /// Sends an answer before the reply, such as that the work takes a while, so that the client waits instead of asking again.
    /// It is not kept: a copy of the request is not answered by it. Once the job was taken by [`later`](Self::later) it does
    /// nothing: then [`SharedResponder::provisional`](super::SharedResponder::provisional) does.
    pub fn provisional(&mut self, answer: &[u8]) {
        if let Some(job) = &self.job {
            (self.line)(job, answer);
        }
    }

    /// Takes the reply out of the handler's hands: it comes later, from any thread, by
    /// [`SharedResponder::finish`](super::SharedResponder::finish) with this job. What the handler says then, and what it has
    /// written, counts for nothing. `None` if it was taken before.
    ///
    /// Copies of the request are ignored meanwhile. A job that is dropped is never replied to.
    #[must_use = "a job that is dropped is never replied to"]
    pub fn later(&mut self) -> Option<Job> {
        self.job.take()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("bytes", &self.bytes)
            .field("from", &self.received.from)
            .field("at", &self.received.at)
            .finish_non_exhaustive()
    }
}
