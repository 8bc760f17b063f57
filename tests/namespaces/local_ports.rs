//! The ports that a system has to give: few of them, the peer's own among them, and how late replies meet them.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::policy::Backoff;
use udp_retry::transaction::{Execution, Failure, GiveUp};
use udp_retry::transport::{PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::again::this_test;
use crate::hosts::{Server, alone, echo, may_have_networks, own_network};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_client_is_never_connected_to_itself() {
    within(MINUTE, || {
        if !alone(this_test!()) || !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        // Ranges in which the system picks the peer's port soon; nobody listens there.
        for (range, peer) in [("50000 50009", 50_004), ("50000 50001", 50_001)] {
            range_of_ports(range);
            for host in ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"] {
                let peer: SocketAddr = format!("{host}:{peer}").parse().unwrap();
                for _ in 0..100 {
                    let mut client =
                        ConnectedUdp::connect(peer).unwrap_or_else(|error| panic!("{range} {peer}: {error}"));
                    assert_ne!(client.local_addr().port(), peer.port());
                    for _ in 0..10 {
                        client.renew(PathIndex::FIRST, Renewal::Required).unwrap();
                        assert_ne!(client.local_addr().port(), peer.port());
                    }
                }
                let builder = ReliableRequester::builder(any_reply()).policy(once(2 * MS));
                let mut requester = builder.connect(peer).unwrap();
                for _ in 0..50 {
                    let failure = requester.request(b"anybody?").map(|reply| reply.payload().to_vec()).unwrap_err();
                    assert_eq!(failure.failure(), Failure::Refused, "{peer}");
                }
            }
        }
    });
}

#[test]
fn few_ports_serve_any_number_of_requests_and_in_turn() {
    within(MINUTE, || {
        if !alone(this_test!()) || !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        let server = Server::new(UdpSocket::bind("127.0.0.1:1060").unwrap(), echo);
        for few in [1_usize, 2, 20, 100, 200] {
            range_of_ports(&format!("50000 {}", 50_000 + few - 1));
            let builder = ReliableRequester::builder(any_reply()).policy(once(2000 * MS));
            let mut requester = builder.connect(server.address).unwrap();
            let started = Instant::now();
            for n in 0..1000 {
                let request = format!("request {n}");
                assert_eq!(requester.request(request.as_bytes()).unwrap().payload(), request.as_bytes());
            }
            let ports = server.ports();
            let youngest = youngest_return(&ports);
            println!("{few} ports: 1000 requests in {:?}, a port again after {youngest:?} others", started.elapsed());
            assert_eq!(ports.len(), 1000);
            // Once as many as there are were used, the system offers nothing else.
            assert!(youngest.is_some_and(|youngest| youngest + 1 >= few.div_ceil(2)), "{few} ports: {youngest:?}");
        }
    });
}

#[test]
fn no_late_copy_is_taken_for_a_reply_to_one_of_the_next_8192_requests() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        range_of_ports("32768 60999");
        const LATE: usize = 4000;
        const REQUESTS: usize = 20_000;
        // Each is answered twice, the second time when many others have been asked.
        let mut owed = VecDeque::new();
        let server = Server::answering(UdpSocket::bind("127.0.0.1:0").unwrap(), move |socket, from, datagram| {
            owed.push_back((from, datagram.to_vec()));
            if owed.len() > LATE {
                let (from, late) = owed.pop_front().unwrap();
                // No one may be there any more.
                let _ = socket.send_to(&late, from);
            }
            let _ = socket.send_to(datagram, from);
        });
        let builder = ReliableRequester::builder(any_reply()).policy(once(2000 * MS));
        let mut requester = builder.connect(server.address).unwrap();
        let wrong = (0..REQUESTS).filter(|n| {
            let request = n.to_string();
            requester.request(request.as_bytes()).unwrap().payload() != request.as_bytes()
        });
        assert_eq!(wrong.count(), 0);
        let youngest = youngest_return(&server.ports());
        println!("a port came again after {youngest:?} others at the soonest");
        assert!(youngest.is_some_and(|youngest| youngest >= 8192), "{youngest:?}");
    });
}

