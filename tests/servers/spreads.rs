//! How requests are spread over servers that live.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSet, ServerSettings, Spread};
use udp_retry::time::Timestamp;

use crate::common::{Servers, at, ms};

#[test]
fn equal_servers_are_asked_equally_often_and_in_no_order() {
    for count in [2, 3, 7, 64] {
        let mut servers = Servers::new(count, ServerSettings::new());
        (0..count as u32).for_each(|path| servers.answered(path, ms(40)));
        let (asked, pairs) = frequencies(&mut servers, count, 64_000);
        for (path, asked) in (0..).zip(asked) {
            assert_share(asked, 64_000, 1.0 / count as f64, &format!("server {path} of {count}"));
        }
        // Independent of the one before: each after each other, itself included.
        if count == 3 {
            for pair in pairs {
                assert_share(pair, 63_999, 1.0 / 9.0, "a pair of servers");
            }
        }
    }
}

#[test]
fn a_server_within_the_band_is_asked_as_often_as_the_best_and_one_out_of_it_never() {
    let mut servers = Servers::new(4, ServerSettings::new());
    for (path, rtt) in [(0, 40), (1, 79), (2, 81), (3, 400)] {
        (0..100).for_each(|_| servers.answered(path, ms(rtt)));
    }
    let (asked, _) = frequencies(&mut servers, 4, 10_000);
    assert_share(asked[0], 10_000, 0.5, "the best");
    assert_share(asked[1], 10_000, 0.5, "one within twice that");
    assert_eq!(asked[2..], [0, 0]);

    // 20 ms more are no reason to avoid a server.
    let mut servers = Servers::new(3, ServerSettings::new());
    for (path, rtt) in [(0, 1), (1, 20), (2, 23)] {
        (0..100).for_each(|_| servers.answered(path, ms(rtt)));
    }
    let (asked, _) = frequencies(&mut servers, 3, 10_000);
    assert_share(asked[1], 10_000, 0.5, "one of 20 ms beside one of 1 ms");
    assert_eq!(asked[2], 0);
}

#[test]
fn the_one_with_the_fewest_outstanding_is_asked() {
    let mut servers = Servers::new(3, ServerSettings::new());
    (0..3).for_each(|path| servers.answered(path, ms(40)));
    for _ in 0..30 {
        let path = servers.choose().unwrap();
        servers.set.on_transmitted(servers.now, at(path), Sent::Request);
    }
    let outstanding = |servers: &Servers| servers.set.states(servers.now).map(|it| it.outstanding).collect::<Vec<_>>();
    assert_eq!(outstanding(&servers), [10, 10, 10]);
    // Answered or not: what has ended is not outstanding.
    (0..4).for_each(|_| servers.set.on_settled(at(2)));
    for _ in 0..4 {
        assert_eq!(servers.choose(), Some(2));
        servers.set.on_transmitted(servers.now, at(2), Sent::Hedge);
        servers.set.on_transmitted(servers.now, at(2), Sent::Repeat);
    }
    assert_eq!(outstanding(&servers), [10, 10, 10], "a repeat is the same request still");
}

#[test]
fn an_unknown_server_is_learnt_by_ordinary_requests_and_does_not_say_how_good_the_best_is() {
    let mut servers = Servers::new(3, ServerSettings::new());
    (0..50).for_each(|_| servers.answered(0, ms(40)));
    (0..50).for_each(|_| servers.answered(1, ms(400)));
    let (asked, _) = frequencies(&mut servers, 3, 10_000);
    assert_share(asked[0], 10_000, 0.5, "the best of those that are known");
    assert_share(asked[2], 10_000, 0.5, "the one that is unknown");
    assert_eq!(asked[1], 0);

    // Measured long ago is unknown: by then it may have become fast.
    servers.pass(ms(600_000));
    (0..50).for_each(|_| servers.answered(0, ms(40)));
    let (asked, _) = frequencies(&mut servers, 3, 10_000);
    assert!(asked[1] > 3_000, "{asked:?}");
}

#[test]
fn a_server_is_not_avoided_for_a_queue_that_has_gone() {
    let mut servers = Servers::new(2, ServerSettings::new());
    for path in 0..2 {
        (0..20).for_each(|_| servers.answered(path, ms(40)));
    }
    (0..20).for_each(|_| servers.answered(1, ms(150)));
    let Health::Good { srtt, .. } = servers.health(1) else { panic!("not known") };
    assert!(srtt > ms(130), "{srtt:?}");
    let (asked, _) = frequencies(&mut servers, 2, 10_000);
    assert_share(asked[1], 10_000, 0.5, "the one with a queue a moment ago");
    // Where it is slow for good, it is avoided.
    (0..40).for_each(|_| servers.answered(1, ms(150)));
    let (asked, _) = frequencies(&mut servers, 2, 10_000);
    assert_eq!(asked[1], 0);
}

#[test]
fn the_band_widens_as_the_best_one_fills() {
    let mut servers = Servers::new(2, ServerSettings::new());
    (0..20).for_each(|_| servers.answered(0, ms(40)));
    (0..20).for_each(|_| servers.answered(1, ms(150)));
    assert!((0..100).all(|_| servers.choose() == Some(0)));
    // Queues that double its round trips, and then some.
    (0..10).for_each(|_| servers.answered(0, ms(110)));
    let (asked, _) = frequencies(&mut servers, 2, 10_000);
    assert_share(asked[1], 10_000, 0.5, "a slower one that waits for work");
}

