//! `udp-retry proxy --control`: the network changes while it runs, by commands.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "commands and outages take real time")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::files::Scratch;
use crate::program::run;
use crate::steered::{MS, Steered, ask, client, echo, hear};

#[test]
fn a_setting_holds_from_the_next_datagram_on_and_the_report_judges_it_by_what_came_since() {
    let proxy = Steered::start(&["--both", "loss 50%", "--seed", "1"]);
    let (mut commands, client) = (proxy.commands(), proxy.client());
    commands.obeyed("set both none");
    for n in 0..20 {
        assert_eq!(ask(&client, &[n]), [n], "nothing is lost any more");
    }
    commands.obeyed("set to_client loss 100%");
    for n in 0..30 {
        client.send(&[n]).unwrap();
    }
    let stats = commands.until(|stats| stats["to_client"]["dropped"]["loss"] == 30);
    assert_eq!((&stats["to_server"]["spec"], &stats["to_client"]["spec"]), (&"none".into(), &"loss 100%".into()));
    assert_eq!((&stats["changes"]["number"], &stats["to_client"]["received"]), (&2.into(), &50.into()));
    let knob = &stats["to_client"]["knobs"][0];
    assert_eq!((&knob["of"], &knob["observed"], &knob["ok"]), (&30.into(), &1.0.into(), &true.into()), "{knob}");

    // The other direction keeps what was set, and one that is set to what it is has not changed.
    commands.obeyed("set to_client none");
    commands.obeyed("set to_client none");
    assert_eq!(ask(&client, b"back"), b"back");
    let reports = proxy.reports();
    let report = &reports[0];
    assert_eq!((reports.len(), &report["changes"]["number"]), (1, &3.into()));
    assert_eq!((&report["listener"], &report["to_client"]["knobs"]), (&"default".into(), &json!([])), "{report}");
    assert!(report["changes"]["last"].as_f64() < report["seconds"].as_f64(), "{report}");
}

#[test]
fn an_outage_ends_by_itself_and_then_holds_what_was_set_meanwhile() {
    let proxy = Steered::start(&["--both", "headers 30"]);
    let (mut commands, client) = (proxy.commands(), proxy.client());
    assert_eq!(ask(&client, b"before"), b"before");
    let began = Instant::now();
    commands.obeyed("outage 700ms");
    client.send(b"lost").unwrap();
    let during = commands.until(|stats| stats["to_server"]["dropped"]["outage"] == 1);
    let spec = during["to_server"]["spec"].as_str().unwrap();
    assert!(spec.starts_with("outage from ") && spec.ends_with(" for 700ms; headers 30"), "{spec}");
    commands.obeyed("set to_client duplicate 100%");
    client.send(b"lost as well").unwrap();
    commands.until(|stats| stats["to_server"]["dropped"]["outage"] == 2);

    commands.until(|stats| stats["to_server"]["spec"] == "headers 30");
    assert!(began.elapsed() >= 700 * MS, "{:?}", began.elapsed());
    assert_eq!(commands.stats()["to_client"]["spec"], "duplicate 100%");
    assert_eq!((ask(&client, b"after"), hear(&client)), (b"after".to_vec(), b"after".to_vec()));

    // Of both directions: what was on its way by then is answered in vain.
    commands.obeyed("set both none");
    commands.obeyed("set to_server delay 1h");
    client.send(b"late").unwrap();
    commands.until(|stats| stats["to_server"]["in_flight"] == 1);
    commands.obeyed("outage 1h");
    commands.obeyed("release");
    commands.until(|stats| stats["to_client"]["dropped"]["outage"] == 1);

    // One takes the place of another, and ends at once where that is asked for.
    commands.obeyed("set both none");
    commands.obeyed("outage 1h");
    commands.obeyed("outage 2h");
    assert!(commands.stats()["to_server"]["spec"].as_str().unwrap().ends_with(" for 7200s"));
    commands.obeyed("outage none");
    assert_eq!(ask(&client, b"at last"), b"at last");
    assert_eq!(commands.stats()["to_server"]["dropped"]["outage"], 2);
}

#[test]
fn a_command_acts_within_fifty_milliseconds_also_where_nothing_else_happens() {
    let proxy = Steered::start(&[]);
    let (mut commands, client) = (proxy.commands(), proxy.client());
    let in_time = (0..20).any(|n| {
        commands.obeyed("set to_server delay 1h");
        client.send(&[n]).unwrap();
        commands.until(|stats| stats["to_server"]["in_flight"] == 1);
        commands.obeyed("set both none");
        let asked = Instant::now();
        commands.obeyed("release");
        assert_eq!(hear(&client), [n]);
        asked.elapsed() < 50 * MS
    });
    assert!(in_time);
    // One direction alone is released by its name.
    commands.obeyed("set both delay 1h");
    client.send(b"here").unwrap();
    commands.until(|stats| stats["to_server"]["in_flight"] == 1);
    commands.obeyed("release to_client");
    std::thread::sleep(100 * MS);
    assert_eq!(commands.stats()["to_server"]["in_flight"], 1);
    commands.obeyed("release to_server");
    commands
        .until(|stats| (&stats["to_server"]["in_flight"], &stats["to_client"]["in_flight"]) == (&0.into(), &1.into()));
}

