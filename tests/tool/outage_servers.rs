//! `udp-retry outage --servers` as people run it: a small study against stored figures, what the figures have to say of the
//! crate's own way to choose, refusals.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::files::{Scratch, well_formed};
use crate::program::{Ended, run};

#[test]
fn a_small_study_of_servers_comes_to_the_stored_figures() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/outage-servers.json");
    let stored: Value = serde_json::from_str(&fs::read_to_string(stored).unwrap()).unwrap();
    let quick = report(&["--quick"]);
    let (stored, quick) = (stored["situations"].as_array().unwrap(), quick["situations"].as_array().unwrap());
    assert_eq!(quick.len(), stored.len());
    for (quick, stored) in quick.iter().zip(stored) {
        let rows = quick["policies"].as_array().unwrap().iter().zip(stored["policies"].as_array().unwrap());
        rows.for_each(|(quick, stored_row)| assert_eq!(quick, stored_row, "{}", stored["situation"]));
    }
}

/// What is asked of the crate's own, whatever was stored.
#[test]
fn bad_servers_cost_little_and_an_outage_of_all_no_more_than_it_must() {
    let banded = |situation: &str| of(situation, "banded");
    let mixed = banded("mixed");
    assert!(mixed.success() >= 0.999 && mixed.p99 <= 300.0 && mixed.transmissions <= 1.02, "{mixed:?}");
    let dies = banded("dies");
    assert!(dies.success() >= 0.999 && dies.p99 <= 350.0, "{dies:?}");
    let outage = banded("outage");
    assert!(outage.failed / outage.requests <= 610.0 / 1500.0 && outage.transmissions <= 1.1, "{outage:?}");
    // A third of them had passed their deadline before any server was back.
    assert!(outage.failed / outage.requests >= 500.0 / 1500.0 * 0.95, "{outage:?}");
    assert!(banded("rare").transmissions <= 1.1 && banded("rare-dead").transmissions <= 1.4);
    assert_eq!(banded("rare").failed + banded("rare-dead").failed, 0.0);
    assert_eq!(mixed.requests, 100_000.0);
}

#[test]
fn load_is_spread_as_well_as_in_turn_and_overload_survived() {
    let (banded, in_turn) = (|situation: &str| of(situation, "banded"), |situation: &str| of(situation, "round-robin"));
    for situation in ["load-67", "load-87", "fleet-67", "fleet-87"] {
        assert_eq!(banded(situation).failed, 0.0, "{situation}: {:?}", banded(situation));
    }
    for situation in ["load-67", "load-87", "fleet-67"] {
        let (banded, in_turn) = (banded(situation), in_turn(situation));
        assert!(banded.p99 <= 1.3 * in_turn.p99, "{situation}: {banded:?} against {in_turn:?}");
    }
    assert!(banded("load-107").success() >= 0.75 && banded("fleet-107").success() >= 0.75);
    assert!(banded("unequal").success() >= 0.999, "{:?}", banded("unequal"));
}

