//! Replies that a connected socket is never shown: the error hints at them.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are the point")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use udp_retry::policy::Backoff;
use udp_retry::requester::Builder;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_reply_from_another_port_is_not_seen_and_the_error_says_that_it_would_not_be() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let (len, client) = server.recv_from(&mut [0; 64]).unwrap();
            // As TFTP does.
            let fresh = UdpSocket::bind("127.0.0.1:0").unwrap();
            fresh.send_to(&b"0001"[..len], client).unwrap();
        });
        let error = hasty().connect(address).unwrap().request(b"0001").unwrap_err();
        answering.join().unwrap();
        assert_eq!((error.strays().total(), error.transmissions()), (0, 1));
        let text = error.to_string();
        assert!(text.ends_with("): a reply from another address or port would not be seen"), "{text}");
        assert!(text.starts_with(&format!("{address}: no reply (1 transmission, ")), "{text}");
    });
}

#[test]
fn a_request_to_a_group_says_where_its_replies_come_from() {
    within(MINUTE, || {
        const GROUP: Ipv4Addr = Ipv4Addr::new(239, 211, 1, 77);
        // It stays on this host.
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        let peer = SocketAddr::from((GROUP, member.local_addr().unwrap().port()));
        let answering = thread::spawn(move || {
            let (len, client) = member.recv_from(&mut [0; 64]).unwrap();
            member.send_to(&b"0001"[..len], client).unwrap();
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.connect(peer).unwrap();
        let transport = ConnectedUdp::from_socket(socket).unwrap();
        let error = hasty().peer(peer).over(transport).unwrap().request(b"0001").unwrap_err();
        answering.join().unwrap();
        let hint = error.hint().unwrap();
        assert!(hint.contains("multicast") && hint.contains("unconnected"), "{hint}");
        assert!(error.to_string().ends_with(hint), "{error}");
    });
}

fn hasty() -> Builder {
    let policy = RetryPolicy::new(Backoff::constant(200 * MS).unwrap()).with_max_transmissions(1).unwrap();
    ReliableRequester::builder(transaction_id(0..4)).policy(policy)
}
