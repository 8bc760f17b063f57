//! Whom it forwards to.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use udp_retry::fault::Profile;
use udp_retry::proxy::Proxy;

use crate::ports::free_port;
use crate::tools::{LARGEST, MS, Running, Service, alone, ask, client, delayed, hear, socket};
use crate::watchdog::{MINUTE, within};

#[test]
fn requests_and_replies_pass_and_come_from_the_proxys_own_addresses() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder(), service.address);
        let unconnected = socket("127.0.0.1:0");
        let mut buffer = [0; 16];
        unconnected.send_to(b"ping", proxy.address).unwrap();
        assert_eq!(unconnected.recv_from(&mut buffer).unwrap(), (4, proxy.address));
        assert_eq!(&buffer[..4], b"ping");
        // A connected socket hears its peer and nobody else.
        let connected = client(proxy.address);
        for n in 0..100_u8 {
            assert_eq!(ask(&connected, &[n; 3]), [n; 3]);
        }
        let stats = proxy.stop();
        let peers = service.stop();
        assert_eq!(peers.len(), 2, "{peers:?}");
        assert!(
            !peers.contains(&connected.local_addr().unwrap()) && !peers.contains(&unconnected.local_addr().unwrap())
        );
        assert_eq!((stats.to_server.passed, stats.to_client.passed, stats.opened, stats.path_errors), (101, 101, 2, 0));
    });
}

#[test]
fn a_thousand_clients_at_once_get_their_own_answers() {
    within(MINUTE, || {
        // In a process of its own, because it takes more descriptors than some systems allow at first.
        alone("forwarding::a_thousand_clients_at_once_get_their_own_answers", 4096, || {
            let service = Service::echo("127.0.0.1:0");
            let proxy = Running::start(Proxy::builder(), service.address);
            let clients: Vec<UdpSocket> = (0..1000).map(|_| client(proxy.address)).collect();
            let message = |n: usize, round: u8| [&n.to_be_bytes()[..], &[round]].concat();
            for round in 0..3 {
                for (n, client) in clients.iter().enumerate() {
                    client.send(&message(n, round)).unwrap();
                }
                for (n, client) in clients.iter().enumerate() {
                    assert_eq!(hear(client), message(n, round));
                }
            }
            let stats = proxy.stop();
            assert_eq!((stats.sessions, stats.opened, stats.to_client.passed), (1000, 1000, 3000));
            assert_eq!(service.stop().len(), 1000);
        });
    });
}

#[test]
fn datagrams_of_every_length_pass_unchanged() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        // Straight from the buffer, and through the delay line.
        for delay in [0, 1] {
            let profile = Profile::both(delayed(delay * MS));
            let proxy = Running::start(Proxy::builder().profile(profile), service.address);
            let client = client(proxy.address);
            for len in [0, 1, 1472, 9000, LARGEST] {
                let datagram: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
                assert!(ask(&client, &datagram) == datagram, "{len} bytes");
            }
            proxy.stop();
        }
    });
}

#[test]
fn each_family_reaches_each_other() {
    within(MINUTE, || {
        for upstream in ["127.0.0.1:0", "[::1]:0"] {
            let service = Service::echo(upstream);
            for listen in ["127.0.0.1:0", "[::1]:0"] {
                let proxy = Running::listen(Proxy::builder(), listen, service.address);
                assert_eq!(proxy.address.is_ipv4(), listen == "127.0.0.1:0");
                let client = client(proxy.address);
                assert_eq!(ask(&client, b"ping"), b"ping", "{listen} to {upstream}");
                proxy.stop();
            }
        }
    });
}

#[test]
fn it_listens_on_the_first_address_that_the_system_accepts_and_never_on_its_own_service() {
    within(MINUTE, || {
        let taken = socket("127.0.0.1:0");
        let (taken_at, free) = (taken.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
        let bind = |listen: &[SocketAddr], upstream: SocketAddr| Proxy::builder().bind(listen, upstream);
        let proxy = bind(&[taken_at, free], taken_at).unwrap();
        assert_ne!(proxy.local_addr(), taken_at);
        assert_eq!(proxy.upstream_addr(), taken_at);
        assert!(bind(&[taken_at], taken_at).is_err());
        assert!(bind(&[], taken_at).is_err());
        let (own, none): (SocketAddr, &[SocketAddr]) = (proxy.local_addr(), &[]);
        drop(proxy);
        assert!(bind(&[own], own).is_err());
        assert!(Proxy::builder().bind(free, none).is_err());
    });
}

#[test]
fn it_is_never_its_own_service_by_whatever_address() {
    within(MINUTE, || {
        let port = free_port();
        let bind = |listen: &str, upstream: &str| {
            Proxy::builder().bind(format!("{listen}:{port}"), format!("{upstream}:{port}")).map(|_| ())
        };
        for (listen, own) in [
            ("0.0.0.0", &["127.0.0.1", "127.8.8.8", "0.0.0.0", "[::ffff:127.0.0.1]"][..]),
            ("[::]", &["[::1]", "[::]", "127.0.0.1", "[::ffff:127.0.0.1]"]),
            ("127.0.0.1", &["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"]),
            ("[::1]", &["[::1]", "[::]"]),
        ] {
            for upstream in own {
                let refused = bind(listen, upstream).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{listen} {upstream}: {refused}");
            }
            for other in ["127.0.0.2", "192.0.2.77", "[2001:db8::7]"] {
                // What another host has, or another address of this one where one alone is listened on.
                if listen.contains("127.0.0.1") || listen == "[::1]" || other != "127.0.0.2" {
                    bind(listen, other).unwrap_or_else(|error| panic!("{listen} {other}: {error}"));
                }
            }
        }
        // By another port it is another service.
        assert!(Proxy::builder().bind("0.0.0.0:0", "127.0.0.1:9").is_ok());
    });
}

#[test]
fn a_proxy_can_move_to_another_thread_and_shows_its_counts() {
    within(MINUTE, || {
        fn sendable<T: Send>(value: T) -> T {
            value
        }
        let proxy = sendable(sendable(Proxy::builder()).bind("127.0.0.1:0", "127.0.0.1:9").unwrap());
        let shown = format!("{proxy:?} {:?}", Proxy::builder().observer(|_, _| ()));
        assert!(shown.contains(&format!("{:?}", proxy.stats())) && shown.contains("max_sessions: 1024"), "{shown}");
    });
}
