//! `udp-retry faults` as people run it: its figures, its pictures, its refusals. Its verdicts are tested where they are
//! made.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use udp_retry::Seed;
use udp_retry::fault::{Direction, Fate, Link, Profile};
use udp_retry::time::Timestamp;

use crate::files::{Scratch, well_formed};
use crate::program::{Ended, Running, run, tool};

#[test]
fn without_arguments_a_telling_specification_is_kept() {
    let ended = faults(&[]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert_eq!(ended, faults(&["verify"]));
    for fact in ["200000 datagrams of 1250 bytes", "mean_burst", "Delays: █ observed", "Lengths of bursts of losses"]
    {
        assert!(ended.stdout.contains(fact), "no {fact:?} in\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.lines().filter(|line| line.ends_with("  ok")).count(), 18, "{}", ended.stdout);
}

#[test]
fn every_setting_has_a_row_with_what_was_asked_and_a_bound_that_tells() {
    for (spec, rows) in [
        ("none", &[][..]),
        ("loss 5%", &[("loss", 0.05, 0.003), ("mean_burst", 1.0 / 0.95, 0.02)]),
        ("loss 5% burst 3", &[("loss", 0.05, 0.007), ("mean_burst", 3.0, 0.3)]),
        ("loss 30% correlation 25%", &[("loss", 0.3, 0.0085), ("mean_burst", 1.0 / 0.525, 0.06)]),
        ("loss exactly 3 of 10", &[("loss", 0.3, 2e-5), ("mean_burst", 1.0 / 0.77, 0.05)]),
        ("loss pattern 0110", &[("loss", 0.5, 1e-5), ("mean_burst", 2.0, 3e-4)]),
        ("loss 100%", &[("loss", 1.0, 0.0)]),
        ("delay 50ms", &[("delay", 0.05, 1e-9), ("delay_law", 0.0, 0.008), ("overtaking", 0.0, 0.0)]),
        ("delay 50ms ~10ms", &[("delay", 0.05, 8e-5), ("delay_law", 0.0, 0.008), ("overtaking", 0.0, 0.0)]),
        (
            "delay 50ms normal 10ms unordered",
            &[("delay", 0.05, 1.4e-4), ("delay_law", 0.0, 0.008), ("overtaking", 0.5, 0.007)],
        ),
        (
            "delay 50ms exponential 20ms correlation 25%",
            &[
                ("delay", 0.07, 3.6e-4),
                ("delay_law", 0.0, 0.0095),
                ("delay_correlation", 0.25, 0.016),
                ("overtaking", 0.0, 0.0),
            ],
        ),
        ("rate 10mbit queue 100ms", &[("rate", 1e7, 0.001), ("queue_time", 0.1, 0.00103)]),
        ("rate 10mbit queue 64kB", &[("rate", 1e7, 0.001), ("queue_bytes", 64_000.0, 1278.1)]),
        ("headers 48; rate 3mbit queue 25 datagrams", &[("rate", 3e6, 0.001), ("queue_datagrams", 25.0, 1e-8)]),
        ("duplicate 1% late 2s ~1s", &[("duplicate", 0.01, 0.0015), ("late", 2.0, 0.08), ("late_law", 0.0, 0.08)]),
        ("truncate 1% to 100", &[("truncate", 0.01, 0.0015), ("truncate_to", 100.0, 0.0)]),
        ("corrupt 0.1% bits 3", &[("corrupt", 0.001, 5e-4), ("corrupt_bits", 3.0, 0.0)]),
        ("headers 48; mtu 1400", &[("mtu", 1400.0, 0.0)]),
        ("reorder 2% by 30ms", &[("reorder", 0.02, 0.002), ("reordered", 0.02 * (1.0 - 8e-6), 0.006)]),
        ("outage from 10s for 200ms every 15s", &[("outage_share", 0.2 / 15.0, 1e-4)]),
        ("outage from 10s for 200ms", &[("outage_time", 0.2, 3.1e-6)]),
        ("script { drop 1,3; duplicate 5 after 2s; delay 7 by 200ms; corrupt 9 bit 13 }", &[("script", 5.0, 0.0)]),
    ] {
        let report = json(&[spec]);
        assert_eq!((&report["spec"], &report["ok"]), (&spec.into(), &true.into()), "{report}");
        let knobs = report["knobs"].as_array().unwrap();
        let names: Vec<_> = knobs.iter().map(|knob| knob["knob"].as_str().unwrap()).collect();
        assert_eq!(names, rows.iter().map(|row| row.0).collect::<Vec<_>>(), "{spec}");
        for (knob, &(_, asked, widest)) in knobs.iter().zip(rows) {
            let [told, observed, bound] = ["asked", "observed", "bound"].map(|key| knob[key].as_f64().unwrap());
            // A normal law loses what would be below zero.
            assert!((told - asked).abs() <= 3e-8 * asked && knob["ok"] == true, "{spec}: {knob}, not {asked}");
            assert!((observed - told).abs() <= bound * (1.0 + 1e-9) + 1e-12 * told, "{spec}: {knob}");
            assert!(bound <= widest, "{spec}: {knob}: nothing is told by more than {widest}");
        }
    }
}

#[test]
fn a_specification_that_changes_is_tried_state_by_state() {
    let spec =
        "loss 5%; rate 10mbit; at 5s rate 1mbit queue 64kB; at 9s loss 30% burst 2; at 9.5s loss 5%; repeat every 10s";
    let ended = faults(&["verify", spec, "--datagrams", "20000", "--json"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let reports: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> =
        reports.iter().map(|it| (it["from"].as_f64().unwrap(), it["spec"].as_str().unwrap())).collect();
    // The last one is like the second.
    let expected = [
        (0.0, "rate 10mbit queue 100ms; loss 5%"),
        (5.0, "rate 1mbit queue 64kB; loss 5%"),
        (9.0, "rate 1mbit queue 64kB; loss 30% burst 2"),
    ];
    assert_eq!(states, expected);
    assert!(reports.iter().all(|report| report["ok"] == true), "{ended:?}");
    let text = faults(&["verify", "at 5s loss 5%", "--datagrams", "20000"]).stdout;
    assert!(text.contains("from 0ns on: none\n") && text.contains("from 5s on: loss 5%\n"), "{text}");
    // So many states that not all are tried.
    let many: Vec<_> = (1..40).map(|n| format!("at {n}s loss {n}%")).collect();
    let ended = faults(&["verify", &many.join(";"), "--datagrams", "1000", "--json"]);
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 16), "{ended:?}");
}

#[test]
fn a_recorded_rate_is_held_to_its_lines() {
    let scratch = Scratch::new("up.trace");
    std::fs::write(&scratch.0, "0\n0\n3\n7\n7\n10\n").unwrap();
    for (spec, rate) in [
        (format!("rate trace {} queue 64kB; delay 20ms ~5ms; loss 5%", scratch.path()), 6.0 * 1504.0 * 8.0 * 100.0),
        ("headers 48; rate trace { 1 }".to_owned(), 1504.0 * 8.0 * 1000.0),
    ] {
        let report = json(&[&spec, "--datagrams", "20000"]);
        let knob = report["knobs"].as_array().unwrap().iter().find(|knob| knob["knob"] == "rate").unwrap();
        let told = ["asked", "observed", "bound"].map(|key| knob[key].as_f64().unwrap());
        assert!((told[0] - rate).abs() < 1e-3 && told[1] == told[0] && told[2] == 0.0, "{knob}");
        assert_eq!(report["ok"], true, "{report}");
    }
}

#[test]
fn json_is_one_line_with_the_promised_keys() {
    let ended = faults(&["verify", "loss 5%; rate 10mbit", "--seed", "18446744073709551615", "--json"]);
    assert_eq!((ended.stdout.matches('\n').count(), &*ended.stderr), (1, ""), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let keys = ["spec", "profile", "direction", "seed", "datagrams", "len", "knobs", "ok"];
    assert_eq!(keys_of(&report), BTreeSet::from(keys));
    assert_eq!((&report["seed"], &report["datagrams"]), (&u64::MAX.to_string().into(), &200_000.into()));
    for knob in report["knobs"].as_array().unwrap() {
        assert_eq!(keys_of(knob), BTreeSet::from(["knob", "asked", "observed", "bound", "of", "ok"]));
    }
}

#[test]
fn a_profile_is_tried_in_both_directions_or_in_one() {
    for &name in Profile::NAMES {
        let profile = Profile::named(name).unwrap();
        let ways = [("to_server", &profile.to_server), ("to_client", &profile.to_client)];
        let both = faults(&["verify", name, "--datagrams", "50000", "--json"]);
        assert_eq!(both.code, Some(0), "{both:?}");
        for (line, (way, spec)) in both.stdout.lines().zip(ways) {
            let report: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&report["profile"], &report["direction"]), (&name.into(), &way.into()));
            assert_eq!((&report["spec"], &report["ok"]), (&spec.to_string().into(), &true.into()), "{report}");
            let one = faults(&["verify", name, "--datagrams", "50000", "--json", "--direction", way]);
            assert_eq!(one.stdout.trim_end(), line);
        }
        assert_eq!(both.stdout.lines().count(), 2);
    }
    // Just what the first client of a proxy with this seed meets.
    let report = json(&["book_half", "--direction", "to_server", "--seed", "7", "--datagrams", "1000"]);
    let seed = Direction::ToServer.link_seed(Seed::new(7), 0);
    let mut link = Link::new(Profile::named("book_half").unwrap().to_server, seed);
    let lost = (0..1000).filter(|_| matches!(link.transmit(Timestamp::ZERO, b""), Fate::Dropped(_))).count();
    assert_eq!(report["knobs"][0]["observed"].as_f64(), Some(lost as f64 / 1000.0));
    let harmless = faults(&["verify", "book_half", "--direction", "to_client"]);
    assert!(harmless.stdout.contains("Nothing is asked for, and nothing happened."), "{harmless:?}");
}

#[test]
fn the_profiles_are_listed_as_they_would_be_written() {
    let ended = faults(&["profiles"]);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(0), 2 * Profile::NAMES.len()), "{ended:?}");
    for (lines, name) in lines.chunks(2).zip(Profile::NAMES) {
        let profile = Profile::named(name).unwrap();
        assert!(lines[0].starts_with(name) && lines[0].ends_with(&format!("to_server  {}", profile.to_server)));
        assert!(lines[1].ends_with(&format!("to_client  {}", profile.to_client)), "{lines:?}");
    }
}

