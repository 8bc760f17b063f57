//! Path-MTU options of real sockets on loopback: what was asked for is what holds.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::io;
use std::net::UdpSocket;

use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, fragmentation, kernel_pmtu, set_fragmentation};
use udp_retry::size::Plpmtu;
use udp_retry::transport::{PathError, Transport};

#[test]
fn every_fragmentation_mode_holds_as_it_was_set() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let socket = connected(host).into_socket();
        assert_eq!(fragmentation(&socket).unwrap(), Fragmentation::ByEstimate, "the system's default");
        for mode in
            [Fragmentation::Forbidden, Fragmentation::Allowed, Fragmentation::Probing, Fragmentation::ByEstimate]
        {
            assert_ne!(fragmentation(&socket).unwrap(), mode, "the step must change something");
            assert_eq!(set_fragmentation(&socket, mode).unwrap(), Applied::Enforced);
            assert_eq!(fragmentation(&socket).unwrap(), mode);
        }
    }
}

#[test]
fn a_dual_stack_socket_obeys_for_mapped_peers_too() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.connect(("::ffff:127.0.0.1", server.local_addr().unwrap().port())).unwrap();
    assert_eq!(set_fragmentation(&socket, Fragmentation::Forbidden).unwrap(), Applied::Enforced);
    assert_eq!(fragmentation(&socket).unwrap(), Fragmentation::Forbidden);
    let mut transport = ConnectedUdp::from_socket(socket).unwrap();
    assert_eq!(transport.send(0, &[0; 65_508]), Err(too_big(65_507)), "the packets are IPv4");
}

#[test]
fn the_estimate_on_loopback_is_that_of_its_interface() {
    assert_eq!(kernel_pmtu(connected("127.0.0.1:0").as_socket()).unwrap().bytes(), 65_535);
    assert_eq!(kernel_pmtu(connected("[::1]:0").as_socket()).unwrap().bytes(), 65_536);
}

#[test]
fn without_a_peer_there_is_no_estimate() {
    let error = kernel_pmtu(&UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn too_long_a_message_is_refused_with_the_payload_that_would_have_fitted() {
    for (host, mode, most) in [
        ("127.0.0.1:0", Fragmentation::ByEstimate, 65_507),
        ("127.0.0.1:0", Fragmentation::Forbidden, 65_507),
        ("[::1]:0", Fragmentation::ByEstimate, 65_527),
        ("[::1]:0", Fragmentation::Forbidden, 65_488),
    ] {
        let mut transport = connected(host);
        set_fragmentation(transport.as_socket(), mode).unwrap();
        let payload = vec![0; usize::from(most) + 1];
        assert_eq!(transport.send(0, &payload), Err(too_big(most)), "{host} {mode:?}");
        assert_eq!(transport.send(0, &payload[1..]), Ok(()), "{host} {mode:?}");
    }
}

fn too_big(most: u16) -> PathError {
    PathError::TooBig { limit: Some(Plpmtu::new(most)) }
}

/// Connected to itself: whatever it sends has somewhere to go.
fn connected(host: &str) -> ConnectedUdp {
    let socket = UdpSocket::bind(host).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    ConnectedUdp::from_socket(socket).unwrap()
}
