//! Programs of others, in other languages, through the lossy proxy: a DNS client and server, a CoAP client and
//! server. They come through a bad network as often as their own retransmissions let them.
//!
//! `tests/install-programs.sh` installs them; where they are not, the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes take real time and free ports")]

#[path = "common/built.rs"]
mod built;

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use built::built;
use serde_json::Value;

/// A good number of clients, all at once.
const CLIENTS: u32 = 200;

#[test]
fn dns_lookups_come_through_as_often_as_three_attempts_do() {
    if !installed("dns_lookups", &["dnsmasq", "dig"]) {
        return;
    }
    let port = free_port();
    let _server = Ended(
        Command::new("dnsmasq")
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--address=/example.test/192.0.2.7", "--listen-address=127.0.0.1", &format!("--port={port}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let lookup = |port: u16, seconds: u32| {
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &port.to_string(), "+short", "+tries=3"]);
        dig.args([&format!("+time={seconds}"), "example.test"]);
        dig
    };
    let answered = |stdout: &str| stdout.lines().last() == Some("192.0.2.7");
    until_it_serves(|| answered(&stdout_of(lookup(port, 1))));
    come_through(port, 3, &|port| lookup(port, 2), &answered);
}

#[test]
fn coap_requests_come_through_as_often_as_their_three_transmissions_do() {
    if !installed("coap_requests", &["coap-server-notls", "coap-client-notls"]) {
        return;
    }
    let port = free_port();
    let _server = Ended(
        Command::new("coap-server-notls")
            .args(["-A", "127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    // RFC 7252: the first wait is from 2 to 3 s, then it doubles. So three transmissions leave within 9 s, and the
    // fourth not before 14 s.
    let get = |port: u16, seconds: u32| {
        let mut client = Command::new("coap-client-notls");
        client.args(["-B", &seconds.to_string(), "-m", "get", &format!("coap://127.0.0.1:{port}/time")]);
        client
    };
    let answered = |stdout: &str| !stdout.trim().is_empty();
    until_it_serves(|| answered(&stdout_of(get(port, 1))));
    come_through(port, 3, &|port| get(port, 12), &answered);
}

/// At 30 % and 50 % loss each way, with so many attempts a client, the rate of success is 1-(1-(1-p)²)ⁿ.
#[track_caller]
fn come_through(
    port: u16,
    attempts: i32,
    client: &(impl Fn(u16) -> Command + Sync),
    answered: &(impl Fn(&str) -> bool + Sync),
) {
    thread::scope(|scope| {
        for (loss, p) in [("0.3", 0.3_f64), ("50%", 0.5)] {
            scope.spawn(move || {
                let proxy = Proxy::start(port, loss);
                let clients: Vec<_> = (0..CLIENTS).map(|_| piped(client(proxy.port))).collect();
                let successes = clients.into_iter().map(text_of).filter(|out| answered(out)).count();
                let (rate, n) = (successes as f64 / f64::from(CLIENTS), f64::from(CLIENTS));
                let expected = 1.0 - (1.0 - (1.0 - p) * (1.0 - p)).powi(attempts);
                let sigma = (expected * (1.0 - expected) / n).sqrt();
                println!("loss {loss} each way: {successes} of {CLIENTS} came through, {:.0} expected", expected * n);
                assert!((rate - expected).abs() < 6.0 * sigma, "loss {loss}: {rate}, not {expected}");

                let report = proxy.end();
                for way in ["to_server", "to_client"] {
                    let knob = &report[way]["knobs"][0];
                    assert_eq!((knob["knob"].as_str(), knob["asked"].as_f64()), (Some("loss"), Some(p)), "{report}");
                    assert_eq!(knob["ok"], true, "{report}");
                    assert!(report[way]["received"].as_u64() >= Some(u64::from(CLIENTS) / 2), "{report}");
                }
            });
        }
    });
}

/// The example, between clients and a service.
struct Proxy {
    child: Child,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Proxy {
    fn start(upstream: u16, loss: &str) -> Self {
        let mut child = Command::new(built("lossy_proxy"))
            .args(["--listen", "127.0.0.1:0", "--upstream", &format!("127.0.0.1:{upstream}"), "--loss", loss])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on 127.0.0.1:").and_then(|port| port.parse().ok());
        Self { child, stdout, port: port.unwrap_or_else(|| panic!("{line:?}")) }
    }

    /// By a signal, within a second; with its report.
    fn end(mut self) -> Value {
        let asked = Instant::now();
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).unwrap();
        let status = self.child.wait().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0));
        serde_json::from_str(&report).unwrap()
    }
}

/// A server; ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed(test: &str, programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        !found.unwrap().success()
    };
    let Some(missing) = programs.iter().find(missing) else { return true };
    assert!(
        std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(),
        "{missing} is not installed: tests/install-programs.sh"
    );
    println!("SKIPPED {test}: {missing} is not installed: tests/install-programs.sh");
    false
}

#[track_caller]
fn until_it_serves(serves: impl Fn() -> bool) {
    let started = Instant::now();
    while !serves() {
        assert!(started.elapsed() < Duration::from_secs(20), "the server does not answer");
        thread::sleep(Duration::from_millis(50));
    }
}

fn piped(mut client: Command) -> Child {
    client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn text_of(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

fn stdout_of(client: Command) -> String {
    text_of(piped(client))
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
