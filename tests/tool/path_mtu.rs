//! `udp-retry path-mtu` as people run it, over loopback. A machine that stalls answers late, so what is found may be too small:
//! the whole measurement is tried again then.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "services and a proxy beside the tool")]

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use udp_retry::fault::Profile;
use udp_retry::proxy::Proxy;

use crate::closed::closed_port;
use crate::program::{Ended, Running, run, tool};

#[test]
fn by_itself_it_finds_both_directions_through_a_proxy() {
    let names = [
        "forward_pmtu",
        "reverse_pmtu",
        "forward_plpmtu",
        "evidence",
        "probes",
        "probes_lost",
        "reports",
        "took_ms",
        "round_trip_ms",
        "reverse_plpmtu",
        "server",
    ];
    let found = measured(&["--json"], |found| {
        sizes(found) == json!([1400, 1300, 1372, 1272]) && found["evidence"] == "confirmed"
    });
    let at = |name: &str| found.text.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{found:?}"));
    assert!(names.is_sorted_by_key(|name| at(name)) && at(names[0]) == 1, "{found:?}");
    let value = &found.value;
    assert_eq!(value.as_object().unwrap().len(), names.len(), "{found:?}");
    assert_eq!(value["reports"], 0, "{found:?}");
    let (probes, lost) = (value["probes"].as_u64().unwrap(), value["probes_lost"].as_u64().unwrap());
    assert!(probes > lost && lost >= 6, "{found:?}");
    // Each loss is a wait.
    let took = value["took_ms"].as_f64().unwrap();
    assert!(took >= 200.0 * lost as f64 && value["round_trip_ms"].as_f64().unwrap() < took, "{found:?}");
    let server: SocketAddr = value["server"].as_str().unwrap().parse().unwrap();
    let told =
        format!("{server} drops packets of more than 1400 bytes to a responder, and of more than 1300 bytes from it");
    assert_eq!(found.stderr, format!("{told}\n"));
}

#[test]
fn to_people_it_says_what_was_found_and_only_on_a_terminal_it_draws_the_search() {
    let ended = again(&[], |ended| ended.stdout.contains("1372") && ended.stdout.contains("1272"));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let server = ended.stderr.split(' ').next().unwrap();
    let [to, from, proof, cost] = lines[..] else { panic!("{ended:?}") };
    assert_eq!(to, format!("to {server}: 1372 bytes of payload, 1400 of a packet"));
    assert_eq!(from, format!("from {server}: 1272 bytes of payload, 1300 of a packet"));
    assert_eq!(proof, "the path carries no more");
    assert!(cost.contains(" probes, ") && cost.ends_with(" ms"), "{ended:?}");
}

