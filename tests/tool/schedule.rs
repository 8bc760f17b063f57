//! `udp-retry schedule` as people run it: its pictures, its JSON against published vectors, its refusals.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use udp_retry::policy::Preset;

use crate::files::{Scratch, well_formed};
use crate::program::{Ended, Running, run, tool};

#[test]
fn every_preset_prints_what_its_source_publishes() {
    let published = published();
    let names: Vec<_> = published.iter().map(|preset| preset["name"].as_str().unwrap()).collect();
    assert_eq!(names, Preset::ALL.iter().map(|preset| preset.name).collect::<Vec<_>>());
    for preset in &published {
        let name = preset["name"].as_str().unwrap();
        let printed = json(&[name]);
        assert_eq!(printed["name"], name);
        assert_eq!(printed["source"], Preset::named(name).unwrap().source);
        let (sent, expected) = (printed["transmissions"].as_array().unwrap(), &preset["transmissions"]);
        assert_eq!(sent.len(), expected.as_array().unwrap().len(), "{name}");
        for (number, window) in sent.iter().enumerate() {
            assert_window(name, number, window, &expected[number]);
        }
        match &preset["fails_ms"] {
            Value::Null => assert_eq!(printed["fails_ms"], Value::Null, "{name}"),
            expected => assert_window(name, sent.len(), &printed["fails_ms"], expected),
        }
    }
}

/// `printed` has numbers, `expected` has strings; `before` transmissions came before.
fn assert_window(name: &str, before: usize, printed: &Value, expected: &Value) {
    assert_eq!(keys(printed), BTreeSet::from(["earliest_ms", "latest_ms", "nominal_ms"]));
    for key in ["earliest_ms", "nominal_ms", "latest_ms"] {
        let Some(expected) = expected[key].as_str() else {
            assert_eq!(printed[key], Value::Null, "{name}: {key} of {before}");
            continue;
        };
        let (exact, number) = (picoseconds(expected), picoseconds(&printed[key].to_string()));
        // Where nanoseconds do not suffice, every sum is rounded.
        let tolerance = if exact % 1_000 == 0 { 0 } else { (1 + before as i128) * 1_000 };
        assert!((number - exact).abs() <= tolerance, "{name}: {key} of {before} is {}, not {expected}", printed[key]);
    }
}

/// Of a decimal number of milliseconds; a float in between would blur the nanoseconds of a long schedule.
fn picoseconds(decimal: &str) -> i128 {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    assert!(part.len() <= 12, "{decimal} has more digits than this test expects");
    // Published digits beyond a picosecond do not matter to a comparison in nanoseconds.
    let part = &format!("{part:0<12}")[..9];
    format!("{whole}{part}").parse().unwrap_or_else(|_| panic!("{decimal} is no plain decimal number"))
}

#[test]
fn json_is_one_line_with_the_promised_keys() {
    for arguments in [&["radius"][..], &[], &["--initial", "100ms"], &["dhcpv6-renew"]] {
        let ended = schedule(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stdout.matches('\n').count(), 1, "{ended:?}");
        assert!(ended.stdout.starts_with("{\"name\":") && ended.stdout.ends_with("]}\n"), "{ended:?}");
        let value: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(keys(&value), BTreeSet::from(["breaks", "fails_ms", "name", "source", "transmissions"]));
    }
}

#[test]
fn json_keeps_every_nanosecond() {
    // 2⁵³ + 1 ns: no float holds it.
    let ended = schedule(&["--initial", "9007199254740993ns", "--max", "2600h", "--transmissions", "2", "--json"]);
    assert!(ended.stdout.contains("\"earliest_ms\":9007199254.740993,"), "{ended:?}");
    let ended = schedule(&["--initial", "1.000000001s", "--transmissions", "1", "--json"]);
    assert!(ended.stdout.contains("\"fails_ms\":{\"earliest_ms\":1000.000001,"), "{ended:?}");
}

