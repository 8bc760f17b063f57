//! Everything that can be constructed.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Duplicate, GilbertElliott, LossModel, MtuClamp, Outage, Oversize,
    QueueLimit, RateTrace, Reorder, Rule, Script, Setting, Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::{Impairments, Probability};

use super::{ms, ns, secs};
use crate::any_impairments::dose;

pub(super) fn impairments() -> impl Strategy<Value = Impairments> {
    let repeat = maybe((times(), times()));
    let schedule = prop_oneof![1 => Just(None), 1 => (vec((times(), settings()), 0..8), repeat).prop_map(Some)];
    (first(), schedule).prop_map(|(all, schedule)| {
        let Some((changes, repeat)) = schedule else { return all };
        let all =
            changes.into_iter().fold(all, |all, (at, setting)| all.clone().with_change(at, setting).unwrap_or(all));
        // Often enough the times fit.
        let repeat = repeat.map(|(from, every)| match all.changes().last() {
            Some((last, _)) if last > from => (from, every.max(last - from + ns(1))),
            _ => (from, every),
        });
        repeat.and_then(|(from, every)| all.clone().repeating(from, every).ok()).unwrap_or(all)
    })
}

fn settings() -> BoxedStrategy<Setting> {
    prop_oneof![
        Just(Setting::Nothing),
        prop_oneof![Just(Script::EMPTY), scripts()].prop_map(Setting::Script),
        headers().prop_map(Setting::Headers),
        maybe(mtus()).prop_map(Setting::Mtu),
        maybe(bottlenecks()).prop_map(Setting::Bottleneck),
        losses().prop_map(Setting::Loss),
        maybe(duplicates()).prop_map(Setting::Duplicate),
        maybe(truncates()).prop_map(Setting::Truncate),
        maybe(corrupts()).prop_map(Setting::Corrupt),
        maybe(delays()).prop_map(Setting::Delay),
        maybe(reorders()).prop_map(Setting::Reorder),
        maybe(dose()).prop_map(Setting::Dose),
    ]
    .boxed()
}

fn first() -> BoxedStrategy<Impairments> {
    let maybe_script = prop_oneof![3 => Just(Script::EMPTY), 1 => scripts()];
    let hop = maybe(bottlenecks()).boxed();
    let first = (maybe_script.boxed(), vec(outages(), 0..5).boxed(), headers(), maybe(mtus()), hop, losses().boxed());
    let (twice, delay) = (maybe(duplicates()).boxed(), maybe(delays()).boxed());
    let second = (twice, maybe(truncates()), maybe(corrupts()), delay, maybe(reorders()));
    (first, second, maybe(dose()))
        .prop_map(|((script, outages, headers, mtu, hop, loss), (twice, cut, flip, delay, hold), dose)| {
            let mut all = Impairments::NONE.with_script(script).with_loss(loss);
            all = all.with(Setting::Headers(headers)).unwrap();
            all = outages.into_iter().fold(all, |all, outage| all.with_outage(outage).unwrap());
            all = mtu.into_iter().fold(all, |all, mtu| all.clone().with_mtu(mtu).unwrap_or(all));
            all = hop.into_iter().fold(all, Impairments::with_bottleneck);
            all = twice.into_iter().fold(all, Impairments::with_duplicate);
            all = cut.into_iter().fold(all, Impairments::with_truncate);
            all = flip.into_iter().fold(all, Impairments::with_corrupt);
            all = delay.into_iter().fold(all, Impairments::with_delay);
            all = hold.into_iter().fold(all, Impairments::with_reorder);
            dose.into_iter().fold(all, Impairments::with_dose)
        })
        .boxed()
}

fn maybe<S: Strategy>(inner: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(inner)
}

