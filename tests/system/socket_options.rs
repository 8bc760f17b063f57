//! Options of real sockets on loopback, of the path MTU and of broadcasts: what was asked for is what holds.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::SockRef;
use udp_retry::net::{Applied, Fragmentation, fragmentation, kernel_pmtu, set_fragmentation};
use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure, OnUnreachable};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::offers::Offers;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

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
    assert_eq!(transport.send(PathIndex::FIRST, &[0; 65_508]), Err(too_big(65_507)), "the packets are IPv4");
}

#[test]
fn a_broadcast_without_permission_is_denied_until_it_is_given() {
    within(MINUTE, || {
        let listener = UdpSocket::bind("0.0.0.0:0").unwrap();
        let everybody = SocketAddr::from(([127, 255, 255, 255], listener.local_addr().unwrap().port()));
        assert_eq!(ConnectedUdp::connect(everybody).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_broadcast(true).unwrap();
        socket.connect(everybody).unwrap();
        socket.set_broadcast(false).unwrap();
        // The permission is asked for with the route, which another type of service looks up anew.
        SockRef::from(&socket).set_tos_v4(0x10).unwrap();
        let mut client = ConnectedUdp::from_socket(socket).unwrap();
        assert_eq!(client.offer(PathIndex::FIRST, b"0001"), Err(PathError::Denied));

        let policy = RetryPolicy::new(Backoff::constant(200 * MS).unwrap()).with_max_transmissions(3).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(policy)
            .on_unreachable(OnUnreachable::FailFast)
            .over(client)
            .unwrap();
        let error = requester.request(b"0002").unwrap_err();
        assert_eq!((error.failure(), error.execution()), (Failure::Local(PathError::Denied), Execution::NotSent));
        assert!(error.elapsed() >= 600 * MS, "no news of the peer");
        requester.transport().as_socket().set_broadcast(true).unwrap();
        assert_eq!(requester.request(b"0003").unwrap_err().transmissions(), 3);
    });
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
        assert_eq!(transport.send(PathIndex::FIRST, &payload), Err(too_big(most)), "{host} {mode:?}");
        assert_eq!(transport.send(PathIndex::FIRST, &payload[1..]), Ok(()), "{host} {mode:?}");
    }
}

fn too_big(most: u16) -> PathError {
    PathError::too_big(Some(Plpmtu::new(most)))
}

/// Connected to itself: whatever it sends has somewhere to go.
fn connected(host: &str) -> ConnectedUdp {
    let socket = UdpSocket::bind(host).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    ConnectedUdp::from_socket(socket).unwrap()
}
