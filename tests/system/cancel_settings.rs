//! A cancel leaves the socket as it is: its address, its port and all its settings.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockRef;
use udp_retry::net::{Fragmentation, fragmentation, set_fragmentation, set_receive_buffer};
use udp_retry::transaction::Failure;
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, any_reply, transaction_id};

use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

#[test]
fn a_port_of_the_callers_choice_stays() {
    within(MINUTE, || {
        for host in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"] {
            let mut pair = Pair::new(chosen(host));
            let chosen = pair.transport.local_addr();
            for _ in 0..3 {
                pair.cancel();
                assert_eq!(pair.transport.local_addr(), chosen, "{host}");
                assert_eq!(pair.speak(), chosen, "{host}");
            }
        }
    });
}

#[test]
fn a_port_that_the_system_picked_stays_too() {
    within(MINUTE, || {
        for host in ["127.0.0.2", "127.0.0.1", "::1", "0.0.0.0", "::"] {
            let mut pair = Pair::new(UdpSocket::bind((host, 0)).unwrap());
            let picked = pair.transport.local_addr();
            for _ in 0..8 {
                pair.cancel();
                assert_eq!((pair.transport.local_addr(), pair.speak()), (picked, picked), "{host}");
            }
        }
    });
}

#[cfg(not(udp_retry_portable))]
#[test]
fn whoever_speaks_to_a_mapped_address_still_does() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.connect(("::ffff:127.0.0.1", server.local_addr().unwrap().port())).unwrap();
        set_fragmentation(&socket, Fragmentation::Forbidden).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut pair = Pair { server, transport: ConnectedUdp::from_socket(socket).unwrap() };
        for _ in 0..3 {
            pair.cancel();
            pair.speak();
            assert_eq!(fragmentation(pair.transport.as_socket()).unwrap(), Fragmentation::Forbidden);
        }
    });
}

#[test]
fn every_setting_stays() {
    within(MINUTE, || {
        for host in ["0.0.0.0", "::1"] {
            let mut pair = Pair::new(UdpSocket::bind((host, 0)).unwrap());
            let usual = settings(pair.transport.as_socket());
            change_all(pair.transport.as_socket(), host.contains(':'));
            let changed = settings(pair.transport.as_socket());
            for ((name, usual), (_, changed)) in usual.iter().zip(&changed) {
                assert!(usual != changed || usual == ABSENT, "{name} must differ from what is usual: {usual}");
            }
            for _ in 0..3 {
                pair.cancel();
                pair.speak();
                assert_eq!(settings(pair.transport.as_socket()), changed, "{host}");
            }
        }
    });
}

#[test]
fn usual_settings_stay_the_usual_ones() {
    within(MINUTE, || {
        for host in ["0.0.0.0", "::"] {
            let mut pair = Pair::new(UdpSocket::bind((host, 0)).unwrap());
            let usual = settings(pair.transport.as_socket());
            pair.cancel();
            pair.speak();
            assert_eq!(settings(pair.transport.as_socket()), usual, "{host}");
        }
    });
}

#[cfg(not(udp_retry_portable))]
#[test]
fn every_fragmentation_mode_stays() {
    within(MINUTE, || {
        for host in ["127.0.0.1", "::1"] {
            let mut pair = Pair::new(UdpSocket::bind((host, 0)).unwrap());
            for mode in
                [Fragmentation::Forbidden, Fragmentation::Allowed, Fragmentation::Probing, Fragmentation::ByEstimate]
            {
                set_fragmentation(pair.transport.as_socket(), mode).unwrap();
                pair.cancel();
                pair.speak();
                assert_eq!(fragmentation(pair.transport.as_socket()).unwrap(), mode, "{host}");
            }
        }
    });
}

#[test]
fn a_chosen_port_that_cannot_be_renewed_still_cannot() {
    within(MINUTE, || {
        let mut pair = Pair::new(chosen("127.0.0.1"));
        let chosen = pair.transport.local_addr();
        let handle = pair.transport.cancel_handle().unwrap();
        let mut requester = ReliableRequester::builder(any_reply()).over(pair.transport).unwrap();
        handle.cancel();
        for _ in 0..2 {
            assert!(matches!(
                requester.request(b"time?").unwrap_err().failure(),
                Failure::Cancelled | Failure::NoFreshPort
            ));
        }
        assert_eq!(requester.request(b"time?").unwrap_err().failure(), Failure::NoFreshPort);
        // With an id it is of use again.
        let transport = requester.into_transport();
        assert_eq!(transport.local_addr(), chosen);
        let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(transport).unwrap();
        handle.cancel();
        assert_eq!(requester.request(b"0001").unwrap_err().failure(), Failure::Cancelled);
        pair.transport = requester.into_transport();
        assert_eq!(pair.speak(), chosen);
    });
}

