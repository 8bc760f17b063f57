//! A dose holds what it says for every window, whatever harms the datagrams and however often the dose changes; and it
//! takes away no more than that. Held against an oracle that counts from the beginning each time.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{Dose, Fate, Infeasible, Link};
use udp_retry::{Impairments, Seed};

use crate::any_impairments::{dose, impairments};
use crate::fates::at;

/// What came of a datagram, as its sender and its receiver would say.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Met {
    harmed: bool,
    dropped: bool,
}

fn met(fate: &Fate, len: usize) -> Met {
    match fate {
        Fate::Delivered(copies) => {
            let copies = copies.as_slice();
            let whole = copies.len() == 1 && copies[0].len == len && copies[0].flips.as_slice().is_empty();
            Met { harmed: !whole, dropped: false }
        }
        _ => Met { harmed: true, dropped: true },
    }
}

/// Whether a dose allows what the next datagram would meet, by all that was before.
fn allows(dose: &Dose, before: &[Met], next: Met) -> bool {
    let window = before.iter().rev().take(dose.window() as usize - 1);
    let harmed = window.filter(|met| met.harmed).count();
    let dropped = before.iter().rev().take_while(|met| met.dropped).count();
    let in_a_row = next.dropped && dose.most_in_a_row().is_some_and(|most| dropped >= most as usize);
    harmed < dose.faults() as usize && !in_a_row
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_window_of_every_length_holds_while_doses_come_and_go(
        path in prop_oneof![impairments().boxed(), Just(evil()).boxed()],
        doses in prop::collection::vec((prop::option::of(dose()), 1..120_usize), 1..6),
        seed: u64,
        lens in prop::collection::vec(0..2000_usize, 40),
        gap in prop_oneof![Just(0_u64), 0..20_000_000_u64],
    ) {
        // Doses come and go from outside; what comes and goes by itself is another test's.
        let free = without_dose(&path.at(Duration::ZERO));
        let (mut dosed, mut plain) = (Link::new(free.clone(), Seed::new(seed)), Link::new(free.clone(), Seed::new(seed)));
        let (mut history, mut spared, mut now) = (Vec::<Met>::new(), 0, 0);
        for (dose, datagrams) in doses {
            dosed.reconfigure(dose.map_or(free.clone(), |dose| free.clone().with_dose(dose)));
            let begin = history.len();
            for _ in 0..datagrams {
                let len = lens[history.len() % lens.len()];
                let datagram = &ZEROS[..len];
                let (fate, would) = (dosed.transmit(at(now), datagram), met(&plain.transmit(at(now), datagram), len));
                let allowed = dose.is_none_or(|dose| allows(&dose, &history, would));
                let expected = if allowed { would } else { Met { harmed: false, dropped: false } };
                prop_assert_eq!(met(&fate, len), expected, "datagram {} within {:?}", history.len(), dose);
                spared += u64::from(would.harmed && !allowed);
                history.push(expected);
                now += gap;
            }
            if let Some(dose) = dose {
                for longest in 1..=dose.window() as usize {
                    for window in history[begin..].windows(longest) {
                        prop_assert!(window.iter().filter(|met| met.harmed).count() <= dose.faults() as usize);
                    }
                }
                if let Some(most) = dose.most_in_a_row() {
                    let runs = history[begin..].split(|met| !met.dropped);
                    prop_assert!(runs.map(<[_]>::len).all(|run| run <= most as usize));
                }
            }
        }
        let stats = dosed.stats();
        prop_assert_eq!(stats.spared, spared);
        prop_assert_eq!(stats.received + stats.duplicates, stats.delivered + stats.dropped.total());
        prop_assert_eq!(stats.dropped.total(), history.iter().filter(|met| met.dropped).count() as u64);
    }
}

#[test]
fn a_dose_that_changes_over_time_holds_while_it_is_there_and_counts_what_was_before() {
    let mut link = Link::new(path("loss 100%; at 100ms dose 1 of 3; at 200ms dose none"), Seed::new(1));
    let lost = |link: &mut Link, ms: u64| matches!(link.transmit(at(ms * 1_000_000), b"x"), Fate::Dropped(_));
    let fates: Vec<bool> = (0..30).map(|n| lost(&mut link, n * 10)).collect();
    let dosed = [false, false, true, false, false, true, false, false, true, false];
    assert_eq!((&fates[..10], &fates[10..20], &fates[20..]), (&[true; 10][..], &dosed[..], &[true; 10][..]));
}

#[test]
fn what_is_spared_arrives_when_it_would_have_and_in_its_order() {
    let harm = "rate 1mbit queue 4 datagrams; loss 60% burst 3; duplicate 30%; truncate 30%; delay 20ms ~15ms";
    let (harsh, mild) = (path(&format!("{harm}; dose 0 of 1")), path("rate 1mbit queue 4 datagrams; delay 20ms ~15ms"));
    for seed in 0..50 {
        let (mut harsh, mut mild) =
            (Link::new(harsh.clone(), Seed::new(seed)), Link::new(mild.clone(), Seed::new(seed)));
        let mut latest = at(0);
        for n in 0..400_u64 {
            let now = at(n * 5_000_000);
            let (fate, unharmed) = (harsh.transmit(now, &ZEROS[..500]), mild.transmit(now, &ZEROS[..500]));
            let Fate::Delivered(copies) = fate else { panic!("{fate:?}") };
            let [copy] = copies.as_slice() else { panic!("{copies:?}") };
            assert!(copy.at >= latest, "a spared one overtakes no other");
            latest = copy.at;
            // The queue never fills at this pace, so that both links hold the same.
            assert_eq!(fate, unharmed, "{n}");
        }
    }
}

