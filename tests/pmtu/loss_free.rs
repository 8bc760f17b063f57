//! Paths that lose nothing but what is too big for them.

use std::num::{NonZeroU8, NonZeroU16};

use udp_retry::pmtu::{Granularity, MaxProbes, PlpmtuSearch, SearchSettings, SearchState};
use udp_retry::size::{IpFamily, Pmtu};

use crate::path::{Path, packet, usual};

const V4: IpFamily = IpFamily::V4;
const V6: IpFamily = IpFamily::V6;

#[test]
fn every_path_costs_at_most_4_losses_and_18_probes() {
    let (mut most_probes, mut most_lost, mut paths) = (0, 0, 0);
    for family in [V4, V6] {
        let settings = SearchSettings::new(family);
        let base = packet(settings.base(), family);
        for interface in [1280, 1420, 1500, 9000, 65_535] {
            for carries in base..=interface {
                let found = Path::silent(family, carries, interface).search(settings, 0);
                let expected = if carries == interface { interface } else { usual(family, carries) };
                assert_eq!(found.pmtu, expected, "{family:?} {carries} of {interface}");
                most_probes = most_probes.max(found.probes);
                most_lost = most_lost.max(found.lost);
                paths += 1;
            }
        }
    }
    assert_eq!((most_probes, most_lost), (18, 4));
    assert_eq!(paths, 144_940);
}

/// What a path carries, then probes and losses: with three losses a verdict, and by the measured loss.
type Cost = (u32, [u32; 2], [u32; 2]);

#[test]
fn what_a_search_costs_is_known_for_every_path() {
    let three = MaxProbes::Fixed(NonZeroU8::new(3).unwrap());
    let tables: [(IpFamily, u32, &[Cost]); 3] = [
        (
            V4,
            1500,
            &[
                (1500, [2, 0], [2, 0]),
                (1492, [15, 3], [15, 3]),
                (1480, [15, 4], [15, 4]),
                (1472, [13, 4], [13, 4]),
                (1454, [12, 4], [12, 4]),
                (1420, [10, 4], [12, 4]),
                (1400, [9, 4], [12, 4]),
                (1380, [8, 4], [12, 4]),
                (1300, [6, 4], [12, 4]),
                (1280, [6, 4], [12, 4]),
            ],
        ),
        (
            V4,
            9000,
            &[(9000, [2, 0], [2, 0]), (1500, [17, 4], [17, 4]), (1492, [16, 4], [16, 4]), (1400, [9, 4], [12, 4])],
        ),
        (
            V6,
            1500,
            &[
                (1500, [2, 0], [2, 0]),
                (1492, [14, 3], [14, 3]),
                (1480, [14, 4], [14, 4]),
                (1400, [8, 4], [12, 4]),
                (1280, [5, 4], [12, 4]),
            ],
        ),
    ];
    for (family, interface, table) in tables {
        let cost = |carries, settings| {
            let found = Path::silent(family, carries, interface).search(settings, 0);
            [found.probes, found.lost]
        };
        let adaptive = SearchSettings::new(family);
        let fixed = adaptive.with_max_probes(three);
        let found = table.iter().map(|&(carries, ..)| (carries, cost(carries, fixed), cost(carries, adaptive)));
        assert_eq!(found.collect::<Vec<_>>(), table, "{family:?} {interface}");
    }
}

#[test]
fn each_loss_costs_a_timeout_and_each_answer_a_round_trip() {
    let found = Path::silent(V4, 1400, 1500).search(SearchSettings::new(V4), 0);
    assert_eq!(found.took.as_millis(), 8 * 40 + 4 * 200);
}

#[test]
fn a_finer_granularity_finds_every_size_to_that_many_bytes() {
    let mut found = Vec::new();
    for step in [1, 2, 7, 20] {
        let granularity = Granularity::Bytes(NonZeroU16::new(step).unwrap());
        let (mut most, mut short) = (0, 0);
        for (family, carries) in [V4, V6].into_iter().flat_map(|it| (1280..=1500).map(move |size| (it, size))) {
            let settings = SearchSettings::new(family).with_granularity(granularity);
            let found = Path::silent(family, carries, 1500).search(settings, 0);
            assert!(
                found.pmtu <= carries && carries - found.pmtu < u32::from(step),
                "{found:?} of {carries} to {step}"
            );
            most = most.max(found.lost);
            short = short.max(carries - found.pmtu);
        }
        found.push((step, short, most));
    }
    // The step, the most bytes short, and the most losses.
    assert_eq!(found, [(1, 0, 10), (2, 1, 9), (7, 5, 8), (20, 19, 6)]);
}

#[test]
fn paths_below_the_base_are_found_to_carry_the_minimum() {
    for carries in [576, 700, 1227] {
        let mut search = PlpmtuSearch::new(SearchSettings::new(V4));
        let found = Path::silent(V4, carries, 1500).drive(&mut search, 0);
        assert_eq!((found.pmtu, search.state(), search.is_confirmed()), (576, SearchState::Error, true), "{carries}");
        // Three are lost of the base; then the loss is measured, and those three are enough.
        assert_eq!((found.probes, found.lost), (11, 3), "{carries}");
    }
}

#[test]
fn a_path_that_answers_nothing_is_given_up() {
    for (family, carries, lost, used) in [(V4, 575, 11, 576), (V6, 1279, 8, 1280)] {
        let mut search = PlpmtuSearch::new(SearchSettings::new(family));
        let found = Path::silent(family, carries, 1500).drive(&mut search, 0);
        assert_eq!((found.probes, found.lost, found.pmtu), (lost, lost, used));
        assert_eq!((search.state(), search.is_confirmed()), (SearchState::Error, false));
    }
}

#[test]
fn a_limit_of_the_peer_is_never_exceeded() {
    for max in 1232..=1600 {
        let defaults = SearchSettings::new(V4);
        let most = Pmtu::new(max).plpmtu(V4);
        let settings = defaults.with_sizes(defaults.min(), defaults.base(), most).unwrap();
        assert_eq!(Path::silent(V4, 9000, 9000).search(settings, 0).pmtu, max);
    }
}
