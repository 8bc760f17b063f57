//! `udp-retry request` where there is nothing to send, no one to ask or no end: each request has its line, each wait its
//! end, and each file its limit.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::closed::closed_port;
use crate::files::Scratch;
use crate::program::{Running, run};
use crate::request::{Server, reports};

#[test]
fn each_request_has_its_line_whatever_failed() {
    // No such name, and no permission.
    for (host, reason) in [
        ("host.invalid:9", "no address for \"host.invalid\": "),
        ("255.255.255.255:9", "cannot ask 255.255.255.255:9: "),
    ] {
        for (repeat, more) in [(1, &[][..]), (3, &["--id", "0:1"]), (3, &[])] {
            let count = repeat.to_string();
            let arguments = [&[host, "--text", "x", "--repeat", &count], more].concat();
            let ended = run("request", &[&arguments[..], &["--json"]].concat(), PATIENCE);
            assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
            let begins = if repeat == 1 { reason } else { "3 of 3 requests brought no reply; " };
            assert!(
                ended.stderr.starts_with(&format!("error: {begins}")) && ended.stderr.contains(reason),
                "{ended:?}"
            );
            let lines = reports(&ended);
            assert_eq!(lines.len(), repeat, "{ended:?}");
            for line in lines {
                assert_eq!((&line["error"], &line["execution"]), (&"io".into(), &"not_sent".into()), "{line}");
                assert_eq!(
                    (&line["transmissions"], &line["sent_ms"]),
                    (&0.into(), &Value::Array(Vec::new())),
                    "{line}"
                );
            }
            let story = run("request", &arguments, PATIENCE);
            assert_eq!((story.code, story.stdout.matches("; execution: not_sent\n").count()), (Some(1), repeat));
            assert_eq!(story.stdout.matches(&format!("No reply: {reason}")).count(), repeat, "{story:?}");
        }
    }
}

/// In a network where packets to the name server vanish; its own lookup takes the system 10 s.
#[cfg(target_os = "linux")]
#[test]
fn a_deadline_bounds_finding_the_address_too_of_each_request() {
    let resolv = Scratch::new("resolv.conf");
    fs::write(&resolv.0, "nameserver 192.0.2.2\n").unwrap();
    let network = "ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && \
                   ip address add 192.0.2.1/24 dev v0 && \
                   ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev v0 && \
                   mount --bind \"$0\" /etc/resolv.conf";
    let apart = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(["-r", "-n", "-m", "sh", "-c", &format!("{network} && {then}"), resolv.path()]);
        command
    };
    let possible = apart("true").output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "no namespace: {possible:?}");
        println!("SKIPPED: no namespace: {possible:?}");
        return;
    }
    let mut command = apart("exec \"$@\"");
    command.arg(env!("CARGO_BIN_EXE_udp-retry"));
    command.args(["request", "name.example.org:9", "--text", "x", "--deadline", "400ms", "--repeat", "3", "--json"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ended = Running::start(&mut command, PATIENCE).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no address for \"name.example.org\": nothing from the name server"), "{ended:?}");
    let lines = reports(&ended);
    assert_eq!(lines.len(), 3, "{ended:?}");
    for line in lines {
        assert_eq!((&line["error"], &line["execution"]), (&"timed_out".into(), &"not_sent".into()), "{line}");
        // 0.1 s more on a quiet machine.
        assert!((400.0..2_000.0).contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    }
}

#[test]
fn the_lookup_shortens_the_request_that_it_was_made_for_and_no_other() {
    let server = Server::start(|_, _| Vec::new());
    let named = format!("localhost:{}", server.address.port());
    let arguments = [&named, "--text", "x", "--deadline", "250ms", "--repeat", "3", "--json"];
    let lines = reports(&run("request", &arguments, PATIENCE));
    assert_eq!(lines.len(), 3);
    // Each has all of it, the lookup included.
    assert!(lines.iter().all(|line| line["elapsed_ms"].as_f64() >= Some(250.0)), "{lines:?}");
}

/// `/dev/zero` has no end, nor has the pipe, and reading the file whole takes a terabyte.
#[test]
fn a_file_is_read_no_further_than_a_datagram_reaches() {
    let (pipe, sparse) = (Scratch::new("endless"), Scratch::new("sparse"));
    assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    fs::File::create(&sparse.0).unwrap().set_len(1 << 40).unwrap();
    let path = pipe.0.clone();
    let writer = thread::spawn(move || {
        let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
        let mut written = 0;
        while let Ok(more) = pipe.write(&[0; 4096]) {
            written += more;
        }
        written
    });
    for (file, said) in [
        ("/dev/zero", "more than 65527 bytes"),
        (pipe.path(), "more than 65527 bytes"),
        (sparse.path(), "more than 65527 bytes"),
        ("/", "cannot read /: "),
        ("/nowhere/at/all", "cannot read /nowhere/at/all: "),
    ] {
        let ended = run("request", &["127.0.0.1:9", "--file", file, "--json"], PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{file}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(said), "{file}: {ended:?}");
    }
    // What the pipe itself holds, too.
    assert!(writer.join().unwrap() < 1 << 20);
}

#[test]
fn nothing_that_no_datagram_holds_is_asked_wherever_it_comes_from() {
    let most = Scratch::new("most");
    let too_many = Scratch::new("too-many");
    fs::write(&most.0, vec![b'x'; 65_527]).unwrap();
    fs::write(&too_many.0, vec![b'x'; 65_528]).unwrap();
    let (text, hex) = ("x".repeat(65_528), "00".repeat(65_528));
    for source in [["--file", too_many.path()], ["--text", &text], ["--hex", &hex]] {
        let ended = run("request", &["127.0.0.1:9", source[0], source[1]], PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("more than 65527 bytes"), "{ended:?}");
    }
    // IPv6 has room for it, IPv4 has not, and says so.
    let line = &reports(&run("request", &["127.0.0.1:9", "--file", most.path(), "--json"], PATIENCE))[0];
    assert_eq!((&line["error"], &line["transmissions"]), (&"too_large".into(), &0.into()));
    let Ok(server) = UdpSocket::bind("[::1]:0") else { return };
    let address = server.local_addr().unwrap().to_string();
    let arguments = [&address, "--file", most.path(), "--json", "--deadline", "100ms"];
    assert_eq!(reports(&run("request", &arguments, PATIENCE))[0]["error"], "timed_out");
}

/// A request's record holds 32 events, of which refusals and strays take their share.
#[test]
fn every_transmission_has_its_time_however_much_else_happens() {
    let closed = closed_port().to_string();
    let silent = Server::start(|_, _| Vec::new());
    let noisy = Server::start(|_, _| vec![b"no id".to_vec(); 20]);
    for address in [&closed, &silent.address.to_string(), &noisy.address.to_string()] {
        let arguments = [address, "--text", "id", "--id", "0:2:9", "--policy", "5ms x1 60 transmissions", "--json"];
        let lines = reports(&run("request", &[&arguments[..], &["--repeat", "2"]].concat(), PATIENCE));
        assert_eq!(lines.len(), 2);
        for line in lines {
            let sent: Vec<_> = line["sent_ms"].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
            // A machine that is suspended skips some, but never half of them.
            assert_eq!(line["transmissions"], sent.len(), "{address}: {line}");
            assert!(sent.len() > 33 && sent[0] == 0.0, "{address}: {line}");
            assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "{address}: {line}");
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
