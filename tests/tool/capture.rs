//! `udp-retry proxy --pcap`: the file agrees with the report, and stands alone on standard output.
#![cfg(unix)]

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::files::Scratch;
use crate::installed::installed;
use crate::program::{Ended, Running, run, tool};

#[test]
fn what_tshark_counts_in_the_file_is_what_the_report_says() {
    if !installed("what_tshark_counts_in_the_file_is_what_the_report_says", &["tshark"]) {
        return;
    }
    let file = Scratch::new("shown.pcapng");
    let ended = proxy(&["--pcap", file.path()]);
    let report = report(&ended);
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"];
    let shown = Command::new("tshark").args(["-n", "-r", file.path()]).args(fields).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let count = |side: &str, direction: &str, part: &str| {
        let like = |line: &&str| line.starts_with(&format!("{side}\t{direction} n ")) && line.contains(part);
        shown.lines().filter(like).count() as u64
    };
    for (direction, [side, other]) in [("to_server", ["client", "server"]), ("to_client", ["server", "client"])] {
        let way = &report[direction];
        let counted = [
            count(side, direction, ""),
            count(side, direction, "dropped (loss)"),
            count(other, direction, "delivered"),
            count(other, direction, ""),
        ];
        let said = [&way["received"], &way["dropped"]["loss"], &way["passed"], &way["passed"]];
        assert_eq!(counted.map(Value::from), said.map(Clone::clone), "{direction}: {shown}");
        assert!(counted[1] > 0, "nothing was lost: {shown}");
    }
}

#[test]
fn a_capture_on_standard_output_stands_alone() {
    let mut running = Running::start(tool("proxy").args(["--seed", "3", "--pcap", "-"]), PATIENCE);
    let mut capture = Vec::new();
    running.stdout().read_to_end(&mut capture).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.lines().any(|line| line.starts_with("listening on 127.0.0.1:")), "{ended:?}");
    let mut rest = &capture[..];
    let mut packets = 0;
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let [kind, len] = [&head[..4], &head[4..]].map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        packets += u32::from(kind == 6);
        rest = &rest[len as usize..];
    }
    assert!(rest.is_empty() && packets >= 40, "{packets} packets, then {rest:?}");

    for other in ["--report", "--record"] {
        let both = run("proxy", &["--pcap", "-", other, "-"], PATIENCE);
        assert_eq!((both.code, &*both.stdout), (Some(2), ""), "{both:?}");
        assert!(both.stderr.contains(&format!("'{other} -' cannot be used with '--pcap -'")), "{both:?}");
    }
}

#[test]
fn a_capture_that_cannot_be_written_is_a_failure_and_the_report_comes_all_the_same() {
    let none = run("proxy", &["--pcap", "/nowhere/at/all"], PATIENCE);
    assert_eq!((none.code, &*none.stdout), (Some(1), ""), "{none:?}");
    assert!(none.stderr.contains("/nowhere/at/all: "), "{none:?}");
    #[cfg(target_os = "linux")]
    {
        let full = proxy(&["--pcap", "/dev/full"]);
        assert_eq!(full.code, Some(1), "{full:?}");
        assert!(full.stderr.contains("cannot write /dev/full: "), "{full:?}");
        let asked = full.stdout.lines().last().unwrap();
        let report: Value = serde_json::from_str(asked).unwrap();
        assert!(report["to_server"]["passed"].as_u64() > Some(10), "{report}");
    }
}

/// The demonstration.
fn proxy(arguments: &[&str]) -> Ended {
    run("proxy", &[&["--seed", "3"], arguments].concat(), PATIENCE)
}

fn report(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(120);
