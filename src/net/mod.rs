//! The operating system, and every one of its traps: sockets, waits, error codes, path-MTU options, seeds.
//!
//! | platform | waits | cancelled | true length of a cut datagram | fresh port | path MTU |
//! |---|---|---|---|---|---|
//! | Linux, Android | a socket timeout for the first half, then `ppoll`, late by some 0.05 ms | at once | from the kernel | same socket, some 2 µs | read and steered |
//! | elsewhere | socket timeout, late by milliseconds | within 10 ms | by a buffer of full size | new socket | `Unsupported` |
//!
//! No wait ends early on any of them.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where sockets and clocks live")]

mod cancel;
mod classify;
mod options;
mod pmtu;
mod seed;
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "sys/linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "sys/portable.rs")]
mod sys;
mod udp;

pub use cancel::CancelHandle;
pub use classify::classify;
pub use options::set_receive_buffer;
pub use pmtu::{Applied, Fragmentation, fragmentation, kernel_pmtu, set_fragmentation};
pub use seed::system_seed;
pub use udp::{ConnectedUdp, Route, UnconnectedUdp};
