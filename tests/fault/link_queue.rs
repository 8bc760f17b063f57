//! The bottleneck carries exactly its rate and holds exactly its queue: equality, to the nanosecond.

use std::collections::VecDeque;
use std::time::Duration;

use num_bigint::BigUint;
use proptest::prelude::*;
use udp_retry::fault::{
    Bottleneck, DelayLaw, DelayModel, DropCause, Fate, Infeasible, Link, LossModel, QueueLimit, Reorder,
};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Seed};

use crate::fates::{MILLION, assert_binomial, at, cases, ms, ns, only, probability};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_burst_fills_the_queue_exactly_and_leaves_at_the_rate() {
    for headers in [0, 28, 48, 1000] {
        for size in [1, 100, 1250, 65_507] {
            for rate in [1_000, 999_983, 1_000_000, 10_000_000_000, u64::from(u32::MAX)] {
                for queue in [0, 1, 999, 12_780, 50_000, 1_000_000] {
                    let packet = size as u64 + u64::from(headers);
                    let (accepted, drops) = burst(rate, QueueLimit::Bytes(queue), headers, size, queue / packet + 5);
                    assert_eq!(accepted.len() as u64, 1 + queue / packet, "{size}+{headers} at {rate} into {queue}");
                    assert_eq!(drops, queue / packet + 5 - accepted.len() as u64);
                    for (k, left) in (1..).zip(accepted) {
                        assert_eq!(left, nth_departure(k, packet, rate), "number {k}: {size}+{headers} at {rate}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_queue_limited_by_time_takes_whoever_waits_no_longer() {
    // 1 ms for each.
    for (limit, expected) in [(0, 1), (999_999, 1), (1_000_000, 2), (9_999_999, 10), (10_000_000, 11)] {
        let (accepted, _) = burst(10_000_000, QueueLimit::Time(ns(limit)), 28, 1222, 50);
        assert_eq!(accepted.len(), expected, "{limit}");
    }
    // 8/3 ns for each byte: the second waits for 2.67 ns, the third for 5.33.
    for (limit, expected) in [(2, 1), (3, 2), (5, 2), (6, 3), (7, 3), (8, 4)] {
        let (accepted, _) = burst(3 * SECOND, QueueLimit::Time(ns(limit)), 0, 1, 50);
        assert_eq!(accepted.len(), expected, "{limit}");
    }
}

#[test]
fn a_queue_limited_by_datagrams_takes_so_many_besides_the_one_on_the_wire() {
    for limit in [0, 1, 2, 10, 1000, 65_536] {
        let (accepted, _) = burst(1_000_003, QueueLimit::Datagrams(limit), 28, 100, 70_000);
        assert_eq!(accepted.len(), 1 + limit as usize);
    }
}

#[test]
fn the_first_datagram_takes_its_time_on_the_wire() {
    let mut link = link(8_000, QueueLimit::Bytes(0), 0);
    assert_eq!(only(&link.transmit(at(7 * SECOND), &[0; 1000])).at, at(8 * SECOND));
    assert_eq!(link.transmit(at(8 * SECOND - 1), &[0; 1000]), Fate::Dropped(DropCause::Queue));
    assert_eq!(only(&link.transmit(at(8 * SECOND), &[0; 1000])).at, at(9 * SECOND));
    assert_eq!(only(&link.transmit(at(100 * SECOND), b"")).at, at(100 * SECOND), "nothing takes no time");
    assert_eq!(Bottleneck::new(8_000, QueueLimit::Bytes(0)).unwrap().service_time(1000), Duration::from_secs(1));
    assert_eq!(Bottleneck::new(3, QueueLimit::Bytes(0)).unwrap().service_time(1), ns(8 * SECOND / 3));
}

#[test]
fn a_million_datagrams_later_the_hop_is_not_a_nanosecond_off() {
    for rate in [7, 999_983, 1_000_003, 15_000_017, 999_999_999_989] {
        let mut link = link(rate, QueueLimit::Time(ns(u64::MAX)), 28);
        let mut bits = 0_u128;
        for n in 0..MILLION {
            let size = n * 31 % 60;
            bits += (size as u128 + 28) * 8;
            let left = only(&link.transmit(Timestamp::ZERO, &[0; 60][..size])).at.as_nanos();
            assert_eq!(u128::from(left), (bits * u128::from(SECOND)).div_ceil(rate.into()), "number {n} at {rate}");
        }
        // The same once more, without a limit of width.
        let exact = BigUint::from(bits) * SECOND;
        let last = only(&link.transmit(Timestamp::ZERO, b"")).at.as_nanos();
        let with_last = (exact + 28_u64 * 8 * SECOND + (rate - 1)) / rate;
        assert_eq!(BigUint::from(last), with_last, "{rate}");
    }
}

#[test]
fn what_propagates_does_not_wait_in_the_queue() {
    let hop = |queue| Impairments::NONE.with_bottleneck(Bottleneck::new(1_000_000, queue).unwrap());
    for queue in [QueueLimit::Bytes(10_000), QueueLimit::Time(ms(50)), QueueLimit::Datagrams(7)] {
        let delay = DelayModel::new(DelayLaw::fixed(Duration::from_secs(10)).unwrap());
        let reorder = Reorder::new(probability(1.0 - f64::EPSILON), Duration::from_secs(5)).unwrap();
        let slow = hop(queue).with_delay(delay).with_reorder(reorder);
        let (mut near, mut far) = (Link::new(hop(queue), Seed::new(1)), Link::new(slow, Seed::new(1)));
        for n in 0..10_000 {
            // 4 ms of sending every 3 ms.
            let now = at(n * 3_000_000);
            match (near.transmit(now, &[0; 472]), far.transmit(now, &[0; 472])) {
                (Fate::Dropped(near), Fate::Dropped(far)) => assert_eq!(near, far),
                (near, far) => assert_eq!(only(&near).at.after(Duration::from_secs(15)), only(&far).at),
            }
        }
        assert!(near.stats().dropped.queue > 2000, "{queue:?}");
    }
}

#[test]
fn an_overloaded_hop_carries_its_rate_to_within_one_datagram() {
    const PACKET: u64 = 528;
    for rate in [1_000_000, 7_654_321, 15_000_000] {
        for queue in [QueueLimit::Bytes(3000), QueueLimit::Time(ms(20)), QueueLimit::Datagrams(5)] {
            let mut link = link(rate, queue, 28);
            // Half as much again as it carries, for ten seconds.
            let gap = PACKET * 8 * SECOND / rate * 2 / 3;
            let arrived = (0..10 * SECOND / gap).filter(|n| {
                let fate = link.transmit(at(n * gap), &[0; 500]);
                matches!(fate, Fate::Delivered(_)) && only(&fate).at <= at(10 * SECOND)
            });
            let bits = arrived.count() as u64 * PACKET * 8;
            assert!(bits <= 10 * rate && bits + PACKET * 8 >= 10 * rate, "{bits} at {rate}, {queue:?}");
        }
    }
}

#[test]
fn what_is_lost_behind_the_hop_has_used_it_and_what_is_dropped_before_has_not() {
    let hop = Bottleneck::new(8_000, QueueLimit::Datagrams(2)).unwrap();
    let lossy = Impairments::NONE
        .with_headers(0)
        .unwrap()
        .with_bottleneck(hop.clone())
        .with_loss(LossModel::pattern(&[true]).unwrap());
    let mut link = Link::new(lossy, Seed::new(1));
    let fates = [DropCause::Loss, DropCause::Loss, DropCause::Loss, DropCause::Queue].map(Fate::Dropped);
    assert_eq!([0; 4].map(|_| link.transmit(at(0), &[0; 1000])), fates);
    assert_eq!((link.stats().dropped.loss, link.stats().dropped.queue, link.stats().bursts), (3, 1, 1));
    // What was not accepted is not served either.
    link.reconfigure(Impairments::NONE.with_headers(0).unwrap().with_bottleneck(hop.clone()));
    assert_eq!(only(&link.transmit(at(2 * SECOND), &[0; 1000])).at, at(4 * SECOND));
}

#[test]
fn loss_behind_an_overloaded_hop_is_still_the_loss_asked_for() {
    let hop = Bottleneck::new(1_000_000, QueueLimit::Datagrams(3)).unwrap();
    let mut link = Link::new(Impairments::loss(probability(0.3)).with_bottleneck(hop), Seed::new(3));
    for n in 0..MILLION as u64 {
        link.transmit(at(n * 100_000), &[0; 97]);
    }
    let stats = link.stats();
    let passed = stats.delivered + stats.dropped.loss;
    assert!(stats.dropped.queue > 400_000 && passed > 90_000, "{stats:?}");
    assert_binomial(stats.dropped.loss as usize, passed as usize, 0.3, "behind the hop");
}

#[test]
fn a_new_rate_holds_from_the_next_datagram_on_and_the_queue_stays() {
    let impairments = |rate, limit| {
        let hop = Bottleneck::new(rate, QueueLimit::Datagrams(limit)).unwrap();
        Impairments::NONE.with_headers(0).unwrap().with_bottleneck(hop.clone())
    };
    let mut link = Link::new(impairments(8_000, 2), Seed::new(1));
    let seconds = |link: &mut Link| match link.transmit(at(0), &[0; 1000]) {
        Fate::Delivered(copies) => Some(copies.as_slice()[0].at.as_nanos() / SECOND),
        _ => None,
    };
    assert_eq!([0; 4].map(|_| seconds(&mut link)), [Some(1), Some(2), Some(3), None]);
    link.reconfigure(impairments(1_000, 3));
    assert_eq!([0; 2].map(|_| seconds(&mut link)), [Some(11), None]);
    link.reconfigure(impairments(8_000, 1));
    assert_eq!(seconds(&mut link), None);
    link.reconfigure(impairments(8_000, 4));
    assert_eq!([0; 2].map(|_| seconds(&mut link)), [Some(12), None]);
    // A fraction of a nanosecond stays one, at whatever rate it was made.
    let bytes = |rate| Impairments::NONE.with_bottleneck(Bottleneck::new(rate, QueueLimit::Bytes(u64::MAX)).unwrap());
    for size in 0..100 {
        link.reconfigure(bytes(999_983));
        let before = only(&link.transmit(at(0), &[0; 100][..size])).at;
        link.reconfigure(bytes(1));
        let after = only(&link.transmit(at(0), b"")).at;
        let service = Duration::from_secs(28 * 8);
        assert!(after >= before.after(service - ns(1)) && after <= before.after(service + ns(1)), "{size}");
    }
}

#[test]
fn hops_that_cannot_be_are_refused_with_what_can() {
    assert_eq!(Bottleneck::new(0, QueueLimit::Bytes(1)), Err(Infeasible::ZeroRate));
    let (datagrams, most) = (65_537, 65_536);
    let refused = Bottleneck::new(1, QueueLimit::Datagrams(datagrams));
    assert_eq!(refused, Err(Infeasible::QueueTooLong { datagrams, most }));
    assert!(Bottleneck::new(1, QueueLimit::Datagrams(most)).is_ok());
    let refused = Bottleneck::new(1, QueueLimit::Time(Duration::MAX));
    assert!(matches!(refused, Err(Infeasible::DurationTooLong { duration: Duration::MAX, .. })));
    let hop = Bottleneck::new(u64::MAX, QueueLimit::Bytes(u64::MAX)).unwrap();
    assert_eq!((hop.rate(), hop.queue()), (u64::MAX, QueueLimit::Bytes(u64::MAX)));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_traffic_meets_the_queue_of_the_model(
        rate in prop_oneof![1..100_u64, 1_000..2_000_000_u64, Just(999_983), Just(1 << 40), Just(u64::MAX)],
        limit in prop_oneof![
            prop_oneof![0..20_000_u64, Just(0), Just(u64::MAX)].prop_map(QueueLimit::Bytes),
            prop_oneof![0..50_000_000_u64, Just(0), Just(u64::MAX)].prop_map(|limit| QueueLimit::Time(ns(limit))),
            prop_oneof![0..9_u32, Just(65_536)].prop_map(QueueLimit::Datagrams),
        ],
        headers in prop::sample::select(vec![0_u32, 1, 28, 48]),
        // Gaps in tenths of the time that a packet of 700 bytes takes, or what the hop itself names next.
        traffic in prop::collection::vec((0..1473_usize, 0..25_u64, 0..4_u8), 1..200),
    ) {
        let mut link = link(rate, limit, headers);
        let mut naive = Naive { rate: rate.into(), limit, accepted: VecDeque::new() };
        let (mut now, mut free) = (0_u64, 0);
        for (size, tenths, how) in traffic {
            now = match how {
                0 => now,
                // Exactly when it is free, or a nanosecond before.
                1 => now.max(free),
                2 => now.max(free.saturating_sub(1)),
                _ => now.saturating_add(tenths.saturating_mul(560 * SECOND / rate)),
            };
            let size = if size % 7 == 0 { 0 } else { size };
            let expected = naive.pass(now, size as u128 + u128::from(headers));
            match (link.transmit(at(now), &[0; 1473][..size]), expected) {
                (Fate::Dropped(DropCause::Queue), None) => {}
                (fate, Some(expected)) => {
                    free = only(&fate).at.as_nanos();
                    prop_assert_eq!(u128::from(free), expected.min(u64::MAX.into()));
                    // Past the end of time everything is the same moment.
                    if free == u64::MAX {
                        return Ok(());
                    }
                }
                (fate, None) => panic!("{fate:?} at {now}"),
            }
        }
    }
}

/// Remembers everybody; moments are in steps of 1/rate of a nanosecond, so everything is whole.
struct Naive {
    rate: u128,
    limit: QueueLimit,
    /// From when until when each was, is or will be on the wire.
    accepted: VecDeque<(u128, u128)>,
}

impl Naive {
    fn pass(&mut self, now: u64, bytes: u128) -> Option<u128> {
        const STEPS_PER_BYTE: u128 = 8 * SECOND as u128;
        let now = u128::from(now) * self.rate;
        let begin = self.accepted.back().map_or(now, |&(_, end)| end.max(now));
        let fits = match self.limit {
            QueueLimit::Bytes(limit) => {
                let unsent = |&(begin, end): &(u128, u128)| end.saturating_sub(begin.max(now));
                self.accepted.iter().map(unsent).sum::<u128>() <= u128::from(limit) * STEPS_PER_BYTE
            }
            QueueLimit::Time(limit) => begin - now <= limit.as_nanos() * self.rate,
            QueueLimit::Datagrams(limit) => {
                let waiting = self.accepted.iter().filter(|(begin, _)| *begin > now).count();
                begin == now || waiting < limit as usize
            }
            other => panic!("{other:?}"),
        };
        fits.then(|| {
            let end = begin + bytes * STEPS_PER_BYTE;
            self.accepted.push_back((begin, end));
            end.div_ceil(self.rate)
        })
    }
}

/// When those leave that the queue takes of so many at once, and how many it does not take.
fn burst(rate: u64, queue: QueueLimit, headers: u32, size: usize, datagrams: u64) -> (Vec<u64>, u64) {
    let mut link = link(rate, queue, headers);
    let payload = vec![0; size];
    let mut accepted = Vec::new();
    for _ in 0..datagrams {
        match link.transmit(at(0), &payload) {
            Fate::Dropped(DropCause::Queue) => {}
            fate => accepted.push(only(&fate).at.as_nanos()),
        }
    }
    assert_eq!(link.stats().delivered, accepted.len() as u64);
    (accepted, link.stats().dropped.queue)
}

/// ⌈k·packet/rate⌉
fn nth_departure(k: u64, packet: u64, rate: u64) -> u64 {
    (u128::from(k * packet * 8) * u128::from(SECOND)).div_ceil(rate.into()).try_into().unwrap()
}

fn link(rate: u64, queue: QueueLimit, headers: u32) -> Link {
    let hop = Bottleneck::new(rate, queue).unwrap();
    Link::new(Impairments::NONE.with_headers(headers).unwrap().with_bottleneck(hop), Seed::new(1))
}
