//! A host whose address, route or device changes under a requester: the next request, or at the latest the one after, is
//! answered, and from then on nothing leaves from an address that is gone.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets are the point")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use socket2::{Domain, SockRef, Socket, Type};
use udp_retry::net::UdpPaths;
use udp_retry::policy::Backoff;
use udp_retry::requester::Builder;
use udp_retry::transport::PathIndex;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::again::this_test;
use crate::hosts::{Host, Server, address, may_have_networks, own_network};
use crate::inside::run;
use crate::watchdog::{MINUTE, within};

const FAR4: &str = "10.99.0.1:1060";
const FAR6: &str = "[fd99::1]:1060";
const NEAR4: &str = "10.9.0.2:1060";
const LINK: &str = "[fe80::2%c0]:1060";

#[test]
fn an_address_is_replaced() {
    each_client(this_test!(), NEAR4, "10.9.0.1", |_| {
        run("ip addr del 10.9.0.1/24 dev c0");
        run("ip addr add 10.9.0.3/24 dev c0");
    });
}

#[test]
fn an_ipv6_address_is_replaced() {
    // As a privacy address is; the kernel sends on from the one that is gone.
    each_client(this_test!(), FAR6, "fd09::1", |_| {
        run(&address("fd09::3/64", "c0"));
        run("ip addr del fd09::1/64 dev c0");
    });
}

#[test]
fn a_link_goes_down_and_another_route_leads_there() {
    for (server, gone) in [(FAR4, "10.9.0.1"), (FAR6, "fd09::1")] {
        each_client(this_test!(), server, gone, |_| run("ip link set c0 down"));
    }
}

#[test]
fn a_cable_is_pulled_and_another_route_leads_there() {
    for (server, gone) in [(FAR4, "10.9.0.1"), (FAR6, "fd09::1")] {
        each_client(this_test!(), server, gone, |far| {
            run("sysctl -qw net.ipv4.conf.all.ignore_routes_with_linkdown=1");
            run("sysctl -qw net.ipv6.conf.all.ignore_routes_with_linkdown=1");
            far.run("ip link set s0 down");
            // The kernel notices that within a second.
            while routes(FAR4).contains("c0") || routes(FAR6).contains("c0") {
                thread::sleep(Duration::from_millis(10));
            }
        });
    }
}

#[test]
fn a_device_is_deleted_and_made_again() {
    for server in [FAR4, FAR6, NEAR4] {
        each_client(this_test!(), server, "192.0.2.1", |far| {
            run("ip link del c0");
            lay(far, 0, 9);
        });
    }
}

#[test]
fn a_device_is_made_again_while_requests_go_on() {
    each_client(this_test!(), FAR6, "192.0.2.1", |far| {
        run("ip link del c0");
        run("ip route add unreachable fd99::1 metric 1");
        lay(far, 0, 9);
        run("ip route del unreachable fd99::1 metric 1");
    });
}

#[test]
fn the_interface_of_a_link_local_peer_comes_back_with_another_number() {
    each_client(this_test!(), LINK, "192.0.2.1", |far| {
        let number = if_nametoindex("c0");
        run("ip link del c0");
        lay(far, 0, 9);
        assert_ne!(if_nametoindex("c0"), number);
    });
}

#[test]
fn an_address_of_the_callers_choice_is_kept() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        let far = Host::new();
        lay(&far, 0, 9);
        run("ip addr add 10.9.0.7/24 dev c0");
        far.run("ip route add 192.0.2.0/24 via 10.9.0.1");
        let server = far.echo(NEAR4);
        // One that routing would not choose, and one that no device has: there the port may change once, in search of another.
        for (chosen, ports) in [("10.9.0.7:0", 1), ("192.0.2.9:0", 2)] {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_ip_transparent_v4(true).unwrap();
            socket.bind(&chosen.parse::<SocketAddr>().unwrap().into()).unwrap();
            let socket = UdpSocket::from(socket);
            socket.connect(server.address).unwrap();
            let mut requester = by_id().over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
            for n in 0..4 {
                assert!(requester.request(format!("000{n} silent").as_bytes()).unwrap_err().is_timeout());
            }
            let sources: BTreeSet<_> = server.received().into_iter().map(|(from, _)| from).collect();
            assert!(sources.iter().all(|from| chosen.starts_with(&from.ip().to_string())), "{sources:?}");
            assert!(sources.len() <= ports, "{sources:?}");
        }
    });
}

