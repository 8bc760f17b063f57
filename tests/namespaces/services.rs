//! Servers of others, which know nothing of probes, over real routers: coturn shows what the way there carries, and the limit
//! of dnsmasq's own is not taken for the path's.
//!
//! `tests/install-programs.sh` installs both; where they are not, the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a program takes real time to start")]

use std::num::NonZeroU16;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation};
use udp_retry::path_mtu::{DnsPadding, Evidence, PathReport, ProbeFormat, StunPadding, probe_path_with};
use udp_retry::pmtu::{Granularity, SearchSettings};
use udp_retry::size::IpFamily;
use udp_retry::transport::PathIndex;

use crate::again::{Ending, this_test};
use crate::inside::{Inside, PORT};
use crate::installed::installed;
use crate::watchdog::{MINUTE, within};

const V4: IpFamily = IpFamily::V4;
const V6: IpFamily = IpFamily::V6;

#[test]
fn a_stun_server_shows_the_way_there_through_a_black_hole() {
    within(MINUTE, || stun(this_test!(), "blackhole", 1400, Evidence::ServiceOrPath));
}

#[test]
fn a_stun_server_shows_what_a_router_reports() {
    within(MINUTE, || stun(this_test!(), "chain", 1400, Evidence::Confirmed));
}

#[test]
fn a_stun_server_shows_all_that_a_direct_path_carries() {
    within(MINUTE, || stun(this_test!(), "direct", 1500, Evidence::Confirmed));
}

#[test]
fn the_limit_of_a_dns_server_is_not_that_of_a_direct_path() {
    within(MINUTE, || dns(this_test!(), "direct", (1500, Evidence::Confirmed)));
}

#[test]
fn the_limit_of_a_dns_server_is_not_that_of_a_black_hole() {
    within(MINUTE, || dns(this_test!(), "blackhole", (1400, Evidence::ServiceOrPath)));
}

/// A packet of this size is the largest that coturn is found to receive.
fn stun(test: &'static str, topology: &str, carries: u32, evidence: Evidence) {
    if cfg!(udp_retry_portable) || !installed(test, &["turnserver"]) {
        return;
    }
    let Some(network) = Inside::of(test, topology) else { return };
    let _server = coturn(&network);
    for (family, address) in [(V4, &network.server4), (V6, &network.server6)] {
        let found = probe(address, &StunPadding::new(), SearchSettings::new(family));
        let packet = found.forward.map(|it| it.bytes() as u32 + family.overhead());
        assert_eq!((packet, found.evidence), (Some(carries), evidence), "{topology} {address}: {found:?}");
        assert_eq!(found.reverse, None, "{found:?}");
    }
}

/// A dnsmasq that takes 1232 bytes and no more, as by default, and one that takes whatever a packet of this size brings.
fn dns(test: &'static str, topology: &str, path: (u32, Evidence)) {
    if cfg!(udp_retry_portable) || !installed(test, &["dnsmasq"]) {
        return;
    }
    let Some(network) = Inside::of(test, topology) else { return };
    for takes in [1232, 4096] {
        let _server = dnsmasq(&network, takes);
        for (family, address) in [(V4, &network.server4), (V6, &network.server6)] {
            let usual = SearchSettings::new(family);
            let exact = usual.with_granularity(Granularity::Bytes(NonZeroU16::MIN));
            let format = DnsPadding::new("example.org").unwrap();
            let found = [usual, exact].map(|settings| probe(address, &format, settings));
            let [usual, exact] = found.map(|it| (it.forward.map(|it| it.bytes() as u32), it.evidence));
            let what = format!("{takes} of {topology} {address}: {found:?}");
            let expected = match takes {
                1232 => {
                    // The base of IPv4 is the largest size of the table below it.
                    let largest = if family == V4 { 1200 } else { 1232 };
                    [(largest, Evidence::ServiceOrPath), (1232, Evidence::ServiceOrPath)]
                }
                _ => [(path.0 - family.overhead(), path.1); 2],
            };
            assert_eq!([usual, exact], expected.map(|(size, evidence)| (Some(size), evidence)), "{what}");
        }
    }
}

pub(crate) fn coturn(network: &Inside) -> Ending {
    let port = PORT.to_string();
    let [server4, server6] = [&network.server4, &network.server6];
    network.program(&[
        "turnserver",
        "-n",
        "--stun-only",
        "--no-tcp",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--no-rfc5780",
        "--log-file=stdout",
        "--pidfile=/dev/null",
        "-p",
        &port,
        "-L",
        server4,
        "-L",
        server6,
    ])
}

fn dnsmasq(network: &Inside, takes: u16) -> Ending {
    let Inside { server4, server6, .. } = network;
    // In any other way it becomes another user, which root of a namespace may not.
    let options = format!(
        "--no-daemon --conf-file=/dev/null --pid-file= --no-resolv --no-hosts --port={PORT} --bind-interfaces \
         --address=/example.org/192.0.2.1 --edns-packet-max={takes} --listen-address={server4} --listen-address={server6}"
    );
    let words: Vec<&str> = std::iter::once("dnsmasq").chain(options.split_whitespace()).collect();
    network.program(&words)
}

/// Again while no one listens there yet.
pub(crate) fn probe(server: &str, format: &impl ProbeFormat, settings: SearchSettings) -> PathReport {
    let started = Instant::now();
    loop {
        let mut transport = ConnectedUdp::connect((server, PORT)).unwrap();
        assert_eq!(transport.set_fragmentation(Fragmentation::Probing).unwrap(), Applied::Enforced);
        let found = probe_path_with(&mut transport, PathIndex::FIRST, format, settings, |_| {}).unwrap();
        if found.evidence != Evidence::Unanswered || started.elapsed() > Duration::from_secs(10) {
            println!("{server}: {found:?}");
            return found;
        }
        thread::sleep(Duration::from_millis(50));
    }
}
