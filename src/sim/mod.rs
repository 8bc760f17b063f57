//! A whole network in virtual time, in which the very code that users run meets every fate, a thousand times a second,
//! and again bit for bit.
//!
//! [`SimNet`] has hosts, paths with a [`Link`](crate::fault::Link) in each direction, partitions, refusals as a kernel
//! shows them, restarts and moving clients. What a program holds of it:
//!
//! | end | stands for | is made by |
//! |---|---|---|
//! | [`SimTransport`] | a client's connected socket, or one for each of several servers: [`ReliableRequester`](crate::ReliableRequester) runs on it as on a real one | [`SimNet::connect`], [`SimNet::connect_all`] |
//! | [`SimUnconnected`] | the unconnected socket of a server or of an event loop | [`SimNet::bind`]; beside others with [`SimNet::run_in_turns`] |
//! | [`Endpoint`] | a server, or clients by the thousand, called when something happens; [`ResponderEndpoint`] is one that executes once | [`SimNet::serve`], [`SimNet::serve_connected`] |
//!
//! [`explore`] runs a scenario for many seeds and reduces a failure to the few faults that
//! matter; [`exhaust`] tries every fate of the first datagrams instead of any; [`replay`] keeps a failure as a test.
//! [`explore_async`] does it with asynchronous code, of which [`with_tasks`] makes a scenario for the others.
//! [`check_determinism`] finds what makes a scenario differ from run to run, and [`Limits`] end one that has no end.
//!
//! A server is a closure, `net.serve(address, |now, from, datagram, out| out.send(from, datagram))?`. A fault that a test
//! asks for and that meets no datagram proves nothing: [`SimNet::unmet`] lists those. `SimNet::capture` (feature `pcap`) writes
//! a run for Wireshark.
//!
//! A test of a protocol at 30 % loss in each direction, 1,000 seeds:
//!
//! ```
//! use core::time::Duration;
//! use udp_retry::fault::Profile;
//! use udp_retry::sim::{SimNet, explore};
//! use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
//!
//! fn asks_three_times(net: &SimNet) -> Result<(), Box<dyn std::error::Error>> {
//!     let client = net.host("10.0.0.1".parse()?)?;
//!     let server = net.host("10.0.0.2".parse()?)?;
//!     net.path(client, server, Profile::both("loss 30%; delay 20ms ~5ms".parse()?))?;
//!     net.serve("10.0.0.2:1060".parse()?, udp_retry::sim::echo())?;
//!
//!     let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
//!     let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
//!     for id in 0..3 {
//!         match requester.request(&[id, b'?']) {
//!             Ok(reply) => assert_eq!(reply.payload(), [id, b'?']),
//!             Err(error) => assert_eq!(error.transmissions(), 5, "{error}"),
//!         }
//!     }
//!     assert!(net.now().since(Default::default()) < Duration::from_secs(10));
//!     Ok(())
//! }
//!
//! explore(0..1_000, asks_three_times).unwrap_or_else(|failure| panic!("{failure}"));
//! ```

mod client;
mod conditions;
mod endpoint;
mod error;
mod event;
mod explore;
mod fold;
mod limits;
mod network;
mod observer;
mod plan;
mod responding;
mod segment;
mod stats;
mod tasks;
mod transport;
mod turns;
mod unconnected;
mod unmet;
mod waiting;
mod world;

pub use client::{Client, Outcome};
pub use conditions::HostId;
pub use endpoint::{Endpoint, Outbox, echo};
pub use error::SimError;
pub use event::{Happened, SimEvent};
pub use explore::{Counterexample, Divergence, check_determinism, exhaust, explore, explore_async, replay, with_tasks};
pub use limits::{Limits, Stopped};
pub use network::SimNet;
pub use plan::{Choice, Fault};
pub use responding::ResponderEndpoint;
pub use stats::NetStats;
pub use tasks::{SimSleep, SimTask, SimTasks};
pub use transport::SimTransport;
pub use unconnected::SimUnconnected;
pub use unmet::Unmet;
