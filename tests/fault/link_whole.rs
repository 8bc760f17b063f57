//! A link is its stages in their order, and nothing besides: no stage knows of another, of the content or of who
//! looks on; every datagram is accounted for; and the fates of a seed are for ever.

use std::fmt::Write;

use proptest::prelude::*;
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Delivery, Direction, DropCause, Dropped, Duplicate, Fate, Flips,
    GilbertElliott, Link, LinkStats, LossModel, MtuClamp, Outage, Oversize, QueueLimit, Reorder, Rule, Script,
    Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Probability, Seed};

use crate::any_impairments;
use crate::fates::{SEEDS, assert_uncorrelated, at, cases, copies, losses, ms, ns, only, probability};

const N: usize = 100_000;
static ZEROS: [u8; 65_507] = [0; 65_507];

// Stages among each other.

#[test]
fn any_set_of_stages_does_what_each_of_them_does_alone() {
    for seed in SEEDS {
        for set in 0..1 << (UNORDERED + 1) {
            let mut link = Link::new(path(set), Seed::new(seed));
            let mut composed = Composed::new(set, seed);
            for n in 0..60 {
                let (now, datagram) = (at(n * 700_000), &ZEROS[..(n * n * 13 % 300) as usize]);
                assert_eq!(seen(link.transmit(now, datagram)), composed.pass(now, datagram), "{n}, set {set:b}");
            }
        }
    }
}

#[test]
fn no_stage_decides_as_another_does() {
    for seed in SEEDS {
        let decide = |path: Impairments, yes: fn(&Fate) -> bool| -> Vec<_> {
            let mut link = Link::new(path, Seed::new(seed));
            (0..N).map(|_| yes(&link.transmit(at(0), &[0; 64]))).collect()
        };
        let (none, half) = (Impairments::NONE, Probability::HALF);
        let uniform = DelayLaw::uniform(ns(1000), ns(1000)).unwrap();
        let late = Duplicate::new(Probability::ONE).late(uniform.clone());
        let (flip, cut) = (Corrupt::new(Probability::ONE), Truncate::new(Probability::ONE));
        let alternating = chain(0.5, 0.5);
        let decisions = [
            decide(none.clone().with_loss(LossModel::Bernoulli(half)), |fate| copies(fate).is_empty()),
            decide(none.clone().with_loss(alternating), |fate| copies(fate).is_empty()),
            decide(none.clone().with_duplicate(Duplicate::new(half)), |fate| copies(fate).len() == 2),
            decide(none.clone().with_duplicate(late), |fate| copies(fate)[1].at > at(1000)),
            decide(none.clone().with_truncate(Truncate::new(half)), |fate| only(fate).len < 64),
            decide(none.clone().with_truncate(cut), |fate| only(fate).len < 32),
            decide(none.clone().with_corrupt(Corrupt::new(half)), |fate| !only(fate).flips.as_slice().is_empty()),
            decide(none.clone().with_corrupt(flip), |fate| only(fate).flips.as_slice()[0] < 256),
            decide(none.clone().with_delay(DelayModel::new(uniform).unordered()), |fate| only(fate).at > at(1000)),
            decide(none.with_reorder(Reorder::new(half, ms(1)).unwrap()), |fate| only(fate).at > at(0)),
        ];
        for (n, one) in decisions.iter().enumerate() {
            for (m, other) in decisions.iter().enumerate().skip(n + 1) {
                for lag in [0, 1] {
                    assert_uncorrelated(&one[lag..], other, 0.5, &format!("{n} and {m}, lag {lag}, seed {seed}"));
                    assert_uncorrelated(one, &other[lag..], 0.5, &format!("{m} and {n}, lag {lag}, seed {seed}"));
                }
            }
        }
    }
}

