//! Requests as futures, under tokio: what they promise on either flavour of its runtime.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are used")]

mod capacity;
#[path = "../common/closed.rs"]
mod closed;
#[path = "../system/echoes.rs"]
mod echoes;
mod ends;
mod hands;
mod names;
mod runtimes;
mod servers;
mod sockets;
mod spans;
mod storm;
mod time;
#[path = "../common/watchdog.rs"]
mod watchdog;