#[test]
fn whatever_its_width_a_band_is_never_empty() {
    for (factor, slack) in [(1.0, 0), (1.0, 1), (f64::MAX, 0)] {
        let settings = ServerSettings::new().with_spread(Spread::band(factor, ms(slack))).unwrap();
        let mut servers = Servers::new(3, settings);
        for rtt in [40, 400, 13, 77, 5] {
            (0..3).for_each(|path| servers.answered(path, ms(rtt + u64::from(path))));
            assert!(servers.choose().is_some(), "no one in the band of {factor}");
        }
        for path in 0..3 {
            let _ = servers.set.on_reply(servers.now, at(path), Some(Duration::MAX));
        }
        servers.pass(ms(600_001));
        let _ = servers.set.on_reply(servers.now, at(0), Some(Duration::MAX));
        let others = Paths::NONE.with(at(1)).with(at(2));
        assert_eq!(servers.set.choose(servers.now, others), Choice::Ask(at(0)), "the longest time that there is");
    }
}

#[test]
fn after_the_band_has_been_tried_the_others_are() {
    let mut servers = Servers::new(3, ServerSettings::new());
    for (path, rtt) in [(0, 40), (1, 400), (2, 2_000)] {
        servers.answered(path, ms(rtt));
    }
    let mut tried = Paths::NONE;
    for expected in 0..3 {
        assert_eq!(servers.set.choose(servers.now, tried), Choice::Ask(at(expected)));
        tried = tried.with(at(expected));
    }
    assert_eq!(servers.set.choose(servers.now, tried), Choice::TriedAll);
}

#[test]
fn a_fleet_neither_begins_at_one_server_nor_leaves_it_for_one() {
    for spread in [Spread::BAND, Spread::Sticky, Spread::RoundRobin] {
        let (mut first, mut next) = ([0; 3], [[0; 3]; 3]);
        for client in 0..30_000 {
            let settings = ServerSettings::new().with_spread(spread).unwrap();
            let mut set = ServerSet::new(3, settings, Seed::new(client)).unwrap();
            let Choice::Ask(path) = set.choose(Timestamp::ZERO, Paths::NONE) else { panic!("none") };
            let Choice::Ask(second) = set.choose(Timestamp::ZERO, Paths::NONE.with(path)) else { panic!("none") };
            first[path.number() as usize] += 1;
            next[path.number() as usize][second.number() as usize] += 1;
        }
        for (path, (asked, next)) in first.into_iter().zip(next).enumerate() {
            assert_share(asked, 30_000, 1.0 / 3.0, &format!("clients that begin at server {path}, {spread:?}"));
            // One after the other, so the next is the same for all.
            for (other, moved) in next.into_iter().enumerate().filter(|(other, _)| *other != path) {
                if spread != Spread::RoundRobin {
                    assert_share(moved, asked, 0.5, &format!("clients from {path} to {other}, {spread:?}"));
                }
            }
        }
    }
}

#[test]
fn round_robin_asks_all_that_live_in_turn() {
    let mut servers = Servers::new(4, ServerSettings::new().with_spread(Spread::RoundRobin).unwrap());
    servers.die(1);
    let mut order: Vec<u32> = (0..6).filter_map(|_| servers.choose()).collect();
    let first = order.iter().position(|&path| path == 0).unwrap();
    order.rotate_left(first);
    assert_eq!(order, [0, 2, 3, 0, 2, 3]);
}

#[test]
fn known_answers_pin_the_choices_of_a_seed() {
    let mut servers = Servers::new(5, ServerSettings::new());
    servers.answered(3, ms(500));
    let mut chosen = String::new();
    for n in 0..64 {
        let path = servers.choose().unwrap();
        chosen += &path.to_string();
        servers.set.on_transmitted(servers.now, at(path), Sent::Request);
        if n % 3 == 0 {
            servers.pass(ms(5));
            let _ = servers.set.on_reply(servers.now, at(path), Some(ms(5 + u64::from(path) * 6)));
            servers.set.on_settled(at(path));
        }
    }
    let ranked = |spread| {
        let settings = ServerSettings::new().with_spread(spread).unwrap();
        let mut set = ServerSet::new(64, settings, Seed::new(7)).unwrap();
        let mut tried = Paths::NONE;
        let mut order = Vec::new();
        while let Choice::Ask(path) = set.choose(Timestamp::ZERO, tried) {
            tried = tried.with(path);
            order.push(path.number());
        }
        order.truncate(8);
        order
    };
    // The ranks were computed apart from this code.
    assert_eq!(chosen, "1210044012202212210001121201112022021120101201102120012210022210");
    assert_eq!(ranked(Spread::Sticky), [14, 36, 29, 25, 24, 3, 31, 30]);
    assert_eq!(ranked(Spread::RoundRobin), [14, 15, 16, 17, 18, 19, 20, 21]);
}

/// How often each is chosen, and each pair of choices in a row, while nothing changes.
fn frequencies(servers: &mut Servers, count: usize, choices: u32) -> (Vec<u32>, Vec<u32>) {
    let (mut asked, mut pairs, mut last) = (vec![0; count], vec![0; count * count], None);
    for _ in 0..choices {
        let path = servers.choose().unwrap() as usize;
        asked[path] += 1;
        if let Some(last) = last {
            pairs[last * count + path] += 1;
        }
        last = Some(path);
    }
    (asked, pairs)
}

/// Within five standard deviations of the binomial distribution.
fn assert_share(hits: u32, of: u32, share: f64, what: &str) {
    let (expected, deviation) = (f64::from(of) * share, (f64::from(of) * share * (1.0 - share)).sqrt());
    assert!((f64::from(hits) - expected).abs() <= 5.0 * deviation, "{what}: {hits} of {of}, not {expected:.0}");
}
