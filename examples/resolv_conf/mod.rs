//! The name servers of this system (resolv.conf(5)).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::{fs, io};

use super::asking::Manner;
use super::support::outcome::Outcome;

/// In the order of the file. One that this host cannot reach at all, such as by a link that is gone, hides no other.
pub(crate) fn system_servers(manner: &Manner) -> Outcome<Vec<SocketAddr>> {
    let text = fs::read("/etc/resolv.conf").map_err(|error| io::Error::other(format!("/etc/resolv.conf: {error}")))?;
    let (mut servers, mut last) = (Vec::new(), "/etc/resolv.conf names no server: say --server ADDRESS".into());
    for server in nameservers(&String::from_utf8_lossy(&text)) {
        match manner.addresses(&server.parse()?, 53) {
            Ok(addresses) => servers.extend(addresses),
            Err(error) => last = error.to_string(),
        }
    }
    if servers.is_empty() { Err(io::Error::other(last).into()) } else { Ok(servers) }
}

/// The addresses behind `nameserver`, the first three as the system has it. A line that holds none is passed over, as the
/// system does: the others are as good as ever.
pub(crate) fn nameservers(text: &str) -> Vec<&str> {
    text.lines().filter_map(nameserver).take(MOST).collect()
}

fn nameserver(line: &str) -> Option<&str> {
    let mut words = line.split(['#', ';']).next()?.split_whitespace();
    let keyword = words.next()?;
    words.next().filter(|address| keyword == "nameserver" && is_address(address))
}

/// With a scope or without.
fn is_address(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, scope)) => address.parse::<Ipv6Addr>().is_ok() && !scope.is_empty(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

const MOST: usize = 3;
