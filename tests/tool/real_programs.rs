//! Programs of others, in other languages, through `udp-retry proxy`: clients and servers of DNS, CoAP, SNMP and TFTP. They
//! come through a bad network as often as their own retransmissions let them.
//!
//! `tests/install-programs.sh` installs them; where they are not, the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes take real time")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::files::Scratch;
use crate::installed::installed;
use crate::ports::free_port;
use crate::program::{Running, tool};

/// A good number of clients, all at once.
const CLIENTS: u32 = 200;
/// Between their starts: all at once, they would keep each other from being in time.
const BETWEEN: Duration = Duration::from_millis(10);

#[test]
fn dns_lookups_come_through_as_often_as_three_attempts_do() {
    if !installed("dns_lookups", &["dnsmasq", "dig"]) {
        return;
    }
    let port = free_port();
    let _server = dnsmasq(port);
    let lookup = |port: u16, seconds: u32| {
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &port.to_string(), "+short", "+tries=3"]);
        dig.args([&format!("+time={seconds}"), "example.test"]);
        dig
    };
    let answered = |stdout: &str| stdout.lines().last() == Some("192.0.2.7");
    until_it_serves(|| answered(&stdout_of(lookup(port, 1))));
    come_through(port, &[], &three_attempts, &|port| lookup(port, 2), &answered);
}

#[test]
fn coap_requests_come_through_as_often_as_their_three_transmissions_do() {
    if !installed("coap_requests", &["coap-server-notls", "coap-client-notls"]) {
        return;
    }
    let port = free_port();
    let mut server = Command::new("coap-server-notls");
    server.args(["-A", "127.0.0.1", "-p", &port.to_string()]);
    let _server = Running::start(server.stderr(Stdio::null()), PATIENCE);
    // RFC 7252: the first wait is from 2 to 3 s, then it doubles. So three transmissions leave within 9 s, and the
    // fourth not before 14 s.
    let get = |port: u16, seconds: u32| {
        let mut client = Command::new("coap-client-notls");
        client.args(["-B", &seconds.to_string(), "-m", "get", &format!("coap://127.0.0.1:{port}/time")]);
        client
    };
    let answered = |stdout: &str| !stdout.trim().is_empty();
    until_it_serves(|| answered(&stdout_of(get(port, 1))));
    come_through(port, &[], &three_attempts, &|port| get(port, 12), &answered);
}

#[test]
fn snmp_requests_come_through_as_often_as_their_three_transmissions_do() {
    if !installed("snmp_requests", &["snmpd", "snmpget"]) {
        return;
    }
    let (port, settings) = (free_port(), Scratch::new("snmpd.conf"));
    std::fs::write(&settings.0, "rocommunity public 127.0.0.1\nsysName example.test\n").unwrap();
    let mut server = without_mibs("snmpd");
    server.args(["-f", "-Lo", "-C", "-c", settings.path(), &format!("udp:127.0.0.1:{port}")]);
    let _server = Running::start(server.stdout(Stdio::null()).stderr(Stdio::null()), PATIENCE);
    let get = |port: u16, seconds: u32| {
        let mut client = without_mibs("snmpget");
        client.args(["-v2c", "-c", "public", "-Oqv", "-r", "2", "-t", &seconds.to_string()]);
        client.args([&format!("127.0.0.1:{port}"), "1.3.6.1.2.1.1.5.0"]);
        client
    };
    let answered = |stdout: &str| stdout.contains("example.test");
    until_it_serves(|| answered(&stdout_of(get(port, 1))));
    come_through(port, &[], &three_attempts, &|port| get(port, 2), &answered);
}

/// The server answers each request from a port of its own, and sends what it has answered again.
#[test]
fn transfers_come_through_as_often_as_three_requests_and_what_is_sent_of_a_file_do() {
    if !installed("tftp_transfers", &["tftp", "in.tftpd"]) || !is_root("tftp_transfers") {
        return;
    }
    let (port, file) = (free_port(), Scratch::new("transferred"));
    std::fs::write(&file.0, "192.0.2.7\n").unwrap();
    let mut server = Command::new("in.tftpd");
    // After 4.5 s, and then after 9 s: in the middle of what a busy machine may delay without another copy coming in time, or one
    // fewer.
    server.args(["-L", "--user", "root", "-a", &format!("127.0.0.1:{port}"), "--retransmit", "4500000"]);
    server.arg(file.0.parent().unwrap()).stderr(Stdio::null()).process_group(0);
    let _server = Group(Running::start(&mut server, PATIENCE));
    // Requests at 0, 3 and 6 s, until 9 s.
    let get = |port: u16, timeout: u32| {
        let script = format!("mode octet\nrexmt 3\ntimeout {timeout}\nget {} /dev/stdout\nquit\n", file.path());
        let mut client = Command::new("sh");
        client.args(["-c", &format!("printf '{script}' | tftp 127.0.0.1 {port}")]);
        client
    };
    let answered = |stdout: &str| stdout.contains("192.0.2.7");
    until_it_serves(|| answered(&stdout_of(get(port, 3))));
    // Of the data of the first two requests a second copy comes in time, of that of the third one none. Once the proxy has
    // seen the port of a transfer, later requests go there and are ignored.
    let expected = |p: f64| {
        let q = 1.0 - p;
        (q + p * q) * (1.0 - p * p) + p * p * q * q
    };
    come_through(port, &["--any-port"], &expected, &|port| get(port, 9), &answered);
}