#[test]
fn a_transmission_past_the_deadline_has_no_nominal_time() {
    let radius = json(&["radius"]);
    assert_eq!(
        radius["transmissions"][4].to_string(),
        r#"{"earliest_ms":24064.2,"latest_ms":30000,"nominal_ms":null}"#
    );
    let capped = json(&["--deadline", "3s"]);
    assert_eq!(capped["transmissions"].as_array().unwrap().len(), 2, "what can never be sent is left out: {capped}");
}

#[test]
fn what_a_policy_breaks_is_named() {
    let breaks = json(&["book"])["breaks"].to_string();
    assert!(breaks.contains("RFC 8961") && breaks.contains("RFC 8085"), "{breaks}");
    assert_eq!(json(&["default"])["breaks"], Value::Array(Vec::new()));
    let all = ["--initial", "100ms", "--max", "100ms", "--deadline", "50ms"];
    assert_eq!(json(&all)["breaks"].as_array().unwrap().len(), 3);
    let text = text(&all);
    for fact in ["first wait of at least 1s", "exponential backoff", "no loss can be repaired"] {
        assert!(text.contains(fact), "{text}");
    }
}

#[test]
fn the_text_shows_the_schedule_to_scale() {
    let radius = text(&["radius"]);
    for fact in [
        "radius (RFC 5080 §2.2.1)",
        "  5   24.064s  not sent      30s",
        "In words: up to 5 transmissions: at 0s, 1.8s to 2.2s, 5.22s to 6.82s, 11.718s to 16.522s, 24.0642s to 30s",
        "╳ fails",
        "50% loss each way: 76.27%",
    ] {
        assert!(radius.contains(fact), "no {fact:?} in\n{radius}");
    }
    // 40 columns from 0 s to 31 s and 93 s: every mark stands where its time is.
    let column = |text: &str, row: &str, mark: char| {
        let line = text.lines().find(|line| line.trim_start().starts_with(row)).unwrap();
        line.chars().position(|char| char == mark).unwrap()
    };
    let book = text(&["book"]);
    let start = column(&book, "1 ", '●');
    for (row, ms) in [("2 ", 100), ("3 ", 300), ("4 ", 700), ("5 ", 1500)] {
        assert_eq!(column(&book, row, '●') - start, (ms * 40 + 1550) / 3100, "{book}");
    }
    assert_eq!(column(&book, "fails", '╳') - start, 40);
    let coap = text(&["coap"]);
    let marks = ['├', '╳', '┤'].map(|mark| column(&coap, "fails", mark) - column(&coap, "1 ", '●'));
    assert_eq!(marks, [27, 33, 40], "62 s, 77.5 s and 93 s of 93 s\n{coap}");
}

#[test]
fn without_arguments_it_is_the_default() {
    assert_eq!(schedule(&[]), schedule(&["default"]));
    assert_eq!(schedule(&["--json"]), schedule(&["default", "--json"]));
}

#[test]
fn options_make_a_policy_and_what_is_left_out_is_documented() {
    let book = ["--initial", "0.1s", "--multiplier", "2", "--max", "2000ms", "--transmissions", "5"];
    let (custom, preset) = (json(&book), json(&["book"]));
    assert_eq!(custom["transmissions"], preset["transmissions"]);
    assert_eq!(custom["fails_ms"], preset["fails_ms"]);
    assert_eq!((custom["name"].as_str(), custom["source"].as_str()), (Some("custom"), Some("command line")));

    let spelt = ["--initial", "1s", "--multiplier", "2", "--max", "60s", "--transmissions", "5", "--jitter", "none"];
    assert_eq!(json(&["--jitter", "none"]), json(&spelt));
    let internet = json(&["--jitter", "1..1.5", "--deadline", "30s"]);
    assert_eq!(internet["transmissions"], json(&["default"])["transmissions"]);
    let help = text(&["--help"]);
    for default in ["1s", "2", "60s", "5", "none"] {
        assert!(help.contains(&format!("[default: {default}]")), "{help}");
    }
}

