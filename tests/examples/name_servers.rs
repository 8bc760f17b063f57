//! The examples of real protocols where the system's name servers are silent, or are all that is known: in a network and with
//! a resolv.conf of their own. That takes Linux, `unshare` and iproute2; elsewhere the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "processes take real time")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::built::built;
use crate::program::{Ended, end};

/// The system's own lookup takes 10 s.
#[test]
fn a_deadline_bounds_finding_the_address_of_a_server_too() {
    let Some(network) = Network::with("silent", "nameserver 192.0.2.2\n") else { return };
    for usage in [
        &["ntp_time", "time.example.org"][..],
        &["stun_address", "time.example.org"],
        &["dns_lookup", "host.test", "--server", "time.example.org"],
    ] {
        let ended = network.run(usage[0], &[&usage[1..], &["--deadline", "300ms", "--json"]].concat());
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 1), "{ended:?}");
        let line: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(line["error"], "io", "{line}");
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("no address for \"time.example.org\": nothing from the name server"), "{line}");
    }
}

#[test]
fn dns_asks_every_name_server_of_the_system_in_turn() {
    let text = "# 192.0.2.66\nnameserver\tfe80::1%nowhere\nnameserver\t192.0.2.2\n  nameserver 127.0.0.1 # last\n";
    let Some(network) = Network::with("three", text) else { return };
    let begun = Instant::now();
    let ended = network.run("dns_lookup", &["host.test", "--deadline", "1s"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "one second for each question: {:?}", begun.elapsed());
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("path ")).collect();
    let refused = "path 1: 127.0.0.1:53, transmissions: 1, last heard: connection refused: nobody listens there";
    assert_eq!(lines, ["path 0: 192.0.2.2:53, transmissions: 1", refused], "{ended:?}");
    assert!(ended.stderr.contains("error: refused: nobody listens there (2 transmissions, 1000."), "{ended:?}");
}

/// Loopback, and a link on which nothing answers; the file is gone after the test.
struct Network {
    resolv: String,
}

impl Network {
    /// `None` where the system has none to give.
    fn with(name: &str, resolv: &str) -> Option<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}-resolv.conf", std::process::id()));
        fs::write(&path, resolv).unwrap();
        let network = Self { resolv: path.to_str().unwrap().to_owned() };
        let possible: std::io::Result<Output> = network.command("true").output();
        if possible.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(network);
        }
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "no namespace: {possible:?}");
        println!("SKIPPED: no namespace: {possible:?}");
        None
    }

    fn run(&self, example: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command("exec \"$@\"");
        // Less than what the system's lookup takes.
        end(command.arg(built(example)).args(arguments), Duration::from_secs(8))
    }

    fn command(&self, then: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-r", "-n", "-m", "sh", "-c", &format!("{NETWORK} && {then}"), &self.resolv]);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.resolv);
    }
}

const NETWORK: &str = "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && \
                       ip link set v1 up && ip address add 192.0.2.1/24 dev v0 && \
                       ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev v0 && \
                       mount --bind \"$0\" /etc/resolv.conf";
