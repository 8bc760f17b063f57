//! Reliable request/reply over UDP.
//!
//! A program sends one datagram and wants one answer. The network loses, delays, duplicates, reorders, cuts and
//! forges datagrams; servers stall, restart and move. This crate turns that into *the right answer, as soon as the
//! path allows, or an error that says exactly what happened*.
//!
//! **At least once: a server may run a request twice.** A reply that is lost looks like a request that is lost.
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
//! let mut requester = ReliableRequester::builder(id).policy(RetryPolicy::LAN).over(lossy);
//! let reply = requester.request(b"....ping")?;
//! # assert_eq!(reply.payload()[4..], *b"ping");
//! # Ok(())
//! # }
//! ```
//!
//! # In scope
//!
//! Transactions, one request and one reply, on both ends; the schedule of retransmissions; which datagram answers
//! which request; what a bad network does to all that; how large a datagram may be.
//!
//! # Out of scope
//!
//! Byte streams, order between requests, exactly-once execution, encryption and authentication. Whoever can read
//! the path can forge a reply.
//!
//! # Layers
//!
//! A module uses only those above it in this table. The first six know no clock, no socket and no thread, so they
//! run in virtual time and repeat bit for bit.
//!
//! | module | decides |
//! |---|---|
//! | [`time`], [`entropy`], [`size`] | what a moment, a draw, a size are |
//! | [`policy`] | when to send again, when to stop |
//! | [`transport`] | the seam between logic and the world |
//! | [`request`] | what to do next in one transaction |
//! | [`fault`] | what happens to a datagram on a bad network |
//! | [`sim`] | a whole network in virtual time |
//! | [`net`] | the operating system, and every one of its traps |
//! | [`requester`] | the front that programs hold |
//! | [`guide`] | nothing: pages to read, such as what retries do in an outage |
//! | `proxy` | a bad network in front of any service; with the feature of that name |
//!
//! # Platforms
//!
//! Linux and Android wait by `ppoll`, to within some 0.05 ms, and read and steer the path MTU. Every other platform
//! of the standard library works too, with the precision of its socket timeouts and without the path MTU; its code
//! is checked by the compiler, not run. The oldest compiler is Rust 1.85.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// A library never panics on any input. Not in Cargo.toml: the table there binds tests and benches too.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation, clippy::cast_sign_loss))]

extern crate alloc;

pub mod entropy;
pub mod fault;
pub mod guide;
pub mod net;
pub mod policy;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod requester;
pub mod sim;
pub mod size;
pub mod time;
pub mod transaction;
pub mod transport;

pub use entropy::Seed;
pub use fault::{Impairments, LossySink, Probability};
pub use net::ConnectedUdp;
pub use policy::{RetryBudget, RetryPolicy};
pub use requester::{ReliableRequester, Reply};
pub use transaction::{RequestError, any_reply, transaction_id};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
