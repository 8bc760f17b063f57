//! The proxy where a system has few ports, and where its service's address becomes its own.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use udp_retry::proxy::Proxy;

use crate::again::this_test;
use crate::hosts::{alone, may_have_networks, own_network};
use crate::inside::run;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

/// A port that the system does not hand out, so that all that it does are the proxy's.
fn at(host: u32) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::from(0x7f01_0000 + host), 20_000)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn few_ports(few: usize) {
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("50000 {}", 50_000 + few - 1)).unwrap();
}

fn sessions(most: usize) -> NonZeroUsize {
    NonZeroUsize::new(most).unwrap()
}

/// In a network and a process that no other test has: a program that one of them starts holds the sockets of all for a moment,
/// and with them the few ports.
fn apart(test: &'static str, check: impl FnOnce() + Send + 'static) {
    within(MINUTE, move || {
        if alone(test) && may_have_networks(test) {
            own_network();
            check();
        }
    });
}

#[track_caller]
fn run_until(proxy: &mut Proxy, is_done: impl Fn(&Proxy) -> bool) {
    let started = Instant::now();
    while !is_done(proxy) {
        assert!(started.elapsed() < Duration::from_secs(10), "{proxy:?}");
        proxy.run_for(2 * MS).unwrap();
    }
}

#[test]
fn a_late_reply_never_reaches_another_client_and_who_has_no_port_is_counted() {
    apart(this_test!(), || {
        const PORTS: usize = 20;
        const CLIENTS: usize = 60;
        few_ports(PORTS);
        let service = at(0);
        for most in [1, 7, 100] {
            let builder = Proxy::builder().max_sessions(sessions(most));
            let mut proxy = builder.bind("127.0.0.1:20001", service.local_addr().unwrap()).unwrap();
            let clients: Vec<UdpSocket> = (1..=CLIENTS as u32).map(at).collect();
            for (n, client) in (1..).zip(&clients) {
                client.send_to(&[n as u8], proxy.local_addr()).unwrap();
                run_until(&mut proxy, |proxy| proxy.stats().to_server.passed + proxy.stats().unserved == n);
            }
            let stats = proxy.stats();
            assert_eq!((stats.opened, stats.unserved_by.no_port), (PORTS as u64, (CLIENTS - PORTS) as u64), "{most}");
            assert_eq!(stats.unserved_by.total(), stats.unserved);
            assert!(proxy.unserved_error().is_some());

            // Each is answered now that others have had its place, if not its port.
            let mut ports = std::collections::BTreeSet::new();
            for _ in 0..PORTS {
                let mut buffer = [0; 8];
                let (len, session) = service.recv_from(&mut buffer).unwrap();
                assert!(ports.insert(session), "{most}: two clients at one port");
                service.send_to(&buffer[..len], session).unwrap();
            }
            proxy.run_for(50 * MS).unwrap();
            let mut answered = 0;
            for (n, client) in (1..).zip(&clients) {
                client.set_nonblocking(true).unwrap();
                let mut buffer = [0; 8];
                if let Ok(len) = client.recv(&mut buffer) {
                    assert_eq!(buffer[..len], [n], "{most}: the reply to another client");
                    answered += 1;
                }
            }
            assert_eq!(answered, most.min(PORTS), "{most}: of the sessions that are still there");
        }
    });
}

#[test]
fn any_number_of_clients_that_are_answered_takes_turns_at_few_ports() {
    apart(this_test!(), || {
        const PORTS: usize = 100;
        const CLIENTS: u32 = 1000;
        few_ports(PORTS);
        let service = at(0);
        let mut proxy = Proxy::builder()
            .max_sessions(sessions(2000))
            .bind("127.0.0.1:20001", service.local_addr().unwrap())
            .unwrap();
        let mut ports = Vec::new();
        for n in 1..=CLIENTS {
            let client = at(n);
            client.send_to(&n.to_be_bytes(), proxy.local_addr()).unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == u64::from(n));
            let mut buffer = [0; 8];
            let (len, session) = service.recv_from(&mut buffer).unwrap();
            ports.push(session.port());
            service.send_to(&buffer[..len], session).unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().to_client.passed == u64::from(n));
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], n.to_be_bytes());
        }
        let stats = proxy.stats();
        assert_eq!((stats.opened, stats.unserved, stats.sessions), (CLIENTS.into(), 0, PORTS));
        // The one given up the longest ago serves again: each in its turn.
        assert_eq!(ports[PORTS..2 * PORTS], ports[..PORTS]);
    });
}

/// What no check of names can see: the host gets the address of the service when the proxy is running already.
#[test]
fn a_proxy_that_has_become_its_own_service_forwards_nothing_twice() {
    apart(this_test!(), || {
        run("ip route add default dev lo");
        for (any_port, listen, moved) in
            [(false, "0.0.0.0", 1), (true, "0.0.0.0", 2), (false, "[::]", 3), (true, "[::]", 4)]
        {
            let service: SocketAddr = format!("10.99.0.{moved}:20001").parse().unwrap();
            let builder = if any_port { Proxy::builder().any_port() } else { Proxy::builder() };
            let mut proxy = builder.bind(format!("{listen}:20001"), service).unwrap();
            run(&format!("ip addr add {}/32 dev lo", service.ip()));
            let client = at(1);
            client.send_to(b"round and round", "127.0.0.1:20001").unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().unserved == 1);
            proxy.run_for(50 * MS).unwrap();
            let stats = proxy.stats();
            assert_eq!((stats.opened, stats.to_server.passed), (1, 1), "{listen} {any_port}");
            assert_eq!((stats.unserved_by.own, stats.unserved), (1, 1), "{listen} {any_port}");
            assert!(proxy.unserved_error().unwrap().to_string().contains("its own service"));
        }
    });
}
