//! The operating system, for real, as any user: sockets, their options, waits and cancellation.

mod cancel;
mod cancel_settings;
mod loopback;
mod socket_options;
mod watchdog;
