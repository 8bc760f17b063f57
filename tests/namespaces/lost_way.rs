//! A way that is gone while a fresh port is asked for, and there again: the transport still talks to its peer, and to
//! nobody else. In network namespaces.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are used")]

use std::net::UdpSocket;
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::transport::{PathError, PathIndex, Renewal, Renewed, Transport};

use crate::again::this_test;
use crate::inside::{Inside, PORT, run};
use crate::offers::Offers;
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

#[test]
fn a_transport_that_lost_its_way_while_it_renewed_is_connected_again_once_there_is_one() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let _server = network.echo(&network.server4);
        let mut client = ConnectedUdp::connect((network.server4.as_str(), PORT)).unwrap();
        block(&network);
        assert_eq!(client.renew(PathIndex::FIRST, Renewal::Required), Err(PathError::Unreachable));
        assert_eq!(client.offer(PathIndex::FIRST, b"0001"), Err(PathError::Unreachable));
        open(&network);
        assert_eq!(client.offer(PathIndex::FIRST, b"0001"), Ok(None));
        let until = client.now().after(Duration::from_secs(5));
        assert_eq!(client.wait(&mut [0; 9], until).unwrap().map(|heard| heard.len), Some(4));
        assert_eq!(client.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::FreshPort));
    });
}

#[test]
fn without_its_way_it_hears_from_nobody_else() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        socket.connect((network.server4.as_str(), PORT)).unwrap();
        let mut client = ConnectedUdp::from_socket(socket).unwrap();
        block(&network);
        assert_eq!(client.renew(PathIndex::FIRST, Renewal::Required), Err(PathError::Unreachable));
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"forged", ("127.0.0.1", port)).unwrap();
        let soon = client.now().after(Duration::from_millis(50));
        assert_eq!(client.wait(&mut [0; 9], soon), Ok(None));
        assert!(client.now() >= soon, "it waits all the same");
        open(&network);
        let soon = client.now().after(Duration::from_millis(50));
        assert_eq!(client.wait(&mut [0; 9], soon), Ok(None), "what came meanwhile is dropped");
    });
}

fn block(network: &Inside) {
    run(&format!("ip route add unreachable {}", network.server4));
}

fn open(network: &Inside) {
    run(&format!("ip route del unreachable {}", network.server4));
}
