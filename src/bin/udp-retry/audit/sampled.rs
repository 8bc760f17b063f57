//! Thousands of runs for each kind of specification: none that does what it is told is called broken, however rare it
//! is, and one that does something else is. What a link loses is drawn from its law, burst by burst, which takes as long
//! for a million datagrams as there are bursts among them.

use udp_retry::Seed;
use udp_retry::fault::Link;
use udp_retry::time::Timestamp;

use super::*;

/// Those of the field, and more that are as rare, as long or as short.
const SPECIFICATIONS: [(&str, u64); 16] = [
    ("loss 0.001%", 200_000),
    ("loss 0.0005%", 200_000),
    ("loss 0.01% burst 10", 200_000),
    ("loss 0.01% burst 100", 200_000),
    ("loss 1% burst 1000", 200_000),
    ("loss 5% burst 3", 10),
    ("loss 1%", 20),
    ("loss 5% burst 3", 200_000),
    ("loss 0.00001%", 200_000),
    ("loss 0.1% burst 1000000", 200_000),
    ("loss 50% burst 5000", 1_000),
    ("loss 99.9%", 1_000),
    ("loss 90% burst 20", 100),
    ("loss 20% correlation 90%", 3),
    ("loss 0.02%", 1_000_000),
    ("loss p 99% r 98%", 50),
];

#[test]
fn what_does_as_it_is_told_is_never_called_broken() {
    for (told, datagrams) in SPECIFICATIONS {
        let asked = spec(told);
        for seed in 0..2000 {
            let stats = drawn(&asked, Seed::new(seed), datagrams);
            let broken: Vec<_> = rates(&asked, &stats).into_iter().filter(Rate::is_broken).collect();
            assert_eq!(broken, [], "{told}, seed {seed}: {stats:?}");
        }
    }
}

#[test]
fn what_does_something_else_is_found_out() {
    for (told, asked, datagrams, knob) in [
        ("loss 0.02%", "loss 0.001%", 200_000, "loss"),
        ("none", "loss 0.02%", 200_000, "loss"),
        ("loss 0.02%", "none", 200_000, "loss"),
        ("loss 1%", "loss 0.5%", 50_000, "loss"),
        ("loss 0.01% burst 100", "loss 0.01% burst 3", 20_000_000, "mean_burst"),
        ("loss 0.1% burst 2", "loss 0.1%", 200_000, "mean_burst"),
        ("loss 5% burst 3", "loss 5% burst 4", 60_000, "mean_burst"),
        ("loss 50% burst 10", "loss 50% burst 2", 1_000, "mean_burst"),
        ("loss 1% burst 1000", "loss 1% burst 10", 500_000, "mean_burst"),
        ("loss 5% burst 3", "loss 1% burst 3", 20_000, "loss"),
    ] {
        let mut tried = 0;
        for seed in 0..100 {
            let stats = drawn(&spec(told), Seed::new(seed), datagrams);
            // A run in which nothing happened shows nothing of how long bursts are.
            if knob == "mean_burst" && stats.bursts < 3 {
                continue;
            }
            tried += 1;
            let found = rates(&spec(asked), &stats);
            assert!(found.iter().any(|rate| rate.knob == knob && rate.is_broken()), "{told}, seed {seed}: {found:?}");
        }
        assert!(tried >= 60, "{told}: nothing was proved by {tried}");
    }
}

#[test]
fn few_datagrams_over_many_links_are_judged_as_such() {
    for told in [
        "loss exactly 1 of 10",
        "loss exactly 9 of 10",
        "loss exactly 3 of 1000",
        "loss pattern 0000000001",
        "loss pattern 1110000000",
        "loss 5% burst 3",
        "loss 30% burst 40",
        "loss p 99% r 98%",
        "loss p 5% r 20% good 1% bad 90%",
        "loss 2%; dose 1 of 20",
        "loss 20%; duplicate 20%; corrupt 20%; truncate 20%; dose 2 of 9 drops 1",
        "script { drop 1,2; duplicate 3 after 1ms; duplicate 3 after 2ms; corrupt 3 bit 7; corrupt 3.1 bit 7; corrupt 3.2 \
         bit 7 }; duplicate 0.01%; corrupt 0.01%",
        "loss 0.5%; outage from 0s for 4ms every 10ms",
    ] {
        let asked = spec(told);
        for (seed, sessions, datagrams) in (0..60).map(|seed| (seed, 1 + seed * 7 % 300, 1 + seed * 13 % 40)) {
            let mut all = LinkStats::NONE;
            for session in 0..sessions {
                let mut link = Link::new(asked.clone(), Seed::new(seed).derive(session));
                for n in 0..datagrams {
                    link.transmit(Timestamp::from_nanos(n * 1_000_000), &[0; 1250]);
                }
                all += *link.stats();
            }
            let broken: Vec<_> = rates(&asked, &all).into_iter().filter(Rate::is_broken).collect();
            assert_eq!(broken, [], "{told}, {sessions} sessions of {datagrams} datagrams, seed {seed}");
        }
    }
}

