//! Which front, and what it costs: three ways to hold the same rules, for one request at a time, for thousands from one thread,
//! and for the tasks of a runtime.
//!
//! All of them run the same machine: the same schedules, budgets, servers, errors, the same rule of which datagram is a reply. They
//! differ in who waits.
//!
//! | | [`ReliableRequester`](crate::ReliableRequester) | [`ConcurrentRequester`](crate::ConcurrentRequester) | [`AsyncRequester`] |
//! |---|---|---|---|
//! | take it for | a client that asks, and goes on when it has its answer | a crawler, a poller, a resolver: a loop that waits for whatever ends next | a program on tokio, with callers by the hundred |
//! | a request is | a call that blocks | `submit`, and later a completion with its token | a future; dropping it cancels it |
//! | in flight | one | 65,536, and 64 of them on the wire at a peer, or as the [`Limits`](crate::transaction::Limits) say | the same; those beyond wait for their turn, first come, first served |
//! | threads of its own | none | none | none; one task |
//! | finds a reply by | its id, or by a port for each request ([`any_reply`](crate::any_reply)) | its id | its id |
//! | can build each transmission anew | yes (`request_with`) | no | no |
//! | has an [envelope](crate::envelope): a round trip from each reply, no execution after a restart | yes ([`Builder::envelope`](crate::requester::Builder::envelope)) | yes | yes |
//! | remembers which sizes of requests get through | yes ([`BuildFor::at_most`](crate::transaction::BuildFor::at_most)) | no | no |
//! | leaves a port that was in vain | before the next request | once nothing came from a peer for a whole request | the same |
//! | memory of a request in flight | | 80 bytes and its own, of a clean one; 224 in an outage | 531 bytes with its task and 32 of its own |
//! | allocations of a request | none after warm-up | none after warm-up | none, but for the task that the caller makes of it |
//! | lateness of a retransmission | 0.05 ms | 0.1 ms (a wheel of 0.13 ms) | up to 1 ms: tokio's timer counts those |
//! | features | `std` | `std` | `tokio`, or `sim` in virtual time |
//!
//! # What it takes of the processor
//!
//! Requests that one core sends and whose replies it takes, beside the least that any client can do: batches by `sendmmsg` and
//! `recvmmsg` with a full window, and nothing that a request needs besides. Loopback, Linux, medians of seven rounds in which all
//! ways alternate; thousands of requests of 32 bytes per second of the client's processor, and that of the batches.
//!
//! | in flight | batches | `send` and `recv` | `ConcurrentRequester` | over an unconnected socket | `AsyncRequester` | tokio, a map of oneshot channels with time-outs |
//! |---|---|---|---|---|---|---|
//! | 1 | 47 | 1.01 | 0.96 | 0.99 | 0.83 | 0.79 |
//! | 16 | 440 | 1.15 | 1.22 | 1.11 | 0.82 | 0.84 |
//! | 64 | 517 | 1.00 | 1.26 | 1.15 | 1.00 | 0.72 |
//! | 256 | 514 | 1.01 | 1.22 | 1.14 | 0.97 | 0.72 |
//! | 1,024 | 529 | 0.98 | 1.19 | 1.11 | 0.95 | 0.70 |
//! | 10,000 | 495 | 1.00 | 1.26 | 1.17 | 0.96 | 0.64 |
//!
//! The system's calls are what matters. Requests that are ready together leave in one call where the system can divide it
//! (`UDP_SEGMENT`), which is why many in flight cost less than with `sendmmsg`, and why what is written by hand with a channel for
//! each request takes a third more than the requester that sends again. One request at a time, a
//! [`ReliableRequester`](crate::ReliableRequester) takes 1.04 of a bare `send` and `recv`. With 1,200 bytes the figures are the same to 0.11, but for 0.77 of futures at 10,000. They were
//! taken on a shared machine of two cores, whose speed varies; the ratios are of rounds in turn.
//!
//! 200 callers at once, 100 requests each, over a network that loses a tenth in each direction, on a runtime of two threads: 0.156 s
//! of processor time, 0.144 s by hand; three threads, all answered. With the default window of 64 they take 1.6 s instead of 0.9,
//! as a lost one holds its place until it is sent again: give [`Limits::window`](crate::transaction::Limits::window) as many as
//! there are callers, if the receive buffer holds as many replies.
//!
//! ```text
//! chrt -f 10 taskset -c 0 cargo bench --features tokio --bench in_flight      engine, lateness, callers, fronts, or one of them by name
//! cargo test --test in_flight_memory; cargo test --features tokio --test asynchronous_memory
//! ```
//!
#![cfg_attr(any(feature = "tokio", feature = "sim"), doc = "[`AsyncRequester`]: crate::requester::AsyncRequester")]
#![cfg_attr(not(any(feature = "tokio", feature = "sim")), doc = "[`AsyncRequester`]: crate#features")]
