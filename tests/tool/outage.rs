//! `udp-retry outage` as people run it: small studies against stored figures, causes, refusals.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::files::{Scratch, well_formed};
use crate::program::{Ended, Running, run, tool};

#[test]
fn small_studies_come_to_the_stored_figures() {
    let stored = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/outage.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let many = policies(&outage(&[&MANY[..], &["--json"]].concat()));
    for (fleet, figures) in [("20 clients", small()), ("10,000 clients", &many)] {
        let stored = stored[fleet].as_array().unwrap();
        for (figures, stored) in figures.iter().zip(stored) {
            assert_eq!(figures, stored, "{fleet}: {}", figures["policy"]);
        }
        assert_eq!(figures.len(), stored.len());
    }
}

/// What the figures have to say whatever they are: stored ones could have been stored wrong.
#[test]
fn the_small_study_tells_who_recovers_and_at_what_price() {
    let of = |policy: &str, figure: &str| number(&row(small(), policy)[figure]);
    for stuck in ["fixed", "exponential", "exponential-full-jitter", "exponential-upward-jitter"] {
        assert_eq!(row(small(), stuck)["recovery_s"], Value::Null, "{stuck}");
        assert!(of(stuck, "success_30s_after") < 0.1 && of(stuck, "wasted_work") > 0.9, "{stuck}");
        assert!(of(stuck, "amplification_after") > 2.9, "{stuck}");
    }
    // The queue of 2 s has to be worked off, and what came in behind it.
    for quick in ["no-retry", "rtt-estimator", "recommended"] {
        assert!(of(quick, "recovery_s") <= 5.0 && of(quick, "amplification_after") <= 1.1, "{quick}");
    }
    for at_once in ["server-drops-expired", "recommended-envelope"] {
        assert_eq!(of(at_once, "recovery_s"), 0.0, "{at_once}");
    }
    assert!(of("recommended-envelope", "success_30s_after") >= 0.99);
    assert!(of("recommended-envelope", "amplification_after") <= 1.1);
    // By arithmetic: 0.81 of the first attempts arrive, and of three attempts 1 − 0.19³.
    for (policy, success) in [("no-retry", 0.81), ("exponential", 1.0 - 0.19_f64.powi(3))] {
        let observed = of(policy, "success_at_19_percent_loss");
        // 6 standard deviations of 24,000 requests.
        let bound = 6.0 * (success * (1.0 - success) / 24_000.0).sqrt();
        assert!((observed - success).abs() < bound, "{policy}: {observed}, not {success} ± {bound}");
    }
    for policy in small() {
        let name = policy["policy"].as_str().unwrap();
        let spurious = number(&policy["spurious_without_loss"]);
        assert!((name == "exponential-full-jitter") == (spurious > 0.02), "{name}: {spurious}");
        // 10 ms on the way and 1 ms of work, and seldom a queue.
        assert!((11.0..12.0).contains(&number(&policy["p50_ms"])), "{policy}");
    }
    assert!(of("recommended", "success_at_19_percent_loss") >= 0.97);
}

#[test]
fn json_is_one_line_with_the_promised_keys() {
    let ended = outage(&["--quick", "--rows", "no-retry,fixed", "--clients", "7", "--stall", "1s", "--json"]);
    assert_eq!((ended.code, ended.stdout.matches('\n').count(), &*ended.stderr), (Some(0), 1, ""), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(keys(&report), BTreeSet::from(["policies"]));
    for row in report["policies"].as_array().unwrap().iter().chain(small()) {
        assert_eq!(
            keys(row),
            BTreeSet::from_iter(RATES.into_iter().chain(["policy", "recovery_s", "p50_ms", "p99_ms"]))
        );
        for rate in RATES {
            let value = number(&row[rate]);
            assert!((0.0..=5.0).contains(&value) && is_rounded(value, 1e4), "{rate} of {row}");
        }
        assert!(["p50_ms", "p99_ms"].into_iter().all(|key| is_rounded(number(&row[key]), 1e3)), "{row}");
        let recovery = &row["recovery_s"];
        assert!(recovery.is_null() || recovery.is_f64() && number(recovery).fract() == 0.0, "{row}");
    }
    let names: Vec<_> = small().iter().map(|row| row["policy"].as_str().unwrap()).collect();
    assert_eq!(names, POLICIES);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let run = |seed: &str| outage(&["--quick", "--rows", "recommended,no-retry", "--seed", seed, "--json"]).stdout;
    let report: Value = serde_json::from_str(&run("7")).unwrap();
    // In the order of the table, whatever the order asked for.
    let names: Vec<_> = report["policies"].as_array().unwrap().iter().map(|row| row["policy"].clone()).collect();
    assert_eq!(names, ["no-retry", "recommended"]);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("18446744073709551615"));
}

