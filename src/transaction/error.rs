use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::{Execution, Failure, Finished, PathReport, ReplyMatcher, Strays, SuspectedPathMtu, Timeline, Transaction};
use crate::time::Timestamp;
use crate::transport::PathError;

/// A request that brought no reply: what happened, and whether the peer may have acted on it.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::transaction::Execution;
/// use udp_retry::policy::Backoff;
/// use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let hasty = RetryPolicy::new(Backoff::constant(Duration::from_millis(5))?).with_max_transmissions(2)?;
/// let mut requester =
///     ReliableRequester::builder(transaction_id(0..4)).policy(hasty).connect(silent.local_addr()?)?;
///
/// let error = requester.request(b"id 1 anyone?").unwrap_err();
/// assert!(error.is_timeout());
/// assert_eq!((error.transmissions(), error.execution()), (2, Execution::Unknown));
/// assert!(error.elapsed() >= Duration::from_millis(10));
/// # Ok(())
/// # }
/// ```
pub struct RequestError {
    /// Boxed, so that the good case stays small.
    report: Box<Report>,
}

struct Report {
    peer: Option<SocketAddr>,
    failure: Failure,
    execution: Execution,
    transmissions: u32,
    withheld: u32,
    elapsed: Duration,
    last_path_error: Option<PathError>,
    strays: Strays,
    /// A reply or a provisional answer came.
    answered: bool,
    /// Whether any stray would be known here, so that silence can be told.
    sees_strays: bool,
    timeline: Timeline,
    paths: Vec<PathReport>,
    suspected_path_mtu: Option<SuspectedPathMtu>,
}

impl RequestError {
    pub(super) fn new(failure: Failure, transaction: &Transaction<impl ReplyMatcher>, now: Timestamp) -> Self {
        let report = Report {
            peer: transaction.peer(),
            failure,
            execution: transaction.execution(),
            transmissions: transaction.transmissions(),
            withheld: transaction.withheld(),
            elapsed: transaction.elapsed(now),
            last_path_error: transaction.last_error(),
            strays: transaction.strays(),
            answered: transaction.active.is_answered(),
            sees_strays: true,
            timeline: *transaction.timeline(),
            paths: transaction.path_reports(),
            suspected_path_mtu: transaction.sizes.suspected().filter(|_| matches!(failure, Failure::TimedOut(_))),
        };
        Self { report: Box::new(report) }
    }

    fn of(failure: Failure, finished: &Finished, peer: Option<SocketAddr>) -> Self {
        let unrecorded = || Timeline::omitting(finished.transmissions.saturating_add(finished.withheld).max(1));
        let report = Report {
            peer,
            failure,
            execution: finished.execution,
            transmissions: finished.transmissions,
            withheld: finished.withheld,
            elapsed: finished.elapsed,
            last_path_error: finished.last_error,
            strays: Strays::default(),
            answered: false,
            sees_strays: false,
            timeline: finished.timeline.as_deref().copied().unwrap_or_else(unrecorded),
            paths: finished.paths().to_vec(),
            suspected_path_mtu: None,
        };
        Self { report: Box::new(report) }
    }

    /// Of a request that a front had to refuse, or to end before it was taken in.
    #[cfg(any(feature = "tokio", feature = "sim"))]
    pub(crate) fn unsent(failure: Failure, peer: Option<SocketAddr>, elapsed: Duration) -> Self {
        let report = Report {
            peer,
            failure,
            execution: Execution::NotSent,
            transmissions: 0,
            withheld: 0,
            elapsed,
            last_path_error: None,
            strays: Strays::default(),
            answered: false,
            sees_strays: false,
            timeline: Timeline::omitting(0),
            paths: Vec::new(),
            suspected_path_mtu: None,
        };
        Self { report: Box::new(report) }
    }

