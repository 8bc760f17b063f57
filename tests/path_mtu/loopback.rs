//! Real sockets on loopback, through the crate's own proxy, which drops what is too large and reports nothing.
#![cfg(all(feature = "proxy", target_os = "linux", not(udp_retry_portable)))]

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::fault::Profile;
use udp_retry::net::{Applied, Fragmentation, UnconnectedUdp, set_fragmentation};
use udp_retry::path_mtu::{EchoFormat, Evidence, PathReport, answer_probe, probe_path_with};
use udp_retry::pmtu::{Granularity, SearchSettings};
use udp_retry::proxy::Proxy;
use udp_retry::size::{IpFamily, Pmtu};
use udp_retry::transport::{Incoming, PathIndex, Transport};

use crate::watchdog::{MINUTE, within};

#[test]
fn both_directions_through_a_proxy_are_found_over_ipv4() {
    within(MINUTE, || check(IpFamily::V4));
}

#[test]
fn both_directions_through_a_proxy_are_found_over_ipv6() {
    within(MINUTE, || check(IpFamily::V6));
}

/// A machine that stalls answers late, so what is found may be too small: the whole search is tried again then.
fn check(family: IpFamily) {
    for (granularity, path, found) in [
        // 1300 is no usual size.
        (Granularity::UsualSizes, [1400, 1300], [1400, 1280]),
        (Granularity::Bytes(NonZeroU16::MIN), [1333, 1300], [1333, 1300]),
    ] {
        let [to_server, to_client] = path.map(|it| format!("mtu {it}"));
        let packets = path.map(|it| Some(Pmtu::new(it).plpmtu(family)));
        let expected = found.map(|it| Some(Pmtu::new(it).plpmtu(family)));
        let is_found = (0..3).any(|_| {
            let report = through(family, &to_server, &to_client, granularity);
            println!("{family:?} {path:?} {granularity:?}: {report:?}");
            // Whatever the machine does.
            assert!(report.forward <= packets[0] && report.reverse <= packets[1], "{report:?}");
            assert_eq!(report.reports, 0, "{report:?}");
            [report.forward, report.reverse] == expected && report.evidence == Evidence::Confirmed
        });
        assert!(is_found, "{family:?} {path:?} {granularity:?}");
    }
}

fn through(family: IpFamily, to_server: &str, to_client: &str, granularity: Granularity) -> PathReport {
    let loopback: SocketAddr = if family == IpFamily::V4 { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let responder = UnconnectedUdp::bind(loopback).unwrap();
    assert_eq!(set_fragmentation(responder.as_socket(), Fragmentation::Probing).unwrap(), Applied::Enforced);
    let profile = Profile { to_server: to_server.parse().unwrap(), to_client: to_client.parse().unwrap() };
    let mut proxy = Proxy::builder().profile(profile).bind(loopback, responder.local_addr()).unwrap();
    let mut transport = ConnectedUdp::connect(proxy.local_addr()).unwrap();
    assert_eq!(transport.set_fragmentation(Fragmentation::Probing).unwrap(), Applied::Enforced);
    let settings = SearchSettings::new(family).with_granularity(granularity);
    let has_ended = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        scope.spawn(|| respond(responder, &has_ended));
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                proxy.run_for(TURN).unwrap();
            }
        });
        let found = probe_path_with(&mut transport, PathIndex::FIRST, &EchoFormat::new(), settings, |_| {});
        has_ended.store(true, Ordering::Relaxed);
        found
    });
    found.unwrap()
}

fn respond(mut responder: UnconnectedUdp, has_ended: &AtomicBool) {
    let (mut buffer, mut answer) = ([0; 64], Vec::new());
    while !has_ended.load(Ordering::Relaxed) {
        let now = responder.now();
        let Incoming::Datagram(probe) = responder.recv(&mut buffer, now, now.after(TURN)) else { continue };
        if answer_probe(&buffer[..probe.len], probe.actual, None, &mut answer) {
            let _ = responder.send(probe.from, &answer);
        }
    }
}

/// How soon the end is seen.
const TURN: Duration = Duration::from_millis(20);