#[test]
fn durations_have_units_and_decimals() {
    for (duration, ms) in [
        ("250ns", "0.00025"),
        ("2us", "0.002"),
        ("2µs", "0.002"),
        ("1.5ms", "1.5"),
        ("0.10s", "100"),
        ("0.5m", "30000"),
        ("1min", "60000"),
        ("1h", "3600000"),
    ] {
        let ended = schedule(&["--initial", duration, "--max", "1h", "--transmissions", "1", "--json"]);
        assert!(ended.stdout.contains(&format!("\"fails_ms\":{{\"earliest_ms\":{ms},")), "{duration}: {ended:?}");
    }
}

#[test]
fn the_chance_of_a_reply_is_told_at_the_loss_asked_for() {
    // 1 − (1 − (1 − p)²)ⁿ for n = 5, 7 and 1.
    for (preset, loss, chance) in [
        (&["book"][..], "0.5", "50% loss each way: 76.27%"),
        (&["book"], "50%", "50% loss each way: 76.27%"),
        (&["stun"], "0.29", "29% loss each way: 99.26%"),
        (&["book"], "0", "0% loss each way: 100%"),
        (&["book"], "100%", "100% loss each way: 0.00%"),
        (&["--transmissions", "1"], "10%", "10% loss each way: 81.00%"),
        // The deadline leaves two of its five, and five of those that never end.
        (&["--deadline", "3s"], "10%", "10% loss each way: 96.39%"),
        (&["dhcpv6-confirm"], "50%", "50% loss each way: 76.27%"),
        (&["dhcpv6-renew"], "10%", "10% loss each way: above 99.9999999%"),
    ] {
        let text = text(&[preset, &["--loss", loss]].concat());
        assert!(text.contains(chance), "no {chance:?} in\n{text}");
        assert_eq!(text.matches("loss each way").count(), 1, "{text}");
    }
}

#[test]
fn the_list_names_every_preset_with_its_source_and_what_it_does() {
    let list = text(&["--list"]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 2 * Preset::ALL.len());
    for (lines, preset) in lines.chunks(2).zip(Preset::ALL) {
        assert!(lines[0].starts_with(preset.name) && lines[0].ends_with(preset.source), "{lines:?}");
        assert!(lines[1].contains("the second at") && lines[1].contains("fail"), "{lines:?}");
    }
}

