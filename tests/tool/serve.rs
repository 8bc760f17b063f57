//! `udp-retry serve` as people run it: what it executes, from where it answers, what it reports, and how it ends.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{ChildStdout, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use udp_retry::fault::Profile;
use udp_retry::proxy::Proxy;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::program::{Running, run, tool};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn without_arguments_it_shows_itself() {
    let ended = run("serve", &[], PATIENCE);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("listening on 127.0.0.1:"), "{ended:?}");
    assert!(lines[0].ends_with("loss 20%; duplicate 20%; delay 5ms, in each direction"), "{ended:?}");
    assert_eq!((lines[1], lines[lines.len() - 1]), ("100 of 100 increments were answered", "counter        100"));

    let ended = run("serve", &["--json", "--threads", "2", "--work", "100us"], PATIENCE);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &report["counter"], &report["executed"]), (Some(0), &100.into(), &100.into()), "{report}");
    assert!(report["requests"].as_u64() > Some(100), "{report}");
}

#[test]
fn it_shows_itself_with_envelopes_too() {
    let ended = run("serve", &["--envelope", "--json"], PATIENCE);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!((ended.code, &report["counter"], &report["executed"]), (Some(0), &100.into(), &100.into()), "{report}");
    let names = ["without_envelope", "foreign", "truncated"];
    assert_eq!(names.map(|name| report[name].as_u64().unwrap()), [0, 0, 0], "{report}");
    // No server has restarted. The first request names none, in all its copies, and no other is asked before it is answered.
    assert_eq!(report["unknown"], report["unnamed"], "{report}");
    assert!((1..=2 * 12).contains(&report["unnamed"].as_u64().unwrap()), "{report}");

    let ended = run("serve", &["--envelope"], PATIENCE);
    let is_said = |line: &str| line.starts_with("unknown ") && line.contains(": 0 named an earlier incarnation, ");
    assert!(ended.stdout.lines().any(is_said), "{ended:?}");
}

#[test]
fn requests_of_the_tool_have_envelopes_one_by_one_and_in_flight() {
    let server = Server::start(&["counter", "--envelope", "--json", "--listen", "127.0.0.1:0"]);
    let address = server.address.to_string();
    // So that the server was up before whatever a busy machine holds up.
    thread::sleep(Duration::from_millis(500));
    let common = ["--text", "........+1", "--id", "0:8", "--stamp", "--envelope", "--repeat", "20", "--json"];
    for more in [&[][..], &["--in-flight", "8"]] {
        let ended = run("request", &[&[&*address][..], &common, more].concat(), PATIENCE);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        assert_eq!(ended.stdout.lines().count(), 20);
        for line in ended.stdout.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["round_trip_ms"].as_f64().is_some(), "each reply is measured: {line}");
            // An id of 8 bytes and a number, in hex and without a header.
            let reply = line["reply_hex"].as_str().unwrap();
            assert!((18..=20).contains(&reply.len()) && reply[16..].starts_with('3'), "{line}");
        }
    }
    let report = server.end("-TERM");
    assert_eq!((&report["counter"], &report["without_envelope"]), (&40.into(), &0.into()), "{report}");
}

