//! Whoever cannot wait fails as soon as the network says that no one is there, also by what the kernel keeps to itself
//! unless it is asked; and the right request fails. In network namespaces.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use udp_retry::net::Fragmentation;
use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure, GiveUp, OnUnreachable, Request};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RequestError, RetryPolicy, transaction_id};

use crate::again::this_test;
use crate::forged::{Forger, Icmp, Quoted};
use crate::inside::{Inside, PORT, run, run_at};
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(8);

#[test]
fn a_socket_of_our_own_hears_at_once_that_no_one_is_there_whoever_says_so() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else { return };
        hasten_neighbours(&network);
        for route in ["unreachable 10.66.0.0/24", "prohibit 10.67.0.0/24"] {
            run_at("PM_ROUTER", &format!("ip route add {route}"));
        }
        for route in ["unreachable fd66::/64", "prohibit fd67::/64"] {
            run_at("PM_ROUTER", &format!("ip -6 route add {route}"));
        }
        // A router says it five times a second at most. The last two are a neighbour of this host, and one of the router, that are switched off.
        let nowhere = [
            ("10.66.0.1", "fd66::1", "unreachable by the router's word"),
            ("10.67.0.1", "fd67::1", "prohibited"),
            ("10.65.0.1", "fd65::1", "beyond a router without a route"),
            ("10.211.1.77", "fd00:211:1::77", "beyond a neighbour that is off"),
            ("10.211.2.77", "fd00:211:2::77", "beyond the router's neighbour that is off"),
        ];
        thread::scope(|scope| {
            for (v4, v6, what) in nowhere {
                for address in [v4, v6] {
                    scope.spawn(move || {
                        let mut requester = hasty().connect((address, PORT)).unwrap();
                        let failed = requester.request(b"0001 anyone?").unwrap_err();
                        assert_unreachable(&failed, &format!("{address}, {what}"));
                    });
                }
            }
        });
    });
}

#[test]
fn a_socket_that_others_use_too_hears_what_the_kernel_keeps_to_no_one() {
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "chain") else { return };
        run_at("PM_ROUTER", "ip route add unreachable 10.66.0.0/24");
        run_at("PM_ROUTER", "ip -6 route add unreachable fd66::/64");
        run_at("PM_ROUTER", "ip route add prohibit 10.67.0.0/24");
        run_at("PM_ROUTER", "ip -6 route add prohibit fd67::/64");
        let ask = |address: &str, lent: bool| {
            let transport = ConnectedUdp::connect((address, PORT)).unwrap();
            let transport = if lent {
                let _ = transport.as_socket();
                transport
            } else {
                ConnectedUdp::from_socket(transport.into_socket()).unwrap()
            };
            let mut requester = hasty().deadline(700 * MS).over(transport).unwrap();
            requester.request(b"0001 anyone?").unwrap_err()
        };
        // Not all at once: a router says it five times, then once a second.
        for lent in [false, true] {
            thread::scope(|scope| {
                for prohibited in ["10.67.0.1", "fd67::1"] {
                    scope.spawn(move || assert_unreachable(&ask(prohibited, lent), prohibited));
                }
                for silent in ["10.66.0.1", "fd66::1"] {
                    scope.spawn(move || {
                        let failed = ask(silent, lent);
                        assert_eq!(failed.failure(), Failure::TimedOut(GiveUp::Deadline), "{silent}");
                        assert_eq!(failed.last_path_error(), None, "{silent}");
                    });
                }
            });
        }
    });
}

#[test]
fn a_late_error_of_the_request_before_does_not_end_this_one() {
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "direct") else { return };
        for (address, error) in [("127.0.0.1", Icmp::v4(3, 1)), ("127.0.0.1", Icmp::v4(3, 3)), ("::1", Icmp::v6(1, 1))]
        {
            let server = UdpSocket::bind((address, 0)).unwrap();
            server.set_read_timeout(Some(5000 * MS)).unwrap();
            let mut requester = hasty().keep_port().connect(server.local_addr().unwrap()).unwrap();
            let serving = thread::spawn(move || {
                let mut buffer = [0; 64];
                // The first one is not answered; the second one when the error of the first has come, and the third meets
                // one of its own.
                let (len, client) = server.recv_from(&mut buffer).unwrap();
                let late = error_of(error, client, &server, &buffer[..len]);
                let (len, same) = server.recv_from(&mut buffer).unwrap();
                assert_eq!(same, client, "the port stays");
                late.send(3);
                thread::sleep(100 * MS);
                server.send_to(&buffer[..len], client).unwrap();
                let (len, _) = server.recv_from(&mut buffer).unwrap();
                error_of(error, client, &server, &buffer[..len]).send(1);
            });
            let first = requester.request(Request::new(b"0001").deadline(50 * MS));
            assert_eq!(first.unwrap_err().failure(), Failure::TimedOut(GiveUp::Deadline));
            let reply = requester.request(b"0002").unwrap();
            assert_eq!((reply.payload(), reply.transmissions()), (&b"0002"[..], 1), "{}", reply.timeline());
            let third = requester.request(b"0003").unwrap_err();
            assert!(matches!(third.failure(), Failure::Refused | Failure::Unreachable), "{third}");
            assert_eq!(third.execution(), Execution::Refused, "all is known of it");
            assert!(third.elapsed() < DEADLINE / 4, "{third}");
            serving.join().unwrap();
        }
    });
}

