//! `udp-retry request` and several servers of others: two dnsmasq, of which the first stalls, dies and comes back, and names of
//! which one family is mute.
//!
//! `tests/install-programs.sh` installs dnsmasq; a hosts file of a test's own takes Linux and `unshare`. Where they are not, the
//! tests are skipped and say so, and with `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::files::Scratch;
use crate::installed::installed;
use crate::ports::free_port;
use crate::program::{Ended, Running, tool};
use crate::real_programs::{dnsmasq, until_it_serves};
use crate::request::{Server, reports};
use crate::several::again;

/// Takes some 12 s: it is long enough dead to be probed seldom.
#[test]
fn no_request_waits_long_while_the_first_of_two_name_servers_stalls_dies_and_comes_back() {
    if installed("two name servers", &["dnsmasq"]) {
        again(|| {
            let lines = Outage::new().lines();
            let slow = |lines: &[Value]| {
                let slow = |(_, line): &(usize, &Value)| line["elapsed_ms"].as_f64() > Some(400.0);
                lines.iter().enumerate().filter(slow).map(|(number, _)| number).collect::<Vec<_>>()
            };
            // None but the first after each change, which is among those that were on their way to us then.
            lines
                .iter()
                .map(|lines| slow(lines))
                .all(|slow| slow.len() <= 1 && slow.iter().all(|&at| at < ON_THEIR_WAY))
        });
    }
}

/// Two servers, and a program that asks them over and over, the first before the second.
struct Outage {
    ports: [u16; 2],
    servers: [Option<Running>; 2],
    request: Running,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Outage {
    fn new() -> Self {
        let ports = [free_port(), free_port()];
        let servers = ports.map(serving).map(Some);
        let mut command = tool("request");
        command.args([
            &format!("127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]),
            "--spread",
            "in-order",
            "--hex",
            QUERY,
        ]);
        command.args(["--id", "0:2", "--every", "50ms", "--repeat", "1000000", "--json"]);
        let mut request = Running::start(&mut command, PATIENCE);
        let told = Arc::new(Mutex::new(Vec::new()));
        let (stdout, lines) = (BufReader::new(request.stdout()), told.clone());
        thread::spawn(move || {
            // Until it is killed, in the middle of a line perhaps.
            for line in stdout.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok()) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { ports, servers, request, told }
    }

    /// Before the first change, and after each of the three.
    fn lines(mut self) -> [Vec<Value>; 4] {
        self.until("the first is asked", |lines| lines.len() >= 20);
        let stalls = self.count();
        self.signal("STOP");
        self.until("3 s", |lines| lines.len() >= stalls + 60);
        let dies = self.count();
        self.servers[0] = None;
        self.until("3 s", |lines| lines.len() >= dies + 60);

        let returns = self.count();
        self.servers[0] = Some(serving(self.ports[0]));
        let begun = Instant::now();
        let [first, second] = self.ports.map(|port| Value::from(format!("127.0.0.1:{port}")));
        let is_back = |lines: &[Value]| lines.iter().skip(returns).any(|line| line["server"] == first);
        self.until("the first is back", is_back);
        assert!(begun.elapsed() <= Duration::from_secs(35), "it took {:?}", begun.elapsed());
        let back = self.count();
        self.until("it stays", |lines| lines.len() >= back + 20);

        let lines = std::mem::take(&mut *self.told.lock().unwrap());
        for line in &lines {
            assert!(line["reply_hex"].as_str().is_some_and(|reply| reply.ends_with(ADDRESS)), "{line}");
        }
        assert!(lines[..stalls].iter().all(|line| line["server"] == first), "the first is there");
        let without = &lines[stalls + ON_THEIR_WAY..returns];
        assert!(without.iter().all(|line| line["server"] == second), "the first is not there");
        // Three requests before it counts as dead, and then probes, at 0.25, 0.75, 1.75, 3.75 and 7.75 s.
        let asked = |line: &Value| line["paths"][0]["transmissions"].as_u64().unwrap();
        let probes: u64 = without.iter().map(asked).sum();
        assert!((1..=8).contains(&probes), "{probes} probes");
        assert!(lines[back + ON_THEIR_WAY..].iter().all(|line| line["server"] == first), "the first is back");
        let part = |range: std::ops::Range<usize>| lines[range].to_vec();
        [part(0..stalls), part(stalls..dies), part(dies..returns), part(returns..lines.len())]
    }

    fn signal(&self, signal: &str) {
        let id = self.servers[0].as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }

    fn count(&self) -> usize {
        self.told.lock().unwrap().len()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.told.lock().unwrap()) {
            assert!(begun.elapsed() < Duration::from_secs(50), "{what}: {:?}, {}", self.told, self.request.id());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A server that answers.
fn serving(port: u16) -> Running {
    let server = dnsmasq(port);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let query: Vec<_> = QUERY.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    until_it_serves(|| {
        let _ = client.send_to(&query, ("127.0.0.1", port));
        client.recv(&mut [0; 512]).is_ok()
    });
    server
}

/// Whichever it is, and whichever of them is asked first.
#[cfg(target_os = "linux")]
#[test]
fn a_name_of_which_one_family_is_mute_costs_a_request_at_most_400_ms() {
    let hosts = Scratch::new("hosts");
    std::fs::write(&hosts.0, "127.0.0.1 localhost\n::1 localhost\n").unwrap();
    let both = |command: &[&str]| -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["-r", "-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\"", hosts.path()]);
        unshare.args(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        unshare
    };
    let possible = both(&["true"]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) || UdpSocket::bind("[::1]:0").is_err() {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "no namespace, or no IPv6: {possible:?}");
        println!("SKIPPED: no namespace, or no IPv6: {possible:?}");
        return;
    }
    for [good, mute] in [["127.0.0.1", "[::1]"], ["[::1]", "127.0.0.1"]] {
        let good = Server::at(&format!("{good}:0"), |_, request| vec![request.to_vec()]);
        let port = good.address.port();
        let Ok(mute) = UdpSocket::bind(format!("{mute}:{port}")) else { continue };
        let ask = |spread: &str| -> Ended {
            let tool = env!("CARGO_BIN_EXE_udp-retry");
            let server = format!("localhost:{port}");
            let arguments = [tool, "request", &server, "--text", "x", "--spread", spread, "--json"];
            Running::start(&mut both(&arguments), PATIENCE).end()
        };
        let mut waited = 0;
        // Of the servers that nothing is known of, one at random is asked first.
        for spread in ["in-order", "band", "band", "band", "band", "sticky", "sticky", "sticky"] {
            again(|| {
                let line = &reports(&ask(spread))[0];
                assert_eq!(
                    (&line["server"], &line["reply_hex"]),
                    (&good.address.to_string().into(), &"78".into()),
                    "{line}"
                );
                assert_eq!(line["paths"].as_array().unwrap().len(), 2, "{line}");
                waited += u32::from(line["transmissions"] == 2);
                line["elapsed_ms"].as_f64() <= Some(400.0)
            });
        }
        // By chance never, once in 128 runs; in order always for the family that comes first.
        println!("{waited} of 8 asked {:?} first", mute.local_addr());
    }
}

/// Bytes of a query for the address of example.test, and the end of its answer.
const QUERY: &str = "00 01 01 00 00 01 00 00 00 00 00 00 07 65 78 61 6d 70 6c 65 04 74 65 73 74 00 00 01 00 01";
const ADDRESS: &str = "c0000207";

/// Requests that the tool has sent before a change and tells of after it: it writes every 200 ms.
const ON_THEIR_WAY: usize = 10;

const PATIENCE: Duration = Duration::from_secs(120);
