//! At the server: why services execute twice, what a reply cache does against it, what it does not promise, and what each setting
//! costs.
//!
//! # Why a request is executed twice
//!
//! A client that gets no reply in time cannot tell a lost request from a lost reply, so it sends the request again. The network
//! repeats datagrams, too, and holds some of them back. What reaches the server then is a copy of a request that it has executed, or
//! is executing. With a network that loses 30 % and repeats 30 % in each direction, up to 0.6 s late, a server that executes whatever
//! comes runs 62 % of the requests more than once. One behind a [`SharedResponder`](crate::serving::SharedResponder) runs none.
//!
//! ```
//! use core::time::Duration;
//! use udp_retry::RetryPolicy;
//! use udp_retry::net::UnconnectedUdp;
//! use udp_retry::replies::{ReplyLimits, Responder, same_id};
//! use udp_retry::serving::{Handled, SharedResponder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut socket = UnconnectedUdp::bind("0.0.0.0:0")?;
//! # socket.cancel_handle()?.cancel();
//! // As long as a copy can arrive: the policy of the clients, and 2 s for a datagram on the network.
//! let limits = ReplyLimits::for_policy(&RetryPolicy::LAN, Duration::from_secs(2))?;
//! let responder = SharedResponder::from(Responder::over(&mut socket, limits, same_id(0..8))?);
//! responder.serve(&mut socket, |request, reply| {
//!     // Here the request takes its effect, once.
//!     reply.extend_from_slice(request.bytes());
//!     Handled::Reply
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! A request is executed **at most once** while the server's process lives, if its last copy arrives within the
//! [lifetime](crate::replies::ReplyLimits::with_lifetime) of its first, with the same [key](crate::replies::DuplicateKey), and while
//! [`evicted_early`](crate::replies::ReplyStats::evicted_early) is 0. Beside a client that asks until it is answered that is exactly
//! once, or an error that says that it may not have been executed ([`Execution`](crate::transaction::Execution)).
//!
//! What it does not survive:
//!
//! - **A restart.** A new process remembers nothing. Either it is
//!   [silent](crate::replies::Responder::silent_after_start) until no copy of before can arrive, which delays clients by a lifetime;
//!   or both ends use the [`envelope`](crate::envelope), whose incarnation tells a server that a request may be a copy of before.
//!   `Responder::over(…)?.envelope(Incarnation::over(&mut socket)?)` is all it takes at the server, and
//!   [`envelope()`](crate::requester::Builder::envelope) on the builder of any requester at the client. A request then ends with
//!   [`Failure::ServerRestarted`](crate::transaction::Failure::ServerRestarted) if a server that is gone may have executed it.
//!   What a client asks before its first answer costs one more round trip while the server is younger than the lifetime, as it
//!   [cannot name it yet](crate::envelope#a-first-request-to-a-young-server).
//!   Without either, a server that restarted every 20 s ran 1.8 % of the requests above twice.
//! - **Another address.** The key has the peer's address and port, so a client that a NAT gives another port asks anew: where that
//!   happened every second, 21 % ran twice. With ids of 64 random bits, which no two clients have in common,
//!   [`from_any_peer`](crate::replies::SameId::from_any_peer) recognises it all the same, and then whoever sees an id can fetch the
//!   reply.
//! - **Another process.** Workers with a cache each, behind `SO_REUSEPORT`: of 400 clients over four sockets, 171 came to another
//!   worker when one was closed, 109 when it was replaced, and 204 when a fifth was added. Share one responder among threads
//!   ([`UnconnectedUdp::try_clone`](crate::net::UnconnectedUdp::try_clone)): it takes its lock for some 0.1 µs a request.
//! - **A handler that panics.** What it did is not known, so its request stays in progress and is never executed again. Its client
//!   gets no reply.
//!
//! # Settings, and what they cost
//!
//! | setting | too little | too much |
//! |---|---|---|
//! | [`lifetime`](crate::replies::ReplyLimits::with_lifetime) | late copies are executed again | entries: as many as requests arrive in it |
//! | [`entries`](crate::replies::ReplyLimits::with_entries) | requests are refused, or forgotten early | 44 bytes each, all taken at the start |
//! | [`bytes`](crate::replies::ReplyLimits::with_bytes) | copies of an older request get no reply; none is executed again | memory, taken at the start |
//! | [`per_peer`](crate::replies::ReplyLimits::with_per_peer) | a busy client, or all those behind one NAT, are refused once half is in use | one bad peer fills the rest; no help against forged addresses |
//! | [`replays`](crate::replies::ReplyLimits::with_replays) | a client in a bad network gets no reply | a captured request makes the server send to a victim |
//! | [`at_most_times`](crate::replies::Responder::at_most_times) | large replies never leave | the same, by large replies |
//! | [`silent_after_start`](crate::replies::Responder::silent_after_start) | copies of before a restart are executed again | the service is away for as long |
//!
//! What a client's policy lasts is its deadline, or else the span of its schedule; add what a datagram may take. Some published
//! lifetimes: CoAP 247 s (RFC 7252 §4.8.2), RADIUS 5 to 30 s (RFC 5080 §2.2.2), 120 s in the Linux NFS server.
//!
//! # When the cache is full: refuse or forget
//!
//! The window of protection is the entries by the rate of new requests: 10⁶ at 10⁵ a second last for 10 s. A flood from forged
//! addresses is what fills it. 2²⁰ entries, 100 honest requests a second with copies 2 and 30 s later, and a flood for 30 s:
//!
//! | flood | [`Refuse`](crate::replies::WhenFull::Refuse): honest requests refused, copies executed | [`Forget`](crate::replies::WhenFull::Forget): refused, copies executed |
//! |---|---|---|
//! | 10⁴ a second | 0, 0 | 0, 0 |
//! | 10⁵ a second | 65 %, 0 | 0, 33 % |
//! | 10⁶ a second, for 10 s | 90 %, 0 | 0, 80 % |
//!
//! Neither is good, so choose by the handler: `Refuse`, the default, where an effect must not be repeated; `Forget` where the cache
//! only saves work. A request that may be executed any number of times, such as a read, needs no place in a cache at all: answer it
//! in a loop of your own, or with a key of `None` and another socket.
//!
//! # What it takes of the processor
//!
//! The thread of a server beside the least that any can do, a loop that receives and sends, with 64 bytes on loopback, one request in
//! flight, and 32 in flight; Linux, medians of 15 rounds in which all alternate. More is better:
//!
//! | server | 1 in flight | 32 in flight |
//! |---|---|---|
//! | one address, beside `recv_from` and `send_to`: 4,096 entries | 0.92 | 0.81 |
//! | the same, 1,048,576 entries | 0.94 | 0.81 |
//! | the same, 4,096 entries, with a cancel handle | 0.88 | 0.81 |
//! | all addresses, beside `recvmsg` and `sendmsg` with packet information: 4,096 entries | 0.90 | 0.79 |
//! | the same, with a cancel handle | 0.85 | 0.78 |
//!
//! A cancel handle costs a `poll` where nothing is queued. So do clones of a socket; a server that looks at a flag every 100 ms
//! ([`serve_until`](crate::serving::SharedResponder::serve_until)) needs neither.
//!
//! ```text
//! taskset -c 0 cargo bench --bench serving
//! cargo test --test replies floods -- --nocapture
//! udp-retry serve                                    the counter behind a bad network, 100 increments
//! ```
