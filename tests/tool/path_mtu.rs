//! `udp-retry path-mtu` as people run it, over loopback.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, reason = "a port at which no one listens")]

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;

use crate::program::run;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn by_itself_it_measures_what_loopback_carries() {
    let ended = run("path-mtu", &["--json"], PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&found["forward"], &found["reverse"]), (&65_507.into(), &65_507.into()), "{found}");
    assert_eq!((&found["evidence"], &found["reports"]), (&"confirmed".into(), &0.into()), "{found}");
    assert!(found["probes"].as_u64() >= Some(4) && found["round_trip_ms"].as_f64() > Some(0.0), "{found}");

    let told = run("path-mtu", &[], PATIENCE).stdout;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("to 127.0.0.1:") && lines[1].starts_with("from 127.0.0.1:"), "{told}");
    assert!(lines[0].ends_with(": 65507 bytes of payload, 65535 of a packet"), "{told}");
    assert_eq!(lines[2], "the path carries no more");
}

#[test]
fn where_no_one_answers_it_fails() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for format in [&["--json"][..], &["--json", "--stun"], &["--json", "--dns", "example.org"]] {
        let ended = run("path-mtu", &[&[&address[..]], format].concat(), PATIENCE);
        assert_eq!((ended.code, &*ended.stderr), (Some(1), "error: no probe was answered\n"), "{ended:?}");
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&found["forward"], &found["evidence"]), (&Value::Null, &"unanswered".into()), "{found}");
    }
}

#[test]
fn what_does_not_go_together_is_wrong_usage() {
    for usage in [
        &["--stun"][..],
        &["--dns", "example.org"],
        &["192.0.2.7:53", "--stun", "--dns", "example.org"],
        &["192.0.2.7:53", "--dns", "a..b"],
        &["192.0.2.7:53", "--answer", "127.0.0.1:1060"],
    ] {
        let ended = run("path-mtu", usage, PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
    }
}
