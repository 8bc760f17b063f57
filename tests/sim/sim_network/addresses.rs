//! Hosts with several addresses.

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, HostId, SimError, SimNet, SimTransport, SimUnconnected, echo};
use udp_retry::transport::{PathError, PathIndex, Received, Route, Transport};

use super::{at, balanced, hear, ip, ms, recording, spec};
use crate::waits::Waits;

#[test]
fn a_server_on_a_wildcard_answers_from_the_very_address_that_was_asked() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = multihomed(&net);
    let mut end = net.bind(server, at("0.0.0.0:7")).unwrap();
    for address in ["10.0.0.2:7", "10.9.0.2:7"] {
        let mut asking = net.connect(client, at(address)).unwrap();
        let asked = ask(&net, &mut asking, &mut end);
        assert_eq!(asked.from, Route::new(asking.local_addr().unwrap(), at(address)));
        end.send(asked.from, b"answer").unwrap();
        assert_eq!(hear(&mut asking, net.now()).map(|(answer, _)| answer), Some(b"answer".to_vec()), "{address}");
    }
    balanced(&net);
}

#[test]
fn a_server_that_lets_its_host_pick_the_source_is_not_received_by_a_client_that_asked_elsewhere() {
    let net = recording(Seed::new(1));
    let (client, server) = multihomed(&net);
    let mut end = net.bind(server, at("0.0.0.0:7")).unwrap();
    for (address, received) in [("10.0.0.2:7", true), ("10.9.0.2:7", false)] {
        let mut asking = net.connect(client, at(address)).unwrap();
        let asked = ask(&net, &mut asking, &mut end);
        // As a server does that knows only who asked.
        end.send(end.route_to(asked.from.remote), b"answer").unwrap();
        assert_eq!(hear(&mut asking, net.now()).is_some(), received, "{address}");
    }
    let foreign: Vec<_> = net.events().into_iter().filter(|event| event.what == Happened::Foreign).collect();
    assert_eq!(foreign.len(), 1);
    assert_eq!(foreign[0].from, at("10.0.0.2:7"), "from the first address");
    balanced(&net);
}

#[test]
fn a_send_leaves_from_any_address_of_its_host_that_its_route_names_and_from_no_other() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = multihomed(&net);
    let mut hearing = net.bind(client, at("10.0.0.1:9")).unwrap();
    for bound in ["0.0.0.0:7", "10.0.0.2:8"] {
        let mut end = net.bind(server, at(bound)).unwrap();
        for local in ["10.0.0.2:1", "10.9.0.2:1"] {
            end.send(Route::new(at("10.0.0.1:9"), at(local)), b"x").unwrap();
            let heard = hearing.wait(&mut [0; 8], net.now()).unwrap().unwrap().from.remote;
            assert_eq!((heard.ip(), heard.port()), (at(local).ip(), at(bound).port()), "the port is the socket's");
        }
        let elsewhere = Route::new(at("10.0.0.1:9"), at("10.0.0.1:7"));
        assert_eq!(end.send(elsewhere, b"x"), Err(PathError::Unreachable), "an address of another host");
    }
    balanced(&net);
}

#[test]
fn a_connected_socket_takes_the_first_address_of_the_peers_family_and_to_its_own_host_the_one_it_asks() {
    let net = SimNet::new(Seed::new(1));
    let (_, server) = multihomed(&net);
    net.address(server, ip("fd00::2")).unwrap();
    net.address(server, ip("fd00::9")).unwrap();
    for (peer, source) in
        [("10.0.0.1:5", "10.0.0.2"), ("[fd00::1]:5", "fd00::2"), ("10.9.0.2:5", "10.9.0.2"), ("[fd00::9]:5", "fd00::9")]
    {
        let transport = net.connect(server, at(peer)).unwrap();
        assert_eq!(transport.local_addr().unwrap().ip(), ip(source), "{peer}");
    }
    let v4_alone = net.host(ip("10.0.0.3")).unwrap();
    assert_eq!(net.connect(v4_alone, at("[fd00::1]:5")).unwrap_err(), SimError::OtherFamily(at("[fd00::1]:5")));
    net.address(v4_alone, ip("fd00::3")).unwrap();
    assert!(net.connect(v4_alone, at("[fd00::1]:5")).is_ok());
    for taken in ["10.0.0.3", "fd00::9"] {
        assert_eq!(net.address(server, ip(taken)), Err(SimError::AddressTaken(ip(taken))));
    }
}

