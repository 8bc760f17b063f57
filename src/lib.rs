//! Reliable request/reply over UDP.
//!
//! A program sends one datagram and wants one answer. The network loses, delays, duplicates, reorders, cuts and
//! forges datagrams; servers stall, restart and move. This crate turns that into *the right answer, as soon as the
//! path allows, or an error that says exactly what happened*.
//!
//! **At least once: a server may run a request twice.** A reply that is lost looks like a request that is lost. With a
//! [`Responder`](replies::Responder) at the server it is exactly once, or an error that says so: the conditions are
//! [`replies`]'s.
//!
//! ```no_run
//! use udp_retry::{ReliableRequester, transaction_id};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Bytes 0 to 4 of every request are an id that its reply repeats; a fresh one is written over the dots each time.
//! let mut requester = ReliableRequester::connect("192.0.2.7:1060", transaction_id(0..4).stamped())?;
//! let reply = requester.request(b"....ping")?;
//! println!("{:?} after {} transmissions", reply.payload(), reply.transmissions());
//! # Ok(())
//! # }
//! ```
//!
//! The same requester runs over a bad network, seeded, so that a test can prove what the program does there:
//!
//! ```
//! use udp_retry::{Impairments, LossySink, Probability, ReliableRequester, RetryPolicy, Seed, ConnectedUdp, transaction_id};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # let address = server.local_addr()?;
//! # std::thread::spawn(move || {
//! #     let mut buffer = [0; 64];
//! #     while let Ok((len, from)) = server.recv_from(&mut buffer) {
//! #         let _ = server.send_to(&buffer[..len], from);
//! #     }
//! # });
//! let lossy = LossySink::new(ConnectedUdp::connect(address)?, Impairments::loss(Probability::HALF), Seed::new(7));
//! let id = transaction_id(0..4).stamped();
//! let mut requester = ReliableRequester::builder(id).policy(RetryPolicy::LAN).over(lossy)?;
//! let reply = requester.request(b"....ping")?;
//! # assert_eq!(reply.payload()[4..], *b"ping");
//! # Ok(())
//! # }
//! ```
//!
//! Thousands of requests at once, to one server or to many, are a [`ConcurrentRequester`]'s: one thread, one socket; or, as
//! futures, an [`AsyncRequester`]'s. Several
//! servers of one service, or all addresses of a name, are one requester's, which asks another where one does not answer:
//! [`ReliableRequester::connect_any`].
//!
//! # In scope
//!
//! Transactions, one request and one reply, on both ends; the schedule of retransmissions; which datagram answers
//! which request; what a bad network does to all that; how large a datagram may be.
//!
//! # Out of scope
//!
//! Byte streams, order between requests, exactly-once execution by any server, encryption and authentication. Whoever can read
//! the path can forge a reply.
//!
//! # Layers
//!
//! A module uses only those above it in this table. Down to `fault` they know no clock, no socket and no thread: they
//! build without the standard library, run in virtual time and repeat bit for bit.
//!
//! | module | decides |
//! |---|---|
//! | [`time`], [`entropy`], [`size`] | what a moment, a draw, a size are |
//! | [`policy`] | when to send again, when to stop |
//! | [`transport`] | the seam between logic and the world |
//! | [`envelope`] | what both ends may say beside request and reply |
//! | [`servers`] | which of several servers to ask |
//! | [`pmtu`] | which size of datagram a path carries |
//! | [`replies`] | whether a server executes a request, or answers it as before |
//! | [`transaction`] | what to do next in one transaction |
//! | [`fault`] | what happens to a datagram on a bad network |
//! | [`sim`] | a whole network in virtual time |
//! | [`net`] | the operating system, and every one of its traps |
//! | [`requester`] | the fronts that programs hold: one request at a time, or thousands in flight, blocking or as futures |
//! | [`serving`] | nothing, but is the loop of a server that executes each request once |
//! | [`path_mtu`] | nothing, but measures which size of datagram a path carries |
//! | [`guide`] | nothing, but has pages to read: what retries do in an outage, which of several servers to ask, how large a datagram may be, which front to take, and what a server can promise |
//! | [`proxy`] | a bad network in front of any service |
//!
//! # Features
//!
//! All of them only add. Without any, the crate is `#![no_std]` with `alloc`: time, entropy, size, policy, transport, envelope, servers,
//! pmtu, replies and transaction, for an event loop or a network stack of one's own.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | on | [`net`], [`requester`], [`serving`], [`path_mtu`], [`guide`], and `std::io::Error` made from a [`RequestError`] |
//! | `fault` | on | [`fault`]: links, `LossySink`, impairments as text; steered while they run (`fault::Control`) with `std` |
//! | `sim` | off | [`sim`]; brings `std` and `fault` |
//! | `proxy` | off | [`proxy`]; brings `std`, `fault` and `trace` |
//! | `trace` | off | `fault::Trace`: recorded faults, read back as scripts; brings `fault` |
//! | `pcap` | off | `fault::Capture`: what sink, proxy and simulation do to datagrams, for Wireshark; brings `std` and `fault` |
//! | `tracing` | off | a span for each request and an event for everything that happens in it, for `tracing` subscribers; brings `std` |
//! | `tokio` | off | `AsyncRequester`: thousands of requests in flight as futures, under tokio; brings `std` |
//! | `cli` | off | the tool `udp-retry`; brings `sim`, `proxy` and `pcap` |
//!
//! # Platforms
//!
//! Linux and Android wait by `ppoll`, to within some 0.05 ms, and read and steer the path MTU. Every other platform
//! of the standard library works too, with the precision of its socket timeouts and without the path MTU; its code
//! is checked by the compiler, not run. What needs no standard library runs wherever `alloc` does and an atomic
//! compare-and-swap of a pointer's size is to be had; 64-bit atomics are made of it if need be. The oldest compiler is
//! Rust 1.85.
//!
// A link to what is not built leads to the feature that builds it.
#![cfg_attr(not(feature = "fault"), doc = "[`fault`]: #features")]
#![cfg_attr(not(feature = "proxy"), doc = "[`proxy`]: #features")]
#![cfg_attr(not(feature = "sim"), doc = "[`sim`]: #features")]
#![cfg_attr(not(any(feature = "tokio", feature = "sim")), doc = "[`AsyncRequester`]: #features")]
#![cfg_attr(
    not(feature = "std"),
    doc = "[`guide`]: #features\n[`net`]: #features\n[`path_mtu`]: #features\n[`requester`]: #features\n[`serving`]: #features\n[`ConcurrentRequester`]: #features\n[`ReliableRequester::connect_any`]: #features"
)]
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// A library never panics on any input. Not in Cargo.toml: the table there binds tests and benches too.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation, clippy::cast_sign_loss))]