/// A program with those that it has started, which all end with this: their ports are soon other tests'.
struct Group(Running);

impl Drop for Group {
    fn drop(&mut self) {
        let all = format!("-{}", self.0.id());
        assert!(Command::new("kill").args(["-KILL", "--", &all]).status().unwrap().success());
    }
}

fn is_root(test: &str) -> bool {
    let is = stdout_of({
        let mut id = Command::new("id");
        id.arg("-u");
        id
    })
    .trim()
        == "0";
    assert!(is || std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "{test} takes root");
    if !is {
        println!("SKIPPED {test}: it takes root");
    }
    is
}

/// It reads no descriptions of what it is asked for, and keeps nothing outside of the tests' own files.
fn without_mibs(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/snmp"));
    command
}

/// The rate of success of three attempts, at a loss of p each way.
fn three_attempts(p: f64) -> f64 {
    1.0 - (1.0 - (1.0 - p) * (1.0 - p)).powi(3)
}

/// At 30 % and 50 % loss each way, as often as is expected of such a loss.
#[track_caller]
fn come_through(
    port: u16,
    proxy: &[&str],
    expected: &(impl Fn(f64) -> f64 + Sync),
    client: &(impl Fn(u16) -> Command + Sync),
    answered: &(impl Fn(&str) -> bool + Sync),
) {
    thread::scope(|scope| {
        for (loss, p) in [("0.3", 0.3_f64), ("50%", 0.5)] {
            scope.spawn(move || {
                let proxy = Proxy::start(port, loss, proxy);
                let started = |_| {
                    thread::sleep(BETWEEN);
                    piped(client(proxy.port))
                };
                let clients: Vec<_> = (0..CLIENTS).map(started).collect();
                let successes =
                    clients.into_iter().map(|client| client.end().stdout).filter(|out| answered(out)).count();
                let (rate, n) = (successes as f64 / f64::from(CLIENTS), f64::from(CLIENTS));
                let expected = expected(p);
                let sigma = (expected * (1.0 - expected) / n).sqrt();
                println!("loss {loss} each way: {successes} of {CLIENTS} came through, {:.0} expected", expected * n);
                // By chance alone, one of 16,000 seeds.
                assert!((rate - expected).abs() < 4.0 * sigma, "loss {loss}: {rate}, not {expected}");

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

/// The tool, between clients and a service.
struct Proxy {
    running: Running,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Proxy {
    fn start(upstream: u16, loss: &str, arguments: &[&str]) -> Self {
        let mut command = tool("proxy");
        command.args(["--listen", "127.0.0.1:0", "--upstream", &format!("127.0.0.1:{upstream}")]);
        command.args(["--loss", loss, "--seed", "1"]).args(arguments);
        let mut running = Running::start(&mut command, PATIENCE);
        let mut stdout = BufReader::new(running.stdout());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on 127.0.0.1:").and_then(|port| port.parse().ok());
        Self { running, stdout, port: port.unwrap_or_else(|| panic!("{line:?}")) }
    }

    /// By a signal, within a second; with its report.
    fn end(mut self) -> Value {
        let asked = Instant::now();
        let told = Command::new("kill").arg(self.running.id().to_string()).status().unwrap();
        assert!(told.success());
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).unwrap();
        let ended = self.running.end();
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(ended.code, Some(0));
        serde_json::from_str(&report).unwrap()
    }
}

#[track_caller]
pub(crate) fn until_it_serves(serves: impl Fn() -> bool) {
    let started = Instant::now();
    while !serves() {
        assert!(started.elapsed() < Duration::from_secs(20), "the server does not answer");
        thread::sleep(Duration::from_millis(50));
    }
}

fn piped(mut client: Command) -> Running {
    Running::start(client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()), PATIENCE)
}

fn stdout_of(client: Command) -> String {
    piped(client).end().stdout
}

/// It knows that example.test is at 192.0.2.7.
pub(crate) fn dnsmasq(port: u16) -> Running {
    let mut server = Command::new("dnsmasq");
    server.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"]);
    server.args(["--address=/example.test/192.0.2.7", "--listen-address=127.0.0.1", &format!("--port={port}")]);
    Running::start(server.stderr(Stdio::null()), PATIENCE)
}

/// No client takes nearly as long, and no test.
const PATIENCE: Duration = Duration::from_secs(120);
