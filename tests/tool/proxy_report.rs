//! The report of `udp-retry proxy` for programs and for people.
#![cfg(unix)]

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::installed::installed;
use crate::program::{Running, run};
use crate::proxy::{PATIENCE, Proxy, Service};

#[test]
fn a_seed_that_is_drawn_survives_programs_that_hold_numbers_as_floats() {
    let service = Service::echo();
    for _ in 0..4 {
        let proxy = Proxy::start(&service, &["--for", "50ms"]);
        let ended = proxy.end();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let seed = report["seed"].as_u64().unwrap();
        assert_eq!(seed as f64 as u64, seed);
        assert!(
            seed < 1 << 53 && ended.stderr.contains(&format!("seed {seed} (repeat with --seed {seed})")),
            "{ended:?}"
        );
    }
}

#[test]
fn a_seed_that_is_given_is_a_string_where_a_float_would_change_it() {
    let service = Service::echo();
    let cases: [(&str, Value); 4] = [
        ("9007199254740991", 9_007_199_254_740_991_u64.into()),
        ("9007199254740992", "9007199254740992".into()),
        ("13259289421145621044", "13259289421145621044".into()),
        ("18446744073709551615", "18446744073709551615".into()),
    ];
    for (seed, shown) in cases {
        assert_eq!(Proxy::start(&service, &["--seed", seed, "--for", "50ms"]).report()["seed"], shown);
        let arguments = ["verify", "loss 30%", "--seed", seed, "--datagrams", "100", "--json"];
        let ended = run("faults", &arguments, Duration::from_secs(20));
        assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["seed"], shown, "{ended:?}");
    }
}

#[test]
fn a_terminal_gets_a_table_of_80_columns_and_with_json_the_same_line_as_all_others() {
    // A terminal of its own, whose output is ours.
    if !cfg!(target_os = "linux") || !installed("a table on a terminal", &["script"]) {
        return;
    }
    let service = Service::echo();
    let on_a_terminal = |more: &str| {
        let tool = env!("CARGO_BIN_EXE_udp-retry");
        let proxy = format!("'{tool}' proxy --listen 127.0.0.1:0 --upstream {} --seed 7 --for 300ms", service.address);
        let mut script = Command::new("script");
        script.args([
            "-q",
            "-e",
            "-c",
            &format!("{proxy} --both 'loss 30%; delay 1ms' {more} 2>/dev/null"),
            "/dev/null",
        ]);
        let ended = Running::start(script.stdin(Stdio::null()).stdout(Stdio::piped()), PATIENCE).end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let table = on_a_terminal("");
    let has = |line: &str| assert_eq!(table.iter().filter(|it| it.starts_with(line)).count(), 1, "{line}: {table:#?}");
    has("listening on 127.0.0.1:");
    has(&format!("127.0.0.1:{} in front of {}", port(&table[0]), service.address));
    for line in
        ["for 0.3 s, --seed 7", "sessions ", "unserved        0", "path errors ", "received ", "dropped ", "passed "]
    {
        has(line);
    }
    for line in [
        "to server: loss 30%; delay 1ms",
        "to client: loss 30%; delay 1ms",
        "                   to server     to client",
    ] {
        has(line);
    }
    assert!(table.iter().all(|line| line.chars().count() <= 80), "{table:#?}");
    let json = on_a_terminal("--json");
    let report: Value = serde_json::from_str(&json[1]).unwrap_or_else(|error| panic!("{error}: {json:#?}"));
    assert_eq!((&report["seed"], json.len()), (&7.into(), 2));
}

fn port(listening: &str) -> &str {
    listening.rsplit(':').next().unwrap()
}
