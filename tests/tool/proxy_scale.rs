//! `udp-retry proxy` with many clients, and with hardly any descriptors. The clients are those of loopback's 2^24 addresses
//! that Linux has.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::files::Scratch;
use crate::program::Running;
use crate::proxy::{PATIENCE, Proxy, Service, after};

#[test]
fn twenty_thousand_clients_are_answered_and_a_signal_ends_their_sessions_with_a_report_within_seconds() {
    const CLIENTS: u32 = 20_000;
    let (service, file) = (Service::echo(), Scratch::new("many"));
    // As many descriptors as are allowed: each session has one.
    let most = format!("ulimit -n {} 2>/dev/null || ulimit -n $(ulimit -Hn)", CLIENTS + 100);
    let arguments = ["--max-sessions", "20000", "--report", file.path()];
    let proxy = Proxy::start_after(&most, &service, &arguments);
    let to = proxy.client.peer_addr().unwrap();
    let mut kept = Vec::new();
    for n in 0..CLIENTS {
        let client = client(n);
        client.connect(to).unwrap();
        assert_eq!(asked(&client, n), Some(n), "client {n}");
        if n % 100 == 0 {
            kept.push((n, client));
        }
    }
    for (n, client) in &kept {
        assert_eq!(asked(client, n + CLIENTS), Some(n + CLIENTS), "client {n}, again");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.running.id())).unwrap();
    let ended = Instant::now();
    proxy.signal("-TERM");
    let report = proxy.report();
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    assert_eq!(serde_json::from_str::<Value>(&file.text()).unwrap(), report);
    let sessions = &report["sessions"];
    assert_eq!((&report["unserved"], &sessions["expired"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(report["to_client"]["passed"], u64::from(CLIENTS) + kept.len() as u64, "{report}");
    // Where there are fewer, sessions make way for others, and nothing else is different.
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let files: u32 = files.unwrap().parse().unwrap();
    println!("{files} descriptors, {sessions}, ended within {:?}", ended.elapsed());
    if files >= CLIENTS + 20 {
        assert_eq!((&sessions["open"], &sessions["evicted"]), (&CLIENTS.into(), &0.into()), "{report}");
    } else {
        assert!(sessions["open"].as_u64() >= Some(u64::from(files) - 20), "{report}");
    }
}

#[test]
fn with_few_descriptors_all_are_answered_and_with_too_few_it_does_not_start() {
    let (service, mut serving) = (Service::echo(), Vec::new());
    for limit in 4..=12 {
        let file = Scratch::new("few");
        let limited = format!("ulimit -n {limit}");
        let arguments = ["--report", file.path(), "--record", "/dev/null"];
        let mut running =
            Running::start(&mut after(&limited, &service, &[&arguments[..], &["--for", "30s"]].concat()), PATIENCE);
        let Some(to) = listening(&mut running) else {
            let ended = running.end();
            assert_eq!(ended.code, Some(1), "limit {limit}: {ended:?}");
            assert!(ended.stderr.contains("os error 24"), "limit {limit}: {ended:?}");
            continue;
        };
        for n in 0..8 {
            let client = client(n);
            client.connect(to.as_str()).unwrap();
            assert_eq!(asked(&client, n), Some(n), "limit {limit}, client {n}");
        }
        serving.push(limit);
        std::process::Command::new("kill").arg(running.id().to_string()).status().unwrap();
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "limit {limit}: {ended:?}");
        let report: Value = serde_json::from_str(&file.text()).unwrap();
        assert_eq!((&report["unserved"], &report["to_client"]["passed"]), (&0.into(), &8.into()), "limit {limit}");
    }
    // Three that every program has, the listening socket, what it waits by, the recording, and one for a client.
    assert_eq!(serving, (8..=12).collect::<Vec<_>>());
}

/// Where, unless it has ended before.
fn listening(running: &mut Running) -> Option<String> {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(running.stdout()).read_line(&mut line).unwrap();
    Some(line.trim_end().strip_prefix("listening on ")?.to_owned())
}

fn client(n: u32) -> UdpSocket {
    let [_, _, high, low] = n.to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 2, high, low), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn asked(client: &UdpSocket, n: u32) -> Option<u32> {
    client.send(&n.to_be_bytes()).unwrap();
    let mut reply = [0; 4];
    client.recv(&mut reply).ok().map(|_| u32::from_be_bytes(reply))
}
