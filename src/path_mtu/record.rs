use core::time::Duration;

use crate::pmtu::Probe;

/// A probe and what became of it, as [`probe_path_with`](crate::path_mtu::probe_path_with) reports it.
///
/// One that counted as lost is reported again if its answer, or a router's report, arrives late: the later record is what is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProbeRecord {
    /// Which direction it probed.
    pub direction: ProbeDirection,
    /// Its number, which starts anew in the other direction, and its size.
    pub probe: Probe,
    /// When it was sent, from the start of the measurement.
    pub sent: Duration,
    /// When it was known what became of it, from the same moment.
    pub ended: Duration,
    /// What became of it.
    pub fate: ProbeFate,
}

/// A direction of a path, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a path has two directions")]
pub enum ProbeDirection {
    /// To the far end.
    Forward,
    /// From the far end.
    Reverse,
}

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProbeFate {
    /// Its size arrived.
    Acknowledged,
    /// Nothing answered it in time.
    Lost,
    /// It was not sent: this host, or of an answer the far end, does not send as much in one packet.
    Refused,
    /// A router reported that it was too big for what comes after it.
    Reported,
    /// The far end's host said that no one listens there, which ends the measurement.
    NoListener,
}
