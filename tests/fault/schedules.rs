//! Conditions over time within a specification: what holds when, that nothing else goes on differently, and what cannot
//! be.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{
    Bottleneck, DropCause, Fate, Infeasible, Link, LossModel, MtuClamp, Oversize, QueueLimit, RateTrace, Setting,
    SpecError,
};
use udp_retry::size::{IpFamily, Pmtu};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Probability, Seed};

use crate::any_impairments;
use crate::fates::{at, cases, copies, ms, ns, only};

const SECOND: u64 = 1_000_000_000;

#[test]
fn each_change_holds_from_its_very_moment_on() {
    let all = spec("loss 100%; at 5s loss 0%; at 9s mtu 100; at 12s loss 100%; at 12s mtu none; at 20s none");
    let mut link = Link::new(all.clone(), Seed::new(1));
    let mut fate = |ns: u64| match link.transmit(at(ns), &[0; 100]) {
        Fate::Delivered(_) => "passes",
        Fate::Dropped(cause) => cause.as_str(),
        _ => "too big",
    };
    for (time, expected) in [
        (0, "loss"),
        (5 * SECOND - 1, "loss"),
        (5 * SECOND, "passes"),
        (9 * SECOND - 1, "passes"),
        (9 * SECOND, "mtu"),
        (12 * SECOND - 1, "mtu"),
        (12 * SECOND, "loss"),
        (20 * SECOND - 1, "loss"),
        (20 * SECOND, "passes"),
        (u64::MAX, "passes"),
        // Time may go back: what holds follows from the moment alone.
        (3 * SECOND, "loss"),
    ] {
        assert_eq!(fate(time), expected, "{time}");
    }
    assert_eq!(all.at(ms(0)), spec("loss 100%"));
    assert_eq!(all.at(ms(10_000)), spec("mtu 100"));
    assert_eq!(all.at(ms(12_000)), spec("loss 100%"));
    assert_eq!(all.at(Duration::MAX), Impairments::NONE);
    assert_eq!(all.changes().count(), 5);
}

#[test]
fn what_is_repeated_comes_again_with_every_round() {
    let all = spec("at 1s loss 100%; at 5s loss 0%; at 5.1s loss 100%; repeat from 5s every 200ms");
    assert_eq!(all.repetition(), Some((ms(5000), ms(200))));
    let mut link = Link::new(all, Seed::new(1));
    for millis in 0..20_000 {
        let lost = match millis {
            0..1000 => false,
            1000..5000 => true,
            _ => (millis - 5000) % 200 >= 100,
        };
        let fate = link.transmit(at(0).after(ms(millis)), b"");
        assert_eq!(copies(&fate).is_empty(), lost, "{millis}");
    }
    // Where the repetition begins, what was changed before holds as well.
    let all = spec("loss 100%; at 1s mtu 100; at 3s loss 0%; repeat from 2s every 2s");
    for (millis, mtu, loss) in [(500, false, true), (1500, true, true), (2500, true, true), (3500, true, false)] {
        for later in [0, 2000, 4000, 2_000_000].into_iter().filter(|&later| later == 0 || millis >= 2000) {
            let here = all.at(ms(millis + later));
            assert_eq!((here.mtu().is_some(), *here.loss_model() != LossModel::NONE), (mtu, loss), "{millis}+{later}");
        }
    }
}

#[test]
fn outages_have_times_of_their_own_and_stay() {
    let all = spec("outage from 10s for 1s; loss 100%; at 5s none; at 20s loss 100%");
    let mut link = Link::new(all.clone(), Seed::new(1));
    let mut fate = |secs: u64| link.transmit(at(secs * SECOND), b"");
    assert_eq!(fate(4), Fate::Dropped(DropCause::Loss));
    assert!(matches!(fate(5), Fate::Delivered(_)));
    assert_eq!(fate(10), Fate::Dropped(DropCause::Outage));
    assert!(matches!(fate(11), Fate::Delivered(_)));
    assert_eq!(fate(20), Fate::Dropped(DropCause::Loss));
    assert_eq!(all.at(ms(15_000)), spec("outage from 10s for 1s"));
    // An outage that is added later holds at all times, too.
    let more = spec("loss 100%; at 5s none").with_outage(spec("outage from 6s for 1s").outages()[0]).unwrap();
    assert_eq!(Link::new(more, Seed::new(1)).transmit(at(6 * SECOND), b""), Fate::Dropped(DropCause::Outage));
}

