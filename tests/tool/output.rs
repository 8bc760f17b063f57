//! Every option of the tool that names a file for its output: "-" is standard output, and nothing else stands there then.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::files::{Scratch, well_formed};
use crate::program::{Ended, run};

#[test]
fn a_drawing_on_standard_output_is_that_of_the_file_and_stands_alone() {
    for arguments in DRAWING {
        let file = Scratch::new("drawing.svg");
        let drawn = |to: &str| run(arguments[0], &[&arguments[1..], &["--svg", to]].concat(), PATIENCE);
        assert_eq!(drawn(file.path()).code, Some(0), "{arguments:?}");
        let alone = drawn("-");
        assert_eq!((alone.code, &*alone.stderr), (Some(0), ""), "{arguments:?}");
        assert_eq!(alone.stdout, file.text(), "{arguments:?}");
        well_formed(&alone.stdout, &["&amp;", "&lt;", "&gt;"]);

        let both = run(arguments[0], &[&arguments[1..], &["--svg", "-", "--json"]].concat(), PATIENCE);
        assert_eq!((both.code, &*both.stdout), (Some(2), ""), "{both:?}");
        assert!(both.stderr.contains("cannot be used with"), "{both:?}");
    }
}

#[test]
fn a_report_on_standard_output_stands_alone_and_so_do_the_fates() {
    let shown = |option: &str| {
        let ended = proxy(&[option, "-"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.lines().any(|line| line.starts_with("listening on 127.0.0.1:")), "{ended:?}");
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let [report] = &shown("--report")[..] else { panic!() };
    assert_eq!(report["to_server"]["spec"], "loss 30%");
    let fates = shown("--record");
    // Twenty requests and as many replies, some of them more than once.
    assert!(fates.len() >= 40 && fates.iter().all(|fate| fate.get("direction").is_some()), "{fates:?}");

    let file = Scratch::new("report");
    let ended = proxy(&["--record", "-", "--report", file.path()]);
    assert_eq!((ended.code, file.text().lines().count()), (Some(0), 1), "{ended:?}");
    let both = proxy(&["--record", "-", "--report", "-"]);
    assert_eq!((both.code, &*both.stdout), (Some(2), ""), "{both:?}");
}

#[test]
fn no_file_is_called_so() {
    let folder = Scratch::new("folder");
    fs::create_dir(&folder.0).unwrap();
    for arguments in [&["schedule", "coap", "--svg", "-"][..], &["proxy", "--seed", "3", "--report", "-"]] {
        let mut command = crate::program::tool(arguments[0]);
        let ended =
            crate::program::Running::start(command.args(&arguments[1..]).current_dir(&folder.0), PATIENCE).end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let left = Path::new(&folder.0).join("-").exists();
    fs::remove_dir_all(&folder.0).unwrap();
    assert!(!left);
}

/// The demonstration.
fn proxy(arguments: &[&str]) -> Ended {
    run("proxy", &[&["--seed", "3"], arguments].concat(), PATIENCE)
}

const DRAWING: [&[&str]; 3] = [
    &["schedule", "coap"],
    &["faults", "verify", "loss 5%; delay 50ms ~10ms", "--datagrams", "5000"],
    &["outage", "--quick", "--stall", "4s", "--clients", "20", "--rows", "recommended"],
];

const PATIENCE: Duration = Duration::from_secs(120);
