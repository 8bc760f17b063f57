//! The operating system, for real, as any user: sockets, their options, waits and cancellation.

mod apart;
mod cancel;
mod cancel_settings;
mod hints;
mod loopback;
#[path = "../common/offers.rs"]
mod offers;
mod socket_options;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
