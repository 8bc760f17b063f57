//! Runs a test again inside network namespaces of its own, which `tests/namespaces/netns-pmtu.sh` builds and removes (its head
//! draws them). That takes Linux, root and iproute2; elsewhere the test is skipped and says so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are used")]

use std::env;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::again::{Ending, again, part};
use crate::path_mtu::respond;

/// The namespaces that this process runs in.
pub(crate) struct Inside {
    pub(crate) test: &'static str,
    pub(crate) server4: String,
    pub(crate) server6: String,
    /// The client's interface.
    pub(crate) device: String,
}

impl Inside {
    /// `None` outside: the test has then been run again inside, or was skipped. `None` as well where this process was
    /// the server and has ended.
    pub(crate) fn of(test: &'static str, topology: &str) -> Option<Self> {
        if let Some(part) = part() {
            match part.strip_prefix(PROBES) {
                Some(address) => respond(address),
                None => echo(&part),
            }
            return None;
        }
        if env::var("PM_TOPO").is_ok_and(|present| present == topology) {
            let there = |name| env::var(name).unwrap();
            let neighbour = if topology == "direct" { "cs" } else { "cr" };
            let device = there("PM_PREFIX") + neighbour;
            return Some(Self { test, server4: there("PM_SERVER4"), server6: there("PM_SERVER6"), device });
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/namespaces/netns-pmtu.sh");
        let output = Command::new("bash")
            .arg(script)
            .args(["run", "-t", "30", topology, "--"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--include-ignored"])
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(77) if env::var_os("UDP_RETRY_REQUIRE_ALL").is_none() => println!("SKIPPED {test}: {}", said.trim()),
            Some(0) if said.contains("1 passed") => println!("{said}"),
            _ => panic!("{test} in topology {topology}:\n{said}"),
        }
        None
    }

    /// A server that repeats what it hears, in the server's namespace.
    pub(crate) fn echo(&self, address: &str) -> Ending {
        self.server("", address)
    }

    /// A responder of probes, in the server's namespace.
    pub(crate) fn respond(&self, address: &str) -> Ending {
        self.server(PROBES, address)
    }

    fn server(&self, kind: &str, address: &str) -> Ending {
        let host = env::var("PM_SERVER").unwrap();
        let mut command = again(self.test, &format!("{kind}{address} {PORT}"), &["ip", "netns", "exec", &host]);
        let mut server = Ending(command.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("listening")), "no server at {address}");
        server
    }
}

/// `ip` with these arguments, in the namespace of a role (`PM_SERVER`, ...).
#[track_caller]
pub(crate) fn run_at(role: &str, command: &str) {
    run(&format!("ip netns exec {} {command}", env::var(role).unwrap()));
}

/// A command without quotes, which must succeed.
#[track_caller]
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Until it is ended, but not for ever.
fn echo(address: &str) {
    let (address, port) = address.split_once(' ').unwrap();
    let socket = UdpSocket::bind((address, port.parse().unwrap())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    println!("\nlistening");
    let (start, mut buffer) = (Instant::now(), [0; 2048]);
    while start.elapsed() < Duration::from_secs(30) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    }
}

/// What is before the address of a responder of probes.
const PROBES: &str = "probes ";
/// Where the servers are.
pub(crate) const PORT: u16 = 1060;
