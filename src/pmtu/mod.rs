//! Which size of datagram a path carries whole (RFC 8899), without a socket or a clock.
//!
//! | type | decides |
//! |---|---|
//! | [`PlpmtuSearch`] | which size to probe next, and what the path carries as far as that is proven |
//! | [`SearchSettings`] | from where to where, how fine, and after how many losses a size is given up |
//! | [`BlackHole`] | whether a path no longer carries a size that it did carry, from ordinary traffic |
//! | [`Odds`] | nothing; it is how rarely a verdict may be wrong |
//!
//! What a probe looks like, how it is padded and what acknowledges it is the driver's: any request and reply with an id do
//! (RFC 8899 §4.1). A probe must leave unfragmented, or its acknowledgement proves nothing (RFC 8899 §3).

mod answers;
mod black_hole;
mod few;
mod losses;
mod odds;
mod probes;
mod reports;
mod search;
mod settings;
mod sizes;

pub use self::answers::{Cause, Change, SearchNext, SearchState};
pub use self::black_hole::BlackHole;
pub use self::odds::Odds;
pub use self::probes::{Probe, ProbeId};
pub use self::reports::PtbVerdict;
pub use self::search::PlpmtuSearch;
pub use self::settings::{Granularity, MaxProbes, SearchError, SearchSettings};