#[test]
fn errors_that_piled_up_unread_keep_no_datagram_from_leaving() {
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "direct") else { return };
        let narrow = |overhead: u16| PathError::too_big(Some(Plpmtu::new(1280 - overhead)));
        for (address, error, means) in [
            ("127.0.0.1", Icmp::v4(3, 3), PathError::Refused),
            ("::1", Icmp::v6(1, 4), PathError::Refused),
            ("127.0.0.1", Icmp::v4(3, 4).with_mtu(1280), narrow(28)),
            ("::1", Icmp::v6(2, 0).with_mtu(1280), narrow(48)),
        ] {
            let server = UdpSocket::bind((address, 0)).unwrap();
            server.set_read_timeout(Some(1000 * MS)).unwrap();
            let mut client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
            client.set_fragmentation(Fragmentation::Forbidden).unwrap();
            client.send(PathIndex::FIRST, b"0001").unwrap();
            let (len, from) = server.recv_from(&mut [0; 9]).unwrap();
            error_of(error, from, &server, &b"0001"[..len]).send(2000);
            assert_eq!(client.send(PathIndex::FIRST, b"0002"), Ok(()), "at once");
            assert_eq!(server.recv_from(&mut [0; 9]).unwrap(), (4, from));
            // Some of them are kept, each with its datagram.
            let (mut buffer, mut kept) = ([0; 64], 0);
            let now = client.now();
            while let Incoming::PathError { error, quoted, .. } = client.recv(&mut buffer, now, now) {
                assert_eq!((error, &buffer[..quoted]), (means, &b"0001"[..]));
                kept += 1;
            }
            assert!((1..=64).contains(&kept), "{kept} errors");
        }
    });
}

#[test]
fn each_of_several_errors_is_of_its_own_kind_and_datagram() {
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "direct") else { return };
        let kinds = [
            ("127.0.0.1", [Icmp::v4(3, 3), Icmp::v4(3, 1), Icmp::v4(12, 0)]),
            ("::1", [Icmp::v6(1, 4), Icmp::v6(1, 0), Icmp::v6(1, 1)]),
        ];
        let met = [PathError::Refused, PathError::Unreachable, PathError::Unreachable];
        for ((address, errors), met_in_a_send) in kinds.into_iter().flat_map(|kinds| [(kinds, false), (kinds, true)]) {
            let server = UdpSocket::bind((address, 0)).unwrap();
            let mut client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
            let from = client.local_addr();
            let payloads: [&[u8]; 3] = [b"0001", b"two 0002", b"three 0003"];
            for payload in payloads {
                client.send(PathIndex::FIRST, payload).unwrap();
            }
            for (payload, error) in payloads.into_iter().zip(errors) {
                error_of(error, from, &server, payload).send(1);
            }
            if met_in_a_send {
                client.send(PathIndex::FIRST, b"0004").unwrap();
            }
            let (mut buffer, now) = ([0; 64], client.now());
            let mut read = Vec::new();
            while let Incoming::PathError { error, quoted, .. } = client.recv(&mut buffer, now, now) {
                read.push((error, buffer[..quoted].to_vec()));
            }
            let own: Vec<_> = met.into_iter().zip(payloads.map(<[u8]>::to_vec)).collect();
            assert_eq!(read, own, "{address}, met in a send: {met_in_a_send}");
        }
    });
}

fn error_of(error: Icmp, client: SocketAddr, server: &UdpSocket, payload: &[u8]) -> Forger {
    Forger::new(error, Quoted { client, server: server.local_addr().unwrap(), payload })
}

/// A host gives up a neighbour after three tries of a second each.
fn hasten_neighbours(network: &Inside) {
    let router = format!("{}rs", std::env::var("PM_PREFIX").unwrap());
    for family in ["ipv4", "ipv6"] {
        run(&format!("sysctl -qw net.{family}.neigh.{}.retrans_time_ms=100", network.device));
        run_at("PM_ROUTER", &format!("sysctl -qw net.{family}.neigh.{router}.retrans_time_ms=100"));
    }
}

fn hasty() -> udp_retry::requester::Builder {
    let policy = RetryPolicy::new(Backoff::constant(2000 * MS).unwrap()).with_max_transmissions(4).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy).deadline(DEADLINE);
    builder.on_unreachable(OnUnreachable::FailFast)
}

#[track_caller]
fn assert_unreachable(failed: &RequestError, what: &str) {
    assert_eq!(failed.failure(), Failure::Unreachable, "{what}: {failed}\n{}", failed.timeline());
    assert_eq!((failed.transmissions(), failed.execution()), (1, Execution::Refused), "{what}: {failed}");
    assert!(failed.elapsed() < DEADLINE / 4, "{what}: {failed}");
}
