use super::probes::{Probe, ProbeId};
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// What a driver of a [`PlpmtuSearch`](super::PlpmtuSearch) does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum SearchNext {
    /// Send this probe now, and report [`on_probe_sent`](super::PlpmtuSearch::on_probe_sent), or what became of it.
    Send(Probe),
    /// Wait for what becomes of this probe, and report that.
    Await(ProbeId),
    /// The search has ended, successful or not; the next one starts then (RFC 8899 §5.1.1, PMTU_RAISE_TIMER).
    WaitUntil(Timestamp),
    /// The system refuses even the smallest size: nothing can be done on this path (RFC 8899 §5.2, MIN_PLPMTU).
    Done,
}

/// Where a search stands: the states of RFC 8899 §5.2 without DISABLED, which is having none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the states of the RFC")]
pub enum SearchState {
    /// `base` is being confirmed.
    Base,
    /// Larger sizes are probed.
    Searching,
    /// The estimate stands until the next search.
    Complete,
    /// The path has not been seen to carry `base`; `min` is used. RFC 8899 §5.2 goes on to DISABLED where that is lost, too.
    Error,
}

/// How the estimate or the state has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// What was confirmed before.
    pub from: Option<Plpmtu>,
    /// What is confirmed now.
    pub to: Option<Plpmtu>,
    /// What did it last.
    pub why: Cause,
    /// The state now.
    pub state: SearchState,
}

/// What changed an estimate, or the state of a search.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A probe arrived.
    Acknowledged,
    /// A probe was lost.
    Lost,
    /// A router reported that a probe was too big.
    Reported,
    /// The own system refused to send a probe.
    Refused,
    /// Large datagrams no longer got through.
    BlackHole,
    /// It was time for the next search.
    Raise,
    /// The path is another one.
    PathChanged,
}
