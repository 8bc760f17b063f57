//! What a path carries is measured over real routers, also where they report nothing and where the way back is narrower.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, UdpPaths, kernel_pmtu, set_fragmentation};
use udp_retry::path_mtu::{EchoFormat, Evidence, PathReport, ProbeError, answer_probe, probe_path};
use udp_retry::size::IpFamily;
use udp_retry::transport::PathIndex;

use crate::again::this_test;
use crate::inside::{Inside, PORT, run_at};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_direct_path_carries_what_its_link_does() {
    within(MINUTE, || check(this_test!(), "direct", 1500, 1500));
}

#[test]
fn a_narrow_link_is_found() {
    within(MINUTE, || check(this_test!(), "chain", 1400, 1400));
}

#[test]
fn two_links_that_are_each_narrower_are_found() {
    within(MINUTE, || check(this_test!(), "chain2", 1300, 1300));
}

#[test]
fn a_link_whose_router_reports_nothing_is_found() {
    within(MINUTE, || check(this_test!(), "blackhole", 1400, 1400));
}

/// It carries 1404 bytes, of which the table of usual sizes has 1400.
#[test]
fn a_switch_that_drops_what_is_too_large_is_found() {
    within(MINUTE, || check(this_test!(), "l2hole", 1400, 1400));
}

#[test]
fn a_way_back_that_is_narrower_is_found() {
    within(MINUTE, || check(this_test!(), "asym", 1500, 1300));
}

#[test]
fn a_socket_that_may_fragment_is_refused() {
    within(MINUTE, || {
        if cfg!(udp_retry_portable) {
            return;
        }
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        for mode in [Fragmentation::ByEstimate, Fragmentation::Allowed] {
            for address in [&network.server4, &network.server6] {
                let mut transport = ConnectedUdp::connect((&address[..], PORT)).unwrap();
                transport.set_fragmentation(mode).unwrap();
                let found = probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new());
                assert!(matches!(found, Err(ProbeError::Fragmenting { .. })), "{mode:?}: {found:?}");
            }
        }
    });
}

/// A responder, until it is ended, but not for ever.
pub(crate) fn respond(address: &str) {
    let (address, port) = address.split_once(' ').unwrap();
    let port: u16 = port.parse().unwrap();
    let socket = UdpSocket::bind((address, port)).unwrap();
    assert_eq!(set_fragmentation(&socket, Fragmentation::Probing).unwrap(), Applied::Enforced);
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    println!("\nlistening");
    let (start, mut buffer, mut answer) = (Instant::now(), vec![0; 65_535], Vec::new());
    while start.elapsed() < Duration::from_secs(30) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let probe = UdpSocket::bind((address, 0)).unwrap();
        probe.connect(from).unwrap();
        let way_back = kernel_pmtu(&probe).unwrap().plpmtu(IpFamily::of(from.ip()));
        if answer_probe(&buffer[..len], len, Some(way_back), &mut answer) {
            // An error of an answer before may be pending.
            let _ = socket.send_to(&answer, from).or_else(|_| socket.send_to(&answer, from));
        }
    }
}

/// Packets of these sizes are found, with an empty cache of the kernel and with what the search before has put there.
fn check(test: &'static str, topology: &str, there: usize, back: usize) {
    if cfg!(udp_retry_portable) {
        return; // No mode can be set there.
    }
    let Some(network) = Inside::of(test, topology) else { return };
    for (address, overhead) in [(&network.server4, 28), (&network.server6, 48)] {
        let _responder = network.respond(address);
        let server = SocketAddr::new(address.parse().unwrap(), PORT);
        for (mode, cache) in [
            (Fragmentation::Probing, "empty"),
            (Fragmentation::Probing, "filled"),
            (Fragmentation::Forbidden, "filled"),
            (Fragmentation::Forbidden, "empty"),
        ] {
            // A machine that stalls delays an answer: what else holds, holds then, too.
            let in_time = (0..3).any(|_| {
                if cache == "empty" {
                    forget_paths();
                }
                let found = probe(server, mode);
                let what = format!("{topology} {address} {mode:?}, cache {cache}: {found:?}");
                println!("{what}");
                let packet = |size: Option<udp_retry::size::Plpmtu>| size.map(|it| it.bytes() + overhead);
                assert_eq!((packet(found.forward), packet(found.reverse)), (Some(there), Some(back)), "{what}");
                assert_eq!(found.evidence, Evidence::Confirmed, "{what}");
                // No answer comes sooner than this host and the far end have each sent.
                assert!(found.round_trip >= Some(Duration::from_micros(3)), "{what}");
                // What a router reports did not arrive either.
                found.lost + found.reports <= 6 && found.took <= Duration::from_millis(1500)
            });
            assert!(in_time, "{topology} {address} {mode:?}: more than 6 lost, or longer than 1.5 s");
        }
    }
}

fn probe(server: SocketAddr, mode: Fragmentation) -> PathReport {
    let mut transport = ConnectedUdp::connect(server).unwrap();
    assert_eq!(transport.set_fragmentation(mode).unwrap(), Applied::Enforced);
    match mode {
        Fragmentation::Probing => probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new()).unwrap(),
        _ => probe_path(&mut UdpPaths::from(transport), PathIndex::FIRST, &EchoFormat::new()).unwrap(),
    }
}

/// What both ends have learnt.
pub(crate) fn forget_paths() {
    for host in ["PM_CLIENT", "PM_SERVER"] {
        run_at(host, "ip route flush cache");
        run_at(host, "ip -6 route flush cache");
    }
}
