use core::time::Duration;

use crate::time::Timestamp;
use crate::transport::PathIndex;

/// What is known of a server.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Health {
    /// No reply came yet, or too long ago.
    Unknown,
    /// It replies.
    #[non_exhaustive]
    Good {
        /// The smoothed round trip.
        srtt: Duration,
        /// How long a reply may take.
        rto: Duration,
        /// The share of transmissions that go unanswered, of late.
        loss: f64,
    },
    /// Expiries since its latest reply, too few to call it dead.
    #[non_exhaustive]
    Suspect {
        /// How many.
        expiries: u32,
    },
    /// No request goes there but as a probe.
    #[non_exhaustive]
    Dead {
        /// When the next probe is due.
        next_probe: Timestamp,
    },
}

/// One server of a set, for a metrics page.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct ServerState {
    /// Which.
    pub path: PathIndex,
    /// What is known of it.
    pub health: Health,
    /// Requests that are waiting for its reply, probes not included.
    pub outstanding: u32,
    /// Transmissions to it, probes included.
    pub transmissions: u64,
    /// Of these, probes.
    pub probes: u64,
    /// Replies from it.
    pub replies: u64,
    /// Transmissions whose wait ended without a reply.
    pub expiries: u64,
}
