//! The operating system, for real, as any user: sockets, their options, waits and cancellation.

mod apart;
mod cancel;
mod cancel_settings;
mod cancel_shared;
mod loopback;
#[path = "../common/offers.rs"]
mod offers;
mod shared;
mod socket_options;
mod spin;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
