//! Impairments of every kind, the absurd ones included.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Dose, Duplicate, GilbertElliott, LossModel, MtuClamp, Outage, Oversize,
    QueueLimit, RateTrace, Reorder, Rule, Script, Setting, Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::{Impairments, Probability};

use prop::option::of;
use prop::sample::select;

pub(crate) fn impairments() -> impl Strategy<Value = Impairments> {
    let later = prop::collection::vec((span(), setting()), 0..6);
    let schedule = prop_oneof![2 => Just(None), 1 => (later, of((span(), span()))).prop_map(Some)];
    (first(), schedule).prop_map(|(path, schedule)| {
        let Some((changes, repeat)) = schedule else { return path };
        // What cannot be is left out: two changes at once, an MTU below the headers, a repetition of nothing.
        let path =
            changes.into_iter().fold(path, |path, (at, setting)| path.clone().with_change(at, setting).unwrap_or(path));
        repeat.and_then(|(from, every)| path.clone().repeating(from, every).ok()).unwrap_or(path)
    })
}

fn first() -> BoxedStrategy<Impairments> {
    let before = (
        of(script()).boxed(),
        prop::collection::vec(outage(), 0..4).boxed(),
        of(mtu()),
        of(bottleneck()).boxed(),
        of(headers()),
    );
    let behind =
        (loss().boxed(), of(duplicate()).boxed(), of(truncate()), of(corrupt()), of(delay()).boxed(), of(reorder()));
    (before, behind, of(dose()))
        .prop_map(|((script, outages, mtu, hop, headers), (loss, duplicate, cut, corrupt, delay, hold), dose)| {
            let mut path = Impairments::NONE.with(Setting::Headers(headers)).unwrap().with_loss(loss);
            for outage in outages {
                path = path.with_outage(outage).unwrap();
            }
            path = script.map_or(path.clone(), |it| path.with_script(it));
            path = mtu.map_or(path.clone(), |it| path.clone().with_mtu(it).unwrap_or(path));
            path = hop.map_or(path.clone(), |it| path.with_bottleneck(it));
            path = duplicate.map_or(path.clone(), |it| path.with_duplicate(it));
            path = cut.map_or(path.clone(), |it| path.with_truncate(it));
            path = corrupt.map_or(path.clone(), |it| path.with_corrupt(it));
            path = delay.map_or(path.clone(), |it| path.with_delay(it));
            path = hold.map_or(path.clone(), |it| path.with_reorder(it));
            dose.map_or(path.clone(), |it| path.with_dose(it))
        })
        .boxed()
}

fn chance() -> impl Strategy<Value = Probability> {
    prop_oneof![
        2 => select(vec![Probability::ZERO, Probability::HALF, Probability::ONE]),
        3 => (0.0..=1.0).prop_map(|p| Probability::new(p).unwrap()),
        1 => (1..100_u64).prop_map(|n| Probability::ratio(n, u64::MAX).unwrap()),
    ]
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => 0..1_000_000_000_u64,
        1 => 0..10_u64,
        1 => any::<u64>(),
        1 => select(vec![0, 1, u64::MAX / 2, u64::MAX]),
    ]
    .prop_map(Duration::from_nanos)
}

fn headers() -> impl Strategy<Value = u32> {
    prop_oneof![4 => select(vec![0, 28, 48]), 1 => 0..=65_535_u32]
}

fn setting() -> BoxedStrategy<Setting> {
    prop_oneof![
        Just(Setting::Nothing),
        script().prop_map(Setting::Script),
        of(headers()).prop_map(Setting::Headers),
        of(mtu()).prop_map(Setting::Mtu),
        of(bottleneck()).prop_map(Setting::Bottleneck),
        loss().prop_map(Setting::Loss),
        of(duplicate()).prop_map(Setting::Duplicate),
        of(truncate()).prop_map(Setting::Truncate),
        of(corrupt()).prop_map(Setting::Corrupt),
        of(delay()).prop_map(Setting::Delay),
        of(reorder()).prop_map(Setting::Reorder),
        of(dose()).prop_map(Setting::Dose),
    ]
    .boxed()
}

/// Dense, sparse, and with gaps of weeks.
pub(crate) fn trace() -> impl Strategy<Value = RateTrace> {
    let gap = prop_oneof![3 => 0..3_u32, 2 => 0..100_u32, 1 => any::<u32>()];
    prop::collection::vec(gap, 1..30).prop_filter_map("no time", |gaps| {
        let lines = gaps.iter().scan(0_u32, |at, gap| {
            *at = at.saturating_add(*gap);
            Some(*at)
        });
        RateTrace::new(lines).ok()
    })
}

fn script() -> impl Strategy<Value = Script> {
    let rule = prop_oneof![
        Just(Rule::Drop),
        any::<u16>().prop_map(|limit| Rule::Refuse { limit }),
        span().prop_map(|by| Rule::Delay { by }),
        span().prop_map(|after| Rule::Duplicate { after }),
        (0..3_u8, any::<u16>()).prop_map(|(copy, to)| Rule::Truncate { copy, to }),
        (0..3_u8, 0..2000_u32).prop_map(|(copy, bit)| Rule::Corrupt { copy, bit }),
    ];
    prop::collection::vec((1..20_u64, rule), 1..12).prop_filter_map("at odds", |rules| Script::new(rules).ok())
}

