//! The operating system, and every one of its traps: sockets, waits, error codes, path-MTU options, seeds.
//!
//! | platform | waits | true length of a truncated datagram | a server with every address answers from | fresh port | given sockets | path MTU |
//! |---|---|---|---|---|---|---|
//! | Linux, Android | a socket timeout for the first half, then `ppoll`, late by some 0.05 ms | from the kernel | the one that was asked | same socket, some 2 µs | keep all settings; a port that the system picked can change | read and steered |
//! | elsewhere | `poll`, late by up to 1 ms where it counts in milliseconds | by a buffer of full size | the one that the system picks | new socket | keep all settings and the port | `Unsupported` |
//!
//! No wait ends early on any of them, and a cancellation ends one at once.
//!
//! | end | peers | sockets |
//! |---|---|---|
//! | [`ConnectedUdp`] | one server | one, connected |
//! | [`UdpPaths`] | several servers, or all addresses of a name | one for each that was asked, connected |
//! | [`UnconnectedUdp`] | any: clients of a server, or very many servers | one |
//!
//! What an error means goes by the names that the platform gives its numbers ([`classify`]), and by where it was met: what
//! forbids a send may be a rule of this host, [`PathError::Denied`](crate::transport::PathError::Denied); what a receive
//! reports is the path's word on something sent earlier, and forbidden there means
//! [`Unreachable`](crate::transport::PathError::Unreachable). A number without a name here is kept, as
//! [`Other`](crate::transport::PathError::Other).
#![expect(clippy::disallowed_types, reason = "this is where sockets live")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

mod busy_poll;
mod calls;
mod cancel;
mod classify;
mod clock;
mod connected;
mod endpoint;
mod options;
mod paths;
mod pauses;
mod peer;
mod pmtu;
mod poll;
#[cfg(feature = "tokio")]
mod pollable;
mod ports;
mod seed;
mod segments;
mod swallowed;
#[cfg_attr(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)), path = "sys/linux.rs")]
#[cfg_attr(any(udp_retry_portable, not(any(target_os = "linux", target_os = "android"))), path = "sys/portable.rs")]
mod sys;
mod trouble;
mod unconnected;
#[cfg(feature = "tokio")]
mod watched;

pub use busy_poll::BusyPoll;
pub use cancel::{Cancel, CancelHandle};
pub use classify::classify;
pub use clock::count_time_asleep;
pub use connected::ConnectedUdp;
pub use options::set_receive_buffer;
pub use paths::UdpPaths;
pub use pmtu::{Applied, fragmentation, kernel_pmtu, set_fragmentation};
#[cfg(feature = "tokio")]
pub use pollable::Pollable;
pub use seed::{system_entropy, system_seed};
pub use unconnected::UnconnectedUdp;

pub use crate::transport::Fragmentation;
pub(crate) use pauses::Pauses;
#[cfg(feature = "proxy")]
pub(crate) use {
    calls::{drain, uninterrupted},
    options::{allow_large_sends, any_address},
    sys::{answer_from, ask_own_address, kernel_dropped, receive_asked},
};
#[cfg(feature = "tokio")]
pub(crate) use {paths::Answer, pollable::Look, watched::Sockets};

/// Stands for an address that the system does not give.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
