//! Ports that nobody gets who asks for any.
#![expect(clippy::disallowed_types, reason = "real ports are the point")]

use std::net::{Ipv4Addr, UdpSocket};
use std::process;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

/// One that is free on every address, and given to no other test. The system hands out none of this range, so that it stays
/// free until someone is told of it.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = (process::id() % u32::from(PORTS)) as u16;
    let mut ports = (0..PORTS).map(|_| FIRST + (first + TRIED.fetch_add(1, Relaxed)) % PORTS);
    ports.find(|&port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()).expect("a free port")
}

/// Some tests name those a little below.
const FIRST: u16 = 21_000;
const PORTS: u16 = 9_000;
