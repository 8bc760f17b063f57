//! What a socket of the caller's brings with it spins no wait: 3 s of waiting take at most 5 ms of the thread's processor
//! time.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets and threads are the point")]

use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use udp_retry::net::UnconnectedUdp;
use udp_retry::transaction::Failure;
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::processor::{at_most, spends, spent, undisturbed};
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn errors_in_the_queue_of_a_given_socket_spin_no_wait() {
    within(MINUTE, || {
        thread::scope(|scope| {
            for host in ["127.0.0.1", "::1"] {
                scope.spawn(move || {
                    let failure = silence_costs_nothing("IP_RECVERR, refused", || {
                        let socket = connected(refusing(host));
                        report_errors(&socket);
                        given(socket)
                    });
                    assert_eq!(failure, Failure::Refused);
                });
                scope.spawn(move || {
                    let server = bound(host);
                    silence_costs_nothing("IP_RECVERR, silent", || {
                        let socket = connected(server.local_addr().unwrap());
                        report_errors(&socket);
                        given(socket)
                    });
                });
            }
        });
    });
}

#[test]
fn time_stamps_of_what_was_sent_spin_no_wait() {
    within(MINUTE, || {
        thread::scope(|scope| {
            for host in ["127.0.0.1", "::1"] {
                scope.spawn(move || {
                    let server = bound(host);
                    silence_costs_nothing("time stamps, given", || {
                        let socket = connected(server.local_addr().unwrap());
                        stamp_sends(&socket);
                        given(socket)
                    });
                });
                scope.spawn(move || {
                    let server = bound(host);
                    silence_costs_nothing("time stamps, lent", || {
                        let lent = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
                        stamp_sends(lent.as_socket());
                        lent
                    });
                });
                // Both kinds of entries.
                scope.spawn(move || {
                    silence_costs_nothing("time stamps, refused", || {
                        let socket = connected(refusing(host));
                        stamp_sends(&socket);
                        report_errors(&socket);
                        given(socket)
                    });
                });
            }
        });
    });
}

/// Clones that are never read wake whoever waits: such a socket stays readable, or broken, for good.
#[test]
fn a_clone_that_has_shut_the_socket_spins_no_wait() {
    within(MINUTE, || {
        thread::scope(|scope| {
            for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
                for handle in [false, true] {
                    scope.spawn(move || {
                        let server = bound("127.0.0.1");
                        let mut kept = Vec::new();
                        silence_costs_nothing(&format!("{how:?}, handle: {handle}"), || {
                            let socket = connected(server.local_addr().unwrap());
                            let clone = socket.try_clone().unwrap();
                            let mut transport = given(socket);
                            let handle = handle.then(|| transport.cancel_handle().unwrap());
                            SockRef::from(&clone).shutdown(how).unwrap();
                            kept.push((clone, handle));
                            transport
                        });
                    });
                }
            }
        });
    });
}

#[test]
fn a_server_whose_queue_holds_errors_spins_no_wait() {
    within(MINUTE, || {
        let nobody = refusing("127.0.0.1");
        thread::scope(|scope| {
            for stamps in [false, true] {
                scope.spawn(move || {
                    spends(..=5 * MS, &format!("a server, time stamps: {stamps}"), || {
                        let socket = bound("127.0.0.1");
                        report_errors(&socket);
                        if stamps {
                            stamp_sends(&socket);
                        }
                        let mut server = UnconnectedUdp::from_socket(socket).unwrap();
                        let until = server.now().after(3000 * MS);
                        let (ended, spent) = spent(|| {
                            for _ in 0..10 {
                                let _ = server.send(server.route_to(nobody), b"nobody is there");
                            }
                            loop {
                                let now = server.now();
                                if let Incoming::TimeUp(at) = server.recv(&mut [0; 64], now, until) {
                                    break at;
                                }
                            }
                        });
                        assert!(ended >= until, "{ended:?} {until:?}");
                        ((), spent)
                    });
                });
            }
        });
    });
}

#[test]
fn replies_are_found_behind_what_the_queue_of_errors_holds() {
    within(MINUTE, || {
        let server = bound("127.0.0.1");
        let socket = connected(server.local_addr().unwrap());
        stamp_sends(&socket);
        report_errors(&socket);
        let mut client = given(socket);
        for n in 0..50_u8 {
            client.send(PathIndex::FIRST, &[n]).unwrap();
            let mut buffer = [0; 8];
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&[n, n], from).unwrap();
            let now = client.now();
            let incoming = client.recv(&mut buffer, now, now.after(1000 * MS));
            assert!(matches!(incoming, Incoming::Datagram(received) if received.len == 2), "{incoming:?}");
            assert_eq!(buffer[..2], [n, n]);
        }
    });
}

fn silence_costs_nothing(what: &str, mut make: impl FnMut() -> ConnectedUdp) -> Failure {
    undisturbed(what, || silence(what, make()))
}

/// A request that no one answers, for 3 s; returns how it failed.
fn silence(what: &str, transport: ConnectedUdp) -> Result<Failure, String> {
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(3000 * MS);
    let mut requester = builder.over(transport).unwrap();
    let (error, spent) = spent(|| requester.request(b"0001 anyone?").unwrap_err());
    assert!(error.elapsed() >= 3000 * MS, "{what}: {error}");
    let dues = [0, 100, 300, 700, 1500];
    assert!(error.timeline().transmissions().zip(dues).all(|(sent, due)| sent >= due * MS), "{}", error.timeline());
    let failure = error.failure();
    let socket = requester.into_transport().into_socket();
    // Where it cannot be read, rests make up for it.
    if cfg!(not(udp_retry_portable)) {
        assert_eq!(queued_errors(&socket), 0, "{what}: what is left there wakes every wait, and fills the buffer");
    }
    (error.elapsed() < 3200 * MS).then_some(()).ok_or_else(|| format!("late: {error}"))?;
    at_most(&(..=5 * MS), spent).map(|()| failure)
}

fn queued_errors(socket: &UdpSocket) -> usize {
    (0..1000).take_while(|_| recv(socket, &mut [0; 8], RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT).is_ok()).count()
}

fn given(socket: UdpSocket) -> ConnectedUdp {
    ConnectedUdp::from_socket(socket).unwrap()
}

fn report_errors(socket: &UdpSocket) {
    if socket.local_addr().unwrap().is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true).unwrap();
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true).unwrap();
    }
}

fn stamp_sends(socket: &UdpSocket) {
    let stamps = TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(socket, sockopt::Timestamping, &stamps).unwrap();
}

fn bound(host: &str) -> UdpSocket {
    UdpSocket::bind((host, 0)).unwrap()
}

fn connected(server: SocketAddr) -> UdpSocket {
    let socket = bound(&server.ip().to_string());
    socket.connect(server).unwrap();
    socket
}

/// Where no program listens.
fn refusing(host: &str) -> SocketAddr {
    bound(host).local_addr().unwrap()
}