/// A server, and a client's end that is connected to it.
struct Pair {
    server: UdpSocket,
    transport: ConnectedUdp,
}

impl Pair {
    fn new(client: UdpSocket) -> Self {
        let v6 = client.local_addr().unwrap().is_ipv6();
        let server = UdpSocket::bind(if v6 { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        Self { server, transport: ConnectedUdp::from_socket(client).unwrap() }
    }

    fn cancel(&mut self) {
        self.transport.cancel_handle().unwrap().cancel();
        let now = self.transport.now();
        assert_eq!(self.transport.recv(&mut [0; 4], now, now), Incoming::Cancelled);
    }

    /// Both ways; returns where the client spoke from.
    fn speak(&mut self) -> SocketAddr {
        let mut buffer = [0; 16];
        self.transport.send(PathIndex::FIRST, b"hello").unwrap();
        let (_, from) = self.server.recv_from(&mut buffer).unwrap();
        self.server.send_to(b"world", from).unwrap();
        let until = self.transport.now().after(Duration::from_secs(5));
        assert_eq!(self.transport.wait(&mut buffer, until).unwrap().map(|heard| heard.len), Some(5));
        assert_eq!(&buffer[..5], b"world");
        let local = self.transport.local_addr();
        assert_eq!(local.port(), from.port());
        local
    }
}

fn change_all(socket: &UdpSocket, v6: bool) {
    set_receive_buffer(socket, 50_000).unwrap();
    set_fragmentation(socket, Fragmentation::Probing).unwrap();
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(40_000).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    if v6 {
        socket.set_unicast_hops_v6(9).unwrap();
        socket.set_tclass_v6(0x28).unwrap();
    } else {
        socket.set_freebind_v4(true).unwrap();
        socket.set_ttl_v4(7).unwrap();
        socket.set_tos_v4(0x10).unwrap();
    }
}

/// By name, as text; what a family lacks is `ABSENT`.
fn settings(socket: &UdpSocket) -> Vec<(&'static str, String)> {
    fn text<V: std::fmt::Debug>(value: std::io::Result<V>) -> String {
        value.map_or(ABSENT.to_owned(), |value| format!("{value:?}"))
    }
    let v6 = socket.local_addr().unwrap().is_ipv6();
    let of = |family: bool, value: String| if family { value } else { ABSENT.to_owned() };
    let mode = text(fragmentation(socket));
    let socket = SockRef::from(socket);
    vec![
        ("fragmentation", mode),
        ("receive buffer", text(socket.recv_buffer_size())),
        ("send buffer", text(socket.send_buffer_size())),
        ("broadcast", text(socket.broadcast())),
        ("reuse address", text(socket.reuse_address())),
        ("reuse port", text(socket.reuse_port())),
        ("TTL", of(!v6, text(socket.ttl_v4()))),
        ("TOS", of(!v6, text(socket.tos_v4()))),
        ("freebind", of(!v6, text(socket.freebind_v4()))),
        ("hops", of(v6, text(socket.unicast_hops_v6()))),
        ("traffic class", of(v6, text(socket.tclass_v6()))),
    ]
}

/// On a port that is asked for by its number: below those that the system picks from, so that no other test gets it
/// while it is free for a moment.
fn chosen(host: &str) -> UdpSocket {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = 20_000 + (std::process::id() * 64 + NEXT.fetch_add(1, Relaxed)) % 12_000;
        if let Ok(socket) = UdpSocket::bind((host, port.try_into().unwrap())) {
            return socket;
        }
    }
}

const ABSENT: &str = "absent";

/// A socket of ours is replaced where a reply may still be on its way to it.
#[cfg(not(udp_retry_portable))]
#[test]
fn what_our_own_methods_have_set_stays_too() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        own.set_hops(9).unwrap();
        let granted = own.set_receive_buffer(50_000).unwrap();
        own.set_fragmentation(Fragmentation::Forbidden).unwrap();
        let policy = "20ms 1 transmissions".parse::<udp_retry::RetryPolicy>().unwrap();
        let mut requester = ReliableRequester::builder(any_reply()).policy(policy).over(own).unwrap();
        let mut ports = std::collections::HashSet::new();
        for _ in 0..5 {
            requester.request(b"anyone?").unwrap_err();
            ports.insert(requester.transport().local_addr().port());
        }
        assert_eq!(ports.len(), 5, "each from a port of its own");
        let own = requester.into_transport();
        assert_eq!(own.fragmentation().unwrap(), Fragmentation::Forbidden);
        let socket = own.into_socket();
        let socket = socket2::SockRef::from(&socket);
        assert_eq!((socket.ttl_v4().unwrap(), socket.recv_buffer_size().unwrap()), (9, granted));
    });
}