#[test]
fn bad_values_are_refused_with_the_rule_and_the_values() {
    for (usage, facts) in [
        ("--initial 0s", &["longer than zero"][..]),
        ("--initial 2s --max 1s", &["1s, is below the initial one, 2s"]),
        ("--multiplier 0.5", &["from 1 to 1,000,000,000, not 0.5"]),
        ("--multiplier NaN", &["from 1 to 1,000,000,000, not NaN"]),
        ("--multiplier -2", &["not -2"]),
        ("--multiplier inf", &["not inf"]),
        ("--multiplier two", &["two", "--multiplier"]),
        ("--jitter 2..1", &["the lower jitter factor, 2, exceeds the higher one, 1"]),
        ("--jitter -1..1", &["from 0 to 1,000,000,000", "not -1 and 1"]),
        ("--jitter NaN..1", &["not NaN and 1"]),
        ("--jitter 1..100", &["reaches 100s", "60s"]),
        ("--jitter 1.5", &["1.5", "1..1.5"]),
        ("--jitter some", &["some", "\"none\""]),
        ("--transmissions 0", &["at least one transmission"]),
        ("--transmissions -1", &["-1", "--transmissions"]),
        ("--transmissions 4294967296", &["4294967296", "4294967295"]),
        ("--deadline 0s", &["longer than zero"]),
        ("--deadline 5200000h", &["18720000000s", "584 years"]),
        ("--deadline 99999999999999999999999999999999999999999h", &["584 years"]),
        ("--deadline 99999999999999999999h", &["584 years"]),
        ("--initial 100", &["'100'", "unit", "100ms"]),
        ("--initial 5y", &["'5y'", "unit", "ns, us, ms, s, m, min or h"]),
        ("--initial -5s", &["'-5s'", "digits"]),
        ("--initial 1e3s", &["'1e3s'", "digits"]),
        ("--initial .5s", &["'.5s'", "digits"]),
        ("--initial 1.s", &["'1.s'", "digits"]),
        ("--initial s", &["'s'", "digits"]),
        ("--initial 0.5ns", &["'0.5ns'", "nanosecond"]),
        ("--loss 1.5", &["1.5", "0 to 1"]),
        ("--loss -0.1", &["-0.1", "0 to 1"]),
        ("--loss 101%", &["101%", "100%"]),
        ("--loss NaN", &["NaN", "0 to 1"]),
        ("--loss half", &["half", "0 to 1"]),
        ("coap --initial 1s", &["[PRESET]", "--initial"]),
        ("default --jitter none", &["[PRESET]", "--jitter"]),
        ("--list --json", &["--list"]),
        ("coap stun", &["stun"]),
        ("--nonsense", &["--nonsense"]),
        ("nonsense", &["nonsense", "default, book, coap", "dhcpv4", "dns"]),
    ] {
        let ended = schedule(&usage.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, Some(2), "{usage}: {ended:?}");
        assert_eq!(ended.stdout, "", "{usage}");
        assert!(ended.stderr.starts_with("error: "), "{usage}: {ended:?}");
        for fact in facts {
            assert!(ended.stderr.contains(fact), "{usage}: no {fact:?} in {ended:?}");
        }
    }
}

#[test]
fn extremes_neither_hang_nor_print_without_end() {
    let file = Scratch::new("extremes.svg");
    for usage in [
        "--transmissions 4294967295",
        "--transmissions 4294967294",
        "--transmissions 65537",
        "--initial 1ns --max 1ns",
        "--initial 1ns --max 1ns --transmissions 4294967295",
        "--initial 1ns --max 1ns --transmissions 4294967294 --deadline 5000000h",
        "--initial 1ns --max 1ns --multiplier 1 --deadline 1ns",
        "--initial 1ns --max 5000000h --jitter 0..1000000000 --transmissions 64",
        "--initial 5000000h --max 5000000h --transmissions 4294967295",
        "--initial 1ns --max 5000000h --multiplier 1000000000 --transmissions 4294967295",
        "--multiplier 1.000000001 --transmissions 4294967295",
        "--multiplier 1.000000001 --transmissions 4294967294 --deadline 5000000h --jitter 0..1",
    ] {
        for form in [&["--json"][..], &["--svg", file.path()]] {
            let ended = schedule(&[&usage.split(' ').collect::<Vec<_>>(), form].concat());
            assert_eq!(ended.code, Some(0), "{usage}: {ended:?}");
            assert!(ended.stdout.len() < 20_000, "{usage} prints {} bytes", ended.stdout.len());
        }
        well_formed(&file.text(), &["&amp;", "&lt;", "&gt;"]);
    }
}

#[test]
fn of_very_many_transmissions_the_first_sixteen_are_shown_and_it_says_so() {
    for (count, cut) in [
        ("4294967295", "only the first 16 are shown of transmissions without end"),
        ("4294967294", "only the first 16 are shown of up to 4294967294 transmissions"),
        ("65", "only the first 16 are shown of up to 65 transmissions"),
    ] {
        assert!(text(&["--transmissions", count]).contains(cut));
        let ended = schedule(&["--transmissions", count, "--json"]);
        assert_eq!(ended.stderr.trim_end(), cut);
        assert_eq!(parsed(&ended)["transmissions"].as_array().unwrap().len(), 16);
    }
    let whole = schedule(&["--transmissions", "64", "--json"]);
    assert_eq!((parsed(&whole)["transmissions"].as_array().unwrap().len(), &*whole.stderr), (64, ""));
}

