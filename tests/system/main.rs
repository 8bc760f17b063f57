//! The operating system, for real, as any user: sockets, their options, waits and cancellation.

mod apart;
mod arrival;
mod batches;
mod busy_poll;
mod cancel;
mod cancel_settings;
mod cancel_shared;
#[path = "../common/closed.rs"]
mod closed;
mod concurrent;
mod connected;
mod echoes;
#[path = "../common/forwarding.rs"]
mod forwarding;
mod hints;
mod lateness;
mod loopback;
#[path = "../common/offers.rs"]
mod offers;
mod own_address;
mod path_names;
mod paths;
#[path = "../common/ports.rs"]
mod ports;
#[cfg(target_os = "linux")]
#[path = "../common/processor.rs"]
mod processor;
mod servers;
mod shared;
// What is known of a path is not known elsewhere.
#[cfg(not(udp_retry_portable))]
mod socket_options;
mod spin;
mod unconnected;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
