//! A server's loop: over real sockets, in the simulated network, and over a transport that fails as a test needs it.

mod loopback;
mod many_threads;
#[path = "../common/ports.rs"]
mod ports;
mod refused;
mod restarted;
mod scripted;
mod simulated;
mod tasks;
mod tasks_stopped;
#[path = "../common/watchdog.rs"]
mod watchdog;

use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::serving::{Handled, Request, SharedResponder};
use udp_retry::transport::{Route, Transport};

/// Recognises copies by the first four bytes.
fn over(transport: &mut impl Transport<Peer = Route>) -> SharedResponder<SameId> {
    Responder::over(transport, ReplyLimits::default(), same_id(0..4)).unwrap().into()
}

/// Replies the id, and how many requests were executed by then.
fn count(executed: &mut u32, request: &Request<'_>, reply: &mut Vec<u8>) -> Handled {
    *executed += 1;
    reply.extend_from_slice(&request.bytes()[..4]);
    reply.extend_from_slice(executed.to_string().as_bytes());
    Handled::Reply
}
