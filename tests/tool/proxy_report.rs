//! The report of `udp-retry proxy` for programs and for people.
#![cfg(unix)]
#![expect(clippy::disallowed_types, reason = "plain sockets")]

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::files::Scratch;
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
    if !cfg!(target_os = "linux") || !installed("a table on a terminal", &["script"]) {
        return;
    }
    let service = Service::echo();
    let listener = format!("--listen 127.0.0.1:0 --upstream {} --seed 7 --both 'loss 30%; delay 1ms'", service.address);
    let table = on_a_terminal(&listener);
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
    // What the first line says already.
    assert!(!table.iter().any(|line| line.starts_with("listener ") || line.starts_with("upstream ")), "{table:#?}");
    let json = on_a_terminal(&format!("{listener} --json"));
    let report: Value = serde_json::from_str(&json[1]).unwrap_or_else(|error| panic!("{error}: {json:#?}"));
    assert_eq!((&report["seed"], json.len()), (&7.into(), 2));
}

#[test]
fn a_table_has_the_settings_of_each_direction_below_its_name_and_the_names_of_several_listeners() {
    if !cfg!(target_os = "linux") || !installed("tables on a terminal", &["script"]) {
        return;
    }
    let (service, file) = (Service::echo(), Scratch::new("tables"));
    let options =
        format!("--upstream localhost:{} --to-server 'loss 30%' --to-client 'duplicate 20%'", service.address.port());
    fs::write(&file.0, format!("a: --listen 127.0.0.1:0 {options}\nb: --listen 127.0.0.1:0 {options}\n")).unwrap();
    let tables = on_a_terminal(&format!("--config '{}'", file.path()));
    let knobs = |table: &[String], way: &str| {
        let below = table.iter().skip_while(|line| !line.starts_with(way)).skip(1);
        let rows = below.take_while(|line| !line.starts_with("to ")).filter(|line| line.starts_with("  "));
        rows.filter_map(|row| row.split_whitespace().next().map(ToOwned::to_owned)).collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        let own = format!("listener        {name}");
        let at = tables.iter().position(|line| *line == own).unwrap_or_else(|| panic!("no {own:?} in {tables:#?}"));
        let table: Vec<_> = tables[at..].iter().take_while(|line| !line.contains(" in front of ")).cloned().collect();
        let named = format!("upstream name   localhost:{}", service.address.port());
        assert!(table.contains(&named), "{table:#?}");
        assert_eq!(knobs(&table, "to server: loss 30%"), ["asked", "loss", "mean_burst", "met"], "{table:#?}");
        assert_eq!(knobs(&table, "to client: duplicate 20%"), ["asked", "duplicate", "met"], "{table:#?}");
    }
}

#[test]
fn what_clients_share_is_counted_once_for_all_of_them() {
    let service = Service::echo();
    for (arguments, lost) in [(&["--shared"][..], 1), (&[], 2)] {
        let mut proxy = Proxy::start(&service, &[&["--to-server", "script { drop 1 }"], arguments].concat());
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(proxy.ask(b"the first of all"), None);
        other.connect(proxy.client.peer_addr().unwrap()).unwrap();
        other.send(b"the first of another").unwrap();
        assert_eq!(proxy.ask(b"the next one"), Some(b"the next one".to_vec()));
        proxy.signal("-TERM");
        let report = proxy.report();
        assert_eq!((&report["to_server"]["dropped"]["script"], &report["shared"]), (&lost.into(), &(lost == 1).into()));
    }
}

/// What a proxy of a short time says on a terminal of its own, whose output is ours.
fn on_a_terminal(arguments: &str) -> Vec<String> {
    let mut script = Command::new("script");
    let run = format!("'{}' proxy {arguments} --for 300ms 2>/dev/null", env!("CARGO_BIN_EXE_udp-retry"));
    script.args(["-q", "-e", "-c", &run, "/dev/null"]);
    let ended = Running::start(script.stdin(Stdio::null()).stdout(Stdio::piped()), PATIENCE).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(ToOwned::to_owned).collect()
}

fn port(listening: &str) -> &str {
    listening.rsplit(':').next().unwrap()
}
