//! The examples of real protocols as people run them, whatever the protocol: against their own responders, and against
//! servers that are silent or are not there. What answers wrong, late, twice, in pieces or with an error is in a file for
//! each protocol.
#![expect(clippy::disallowed_types, reason = "the other end is a plain socket")]

use std::net::UdpSocket;
use std::time::Duration;

use crate::closed::closed_port;
use crate::ntp::ntp;
use crate::program::run;
use crate::server::{PATIENCE, Server, json};

#[test]
fn without_arguments_each_asks_a_responder_of_its_own() {
    for (example, facts) in [
        ("dns_lookup", &["A: NOERROR", "192.0.2.7", "AAAA: NOERROR", "2001:db8::7", "is host.example.test."][..]),
        ("ntp_time", &["(stratum 1) says that it is 2", "offset ", "delay "]),
        ("stun_address", &["sees this host at 127.0.0.1:", "no address was translated"]),
    ] {
        let ended = run(example, &[], PATIENCE);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{example}: {ended:?}");
        for fact in facts {
            assert!(ended.stdout.contains(fact), "{example} does not say {fact:?}: {ended:?}");
        }
        let line = json(&run(example, &["--json"], PATIENCE), 0);
        let transmissions = line.get("answers").map_or(&line, |answers| &answers[0])["transmissions"].as_u64();
        assert!(transmissions >= Some(1), "{line}");
    }
}

