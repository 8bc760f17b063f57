//! Whether a server executes a request or answers it as before, without a socket or a clock.
//!
//! | type | decides |
//! |---|---|
//! | [`Responder`] | what to do about a datagram: execute it, send an answer that is kept, or nothing |
//! | [`ReplyCache`] | whether a request is new, and what the reply to it was |
//! | [`ReplyLimits`] | how long and how much is remembered, and what happens when that is full |
//! | [`DuplicateKey`] | what copies of one request have in common: [`same_id`], [`same_bytes`], [`keyed_by`] |
//!
//! # The promise
//!
//! A client that gets no reply sends its request again, and a network repeats datagrams. So a server without a memory executes
//! some of them twice: at 30 % loss and 30 % duplicates in each direction, 62 of 100. With this one:
//!
//! **A request is executed at most once, if its last copy arrives within the [lifetime](ReplyLimits::with_lifetime) of its
//! first, from the same [key](DuplicateKey), while the process lives and [`evicted_early`](ReplyStats::evicted_early) is 0.**
//! With a client of this crate that is exactly once, or an error that says so. Outside of these conditions it is not:
//!
//! | condition | what breaks it | what to do |
//! |---|---|---|
//! | within the lifetime | a client that goes on for longer, a network that holds datagrams for longer | [`ReplyLimits::for_policy`] with the client's policy |
//! | from the same key | a NAT that gives the client another port, a client that roams | ids of 64 random bits, and [`from_any_peer`](SameId::from_any_peer) |
//! | nothing evicted | [`WhenFull::Forget`], and more requests in a lifetime than there are entries | [`WhenFull::Refuse`], more entries |
//! | the process lives | a restart, which forgets everything | [`Responder::envelope`], or [`silent_after_start`](Responder::silent_after_start) |
//!
//! A handler that panics, or never returns, leaves its request in progress: it is not executed again within the lifetime, and
//! not answered. A reply that had to make place for others is not sent again; its request is not executed again either.
//!
//! # What it costs
//!
//! Memory: 44 bytes an entry and, of each reply, what it has and 20 bytes more, all of it from the start. The default, 65,536
//! entries and 16 MiB of replies, lasts for the 130 s of its lifetime at 500 requests a second: **entries divided by the
//! lifetime is the rate that it bears**. Time: `cargo bench --bench replies`.
//!
//! Floods from forged addresses fill any memory, as no share of a peer is of use against them. What becomes of honest requests
//! then is a choice; of 2²⁰ entries, beside 100 honest requests a second whose copies come 2 s and 30 s later:
//!
//! | flood for 30 s | [`WhenFull::Refuse`]: honest ones refused / copies executed | [`WhenFull::Forget`]: refused / copies executed |
//! |---|---|---|
//! | up to 10⁴ a second | none / none | none / none |
//! | 10⁵ a second | 65 % / none | none / 33 % |
//! | 10⁶ a second, for 10 s | 90 % / none | none / 80 % |
//!
//! `cargo test --all-features --test replies flood -- --nocapture` prints these.

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
#[cfg(feature = "std")]
pub(crate) use self::responder::Framing;
pub use self::responder::Responder;
pub use self::stats::{ReplyStats, ResponderStats};
pub use self::todo::{Answer, Job, Todo, Why};
pub use self::verdict::{Busy, Kept, Ticket, Verdict};
