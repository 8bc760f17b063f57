//! What the searches of others cost on the same paths, and that the guide's page says so.

use udp_retry::pmtu::SearchSettings;
use udp_retry::size::IpFamily;

use crate::path::{Fate, Found, Path, Traffic, packet, usual};
use crate::strategies::{Halving, Strategy, Upwards};

const V4: IpFamily = IpFamily::V4;
const ETHERNET: u32 = 1500;
const PAGE: &str = include_str!("../../src/guide/path_mtu.rs");

fn base() -> u32 {
    packet(SearchSettings::new(V4).base(), V4)
}

fn halving(path: &Path, seed: u64) -> Found {
    drive(path, &mut Halving::new(base(), ETHERNET), seed)
}

fn upwards(path: &Path, seed: u64) -> Found {
    drive(path, &mut Upwards::new(base(), ETHERNET), seed)
}

fn ours(path: &Path, seed: u64) -> Found {
    path.search(SearchSettings::new(V4), seed)
}

fn drive(path: &Path, strategy: &mut dyn Strategy, seed: u64) -> Found {
    // A report that is not used is a loss.
    let path = Path { reports: false, ..*path };
    let mut traffic = Traffic::new(&path, seed);
    while let Some(size) = strategy.next() {
        match traffic.probe(size) {
            Fate::Arrived => strategy.on_acked(),
            Fate::Lost | Fate::Reported(_) => strategy.on_lost(),
        }
    }
    traffic.found(strategy.found().unwrap_or(0))
}

/// A row of a table in the documentation.
#[track_caller]
fn assert_stands_in_the_guide(name: &str, cells: &[String]) {
    let row = format!("//! | {name} | {} |", cells.join(" | "));
    assert!(PAGE.contains(&row), "src/guide/path_mtu.rs lacks\n{row}");
}

#[test]
fn the_guide_shows_what_each_search_costs_on_six_topologies() {
    for (name, carries, reports, first_hop) in [
        ("direct, asym", 1500, false, 1500),
        ("chain", 1400, true, 1400),
        ("chain2", 1300, true, 1400),
        ("blackhole", 1400, false, 1500),
        ("l2hole", 1404, false, 1500),
    ] {
        let path = Path { reports, first_hop, ..Path::silent(V4, carries, ETHERNET) };
        let cell = |Found { pmtu, probes, lost, took }| {
            assert!(pmtu <= carries, "{name}");
            format!("{pmtu} · {probes}/{lost} · {} ms", took.as_millis())
        };
        assert_stands_in_the_guide(name, &[halving, upwards, ours].map(|search| cell(search(&path, 0))));
    }
}

#[test]
fn the_guide_shows_how_often_each_search_is_right_where_datagrams_are_lost() {
    const PATHS: [u32; 6] = [1500, 1492, 1480, 1420, 1400, 1280];
    const SEEDS: u64 = 200;
    for loss in [0, 10, 30] {
        // Right is what a search finds where nothing is lost by chance.
        let cells = [halving, upwards, ours].map(|search| {
            let (mut right, mut probes) = (0, 0);
            for carries in PATHS {
                let path = Path { loss, ..Path::silent(V4, carries, ETHERNET) };
                let expected = search(&Path::silent(V4, carries, ETHERNET), 0).pmtu;
                for seed in 0..SEEDS {
                    let found = search(&path, seed * 1_000 + u64::from(carries));
                    assert!(found.pmtu <= carries);
                    right += u32::from(found.pmtu == expected);
                    probes += found.probes;
                }
            }
            let searches = PATHS.len() as f64 * SEEDS as f64;
            format!("{:.1} % · {:.1}", f64::from(right) * 100.0 / searches, f64::from(probes) / searches)
        });
        assert_stands_in_the_guide(&format!("{loss} %"), &cells);
    }
}

#[test]
fn the_guide_shows_what_each_search_misses_and_loses_on_every_path() {
    // The most lost, the most probes, and how many bytes a search falls short: the mean, and the most.
    let cells = [halving, upwards, ours].map(|search| {
        let found = (base()..=ETHERNET).map(|carries| (carries, search(&Path::silent(V4, carries, ETHERNET), 0)));
        let found: Vec<(u32, Found)> = found.collect();
        let lost = found.iter().map(|(_, it)| it.lost).max().unwrap();
        let probes = found.iter().map(|(_, it)| it.probes).max().unwrap();
        let short = found.iter().map(|(carries, it)| carries - it.pmtu);
        let mean = f64::from(short.clone().sum::<u32>()) / found.len() as f64;
        format!("{lost} of {probes} · {mean:.1}, {}", short.max().unwrap())
    });
    assert_stands_in_the_guide("every one from 1228 to 1500", &cells);
}

#[test]
fn a_model_finds_what_its_rules_allow_and_stops() {
    for carries in base()..=ETHERNET {
        let path = Path::silent(V4, carries, ETHERNET);
        let (halved, up) = (halving(&path, 0), upwards(&path, 0));
        assert!(halved.pmtu <= carries && carries - halved.pmtu < 40, "{carries}: {halved:?}");
        let table = [base(), 1280, 1380, 1420, 1472, 1500].into_iter().rfind(|&it| it <= carries);
        assert_eq!(Some(up.pmtu), table, "{carries}");
        assert_eq!(up.lost, if carries == ETHERNET { 0 } else { 3 }, "{carries}");
        assert_eq!(halved.lost % 3, 0, "{carries}");
        assert_eq!(ours(&path, 0).pmtu, usual(V4, carries));
    }
    for search in [halving, upwards] {
        let found = search(&Path::silent(V4, 1000, ETHERNET), 0);
        assert_eq!((found.pmtu, found.probes, found.lost), (0, 3, 3), "nothing arrives");
    }
}
