//! HOST and `-p PORT`, as the book's programs take them.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Where a role listens or whom it asks.
#[derive(clap::Args)]
pub(crate) struct Endpoint {
    /// Name or address; "" and 0.0.0.0 mean every interface
    pub(crate) host: String,
    /// UDP port
    #[arg(short, long, default_value_t = 1060)]
    pub(crate) port: u16,
}

impl Endpoint {
    /// IPv4 first: a name may have addresses of both kinds, and Python's sockets take that one.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = match self.host.as_str() {
            "" => "0.0.0.0",
            "<broadcast>" => "255.255.255.255",
            host => host,
        };
        let unresolved = |error| io::Error::other(format!("no address for {host:?}: {error}"));
        let mut addresses: Vec<_> = (host, self.port).to_socket_addrs().map_err(unresolved)?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }
}
