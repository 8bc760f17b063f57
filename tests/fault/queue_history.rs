//! What waits in front of a bottleneck is what is really ahead, whatever the rate and the limit were and will be: held
//! against a model that remembers every bit of every datagram, with rationals.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use udp_retry::fault::{Bottleneck, DropCause, Fate, Link, QueueLimit, RateTrace, Setting};
use udp_retry::{Impairments, Seed};

use crate::fates::{at, cases, ms, ns, only};

const STEPS_PER_BYTE: u128 = 8_000_000_000;

#[test]
fn a_queue_in_bytes_holds_what_is_ahead_after_the_rate_went_up() {
    // 10,000 bytes are ahead, 64,000 may be.
    let mut link = Link::new(spec("rate 8kbit queue 64kB"), Seed::new(1));
    for n in 0..10 {
        only(&link.transmit(at(0).after(ms(n)), &[0; 972]));
    }
    link.reconfigure(spec("rate 10gbit queue 64kB"));
    let fits = (0..100).take_while(|_| matches!(link.transmit(at(0).after(ms(10)), &[0; 972]), Fate::Delivered(_)));
    // 9,990 bytes are left of those before.
    assert_eq!(fits.count(), 55);
}

#[test]
fn a_queue_in_bytes_holds_what_is_ahead_after_the_rate_went_down() {
    let mut link = Link::new(spec("rate 10gbit queue 64kB"), Seed::new(1));
    for _ in 0..10 {
        only(&link.transmit(at(0), &[0; 972]));
    }
    link.reconfigure(spec("rate 8kbit queue 9999B"));
    assert_eq!(link.transmit(at(0), &[0; 972]), Fate::Dropped(DropCause::Queue));
    link.reconfigure(spec("rate 8kbit queue 10kB"));
    assert_eq!(only(&link.transmit(at(0), &[0; 972])).at, at(1_000_008_000), "8 us for those before, and 1 s");
}

#[test]
fn datagrams_that_wait_are_counted_whatever_limited_them_when_they_came() {
    for first in ["rate 8kbit queue 1h", "rate 8kbit queue 1MB", "rate 8kbit queue 100 datagrams"] {
        let mut link = Link::new(spec(first), Seed::new(1));
        for _ in 0..10 {
            only(&link.transmit(at(0), &[0; 972]));
        }
        link.reconfigure(spec("rate 8kbit queue 9 datagrams"));
        assert_eq!(link.transmit(at(0), &[0; 972]), Fate::Dropped(DropCause::Queue), "{first}");
        link.reconfigure(spec("rate 8kbit queue 10 datagrams"));
        only(&link.transmit(at(0), &[0; 972]));
    }
}

#[test]
fn a_bottleneck_that_was_away_has_in_front_of_it_what_still_waits() {
    for (queue, fits) in [("10kB", 1), ("10s", 1), ("10 datagrams", 1), ("12 datagrams", 3)] {
        let slow = spec(&format!("rate 8kbit queue {queue}"));
        let mut link = Link::new(slow.clone(), Seed::new(1));
        for _ in 0..10 {
            only(&link.transmit(at(0), &[0; 972]));
        }
        link.reconfigure(Impairments::NONE);
        for _ in 0..5 {
            assert_eq!(only(&link.transmit(at(0), &[0; 972])).at, at(0).after(ms(10_000)), "in order");
        }
        link.reconfigure(slow);
        let more = (0..9).take_while(|_| matches!(link.transmit(at(0), &[0; 972]), Fate::Delivered(_))).count();
        assert_eq!(more, fits, "{queue}");
    }
}

#[test]
fn no_more_than_65536_changes_of_the_rate_wait() {
    let mut link = Link::new(spec("rate 1bit queue 1GB"), Seed::new(1));
    let rates = [1, 2].map(|rate| spec(&format!("rate {rate}bit queue 1GB")));
    let accepted = (0..70_000).take_while(|n| {
        link.reconfigure(rates[n % 2].clone());
        matches!(link.transmit(at(0), b""), Fate::Delivered(_))
    });
    assert_eq!(accepted.count(), 65_537);
}