#[test]
fn an_error_says_where_it_is_and_what_was_expected_and_changes_nothing() {
    let proxy = Steered::start(&["--to-client", "delay 1ms"]);
    let mut commands = proxy.commands();
    for (line, position, expected) in [
        ("set to_client loss 30", json!(22), json!("`%`")),
        ("set both loss 60% burst 1", json!(15), Value::Null),
        ("@dns stats", json!(1), json!("@default")),
        ("  set  everything none", json!(8), json!("`to_server`, `to_client` or `both`")),
    ] {
        let answer = commands.ask(line);
        assert_eq!((&answer["position"], &answer["expected"]), (&position, &expected), "{line:?}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(&format!("at {position}: ")), "{answer}");
        assert_eq!(answer.get("ok"), None, "{answer}");
    }
    // What is no text is no command, either.
    commands.send(b"set both \xff\n").unwrap();
    assert!(commands.line().contains("\"position\":10"));
    let stats = commands.stats();
    assert_eq!((&stats["changes"]["number"], &stats["to_client"]["spec"]), (&0.into(), &"delay 1ms".into()));
    let help = commands.ask("help");
    assert!(help["help"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("outage 5s")), "{help}");
    let listeners = commands.ask("@default listeners");
    assert_eq!(listeners["listeners"][0]["listen"], proxy.listening[0].0.to_string());
}

#[test]
fn what_repeats_a_recording_is_not_steered() {
    let file = Scratch::new("steered");
    fs::write(&file.0, "{\"link\":0,\"direction\":\"to_server\",\"n\":1,\"at_ns\":0,\"len\":4,\"dropped\":\"loss\"}\n")
        .unwrap();
    let proxy = Steered::start(&["--replay", file.path()]);
    let mut commands = proxy.commands();
    for command in ["set both none", "outage 1s"] {
        let answer = commands.ask(command);
        assert!(answer["error"].as_str().unwrap().starts_with("default: it repeats "), "{answer}");
    }
    assert_eq!(commands.stats()["changes"]["number"], 0);
}

#[test]
fn only_this_host_may_steer() {
    for (address, said) in [
        ("0.0.0.0:0", "an address of loopback, such as 127.0.0.1:0"),
        ("[::]:0", "an address of loopback"),
        ("192.0.2.7:7070", "an address of loopback"),
        ("127.0.0.1", "no address such as"),
    ] {
        let ended = run("proxy", &["--control", address], Duration::from_secs(5));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{address}: {ended:?}");
        assert!(ended.stderr.contains(said), "{address}: {ended:?}");
    }
}

#[test]
fn the_line_of_the_control_port_goes_where_that_of_the_listener_goes() {
    let service = echo().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &service, "--control", "127.0.0.1:0", "--for", "100ms"];
    let ended = run("proxy", &[&arguments[..], &["--report", "-"]].concat(), Duration::from_secs(10));
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(" on 127.0.0.1:")).collect();
    assert!(lines[0].starts_with("listening on ") && lines[1].starts_with("control on "), "{ended:?}");
}

#[test]
fn the_counters_are_text_that_a_strict_parser_takes() {
    let proxy = Steered::start(&["--to-server", "loss 100%"]);
    let (mut commands, client) = (proxy.commands(), proxy.client());
    for _ in 0..7 {
        client.send(b"lost").unwrap();
    }
    let stats = commands.until(|stats| stats["to_server"]["received"] == 7);
    commands.send(b"stats prometheus\n").unwrap();
    let mut text = Vec::new();
    while text.last().is_none_or(|line| line != "# EOF") {
        text.push(commands.line());
    }
    let series = crate::prometheus::parsed(&text);
    let value = |name: &str| *series.get(name).unwrap_or_else(|| panic!("no {name} in {text:#?}"));
    let own = "listener=\"default\"";
    assert_eq!(value(&format!("udp_retry_proxy_received_total{{{own},direction=\"to_server\"}}")), 7.0);
    assert_eq!(value(&format!("udp_retry_proxy_dropped_total{{{own},direction=\"to_server\",cause=\"loss\"}}")), 7.0);
    assert_eq!(value(&format!("udp_retry_proxy_passed_total{{{own},direction=\"to_client\"}}")), 0.0);
    assert_eq!(value(&format!("udp_retry_proxy_sessions{{{own}}}")), 1.0);
    let known = series.contains_key(&format!("udp_retry_proxy_kernel_dropped_total{{{own}}}"));
    assert_eq!(known, !stats["kernel_dropped"].is_null(), "what is not known is left out");
    // The answer has ended: the next one begins.
    assert_eq!(commands.ask("help")["ok"], true);
}

#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
#[test]
fn what_the_system_dropped_while_the_proxy_stood_still_is_in_the_report() {
    const SENT: u64 = 20_000;
    let proxy = Steered::start(&[]);
    let (mut commands, client) = (proxy.commands(), client(proxy.listening[0].0));
    proxy.signal("-STOP");
    for _ in 0..SENT {
        client.send(&[0; 1200]).unwrap();
    }
    proxy.signal("-CONT");
    let count = |stats: &Value, of: &str| stats[of].as_u64().unwrap_or_else(|| panic!("{stats}"));
    commands.until(|stats| {
        let [received, dropped] = [count(&stats["to_server"], "received"), count(&stats["kernel_dropped"], "listener")];
        assert!(received + dropped <= SENT, "{stats}");
        received + dropped == SENT
    });
    let report = &proxy.reports()[0];
    let (received, dropped) = (count(&report["to_server"], "received"), count(&report["kernel_dropped"], "listener"));
    assert!(dropped > 0 && received + dropped == SENT, "{report}");
}
