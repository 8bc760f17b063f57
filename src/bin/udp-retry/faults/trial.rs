//! One direction of a bad network on trial: datagrams through a bare link in virtual time, and every setting beside
//! what came of it.

use std::time::Duration;

use udp_retry::fault::{DelayLaw, DropCause, Fate, GilbertElliott, Link, LossModel, Outage, Script, Setting};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Seed};

use super::stages;
use crate::audit::{self, Rate, SIGMAS};
use crate::histogram::{Histogram, quantile};

/// What came of it.
pub(crate) struct Trial {
    /// In the order of the stages.
    pub(crate) rates: Vec<Rate>,
    pub(crate) pictures: Vec<Histogram>,
    /// How many datagrams of how many bytes the rates by chance are of.
    pub(crate) datagrams: u64,
    pub(crate) len: usize,
}

impl Trial {
    /// Chance is judged by datagrams so far apart that none waits for another, and never within an outage; what
    /// depends on load or time is judged stage by stage.
    pub(crate) fn run(spec: &Impairments, seed: Seed, datagrams: u64) -> Self {
        let mut plain = spec.clone().with_script(Script::EMPTY);
        // How long one takes to be sent at a recorded rate depends on when, so that delays would not be told from it.
        if spec.bottleneck().is_some_and(|hop| hop.trace().is_some()) {
            plain = plain.clone().with(Setting::Bottleneck(None)).unwrap_or(plain);
        }
        let apart = Apart::run(&plain, seed, datagrams);
        let mut rates = audit::rates(&plain, apart.link.stats());
        rates.extend(apart.rates(&plain));
        rates.extend(stages::rates(spec, seed, apart.datagrams));
        // Of what never arrives nothing will ever be seen.
        if plain.loss_model().stationary_loss() >= 1.0 {
            rates = rates.into_iter().map(|rate| rate.due(true)).collect();
        }
        rates.sort_by_key(|rate| ORDER.iter().position(|&knob| knob == rate.knob));
        Self { rates, pictures: apart.pictures(&plain), datagrams: apart.datagrams, len: apart.len }
    }

    /// The settings that were not kept.
    pub(crate) fn broken(&self) -> Vec<&'static str> {
        self.rates.iter().filter(|rate| rate.is_broken()).map(|rate| rate.knob).collect()
    }
}

/// What was seen of datagrams that do not meet each other.
struct Apart {
    link: Link,
    datagrams: u64,
    len: usize,
    /// Nanoseconds, ascending.
    delays: Vec<u64>,
    lateness: Vec<u64>,
    /// How many bursts were 1, 2, … long.
    bursts: Vec<u64>,
    /// The sum of the lengths of copies that were cut, and of the bits that flipped.
    cut_lengths: u64,
    flips: u64,
    /// Of the levels of delays next to each other: the products of their distances from the middle, and how many.
    levels: (f64, u64),
}

impl Apart {
    fn run(spec: &Impairments, seed: Seed, datagrams: u64) -> Self {
        let len = stages::length(spec);
        let service = spec.bottleneck().map_or(0, |hop| {
            let bits = (len as u128 + u128::from(spec.headers())) * 8_000_000_000;
            bits.div_ceil(hop.rate().into()) as u64
        });
        let law = spec.delay().map(|model| model.law());
        let range = law.map_or(0, |law| quantile(law, 1.0 - UNSEEN) - quantile(law, UNSEEN));
        let spacing = range.saturating_add(1).max(service.saturating_add(1)).max(LEAST_SPACING);
        let datagrams = datagrams.min(AGES / spacing).max(1);
        let mut seen = Self {
            link: Link::new(spec.clone(), seed),
            datagrams,
            len,
            delays: Vec::with_capacity(datagrams as usize),
            lateness: Vec::new(),
            bursts: Vec::new(),
            cut_lengths: 0,
            flips: 0,
            levels: (0.0, 0),
        };
        let correlated = spec.delay().is_some_and(|model| model.correlation().as_f64() > 0.0);
        let level = |ns| law.filter(|_| correlated).map(|law| middled(law, ns));
        let (mut now, mut burst, mut before) = (0, 0, None);
        let datagram = vec![0; len];
        for _ in 0..datagrams {
            now = up(spec.outages(), now);
            let held = seen.link.stats().held;
            let fate = seen.link.transmit(Timestamp::from_nanos(now), &datagram);
            let mut here = None;
            if let Fate::Delivered(copies) = fate {
                seen.end_of(&mut burst);
                let hold = spec.reorder().filter(|_| seen.link.stats().held > held).map_or(0, |it| ns(it.by()));
                let sent = now.saturating_add(service).saturating_add(hold);
                let first = copies.as_slice().first().map_or(0, |copy| copy.at.as_nanos());
                let delay = first.saturating_sub(sent);
                seen.delays.push(delay);
                here = level(delay);
                if let (Some(here), Some(before)) = (here, before) {
                    seen.levels = (seen.levels.0 + (here - 0.5) * (before - 0.5), seen.levels.1 + 1);
                }
                let late = copies.iter().skip(1).map(|copy| copy.at.as_nanos().saturating_sub(first));
                seen.lateness.extend(late);
                for copy in &copies {
                    seen.cut_lengths += if copy.len < len { copy.len as u64 } else { 0 };
                    seen.flips += copy.flips.as_slice().len() as u64;
                }
            } else if fate == Fate::Dropped(DropCause::Loss) {
                burst += 1;
            }
            before = here;
            now = now.saturating_add(spacing);
        }
        seen.end_of(&mut burst);
        seen.delays.sort_unstable();
        seen.lateness.sort_unstable();
        seen
    }

