//! Several servers, or one by several families, over networks of the test's own.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::net::UdpPaths;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};

use crate::again::this_test;
use crate::hosts::{Host, address, may_have_networks, own_network};
use crate::inside::run;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const V6: PathIndex = PathIndex::FIRST;
const V4: PathIndex = PathIndex::new(1);

/// As a host behind a tunnel that drops IPv6: the route is there, and nothing comes back.
#[test]
fn a_name_with_one_mute_family_is_reached_by_the_other_and_the_mute_one_when_it_speaks() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        let host = cabled();
        let server4 = host.echo("10.9.0.2:1060");
        let mut client = resolved(&["[fd09::2]:1060", "10.9.0.2:1060"]);
        // What is sent arrives, and no answer to it.
        host.run("ip link set there address 02:00:00:00:00:02");
        run("ip neigh replace fd09::2 lladdr 02:00:00:00:00:02 dev here nud permanent");
        host.run("ip -6 route add blackhole fd09::1");
        let server6 = host.echo("[fd09::2]:1060");
        client.send(V6, b"ping").unwrap();
        assert_eq!(expect(&mut client, 100 * MS), None);
        client.send(V4, b"ping").unwrap();
        assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(V4)));
        assert_eq!(server4.received().len(), 1);
        host.run("ip -6 route del blackhole fd09::1");
        assert_eq!(client.renew(V6, Renewal::Advised), Ok(Renewed::FreshPort));
        client.send(V6, b"ping").unwrap();
        assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(V6)));
        let ports = server6.ports();
        assert!(ports.len() == 2 && ports[0] != ports[1], "{ports:?}");
    });
}

#[test]
fn a_family_that_this_host_lacks_fails_its_own_sends_and_works_when_it_is_there() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        let disable = |disable: &str| fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", disable).unwrap();
        let host = Host::new();
        disable("1");
        host.cable("here", "there");
        run(&address("10.9.0.1/24", "here"));
        host.run(&address("10.9.0.2/24", "there"));
        let (_server4, mut client) = (host.echo("10.9.0.2:1060"), resolved(&["[fd09::2]:1060", "10.9.0.2:1060"]));
        for _ in 0..2 {
            assert_eq!(client.send(V6, b"ping"), Err(PathError::Unreachable));
            client.send(V4, b"ping").unwrap();
            assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(V4)));
        }
        disable("0");
        run(&address("fd09::1/64", "here"));
        host.run(&address("fd09::2/64", "there"));
        let _server6 = host.echo("[fd09::2]:1060");
        client.send(V6, b"ping").unwrap();
        assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(V6)));
    });
}

/// Over IPv6 Linux sends on from an address that is gone.
#[test]
fn a_lost_address_is_left_after_a_wait_for_several_in_vain() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        let host = cabled();
        let (_one, _other) = (host.echo("[fd09::2]:1060"), host.echo("[fd09::2]:1061"));
        let mut client = resolved(&["[fd09::2]:1060", "[fd09::2]:1061"]);
        let paths = [PathIndex::new(0), PathIndex::new(1)];
        for path in paths {
            client.send(path, b"ping").unwrap();
            assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(path)));
        }
        run("ip addr del fd09::1/64 dev here");
        run(&address("fd09::3/64", "here"));
        for path in paths {
            client.send(path, b"ping").unwrap();
        }
        assert_eq!(expect(&mut client, 200 * MS), None);
        for path in paths {
            client.send(path, b"ping").unwrap();
            assert_eq!(expect(&mut client, 5000 * MS), Some(Ok(path)));
        }
    });
}

/// Two hosts of both families.
fn cabled() -> Host {
    let host = Host::new();
    host.cable("here", "there");
    for (own, other) in [("10.9.0.1/24", "10.9.0.2/24"), ("fd09::1/64", "fd09::2/64")] {
        run(&address(own, "here"));
        host.run(&address(other, "there"));
    }
    host
}

/// Of a name with these addresses.
fn resolved(addresses: &[&str]) -> UdpPaths {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    UdpPaths::resolve_with(["server:1060"], move |_| Ok(addresses.clone())).unwrap()
}

/// Whose datagram, or error, came in this time.
fn expect(client: &mut UdpPaths, wait: Duration) -> Option<Result<PathIndex, PathError>> {
    let now = client.now();
    match client.recv(&mut [0; 64], now, now.after(wait)) {
        Incoming::Datagram(received) => Some(Ok(received.from)),
        Incoming::PathError { error, .. } => Some(Err(error)),
        Incoming::TimeUp(_) | Incoming::Cancelled => None,
    }
}
