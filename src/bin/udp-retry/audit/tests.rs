//! What is said of a link is true: every link that does what it is told is cleared, and no other.

use udp_retry::Seed;
use udp_retry::fault::Link;
use udp_retry::time::Timestamp;

use super::rate::Verdict;
use super::*;

#[test]
fn a_link_that_was_told_something_else_is_told_from_one_that_was_not() {
    for (told, asked, broken) in [
        ("loss 5%", "loss 4%", &["loss", "mean_burst"][..]),
        ("loss 5% burst 3", "loss 4% burst 3", &["loss"]),
        ("loss 5% burst 3", "loss 5% burst 2.5", &["mean_burst"]),
        ("loss 5% burst 3", "loss 5%", &["mean_burst"]),
        ("loss 5%", "loss 95%", &["loss", "mean_burst"]),
        ("loss 5%", "loss 0.05%", &["loss", "mean_burst"]),
        ("loss exactly 3 of 10", "loss 30%", &["mean_burst"]),
        ("loss 30%", "loss exactly 3 of 10", &["loss", "mean_burst"]),
        ("loss pattern 0011", "loss pattern 0101", &["mean_burst"]),
        ("loss p 1% r 20% good 0% bad 90%", "loss p 1% r 20% good 1% bad 90%", &["loss", "mean_burst"]),
        ("duplicate 1%", "duplicate 1.3%", &["duplicate"]),
        ("truncate 1%", "truncate 1.3%", &["truncate"]),
        ("corrupt 1%", "corrupt 1.3%", &["corrupt"]),
        ("reorder 10% by 1ms", "reorder 11% by 1ms", &["reorder"]),
    ] {
        let stats = carried(told, 1, MANY);
        assert_eq!(broken_of(&rates(&spec(asked), &stats)), broken, "{told} for {asked}");
        assert_eq!(broken_of(&rates(&spec(told), &stats)), NOTHING, "{told}");
    }
}

#[test]
fn a_stage_that_never_acts_or_acts_unasked_is_found() {
    let (busy, idle) = (carried(ALL, 1, 100_000), carried("none", 1, 100_000));
    let all = ["loss", "mean_burst", "duplicate", "truncate", "corrupt", "reorder"];
    assert_eq!(broken_of(&rates(&spec(ALL), &idle)), all);
    assert_eq!(broken_of(&rates(&spec("none"), &busy)), ["loss", "duplicate", "truncate", "corrupt", "reorder"]);
    assert_eq!(rates(&spec("none"), &idle), []);
    // 22 expected and none seen: less than 6 standard deviations, and yet no chance.
    let rare = rates(&spec("duplicate 0.022%"), &idle);
    assert_eq!(broken_of(&rare), ["duplicate"]);
    assert!(rare[0].bound > rare[0].asked);
    assert_eq!(broken_of(&rates(&spec("duplicate 0.002%"), &idle)), NOTHING);
}

#[test]
fn without_traffic_nothing_is_observed() {
    for rate in rates(&spec(ALL), &LinkStats::NONE) {
        assert_eq!((rate.observed, rate.of, rate.verdict), (None, 0, Verdict::NotDue), "{rate:?}");
        let json = rate.to_json();
        assert!(json["observed"].is_null() && json["bound"].is_number() && json["ok"].is_null(), "{json}");
    }
}

#[test]
fn links_that_do_what_they_are_told_are_cleared_whatever_the_seed() {
    for told in [
        "loss 5%",
        "loss 0.01%",
        "loss 99.9%",
        "loss 5% burst 3",
        "loss 0.1% burst 20",
        "loss 30% burst 1",
        "loss 20% correlation 60%",
        "loss p 1% r 20% good 0.1% bad 90%",
        "loss p 0.1% r 1% good 1% bad 90%",
        "loss p 99% r 98%",
        "loss exactly 3 of 7",
        "loss exactly 1 of 1000",
        "loss pattern 01101",
        "truncate 100%; corrupt 100%",
        "truncate 50% to 0; corrupt 50%",
        "duplicate 100%; corrupt 0.01%",
        // Other stages pick what the loss model gets to see.
        "rate 8mbit queue 3 datagrams; loss 5% burst 3",
        "rate 8mbit queue 3 datagrams; loss exactly 3 of 10",
        "outage from 0s for 3ms every 1s; loss exactly 3 of 10",
        "outage from 0s for 3ms every 1s; loss 10% burst 2",
        "script { drop 1,2,3,4; duplicate 5,6,7 after 1ms; corrupt 9 bit 3 }; loss 1%; duplicate 0.01%; corrupt 0.01%",
        ALL,
    ] {
        let spec = spec(told);
        for (seed, datagrams) in (0..300).zip([100, 1000, 5000].into_iter().cycle()) {
            let stats = carried(told, seed, datagrams);
            let rates = rates(&spec, &stats);
            let broken = rates.iter().find(|rate| rate.is_broken());
            assert_eq!(broken, None, "{told}, seed {seed}: {stats:?}");
        }
    }
}