#[test]
fn a_setting_that_cannot_act_is_a_failure() {
    for (usage, broken) in [
        ("mtu 1400; truncate 10% to 2000", "not as asked: truncate, truncate_to"),
        ("loss 100%; delay 5ms", "not as asked: delay, delay_law"),
        ("loss 100%; duplicate 1%", "not as asked: duplicate"),
        ("outage from 0s for 1s every 2s; outage from 1s for 1s every 2s", "not as asked: stray_drops"),
    ] {
        let ended = faults(&["verify", usage, "--datagrams", "10000"]);
        assert_eq!((ended.code, ended.stderr.trim_end()), (Some(1), &*format!("error: {broken}")), "{usage}");
        assert!(ended.stdout.contains("NOT AS ASKED") || ended.stdout.contains("NOTHING TO SEE"), "{ended:?}");
    }
}

#[test]
fn what_was_too_rare_to_be_seen_is_no_failure() {
    for (usage, datagrams, not_due) in [
        ("duplicate 0.0001% late 2s", "10000", &["late", "late_law"][..]),
        ("loss 0.001%", "1000", &["mean_burst"]),
        ("loss 0.01% burst 100", "200000", &[]),
        ("loss 99%; delay 5ms; truncate 1% to 9; corrupt 1%", "10", &["truncate_to", "corrupt_bits"]),
        ("delay 2502h", "2000", &[]),
        ("delay 20000h ~5000h", "2000", &[]),
    ] {
        for seed in ["1", "2", "3"] {
            let ended = faults(&["verify", usage, "--datagrams", datagrams, "--seed", seed, "--json"]);
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{usage}: {ended:?}");
            let report: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(report["ok"], true, "{report}");
            let knobs = report["knobs"].as_array().unwrap();
            for knob in knobs {
                assert_eq!(knob["ok"].is_null(), knob["observed"].is_null(), "{knob}");
            }
            for name in not_due {
                assert!(knobs.iter().any(|knob| knob["knob"] == *name && knob["ok"].is_null()), "{name}: {report}");
            }
        }
    }
    let text = faults(&["verify", "duplicate 0.0001% late 2s", "--datagrams", "10000"]).stdout;
    assert_eq!(text.lines().filter(|line| line.ends_with("  not due")).count(), 2, "{text}");
}

