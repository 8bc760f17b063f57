//! What all commands have in common.

use std::time::Duration;

use udp_retry::fault::Profile;

use crate::program::{bare, run};

#[test]
fn by_itself_it_shows_what_it_can_do() {
    let ended = bare(&[], PATIENCE);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("Usage: udp-retry "), "{ended:?}");
    for command in COMMANDS {
        assert!(ended.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{ended:?}");
    }
    assert_eq!(bare(&["--help"], PATIENCE), ended);
}

#[test]
fn it_knows_its_version() {
    let told = bare(&["--version"], PATIENCE);
    let version = format!("udp-retry {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((told.code, &*told.stdout, &*told.stderr), (Some(0), &*version, ""));
}

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let ended = run(command, &["--help"], PATIENCE);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{command}: {ended:?}");
        assert!(ended.stdout.contains(&format!("Usage: udp-retry {command} [OPTIONS]")), "{ended:?}");
    }
}

#[test]
fn the_help_of_what_takes_a_specification_has_its_grammar() {
    for arguments in [&["proxy", "--help"][..], &["faults", "--help"], &["faults", "verify", "--help"]] {
        let help = run(arguments[0], &arguments[1..], PATIENCE).stdout;
        for row in ["loss 5% burst 3 ", "50ms normal 10ms ", "refuse 6 above 1372 ", "Units of time are ns, us, ms"] {
            assert!(help.contains(row), "{arguments:?} lacks {row:?}:\n{help}");
        }
        assert!(arguments[0] != "proxy" || help.contains(&Profile::NAMES.join(", ")), "{help}");
        assert!(help.lines().skip_while(|line| !line.starts_with("A SPEC is")).all(|line| line.len() <= 100));
    }
}

#[test]
fn nonsense_is_wrong_usage_and_said_on_standard_error_only() {
    let usages = COMMANDS.map(|command| vec![command, "--nonsense"]).into_iter();
    for usage in usages.chain([vec!["nonsense"], vec!["--nonsense"]]) {
        let ended = bare(&usage, PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("Usage: udp-retry"), "{ended:?}");
    }
}

/// What a command refuses itself looks as what the parser of the arguments refuses.
#[test]
fn a_refusal_names_the_usage_of_its_command() {
    for (command, arguments) in [
        ("request", &["127.0.0.1:9", "--hex", "0"][..]),
        ("schedule", &["--initial", "2s", "--max", "1s"]),
        ("faults", &["loss 5"]),
    ] {
        let ended = run(command, arguments, PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(&format!("Usage: udp-retry {command} ")), "{ended:?}");
    }
}

const COMMANDS: [&str; 7] = ["request", "schedule", "proxy", "faults", "outage", "path-mtu", "serve"];

const PATIENCE: Duration = Duration::from_secs(20);
