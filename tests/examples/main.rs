//! The examples as people run them.

#[path = "../common/built.rs"]
mod built;
#[path = "../common/closed.rs"]
mod closed;
mod dns;
mod listings;
mod name_servers;
mod ntp;
#[path = "../common/ports.rs"]
mod ports;
mod program;
mod protocols;
mod server;
mod several;
mod stun;