#[test]
fn the_sample_is_what_a_link_counts() {
    // The laws of both: the same means, within what the standard deviation of 400 runs leaves.
    for told in ["loss 5% burst 3", "loss 2%", "loss 20% correlation 90%"] {
        let asked = spec(told);
        let linked = |seed| {
            let mut link = Link::new(asked.clone(), Seed::new(seed));
            for _ in 0..500 {
                link.transmit(Timestamp::ZERO, b"");
            }
            *link.stats()
        };
        let all = |of: &dyn Fn(u64) -> LinkStats| {
            let mut sum = LinkStats::NONE;
            (0..400).for_each(|seed| sum += of(seed));
            (sum.dropped.loss as f64, sum.bursts as f64)
        };
        let (drawn, linked) = (all(&|seed| drawn(&asked, Seed::new(seed), 500)), all(&linked));
        assert!((drawn.0 / linked.0 - 1.0).abs() < 0.15, "{told}: {drawn:?}, {linked:?}");
        assert!((drawn.1 / linked.1 - 1.0).abs() < 0.15, "{told}: {drawn:?}, {linked:?}");
    }
}

#[test]
fn what_no_datagram_has_met_is_named() {
    let all = "script { drop 9 }; outage from 10s for 1s; mtu 1400; rate 1mbit; loss 1%; duplicate 1%; truncate 1%; \
               corrupt 1%; delay 5ms; reorder 1% by 1ms; dose 1 of 2";
    let asked = spec(all);
    assert_eq!(
        unmet(&asked, &LinkStats::NONE),
        ["script", "outage", "mtu", "rate", "loss", "duplicate", "truncate", "corrupt", "delay", "reorder", "dose"]
    );
    let mut link = Link::new(asked.clone(), Seed::new(2));
    link.transmit(Timestamp::ZERO, &[0; 100]);
    assert_eq!(unmet(&asked, link.stats()).len(), 9, "but for the delay and the rate: {:?}", link.stats());
    for n in 0..2000 {
        link.transmit(Timestamp::from_nanos(n * 10_000_000), &[0; 1250]);
    }
    link.transmit(Timestamp::from_nanos(100_000_000_000), &[0; 1400]);
    assert_eq!(unmet(&asked, link.stats()), [""; 0], "{:?}", link.stats());
    assert_eq!(unmet(&Impairments::NONE, &LinkStats::NONE), [""; 0]);
}

/// What a link counts of a chain of losses that is all bursts and gaps.
fn drawn(asked: &Impairments, seed: Seed, datagrams: u64) -> LinkStats {
    let (p, r) = match asked.loss_model() {
        LossModel::Bernoulli(loss) => (loss.as_f64(), 1.0 - loss.as_f64()),
        LossModel::GilbertElliott(chain) => (chain.p().as_f64(), chain.r().as_f64()),
        other => panic!("{other:?} is no chain"),
    };
    let mut draws = (0..).map(|n| (seed.draw(n) >> 11) as f64 / (1_u64 << 53) as f64);
    let mut draw = move || draws.next().unwrap_or(0.5);
    let mut stats = LinkStats::NONE;
    (stats.received, stats.links) = (datagrams, 1);
    let (mut left, mut bad) = (datagrams, draw() * (p + r) < p);
    while left > 0 {
        // How long it stays, by the inverse of a geometric law.
        let leave = if bad { r } else { p };
        let stays = if leave > 0.0 { 1.0 + ((1.0 - draw()).ln() / (-leave).ln_1p()).floor() } else { f64::INFINITY };
        let run = if stays < left as f64 { stays as u64 } else { left };
        if bad {
            stats.dropped.loss += run;
            stats.bursts += 1;
        }
        left -= run;
        bad = !bad;
    }
    stats.delivered = datagrams - stats.dropped.loss;
    stats
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