#[test]
fn a_row_is_the_same_alone_and_among_others() {
    let alone = policies(&outage(&["--rows", "recommended", "--json"].into_iter().chain(SMALL).collect::<Vec<_>>()));
    assert_eq!(alone, [row(small(), "recommended").clone()]);
}

/// Requests that are waiting are lost with the queue: nothing stale is left that could keep the server busy. What the
/// clients have under way at that moment is more than the most eager ones can bear even so.
#[test]
fn after_a_crash_all_but_the_most_eager_recover_at_once() {
    let ended = outage(&["--quick", "--cause", "crash", "--stall", "4s", "--clients", "20", "--json"]);
    for row in policies(&ended) {
        let eager = ["fixed", "exponential-full-jitter"].map(Value::from).contains(&row["policy"]);
        let (recovery, success) = if eager { (Value::Null, 0.0..0.1) } else { (0.0.into(), 0.97..1.1) };
        assert_eq!(row["recovery_s"], recovery, "{row}");
        assert!(success.contains(&number(&row["success_30s_after"])), "{row}");
    }
}

#[test]
fn a_slow_server_and_a_bad_path_are_other_troubles() {
    let of = |cause: &str| {
        let rows = "exponential,recommended";
        let ended = outage(&["--quick", "--cause", cause, "--stall", "5s", "--rows", rows, "--json"]);
        let rows = policies(&ended);
        move |policy: &str, figure: &str| row(&rows, policy)[figure].clone()
    };
    let (slow, loss) = (of("slow"), of("loss"));
    // A tenth of its speed fills the queue as a stall does; losses fill none.
    assert_eq!((slow("exponential", "recovery_s"), loss("exponential", "recovery_s")), (Value::Null, 0.0.into()));
    assert!(number(&slow("recommended", "recovery_s")) <= 5.0);
    // Half of the datagrams are lost each way, so that a quarter of the attempts succeed: 1 + 0.75 + 0.75², but for
    // what requests before it did not send in its first 200 and 600 ms.
    let expected = 1.0 + 0.75 * (1.0 - 0.2 / 5.0) + 0.75 * 0.75 * (1.0 - 0.6 / 5.0);
    let sent = number(&loss("exponential", "amplification_during"));
    assert!((sent - expected).abs() < 0.1, "{sent}, not {expected}");
}