#[test]
fn a_reply_without_an_envelope_is_a_stray_that_the_tool_names() {
    let server = Server::start(&["echo", "--listen", "127.0.0.1:0", "--json"]);
    let address = server.address.to_string();
    let common = ["--text", "id 1 ping", "--id", "0:4", "--envelope", "--policy", "20ms 2 transmissions", "--json"];
    let ended = run("request", &[&[&*address][..], &common, &["--summary"]].concat(), PATIENCE);
    let line: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!((ended.code, &line["failed"]["timed_out"]), (Some(1), &1.into()), "{line}");
    assert!(line["strays"]["envelope"].as_u64() > Some(0) && line["strays"]["foreign"] == 0, "{line}");
    let text = run("request", &[&[&*address][..], &common[..7], &["--summary"]].concat(), PATIENCE);
    assert!(text.stdout.contains("wrong envelope"), "{text:?}");
    server.end("-TERM");

    let long = "00".repeat(65_512);
    let lines = std::env::temp_dir().join(format!("udp-retry-{}-long", std::process::id()));
    std::fs::write(&lines, long).unwrap();
    let lines = lines.to_str().unwrap();
    let ended = run("request", &[&address, "--hex-lines", lines, "--envelope"], PATIENCE);
    std::fs::remove_file(lines).unwrap();
    assert!(ended.code == Some(2) && ended.stderr.contains("65511 are the most"), "{ended:?}");
    let ended = run("request", &["--envelope"], PATIENCE);
    assert!(ended.code == Some(2) && ended.stderr.contains("HOST:PORT"), "{ended:?}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_where() {
    for (arguments, said) in [
        ("counter", "--listen"),
        ("guess --listen 127.0.0.1:0", "possible values: echo, counter, time"),
        ("echo --listen here", "no address such as"),
        ("echo --listen 127.0.0.1:+0", "without sign or leading zero"),
        ("--lifetime 30", "a number above 0 with a unit"),
        ("--lifetime 0s", "a number above 0 with a unit"),
        ("--work fast", "a number above 0 with a unit"),
        ("--threads 0", ""),
        ("--for -1s", ""),
        ("nonsense", ""),
    ] {
        let ended = run("serve", &arguments.split(' ').collect::<Vec<_>>(), PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments}: {ended:?}");
        assert!(ended.stderr.contains(said), "{arguments}: no {said:?} in {ended:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_failure() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ended = run("serve", &["--listen", &taken.local_addr().unwrap().to_string()], PATIENCE);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
}

#[test]
fn a_thousand_clients_behind_a_bad_network_are_counted_once_each() {
    const CLIENTS: u64 = 1000;
    const THREADS: u64 = 20;
    let server = Server::start(&["counter", "--listen", "127.0.0.1:0", "--json"]);
    let profile = Profile::both("loss 20%; duplicate 20%".parse().unwrap());
    let mut proxy = Proxy::builder().profile(profile).seed(Seed::new(20)).bind("127.0.0.1:0", server.address).unwrap();
    let (address, is_over) = (proxy.local_addr(), &AtomicBool::new(false));
    // One of 10⁸ requests fails at this loss.
    let policy: RetryPolicy = "50ms x1.5 max 500ms 20 transmissions".parse().unwrap();
    let numbers: BTreeSet<u64> = thread::scope(|scope| {
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                proxy.run_for(Duration::from_millis(20)).unwrap();
            }
        });
        let asking = (0..THREADS).map(|_| {
            scope.spawn(move || {
                let count = |_| {
                    let id = transaction_id(0..8).stamped();
                    let mut client = ReliableRequester::builder(id).policy(policy).connect(address).unwrap();
                    let reply = client.request(b"........+1").unwrap().into_owned();
                    std::str::from_utf8(&reply.payload()[8..]).unwrap().parse::<u64>().unwrap()
                };
                (0..CLIENTS / THREADS).map(count).collect::<Vec<_>>()
            })
        });
        let asking: Vec<_> = asking.collect();
        let numbers = asking.into_iter().flat_map(|asks| asks.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        numbers
    });
    assert_eq!(numbers, (1..=CLIENTS).collect(), "each client has a number of its own");
    let report = server.end("-TERM");
    assert_eq!((&report["counter"], &report["executed"]), (&CLIENTS.into(), &CLIENTS.into()), "{report}");
    assert_eq!((&report["evicted_early"], &report["refused"]), (&0.into(), &0.into()), "{report}");
    // Of three requests or replies one is lost or repeated, at least.
    assert!(report["replayed"].as_u64() > Some(CLIENTS / 5), "{report}");
}

#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    for (listen, asked) in [("0.0.0.0:0", &["127.0.0.1", "127.0.0.2"][..]), ("[::]:0", &["::1", "127.0.0.2"])] {
        let server = Server::start(&["counter", "--listen", listen, "--json"]);
        for (number, address) in asked.iter().enumerate() {
            let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), server.address.port());
            let client = client(address);
            for _copy in 0..2 {
                assert_eq!(ask(&client, b"id of it+1"), format!("id of it{}", number + 1).as_bytes(), "{address}");
            }
        }
        assert_eq!(server.end("-INT")["replayed"], 2);
    }
}

