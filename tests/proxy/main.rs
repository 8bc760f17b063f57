//! The proxy over real sockets on loopback: whom it forwards to, what it survives, what it costs, and that its links
//! are those of a sink.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

mod cost;
mod fairness;
mod forwarding;
mod kernel_drops;
mod links;
#[path = "../common/offers.rs"]
mod offers;
mod over_time;
mod own_addresses;
#[path = "../common/ports.rs"]
mod ports;
#[cfg(target_os = "linux")]
#[path = "../common/processor.rs"]
mod processor;
mod sessions;
mod shared;
mod survival;
mod tools;
mod upstreams;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
