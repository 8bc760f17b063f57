//! Which size of datagram a path carries, measured with a far end, over a simulated network and over loopback.

mod history;
mod loopback;
mod lossy;
mod network;
mod refused;
mod services;
mod silent;
#[path = "../common/watchdog.rs"]
mod watchdog;