/// Which device leads to a server.
fn routes(server: &str) -> String {
    let server: SocketAddr = server.parse().unwrap();
    let output = Command::new("ip").args(["route", "get", &server.ip().to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

type Connect = fn(SocketAddr) -> ReliableRequester;

/// A client of each kind, in a network of its own, before and after what `change` does.
fn each_client(test: &'static str, server: &'static str, gone: &'static str, change: fn(&Host)) {
    within(MINUTE, move || {
        if may_have_networks(test) {
            with_each_client(test, server, gone, change);
        }
    });
}

fn with_each_client(test: &'static str, server: &'static str, gone: &str, change: fn(&Host)) {
    let clients: [(&str, Connect); 7] = [
        ("own", |peer| by_id().connect(peer).unwrap()),
        ("own, kept port", |peer| by_id().keep_port().connect(peer).unwrap()),
        ("own, any reply", |peer| ReliableRequester::builder(any_reply()).policy(soon()).connect(peer).unwrap()),
        ("own, with a handle", |peer| {
            let mut requester = by_id().connect(peer).unwrap();
            drop(requester.cancel_handle().unwrap());
            requester
        }),
        ("lent", |peer| {
            let requester = by_id().connect(peer).unwrap();
            let _ = requester.transport().socket(PathIndex::FIRST).unwrap().as_socket();
            requester
        }),
        ("given", |peer| by_id().over(UdpPaths::from(given(peer, None))).unwrap()),
        ("given, bound", |peer| by_id().over(UdpPaths::from(given(peer, Some(b"c0")))).unwrap()),
    ];
    thread::scope(|scope| {
        for (name, connect) in clients {
            scope.spawn(move || {
                // Bound to a device that is down it cannot take another.
                let held = name == "given, bound" && gone.len() < 10 && (server == FAR4 || server == FAR6);
                if !held {
                    own_network();
                    survives(&format!("{test}, {server}, {name}"), connect, server, gone, change);
                }
            });
        }
    });
}

fn survives(name: &str, connect: Connect, server: &str, gone: &str, change: fn(&Host)) {
    let far = Host::new();
    far.run(&address("10.99.0.1/32", "lo"));
    far.run(&address("fd99::1/128", "lo"));
    lay(&far, 0, 9);
    lay(&far, 1, 8);
    let bind = match server {
        FAR4 | FAR6 => server,
        NEAR4 => "0.0.0.0:1060",
        _ => "[::]:1060",
    };
    let heard = far.echo(bind);
    let peer = server.replace("c0", &if_nametoindex("c0").unwrap().to_string());
    let mut requester = connect(peer.parse().unwrap());
    let ask = |requester: &mut ReliableRequester, text: &str| {
        let answered = requester.request(text.as_bytes()).map(|reply| reply.payload() == text.as_bytes());
        answered.map_err(|error| format!("{name}: {text}: {error}\n{}", error.timeline()))
    };
    assert_eq!(ask(&mut requester, "0001 before"), Ok(true));
    change(&far);
    let first = ask(&mut requester, "0002 after");
    if let Err(error) = &first {
        println!("{error}");
        assert_eq!(ask(&mut requester, "0003 after"), Ok(true));
    }
    // The first may have met the change half way.
    heard.received();
    for text in ["0004 after", "0005 after"] {
        assert_eq!(ask(&mut requester, text), Ok(true));
    }
    is_of_this_host(name, &heard, gone);
}

fn is_of_this_host(name: &str, heard: &Server, gone: &str) {
    let gone: IpAddr = gone.parse().unwrap();
    let received = heard.received();
    assert!(received.iter().all(|(from, _)| from.ip() != gone), "{name}: {received:?}");
}

/// A cable to the far host, with addresses and routes of both families: the one with the higher net is preferred.
fn lay(far: &Host, number: u8, net: u8) {
    let (here, there) = (format!("c{number}"), format!("s{number}"));
    far.cable(&here, &there);
    for (prefix, bits) in [(format!("10.{net}.0."), 24), (format!("fd0{net}::"), 64), ("fe80::".to_owned(), 64)] {
        run(&address(&format!("{prefix}1/{bits}"), &here));
        far.run(&address(&format!("{prefix}2/{bits}"), &there));
    }
    let metric = 100 - net;
    run(&format!("ip route add 10.99.0.1 via 10.{net}.0.2 metric {metric}"));
    run(&format!("ip route add fd99::1 via fd0{net}::2 metric {metric}"));
}

fn given(peer: SocketAddr, device: Option<&[u8]>) -> ConnectedUdp {
    let socket = UdpSocket::bind(if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    SockRef::from(&socket).bind_device(device).unwrap();
    socket.connect(peer).unwrap();
    ConnectedUdp::from_socket(socket).unwrap()
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(soon())
}

fn soon() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(Duration::from_millis(200)).unwrap()).with_max_transmissions(4).unwrap()
}