    fn end_of(&mut self, burst: &mut usize) {
        if *burst > 0 {
            self.bursts.resize(self.bursts.len().max(*burst), 0);
            self.bursts[*burst - 1] += 1;
        }
        *burst = 0;
    }

    /// What the counters of a link do not tell.
    fn rates(&self, spec: &Impairments) -> Vec<Rate> {
        let stats = self.link.stats();
        let mut rates = Vec::new();
        let nothing = DelayLaw::fixed(Duration::ZERO).ok();
        let correlation = spec.delay().map_or(0.0, |model| model.correlation().as_f64());
        let inflation = (1.0 + correlation) / (1.0 - correlation);
        for (knobs, law, sample, inflation) in [
            (["delay", "delay_law"], spec.delay().map(|model| model.law()), &self.delays, inflation),
            (["late", "late_law"], spec.duplicate().and_then(|it| it.lateness()), &self.lateness, 1.0),
        ] {
            if let (Some(law), true) = (law.or(nothing.as_ref()), law.is_some() || sample.iter().any(|&ns| ns > 0)) {
                rates.extend(law_rates(knobs, law, sample, inflation));
            }
        }
        if correlation > 0.0 {
            rates.push(self.correlation(spec, correlation));
        }
        let mean = |sum: u64, of: u64| (of > 0).then(|| sum as f64 / of as f64);
        if let Some(to) = spec.truncate().and_then(|it| it.length()) {
            let of = stats.truncated;
            let due = spec.truncate().is_some_and(|it| audit::must_be_seen(it.probability(), stats));
            rates.push(Rate::new("truncate_to", to.into(), mean(self.cut_lengths, of), 0.0, of).due(due));
        }
        if let Some(corrupt) = spec.corrupt() {
            let of = stats.corrupted;
            let due = audit::must_be_seen(corrupt.probability(), stats);
            rates.push(Rate::new("corrupt_bits", corrupt.bit_count().into(), mean(self.flips, of), 0.0, of).due(due));
        }
        let stray = stats.dropped.total() - stats.dropped.loss;
        if stray > 0 {
            rates.push(Rate::new("stray_drops", 0.0, Some(stray as f64), 0.0, stats.received));
        }
        rates
    }

    /// Of the normal scores of neighbours, by the levels: those of a correlation r have 6/π·asin(r/2).
    fn correlation(&self, spec: &Impairments, asked: f64) -> Rate {
        let (products, of) = self.levels;
        let observed = (of > 0).then(|| 2.0 * (products * 12.0 / of as f64 * std::f64::consts::PI / 6.0).sin());
        let spread = ((1.0 + asked * asked) / (1.0 - asked * asked)).sqrt();
        // Those that would be below zero have no score of their own.
        let clamped = spec.delay().map_or(0.0, |model| model.law().cdf(Duration::ZERO));
        let bound = SIGMAS * 1.05 * spread / (of.max(1) as f64).sqrt() + clamped;
        Rate::new("delay_correlation", asked, observed, bound, of)
    }

    fn pictures(&self, spec: &Impairments) -> Vec<Histogram> {
        let mut pictures = Vec::new();
        if let (Some(model), false) = (spec.delay(), self.delays.is_empty()) {
            pictures.push(Histogram::of_times("Delays", &self.delays, model.law()));
        }
        if let (Some(law), false) = (spec.duplicate().and_then(|it| it.lateness()), self.lateness.is_empty()) {
            pictures.push(Histogram::of_times("Lateness of second copies", &self.lateness, law));
        }
        if !self.bursts.is_empty() {
            let model = spec.loss_model();
            let mean = Some(model.mean_burst()).filter(|mean| is_geometric(model) && mean.is_finite());
            pictures.push(Histogram::of_lengths("Lengths of bursts of losses", &self.bursts, mean));
        }
        pictures
    }
}

fn is_geometric(model: &LossModel) -> bool {
    let simple = |chain: &GilbertElliott| chain.loss_in_good().as_f64() == 0.0 && chain.loss_in_bad().as_f64() == 1.0;
    matches!(model, LossModel::Bernoulli(_)) || matches!(model, LossModel::GilbertElliott(chain) if simple(chain))
}

