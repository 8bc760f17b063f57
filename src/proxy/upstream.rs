use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::resolving::{ResolveHandle, Resolver, Resolving};
use super::service_socket::identity;
use super::sockets;
use crate::time::Timestamp;

/// The addresses of the service: one is current, and new sessions go there. When it refuses, the next one is.
#[derive(Debug)]
pub(super) struct Upstream {
    /// At least one, each once.
    addresses: Vec<SocketAddr>,
    current: usize,
    /// The proxy's own address, which is never the service's.
    listener: SocketAddr,
    resolving: Resolving,
}

impl Upstream {
    /// # Errors
    ///
    /// If the name cannot be resolved, and with [`InvalidInput`](io::ErrorKind::InvalidInput) if none of its addresses can
    /// be the service.
    pub(super) fn new(mut resolver: Resolver, listener: SocketAddr) -> io::Result<Self> {
        let addresses = usable(resolver.resolve()?, listener)?;
        Ok(Self { addresses, current: 0, listener, resolving: Resolving::new(resolver) })
    }

    pub(super) fn current(&self) -> SocketAddr {
        self.addresses.get(self.current).copied().unwrap_or(self.listener)
    }

    /// All addresses, the current one first.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = SocketAddr> {
        let (before, from_current) = self.addresses.split_at(self.current.min(self.addresses.len()));
        from_current.iter().chain(before).copied()
    }

    /// A session could be opened to this address, after those before it could not be reached.
    pub(super) fn on_reached(&mut self, address: SocketAddr) {
        if let Some(place) = self.addresses.iter().position(|&known| known == address) {
            self.current = place;
        }
    }

    /// An address has refused a datagram. Once for each address, however many sessions say so.
    pub(super) fn on_refused(&mut self, address: SocketAddr) {
        if self.current() == address {
            self.current = (self.current + 1) % self.addresses.len().max(1);
        }
        self.resolving.want();
    }

    /// The name may have other addresses by now.
    pub(super) fn on_expired(&mut self) {
        self.resolving.want();
    }

    /// Resolves the name if that is wanted, and takes in its new addresses. If it has none that can be used, the old ones
    /// stay; the current one stays current as long as it is among them.
    pub(super) fn follow(&mut self, now: Timestamp) {
        let Some(Ok(addresses)) = self.resolving.follow(now) else { return };
        let Ok(addresses) = usable(addresses, self.listener) else { return };
        let current = self.current();
        self.current = addresses.iter().position(|&address| address == current).unwrap_or(0);
        self.addresses = addresses;
    }

    /// When [`follow`](Self::follow) has something to do, if nothing happens before.
    pub(super) fn next_look(&self, now: Timestamp) -> Option<Timestamp> {
        self.resolving.next_look(now)
    }

    pub(super) fn handle(&self) -> ResolveHandle {
        self.resolving.handle()
    }
}

/// Those of the addresses at which a service can be, each once.
fn usable(addresses: Vec<SocketAddr>, listener: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    let mut why = "the service's name has no address";
    let mut usable: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        match objection(address, listener) {
            Some(objection) => why = objection,
            None if usable.iter().any(|&known| identity(known) == identity(address)) => {}
            None => usable.push(address),
        }
    }
    if usable.is_empty() { Err(io::Error::new(io::ErrorKind::InvalidInput, why)) } else { Ok(usable) }
}

fn objection(address: SocketAddr, listener: SocketAddr) -> Option<&'static str> {
    let ip = address.ip().to_canonical();
    match () {
        () if address.port() == 0 => Some("a service has a port from 1 to 65535, and not 0"),
        () if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) => Some(
            "a broadcast or multicast address is no service: each of its hosts would answer by an address of its own, \
             which no session knows; name one of the hosts",
        ),
        () if sockets::receives(listener, address) => {
            Some("the proxy would be its own service: let it listen on another port, or name another service")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn upstream(addresses: &[&str]) -> io::Result<Upstream> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| at(text)).collect();
        Upstream::new(Resolver::of(&*addresses.leak()), at("127.0.0.1:9"))
    }

    fn shown(upstream: &Upstream) -> String {
        upstream.in_turn().map(|address| address.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn addresses_are_tried_in_turn_and_each_refusal_counts_once() {
        let mut upstream = upstream(&["127.0.0.1:1", "[::1]:1", "127.0.0.1:3"]).unwrap();
        assert_eq!(shown(&upstream), "127.0.0.1:1 [::1]:1 127.0.0.1:3");
        upstream.on_refused(at("127.0.0.1:1"));
        upstream.on_refused(at("127.0.0.1:1"));
        assert_eq!(shown(&upstream), "[::1]:1 127.0.0.1:3 127.0.0.1:1");
        upstream.on_reached(at("127.0.0.1:3"));
        assert_eq!(shown(&upstream), "127.0.0.1:3 127.0.0.1:1 [::1]:1");
        upstream.on_refused(at("127.0.0.1:3"));
        assert_eq!(upstream.current(), at("127.0.0.1:1"));
    }

    #[test]
    fn what_cannot_be_a_service_is_left_out_and_alone_refused() {
        for (address, hint) in [
            ("127.0.0.1:9", "own service"),
            ("[::ffff:127.0.0.1]:9", "own service"),
            ("0.0.0.0:9", "own service"),
            ("127.0.0.1:0", "a port from 1 to 65535"),
            ("255.255.255.255:7", "broadcast or multicast"),
            ("224.0.0.251:7", "broadcast or multicast"),
            ("[ff02::1]:7", "broadcast or multicast"),
            ("[::ffff:224.0.0.1]:7", "broadcast or multicast"),
        ] {
            let refused = upstream(&[address]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{address}");
            assert!(refused.to_string().contains(hint), "{address}: {refused}");
            assert_eq!(shown(&upstream(&[address, "127.0.0.1:7"]).unwrap()), "127.0.0.1:7", "{address}");
        }
        assert!(upstream(&[]).unwrap_err().to_string().contains("no address"));
        let twice = upstream(&["127.0.0.1:7", "[::ffff:127.0.0.1]:7", "127.0.0.1:7"]).unwrap();
        assert_eq!(shown(&twice), "127.0.0.1:7");
    }
}
