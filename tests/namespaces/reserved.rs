//! A reserved port that was taken with privileges is not lost without them, whatever is cancelled or renewed.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use udp_retry::transaction::Failure;
use udp_retry::transport::{PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::again::{Ending, again, part, this_test};
use crate::inside::Inside;
use crate::watchdog::{MINUTE, within};

const RESERVED: u16 = 777;

#[test]
fn a_reserved_port_stays_ours_without_the_privilege_that_took_it() {
    within(MINUTE, || {
        if part().as_deref() == Some(UNPRIVILEGED) {
            return ask();
        }
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind(("127.0.0.1", RESERVED)).unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let around = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
        let asker = again(network.test, UNPRIVILEGED, &around).stdin(Stdio::from(OwnedFd::from(socket))).spawn();
        let mut asker = Ending(asker.unwrap());
        let answered = answer(&server, &mut asker.0);
        assert!(asker.0.wait().unwrap().success());
        assert_eq!(answered, REQUESTS);
    });
}

/// Until the asker has ended; each request comes from the reserved port.
fn answer(server: &UdpSocket, asker: &mut Child) -> u32 {
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut answered, mut buffer) = (0, [0; 64]);
    while asker.try_wait().unwrap().is_none() {
        let Ok((len, from)) = server.recv_from(&mut buffer) else { continue };
        assert_eq!(from.port(), RESERVED);
        if &buffer[4..len] == b"answer" {
            server.send_to(&buffer[..len], from).unwrap();
            answered += 1;
        }
    }
    answered
}

/// The socket is the standard input.
fn ask() {
    let denied = UdpSocket::bind(("127.0.0.1", RESERVED + 1)).unwrap_err();
    assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied, "the privilege is still there");
    let socket = UdpSocket::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
    let builder = builder.deadline(Duration::from_millis(400));
    let mut requester = builder.over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
    let handle = requester.cancel_handle().unwrap();
    for n in 0..REQUESTS {
        match n % 3 {
            0 => {
                handle.cancel();
                assert_eq!(requester.request(b"0000 never sent").unwrap_err().failure(), Failure::Cancelled);
            }
            1 => {
                let handle = handle.clone();
                let canceller = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(30));
                    handle.cancel();
                });
                assert_eq!(requester.request(b"0000silence").unwrap_err().failure(), Failure::Cancelled);
                canceller.join().unwrap();
                assert!(requester.request(b"0000silence").unwrap_err().is_timeout());
            }
            _ => {
                let renewed = requester.transport_mut().renew(PathIndex::FIRST, Renewal::Required);
                assert_eq!(renewed, Ok(Renewed::SamePort));
            }
        }
        let request = [&n.to_be_bytes()[..], b"answer"].concat();
        assert_eq!(requester.request(&request).unwrap().payload(), request);
        assert_eq!(requester.transport().local_addr().port(), RESERVED);
    }
}

const REQUESTS: u32 = 9;
const UNPRIVILEGED: &str = "unprivileged";