#[test]
fn links_of_other_seeds_clients_and_directions_share_no_decision() {
    let mut all = Vec::new();
    for seed in SEEDS {
        for direction in [Direction::ToServer, Direction::ToClient] {
            all.extend([0, 1, 2, u64::MAX].map(|client| direction.link_seed(Seed::new(seed), client)));
            assert_eq!(direction.opposite().opposite(), direction);
            assert_ne!(direction.link_seed(Seed::new(seed), 0), direction.opposite().link_seed(Seed::new(seed), 0));
        }
        all.push(Seed::new(seed));
    }
    let all: Vec<_> = all.iter().map(|seed| losses(Impairments::loss(Probability::HALF), seed.number(), N)).collect();
    for (n, one) in all.iter().enumerate() {
        for other in &all[n + 1..] {
            assert_uncorrelated(one, other, 0.5, "two links");
        }
    }
}

#[test]
fn neither_time_nor_content_nor_a_look_at_the_counters_changes_a_fate() {
    let plain = losses(Impairments::loss(Probability::HALF), 9, 10_000);
    let mut link = Link::new(Impairments::loss(Probability::HALF), Seed::new(9));
    for (n, lost) in (0..10_000_u64).zip(plain) {
        let _ = (link.stats(), link.impairments(), link.clone().transmit(at(0), b""));
        let fate = link.transmit(at(n * n * 1_000_000), &n.to_be_bytes()[..n as usize % 9]);
        assert_eq!(fate == Fate::Dropped(DropCause::Loss), lost);
    }
}

// Changes on the way.

#[test]
fn new_settings_start_no_number_anew() {
    for seed in SEEDS {
        let jitter = DelayModel::new(DelayLaw::uniform(ms(20), ms(20)).unwrap());
        let stages = [DUPLICATE, CUT, CORRUPT, REORDER, SCRIPT].map(|stage| path(1 << stage));
        let others = [Impairments::loss(Probability::HALF), Impairments::NONE.with_delay(jitter)];
        let pattern = Impairments::NONE.with_loss(LossModel::pattern(&[true, false, false]).unwrap());
        for path in stages.into_iter().chain(others).chain([pattern]) {
            let mut always = Link::new(path.clone(), Seed::new(seed));
            let mut late = Link::new(Impairments::NONE, Seed::new(seed));
            for n in 0..500 {
                let now = at(n * 1_000_000_000);
                let fates = (always.transmit(now, &[0; 99]), late.transmit(now, &[0; 99]));
                if n >= 10 {
                    assert_eq!(fates.0, fates.1, "number {n} of {path:?}");
                }
                if n == 9 {
                    late.reconfigure(path.clone());
                    assert_eq!(late.impairments(), &path);
                }
            }
        }
    }
}

#[test]
fn a_chain_goes_on_in_its_state_under_new_settings() {
    for seed in 0..1000 {
        let mut link = Link::new(Impairments::NONE.with_loss(chain(0.3, 0.3)), Seed::new(seed));
        for _ in 0..5 {
            link.transmit(at(0), b"x");
        }
        // In a chain that loses everything in one state and nothing in the other, the next fate tells the state.
        let next = link.clone().transmit(at(0), b"x");
        link.reconfigure(Impairments::NONE.with_loss(chain(1e-18, 1e-18)));
        assert!((0..10).all(|_| std::mem::discriminant(&link.transmit(at(0), b"x")) == std::mem::discriminant(&next)));
        // The delays as well: hardly any new part in them.
        let law = DelayLaw::normal(ms(100), ms(10)).unwrap();
        let delay = |rho| DelayModel::new(law.clone()).unordered().correlated(probability(rho)).unwrap();
        let mut link = Link::new(Impairments::NONE.with_delay(delay(0.1)), Seed::new(seed));
        for _ in 0..5 {
            link.transmit(at(0), b"x");
        }
        let before = only(&link.transmit(at(0), b"x")).at;
        link.reconfigure(Impairments::NONE.with_delay(delay(1.0 - 1e-12)));
        let after = only(&link.transmit(at(0), b"x")).at;
        assert!(after.as_nanos().abs_diff(before.as_nanos()) < 1000, "{before:?}, then {after:?}");
    }
}