#[test]
fn a_dose_is_held_to_what_it_says() {
    let report = json(&["loss 90%; duplicate 50%; dose 6 of 10 drops 3", "--datagrams", "20000"]);
    let dose = report["knobs"].as_array().unwrap().iter().find(|knob| knob["knob"] == "dose").unwrap();
    assert_eq!((&dose["asked"], &dose["observed"], &dose["ok"]), (&6.0.into(), &6.0.into(), &true.into()), "{dose}");
}

#[test]
fn a_bad_specification_is_refused_with_its_place() {
    for (spec, place, facts) in [
        ("loss 5% burst x", 15, &["expected", "found \"x\""][..]),
        ("delay 50ms; loss 5", 19, &["found the end"]),
        ("delay 50µs;\n loss 130%", 19, &["130%"]),
        ("loss 60% burst 1", 6, &["a loss of 60% in bursts of 1 cannot be"]),
        ("nonsense", 1, &["nonsense", "Profiles are book_half, lan"]),
    ] {
        let ended = faults(&["verify", spec]);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{spec}: {ended:?}");
        assert!(ended.stderr.starts_with(&format!("error: at {place}: ")), "{spec}: {ended:?}");
        for fact in facts {
            assert!(ended.stderr.contains(fact), "{spec}: no {fact:?} in {ended:?}");
        }
        let mut lines = ended.stderr.lines().skip_while(|line| !line.is_empty()).skip(1);
        let (line, caret) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(line, format!("  {}", spec.replace('\n', " ")));
        assert_eq!(caret.chars().position(|char| char == '^'), Some(2 + place - 1), "{ended:?}");
    }
    for usage in [
        &["verify", "none", "--direction", "to_server"][..],
        &["verify", "lte", "--direction", "up"],
        &["verify", "--datagrams", "0"],
        &["verify", "--seed", "-1"],
        &["verify", "none", "none"],
        &["--seed", "1", "verify"],
    ] {
        let ended = faults(usage);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{usage:?}: {ended:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_output_and_another_one_another() {
    let run = |seed| faults(&["verify", "evil", "--datagrams", "5000", "--seed", seed]);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7").stdout.replace("--seed 7", ""), run("8").stdout.replace("--seed 8", ""));
    assert_eq!(drawing("evil"), drawing("evil"));
}

#[test]
fn extremes_neither_hang_nor_panic() {
    for spec in [
        "delay 500000h exponential 500000h",
        "delay 0ms ~0ms unordered",
        "delay 1ns normal 1h correlation 99.9% unordered",
        "rate 1bit queue 584h",
        "rate 18446744073709551615bit queue 18446744073709551615B",
        "loss p 0.0000001% r 0.0000001%; headers 28; mtu 28 truncate",
        "reorder 99% by 500000h",
        "outage from 5000000h for 1ns every 2ns",
        "rate 1bit queue 1h; at 1ns rate 18446744073709551615bit queue 5000000h; repeat every 2ns",
        "headers 65535; rate trace { 4294967295 } queue 5000000h",
        "at 5000000h none; at 5000001h reorder 99% by 500000h; repeat from 5000000h every 9h",
        "script { delay 18446744073709551615 by 1ns }",
    ] {
        for datagrams in ["1", "2000"] {
            let ended = faults(&["verify", spec, "--datagrams", datagrams]);
            assert!(matches!(ended.code, Some(0 | 1)) && !ended.stderr.contains("panicked"), "{spec}: {ended:?}");
        }
    }
}

#[test]
fn the_text_pictures_show_the_law_beside_the_sample() {
    let text = faults(&["verify", "delay 10ms exponential 20ms; loss 20% burst 4"]).stdout;
    let shares = |title: &str| -> Vec<(String, f64, f64)> {
        let rows = text.lines().skip_while(|line| !line.starts_with(title)).skip(1);
        let row = |line: &str| {
            let (label, rest) = line.trim_start().split_once("  ")?;
            let (observed, expected) = rest.rsplit_once("  of ")?;
            let number = |text: &str| text.split(' ').next_back()?.trim_end_matches('%').parse().ok();
            Some((label.to_owned(), number(observed)?, number(expected)?))
        };
        rows.map_while(row).collect()
    };
    let (delays, bursts) = (shares("Delays"), shares("Lengths of bursts"));
    // From 0.1 % to 99.9 % of an exponential law: 20 ms·ln(999) in 20 bins.
    assert_eq!((delays.len(), bursts.len()), (20, 13), "{text}");
    let step = (-999_f64.ln() / 20.0).exp();
    for (n, (label, observed, expected)) in delays.iter().enumerate() {
        let beyond = |n: usize| 100.0 * 0.999 * step.powi(n as i32);
        let law = if n == 0 { 100.0 } else { beyond(n) } - if n == 19 { 0.0 } else { beyond(n + 1) };
        assert!((expected - law).abs() < 0.0051, "{label}: {expected}, not {law}");
        assert!((observed - law).abs() < 0.6 * (law / 100.0).sqrt() * 1.5, "{label}: {observed}, not {law}");
    }
    for (n, (label, observed, expected)) in bursts.iter().enumerate() {
        let law = 100.0 * 0.75_f64.powi(n as i32) * if n == 12 { 1.0 } else { 0.25 };
        assert!((expected - law).abs() < 0.0051 && (observed - law).abs() < 3.0, "{label}: {observed} of {expected}");
    }
}

#[test]
fn the_drawing_is_complete_and_legible_by_day_and_by_night() {
    // Panels, and bars in them.
    for (spec, panels, bars) in [
        ("none", 0, 0),
        ("loss 20% burst 4", 1, 13),
        ("delay 50ms ~10ms", 1, 20),
        ("loss 50%; delay 50ms; duplicate 100% late 2s ~1s", 3, 1 + 20 + 13),
        ("evil", 6, 2 * (20 + 20 + 13)),
    ] {
        let svg = drawing(spec);
        well_formed(&svg, &["&amp;", "&lt;"]);
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(count("class=\"faults-heading\""), panels, "{spec}");
        assert_eq!(count("<rect class=\"faults-bar\""), bars, "{spec}");
        assert_eq!(count("<line class=\"faults-law\""), bars, "{spec}");
        assert!(svg.contains("width=\"700\"") && count("<title ") == 1 && !svg.contains("=\"-"), "{spec}");
        let (day, night) = svg.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let coloured = |rules: &str| -> BTreeSet<String> {
            let rules = rules.lines().filter(|rule| rule.starts_with(".faults-") && rule.contains('#'));
            rules.map(|rule| rule.split(['{', ' ']).next().unwrap().to_owned()).collect()
        };
        assert_eq!((coloured(day), coloured(day).len()), (coloured(night), 4));
    }
}

#[test]
fn a_drawing_that_cannot_be_written_is_a_failure() {
    let file = Scratch::new("missing").0.join("faults.svg");
    let ended = faults(&["verify", "none", "--svg", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot write") && ended.stderr.contains("faults.svg"), "{ended:?}");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    for arguments in [&["profiles"][..], &["verify", "loss 5%", "--json"], &["--help"]] {
        let mut faults = Running::start(tool("faults").args(arguments), PATIENCE);
        drop(faults.stdout());
        let ended = faults.end();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    }
}

fn faults(arguments: &[&str]) -> Ended {
    run("faults", arguments, PATIENCE)
}

fn json(arguments: &[&str]) -> Value {
    let ended = faults(&[&["verify", "--json"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn keys_of(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn drawing(spec: &str) -> String {
    let file = Scratch::new("faults.svg");
    let ended = faults(&["verify", spec, "--datagrams", "20000", "--svg", file.path()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    file.text()
}

/// For a build without optimisation on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(30);
