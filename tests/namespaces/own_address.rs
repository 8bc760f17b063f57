//! A server that has every address of its host, of which some come and go, and some mean nothing without an interface.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and time are used")]

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::process::Command;
use std::thread;
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::net::UnconnectedUdp;
use udp_retry::transport::{PathError, PathIndex, Received, Route, Transport};

use crate::again::this_test;
use crate::inside::{Inside, run};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_client_over_ipv6_gets_its_answer_from_the_very_address_it_asked() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        for address in ["fd77::1", "fd77::2"] {
            add(address, "lo");
        }
        add("fd78::1", &network.device);
        let mut server = UnconnectedUdp::bind("[::]:0").unwrap();
        for asked in ["fd77::1", "fd77::2", "::1", "fd78::1", "fd77::1"] {
            let asked: IpAddr = asked.parse().unwrap();
            let mut client = ConnectedUdp::connect((asked, server.local_addr().port())).unwrap();
            client.send(PathIndex::FIRST, b"question").unwrap();
            let received = receive(&mut server);
            assert_eq!((received.from.remote, received.from.local), (client.local_addr(), client.peer_addr()));
            assert!(received.from.interface.is_some());
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
        }
    });
}

#[test]
fn a_link_local_address_is_answered_from_over_its_interface() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        for address in ["fe80::77", "fd78::1"] {
            add(address, &network.device);
        }
        let link = number(&network.device);
        let mut server = UnconnectedUdp::bind("[::]:0").unwrap();
        let asked = SocketAddrV6::new("fe80::77".parse().unwrap(), server.local_addr().port(), 0, link);
        // Of the client's addresses, the second means the same over each interface.
        for client in [SocketAddrV6::new(*asked.ip(), 0, 0, link), SocketAddrV6::new(FD78, 0, 0, 0)] {
            let socket = UdpSocket::bind(client).unwrap();
            socket.connect(asked).unwrap();
            let mut client = ConnectedUdp::from_socket(socket).unwrap();
            client.send(PathIndex::FIRST, b"question").unwrap();
            let received = receive(&mut server);
            assert_eq!(received.from.local, asked.into());
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
        }
    });
}

#[test]
fn a_group_is_answered_from_an_address_that_can_be_and_the_interface_is_known() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let link = number(&network.device);
        let mut server = UnconnectedUdp::bind("[::]:0").unwrap();
        let client = UdpSocket::bind("[::]:0").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        let all_nodes = SocketAddrV6::new("ff02::1".parse().unwrap(), server.local_addr().port(), 0, link);
        client.send_to(b"anyone?", all_nodes).unwrap();
        let received = receive(&mut server);
        assert_eq!((received.from.local, received.from.interface), (server.local_addr(), NonZeroU32::new(link)));
        server.send(received.from, b"I").unwrap();
        assert_eq!(client.recv_from(&mut [0; 9]).unwrap().0, 1);
    });
}

#[test]
fn an_address_that_is_gone_before_the_answer_is_an_error_and_the_server_goes_on() {
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "direct") else { return };
        let mut server = UnconnectedUdp::bind("[::]:0").unwrap();
        for (address, bits) in [("10.77.0.1", 32), ("fd77::1", 128)] {
            add(address, "lo");
            let asked: IpAddr = address.parse().unwrap();
            // Its own address stays.
            let own = if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
            let client = UdpSocket::bind(own).unwrap();
            client.send_to(b"question", (asked, server.local_addr().port())).unwrap();
            let received = receive(&mut server);
            run(&format!("ip addr del {address}/{bits} dev lo"));
            assert_eq!(server.send(received.from, b"answer"), Err(PathError::Unreachable), "{address}");
            add(address, "lo");
            server.send(received.from, b"answer").unwrap();
            client.set_read_timeout(Some(LONG)).unwrap();
            let answered_from = SocketAddr::new(asked, server.local_addr().port());
            assert_eq!(client.recv_from(&mut [0; 9]).unwrap(), (6, answered_from));
        }
    });
}

#[track_caller]
fn receive(server: &mut UnconnectedUdp) -> Received<Route> {
    server.wait(&mut [0; 9], server.now().after(LONG)).unwrap().expect("a datagram")
}

#[track_caller]
fn answered(client: &mut ConnectedUdp) {
    let until = client.now().after(Duration::from_secs(5));
    let answer = client.wait(&mut [0; 9], until).unwrap();
    assert_eq!(answer.map(|answer| answer.len), Some(6), "no answer from {}", client.peer_addr());
}

/// Gives the host an address. One of IPv6 is there a moment later.
fn add(address: &str, device: &str) {
    run(&format!("ip addr add {address} dev {device}{}", if address.contains(':') { " nodad" } else { "" }));
    let is_there = || {
        let asked = Command::new("ip").args(["route", "get", address, "oif", device]).output().unwrap();
        asked.stdout.starts_with(b"local ")
    };
    while !is_there() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn number(device: &str) -> u32 {
    fs::read_to_string(format!("/sys/class/net/{device}/ifindex")).unwrap().trim().parse().unwrap()
}

const FD78: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1);
