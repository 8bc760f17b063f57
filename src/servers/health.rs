use core::time::Duration;

use crate::time::Timestamp;
use crate::transport::PathIndex;

/// What is known of a server.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Health {
    /// No round trip was measured yet, since it was dead, or for [`max_age`](super::ServerSettings::with_max_age). Ordinary
    /// requests learn it.
    Unknown,
    /// It replies.
    #[non_exhaustive]
    Good {
        /// The smoothed round trip (RFC 6298).
        srtt: Duration,
        /// How long a reply may take: the retransmission timeout (RFC 6298), which may be below the floor of a failover.
        rto: Duration,
        /// The share of transmissions that go unanswered, of late: from 0 to 1, an average in which each counts 1/64.
        loss: f64,
    },
    /// Expiries or refusals since its latest reply, too few to call it dead. It is asked as before.
    #[non_exhaustive]
    Suspect {
        /// How many counted: those within one timeout count once.
        expiries: u32,
    },
    /// No request goes there but as a probe, until it replies.
    #[non_exhaustive]
    Dead {
        /// When the next probe may leave.
        next_probe: Timestamp,
    },
}

/// One server of a set, for a metrics page. The counts are of all its time.
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
    /// Transmissions whose wait ended without a reply; one that came later is among the replies, too.
    pub expiries: u64,
}
