//! What both ends may say beside a request and its reply: an optional header of 16 bytes before each payload.
//!
//! | what it says | what that is good for |
//! |---|---|
//! | which transmission a reply answers | a clean round trip from every reply, also after retransmissions |
//! | how much time the client still has | a request that no one waits for any more is dropped instead of executed |
//! | which incarnation of the server is meant | a copy that comes after a restart is answered "unknown" instead of executed again |
//!
//! Both ends must want it: a client by `Builder::envelope` of any requester, a server by
//! [`Responder::envelope`](crate::replies::Responder::envelope). A client that has it takes no reply without, a server that has it no
//! request without; each counts what it meets. Without it nothing changes on the wire. It is this crate's own: no RFC has it, and the
//! table below is all that another implementation needs. The header is outermost: ranges of ids and keys of matchers count in the
//! payload after it, and what is called request or reply elsewhere is that payload.
//!
//! # Format
//!
//! All numbers are in network byte order. A payload follows at byte 16; it may be empty.
//!
//! | bytes | [request](RequestHeader) | [reply](ReplyHeader) |
//! |---|---|---|
//! | 0 | `0xe5`, the mark of an envelope | the same |
//! | 1 | `0x11`: version 1, kind 1 | `0x12`: reply, `0x13`: unknown; the version is the upper half |
//! | 2..4 | number of this transmission, from 1; 1 follows upon 65,535 | number of the transmission that is answered |
//! | 4..8 | time until the client gives up, in microseconds, rounded up; `0xffff_ffff`: none, or 71 minutes and more | time since the server's start, in milliseconds, rounded down; at most `0xffff_ffff`: 49 days |
//! | 8..16 | [incarnation](Incarnation) of the server that is meant; 0: not known | incarnation of the server that answers, never 0 |
//!
//! After the header of an "unknown" stands the payload of the request that it is about, so that it is as hard to forge as a
//! reply, and no longer than what it answers. A provisional answer is a reply with a payload that the client's matcher takes
//! for one.
//!
//! # Time
//!
//! No clocks are compared, only spans. A client says how long it goes on waiting, a server counts that from the arrival: what
//! has waited in a queue for as long is [expired](RequestHeader::is_expired). How long a datagram was on its way no one knows;
//! that time is given to it.
//!
//! # Restarts
//!
//! A server draws an [`Incarnation`] at each start, and counts its uptime from a moment when it had its socket and the one
//! before was gone. Its rules, [`RequestHeader::admission`]:
//!
//! 1. A request for another incarnation is never executed: the answer is "unknown".
//! 2. Nor is one for no incarnation while the server is younger than the lifetime of its cache of replies.
//! 3. Any other is executed at most once, by that cache.
//!
//! A client remembers the incarnation that answered last on a path, and a request keeps the one that its first transmission
//! there had. If the answer is "unknown", and the server says that it was up already when that transmission left
//! ([`ReplyHeader::was_up_for`]), the request takes that incarnation and is sent once more at once, in the same slot; this
//! happens once. In any other case it ends with `Failure::ServerRestarted`: it may have been executed, or not.
//!
//! ## A first request to a young server
//!
//! A client that has had no answer yet names no incarnation. While the server is younger than the lifetime, 130 s by default, rule 2
//! has it answer "unknown" to such a request, although no server may ever have restarted. That is no fault that a better guess could
//! avoid: even a first transmission can have a copy that the network made, and that the incarnation before has executed.
//!
//! It costs one round trip. The server was up when the request left, so the client takes the incarnation from that answer, and the
//! request leaves once more at once, without leave of a budget. If the server came up after the request had left, or before it by
//! less than the answer takes to the client, the request fails instead, as it may have been executed. All that is in flight before
//! the first answer pays this, what comes after it does not: to ask for one thing before a burst of a thousand saves 999 of such
//! answers. [`ResponderStats::unnamed`](crate::replies::ResponderStats::unnamed) counts these apart from what names another incarnation.
//!
//! ## Why nothing is executed twice
//!
//! Let one server be at the address at a time, let clocks run as fast as each other to within 0.1 %, and let the last copy of a
//! request arrive within the cache's lifetime of the first, as the cache itself demands. Datagrams may be lost, repeated,
//! delayed and reordered in any manner.
//!
//! - *By one incarnation twice*: both copies pass its cache, which has an entry from the first one that was executed until the
//!   lifetime has passed. An earlier copy that was answered "unknown" has no entry; but all copies come within the lifetime of
//!   it, and so of the later one that has.
//! - *By two incarnations, each time by a copy that names it*: the request named one, A, and took the other, B, later. It did
//!   so because B's uptime, as B said in answer to a copy, was at least the time since the first transmission when that answer
//!   arrived. A late answer only makes that time longer than it was when B spoke: so B was up before any copy had left, A was gone by
//!   then, and A has received none. Any "unknown" that comes later names neither, and changes nothing that a server does.
//! - *By two incarnations, the later time by a copy that names none*: by rule 2 that copy arrived a lifetime after the start of
//!   the later one, and so after the first copy by more than that, which was with the earlier.
//! - *By two incarnations, the earlier time by a copy that names none, the later time by one that names the later one*: the
//!   request took the later incarnation, for the reason above, and no copy can have reached the earlier.
//!
//! A forged answer can end a request, as a forged reply can; it takes a copy of the request. It cannot make a server execute
//! anything.

mod error;
mod incarnation;
mod reply;
mod request;
mod wire;

pub use error::EnvelopeError;
pub use incarnation::Incarnation;
pub use reply::{ReplyHeader, ReplyKind};
pub use request::{Admission, RequestHeader};

/// Bytes of a header, by which the longest payload in an envelope is shorter than one without.
pub const HEADER_LEN: usize = 16;