extern crate alloc;

mod atomic;
pub mod entropy;
pub mod envelope;
#[cfg(feature = "fault")]
pub mod fault;
#[cfg(feature = "std")]
pub mod guide;
#[cfg(feature = "std")]
pub mod net;
#[cfg(feature = "std")]
pub mod path_mtu;
pub mod pmtu;
pub mod policy;
#[cfg(all(test, target_os = "linux", feature = "std"))]
#[path = "../tests/common/processor.rs"]
mod processor;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod replies;
#[cfg(feature = "std")]
pub mod requester;
pub mod servers;
#[cfg(feature = "std")]
pub mod serving;
#[cfg(feature = "sim")]
pub mod sim;
pub mod size;
pub mod time;
pub mod transaction;
pub mod transport;

pub use entropy::Seed;
#[cfg(feature = "fault")]
pub use fault::{Impairments, LossySink, Probability};
#[cfg(feature = "std")]
pub use net::ConnectedUdp;
pub use policy::{RetryBudget, RetryPolicy};
#[cfg(any(feature = "tokio", feature = "sim"))]
pub use requester::AsyncRequester;
#[cfg(feature = "std")]
pub use requester::{ConcurrentRequester, ReliableRequester, Reply};
pub use transaction::{RequestError, any_reply, transaction_id};

#[cfg(all(doctest, feature = "sim"))]
#[doc = include_str!("../README.md")]
struct Readme;