fn losses() -> impl Strategy<Value = LossModel> {
    let chain = |chain: Option<GilbertElliott>| chain.map(LossModel::GilbertElliott);
    prop_oneof![
        Just(LossModel::NONE),
        probabilities().prop_map(LossModel::Bernoulli),
        (probabilities(), bursts())
            .prop_filter_map("bursts too short", |(loss, burst)| { LossModel::bursts(loss, burst).ok() }),
        (probabilities(), probabilities()).prop_filter_map("frozen", move |(loss, correlation)| {
            chain(GilbertElliott::with_correlation(loss, correlation).ok())
        }),
        (probabilities(), probabilities(), probabilities(), probabilities())
            .prop_filter_map("frozen", move |(p, r, good, bad)| chain(GilbertElliott::new(p, r, good, bad).ok())),
        (words32(), words32()).prop_filter_map("empty", |(a, b)| LossModel::exactly(a.min(b), a.max(b)).ok()),
        vec(any::<bool>(), 1..=64).prop_map(|lost| LossModel::pattern(&lost).unwrap()),
    ]
}

fn laws() -> impl Strategy<Value = DelayLaw> {
    prop_oneof![
        times().prop_map(|time| DelayLaw::fixed(time).unwrap()),
        (times(), times()).prop_filter_map("too long", |(a, b)| DelayLaw::uniform(a.max(b), a.min(b)).ok()),
        (times(), times()).prop_map(|(mean, sigma)| DelayLaw::normal(mean, sigma).unwrap()),
        (times(), times()).prop_filter_map("too long", |(least, tail)| DelayLaw::exponential(least, tail).ok()),
        vec(times(), 2..20).prop_map(|table| DelayLaw::measured(&table).unwrap()),
    ]
}

fn delays() -> impl Strategy<Value = DelayModel> {
    (laws(), maybe(probabilities()), any::<bool>()).prop_map(|(law, correlation, unordered)| {
        let plain = DelayModel::new(law);
        let model = correlation.and_then(|it| plain.clone().correlated(it).ok()).unwrap_or(plain);
        if unordered { model.unordered() } else { model }
    })
}

fn bottlenecks() -> impl Strategy<Value = Bottleneck> {
    let queues = prop_oneof![
        words64().prop_map(QueueLimit::Bytes),
        times().prop_map(QueueLimit::Time),
        prop_oneof![Just(65_536), 0..100_u32].prop_map(QueueLimit::Datagrams),
    ]
    .boxed();
    prop_oneof![
        3 => (words64(), queues.clone()).prop_filter_map("infeasible", |(rate, queue)| Bottleneck::new(rate, queue).ok()),
        1 => (traces(), queues).prop_filter_map("infeasible", |(trace, queue)| Bottleneck::traced(trace, queue).ok()),
    ]
}

fn outages() -> impl Strategy<Value = Outage> {
    (times(), times(), maybe(times())).prop_filter_map("infeasible", |(from, lasting, every)| {
        let once = Outage::new(from, lasting).ok()?;
        every.map_or(Some(once), |every| once.every(every).ok())
    })
}

fn duplicates() -> impl Strategy<Value = Duplicate> {
    (probabilities(), maybe(laws())).prop_map(|(probability, law)| {
        law.into_iter().fold(Duplicate::new(probability), |duplicate, law| duplicate.late(law))
    })
}

fn truncates() -> impl Strategy<Value = Truncate> {
    (probabilities(), maybe(any::<u16>()))
        .prop_map(|(probability, to)| to.into_iter().fold(Truncate::new(probability), |truncate, to| truncate.to(to)))
}

fn corrupts() -> impl Strategy<Value = Corrupt> {
    (probabilities(), 1..=8_u8).prop_map(|(probability, bits)| Corrupt::new(probability).bits(bits).unwrap())
}

fn reorders() -> impl Strategy<Value = Reorder> {
    (probabilities(), times()).prop_filter_map("no hold", |(probability, by)| Reorder::new(probability, by).ok())
}

fn mtus() -> impl Strategy<Value = MtuClamp> {
    let oversize = select(&[Oversize::Drop, Oversize::Error, Oversize::Report, Oversize::Truncate][..]);
    (words32(), oversize).prop_map(|(pmtu, oversize)| MtuClamp::new(Pmtu::new(pmtu), oversize))
}

