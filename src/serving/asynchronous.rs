use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::replies::Job;
use crate::time::Timestamp;
use crate::transport::Route;

/// A request that is to be executed, as a handler of [`serve_async`](super::SharedResponder::serve_async) gets it: as
/// [`Request`](super::Request), but its own.
///
/// It ends with [`reply`](Self::reply), [`silence`](Self::silence) or [`not_executed`](Self::not_executed). One that is dropped, such
/// as by a handler that panics, stays in progress: no copy of it is executed.
pub struct AsyncRequest {
    bytes: Vec<u8>,
    at: Timestamp,
    job: Job,
}

/// What a handler made of an [`AsyncRequest`].
#[derive(Debug)]
#[must_use = "the handler returns it"]
pub struct AsyncHandled {
    pub(super) made: Made,
}

#[derive(Debug)]
pub(super) enum Made {
    Reply(Job, Vec<u8>),
    Silence,
    NotExecuted(Job),
}

impl AsyncRequest {
    pub(super) fn new(bytes: &[u8], at: Timestamp, job: Job) -> Self {
        Self { bytes: bytes.to_vec(), at, job }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who asked.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.job.route().remote
    }

    /// Who asked, at which of the own addresses, and over which interface.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.job.route()
    }

    /// When it arrived, by the clock of the transport.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// For [`SharedResponder::provisional`](super::SharedResponder::provisional), by a clone of the socket.
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// It was executed, and this is the reply, which may be empty.
    pub fn reply(self, reply: impl Into<Vec<u8>>) -> AsyncHandled {
        AsyncHandled { made: Made::Reply(self.job, reply.into()) }
    }

    /// It was executed, and there is no reply.
    pub fn silence(self) -> AsyncHandled {
        AsyncHandled { made: Made::Silence }
    }

    /// It was **not** executed: the next copy of it may be.
    pub fn not_executed(self) -> AsyncHandled {
        AsyncHandled { made: Made::NotExecuted(self.job) }
    }
}

impl fmt::Debug for AsyncRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncRequest")
            .field("bytes", &self.bytes)
            .field("from", &self.route())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
