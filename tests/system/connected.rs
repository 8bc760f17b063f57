//! A client's end over loopback: fresh ports, what is queued, errors of earlier datagrams, and when waits end.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use udp_retry::transaction::{Execution, Failure};
#[cfg(target_os = "linux")]
use udp_retry::transport::Incoming;
use udp_retry::transport::{PathError, PathIndex, Renewal, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, any_reply};

#[cfg(target_os = "linux")]
use crate::offers::Offers;
use crate::ports::free_port;
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_renewal_leaves_from_another_port_with_nothing_queued() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let mut ports = vec![client.local_addr().port()];
        for _ in 0..200 {
            server.send_to(b"to the old port", client.local_addr()).unwrap();
            client.renew(PathIndex::FIRST, Renewal::Required).unwrap();
            let port = client.local_addr().port();
            assert!(!ports.contains(&port), "port {port} again");
            assert_eq!(queued(&mut client), Ok(None));
            ports.push(port);
        }
        server.send_to(b"to a port of long ago", ("127.0.0.1", ports[0])).unwrap();
        server.send_to(b"to the present one", client.local_addr()).unwrap();
        assert_eq!(queued(&mut client), Ok(Some(b"to the present one".to_vec())));
        assert_eq!(queued(&mut client), Ok(None));
    });
}

#[test]
fn a_port_of_the_callers_choice_cannot_be_renewed_and_the_requester_says_so() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fixed = UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
        fixed.connect(server.local_addr().unwrap()).unwrap();
        let transport = ConnectedUdp::from_socket(fixed).unwrap();
        let mut requester = ReliableRequester::builder(any_reply()).over(transport).unwrap();
        let error = requester.request(b"time?").unwrap_err();
        assert_eq!(error.failure(), Failure::NoFreshPort);
        assert_eq!((error.transmissions(), error.execution()), (0, Execution::NotSent));
    });
}

#[test]
fn a_datagram_queued_before_connecting_is_nobodys_reply() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"forged", socket.local_addr().unwrap()).unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let mut transport = ConnectedUdp::from_socket(socket).unwrap();
        assert_eq!(queued(&mut transport), Ok(None));
    });
}

#[test]
fn an_unconnected_socket_is_not_taken() {
    within(MINUTE, || {
        let error = ConnectedUdp::from_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn a_name_without_a_usable_address_is_an_error_of_the_system() {
    within(MINUTE, || {
        assert!(ConnectedUdp::connect("this is no address").is_err());
        assert!(ConnectedUdp::connect(&[][..]).is_err());
    });
}

#[test]
fn a_pending_error_does_not_hide_the_reply_behind_it() {
    within(MINUTE, || {
        let (mut client, server) = pair();
        client.send(PathIndex::FIRST, b"first").unwrap();
        let mut buffer = [0; 16];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"reply", from).unwrap();
        drop(server);
        client.send(PathIndex::FIRST, b"second").unwrap(); // refused, with the reply in the queue
        assert_eq!(queued(&mut client), Err(PathError::Refused));
        assert_eq!(queued(&mut client), Ok(Some(b"reply".to_vec())));
        assert_eq!(queued(&mut client), Ok(None));
    });
}

/// On a socket of its own a transport learns whose the error was, and so need not be asked twice.
#[test]
#[cfg(target_os = "linux")]
fn a_send_that_an_earlier_error_swallowed_is_issued_again() {
    within(MINUTE, || {
        for lent in [false, true] {
            let (mut client, server) = pair();
            if lent {
                let _ = client.as_socket();
            }
            let address = server.local_addr().unwrap();
            drop(server);
            client.send(PathIndex::FIRST, b"refused").unwrap();
            let server = UdpSocket::bind(address).unwrap();
            let kept = !lent && cfg!(not(udp_retry_portable));
            let swallowed = if kept { None } else { Some(PathError::Refused) };
            assert_eq!(client.offer(PathIndex::FIRST, b"hello"), Ok(swallowed));
            assert_eq!(client.offer(PathIndex::FIRST, b"again"), Ok(None));
            let mut buffer = [0; 16];
            for expected in [b"hello", b"again"] {
                let (len, _) = server.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], expected);
            }
            if kept {
                let now = client.now();
                let reported = client.recv(&mut buffer, now, now.after(1000 * MS));
                let (path, error) = (Some(PathIndex::FIRST), PathError::Refused);
                assert_eq!(reported, Incoming::PathError { path, error, quoted: 7 });
                assert_eq!(&buffer[..7], b"refused");
            }
            assert_eq!(queued(&mut client), Ok(None), "once");
        }
    });
}

#[test]
fn a_moment_in_the_past_never_waits_but_takes_what_is_queued() {
    within(MINUTE, || {
        let (mut client, server) = pair();
        let start = Instant::now();
        assert_eq!(queued(&mut client), Ok(None));
        assert!(start.elapsed() < 50 * MS);
        server.send_to(b"there", client.local_addr()).unwrap();
        assert_eq!(queued(&mut client), Ok(Some(b"there".to_vec())));
    });
}

#[test]
fn waits_end_when_they_should_and_never_before() {
    within(MINUTE, || {
        let (mut client, _server) = pair();
        for wait in [MS / 1000, MS / 2, MS, 7 * MS, 60 * MS, 300 * MS] {
            let until = client.now().after(wait);
            assert_eq!(client.wait(&mut [0; 4], until), Ok(None));
            let late = client.now().since(until);
            assert!(client.now() >= until, "{wait:?} ended early");
            assert!(late < 200 * MS, "{wait:?} ended {late:?} late");
        }
    });
}

#[test]
fn a_receive_buffer_is_granted_as_reported() {
    within(MINUTE, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let small = udp_retry::net::set_receive_buffer(&socket, 8 * 1024).unwrap();
        let large = udp_retry::net::set_receive_buffer(&socket, 128 * 1024).unwrap();
        assert!(small >= 8 * 1024 && large >= 128 * 1024 && small < large, "{small} {large}");
    });
}

fn pair() -> (ConnectedUdp, UdpSocket) {
    // No one else gets it when the server is gone.
    let server = UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
    let client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
    (client, server)
}

/// What is there at this moment; loopback delivers before `send` returns.
fn queued(transport: &mut ConnectedUdp) -> Result<Option<Vec<u8>>, PathError> {
    let mut buffer = [0; 64];
    let past = transport.now();
    Ok(transport.wait(&mut buffer, past)?.map(|heard| buffer[..heard.len].to_vec()))
}