#[test]
fn a_shorter_way_overtakes_nobody_unless_told_to() {
    let fixed = |delay| DelayModel::new(DelayLaw::fixed(ms(delay)).unwrap());
    let mut link = Link::new(Impairments::NONE.with_delay(fixed(100)), Seed::new(1));
    let mut arrival = |path, now| {
        link.reconfigure(path);
        only(&link.transmit(at(0).after(ms(now)), b"x")).at
    };
    let long = Impairments::NONE.with_delay(fixed(100));
    let short = Impairments::NONE.with_delay(fixed(1));
    assert_eq!(arrival(long, 0), at(0).after(ms(100)));
    assert_eq!(arrival(short.clone(), 10), at(0).after(ms(100)));
    assert_eq!(arrival(Impairments::NONE, 20), at(0).after(ms(100)));
    assert_eq!(arrival(Impairments::NONE.with_delay(fixed(1).unordered()), 30), at(0).after(ms(31)));
    assert_eq!(arrival(short.clone(), 40), at(0).after(ms(100)));
    assert_eq!(arrival(short, 100), at(0).after(ms(101)));
}

// The whole.

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_datagram_is_accounted_for_and_nothing_arrives_before_it_was_sent(
        path in any_impairments::impairments(), other in any_impairments::impairments(), seed: u64,
        traffic in prop::collection::vec((moment(), length(), prop::bool::weighted(0.1)), 1..60),
    ) {
        let mut link = Link::new(path.clone(), Seed::new(seed));
        // The same once more, told its settings before every datagram.
        let mut told = Link::new(path.clone(), Seed::new(seed));
        let mut seen = LinkStats::default();
        for (now, len, changed) in traffic {
            if changed {
                link.reconfigure(other.clone());
            }
            told.reconfigure(link.impairments().clone());
            let fate = link.transmit(now, &ZEROS[..len]);
            prop_assert_eq!(fate, told.transmit(now, &ZEROS[..len]));
            prop_assert!(copies(&fate).len() <= 3);
            for copy in copies(&fate) {
                prop_assert!(copy.at >= now && copy.at >= copies(&fate)[0].at && copy.len <= len);
                prop_assert!(copy.flips.as_slice().iter().all(|&bit| (bit as usize) < 8 * copy.len));
                seen.corrupted += u64::from(!copy.flips.as_slice().is_empty());
            }
            recount(&mut seen, &fate);
            let stats = *link.stats();
            prop_assert_eq!(stats.received, stats.delivered - stats.duplicates + stats.dropped.total());
            prop_assert_eq!(stats.dropped, seen.dropped);
            let counts = |it: LinkStats| (it.received, it.delivered, it.duplicates, it.corrupted);
            prop_assert_eq!(counts(stats), counts(seen));
            prop_assert!(stats.bursts <= stats.dropped.loss && stats.truncated <= stats.delivered);
            prop_assert!(stats.held + stats.clamped <= 2 * stats.received);
        }
        let mut sum = *link.stats();
        sum += *told.stats();
        prop_assert_eq!(numbers(&sum), numbers(link.stats()).map(|number| 2 * number));
    }
}

fn numbers(stats: &LinkStats) -> [u64; 13] {
    let LinkStats { received, delivered, duplicates, dropped, bursts, corrupted, truncated, clamped, held, .. } =
        *stats;
    let Dropped { script, outage, mtu, queue, loss, .. } = dropped;
    [received, delivered, duplicates, script, outage, mtu, queue, loss, bursts, corrupted, truncated, clamped, held]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![4 => 0..1_000_000_000_u64, 1 => any::<u64>(), 1 => prop::sample::select(vec![0, u64::MAX])].prop_map(at)
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..=65_507_usize, 2 => 0..=1500_usize, 1 => prop::sample::select(vec![0, 1, 65_507])]
}