#[test]
fn all_addresses_of_two_hosts_share_one_path_and_one_state_of_the_host() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = multihomed(&net);
    net.path(client, server, Profile { to_server: spec("delay 3ms"), to_client: spec("delay 4ms") }).unwrap();
    net.serve(at("10.9.0.2:7"), echo()).unwrap();
    let mut asking = net.connect(client, at("10.9.0.2:7")).unwrap();
    asking.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(hear(&mut asking, ms(10)).map(|(_, at)| at), Some(ms(7)));
    net.take_down(server).unwrap();
    asking.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(hear(&mut asking, ms(30)), None);
    net.bring_up(server).unwrap();
    net.partition(client, server).unwrap();
    asking.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!((hear(&mut asking, ms(40)), net.stats().partitioned), (None, 1));
    balanced(&net);
}

#[test]
fn a_wildcard_takes_its_port_on_every_address_of_its_host_and_family() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = multihomed(&net);
    net.address(server, ip("fd00::2")).unwrap();
    let bind = |address: &str| net.bind(server, at(address)).map(|end| end.local_addr());
    let in_use = |address: &str| Err(SimError::InUse(at(address)));

    let v4 = net.bind(server, at("0.0.0.0:7")).unwrap();
    assert_eq!(
        (bind("10.9.0.2:7"), bind("0.0.0.0:7"), bind("[::]:7")),
        (in_use("10.9.0.2:7"), in_use("0.0.0.0:7"), in_use("[::]:7"))
    );
    assert_eq!(bind("[fd00::2]:7"), Ok(at("[fd00::2]:7")));
    assert_eq!(net.serve(at("10.9.0.2:7"), echo()), Err(SimError::InUse(at("10.9.0.2:7"))));
    assert!(net.bind(client, at("0.0.0.0:7")).is_ok(), "another host's");
    drop(v4);

    let both = net.bind(server, at("[::]:7")).unwrap();
    assert_eq!((bind("10.9.0.2:7"), bind("0.0.0.0:7")), (in_use("10.9.0.2:7"), in_use("0.0.0.0:7")));
    drop(both);
    let one = net.bind(server, at("10.9.0.2:7")).unwrap();
    assert_eq!((bind("0.0.0.0:7"), bind("[::]:7")), (in_use("0.0.0.0:7"), in_use("[::]:7")));
    drop(one);
    assert_eq!(bind("0.0.0.0:7"), Ok(at("0.0.0.0:7")));

    let v6_alone = net.host(ip("fd00::3")).unwrap();
    let first = net.bind(v6_alone, at("0.0.0.0:7")).unwrap();
    assert_eq!(net.bind(v6_alone, at("0.0.0.0:7")).unwrap_err(), SimError::InUse(first.local_addr()));

    // Ports that are picked are free on all of them.
    let picked = net.bind(server, at("0.0.0.0:0")).unwrap().local_addr();
    let transport = net.connect(server, at("10.0.0.1:5")).unwrap();
    assert_ne!(picked.port(), transport.local_addr().unwrap().port());
    let free: Vec<_> = (0..100).map(|_| net.bind(server, at("0.0.0.0:0")).unwrap()).collect();
    let mut ports: Vec<_> = free.iter().map(|end| end.local_addr().port()).collect();
    ports.push(transport.local_addr().unwrap().port());
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 101);
}

#[test]
fn a_socket_of_both_families_shows_ipv4_clients_as_ipv6_does() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = multihomed(&net);
    net.address(client, ip("fd00::1")).unwrap();
    net.address(server, ip("fd00::2")).unwrap();
    let mut end = net.bind(server, at("[::]:7")).unwrap();
    for (address, seen) in [("10.9.0.2:7", "[::ffff:10.9.0.2]:7"), ("[fd00::2]:7", "[fd00::2]:7")] {
        let mut asking = net.connect(client, at(address)).unwrap();
        let asked = ask(&net, &mut asking, &mut end);
        assert_eq!(asked.from.local, at(seen));
        assert!(asked.from.remote.is_ipv6());
        end.send(asked.from, b"answer").unwrap();
        assert!(hear(&mut asking, net.now()).is_some(), "{address}");
        end.send(end.route_to(asked.from.remote), b"unasked").unwrap();
        assert_eq!(hear(&mut asking, net.now()).is_some(), address.starts_with('['), "{address}");
    }
    assert!(net.stop(at("10.9.0.2:7")), "by any address of it");
    assert_eq!(end.send(end.route_to(at("[fd00::1]:5")), b"x"), Err(PathError::Unsupported), "closed");
    balanced(&net);
}

/// A client's host with one address, and a server's with two.
fn multihomed(net: &SimNet) -> (HostId, HostId) {
    let (client, server) = (net.host(ip("10.0.0.1")).unwrap(), net.host(ip("10.0.0.2")).unwrap());
    net.address(server, ip("10.9.0.2")).unwrap();
    (client, server)
}

fn ask(net: &SimNet, client: &mut SimTransport, server: &mut SimUnconnected) -> Received<Route> {
    client.send(PathIndex::FIRST, b"?").unwrap();
    server.wait(&mut [0; 8], net.now()).unwrap().unwrap()
}
