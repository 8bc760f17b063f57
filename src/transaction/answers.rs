//! What came of a request.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;

use super::{Execution, Failure, PathReport, ReplyMatcher, RequestError, Strays, Timeline, Transaction};
use crate::envelope::HEADER_LEN;
use crate::policy::RttEstimator;
use crate::servers::ServerSet;
use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, PathIndex};

impl<M: ReplyMatcher> Transaction<M> {
    /// Where the reply stands in the buffer that it was reported from: at its start, but for an
    /// [envelope](Self::with_envelope). Valid once `next` says `Done`.
    #[must_use]
    #[inline]
    pub fn reply(&self) -> Range<usize> {
        let start = if self.envelope.is_some() { HEADER_LEN } else { 0 };
        start..start + self.reply_len
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.active.transmissions()
    }

    /// How many transmissions the budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.active.withheld()
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        Duration::from_nanos(self.elapsed_ns(now))
    }

    #[inline]
    pub(crate) fn elapsed_ns(&self, now: Timestamp) -> Ns {
        now.since_ns(self.book.timeline.start())
    }

    /// From transmission to the first answer, if that cannot belong to another transmission (Karn, RFC 6298 §3; with an
    /// [envelope](Self::with_envelope) it says to which it does), and if it was read in time to be a measurement.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from_nanos)
    }

    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn round_trip_ns(&self) -> Option<Ns> {
        self.round_trip
    }

    /// Whether the peer may have executed the request.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.active.execution()
    }

    /// What arrived and answered nothing.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// What the system reported last, if it reported anything.
    #[must_use]
    pub fn last_error(&self) -> Option<PathError> {
        self.active.last_error()
    }

    /// What happened so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.book.timeline
    }

    /// The timeout that the round trips call for, if they are measured.
    #[must_use]
    pub fn estimator(&self) -> Option<&RttEstimator> {
        self.reach.estimator_of_all()
    }

    /// The path that the reply came on, of several; the first, if none came.
    #[must_use]
    #[inline]
    pub fn reply_path(&self) -> PathIndex {
        self.reply_path
    }

    /// The servers, if there are several: what they have shown, and which lives.
    #[must_use]
    pub fn servers(&self) -> Option<&ServerSet> {
        self.reach.servers()
    }

    /// What each path has shown to the present request that was asked, or could not be.
    pub(super) fn path_reports(&self) -> Vec<PathReport> {
        let of_one = || {
            let report = PathReport {
                path: PathIndex::FIRST,
                transmissions: self.transmissions(),
                last_error: self.last_error(),
                answered: self.active.is_answered(),
            };
            Some(report).filter(PathReport::has_something).into_iter().collect()
        };
        self.reach.reports().unwrap_or_else(of_one)
    }

    /// Who is asked, if the front has said so.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The error to hand to the caller of a front: `failure` is what [`next`](Self::next) said at `now`.
    #[must_use]
    pub fn error(&self, failure: Failure, now: Timestamp) -> RequestError {
        RequestError::new(failure, self, now)
    }
}
