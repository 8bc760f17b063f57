//! A server that has every address of its host answers from the one that was asked. Elsewhere than on Linux and Android
//! the system picks one.
#![cfg(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, reason = "real sockets are used")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use udp_retry::ConnectedUdp;
use udp_retry::net::{Fragmentation, UnconnectedUdp, set_fragmentation};
use udp_retry::size::Plpmtu;
use udp_retry::transport::{PathError, PathIndex, Received, Route, Transport};

use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_connected_client_gets_its_answer_from_the_very_address_it_asked() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        for asked in ["127.0.0.1", "127.0.0.2", "127.1.2.3", "127.0.0.1"] {
            let (mut client, received) = ask(&mut server, asked);
            assert_eq!(received.from.remote, client.local_addr());
            assert_eq!(received.from.local, client.peer_addr(), "the very address, with the port");
            assert!(received.from.interface.is_some());
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
        }
    });
}

#[test]
fn a_server_of_both_families_answers_each_client_from_the_address_it_asked() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("[::]:0").unwrap();
        for asked in ["127.0.0.1", "127.0.0.2", "::1", "127.3.2.1"] {
            let (mut client, received) = ask(&mut server, asked);
            assert_eq!(received.from.remote, seen_by_v6(client.local_addr()));
            assert_eq!(received.from.local, seen_by_v6(client.peer_addr()));
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
        }
    });
}

#[test]
fn a_broadcast_is_answered_from_an_address_that_can_be() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_broadcast(true).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.send_to(b"anyone?", ("127.255.255.255", server.local_addr().port())).unwrap();
        let received = server.wait(&mut [0; 9], server.now().after(LONG)).unwrap().unwrap();
        assert_eq!(received.from.local, SocketAddr::from(([127, 0, 0, 1], server.local_addr().port())));
        server.send(received.from, b"I").unwrap();
        assert_eq!(client.recv_from(&mut [0; 9]).unwrap(), (1, received.from.local));
    });
}

#[test]
fn many_clients_at_many_addresses_get_their_own_answers() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let asked: Vec<_> = (1..=40).map(|n| ask(&mut server, &format!("127.0.0.{n}"))).collect();
        for (mut client, received) in asked.into_iter().rev() {
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
        }
    });
}

#[test]
fn a_send_leaves_from_the_address_that_its_route_names() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        let (remote, port) = (client.local_addr().unwrap(), server.local_addr().port());
        for local in [[127, 0, 0, 7], [127, 9, 9, 9]].map(|local| SocketAddr::from((local, port))) {
            server.send(Route::new(remote, local), b"from there").unwrap();
            assert_eq!(client.recv_from(&mut [0; 20]).unwrap(), (10, local));
        }
        let elsewhere = Route::new(remote, SocketAddr::from(([192, 0, 2, 1], port)));
        assert_eq!(server.send(elsewhere, b"from nowhere"), Err(PathError::Unreachable), "no address of this host");
        server.send(server.route_to(remote), b"from anywhere").unwrap();
        assert_eq!(client.recv_from(&mut [0; 20]).unwrap(), (13, SocketAddr::from(([127, 0, 0, 1], port))));
    });
}

#[test]
fn a_socket_of_the_callers_answers_from_the_address_asked_only_if_he_asks_for_it() {
    within(MINUTE, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let wildcard = socket.local_addr().unwrap();
        let mut server = UnconnectedUdp::from_socket(socket).unwrap();
        assert!(!getsockopt(server.as_socket(), sockopt::Ipv4PacketInfo).unwrap(), "settings are his");
        let (_client, received) = ask(&mut server, "127.0.0.2");
        assert_eq!((received.from.local, received.from.interface), (wildcard, None));

        setsockopt(server.as_socket(), sockopt::Ipv4PacketInfo, &true).unwrap();
        // What else he asks for is beside it.
        setsockopt(server.as_socket(), sockopt::ReceiveTimestampns, &true).unwrap();
        setsockopt(server.as_socket(), sockopt::RxqOvfl, &1).unwrap();
        setsockopt(server.as_socket(), sockopt::Ipv4RecvTtl, &true).unwrap();
        setsockopt(server.as_socket(), sockopt::Ipv4OrigDstAddr, &true).unwrap();
        let (mut client, received) = ask(&mut server, "127.0.0.2");
        assert_eq!(received.from.local, client.peer_addr());
        server.send(received.from, b"answer").unwrap();
        answered(&mut client);
        assert!(getsockopt(&server.into_socket(), sockopt::Ipv4PacketInfo).unwrap());
    });
}