/// Found by the history below. What leaves in one burst takes no time, and was forgotten with the next change.
#[test]
fn a_burst_at_the_moment_at_which_earlier_work_ends_is_still_ahead_after_a_change() {
    let traced = |lines: &[u32]| {
        let trace = RateTrace::new(lines.to_vec()).unwrap();
        let bottleneck = Bottleneck::traced(trace, QueueLimit::Datagrams(9)).unwrap();
        Impairments::NONE.with_headers(0).unwrap().with(Setting::Bottleneck(Some(bottleneck))).unwrap()
    };
    for (limit, fits) in [(1503, false), (1504, true)] {
        let mut link = Link::new(traced(&[1]), Seed::new(1));
        let now = at(500_000);
        assert_eq!(only(&link.transmit(now, &[0; 752])).at, at(1_000_000));
        link.reconfigure(traced(&[1, 2]));
        assert_eq!(only(&link.transmit(now, &[0; 752])).at, at(1_000_000));
        link.reconfigure(spec(&format!("headers 0; rate 10gbit queue {limit}B")));
        assert_eq!(matches!(link.transmit(now, b"x"), Fate::Delivered(_)), fits, "{limit}");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_history_of_a_bottleneck_meets_the_queue_of_the_model(
        first in hop(), history in prop::collection::vec(step(), 1..80),
    ) {
        let mut link = Link::new(first.impairments(), Seed::new(1));
        let (mut model, mut now) = (Model::new(first), 0_u64);
        for step in history {
            match step {
                Step::Set(hop) => {
                    link.reconfigure(hop.impairments());
                    model.set(hop);
                }
                Step::Send { gap, size } => {
                    now = match gap {
                        // Exactly when it is free, or a nanosecond before.
                        Gap::Free(early) => now.max(model.free_at().saturating_sub(early)),
                        Gap::Of(gap) => now + gap,
                    };
                    let expected = model.pass(now, size as u64);
                    match (link.transmit(at(now), &[0; 1501][..size]), expected) {
                        (Fate::Dropped(DropCause::Queue), None) => {}
                        // Behind what waited before, if it meets no bottleneck itself.
                        (fate, Some(expected)) => {
                            let arrives = only(&fate).at.as_nanos();
                            prop_assert_eq!(arrives, expected, "entered at {}", now);
                        }
                        (fate, None) => prop_assert!(false, "{:?} at {}", fate, now),
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(Hop),
    Send { gap: Gap, size: usize },
}

#[derive(Clone, Debug)]
enum Gap {
    Of(u64),
    Free(u64),
}

/// A bottleneck over time.
#[derive(Clone, Debug)]
struct Hop {
    /// From each time on.
    phases: Vec<(u64, Phase, QueueLimit)>,
    repeat: Option<(u64, u64)>,
}

#[derive(Clone, PartialEq, Debug)]
enum Phase {
    None,
    Rate(u64),
    /// Milliseconds.
    Trace(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![
        3 => Just(Gap::Of(0)),
        2 => (0..2_u64).prop_map(Gap::Free),
        2 => (0..20_000_000_u64).prop_map(Gap::Of),
        1 => (0..1_000_u64).prop_map(Gap::Of),
        1 => (0..20_u64).prop_map(|ms| Gap::Of(ms * 1_000_000)),
    ];
    let size = prop_oneof![3 => 0..=1500_usize, 1 => Just(0), 1 => Just(752), 1 => Just(1)];
    prop_oneof![1 => hop().prop_map(Step::Set), 6 => (gap, size).prop_map(|(gap, size)| Step::Send { gap, size })]
}

fn hop() -> BoxedStrategy<Hop> {
    let queue = prop_oneof![
        prop_oneof![0..20_000_u64, Just(u64::MAX)].prop_map(QueueLimit::Bytes),
        (0..100_000_000_u64).prop_map(|limit| QueueLimit::Time(ns(limit))),
        (0..9_u32).prop_map(QueueLimit::Datagrams),
    ];
    let trace = prop::collection::vec(0..4_u32, 1..9).prop_map(|gaps| {
        let mut lines: Vec<_> = gaps
            .iter()
            .scan(0, |at, gap| {
                *at += gap;
                Some(*at)
            })
            .collect();
        if lines.last() == Some(&0) {
            lines.push(3);
        }
        Phase::Trace(lines)
    });
    let phase = prop_oneof![
        1 => Just(Phase::None),
        5 => prop::sample::select(vec![100_000, 1_000_000, 9_000_000, 999_983, 10_000_000_000]).prop_map(Phase::Rate),
        3 => trace,
    ];
    let lasting = prop_oneof![4 => (1..8_u64).prop_map(|ms| ms * 1_000_000), 1 => 1..9_000_000_u64];
    let phases = prop::collection::vec((lasting, phase, queue), 1..5);
    (phases, prop::option::of((0..3_000_000_u64, 0..5_000_000_u64)))
        .prop_map(|(phases, repeat)| {
            let mut start = 0;
            let phases: Vec<_> = phases
                .into_iter()
                .map(|(lasting, phase, queue)| {
                    let from = start;
                    start += lasting;
                    (from, phase, queue)
                })
                .collect();
            let last = phases.last().unwrap().0;
            // From before the last change to behind it.
            let repeat = repeat.filter(|_| last > 0).map(|(before, behind)| {
                let from = last.saturating_sub(before + 1);
                (from, last - from + behind + 1)
            });
            Hop { phases, repeat }
        })
        .prop_filter("nothing leaves", |hop| hop.repeat.is_none() || hop.carries())
        .boxed()
}

impl Hop {
    fn impairments(&self) -> Impairments {
        let of = |phase: &Phase, queue: QueueLimit| match phase {
            Phase::None => None,
            Phase::Rate(rate) => Some(Bottleneck::new(*rate, queue).unwrap()),
            Phase::Trace(lines) => Some(Bottleneck::traced(RateTrace::new(lines.clone()).unwrap(), queue).unwrap()),
        };
        let settings = self.phases.iter().map(|(from, phase, queue)| (*from, Setting::Bottleneck(of(phase, *queue))));
        let (first, later): (Vec<_>, Vec<_>) = settings.partition(|(from, _)| *from == 0);
        let all = Impairments::NONE.with_headers(0).unwrap().with(first[0].1.clone()).unwrap();
        let all = all.with_changes(later.into_iter().map(|(from, setting)| (ns(from), setting))).unwrap();
        match self.repeat {
            Some((from, every)) => all.repeating(ns(from), ns(every)).unwrap(),
            None => all,
        }
    }

    /// What holds at a moment: the phase, the moment of the first round that is like it, and the next moment at which
    /// another phase or another round begins.
    fn at(&self, now: u64) -> (&(u64, Phase, QueueLimit), u64, u64) {
        let (mut like, mut end) = (now, u64::MAX);
        if let Some((from, every)) = self.repeat {
            while like >= from + every {
                like -= every;
            }
            end = now - like + from + every;
        }
        let place = self.phases.iter().rposition(|(from, ..)| *from <= like).unwrap();
        let next = self.phases.get(place + 1).map_or(u64::MAX, |(from, ..)| now - like + from);
        (&self.phases[place], like, end.min(next))
    }

    /// Whether anything leaves in the rounds to come.
    fn carries(&self) -> bool {
        let (from, every) = self.repeat.unwrap();
        let mut now = from;
        while now < from + every {
            let ((_, phase, _), _, end) = self.at(now);
            match phase {
                Phase::Trace(lines) if opportunities(lines, now, end).next().is_none() => now = end,
                _ => return true,
            }
        }
        false
    }

    /// The same pace: what differs is only what may wait.
    fn is_as_fast_as(&self, other: &Self) -> bool {
        let pace = |hop: &Self| {
            let mut phases: Vec<_> = hop.phases.iter().map(|(from, phase, _)| (*from, phase.clone())).collect();
            phases.dedup_by(|later, before| later.1 == before.1);
            let repeat = hop.repeat.filter(|_| phases.len() > 1);
            (phases, repeat)
        };
        pace(self) == pace(other)
    }
}

/// Nanoseconds from `from` on to before `end` at which 1,504 bytes may leave.
fn opportunities(lines: &[u32], from: u64, end: u64) -> impl Iterator<Item = u64> {
    let period = u64::from(*lines.last().unwrap()) * 1_000_000;
    let rounds = (from / period).saturating_sub(1)..;
    let all = rounds.flat_map(move |round| lines.iter().map(move |&line| round * period + u64::from(line) * 1_000_000));
    all.skip_while(move |&at| at < from).take_while(move |&at| at < end)
}

/// Remembers all.
struct Model {
    hop: Hop,
    accepted: Vec<Accepted>,
    /// How often the pace was changed.
    epoch: u64,
    /// How much of the opportunities of each moment is used up.
    used: BTreeMap<(u64, u64), u128>,
    in_order: u64,
}

struct Accepted {
    begin: BigRational,
    end: BigRational,
    epoch: u64,
    parts: Vec<Part>,
}

/// Some steps of its work: steadily, or at one moment.
enum Part {
    Flow { from: BigRational, to: BigRational, rate: u64 },
    Burst { at: u64, steps: u128 },
}

impl Model {
    fn new(hop: Hop) -> Self {
        Self { hop, accepted: Vec::new(), epoch: 0, used: BTreeMap::new(), in_order: 0 }
    }

    fn set(&mut self, hop: Hop) {
        self.epoch += u64::from(!hop.is_as_fast_as(&self.hop));
        self.hop = hop;
    }

    fn free_at(&self) -> u64 {
        self.accepted.last().map_or(0, |last| up(&last.end))
    }

    fn pass(&mut self, now: u64, bytes: u64) -> Option<u64> {
        let sent = match self.hop.at(now).0.clone() {
            (_, Phase::None, _) => now,
            (_, _, queue) => self.accept(now, bytes, queue)?,
        };
        self.in_order = self.in_order.max(sent);
        Some(self.in_order)
    }

    fn accept(&mut self, now: u64, bytes: u64, queue: QueueLimit) -> Option<u64> {
        let moment = whole(now);
        let busy = self.accepted.last().is_some_and(|last| last.end > moment);
        let fits = match queue {
            QueueLimit::Time(limit) => u128::from(self.free_at().saturating_sub(now)) <= limit.as_nanos(),
            QueueLimit::Bytes(limit) => self.ahead(now) <= whole_of(u128::from(limit) * STEPS_PER_BYTE),
            QueueLimit::Datagrams(limit) => {
                !busy || self.accepted.iter().filter(|it| it.begin > moment).count() < limit as usize
            }
            other => panic!("{other:?}"),
        };
        if !fits {
            return None;
        }
        let begin = match self.accepted.last() {
            // What leaves at another pace begins with a whole nanosecond.
            Some(last) if busy && last.epoch != self.epoch => whole(up(&last.end)),
            Some(last) if busy => last.end.clone(),
            _ => moment,
        };
        let mut it = Accepted { begin: begin.clone(), end: begin, epoch: self.epoch, parts: Vec::new() };
        let mut left = u128::from(bytes) * STEPS_PER_BYTE;
        while left > 0 {
            left = self.send(&mut it, left);
        }
        let sent = up(&it.end);
        self.accepted.push(it);
        Some(sent)
    }

    /// As much as the present phase can, and how much that leaves.
    fn send(&mut self, it: &mut Accepted, left: u128) -> u128 {
        let ((_, phase, _), mut like, mut until) = self.hop.at(down(&it.end));
        // A rate that never changes knows of no rounds.
        if self.hop.phases.iter().all(|(_, other, _)| other == phase) {
            (like, until) = (down(&it.end), u64::MAX);
        }
        let (phase, shift) = (phase.clone(), down(&it.end) - like);
        match phase {
            // So fast that it takes no time.
            Phase::None => self.flow(it, left, u64::MAX, until),
            Phase::Rate(rate) => self.flow(it, left, rate, until),
            Phase::Trace(lines) => {
                let mut left = left;
                let (from, end) = (up(&it.end) - shift, until - shift);
                let mut seen = BTreeMap::new();
                for opportunity in opportunities(&lines, from, end) {
                    *seen.entry(opportunity).or_insert(0_u128) += 1504 * STEPS_PER_BYTE;
                    let at = opportunity + shift;
                    let used = self.used.entry((self.epoch, at)).or_default();
                    let steps = left.min(seen[&opportunity].saturating_sub(*used));
                    *used += steps;
                    left -= steps;
                    if steps > 0 {
                        it.parts.push(Part::Burst { at, steps });
                    }
                    if left == 0 {
                        it.end = whole(at);
                        return 0;
                    }
                }
                it.end = whole(until);
                left
            }
        }
    }

    fn flow(&self, it: &mut Accepted, left: u128, rate: u64, until: u64) -> u128 {
        let takes = whole_of(left) / whole(rate);
        let from = it.end.clone();
        if &from + &takes <= whole(until) {
            it.end = &from + takes;
            it.parts.push(Part::Flow { from, to: it.end.clone(), rate });
            return 0;
        }
        it.end = whole(until);
        let done = (whole(until) - &from) * whole(rate);
        it.parts.push(Part::Flow { from, to: whole(until), rate });
        // Whole, but for what a datagram before has used of the last nanosecond.
        let rest = whole_of(left) - done;
        assert!(rest.is_integer(), "{rest}");
        rest.to_integer().try_into().unwrap()
    }

    /// The steps that are left.
    fn ahead(&self, now: u64) -> BigRational {
        let moment = whole(now);
        let parts = self.accepted.iter().flat_map(|it| &it.parts);
        parts.fold(whole(0), |sum, part| match part {
            Part::Flow { from, to, rate } if *to > moment => sum + (to - from.max(&moment)) * whole(*rate),
            Part::Burst { at, steps } if *at > now => sum + whole_of(*steps),
            _ => sum,
        })
    }
}

fn whole(n: u64) -> BigRational {
    whole_of(n.into())
}

fn whole_of(n: u128) -> BigRational {
    BigRational::from_integer(BigInt::from(n))
}

fn up(n: &BigRational) -> u64 {
    n.ceil().to_integer().try_into().unwrap()
}

fn down(n: &BigRational) -> u64 {
    n.floor().to_integer().try_into().unwrap()
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