#[test]
fn a_chosen_port_is_kept_at_once_and_no_stranger_is_ever_received_on_it() {
    within(MINUTE, || {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let over = AtomicBool::new(false);
        let chosen = chosen(peer.local_addr().unwrap());
        let port = chosen.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !over.load(Ordering::Relaxed) {
                    let _ = stranger.send_to(b"forged", port);
                }
            });
            let mut client = ConnectedUdp::from_socket(chosen).unwrap();
            let mut forged = 0;
            let mut longest = Duration::ZERO;
            for n in 0..3000 {
                // The first of each finds out whose choice the port is.
                if n % 3 == 0 {
                    client = ConnectedUdp::from_socket(client.into_socket()).unwrap();
                }
                peer.send_to(b"queued", port).unwrap();
                let started = Instant::now();
                assert_eq!(client.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::SamePort));
                longest = longest.max(started.elapsed());
                assert_eq!((client.local_addr(), client.peer_addr()), (port, peer.local_addr().unwrap()));
                let now = client.now();
                while let Ok(Some(_)) = client.wait(&mut [0; 16], now) {
                    forged += 1;
                }
            }
            over.store(true, Ordering::Relaxed);
            println!("3000 renewals of a chosen port, {longest:?} at the longest");
            assert_eq!(forged, 0);
        });
    });
}

#[test]
fn what_a_stranger_sent_to_a_chosen_port_while_it_had_no_peer_is_dropped() {
    within(MINUTE, || {
        let [peer, stranger] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let chosen = chosen(peer.local_addr().unwrap());
        let (port, clone) = (chosen.local_addr().unwrap(), chosen.try_clone().unwrap());
        let mut client = ConnectedUdp::from_socket(chosen).unwrap();
        client.renew(PathIndex::FIRST, Renewal::Required).unwrap();
        // As it may happen while the socket is connected anew.
        rustix::net::connect_unspec(&clone).unwrap();
        stranger.send_to(b"forged", port).unwrap();
        clone.connect(peer.local_addr().unwrap()).unwrap();
        peer.send_to(b"reply", port).unwrap();
        let mut buffer = [0; 16];
        let until = client.now().after(1000 * MS);
        let received = client.wait(&mut buffer, until).unwrap().unwrap();
        assert_eq!(&buffer[..received.len], b"reply");
    });
}

#[test]
fn without_ids_a_chosen_port_is_an_error_that_says_so() {
    within(MINUTE, || {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = ConnectedUdp::from_socket(chosen(peer.local_addr().unwrap())).unwrap();
        let mut requester = ReliableRequester::builder(any_reply()).policy(once(2000 * MS)).over(client).unwrap();
        for _ in 0..3 {
            let error = requester.request(b"time?").unwrap_err();
            assert_eq!((error.failure(), error.execution()), (Failure::NoFreshPort, Execution::NotSent));
            assert!(error.elapsed() < 1000 * MS);
            let text = error.to_string();
            assert!(
                text.contains("requests without ids need fresh source ports, and this one cannot change"),
                "{text}"
            );
        }
        // With ids it serves.
        let client = requester.into_transport();
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(once(20 * MS)).over(client).unwrap();
        let failure = requester.request(b"0001 hi").unwrap_err().failure();
        assert_eq!(failure, Failure::TimedOut(GiveUp::Unanswered));
    });
}

/// How many others were used between two uses of a port, at the least; `None` if none was used twice.
fn youngest_return(ports: &[u16]) -> Option<usize> {
    let mut latest = HashMap::new();
    let ages = ports.iter().enumerate().filter_map(|(n, port)| latest.insert(port, n).map(|before| n - before - 1));
    ages.min()
}

fn range_of_ports(range: &str) {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
}

/// A port that the caller chose, outside the range that the system hands out.
fn chosen(peer: SocketAddr) -> UdpSocket {
    let socket = (20_000..30_000).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
    socket.connect(peer).unwrap();
    socket
}

/// One transmission, and this long a wait.
fn once(wait: Duration) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(wait).unwrap()).with_max_transmissions(1).unwrap()
}
