//! All that a caller set on his socket is still so after whatever a transport does to it.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_retry::net::UnconnectedUdp;
use udp_retry::policy::Backoff;
use udp_retry::transaction::Failure;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::again::this_test;
use crate::hosts::{Host, Server, address, may_have_networks, own_network};
use crate::inside::run;
use crate::settings::{DEVICE, HERE, make_all, read_all};
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_server_leaves_every_setting_as_it_is() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        let _far = cabled();
        run(&address(&format!("{HERE}/24"), DEVICE));
        run(&address("fd09::1/64", DEVICE));
        for any in ["0.0.0.0:0", "[::]:0"] {
            serve(any);
        }
    });
}

/// A network of the test's own, and a host at the other end of its cable.
fn cabled() -> Host {
    own_network();
    let far = Host::new();
    far.cable(DEVICE, "s0");
    far
}

fn serve(any: &str) {
    let socket = UdpSocket::bind(any).unwrap();
    make_all(&socket);
    let set = read_all(&socket);
    let mut server = UnconnectedUdp::from_socket(socket).unwrap();
    unchanged(server.as_socket(), &set, "by being taken over");
    let peer = if any.starts_with('[') { "[fd09::2]:9" } else { "10.9.0.2:9" };
    server.send(server.route_to(peer.parse().unwrap()), b"to no one").unwrap();
    let handle = server.cancel_handle().unwrap();
    handle.cancel();
    let now = server.now();
    assert_eq!(server.recv(&mut [0; 9], now, now.after(MS)), Incoming::Cancelled);
    unchanged(&server.into_socket(), &set, "by a send, a cancellation, and by being given back");
}

#[test]
fn every_setting_outlives_renewals_a_cancellation_and_a_repair() {
    within(MINUTE, || {
        if !may_have_networks(this_test!()) {
            return;
        }
        let far = cabled();
        for (here, there) in [(HERE.to_string(), "10.9.0.2"), ("fd09::1".into(), "fd09::2")] {
            let bits = if there.contains(':') { 64 } else { 24 };
            let own = address(&format!("{here}/{bits}"), DEVICE);
            run(&own);
            far.run(&address(&format!("{there}/{bits}"), "s0"));
            // Of IPv6, a link that goes down takes it along.
            run("sysctl -qw net.ipv6.conf.c0.keep_addr_on_down=1");
            let server = if there.contains(':') { format!("[{there}]:1060") } else { format!("{there}:1060") };
            survive(&far.echo(&server), if there.contains(':') { "[::]:0" } else { "0.0.0.0:0" });
        }
    });
}

fn survive(server: &Server, any: &str) {
    let socket = UdpSocket::bind(any).unwrap();
    make_all(&socket);
    socket.connect(server.address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let set = read_all(&socket);
    println!("{} settings: {set:?}", set.len());
    let mut client = ConnectedUdp::from_socket(socket).unwrap();
    unchanged(client.as_socket(), &set, "by being taken over");
    for (need, renewed) in [(Renewal::Advised, Renewed::SamePort), (Renewal::Required, Renewed::FreshPort)] {
        assert_eq!(client.renew(PathIndex::FIRST, need), Ok(renewed));
        unchanged(client.as_socket(), &set, &format!("by a renewal, {need:?}"));
    }

    let policy = RetryPolicy::new(Backoff::constant(500 * MS).unwrap()).with_max_transmissions(40).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
    let mut requester = builder.over(client).unwrap();
    let handle = requester.cancel_handle().unwrap();
    run(&format!("ip link set {DEVICE} down"));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(50 * MS);
            handle.cancel();
        });
        assert_eq!(requester.request(b"0001 lost").unwrap_err().failure(), Failure::Cancelled);
    });
    let mut client = requester.into_transport();
    let cut_off = (0..2).all(|_| client.send(PathIndex::FIRST, b"0002 lost") == Err(PathError::Unreachable));
    assert!(cut_off);
    run(&format!("ip link set {DEVICE} up"));
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
    let mut requester = builder.over(client).unwrap();
    assert_eq!(requester.request(b"0003 back").unwrap().payload(), b"0003 back");
    unchanged(requester.transport().as_socket(), &set, "by a cancellation and a repair");

    let handle = requester.cancel_handle().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(50 * MS);
            handle.cancel();
        });
        assert_eq!(requester.request(b"0004 silent").unwrap_err().failure(), Failure::Cancelled);
    });
    assert_eq!(requester.request(b"0005 after").unwrap().payload(), b"0005 after");
    let socket = requester.into_transport().into_socket();
    unchanged(&socket, &set, "by a cancellation, and by being given back");
}

#[track_caller]
fn unchanged(socket: &UdpSocket, set: &[String], by: &str) {
    let now = read_all(socket);
    let changed: Vec<_> = set.iter().zip(&now).filter(|(set, now)| set != now).collect();
    assert!(changed.is_empty() && now.len() == set.len(), "{by}: {changed:?}");
}
