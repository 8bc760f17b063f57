//! A system that has no entropy to give: `strace` has the calls that ask for it fail.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use crate::again::{again, part, this_test};
use crate::system_calls::untraceable;
use crate::watchdog::{MINUTE, within};
use udp_retry::net::system_entropy;
use udp_retry::transport::NoEntropy;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

#[test]
fn without_entropy_a_requester_that_stamps_is_refused_and_another_works() {
    if let Some(part) = part() {
        return within(MINUTE, move || ask(&part));
    }
    if let Some(reason) = untraceable() {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "{reason}");
        println!("SKIPPED {}: {reason}", this_test!());
        return;
    }
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let run = |part: &str, options: &[&str]| {
        let options = [&["strace", "-f", "-e", "trace=getrandom"], options].concat();
        let output = again(this_test!(), &format!("{address} {part}"), &options).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{part}: {said}");
        said
    };
    let said = run("granted", &[]);
    // What asks last is the thread that makes the requesters, with three calls; what came before them may not fail.
    let calls: Vec<_> = said.lines().filter(|line| line.contains("getrandom(")).collect();
    let thread = |line: &&&str| line.split_whitespace().nth(1) == calls.last().unwrap().split_whitespace().nth(1);
    let first = calls.iter().filter(thread).count() - 2;
    let said = run("denied", &["-e", &format!("inject=getrandom:error=EIO:when={first}+")]);
    assert_eq!(said.matches("(INJECTED)").count(), 3, "{said}");
}

/// As `server denied` says.
fn ask(part: &str) {
    let (server, denied) = part.split_once(' ').unwrap();
    // More than other threads ask for, so that the count below denies nothing to them.
    for _ in 0..8 {
        system_entropy().unwrap();
    }
    let connect = || ConnectedUdp::connect(server).unwrap();
    let by_id = |stamped: bool| {
        let id = transaction_id(0..8);
        let policy = RetryPolicy::LAN.with_deadline(Duration::from_millis(20)).unwrap();
        ReliableRequester::builder(if stamped { id.stamped() } else { id }).policy(policy).over(connect())
    };
    assert_eq!(by_id(true).map(drop), if denied == "denied" { Err(NoEntropy::new()) } else { Ok(()) });
    // Jitter needs no secrecy, and this one is sent.
    assert_eq!(by_id(false).unwrap().request(b"........").unwrap_err().transmissions(), 1);
}
