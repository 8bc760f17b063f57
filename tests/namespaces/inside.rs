//! Runs a test again inside network namespaces of its own, which `tests/namespaces/netns-pmtu.sh` builds and removes (its head
//! draws them). That takes Linux, iproute2, and root or a kernel that lets any user make namespaces; elsewhere the test is
//! skipped and says so, and with `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are used")]

use std::env;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
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
        let mut output = built_by(&[], topology, test);
        if output.status.code() == Some(SKIPPED) && may_be_root() {
            output = built_by(&AS_ROOT_OF_ITS_OWN, topology, test);
        }
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(SKIPPED) if env::var_os("UDP_RETRY_REQUIRE_ALL").is_none() => {
                println!("SKIPPED {test}: {}", said.trim());
            }
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

    /// A program of others, in the server's namespace; it ends with this thread, however that ends.
    pub(crate) fn program(&self, command: &[&str]) -> Ending {
        let host = env::var("PM_SERVER").unwrap();
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &host, "setpriv", "--pdeathsig", "KILL", "--"]).args(command);
        Ending(ip.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
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

/// The test in namespaces of this topology; `around` is what comes before the script on the command line.
fn built_by(around: &[&str], topology: &str, test: &str) -> Output {
    let script = ["bash", "-c", include_str!("netns-pmtu.sh"), "netns-pmtu.sh", "run", "-t", "30", topology, "--"];
    let words = [around, &script].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).output().unwrap()
}

/// Whether this user may be root of a namespace.
fn may_be_root() -> bool {
    Command::new("unshare").args(["-Urn", "true"]).output().is_ok_and(|output| output.status.success())
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

/// A user's own namespaces: `ip` keeps the names of networks below /run, where only root may write.
const AS_ROOT_OF_ITS_OWN: [&str; 8] = [
    "unshare",
    "-Urnm",
    "--propagation",
    "private",
    "bash",
    "-c",
    "mount -t tmpfs run /run && mkdir /run/netns && exec \"$@\"",
    "bash",
];
/// The status of the script where namespaces cannot be made.
const SKIPPED: i32 = 77;
/// What is before the address of a responder of probes.
const PROBES: &str = "probes ";
/// Where the servers are.
pub(crate) const PORT: u16 = 1060;