/// The mean, and the farthest that the sample is from the law anywhere (Dvoretzky, Kiefer, Wolfowitz and Massart).
fn law_rates([mean, distance]: [&'static str; 2], law: &DelayLaw, sorted: &[u64], inflation: f64) -> [Rate; 2] {
    let (of, count) = (sorted.len() as u64, sorted.len().max(1) as f64);
    let sum = sorted.iter().map(|&ns| u128::from(ns)).sum::<u128>();
    let observed = |value: f64| (of > 0).then_some(value);
    // A nanosecond, because every one is rounded. Few draws from a long tail are no normal sum (Bernstein).
    let sigma = law.std_dev().as_secs_f64();
    let bound =
        SIGMAS * sigma * (inflation / count).sqrt() + tail(law) * inflation * SIGMAS * SIGMAS / 2.0 / count + 1e-9;
    let farthest = (inflation * (2.0 / CONFIDENCE).ln() / 2.0 / count).sqrt().min(1.0);
    [
        Rate::new(mean, law.mean().as_secs_f64(), observed(sum as f64 / count / 1e9), bound, of),
        Rate::new(distance, 0.0, observed(distance_from(law, sorted)), farthest, of),
    ]
}

/// How far, in seconds, single draws may be beyond what a normal distribution of the same width has: the scale of an
/// exponential tail, or a third of the distance to the end.
fn tail(law: &DelayLaw) -> f64 {
    let (mean, sigma) = (law.mean().as_secs_f64(), law.std_dev().as_secs_f64());
    let beyond = |by: f64| {
        let up = Duration::try_from_secs_f64(mean + by * sigma).map_or(0.0, |upper| 1.0 - law.cdf(upper));
        let down = Duration::try_from_secs_f64(mean - by * sigma).map_or(0.0, |lower| law.cdf(lower));
        up.max(down)
    };
    let steps = || (1..=80).map(|half| f64::from(half) / 2.0);
    if steps().all(|by| beyond(by) <= (-by * by / 2.0).exp() + UNSEEN) {
        return 0.0;
    }
    if steps().all(|by| beyond(by) <= (1.0 - by).exp() + UNSEEN) {
        return sigma;
    }
    (quantile(law, 1.0 - UNSEEN) as f64 / 1e9 - mean).max(mean - quantile(law, UNSEEN) as f64 / 1e9) / 3.0
}

/// The largest difference between the shares of the sample and of the law up to any time, but for the rounding to
/// nanoseconds.
fn distance_from(law: &DelayLaw, sorted: &[u64]) -> f64 {
    let cdf = |ns: Option<u64>| ns.map_or(0.0, |ns| law.cdf(Duration::from_nanos(ns)));
    let outside = |share: f64, from: f64, to: f64| (from - share).max(share - to);
    let (mut below, mut farthest) = (0, 0.0_f64);
    for equal in sorted.chunk_by(|a, b| a == b) {
        let (ns, upto) = (equal[0], below + equal.len());
        let share = |count: usize| count as f64 / sorted.len() as f64;
        farthest = farthest.max(outside(share(upto), cdf(Some(ns)), cdf(Some(ns.saturating_add(1)))));
        farthest = farthest.max(outside(share(below), cdf(ns.checked_sub(1)), cdf(Some(ns))));
        below = upto;
    }
    farthest
}

/// The level of a time within its law; in the middle of those that all have the same time.
fn middled(law: &DelayLaw, ns: u64) -> f64 {
    let below = ns.checked_sub(1).map_or(0.0, |ns| law.cdf(Duration::from_nanos(ns)));
    (below + law.cdf(Duration::from_nanos(ns))) / 2.0
}

/// This moment, or the first one behind it without an outage; a moment within, if there is none in sight.
fn up(outages: &[Outage], mut now: u64) -> u64 {
    let end = |outage: &Outage, now: u64| {
        let since = now.checked_sub(ns(outage.from()))?;
        let since = outage.period().map_or(since, |every| since % ns(every));
        ns(outage.lasting()).checked_sub(since).filter(|&left| left > 0).map(|left| now.saturating_add(left))
    };
    for _ in 0..MOST_OUTAGES {
        match outages.iter().filter_map(|outage| end(outage, now)).max() {
            Some(end) => now = end,
            None => break,
        }
    }
    now
}

fn ns(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Of delays on either side, so few that no sample has one.
const UNSEEN: f64 = 1e-12;
/// What a sample is farther from its law than the bound: never.
const CONFIDENCE: f64 = 2e-9;
const LEAST_SPACING: u64 = 1_000_000;
/// Half of the time that there is, so that delays have the rest.
const AGES: u64 = u64::MAX / 2;
/// One after the other without a break.
const MOST_OUTAGES: u32 = 1_000;
const ORDER: [&str; 25] = [
    "stray_drops",
    "script",
    "outage_share",
    "outage_time",
    "mtu",
    "rate",
    "queue_time",
    "queue_bytes",
    "queue_datagrams",
    "loss",
    "mean_burst",
    "duplicate",
    "late",
    "late_law",
    "truncate",
    "truncate_to",
    "corrupt",
    "corrupt_bits",
    "delay",
    "delay_law",
    "delay_correlation",
    "overtaking",
    "reorder",
    "reordered",
    "dose",
];