#[test]
fn the_text_has_two_tables_and_a_finding() {
    let ended = outage(&["--quick", "--rows", "no-retry,exponential,default", "--stall", "4s", "--seed", "3"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    for fact in [
        "A server that stalls for 4 s, 1,000 clients (quick: one run of each), --seed 3\n",
        "RetryPolicy::default() and nothing else",
        "1 of 2 do not recover within 40 s: exponential.\nThe slowest of the others, no-retry, takes 3 s.\n",
        "recovery: from the end of the trouble",
    ] {
        assert!(ended.stdout.contains(fact), "no {fact:?} in\n{}", ended.stdout);
    }
    let start_of = |name: &str| ended.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(start_of("exponential").contains("  never  "), "{}", ended.stdout);
    // The columns of both tables are in line.
    let heads: Vec<_> = ended.stdout.lines().filter(|line| line.trim_start().starts_with("policy  ")).collect();
    assert!(matches!(heads[..], [one, other] if one == other), "{}", ended.stdout);
}

#[test]
fn the_drawing_names_every_row_it_shows() {
    for (rows, shown) in [
        ("exponential,aws-500,recommended,no-retry", &["exponential", "aws-500", "recommended"][..]),
        ("no-retry", &["no-retry"]),
    ] {
        let file = Scratch::new("outage.svg");
        let svg = ["--svg", file.path()];
        let ended = outage(&[&["--quick", "--stall", "4s", "--clients", "20", "--rows", rows], &svg[..]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let svg = file.text();
        well_formed(&svg, &[]);
        assert!(svg.contains("width=\"700\"") && svg.contains("prefers-color-scheme: dark"));
        assert_eq!((svg.matches("<title ").count(), svg.matches("<desc ").count()), (1, 1));
        assert_eq!(svg.matches("<polyline ").count(), shown.len(), "{rows}");
        for name in shown {
            let label = format!(">{name}: ");
            assert!(svg.lines().any(|line| line.contains("outage-label") && line.contains(&label)), "{name}\n{svg}");
        }
        let outside = coordinates(&svg).find(|at| !(0.0..=700.0).contains(at));
        assert_eq!(outside, None, "{svg}");
    }
}

#[test]
fn a_drawing_that_cannot_be_written_is_told_before_the_work() {
    let file = Scratch::new("missing").0.join("outage.svg");
    // Without --quick: the work would take many times as long.
    let ended = outage(&["--svg", file.to_str().unwrap()]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot write") && ended.stderr.contains("outage.svg"), "{ended:?}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for (usage, fact) in [
        (&["--clients", "0"][..], "1..=1000000"),
        (&["--clients", "1000001"], "1..=1000000"),
        (&["--stall", "0s"], "above 0"),
        (&["--stall", "61s"], "from 1s to 60s"),
        (&["--stall", "1.5s"], "whole seconds"),
        (&["--stall", "999ms"], "whole seconds"),
        (&["--stall", "10"], "with a unit"),
        (&["--stall", "-1s"], "above 0"),
        (&["--cause", "earthquake"], "stall"),
        (&["--seed", "-1"], "-1"),
        (&["--rows", "exponential,decorrelated"], "the policies are no-retry, fixed"),
        (&["stall"], "stall"),
    ] {
        let ended = outage(usage);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(fact), "{usage:?}: {ended:?}");
    }
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let mut outage = Running::start(tool("outage").args(["--quick", "--rows", "no-retry"]), PATIENCE);
    drop(outage.stdout());
    let ended = outage.end();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// The figures of the small version, which is run once.
fn small() -> &'static [Value] {
    static SMALL_STUDY: OnceLock<Vec<Value>> = OnceLock::new();
    SMALL_STUDY.get_or_init(|| policies(&outage(&[&SMALL[..], &["--json"]].concat())))
}

fn outage(arguments: &[&str]) -> Ended {
    run("outage", arguments, PATIENCE)
}

fn policies(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    report["policies"].as_array().unwrap().clone()
}

fn row<'r>(rows: &'r [Value], policy: &str) -> &'r Value {
    rows.iter().find(|row| row["policy"] == policy).unwrap()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn is_rounded(value: f64, to: f64) -> bool {
    (value * to).round() / to == value
}

/// Of curves, lines and labels.
fn coordinates(svg: &str) -> impl Iterator<Item = f64> {
    let values = svg.split([' ', '\n']).filter_map(|part| {
        let (name, value) = part.split_once("=\"")?;
        ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "points"].contains(&name).then_some(value)
    });
    let points = svg.split("points=\"").skip(1).filter_map(|points| points.split('"').next());
    let numbers = values.chain(points).flat_map(|value| value.split(['"', ' ', ',']));
    numbers.filter_map(|number| number.parse().ok())
}

/// What `tests/vectors/outage.json` holds the figures of: in a fleet of many, what a budget begins with counts.
const SMALL: [&str; 5] = ["--quick", "--clients", "20", "--stall", "4s"];
const MANY: [&str; 7] = ["--quick", "--clients", "10000", "--stall", "4s", "--rows", "grpc,recommended"];
const POLICIES: [&str; 14] = [
    "no-retry",
    "fixed",
    "exponential",
    "exponential-full-jitter",
    "exponential-upward-jitter",
    "aws-500",
    "finagle",
    "envoy",
    "grpc",
    "rtt-estimator",
    "server-drops-expired",
    "recommended",
    "recommended-envelope",
    "default",
];
const RATES: [&str; 7] = [
    "amplification_during",
    "amplification_after",
    "peak_load",
    "success_30s_after",
    "wasted_work",
    "success_at_19_percent_loss",
    "spurious_without_loss",
];
/// For a build without optimisation on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(200);
