//! How `udp-retry proxy` is told its service, and what it tells of clients that it cannot serve.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real clients and services are the point")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ChildStdout;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Ended, Running, run, tool};

const PATIENCE: Duration = Duration::from_secs(20);

struct Proxy {
    running: Running,
    stdout: BufReader<ChildStdout>,
    client: UdpSocket,
}

impl Proxy {
    fn start(upstream: &str, arguments: &[&str]) -> Self {
        let mut command = tool("proxy");
        command.args(["--listen", "127.0.0.1:0", "--upstream", upstream]).args(arguments);
        let mut running = Running::start(&mut command, PATIENCE);
        let mut stdout = BufReader::new(running.stdout());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self { running, stdout, client }
    }

    /// Asks again, as clients do.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 64];
        for _ in 0..20 {
            self.client.send(request).unwrap();
            if let Ok(len) = self.client.recv(&mut buffer) {
                return buffer[..len].to_vec();
            }
        }
        panic!("no reply");
    }

    fn end(mut self) -> (Value, Ended) {
        let kill = std::process::Command::new("kill").arg(self.running.id().to_string()).status().unwrap();
        assert!(kill.success());
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).unwrap();
        let ended = self.running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        (serde_json::from_str(&report).unwrap(), ended)
    }
}

fn echo(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}

#[test]
fn an_address_that_can_be_read_in_two_ways_is_refused_with_what_may_be_meant() {
    for (command, arguments, said) in [
        ("proxy", "--listen 127.0.0.1:0 --upstream ::1:4545", "[::1]:4545"),
        ("proxy", "--listen ::1:4545 --upstream 127.0.0.1:9", "[::1]:4545"),
        ("proxy", "--listen 127.0.0.1:0 --upstream 127.0.0.1:0", "from 1 to 65535"),
        ("proxy", "--listen 127.0.0.1:0 --upstream localhost", "it lacks a port"),
        ("serve", "echo --listen ::1:4545", "[::1]:4545"),
        ("request", "::1:4545 --hex 00", "[::1]:4545"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let ended = run(command, &arguments, PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{command} {arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{command} {arguments:?}: no {said:?} in {ended:?}");
    }
    for (upstream, said) in
        [("224.0.0.251:5353", "broadcast or multicast"), ("255.255.255.255:9", "name one of the hosts")]
    {
        let ended = run("proxy", &["--listen", "127.0.0.1:0", "--upstream", upstream], PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{upstream}: {ended:?}");
        assert!(ended.stderr.contains(said), "{upstream}: {ended:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_goes_by_its_name_or_its_number() {
    for upstream in ["[fe80::1%lo]:4545", "[fe80::1%1]:4545"] {
        let (report, _) = Proxy::start(upstream, &[]).end();
        assert_eq!((&report["upstream"], &report["upstream_name"]), (&json!("[fe80::1%1]:4545"), &json!(upstream)));
    }
}

/// The last one: where `localhost` has an address of each family, that is not the one that is asked first.
#[test]
fn all_addresses_of_a_name_are_tried_and_the_report_shows_which_one_answers() {
    let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let last = addresses.iter().max_by_key(|address| address.is_ipv6()).unwrap();
    let service = echo(&last.to_string());
    let name = format!("localhost:{}", service.port());
    let proxy = Proxy::start(&name, &[]);
    assert_eq!(proxy.ask(b"is anybody there?"), b"is anybody there?");
    let (report, _) = proxy.end();
    assert_eq!((&report["upstream_name"], &report["upstream"]), (&json!(name), &json!(service.to_string())));
    assert_eq!(report["sessions"]["opened"], 1);
}

#[cfg(target_os = "linux")]
#[test]
fn why_a_client_is_not_served_stands_in_the_report_and_once_on_standard_error() {
    // The system forbids to send there.
    let proxy = Proxy::start("127.255.255.255:9", &[]);
    for n in 0..3 {
        proxy.client.send(&[n]).unwrap();
        let _ = proxy.client.recv(&mut [0; 8]);
    }
    let (report, ended) = proxy.end();
    assert_eq!(report["unserved"], 3, "{report}");
    let reasons = json!({ "no_port": 0, "no_socket": 0, "unreachable": 3, "own": 0 });
    assert_eq!(report["unserved_why"]["by_reason"], reasons);
    let error = report["unserved_why"]["last_error"].as_str().unwrap();
    assert!(error.contains("ermission denied"), "{error}");
    assert_eq!(ended.stderr.matches(error).count(), 1, "{ended:?}");

    let service = echo("127.0.0.1:0");
    let proxy = Proxy::start(&service.to_string(), &[]);
    proxy.ask(b"served");
    let (report, ended) = proxy.end();
    assert_eq!((&report["unserved"], &report["unserved_why"]["last_error"]), (&json!(0), &Value::Null));
    assert!(!ended.stderr.contains("not served"), "{ended:?}");
}

#[test]
fn any_port_lets_a_service_answer_from_a_port_of_its_own() {
    for (arguments, received) in [(&["--any-port"][..], 1), (&[], 0)] {
        let (service, transfer) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let proxy = Proxy::start(&service.local_addr().unwrap().to_string(), arguments);
        service.set_read_timeout(Some(PATIENCE)).unwrap();
        proxy.client.send(b"read").unwrap();
        let (_, session) = service.recv_from(&mut [0; 8]).unwrap();
        transfer.send_to(b"data", session).unwrap();
        let came = proxy.client.recv(&mut [0; 8]);
        assert_eq!(came.ok(), (received > 0).then_some(4), "{arguments:?}");
        if received > 0 {
            proxy.client.send(b"acknowledged").unwrap();
            transfer.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(transfer.recv(&mut [0; 16]).unwrap(), 12);
        }
        let (report, _) = proxy.end();
        assert_eq!((&report["to_client"]["received"], &report["strangers"]), (&json!(received), &json!(0)));
    }
}
