//! SIGHUP for `udp-retry proxy` in front of a service that is given by a name.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::files::Scratch;
use crate::installed::installed;
use crate::program::Running;
use crate::proxy::{PATIENCE, Proxy, Service};

/// With a hosts file of its own, where the service's name moves.
#[test]
fn a_hangup_that_no_terminal_can_have_sent_has_a_name_resolved_again_and_ends_nothing() {
    let hosts = Scratch::new("moving");
    let moved_to =
        |address: &str| fs::write(&hosts.0, format!("127.0.0.1 localhost\n{address} moving.test\n")).unwrap();
    moved_to("127.0.0.11");
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/hosts && exec setsid env --default-signal=HUP \"$@\"";
    command.args(["-r", "-m", "sh", "-c", script, hosts.path()]);
    if !command.arg("true").status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "no namespace");
        println!("SKIPPED: no namespace");
        return;
    }
    let first = serving("127.0.0.11:0");
    let port = first.port();
    serving(&format!("127.0.0.12:{port}"));
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "sh", "-c", script, hosts.path(), env!("CARGO_BIN_EXE_udp-retry"), "proxy", "--listen"]);
    command.args(["127.0.0.1:0", "--upstream", &format!("moving.test:{port}")]);
    let proxy = Proxy::of(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let to = proxy.client.peer_addr().unwrap();
    let asked = || {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.send_to(b"who?", to).unwrap();
        let mut reply = [0; 64];
        client.recv(&mut reply).map_or(String::new(), |len| String::from_utf8_lossy(&reply[..len]).into_owned())
    };
    moved_to("127.0.0.12");
    for _ in 0..4 {
        assert_eq!(asked(), "127.0.0.11", "as long as it answers");
        thread::sleep(Duration::from_millis(300));
    }
    proxy.signal("-HUP");
    let answers: Vec<_> = (0..60)
        .map(|_| {
            thread::sleep(Duration::from_millis(50));
            asked()
        })
        .take_while(|answer| answer != "127.0.0.12")
        .collect();
    assert!(answers.len() < 60, "{answers:?}");
    proxy.signal("-TERM");
    assert_eq!(proxy.report()["upstream"], format!("127.0.0.12:{port}"));
}

#[test]
fn a_hangup_ends_it_where_there_is_a_terminal_whatever_the_service_is_called() {
    if !installed("a hangup on a terminal", &["script"]) {
        return;
    }
    let service = Service::echo();
    let proxy = format!("proxy --listen 127.0.0.1:0 --upstream localhost:{} --json", service.address.port());
    let run =
        format!("echo $$; exec env --default-signal=HUP '{}' {proxy} 2>/dev/null", env!("CARGO_BIN_EXE_udp-retry"));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &run, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Running::start(&mut script, PATIENCE);
    let mut lines = BufReader::new(running.stdout()).lines().map(Result::unwrap);
    let (id, listening) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(listening.starts_with("listening on "), "{listening}");
    assert!(Command::new("kill").args(["-HUP", id.trim()]).status().unwrap().success());
    let report: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((&report["sessions"]["opened"], running.end().code), (&0.into(), Some(0)));
}

/// Answers with its own address.
fn serving(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let own = socket.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            let _ = socket.send_to(own.ip().to_string().as_bytes(), from);
        }
    });
    own
}
