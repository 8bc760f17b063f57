//! The examples as people run them.

#[path = "../common/built.rs"]
mod built;
mod dns;
mod listings;
mod ntp;
mod program;
mod protocols;
mod server;
mod stun;
