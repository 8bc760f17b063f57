//! What `udp-retry proxy` writes where nothing can be written, and what it reads of what was written in part.
#![cfg(unix)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use udp_retry::fault::Trace;

use crate::files::Scratch;
use crate::program::{Running, run};
use crate::proxy::{PATIENCE, Proxy, Service, after};

#[test]
fn a_report_or_recording_that_cannot_be_written_leaves_the_report_on_standard_output_and_is_a_failure() {
    if !cfg!(target_os = "linux") {
        println!("SKIPPED: there is no /dev/full");
        return;
    }
    let (service, other) = (Service::echo(), Scratch::new("other"));
    for (arguments, files) in [
        (vec!["--record", "/dev/full"], vec!["/dev/full"]),
        (vec!["--report", "/dev/full"], vec!["/dev/full"]),
        (vec!["--report", "/nowhere/at/all"], vec!["/nowhere/at/all"]),
        (vec!["--record", "/dev/full", "--report", other.path()], vec!["/dev/full"]),
        (vec!["--report", "/nowhere/at/all", "--record", other.path()], vec!["/nowhere/at/all"]),
        (vec!["--record", "/dev/full", "--report", "/nowhere/at/all"], vec!["/dev/full: ", "/nowhere/at/all: "]),
    ] {
        let mut proxy = Proxy::start(&service, &arguments);
        for _ in 0..200 {
            assert!(proxy.ask(b"forwarded all the same").is_some(), "{arguments:?}");
        }
        proxy.signal("-TERM");
        let ended = proxy.end();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        assert_eq!((ended.code, &report["to_server"]["passed"]), (Some(1), &200.into()), "{arguments:?}");
        for file in files {
            assert_eq!(ended.stderr.matches(file).count(), 1, "{ended:?}");
        }
        if arguments.ends_with(&["--report", other.path()]) {
            assert_eq!(report_of(&other), Some(report));
        }
        if arguments.ends_with(&["--record", other.path()]) {
            assert_eq!(other.text().lines().count(), 400);
        }
        let _ = fs::remove_file(&other.0);
    }
}

fn report_of(file: &Scratch) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(&file.0).ok()?).ok()
}

#[test]
fn a_report_goes_to_standard_error_where_the_recording_has_standard_output() {
    let service = Service::echo();
    let arguments = ["--record", "-", "--report", "/nowhere/at/all"];
    let mut running =
        Running::start(&mut after(":", &service, &[&arguments[..], &["--for", "300ms"]].concat()), PATIENCE);
    let _ = running.stdout();
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.stderr.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(serde_json::from_str::<Value>(report).unwrap()["to_server"]["passed"], 0);
}

