//! A port at which nothing listens.
#![expect(clippy::disallowed_types, reason = "a real port is the point")]

use std::net::{SocketAddr, UdpSocket};

/// No test beside this one gets it, as it would get one that is free: its socket hears someone else alone, and stays.
pub(crate) fn closed_port() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}