#[test]
fn it_ends_by_a_signal_or_at_its_time_and_reports() {
    for signal in ["-TERM", "-INT"] {
        let server = Server::start(&["time", "--listen", "127.0.0.1:0", "--threads", "3", "--json"]);
        let client = client(server.address);
        let before = since_1970();
        let reply = ask(&client, b"12345678?");
        let (id, time) = reply.split_at(8);
        let time: f64 = std::str::from_utf8(time).unwrap().parse().unwrap();
        assert_eq!(id, b"12345678");
        // It is cut off at whole microseconds.
        assert!((before - 1e-5..=since_1970()).contains(&time), "{time} is not the time, {before}");
        assert_eq!(ask(&client, b"12345678?"), reply, "a copy has the time of its request");
        client.send(b"short").unwrap();
        assert_ne!(ask(&client, b"another!?"), reply);
        let asked = Instant::now();
        let report = server.end(signal);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let names =
            ["requests", "executed", "replayed", "in_progress", "refused", "unanswered", "foreign", "truncated"];
        assert_eq!(names.map(|name| report[name].as_u64().unwrap()), [3, 2, 1, 0, 0, 0, 1, 0], "{report}");
        assert_eq!((&report["service"], report.get("counter")), (&"time".into(), None));
    }
    let ended = run("serve", &["echo", "--listen", "127.0.0.1:0", "--for", "200ms"], PATIENCE);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.starts_with("listening on 127.0.0.1:"), "{ended:?}");
    assert!(ended.stdout.contains("\nexecuted       0\n"), "{ended:?}");
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_copy_within_the_lifetime_is_the_same_request_and_one_after_it_is_new() {
    let server = Server::start(&["counter", "--listen", "127.0.0.1:0", "--lifetime", "100ms", "--json"]);
    let client = client(server.address);
    let first = ask(&client, b"one of 8+1");
    assert_eq!(first, b"one of 81");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(ask(&client, b"one of 8+1"), b"one of 82");
    assert_eq!(server.end("-TERM")["evicted_early"], 0);
}

#[test]
fn work_takes_its_time_and_a_copy_that_comes_meanwhile_is_not_executed() {
    let arguments = ["counter", "--listen", "127.0.0.1:0", "--work", "200ms", "--threads", "2", "--json"];
    let server = Server::start(&arguments);
    let client = client(server.address);
    let began = Instant::now();
    client.send(b"one of 8+1").unwrap();
    assert_eq!(ask(&client, b"one of 8+1"), b"one of 81");
    assert!(began.elapsed() >= Duration::from_millis(200));
    // What is no increment is not executed.
    client.send(b"two of 8-1").unwrap();
    let report = server.end("-TERM");
    assert_eq!(report["counter"], 1, "{report}");
}

#[test]
fn with_the_envelope_it_takes_no_request_without_one_and_clients_go_on_after_a_restart() {
    let arguments = ["counter", "--envelope", "--json", "--listen"];
    let server = Server::start(&[&arguments[..], &["127.0.0.1:0"]].concat());
    let address = server.address;
    let id = transaction_id(0..8).stamped();
    let builder = ReliableRequester::builder(id).policy(RetryPolicy::LAN).envelope();
    let mut requester = builder.connect(address).unwrap();
    let mut count = || requester.request(b"........+1").unwrap().payload()[8..].to_vec();
    assert_eq!([count(), count(), count()], [b"1", b"2", b"3"]);
    client(address).send(b"id of it+1").unwrap();
    let report = server.end("-TERM");
    let names = ["counter", "without_envelope", "foreign", "expired"];
    assert_eq!(names.map(|name| report[name].as_u64().unwrap()), [3, 1, 0, 0], "{report}");

    let again = Server::start(&[&arguments[..], &[&address.to_string()]].concat());
    assert_eq!([count(), count()], [b"1", b"2"]);
    let report = again.end("-TERM");
    let names = ["counter", "unknown", "unnamed"];
    assert_eq!(names.map(|name| report[name].as_u64().unwrap()), [2, 1, 0], "{report}");
}

struct Server {
    running: Running,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut running = Running::start(tool("serve").args(arguments), PATIENCE);
        let mut stdout = BufReader::new(running.stdout());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        let address = address.parse().unwrap();
        Self { running, stdout, address }
    }

    fn end(mut self, signal: &str) -> Value {
        assert!(Command::new("kill").args([signal, &self.running.id().to_string()]).status().unwrap().success());
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).unwrap();
        assert_eq!(self.running.end().code, Some(0));
        serde_json::from_str(&report).unwrap()
    }
}

fn client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let client = UdpSocket::bind(any).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    let mut buffer = [0; 2048];
    let len = client.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}