#[test]
fn the_origin_of_all_times_can_be_told() {
    let all = spec("outage from 1s for 1s; at 3s loss 100%; at 4s rate 8kbit queue 1s; at 5s rate none; at 5s loss 0%");
    let (mut zero, origin) = (Link::new(all.clone(), Seed::new(1)), at(77 * SECOND + 7));
    let mut late = Link::new(all, Seed::new(1)).since(origin);
    for millis in (0..8000).step_by(10) {
        let (here, there) = (at(0).after(ms(millis)), origin.after(ms(millis)));
        let later = |fate: Fate| match fate {
            Fate::Delivered(copies) => copies.iter().map(|copy| copy.at.since(at(0))).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let (zero, late) = (zero.transmit(here, &[0; 72]), late.transmit(there, &[0; 72]));
        assert_eq!(zero == Fate::Dropped(DropCause::Outage), late == Fate::Dropped(DropCause::Outage));
        let shifted: Vec<_> = later(zero).into_iter().map(|at| at + Duration::from_nanos(origin.as_nanos())).collect();
        assert_eq!(shifted, later(late), "{millis}");
    }
    let mut link = Link::new(spec("at 1s loss 100%"), Seed::new(1)).since(origin);
    only(&link.transmit(Timestamp::ZERO, b"before the origin"));
}

#[test]
fn what_waits_is_sent_at_the_rates_to_come() {
    // Half of it in the first second, the rest at twice the rate.
    let mut link = Link::new(spec("headers 0; rate 8kbit queue 1MB; at 1s rate 16kbit; at 9s rate none"), Seed::new(1));
    assert_eq!(only(&link.transmit(at(0), &[0; 2000])).at, at(3 * SECOND / 2));
    // 16 kB would take until 9.5 s; the bottleneck goes before.
    assert_eq!(only(&link.transmit(at(0), &[0; 16_000])).at, at(9 * SECOND + 1));
    assert_eq!(only(&link.transmit(at(0), &[0; 60_000])).at, at(9 * SECOND + 1), "all at once");
    assert_eq!(only(&link.transmit(at(9 * SECOND + 1), &[0; 60_000])).at, at(9 * SECOND + 1));
}

#[test]
fn a_million_rounds_of_rates_are_not_a_nanosecond_off_and_take_no_time() {
    // 1, then 3 bits each nanosecond: 4 bits every 2 ns.
    let rates = "rate 1gbit queue 1000h; at 1ns rate 3gbit queue 1000h; repeat every 2ns";
    let mut link = Link::new(spec(&format!("headers 0; {rates}")), Seed::new(1));
    let mut bits = 0_u64;
    for n in 0..100_000_u64 {
        let size = (n * 7919 % 65_000) as usize;
        bits += size as u64 * 8;
        let left = only(&link.transmit(at(0), &vec![0; size])).at.as_nanos();
        let expected = bits / 4 * 2 + [0, 1, 2, 2][(bits % 4) as usize];
        assert_eq!(left, expected, "number {n}, {bits} bits");
    }
    // As slow as can be, with a round each nanosecond.
    let slow = "rate 1bit queue 100h; at 1ns rate 2bit queue 100h; repeat every 3ns";
    let mut link = Link::new(spec(&format!("headers 0; {slow}")), Seed::new(1));
    let left = only(&link.transmit(at(0), &[0; 1000])).at.as_nanos();
    // 5 steps of a nanobit in 3 ns.
    assert_eq!(left, 8000 * SECOND / 5 * 3);
}

#[test]
fn a_trace_among_rates_goes_on_by_the_clock_and_anew_with_each_round() {
    let lines = RateTrace::new([2, 4, 6, 8, 10]).unwrap();
    let hop = Bottleneck::traced(lines, QueueLimit::Bytes(1_000_000)).unwrap();
    let fast = Bottleneck::new(1504 * 8 * 1000, QueueLimit::Bytes(1_000_000)).unwrap();
    let all = Impairments::NONE.with_headers(0).unwrap().with_bottleneck(hop.clone());
    let all = all.with_change(ms(5), Setting::Bottleneck(Some(fast))).unwrap();
    let once = all.clone().with_change(ms(7), Setting::Bottleneck(Some(hop))).unwrap();
    let times = |all: Impairments| {
        let mut link = Link::new(all, Seed::new(1));
        [0; 8].map(|_| only(&link.transmit(at(0), &[0; 1504])).at.since(at(0)).as_millis())
    };
    assert_eq!(times(once), [2, 4, 6, 7, 8, 10, 12, 14]);
    assert_eq!(times(all.clone().repeating(ms(0), ms(7)).unwrap()), [2, 4, 6, 7, 9, 11, 13, 14]);
    // A round without any line would let nothing leave.
    let late = RateTrace::new([500, 600]).unwrap();
    let late = Setting::Bottleneck(Some(Bottleneck::traced(late, QueueLimit::Bytes(0)).unwrap()));
    let never = Impairments::NONE.with(late.clone()).unwrap().with_change(ms(1), Setting::Bottleneck(None)).unwrap();
    let never = never.with_change(ms(2), late).unwrap().repeating(ms(2), ms(100));
    assert_eq!(never, Err(Infeasible::NothingToRepeat { from: ms(2) }));
    let other = "rate trace { 500,700 }; at 150ms rate trace { 500,600 }; repeat from 100ms every 100ms";
    assert_eq!(
        other.parse::<Impairments>(),
        Err(SpecError::Infeasible { position: 65, reason: Infeasible::NothingLeaves })
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_nearest_that_can() {
    let infeasible = |text: &str| match text.parse::<Impairments>() {
        Err(SpecError::Infeasible { position, reason }) => (position, reason),
        other => panic!("{text}: {other:?}"),
    };
    for (text, position, reason) in [
        ("at 5s loss 1%; at 5s loss 2%", 27, Infeasible::TwoChangesAtOnce { at: ms(5000) }),
        ("at 5s none; loss 1%; at 5000ms none", 32, Infeasible::TwoChangesAtOnce { at: ms(5000) }),
        ("loss 1%; repeat every 2s", 17, Infeasible::NothingToRepeat { from: ms(0) }),
        ("at 1s loss 1%; repeat every 0s", 23, Infeasible::NothingToRepeat { from: ms(0) }),
        ("at 1s loss 1%; repeat from 1s every 9s", 23, Infeasible::NothingToRepeat { from: ms(1000) }),
        ("at 2s loss 1%; repeat every 2s", 23, Infeasible::ChangeNeverComes { at: ms(2000), end: ms(2000) }),
        ("mtu 0", 5, Infeasible::MtuBelowHeaders { mtu: 0, least: 48 }),
        ("mtu 47 truncate", 5, Infeasible::MtuBelowHeaders { mtu: 47, least: 48 }),
        ("mtu 20; headers 48", 5, Infeasible::MtuBelowHeaders { mtu: 20, least: 48 }),
        ("headers 29; mtu 28", 17, Infeasible::MtuBelowHeaders { mtu: 28, least: 29 }),
        ("mtu 100; at 9s headers 101", 24, Infeasible::MtuBelowHeaders { mtu: 100, least: 101 }),
        ("headers 60; mtu 70; at 9s mtu 59", 31, Infeasible::MtuBelowHeaders { mtu: 59, least: 60 }),
        ("headers 9; at 9s none; at 10s mtu 9", 35, Infeasible::MtuBelowHeaders { mtu: 9, least: 48 }),
        ("headers 9; mtu 9; at 9s headers none", 33, Infeasible::MtuBelowHeaders { mtu: 9, least: 48 }),
        ("headers 65536", 9, Infeasible::HeadersTooLong { headers: 65_536, most: 65_535 }),
        ("reorder 100% by 20ms", 9, Infeasible::HoldOfAll),
        ("at 3s reorder 100% by 20ms", 15, Infeasible::HoldOfAll),
    ] {
        assert_eq!(infeasible(text), (position, reason), "{text}");
    }
    for feasible in [
        "headers 28; mtu 28",
        "mtu 48",
        "at 9s mtu 20; headers 20",
        "mtu 100; at 5s headers 101; at 5s mtu 101",
        "mtu 100; at 5s mtu none; at 6s headers 200",
        "reorder 99.99% by 1ns",
        "at 5s none; at 5s loss 1%",
        "at 0s loss 1%; at 1s loss 2%; repeat every 2s",
    ] {
        assert_eq!(spec(&spec(feasible).to_string()), spec(feasible));
    }
    let many = |n: u64| (0..n).map(|n| (ns(n), Setting::Loss(LossModel::NONE)));
    assert_eq!(Impairments::NONE.with_changes(many(4097)), Err(Infeasible::TooManyChanges { most: 4096 }));
    let full = Impairments::NONE.with_changes(many(4096)).unwrap();
    assert_eq!(full.clone().with_change(ms(9), Setting::Nothing), Err(Infeasible::TooManyChanges { most: 4096 }));
    assert_eq!(spec(&full.to_string()), full);
    let long = Impairments::NONE.with_change(Duration::MAX, Setting::Nothing);
    assert!(matches!(long, Err(Infeasible::DurationTooLong { .. })));
}

#[test]
fn what_holds_first_may_be_set_behind_the_changes_and_is_part_of_what_holds_later() {
    let change =
        |all: Impairments| all.with_change(ms(5), Setting::Mtu(Some(MtuClamp::new(Pmtu::new(100), Oversize::Drop))));
    let (loss, outage) = (LossModel::Bernoulli(Probability::ONE), spec("outage from 9s for 1s").outages()[0]);
    let before = change(Impairments::NONE.with_loss(loss).with_outage(outage).unwrap()).unwrap();
    let behind = change(Impairments::NONE).unwrap().with_loss(loss).with_outage(outage).unwrap();
    assert_eq!(before, behind);
    assert_eq!(*behind.at(ms(5)).loss_model(), loss);
    let refused = change(Impairments::NONE).unwrap().with_headers(101);
    assert_eq!(refused, Err(Infeasible::MtuBelowHeaders { mtu: 100, least: 101 }));
}

#[test]
fn headers_are_those_of_the_family_unless_they_are_set() {
    for (family, headers, carried) in [
        (IpFamily::V4, "", 1252),
        (IpFamily::V6, "", 1232),
        (IpFamily::V6, "headers 28; ", 1252),
        (IpFamily::V4, "headers 48; ", 1232),
    ] {
        let mut link = Link::new(spec(&format!("{headers}mtu 1280; rate 8kbit queue 0B")), Seed::new(1)).over(family);
        // The whole packet takes its time on the wire.
        assert_eq!(only(&link.transmit(at(0), &[0; 1280][..carried])).at, at(1_280_000_000));
        assert_eq!(
            link.transmit(at(0), &[0; 1280][..=carried]),
            Fate::Dropped(DropCause::Mtu),
            "{family:?}, {headers}"
        );
        assert_eq!(spec("none").headers_over(family), family.overhead());
    }
}

#[test]
fn after_a_release_nothing_waits_for_what_was_there_before() {
    let mut link = Link::new(spec("rate 8kbit queue 100s; delay 10s"), Seed::new(1));
    for _ in 0..10 {
        only(&link.transmit(at(0), &[0; 972]));
    }
    link.reconfigure(Impairments::NONE);
    assert_eq!(only(&link.transmit(at(1), b"")).at, at(20 * SECOND), "behind what is in flight");
    let before = *link.stats();
    link.release();
    assert_eq!(only(&link.transmit(at(2), b"")).at, at(2));
    link.reconfigure(spec("rate 8kbit queue 0B"));
    assert_eq!(only(&link.transmit(at(3), &[0; 972])).at, at(SECOND + 3));
    assert_eq!(link.stats().received, before.received + 2);
}

proptest! {
    #![proptest_config(cases(256))]

    /// But for the rates, which are known beforehand, a schedule does what someone does who sets each change in time.
    #[test]
    fn a_schedule_does_what_one_does_who_changes_the_link_by_hand(
        all in any_impairments::impairments(), seed: u64,
        traffic in prop::collection::vec((0..300_000_000_u64, 0..1500_usize), 1..60),
    ) {
        // Rates apart: they are held against a model of their own.
        let mut calm = all.at(ms(0)).with(Setting::Bottleneck(None)).unwrap();
        for (at, setting) in all.changes().filter(|(_, setting)| !matches!(setting, Setting::Bottleneck(_))) {
            calm = calm.with_change(at, setting.clone()).unwrap();
        }
        let all = calm;
        let (mut link, mut by_hand) = (Link::new(all.clone(), Seed::new(seed)), Link::new(all.at(ms(0)), Seed::new(seed)));
        let mut now = 0;
        for (gap, size) in traffic {
            now += gap;
            by_hand.reconfigure(all.at(ns(now)));
            let fates = (link.transmit(at(now), &[0; 1500][..size]), by_hand.transmit(at(now), &[0; 1500][..size]));
            prop_assert_eq!(fates.0, fates.1);
        }
        prop_assert_eq!(link.stats(), by_hand.stats());
    }
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