#[test]
fn each_explains_itself() {
    for example in EXAMPLES {
        let ended = run(example, &["--help"], PATIENCE);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{example}: {ended:?}");
        for fact in ["Usage: ", "--deadline <D>", "--json", "HOST, HOST:PORT or [IPV6]:PORT"] {
            assert!(ended.stdout.contains(fact), "{example}: {ended:?}");
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_standard_error_only() {
    let label = |length: usize| "x".repeat(length);
    let long = [label(63), label(63), label(63), label(62)].join(".");
    let mut usages: Vec<Vec<String>> = Vec::new();
    for example in ["ntp_time", "stun_address"] {
        for server in SERVERS_THAT_ARE_NONE {
            usages.push(vec![example.to_owned(), server.to_owned()]);
        }
    }
    for server in SERVERS_THAT_ARE_NONE {
        usages.push(vec!["dns_lookup".to_owned(), "host.test".to_owned(), format!("--server={server}")]);
    }
    for name in ["", ".", "..", "a..b", ".a", "a..", "a b", "b\u{fc}cher.test", &label(64), &format!("{long}.")] {
        usages.push(["dns_lookup", name, "--server", "127.0.0.1:9"].map(str::to_owned).to_vec());
    }
    usages.push(["dns_lookup", "--server", "127.0.0.1"].map(str::to_owned).to_vec());
    for example in EXAMPLES {
        for deadline in ["0s", "-1s", "1", "s", "1e3s", "infs", "NaNs", "1 fortnight", "99999999999999999999s"] {
            usages.push(vec![example.to_owned(), "127.0.0.1".to_owned(), format!("--deadline={deadline}")]);
        }
        usages.push([example, "--nonsense"].map(str::to_owned).to_vec());
        usages.push([example, "127.0.0.1", "127.0.0.2"].map(str::to_owned).to_vec());
    }
    for usage in usages {
        let words: Vec<_> = usage.iter().map(String::as_str).collect();
        let ended = run(words[0], &words[1..], PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{usage:?}: {ended:?}");
    }
}

const SERVERS_THAT_ARE_NONE: [&str; 20] = [
    "",
    " ",
    ":53",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:+53",
    "127.0.0.1:053",
    "127.0.0.1: 53",
    "[::1]:+53",
    "127.0.0.1:53:53",
    "[127.0.0.1]:53",
    "[::1",
    "[::1]53",
    "[::1]:",
    "[]:53",
    "127.0.0.1,",
    ",127.0.0.1",
    "127.0.0.1,,127.0.0.2",
    "127.0.0.1, 127.0.0.2",
];

#[test]
fn every_way_to_write_an_address_reaches_the_server() {
    let ntp = |_: usize, request: &[u8]| vec![ntp(request, 0, |_| ())];
    let v4 = Server::answering(ntp);
    let port = v4.address.port();
    for address in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert_eq!(run("ntp_time", &[&address, "--deadline", "5s"], PATIENCE).code, Some(0), "{address}");
    }
    let Ok(socket) = UdpSocket::bind("[::1]:0") else { return };
    let v6 = Server::on(socket, ntp);
    let line = json(&run("ntp_time", &[&v6.address.to_string(), "--json"], PATIENCE), 0);
    assert_eq!(line["server"], v6.address.to_string());
}

/// The server listens only at the address that the system likes less.
#[test]
fn the_other_family_is_asked_if_the_first_one_does_not_answer() {
    use std::net::ToSocketAddrs;
    let families: Vec<_> = ("localhost", 1).to_socket_addrs().unwrap().map(|address| address.is_ipv4()).collect();
    if !families.contains(&true) || !families.contains(&false) {
        println!("skipped: localhost has only one address");
        return;
    }
    let any = if families[0] { "[::1]:0" } else { "127.0.0.1:0" };
    let second = Server::on(UdpSocket::bind(any).unwrap(), |_, request| vec![ntp(request, 0, |_| ())]);
    let address = format!("localhost:{}", second.address.port());
    // A quarter of a second would be too late: refused, there is nothing to wait for.
    let line = json(&run("ntp_time", &[&address, "--deadline", "200ms", "--json"], PATIENCE), 0);
    assert_eq!((&line["server"], &line["transmissions"]), (&second.address.to_string().into(), &2.into()), "{line}");
}

#[test]
fn a_server_without_an_address_is_a_failure_that_names_it() {
    let ended = run("ntp_time", &["host.invalid"], Duration::from_secs(60));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("no address for \"host.invalid\""), "{ended:?}");
    assert_eq!(json(&run("ntp_time", &["host.invalid", "--json"], Duration::from_secs(60)), 1)["error"], "io");
}

#[test]
fn silence_is_told_with_everything_that_happened() {
    for example in EXAMPLES {
        let server = Server::answering(|_, _| Vec::new());
        let address = server.address.to_string();
        let arguments: &[&str] =
            if example == "dns_lookup" { &["host.test", "--server", &address] } else { &[&address] };
        let ended = run(example, &[arguments, &["--deadline", "300ms"]].concat(), PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(" ms  --> transmission 1\n"), "{ended:?}");
        let told = format!("\nerror: {address}: no reply within the deadline (1 transmission, ");
        assert!(ended.stderr.contains(&told), "{ended:?}");

        let line = json(&run(example, &[arguments, &["--deadline=300ms", "--json"]].concat(), PATIENCE), 1);
        assert_eq!((&line["error"], &line["execution"]), (&"timed_out".into(), &"unknown".into()), "{line}");
        assert_eq!((&line["transmissions"], &line["sent_ms"]), (&1.into(), &serde_json::json!([0.0])), "{line}");
        assert!((300.0..2000.0).contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_refusal() {
    for example in EXAMPLES {
        let address = closed_port().to_string();
        let arguments: &[&str] =
            if example == "dns_lookup" { &["host.test", "--server", &address] } else { &[&address] };
        let line = json(&run(example, &[arguments, &["--deadline=300ms", "--json"]].concat(), PATIENCE), 1);
        assert_eq!((&line["error"], &line["execution"]), (&"refused".into(), &"refused".into()), "{line}");
        let ended = run(example, &[arguments, &["--deadline=300ms"]].concat(), PATIENCE);
        assert!(ended.stderr.contains("<-! connection refused"), "{ended:?}");
    }
}

const EXAMPLES: [&str; 3] = ["dns_lookup", "ntp_time", "stun_address"];