#[test]
fn bounds_are_six_standard_deviations_and_hardly_more() {
    let stats = carried(ALL, 1, MANY);
    let near = |knob: &str, variance: f64, of: u64| {
        let rate = rates(&spec(ALL), &stats).into_iter().find(|rate| rate.knob == knob).unwrap();
        let (sigmas, of) = (6.0 * variance.sqrt(), of as f64);
        assert_eq!(rate.of as f64, of, "{knob}");
        let bound = rate.bound * of;
        assert!(bound >= sigmas && bound <= sigmas * 1.04 + 6.0 + 1.0, "{knob}: {bound} for {sigmas}");
    };
    let (passed, copies) = (stats.delivered - stats.duplicates, stats.delivered);
    // A chain with r = 1/3 and p = 1/57: (2 - p - r)/(p + r).
    let inflation = (2.0 - 1.0 / 57.0 - 1.0 / 3.0) / (1.0 / 57.0 + 1.0 / 3.0);
    near("loss", MANY as f64 * 0.05 * 0.95 * inflation, MANY);
    near("duplicate", passed as f64 * 0.03 * 0.97, passed);
    near("truncate", copies as f64 * 0.02 * 0.98, copies);
    near("corrupt", copies as f64 * 0.01 * 0.99, copies);
    near("reorder", passed as f64 * 0.1 * 0.9, passed);
    // Runs of mean 3: a standard deviation of √6.
    near("mean_burst", 6.0 * stats.bursts as f64, stats.bursts);
}

#[test]
fn drops_elsewhere_are_no_loss_and_bursts_are_told_only_where_they_can_be() {
    let mut stats = carried("loss 5% burst 3", 1, MANY);
    let all = stats.received;
    stats.received += 1000;
    stats.dropped.queue = 1000;
    let told = rates(&spec("loss 5% burst 3"), &stats);
    assert_eq!((told[0].of, told[1].knob, broken_of(&told)), (all, "mean_burst", NOTHING.to_vec()));
    stats.received += all;
    stats.dropped.outage = all;
    let told = rates(&spec("loss 5% burst 3"), &stats);
    assert_eq!((told.len(), told[0].of, broken_of(&told)), (1, all, NOTHING.to_vec()));
}

#[test]
fn what_found_no_capacity_is_a_rate_of_its_own_and_changes_no_other() {
    let mut stats = carried(ALL, 1, MANY);
    let (asked, copies) = (spec(ALL), stats.delivered);
    let before = rates(&asked, &stats);
    let refused = copies / 4;
    stats.dropped.capacity = refused;
    stats.delivered -= refused;
    let mut after = rates(&asked, &stats);
    let capacity = after.pop().unwrap();
    assert_eq!(after, before);
    assert_eq!((capacity.knob, capacity.asked, capacity.of), ("capacity", 0.0, copies));
    assert_eq!((capacity.observed, capacity.is_broken()), (Some(refused as f64 / copies as f64), true));
    // Each was delayed, even if none was kept.
    stats.dropped.capacity = copies;
    stats.delivered = 0;
    assert_eq!(unmet(&spec("delay 1ms"), &stats), NOTHING);
}

#[test]
fn a_rate_as_json_has_all_of_it_in_readable_numbers() {
    let [loss, burst] = &rates(&spec("loss 5% burst 3"), &carried("loss 5% burst 3", 1, 1000))[..] else { panic!() };
    let json = loss.to_json();
    assert_eq!(
        (&json["knob"], json["asked"].to_string().as_str(), &json["of"]),
        (&"loss".into(), "0.05", &1000.into())
    );
    assert_eq!(json["observed"].as_f64(), loss.observed);
    assert_eq!(burst.to_json()["asked"].to_string(), "3.0");
}

/// What a link counts of so many datagrams of 1,250 bytes, a millisecond apart.
fn carried(told: &str, seed: u64, datagrams: u64) -> LinkStats {
    let mut link = Link::new(spec(told), Seed::new(seed));
    for n in 0..datagrams {
        // Ten at a time, for the queues.
        link.transmit(Timestamp::from_nanos(n / 10 * 10_000_000), &[0; 1250]);
    }
    *link.stats()
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn broken_of(rates: &[Rate]) -> Vec<&'static str> {
    rates.iter().filter(|rate| rate.is_broken()).map(|rate| rate.knob).collect()
}

const NOTHING: [&str; 0] = [];
const MANY: u64 = 400_000;
const ALL: &str = "loss 5% burst 3; duplicate 3%; truncate 2% to 100; corrupt 1%; reorder 10% by 1ms";
