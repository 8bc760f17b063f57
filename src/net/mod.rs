//! The operating system, and every one of its traps: sockets, waits, error codes, path-MTU options, seeds.
//!
//! | platform | waits | cancelled | true length of a cut datagram | fresh port | path MTU |
//! |---|---|---|---|---|---|
//! | Linux, Android | a socket timeout for the first half, then `ppoll`, late by some 0.05 ms | at once | from the kernel | same socket, some 2 µs | read and steered |
//! | elsewhere | socket timeout, late by milliseconds | within 10 ms | by a buffer of full size | new socket | `Unsupported` |
//!
//! No wait ends early on any of them.
#![expect(clippy::disallowed_types, reason = "this is where sockets live")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

mod calls;
mod cancel;
mod classify;
mod clock;
mod connected;
mod endpoint;
mod options;
mod peer;
mod pmtu;
mod ports;
mod seed;
mod swallowed;
#[cfg_attr(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)), path = "sys/linux.rs")]
#[cfg_attr(any(udp_retry_portable, not(any(target_os = "linux", target_os = "android"))), path = "sys/portable.rs")]
mod sys;
mod trouble;
mod unconnected;

pub use cancel::{Cancel, CancelHandle};
pub use classify::classify;
pub use connected::ConnectedUdp;
pub use options::set_receive_buffer;
pub use pmtu::{Applied, Fragmentation, fragmentation, kernel_pmtu, set_fragmentation};
pub use seed::{system_entropy, system_seed};
pub use unconnected::{Route, UnconnectedUdp};
#[cfg(feature = "proxy")]
pub(crate) use {
    calls::{drain, uninterrupted},
    options::{allow_large_sends, any_address},
    ports::RecentPorts,
};

/// Stands for an address that the system does not give.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