#[test]
fn the_drawing_is_complete_and_legible_by_day_and_by_night() {
    for preset in Preset::ALL {
        let svg = drawing(&[preset.name]);
        well_formed(&svg, &["&amp;", "&lt;", "&gt;"]);
        let sent = json(&[preset.name]);
        let (windows, fails) = (sent["transmissions"].as_array().unwrap(), !sent["fails_ms"].is_null());
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(count("<rect class=\"schedule-band\""), windows.len(), "{}", preset.name);
        let nominal = windows.iter().filter(|window| !window["nominal_ms"].is_null()).count();
        assert_eq!(count("<circle class=\"schedule-mark\""), nominal, "{}", preset.name);
        assert_eq!(count("<rect class=\"schedule-failure\""), usize::from(fails), "{}", preset.name);
        assert_eq!(count("<polyline class=\"schedule-curve"), 7);
        assert_eq!(count("<title ") + count("<desc "), 2);
        assert!(svg.contains(&format!(">{}</text>", preset.name)) && svg.contains("width=\"700\""));
        night_has_its_own_colours(&svg);
    }
}

/// Whatever colour a class has by day, it has another by night, and no element has one of its own.
fn night_has_its_own_colours(svg: &str) {
    let (before, style) = svg.split_once("<style>").unwrap();
    let (style, after) = style.split_once("</style>").unwrap();
    let (day, night) = style.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let coloured = |rules: &str| -> BTreeSet<String> {
        let rules = rules.lines().filter(|rule| rule.contains('#'));
        rules.map(|rule| rule.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    assert_eq!(coloured(day), coloured(night));
    assert!(coloured(day).len() >= 6 && day.contains(".schedule-picture text { fill: currentColor; }"));
    for rule in day.lines().filter(|rule| !rule.is_empty()) {
        assert!(rule.starts_with(".schedule-"), "{rule} would reach beyond the picture");
    }
    for elements in [before, after] {
        for attribute in ["fill=", "stroke=", "style=", "color="] {
            assert!(!elements.contains(attribute), "an element has its own {attribute}");
        }
    }
}

#[test]
fn the_same_arguments_give_the_same_output() {
    for arguments in [&["dhcpv6-solicit"][..], &["coap", "--json"], &["--list"], &["--jitter", "0.5..1.5"]] {
        assert_eq!(schedule(arguments), schedule(arguments));
    }
    assert_eq!(drawing(&["coap"]), drawing(&["coap"]));
}

#[test]
fn a_drawing_that_cannot_be_written_is_a_failure() {
    let file = Scratch::new("missing").0.join("schedule.svg");
    let ended = schedule(&["coap", "--svg", file.to_str().unwrap()]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot write") && ended.stderr.contains("schedule.svg"), "{ended:?}");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    for arguments in [&["coap"][..], &["--json"], &["--list"], &["--help"]] {
        let mut schedule = Running::start(tool("schedule").args(arguments), PATIENCE);
        drop(schedule.stdout());
        let ended = schedule.end();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    }
}

fn schedule(arguments: &[&str]) -> Ended {
    run("schedule", arguments, PATIENCE)
}

fn text(arguments: &[&str]) -> String {
    let ended = schedule(arguments);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}: {ended:?}");
    ended.stdout
}

fn json(arguments: &[&str]) -> Value {
    parsed(&schedule(&[arguments, &["--json"]].concat()))
}

fn parsed(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn drawing(arguments: &[&str]) -> String {
    let file = Scratch::new("schedule.svg");
    text(&[arguments, &["--svg", file.path()]].concat());
    file.text()
}

fn published() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/schedules.json")).unwrap()
}

/// No run takes longer, whatever is asked.
const PATIENCE: Duration = Duration::from_secs(2);