    /// Who was asked, where the front knows it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.report.peer
    }

    /// What ended it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.report.failure
    }

    /// Whether it ended because the time or the transmissions ran out, without a verdict of the path.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.report.failure, Failure::TimedOut(_))
    }

    /// Whether the peer may have executed the request: whether repeating it is safe.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.report.execution
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    pub fn transmissions(&self) -> u32 {
        self.report.transmissions
    }

    /// How many transmissions the retry budget withheld.
    #[must_use]
    pub fn withheld(&self) -> u32 {
        self.report.withheld
    }

    /// The time from the call to the failure; of one of many in flight, from its first transmission.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.report.elapsed
    }

    /// What the system reported last, if it reported anything.
    #[must_use]
    pub fn last_path_error(&self) -> Option<PathError> {
        self.report.last_path_error
    }

    /// What arrived meanwhile and answered nothing, by kind. Of one of many in flight none: no one knows whose they are, and
    /// the front counts them all together.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.report.strays
    }

    /// What such a failure is often due to, and nothing received can show: where the peer is known, the request was sent, and
    /// its time ran out without any sign of life. The text of the error ends with it.
    ///
    /// - Replies to a multicast or broadcast address come from the addresses of those that answer. (Of broadcast addresses
    ///   only 255.255.255.255 is known as one.)
    /// - Some servers answer from another port or address than the one that was asked, as TFTP does.
    ///
    /// The system shows neither to a connected socket; one that is not connected receives both.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let Report { peer, transmissions, last_path_error, strays, answered, sees_strays, .. } = &*self.report;
        let silence = self.is_timeout() && *transmissions > 0 && *sees_strays;
        let signs_of_life = *answered || last_path_error.is_some() || strays.total() > 0;
        let peer = peer.filter(|_| silence && !signs_of_life && self.report.suspected_path_mtu.is_none())?;
        Some(if is_group(peer.ip().to_canonical()) { GROUP } else { ELSEWHERE })
    }

    /// Whether the request ended by time as it was too large for the path, as it looks: all its transmissions were larger than
    /// any that was answered lately, and smaller ones are answered. Of several servers, of the first that shows it. The text of
    /// the error ends with it.
    ///
    /// It takes a small request that was answered after a large one was not, so the first failure has none. Only requests that
    /// are sent one at a time remember it: of one of many in flight there is none.
    #[must_use]
    pub fn suspected_path_mtu(&self) -> Option<SuspectedPathMtu> {
        self.report.suspected_path_mtu
    }

    /// What each path has shown that was asked, or could not be: of several servers one after the other. Of one of many in
    /// flight none, unless it was to a group.
    #[must_use]
    pub fn paths(&self) -> &[PathReport] {
        &self.report.paths
    }

    /// What happened, event by event. Of many in flight that fare badly, 64 at a time have a record: that of any other is
    /// empty, and its [omitted](Timeline::omitted) events are at least its transmissions.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.report.timeline
    }
}

impl Finished {
    /// The error to hand to the caller of a front; `None` if a reply came. Names `peer`, where that is known.
    #[must_use]
    pub fn error(&self, peer: Option<SocketAddr>) -> Option<RequestError> {
        self.failure.map(|failure| RequestError::of(failure, self, peer))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { peer, failure, transmissions, elapsed, last_path_error, .. } = &*self.report;
        if let Some(peer) = peer {
            write!(f, "{peer}: ")?;
        }
        write!(f, "{failure}")?;
        let times = if *transmissions == 1 { "transmission" } else { "transmissions" };
        write!(f, " ({transmissions} {times}, {:.1} ms", elapsed.as_secs_f64() * 1e3)?;
        match last_path_error {
            Some(error) if self.is_timeout() => write!(f, ", last heard: {error})")?,
            _ => write!(f, ")")?,
        }
        if let Some(suspected) = self.suspected_path_mtu() {
            return write!(f, ": {suspected}");
        }
        self.hint().map_or(Ok(()), |hint| write!(f, ": {hint}"))
    }
}

impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestError")
            .field("peer", &self.report.peer)
            .field("failure", &self.report.failure)
            .field("execution", &self.report.execution)
            .field("transmissions", &self.report.transmissions)
            .field("elapsed", &self.report.elapsed)
            .field("last_path_error", &self.report.last_path_error)
            .finish_non_exhaustive()
    }
}

impl core::error::Error for RequestError {}

/// Whether no one host has this address.
fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == Ipv4Addr::BROADCAST
}

const GROUP: &str =
    "replies to a multicast or broadcast address come from other addresses, which takes an unconnected socket";
const ELSEWHERE: &str = "a reply from another address or port would not be seen";
