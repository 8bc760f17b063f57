//! The optional header before requests and replies: its bytes, and what both ends do with it over a bad network.

mod answers;
mod codec;
mod in_flight;
mod many;
mod rebuilt;
mod restarts;
mod round_trips;
mod server;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1060);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