#[test]
fn on_a_terminal_it_draws_what_became_of_each_probe() {
    let mut terminal = Command::new("script");
    let line = format!("{} path-mtu --max 1500", env!("CARGO_BIN_EXE_udp-retry"));
    terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(running) = Running::try_start(&mut terminal, PATIENCE) else {
        println!("SKIPPED on_a_terminal_it_draws_what_became_of_each_probe: `script` is not installed");
        assert!(env::var_os("UDP_RETRY_REQUIRE_ALL").is_none());
        return;
    };
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown: Vec<&str> = ended.stdout.lines().map(|line| line.rsplit("\x1b[K").next().unwrap().trim_end()).collect();
    let at = |what: &str| shown.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{shown:#?}"));
    let (to, from, legend) = (at("  to 127.0.0.1:"), at("  from 127.0.0.1:"), at("● acknowledged   ╳ lost"));
    assert!(to < from && from < legend && legend < at("the path carries no more"), "{shown:#?}");
    for (panel, carried) in [(&shown[to..from], 1400), (&shown[from..legend], 1300)] {
        let rows = panel.iter().filter_map(|row| {
            let (size, marks) = row.trim_start().split_once("  ")?;
            Some((size.parse().ok()?, marks))
        });
        let rows: Vec<(u32, &str)> = rows.collect();
        assert!(rows.len() > 5 && rows.is_sorted_by(|above, below| above.0 > below.0), "{panel:#?}");
        for (size, marks) in rows {
            // What arrives may be late on a machine that stalls; what is too large never arrives.
            assert!(marks.contains(['●', '╳']) && (size <= carried || !marks.contains('●')), "{size}: {panel:#?}");
        }
    }
    assert!(ended.stdout.contains("\r1 probes of 127.0.0.1:"), "{ended:?}");
}

#[test]
fn a_second_process_answers_probes_over_either_family() {
    for (address, pmtu, payload) in [("127.0.0.1:0", 65_535, 65_507), ("[::1]:0", 65_536, 65_488)] {
        let (_serving, address) = serve(address);
        let expected = json!([pmtu, pmtu, payload, payload]);
        let found = measured(&[&address, "--json"], |found| sizes(found) == expected);
        assert_eq!((&found.value["evidence"], &*found.stderr), (&"confirmed".into(), ""), "{found:?}");
        assert_eq!(found.value["server"], *address, "{found:?}");
    }
}

#[test]
fn a_limit_is_of_packets_and_sizes_may_be_found_to_the_byte() {
    let (_serving, address) = serve("127.0.0.1:0");
    let narrow = behind_proxy(&address, "mtu 1333");
    for (arguments, expected) in [
        (&["--json"][..], json!([1280, 3784, 1252, 3756])),
        (&["--json", "--bytes"], json!([1333, 3943, 1305, 3915])),
        (&["--json", "--max", "1300"], json!([1300, 1300, 1272, 1272])),
        (&["--json", "--bytes", "--max", "1330"], json!([1330, 1330, 1302, 1302])),
        (&["--json", "--max", "100"], json!([100, 100, 72, 72])),
    ] {
        let all = [&[&narrow[..]], arguments].concat();
        // Nothing larger than these ever arrives.
        let within = |found: &Value| (0..2).all(|n| sizes(found)[n].as_u64() <= expected[n].as_u64());
        measured(&all, |found| {
            assert!(within(found), "{arguments:?}: {found}");
            sizes(found) == expected
        });
    }
}

#[test]
fn services_of_others_are_measured_one_way_and_may_have_a_limit_of_their_own() {
    let narrow = behind_proxy(&service(), "mtu 1400");
    for format in [&["--stun"][..], &["--dns", "example.org"]] {
        let arguments = [&[&narrow[..], "--json"], format].concat();
        let found = measured(&arguments, |found| sizes(found) == json!([1400, null, 1372, null]));
        assert_eq!(found.value["evidence"], "service_or_path", "{found:?}");
    }
    // STUN has lengths in steps of four bytes, and none exceeds the limit.
    let limited = measured(&[&narrow, "--json", "--stun", "--max", "1303"], |found| found["forward_pmtu"] == 1300);
    assert_eq!(limited.value["evidence"], "confirmed", "{limited:?}");
}

#[test]
fn a_host_without_a_port_is_asked_at_that_of_its_service() {
    // No other process of these tests has it; a service of this host may listen at every address.
    let [.., high, low] = process::id().to_be_bytes();
    let host = format!("127.93.{high}.{low}");
    for (format, port) in [(&[][..], 1060), (&["--stun"], 3478), (&["--dns", "example.org"], 53)] {
        let ended = run("path-mtu", &[&[&host[..], "--json"], format].concat(), PATIENCE);
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(found["server"], format!("{host}:{port}"), "{ended:?}");
    }
    let (_serving, address) = serve(&host);
    assert_eq!(address, format!("{host}:1060"));
    measured(&[&host, "--json"], |found| found["forward_pmtu"] == 65_535);
}

#[test]
fn where_no_one_answers_it_fails() {
    let address = closed_port().to_string();
    for format in [&["--json"][..], &["--json", "--stun"], &["--json", "--dns", "example.org"]] {
        let ended = run("path-mtu", &[&[&address[..]], format].concat(), PATIENCE);
        assert_eq!((ended.code, &*ended.stderr), (Some(1), "error: no probe was answered\n"), "{ended:?}");
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((sizes(&found), &found["evidence"]), (json!([null, null, null, null]), &"unanswered".into()));
        assert_eq!((&found["probes_lost"], &found["round_trip_ms"]), (&0.into(), &Value::Null), "{found}");
    }
}

#[test]
fn what_does_not_go_together_is_wrong_usage() {
    for usage in [
        &["--stun"][..],
        &["--dns", "example.org"],
        &["192.0.2.7:53", "--stun", "--dns", "example.org"],
        &["192.0.2.7:53", "--dns", "a..b"],
        &["192.0.2.7:53", "--serve", "127.0.0.1:0"],
        &["--serve", "127.0.0.1:0", "--stun"],
        &["--serve", "127.0.0.1:0", "--dns", "example.org"],
        &["--serve", "127.0.0.1:0", "--json"],
        &["--serve", "127.0.0.1:0", "--bytes"],
        &["--serve", "127.0.0.1:0", "--max", "1500"],
        &["--serve", "127.0.0.1:65536"],
        &["--serve"],
        &["::1"],
        &["127.0.0.1:0"],
        &["127.0.0.1:"],
        &[":53"],
        &["--max", "0"],
        &["--max", "67"],
        &["--max", "65576"],
        &["--max", "-1500"],
        &["--max", "1.5k"],
        // More than a packet of this family can have, and less than a header takes.
        &["127.0.0.1:9", "--max", "65536"],
        &["[::1]:9", "--max", "68"],
        &["[::1]:9", "--stun", "--max", "71"],
        &["[::1]:9", "--dns", "a-rather-long-name.example.org", "--max", "100"],
    ] {
        let ended = run("path-mtu", usage, PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{usage:?}: {ended:?}");
    }
}

/// What `--json` printed.
#[derive(Debug)]
struct Found {
    text: String,
    value: Value,
    stderr: String,
}

/// The first of three measurements that found this.
#[track_caller]
fn measured(arguments: &[&str], is_found: impl Fn(&Value) -> bool) -> Found {
    let value = |ended: &Ended| -> Value { serde_json::from_str(&ended.stdout).unwrap() };
    let ended = again(arguments, |ended| is_found(&value(ended)));
    Found { value: value(&ended), text: ended.stdout, stderr: ended.stderr }
}

#[track_caller]
fn again(arguments: &[&str], is_found: impl Fn(&Ended) -> bool) -> Ended {
    let mut tries = (0..3).map(|_| {
        let ended = run("path-mtu", arguments, PATIENCE);
        assert_eq!((ended.code, ended.stdout.is_empty()), (Some(0), false), "{arguments:?}: {ended:?}");
        println!("{arguments:?}: {ended:?}");
        ended
    });
    tries.find(is_found).unwrap_or_else(|| panic!("{arguments:?}: none of three tries found it"))
}

fn sizes(found: &Value) -> Value {
    ["forward_pmtu", "reverse_pmtu", "forward_plpmtu", "reverse_plpmtu"].map(|name| found[name].clone()).into()
}

/// A responder in a process of its own, and its address.
fn serve(address: &str) -> (Running, String) {
    let mut running = Running::start(tool("path-mtu").args(["--serve", address]), 4 * PATIENCE);
    let mut line = String::new();
    BufReader::new(running.stdout()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (running, address)
}

/// The address of a proxy that drops what is too large on its way to a service, until the process ends.
fn behind_proxy(service: &str, to_server: &str) -> String {
    let profile = Profile { to_server: to_server.parse().unwrap(), ..Profile::default() };
    let mut proxy = Proxy::builder().profile(profile).bind("127.0.0.1:0", service.to_owned()).unwrap();
    let address = proxy.local_addr().to_string();
    thread::spawn(move || while proxy.run_for(Duration::from_secs(1)).is_ok() {});
    address
}

/// Answers STUN as RFC 8489 has it, and DNS with no such name, until the process ends.
fn service() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let request = &buffer[..len];
            let answer = match request {
                [0, 1, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => [&[1, 1, 0, 0], &request[4..20]].concat(),
                // The question ends with its class; no record follows it.
                _ => [&request[..2], &[0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0], &request[12..12 + 17]].concat(),
            };
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

const PATIENCE: Duration = Duration::from_secs(30);