#[test]
fn a_report_whose_directory_vanishes_is_on_standard_output() {
    let (service, directory) = (Service::echo(), Scratch::new("directory"));
    fs::create_dir(&directory.0).unwrap();
    let file = format!("{}/report", directory.path());
    let mut proxy = Proxy::start(&service, &["--report", &file]);
    assert!(proxy.ask(b"there it is").is_some());
    fs::remove_dir(&directory.0).unwrap();
    proxy.signal("-TERM");
    let ended = proxy.end();
    assert!(ended.code == Some(1) && ended.stderr.contains(&file), "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["to_server"]["passed"], 1);
}

/// It stops growing within a line.
#[test]
fn a_recording_on_a_disk_that_fills_up_ends_in_a_whole_line_and_is_repeated() {
    let (service, file) = (Service::echo(), Scratch::new("full"));
    let mut proxy = Proxy::start_after("trap '' XFSZ; ulimit -f 8", &service, &["--record", file.path()]);
    for _ in 0..200 {
        assert!(proxy.ask(b"forwarded all the same").is_some());
    }
    proxy.signal("-TERM");
    let ended = proxy.end();
    assert!(ended.code == Some(1) && ended.stderr.contains(file.path()), "{ended:?}");
    let recorded = file.text();
    // 8 kB at most, whatever unit the shell has; a line has some 100 bytes.
    assert!(recorded.ends_with("}\n") && (3000..=8192).contains(&recorded.len()), "{} bytes", recorded.len());
    assert_ne!(recorded.parse::<Trace>().unwrap(), Trace::default());
}

#[test]
fn a_recording_that_ends_within_a_line_is_repeated_without_it_and_with_a_warning() {
    let (service, file) = (Service::echo(), Scratch::new("torn"));
    let line = |n: u32| format!("{{\"link\":0,\"direction\":\"to_server\",\"n\":{n},\"len\":1,\"dropped\":\"loss\"}}");
    fs::write(&file.0, format!("{}\n{}\n{}", line(1), line(2), &line(3)[..40])).unwrap();
    let mut proxy = Proxy::start(&service, &["--replay", file.path()]);
    let heard: Vec<_> = (1..=4).map(|n| proxy.ask(&[n]).is_some()).collect();
    assert_eq!(heard, [false, false, true, true]);
    proxy.signal("-TERM");
    let ended = proxy.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warning = format!("warning: {} ends within line 3, which is left out\n", file.path());
    assert!(ended.stderr.contains(&warning), "{ended:?}");
    // Any other bad line is wrong usage.
    fs::write(&file.0, format!("{}\n{}\n{}", line(1), &line(2)[..40], line(3))).unwrap();
    let refused = run("proxy", &["--replay", file.path()], Duration::from_secs(5));
    assert!(refused.code == Some(2) && refused.stderr.contains("line 2"), "{refused:?}");
}

/// A terminal that is gone, a full disk, and what was closed before it started.
#[test]
fn it_serves_and_reports_whoever_reads_standard_error() {
    let service = Service::echo();
    for stderr in ["exec 2>&-", "exec 2>/dev/full"] {
        if cfg!(not(target_os = "linux")) && stderr.contains("full") {
            continue;
        }
        let mut proxy = Proxy::start_after(stderr, &service, &[]);
        assert!(proxy.ask(b"are you there?").is_some(), "{stderr}");
        proxy.signal("-TERM");
        assert_eq!(proxy.report()["to_server"]["passed"], 1, "{stderr}");
    }
    // No one will ever read it.
    let mut command = after(":", &service, &["--for", "500ms"]);
    let ended = Running::start(command.stderr(unread()), PATIENCE).end();
    assert!(ended.code == Some(0) && ended.stdout.lines().count() == 2, "{ended:?}");
}

#[test]
fn the_report_file_is_written_whoever_reads_standard_output() {
    let service = Service::echo();
    for (stdout, code) in [("exec >&-", 0), ("exec >/dev/full", 1)] {
        if cfg!(not(target_os = "linux")) && stdout.contains("full") {
            continue;
        }
        let file = Scratch::new("report");
        let arguments = ["--report", file.path(), "--for", "300ms"];
        let ended = Running::start(&mut after(stdout, &service, &arguments), PATIENCE).end();
        assert_eq!((ended.code, report_of(&file).is_some()), (Some(code), true), "{stdout}: {ended:?}");
    }
    let file = Scratch::new("report");
    // Before its first line, and after it.
    let mut command = after(":", &service, &["--report", file.path(), "--for", "300ms"]);
    let ended = Running::start(command.stdout(unread()), PATIENCE).end();
    assert_eq!((ended.code, report_of(&file).is_some()), (Some(0), true), "{ended:?}");
    assert!(ended.stderr.contains("listening on 127.0.0.1:"), "{ended:?}");
    let file = Scratch::new("report");
    let mut command = after(":", &service, &["--report", file.path(), "--for", "300ms"]);
    let mut running = Running::start(&mut command, PATIENCE);
    drop(running.stdout());
    let ended = running.end();
    assert_eq!((ended.code, report_of(&file).is_some()), (Some(0), true), "{ended:?}");
}

/// A pipe whose reader is gone.
fn unread() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    writer.into()
}
