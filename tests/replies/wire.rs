//! What tests of the cache have in common.

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::time::Timestamp;

pub(super) const SECRET: [u8; 32] = *b"a secret that is none: of a test";
pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

pub(super) fn peer(address: &str) -> SocketAddr {
    address.parse().unwrap()
}
