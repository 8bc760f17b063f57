//! What to do next in one transaction: pure machines that are told the time and never ask for it.
//!
//! | type | decides |
//! |---|---|
//! | [`RetryTimer`] | *when* to transmit, until when to listen, what a provisional answer ([`Hold`]) changes in that |
//! | [`ReplyMatcher`] | which datagram answers which request |
//! | [`Transaction`] | *what* to do for one request after the other: a timer, a matcher and the requests it sent |
//! | [`InFlight`] | the same for thousands at a time, whose replies a [`KeyedMatcher`] finds |
//! | [`Timeline`] | nothing; it remembers what happened |
//!
//! Questions ([`poll`](RetryTimer::poll), [`next`](Transaction::next)) may be asked at any time, and asked again they
//! have the same answer; facts come in through `on_…`, in any order.

mod active_request;
mod answers;
mod arrivals;
mod build_for;
mod conclusion;
mod course;
mod destination;
mod enveloped;
mod enveloping;
mod error;
mod grant;
mod group;
mod hedging;
mod in_flight;
mod keyed;
mod matching;
mod next;
mod observer;
mod one_of_several;
mod outbox;
mod outcome;
mod path_errors;
mod path_report;
mod path_state;
mod reach;
mod record;
mod request;
mod requests;
mod resting;
mod routing;
mod said;
mod settings;
mod several;
mod sized;
mod sizes;
mod stamping;
mod suspected_path_mtu;
mod timeline;
mod timeline_display;
mod timer;
#[expect(clippy::module_inception, reason = "the field's word for the machine and for its subject")]
mod transaction;
mod transaction_id;

pub use build_for::BuildFor;
pub use error::RequestError;
#[cfg(any(feature = "tokio", feature = "sim"))]
pub(crate) use in_flight::Chunks;
pub use in_flight::{Addressee, Arrived, Finished, GroupId, Handle, InFlight, Limits, PeerId, SubmitError, Transmit};
pub use keyed::{Keyed, KeyedMatcher};
pub use matching::{AnyReply, Identity, Match, Matching, ReplyMatcher, any_reply, matching};
pub use next::Next;
#[cfg(feature = "std")]
pub(crate) use observer::Observer;
pub use outcome::{Execution, Failure, OnUnreachable, Stray, Strays};
pub use path_report::PathReport;
pub use request::Request;
pub use suspected_path_mtu::SuspectedPathMtu;
pub use timeline::{Event, Timeline};
pub use timer::{Action, GiveUp, Hold, NotTransmitted, RetryTimer};
pub use transaction::Transaction;
pub use transaction_id::{Confirmed, TransactionId, transaction_id};