/// Which is why the crate chooses otherwise.
#[test]
fn choosing_the_fastest_collapses_where_the_servers_have_a_third_to_spare() {
    let quick = report(&["--quick"]);
    let of = |situation: &str, policy: &str| cell(&quick, situation, policy);
    assert!(of("load-67", "fastest").success() < 0.75 && of("load-87", "fastest").success() < 0.6);
    assert!(of("load-87", "greedy").success() < 0.9 && of("load-87", "unbound").success() < 0.9);
    // By arithmetic: a third of the requests have a dead server, in turn.
    let one = of("rare-dead", "one-server").success();
    assert!((one - 2.0 / 3.0).abs() < 0.001, "{one}");
    // In turn, a third of the requests begin at the dead one and half of a third fail at the lossy one: a second each.
    assert!(of("mixed", "round-robin").p99 > 1000.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_alone_and_among_others() {
    let some = ["--quick", "--situations", "load-67,mixed", "--rows", "banded,one-server"];
    let run = |seed: &str| outage(&[&some[..], &["--json", "--seed", seed]].concat()).stdout;
    let told: Value = serde_json::from_str(&run("1")).unwrap();
    // In the order of the table, whatever the order asked for.
    let situations: Vec<_> = told["situations"].as_array().unwrap().iter().map(|it| it["situation"].clone()).collect();
    let rows: Vec<_> = told["situations"][0]["policies"].as_array().unwrap().iter().map(|it| &it["policy"]).collect();
    assert_eq!(situations, ["mixed", "load-67"]);
    assert_eq!(rows, ["one-server", "banded"]);
    let all = report(&["--quick"]);
    let among_others = all["situations"][0]["policies"].as_array().unwrap();
    assert_eq!(among_others.iter().find(|it| it["policy"] == "banded"), Some(&told["situations"][0]["policies"][1]));
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn json_of_servers_is_one_line_with_the_promised_keys() {
    let ended = outage(&["--quick", "--situations", "dies", "--rows", "banded", "--json"]);
    assert_eq!((ended.code, ended.stdout.matches('\n').count(), &*ended.stderr), (Some(0), 1, ""), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let row = told["situations"][0]["policies"][0].as_object().unwrap();
    let keys: Vec<_> = row.keys().map(String::as_str).collect();
    assert_eq!(keys, ["failed", "p50_ms", "p99_ms", "policy", "requests", "success", "transmissions"]);
    // 15 s of 100 a second, six deviations of a Poisson distribution.
    let requests = row["requests"].as_f64().unwrap();
    assert!((requests - 1500.0).abs() < 6.0 * 1500.0_f64.sqrt(), "{requests}");
}

#[test]
fn the_text_of_servers_has_a_table_for_each_group_of_situations() {
    let some = ["--quick", "--situations", "mixed,load-67,fleet-67", "--rows", "round-robin,banded", "--clients", "3"];
    let ended = outage(&some);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    for fact in [
        "Which of three servers to ask (quick), --seed 1\n",
        "\nOne client; servers that answer as many as they are asked:\n",
        "\nOne client; servers that answer 150 a second together (unequal: 175):\n",
        "\nThe same, with 3 clients that know nothing of each other:\n",
        "\nok: requests answered within 5 s;",
    ] {
        assert!(ended.stdout.contains(fact), "no {fact:?} in\n{}", ended.stdout);
    }
    let lines = |start: &str| ended.stdout.lines().filter(|line| line.trim_start().starts_with(start)).count();
    assert_eq!(["policy ", "round-robin ", "banded "].map(lines), [3; 3], "{}", ended.stdout);
}

#[test]
fn the_drawing_of_servers_names_every_row_and_what_collapses() {
    for (situations, names, point) in [
        ("load-67,load-87", &["round-robin", "fastest", "banded"][..], "fastest collapses at 67% of what the servers"),
        ("fleet-67,fleet-87", &["banded"], "All answer nine in ten at 67%"),
        ("mixed", &["banded"], "No load was simulated"),
    ] {
        let file = Scratch::new("servers.svg");
        let rows = names.join(",");
        let ended = outage(&["--quick", "--situations", situations, "--rows", &rows, "--svg", file.path()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let svg = file.text();
        well_formed(&svg, &[]);
        assert!(svg.contains("width=\"700\"") && svg.contains("prefers-color-scheme: dark"));
        assert_eq!((svg.matches("<title ").count(), svg.matches("<desc ").count()), (1, 1));
        assert_eq!(svg.matches("<polyline ").count(), if situations == "mixed" { 0 } else { names.len() });
        assert!(svg.contains(&format!(">{point}")), "{svg}");
        for name in names {
            let label = format!(">{name}</text>");
            assert!(situations == "mixed" || svg.contains(&label), "{name}\n{svg}");
        }
    }
}

#[test]
fn what_servers_do_not_have_is_refused() {
    for (usage, fact) in [
        (&["--servers", "--stall", "5s"][..], "--stall"),
        (&["--servers", "--cause", "crash"], "--cause"),
        (&["--servers", "--rows", "exponential"], "the policies are one-server, round-robin"),
        (&["--servers", "--situations", "load-68"], "the situations are mixed, slow-lossy-fine"),
        (&["--servers", "--requests", "0"], "1..="),
        (&["--requests", "5"], "--servers"),
        (&["--situations", "mixed"], "--servers"),
    ] {
        let ended = run("outage", usage, PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(fact), "{usage:?}: {ended:?}");
    }
    let file = Scratch::new("missing").0.join("servers.svg");
    let ended = outage(&["--svg", file.to_str().unwrap()]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot write"), "{ended:?}");
}

#[derive(Clone, Debug)]
struct Cell {
    requests: f64,
    failed: f64,
    p99: f64,
    transmissions: f64,
}

impl Cell {
    fn success(&self) -> f64 {
        1.0 - self.failed / self.requests
    }
}

/// Of as many requests as is asked for, for each situation: run once.
fn of(situation: &str, policy: &str) -> Cell {
    static STUDY: OnceLock<Value> = OnceLock::new();
    cell(STUDY.get_or_init(|| report(&["--rows", "round-robin,banded"])), situation, policy)
}

fn cell(study: &Value, situation: &str, policy: &str) -> Cell {
    let situation = study["situations"].as_array().unwrap().iter().find(|it| it["situation"] == situation).unwrap();
    let row = situation["policies"].as_array().unwrap().iter().find(|it| it["policy"] == policy).unwrap();
    let [requests, failed, p99, transmissions] =
        ["requests", "failed", "p99_ms", "transmissions"].map(|key| row[key].as_f64().unwrap());
    Cell { requests, failed, p99, transmissions }
}

fn report(arguments: &[&str]) -> Value {
    let ended = outage(&[arguments, &["--json"]].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn outage(arguments: &[&str]) -> Ended {
    run("outage", &[&["--servers"], arguments].concat(), PATIENCE)
}

/// For a build without optimisation on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(200);