fn headers() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(28)), 1 => words32().prop_map(|bytes| Some(bytes.min(65_535)))]
}

fn traces() -> impl Strategy<Value = RateTrace> {
    vec(words32(), 1..20).prop_filter_map("no time", |mut lines| {
        lines.sort_unstable();
        RateTrace::new(lines).ok()
    })
}

/// Every step of 2⁻⁶³ can come, and the ends often do.
fn probabilities() -> impl Strategy<Value = Probability> {
    let steps = |steps| Probability::ratio(steps, 1 << 63).unwrap();
    prop_oneof![
        select(&[Probability::ZERO, Probability::ONE, Probability::HALF][..]),
        select(&[1, 2, 3, (1 << 63) - 1, (1 << 62) + 1][..]).prop_map(steps),
        (0..=1000_u64).prop_map(|n| Probability::ratio(n, 1000).unwrap()),
        (0..=1_u64 << 63).prop_map(steps),
        (0..=1_u64 << 63, 0..63_u32).prop_map(move |(any, shift)| steps(any >> shift)),
    ]
}

fn bursts() -> impl Strategy<Value = f64> {
    let ends = select(&[1.0, 1.0 + f64::EPSILON, 1e9, 999_999_999.999_999_9, 3.0, 1e7, 1e8, 0.1 + 1.0][..]);
    prop_oneof![ends, 1.0..10.0, (0.0..9.0_f64).prop_map(|exponent| 10_f64.powf(exponent))]
}

fn times() -> impl Strategy<Value = Duration> {
    words64().prop_map(ns)
}

/// Of all magnitudes, round and not.
fn words64() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 63][..]),
        (0..20_u32, 0..10_u64).prop_map(|(zeros, digit)| digit.saturating_mul(10_u64.saturating_pow(zeros))),
        (any::<u64>(), 0..64_u32).prop_map(|(any, shift)| any >> shift),
        (0..5000_u64).prop_map(|n| n * 1_000_000),
    ]
}

fn words32() -> impl Strategy<Value = u32> {
    prop_oneof![
        select(&[0, 1, 28, 1400, u32::MAX][..]),
        (any::<u32>(), 0..32_u32).prop_map(|(any, shift)| any >> shift)
    ]
}

pub(super) fn scripts() -> impl Strategy<Value = Script> {
    let numbers = prop_oneof![1..30_u64, words64().prop_map(|n| n.max(1))];
    btree_map(numbers, rules(), 0..20).prop_map(|all| {
        Script::new(all.into_iter().flat_map(|(n, rules)| rules.into_iter().map(move |rule| (n, rule)))).unwrap()
    })
}

/// All of one datagram.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let times = || prop_oneof![select(vec![ms(0), ms(200), secs(2)]), times()];
    let cuts = vec(maybe(select(&[0, 100, 1400, u16::MAX][..])), 3);
    let flips = vec(vec(prop_oneof![0..16_u32, any::<u32>()], 0..=8), 3);
    prop_oneof![
        3 => Just(vec![Rule::Drop]),
        1 => any::<u16>().prop_map(|limit| vec![Rule::Refuse { limit }]),
        4 => (maybe(times()), vec(times(), 0..=2), cuts, flips).prop_map(|(delay, copies, cuts, flips)| {
            let made = copies.len() + 1;
            let mut rules: Vec<_> = delay.into_iter().map(|by| Rule::Delay { by }).collect();
            rules.extend(copies.into_iter().map(|after| Rule::Duplicate { after }));
            for (copy, (cut, flips)) in (0..).zip(cuts.into_iter().zip(flips)).take(made) {
                rules.extend(cut.map(|to| Rule::Truncate { copy, to }));
                rules.extend(flips.into_iter().map(|bit| Rule::Corrupt { copy, bit }));
            }
            rules
        }),
    ]
}
