//! `udp-retry proxy ctl`, and those who use the control port badly.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes, and what must not wait, take real time")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Ended, Running, run, tool};
use crate::steered::{Commands, MS, Steered};

const PATIENCE: Duration = Duration::from_secs(20);

fn ctl(proxy: &Steered, command: &[&str]) -> Ended {
    run("proxy", &[&["ctl", &proxy.control.to_string()], command].concat(), PATIENCE)
}

#[test]
fn it_prints_the_answer_and_ends_with_1_if_that_is_an_error() {
    let proxy = Steered::start(&[]);
    let obeyed = ctl(&proxy, &["set", "to_client", "loss 25%; delay 1ms"]);
    assert_eq!(obeyed.stdout, "{\"listeners\":[\"default\"],\"ok\":true}\n", "{obeyed:?}");
    assert_eq!((obeyed.code, obeyed.stderr.as_str()), (Some(0), ""));
    let stats = ctl(&proxy, &["stats"]);
    let report: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(report["listeners"][0]["to_client"]["spec"], "loss 25%; delay 1ms");
    let refused = ctl(&proxy, &["set", "to_client", "loss", "30"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.starts_with("{\"error\":\"at 22: expected `%`"), "{refused:?}");
    assert!(refused.stderr.contains("refused"), "{refused:?}");
    let text = ctl(&proxy, &["stats", "prometheus"]);
    assert_eq!((text.code, text.stdout.lines().last()), (Some(0), Some("# EOF")));
    assert!(text.stdout.lines().count() > 60, "{text:?}");
}

#[test]
fn it_sends_the_lines_of_its_input_and_goes_on_after_an_error() {
    let proxy = Steered::start(&[]);
    let mut command = tool("proxy");
    command.args(["ctl", &proxy.control.to_string()]).stdin(Stdio::piped());
    let mut running = Running::start(&mut command, PATIENCE);
    let lines = "# a network\nset both delay 1ms\n\nstats prometheus\nset both\n  set to_server loss 5%\n";
    running.stdin().write_all(lines.as_bytes()).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("refused 1 of 4 commands"), "{ended:?}");
    let answers: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    let stats = proxy.commands().stats();
    assert_eq!((&stats["to_server"]["spec"], &stats["to_client"]["spec"]), (&"loss 5%".into(), &"delay 1ms".into()));
}

#[test]
fn it_says_if_there_is_no_proxy_and_what_is_wrong_with_its_arguments() {
    let proxy = Steered::start(&[]);
    // The end of a connection: it is taken, and nothing listens there.
    let taken = TcpStream::connect(proxy.control).unwrap();
    let nowhere = taken.local_addr().unwrap().to_string();
    let ended = run("proxy", &["ctl", &nowhere, "stats"], PATIENCE);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("no proxy takes commands at {nowhere}")), "{ended:?}");
    assert!(ended.stderr.contains(&format!("as one with '--control {nowhere}' would")), "{ended:?}");
    let address = proxy.control.to_string();
    for (arguments, said) in [
        (&["ctl"][..], "ADDR"),
        (&["ctl", "here", "stats"], "no address such as"),
        (&["ctl", &address, "stats\nset both none"], "a command is one line"),
        (&["ctl", &address, " "], "the command is empty"),
        (&["--loss", "5%", "ctl", &address, "stats"], "cannot be used with"),
    ] {
        let ended = run("proxy", arguments, PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: {ended:?}");
    }
    assert_eq!(proxy.commands().stats()["changes"]["number"], 0);
}

#[test]
fn those_who_never_read_or_never_end_a_line_hold_nothing_up() {
    let proxy = Steered::start(&[]);
    // Begun, and left so.
    let (mut begun, since) = (proxy.commands(), Instant::now());
    begun.send(b"set both lo").unwrap();
    // Asks for some megabytes and reads none of them; it is let go of when it has read nothing for long enough.
    let mut deaf = TcpStream::connect(proxy.control).unwrap();
    deaf.set_write_timeout(Some(100 * MS)).unwrap();
    let many = "stats prometheus\n".repeat(5000);
    let _ = deaf.write_all(many.as_bytes());

    let mut endless = proxy.commands();
    // It may be refused before all is sent.
    let _ = endless.send(&[b'x'; 70_000]);
    let answer = endless.line();
    assert!(answer.is_empty() || answer.contains("a line has 65536 bytes at most"), "{answer}");
    assert_eq!(endless.line(), "");

    let mut browser = proxy.commands();
    browser.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nset both loss 100%\r\n").unwrap();
    assert!(browser.line().contains("this is no HTTP"));
    assert_eq!(browser.line(), "");

    for _ in 0..20 {
        let (mut commands, asked) = (proxy.commands(), Instant::now());
        assert_eq!(commands.stats()["changes"]["number"], 0);
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    }
    let answer = begun.line();
    assert!(answer.is_empty() || answer.contains("a line must end within 10s"), "{answer}");
    assert!(answer.is_empty() || since.elapsed() >= Duration::from_secs(10));
    assert_eq!(begun.line(), "");
}

#[test]
fn a_connection_too_many_ends_the_one_that_was_not_used_for_the_longest_time() {
    let proxy = Steered::start(&[]);
    let mut first = proxy.commands();
    first.obeyed("help");
    let mut second = proxy.commands();
    second.obeyed("help");
    // Used since.
    first.obeyed("help");
    let mut others: Vec<Commands> = (0..15).map(|_| proxy.commands()).collect();
    others.iter_mut().for_each(|it| it.obeyed("help"));
    assert_eq!(second.line(), "", "it made place");
    first.obeyed("help");
    // Far more than there may be: threads and descriptors stay few, and the last ones are served.
    let many: Vec<Commands> = (0..200).map(|_| proxy.commands()).collect();
    drop(many);
    let until = Instant::now() + PATIENCE;
    loop {
        let mut latest = proxy.commands();
        let _ = latest.send(b"help\n");
        if latest.line().contains("\"ok\":true") {
            break;
        }
        assert!(Instant::now() < until, "no one is served any more");
        thread::sleep(20 * MS);
    }
    if cfg!(target_os = "linux") {
        let threads = fs::read_dir(format!("/proc/{}/task", proxy.running.id())).unwrap().count();
        assert!(threads <= 2 * 16 + 4, "{threads} threads");
    }
}
