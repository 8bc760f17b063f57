//! Whether a server executes a request or answers it as before, without a socket or a clock.
//!
//! | type | decides |
//! |---|---|
//! | [`Responder`] | what to do about a datagram: execute it, send an answer that is kept, or nothing |
//! | [`ReplyCache`] | whether a request is new, and what the reply to it was |
//! | [`ReplyLimits`] | how long and how much is remembered, and what happens when that is full |
//! | [`DuplicateKey`] | what copies of one request have in common: [`same_id`], [`same_bytes`], [`keyed_by`] |

mod cache;
mod entries;
mod index;
mod key;
mod limits;
mod reply_ring;
mod responder;
mod shares;
mod stats;
mod tag;
mod todo;
mod verdict;

pub use self::cache::ReplyCache;
pub use self::key::{DuplicateKey, KeyedBy, RequestKey, SameBytes, SameId, keyed_by, same_bytes, same_id};
pub use self::limits::{ReplyLimits, ReplyLimitsError, WhenFull};
pub use self::responder::Responder;
pub use self::stats::{ReplyStats, ResponderStats};
pub use self::todo::{Answer, Job, Todo, Why};
pub use self::verdict::{Busy, Kept, Ticket, Verdict};
