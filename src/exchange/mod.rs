//! What to do next in one transaction: pure machines that are told the time and never ask for it.
//!
//! | type | decides |
//! |---|---|
//! | [`Exchange`] | *when* to transmit, until when to listen |
//! | [`ReplyMatcher`] | which datagram answers which request |
//! | [`Transaction`] | *what* to do: an exchange, a matcher and the requests it sent |
//! | [`Timeline`] | nothing; it remembers what happened |
//!
//! Questions ([`poll`](Exchange::poll), [`next`](Transaction::next)) may be asked at any time, and asked again they
//! have the same answer; facts come in through `on_…`, in any order.

#[expect(clippy::module_inception, reason = "the field's word for the machine and for its subject")]
mod exchange;
mod matching;
mod observer;
mod outcome;
mod pace;
mod picture;
mod refusals;
mod requests;
mod timeline;
mod transaction;

pub use exchange::{Action, Exchange, GiveUp, Hold, NotTransmitted};
pub use matching::{AnyReply, Identity, Match, ReplyMatcher, TransactionId, any_reply, transaction_id};
pub use outcome::{Execution, Failure, OnUnreachable, Stray, Strays};
pub use timeline::{Event, Timeline};
pub use transaction::{Next, Transaction};