fn outage() -> impl Strategy<Value = Outage> {
    (span(), span(), of(span())).prop_filter_map("no outage", |(from, lasting, every)| {
        let once = Outage::new(from, lasting).ok()?;
        Some(every.and_then(|every| once.every(every).ok()).unwrap_or(once))
    })
}

fn mtu() -> impl Strategy<Value = MtuClamp> {
    let oversize = select(vec![Oversize::Drop, Oversize::Error, Oversize::Report, Oversize::Truncate]);
    let pmtu = prop_oneof![3 => 0..70_000_u32, 1 => any::<u32>()];
    (pmtu, oversize).prop_map(|(pmtu, oversize)| MtuClamp::new(Pmtu::new(pmtu), oversize))
}

fn bottleneck() -> impl Strategy<Value = Bottleneck> {
    let queue = prop_oneof![
        prop_oneof![0..200_000_u64, any::<u64>()].prop_map(QueueLimit::Bytes),
        span().prop_map(QueueLimit::Time),
        (0..=65_536_u32).prop_map(QueueLimit::Datagrams),
    ]
    .boxed();
    let rate = prop_oneof![1..1000_u64, 1_000..10_000_000_000_u64, any::<u64>().prop_map(|rate| rate.max(1))];
    prop_oneof![
        3 => (rate, queue.clone()).prop_map(|(rate, queue)| Bottleneck::new(rate, queue).unwrap()),
        1 => (trace(), queue).prop_map(|(trace, queue)| Bottleneck::traced(trace, queue).unwrap()),
    ]
}

fn loss() -> impl Strategy<Value = LossModel> {
    prop_oneof![
        chance().prop_map(LossModel::Bernoulli),
        (chance(), chance(), chance(), chance()).prop_filter_map("frozen", |(p, r, k, h)| {
            GilbertElliott::new(p, r, k, h).ok().map(LossModel::GilbertElliott)
        }),
        (chance(), prop_oneof![1.0..10.0, 1.0..1e9])
            .prop_filter_map("too short", |(loss, burst)| { LossModel::bursts(loss, burst).ok() }),
        (chance(), chance()).prop_filter_map("certain", |(loss, correlation)| {
            GilbertElliott::with_correlation(loss, correlation).ok().map(LossModel::GilbertElliott)
        }),
        (any::<u32>(), prop_oneof![1..20_u32, 1..=u32::MAX]).prop_map(|(drops, of)| {
            LossModel::exactly((u64::from(drops) % (u64::from(of) + 1)) as u32, of).unwrap()
        }),
        prop::collection::vec(any::<bool>(), 1..=64).prop_map(|lost| LossModel::pattern(&lost).unwrap()),
    ]
}

pub(crate) fn law() -> impl Strategy<Value = DelayLaw> {
    prop_oneof![
        span().prop_map(DelayLaw::fixed),
        (span(), span()).prop_map(|(a, b)| DelayLaw::uniform(a.max(b), a.min(b))),
        (span(), span()).prop_map(|(mean, sigma)| DelayLaw::normal(mean, sigma)),
        (span(), span()).prop_map(|(least, tail)| DelayLaw::exponential(least, tail)),
        prop::collection::vec(span(), 2..20).prop_map(|table| DelayLaw::measured(&table)),
    ]
    .prop_filter_map("too long", Result::ok)
}

fn delay() -> impl Strategy<Value = DelayModel> {
    (law(), chance(), any::<bool>()).prop_map(|(law, correlation, unordered)| {
        let model = DelayModel::new(law);
        let model = model.clone().correlated(correlation).unwrap_or(model);
        if unordered { model.unordered() } else { model }
    })
}

fn duplicate() -> impl Strategy<Value = Duplicate> {
    (chance(), of(law())).prop_map(|(chance, late)| {
        let duplicate = Duplicate::new(chance);
        late.map_or(duplicate.clone(), |law| duplicate.late(law))
    })
}

fn truncate() -> impl Strategy<Value = Truncate> {
    (chance(), of(any::<u16>()))
        .prop_map(|(chance, to)| to.map_or(Truncate::new(chance), |to| Truncate::new(chance).to(to)))
}

fn corrupt() -> impl Strategy<Value = Corrupt> {
    (chance(), 1..=8_u8).prop_map(|(chance, bits)| Corrupt::new(chance).bits(bits).unwrap())
}

pub(crate) fn dose() -> impl Strategy<Value = Dose> {
    (prop_oneof![3 => 0..8_u32, 1 => any::<u32>()], 1..=64_u32, of(0..5_u32)).prop_map(|(faults, window, drops)| {
        let dose = Dose::at_most(faults, window).unwrap();
        drops.map_or(dose, |drops| dose.drops_in_a_row(drops))
    })
}

fn reorder() -> impl Strategy<Value = Reorder> {
    (chance(), span()).prop_filter_map("no hold", |(chance, by)| Reorder::new(chance, by).ok())
}