#[test]
fn where_the_queue_is_full_a_spared_one_takes_its_turn_behind_those_before() {
    let mut link = Link::new(path("rate 8kbit queue 2 datagrams; delay 10ms; dose 1 of 2"), Seed::new(1));
    let mut arrivals = Vec::new();
    for _ in 0..40 {
        if let Fate::Delivered(copies) = link.transmit(at(0), &ZEROS[..972]) {
            arrivals.push(copies.as_slice()[0].at);
        }
    }
    assert!(arrivals.is_sorted(), "{arrivals:?}");
    assert_eq!((link.stats().dropped.queue, link.stats().spared, arrivals.len()), (19, 18, 21));
}

#[test]
fn scripts_outages_and_sizes_are_within_the_dose_too() {
    for (spec, dropped) in [
        ("script { drop 1,2,3,4,5 }; dose 2 of 4", &[1, 2, 5][..]),
        ("script { refuse 1,2 above 100; drop 3 }; dose 64 of 64 drops 1", &[1, 3]),
        ("outage from 0s for 4ms; dose 1 of 2", &[1, 3]),
        ("mtu 100; dose 3 of 64", &[1, 2, 3]),
        ("mtu 100 error; dose 3 of 64 drops 2", &[1, 2, 4]),
    ] {
        let mut link = Link::new(path(spec), Seed::new(1));
        let lost = |n: &u64| !matches!(link.transmit(at((n - 1) * 1_000_000), &ZEROS[..500]), Fate::Delivered(_));
        assert_eq!((1..=8).filter(lost).collect::<Vec<_>>(), dropped, "{spec}");
    }
    // What the MTU truncated is whole again, and counted as such.
    let mut link = Link::new(path("mtu 100 truncate; dose 1 of 3"), Seed::new(1));
    let left = |_| match link.transmit(at(0), &ZEROS[..500]) {
        Fate::Delivered(copies) => copies.as_slice()[0].len,
        fate => panic!("{fate:?}"),
    };
    assert_eq!((0..4).map(left).collect::<Vec<_>>(), [72, 500, 500, 72]);
    assert_eq!((link.stats().clamped, link.stats().spared), (2, 2));
}

#[test]
fn a_dose_reads_back_and_a_window_is_held_or_refused_with_the_nearest() {
    for text in ["dose 6 of 10 drops 3", "dose 0 of 1", "dose 4294967295 of 64 drops 0", "loss 90%; dose 2 of 5"] {
        assert_eq!(path(text).to_string(), text);
    }
    assert_eq!(path("dose 6 of 10 drops 3").dose(), Some(&Dose::at_most(6, 10).unwrap().drops_in_a_row(3)));
    for (window, nearest) in [(0, 1), (65, 64), (u32::MAX, 64)] {
        assert_eq!(Dose::at_most(1, window), Err(Infeasible::DoseWindow { window, nearest }));
        let refusal = format!("dose 1 of {window}").parse::<Impairments>().unwrap_err().to_string();
        assert!(refusal.starts_with("at 6: ") && refusal.ends_with(&format!("the nearest is {nearest}")), "{refusal}");
    }
}

#[test]
fn a_dose_without_harm_is_no_stage_and_shifts_no_draw() {
    let (dosed, plain) = (path("loss 30%; delay 5ms ~5ms; dose 64 of 64"), path("loss 30%; delay 5ms ~5ms"));
    let (mut dosed, mut plain) = (Link::new(dosed, Seed::new(3)), Link::new(plain, Seed::new(3)));
    for n in 0..2000 {
        assert_eq!(dosed.transmit(at(n), b"x"), plain.transmit(at(n), b"x"));
    }
    assert_eq!((dosed.stats().spared, dosed.stats().dropped.loss > 0), (0, true));
}

/// Everything that harms, and often.
fn evil() -> Impairments {
    path(
        "script { drop 3,4,5,70; duplicate 8 after 2ms }; outage from 3ms for 2ms every 40ms; mtu 1400 truncate; \
         rate 3mbit queue 5 datagrams; loss 40% burst 4; duplicate 20% late 1ms ~1ms; truncate 20%; corrupt 20%; \
         delay 5ms ~3ms; reorder 10% by 8ms",
    )
}

fn without_dose(path: &Impairments) -> Impairments {
    path.clone().with_dose(Dose::at_most(u32::MAX, 1).unwrap())
}

fn path(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn cases() -> u32 {
    std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

static ZEROS: [u8; 2000] = [0; 2000];
