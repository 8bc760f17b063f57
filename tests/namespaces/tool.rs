//! `udp-retry path-mtu` prints what it finds over real routers, to a responder and to a server of others.
#![cfg(all(target_os = "linux", feature = "cli"))]

use std::process::Command;

use serde_json::Value;
use udp_retry::path_mtu::StunPadding;
use udp_retry::pmtu::SearchSettings;
use udp_retry::size::IpFamily;

use crate::again::this_test;
use crate::built::built;
use crate::inside::{Inside, PORT};
use crate::installed::installed;
use crate::services::{coturn, probe};
use crate::watchdog::{MINUTE, within};

#[test]
fn it_prints_what_a_direct_path_carries() {
    within(MINUTE, || check(this_test!(), "direct", 1500, 1500));
}

#[test]
fn it_prints_what_a_narrow_link_carries() {
    within(MINUTE, || check(this_test!(), "chain", 1400, 1400));
}

#[test]
fn it_prints_what_the_second_of_two_narrow_links_carries() {
    within(MINUTE, || check(this_test!(), "chain2", 1300, 1300));
}

#[test]
fn it_prints_what_a_black_hole_leaves() {
    within(MINUTE, || check(this_test!(), "blackhole", 1400, 1400));
}

#[test]
fn it_prints_the_usual_size_below_what_a_switch_drops() {
    within(MINUTE, || check(this_test!(), "l2hole", 1400, 1400));
}

#[test]
fn it_prints_what_each_direction_carries() {
    within(MINUTE, || check(this_test!(), "asym", 1500, 1300));
}

#[test]
fn it_prints_what_a_stun_server_shows_through_a_black_hole() {
    within(MINUTE, || {
        let test = this_test!();
        if cfg!(udp_retry_portable) || !installed(test, &["turnserver"]) {
            return;
        }
        let Some(network) = Inside::of(test, "blackhole") else { return };
        let _server = coturn(&network);
        for (family, address) in [(IpFamily::V4, &network.server4), (IpFamily::V6, &network.server6)] {
            // Until it serves.
            let _ = probe(address, &StunPadding::new(), SearchSettings::new(family));
            let found = printed(address, &["--stun"]);
            assert_eq!(payload(&found, "forward"), Some(1400 - u64::from(family.overhead())), "{found}");
            assert_eq!((payload(&found, "reverse"), &found["evidence"]), (None, &"service_or_path".into()), "{found}");
        }
    });
}

/// The kernel never learns of the narrow link there.
#[test]
fn the_example_prints_what_the_kernel_does_not_know_and_the_tool_asks_the_usual_port() {
    built("big_datagram");
    within(MINUTE, || {
        if cfg!(udp_retry_portable) {
            return;
        }
        let Some(network) = Inside::of(this_test!(), "blackhole") else { return };
        for address in [&network.server4, &network.server6] {
            let _responder = network.respond(address);
            let said = |command: &mut Command| {
                let output = command.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                println!("{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
                assert!(output.status.success());
                text
            };
            let shown = "The kernel's path MTU is 1500 bytes, and probes of 1400 bytes were answered";
            let port = PORT.to_string();
            let example = || said(Command::new(built("big_datagram")).args([address, "-p", &port, "--size", "1200"]));
            assert!((0..3).any(|_| example().contains(shown)), "{address}");
            let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            let line = || said(Command::new(env!("CARGO_BIN_EXE_udp-retry")).args(["path-mtu", &host, "--json"]));
            let sizes = "{\"forward_pmtu\":1400,\"reverse_pmtu\":1400,";
            assert!((0..3).any(|_| line().starts_with(sizes)), "{address}");
        }
    });
}

fn check(test: &'static str, topology: &str, there: u64, back: u64) {
    if cfg!(udp_retry_portable) {
        return; // No mode can be set there.
    }
    let Some(network) = Inside::of(test, topology) else { return };
    for (family, address) in [(IpFamily::V4, &network.server4), (IpFamily::V6, &network.server6)] {
        let _responder = network.respond(address);
        let found = printed(address, &[]);
        println!("{topology}: {found}");
        let packet = |direction| payload(&found, direction).map(|bytes| bytes + u64::from(family.overhead()));
        assert_eq!((packet("forward"), packet("reverse")), (Some(there), Some(back)), "{topology} {address}: {found}");
        assert_eq!(found["evidence"], "confirmed", "{found}");
    }
}

/// The last line.
fn printed(server: &str, options: &[&str]) -> Value {
    let server = if server.contains(':') { format!("[{server}]:{PORT}") } else { format!("{server}:{PORT}") };
    let mut tool = Command::new("timeout");
    tool.args(["20", env!("CARGO_BIN_EXE_udp-retry"), "path-mtu", &server, "--json"]).args(options);
    let output = tool.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{output:?}"))
}

fn payload(found: &Value, direction: &str) -> Option<u64> {
    found[format!("{direction}_plpmtu")].as_u64()
}