#[test]
fn a_socket_of_both_families_answers_ipv4_clients_by_either_option() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::from_socket(UdpSocket::bind("[::]:0").unwrap()).unwrap();
        setsockopt(server.as_socket(), sockopt::Ipv4PacketInfo, &true).unwrap();
        for _ in 0..2 {
            let (mut client, received) = ask(&mut server, "127.0.0.2");
            assert_eq!(received.from.local, seen_by_v6(client.peer_addr()));
            server.send(received.from, b"answer").unwrap();
            answered(&mut client);
            setsockopt(server.as_socket(), sockopt::Ipv6RecvPacketInfo, &true).unwrap();
        }
    });
}

#[test]
fn what_is_too_long_says_how_much_a_datagram_to_that_family_holds() {
    within(MINUTE, || {
        let mut v4 = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let mut both = UnconnectedUdp::bind("[::]:0").unwrap();
        let too_long = [0; 65_536];
        for asked in ["127.0.0.1", "127.0.0.2"] {
            let (_client, received) = ask(&mut v4, asked);
            for route in [received.from, v4.route_to(received.from.remote)] {
                assert_eq!(v4.send(route, &too_long[..65_508]), Err(too_big(65_507)));
                assert_eq!(v4.send(route, &too_long[..65_507]), Ok(()));
            }
        }
        for (asked, most) in [("::1", 65_527), ("127.0.0.1", 65_507), ("127.0.0.2", 65_507)] {
            let (_client, received) = ask(&mut both, asked);
            for route in [received.from, both.route_to(received.from.remote)] {
                assert_eq!(both.send(route, &too_long[..=usize::from(most)]), Err(too_big(most)), "{asked}");
            }
        }
        // Then a path's limit decides, and the kernel states that of a connected socket only.
        set_fragmentation(both.as_socket(), Fragmentation::Forbidden).unwrap();
        for asked in ["::1", "127.0.0.1"] {
            let (_client, received) = ask(&mut both, asked);
            assert_eq!(both.send(received.from, &too_long), Err(PathError::too_big(None)));
        }
    });
}

/// A client of this address, and what the server receives from it.
#[track_caller]
fn ask(server: &mut UnconnectedUdp, asked: &str) -> (ConnectedUdp, Received<Route>) {
    let asked: IpAddr = asked.parse().unwrap();
    let mut client = ConnectedUdp::connect((asked, server.local_addr().port())).unwrap();
    client.send(PathIndex::FIRST, b"question").unwrap();
    let received = server.wait(&mut [0; 9], server.now().after(LONG)).unwrap().unwrap();
    assert_eq!((received.len, received.actual), (8, 8));
    (client, received)
}

/// The kernel shows a connected client nothing that comes from another address.
#[track_caller]
fn answered(client: &mut ConnectedUdp) {
    let until = client.now().after(Duration::from_secs(5));
    let answer = client.wait(&mut [0; 9], until).unwrap();
    assert_eq!(answer.map(|answer| answer.len), Some(6), "no answer from {}", client.peer_addr());
}

fn seen_by_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V6(_) => address,
    }
}

fn too_big(limit: u16) -> PathError {
    PathError::too_big(Some(Plpmtu::new(limit)))
}