fn recount(seen: &mut LinkStats, fate: &Fate) {
    seen.received += 1;
    let dropped = &mut seen.dropped;
    match fate {
        Fate::Delivered(copies) => {
            seen.delivered += copies.as_slice().len() as u64;
            seen.duplicates += copies.into_iter().count() as u64 - 1;
        }
        Fate::TooBig { .. } => dropped.mtu += 1,
        Fate::Dropped(cause) => match cause {
            DropCause::Script => dropped.script += 1,
            DropCause::Outage => dropped.outage += 1,
            DropCause::Mtu => dropped.mtu += 1,
            DropCause::Queue => dropped.queue += 1,
            DropCause::Loss => dropped.loss += 1,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn losses_are_the_same_on_every_platform_and_version() {
    let lost: Vec<_> = (0_u64..)
        .zip(losses(Impairments::loss(probability(0.3)), 7, 40))
        .filter_map(|(n, lost)| lost.then_some(n))
        .collect();
    assert_eq!(lost, KNOWN_LOSSES);
}

#[test]
fn fates_are_the_same_on_every_platform_and_version() {
    let mut link = Link::new(path((1 << STAGES) - 1), Seed::new(7));
    let mut table = String::new();
    for n in 0..48 {
        let now = at(n * 700_000);
        let line = match link.transmit(now, &ZEROS[..(n * n * 13 % 300) as usize]) {
            Fate::Dropped(cause) => cause.as_str().to_owned(),
            Fate::TooBig { limit } => format!("at most {}", limit.bytes()),
            fate => {
                let told = |copy: &Delivery| {
                    let late = copy.at.since(now).as_nanos();
                    format!("{late}ns {}{:?}", copy.len, copy.flips.as_slice())
                };
                copies(&fate).iter().map(told).collect::<Vec<_>>().join(", ")
            }
        };
        writeln!(table, "{line}").unwrap();
    }
    assert_eq!(table, KNOWN_FATES);
    assert_eq!([Direction::ToServer, Direction::ToClient].map(Direction::as_str), ["to_server", "to_client"]);
}

/// One link for each stage, and their order.
struct Composed {
    set: u32,
    in_order: Timestamp,
    stages: [Link; STAGES],
    /// Two copies of everything, to see what is done to each.
    cut: Link,
    /// The same, fed with what is left of the first copy and of the second.
    flips: [Link; 2],
}

impl Composed {
    fn new(set: u32, seed: u64) -> Self {
        let link = |path| Link::new(path, Seed::new(seed));
        let twice = |stage: usize| link(path(set & 1 << stage).with_duplicate(Duplicate::new(Probability::ONE)));
        // Each delay as it was drawn.
        let stages = std::array::from_fn(|stage| link(path(set & 1 << stage | 1 << UNORDERED)));
        Self { set, in_order: at(0), stages, cut: twice(CUT), flips: [twice(CORRUPT), twice(CORRUPT)] }
    }

    fn pass(&mut self, now: Timestamp, datagram: &[u8]) -> Seen {
        let Self { set, in_order, stages, cut, flips } = self;
        // The hop is no matter of chance: it sees those that reach it, and no others.
        let none = Fate::Dropped(DropCause::Queue);
        let mut alone: [_; STAGES] =
            std::array::from_fn(|stage| if stage == HOP { none } else { stages[stage].transmit(now, datagram) });
        let left: Vec<_> = copies(&cut.transmit(now, datagram)).iter().map(|copy| copy.len).collect();
        let flips = [0, 1].map(|n| copies(&flips[n].transmit(now, &datagram[..left[n]]))[n].flips);
        for stage in [SCRIPT, OUTAGE, MTU, HOP, LOSS] {
            if stage == HOP {
                alone[HOP] = stages[HOP].transmit(now, datagram);
            }
            if copies(&alone[stage]).is_empty() {
                return (Vec::new(), Some(alone[stage]));
            }
        }
        let takes = |stage: usize| only(&alone[stage]).at.since(now);
        let mut arrival = now.after(takes(HOP)).after(takes(DELAY));
        if *set & 1 << UNORDERED == 0 || *set & 1 << DELAY == 0 {
            arrival = arrival.max(*in_order);
            *in_order = arrival;
        }
        arrival = arrival.after(takes(REORDER)).after(takes(SCRIPT));
        let twins = copies(&alone[DUPLICATE]).iter().map(|twin| arrival.after(twin.at.since(now)));
        (twins.zip(left.into_iter().zip(flips)).map(|(at, (len, flips))| (at, len, flips)).collect(), None)
    }
}

/// The copies that arrive: when, how long and with which flips; or why none does.
type Seen = (Vec<(Timestamp, usize, Flips)>, Option<Fate>);

fn seen(fate: Fate) -> Seen {
    let arrives = copies(&fate).iter().map(|copy| (copy.at, copy.len, copy.flips)).collect();
    (arrives, (!matches!(fate, Fate::Delivered(_))).then_some(fate))
}

/// A path with these stages, all of them busy.
fn path(set: u32) -> Impairments {
    let has = |stage: usize| set & 1 << stage != 0;
    let mut path = Impairments::NONE;
    if has(SCRIPT) {
        let rules = [(3, Rule::Drop), (10, Rule::Refuse { limit: 99 }), (24, Rule::Delay { by: ms(3) })];
        path = path.with_script(Script::new(rules).unwrap());
    }
    if has(OUTAGE) {
        path = path.with_outage(Outage::new(ms(5), ms(2)).unwrap().every(ms(13)).unwrap()).unwrap();
    }
    if has(MTU) {
        path = path.with_mtu(MtuClamp::new(Pmtu::new(300), Oversize::Drop)).unwrap();
    }
    if has(HOP) {
        path = path.with_bottleneck(Bottleneck::new(1_500_001, QueueLimit::Bytes(60)).unwrap());
    }
    if has(LOSS) {
        path = path.with_loss(LossModel::bursts(probability(0.2), 2.5).unwrap());
    }
    if has(DUPLICATE) {
        let late = DelayLaw::exponential(ns(500), ms(1)).unwrap();
        path = path.with_duplicate(Duplicate::new(probability(0.3)).late(late));
    }
    if has(CUT) {
        path = path.with_truncate(Truncate::new(probability(0.25)));
    }
    if has(CORRUPT) {
        path = path.with_corrupt(Corrupt::new(probability(0.4)).bits(3).unwrap());
    }
    if has(DELAY) {
        let law = DelayLaw::normal(ms(5), ms(2)).unwrap();
        let model = DelayModel::new(law).correlated(probability(0.6)).unwrap();
        path = path.with_delay(if has(UNORDERED) { model.unordered() } else { model });
    }
    if has(REORDER) {
        path = path.with_reorder(Reorder::new(probability(0.3), ms(2)).unwrap());
    }
    path
}

fn chain(p: f64, r: f64) -> LossModel {
    let [p, r] = [p, r].map(probability);
    LossModel::GilbertElliott(GilbertElliott::new(p, r, Probability::ZERO, Probability::ONE).unwrap())
}

const SCRIPT: usize = 0;
const OUTAGE: usize = 1;
const MTU: usize = 2;
const HOP: usize = 3;
const LOSS: usize = 4;
const DUPLICATE: usize = 5;
const CUT: usize = 6;
const CORRUPT: usize = 7;
const DELAY: usize = 8;
const REORDER: usize = 9;
const STAGES: usize = 10;
/// No stage, but a kind of delay.
const UNORDERED: usize = 10;

/// The losses among the first 40 datagrams at 30 % and seed 7, computed apart from this code.
const KNOWN_LOSSES: [u64; 9] = [2, 10, 17, 20, 25, 27, 32, 36, 38];
/// What becomes of 48 datagrams at seed 7, where every stage is on, computed apart from this code.
const KNOWN_FATES: &str = include_str!("../vectors/fates.txt");
