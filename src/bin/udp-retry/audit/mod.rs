//! What a link was told beside what it counted: every rate, and how far from the setting chance may take it.
//!
//! A setting is called broken only if chance alone does that in one of a billion links: by the exact law of each count,
//! whether millions were expected or half a one. What was not seen is judged only if it had to be seen.

mod binomial;
mod chain;
mod rate;
#[cfg(test)]
mod sampled;
mod table;
#[cfg(test)]
mod tests;

use udp_retry::fault::{LinkStats, LossModel, Setting};
use udp_retry::{Impairments, Probability};

use self::chain::{Carried, Chain};
pub(crate) use self::rate::Rate;
pub(crate) use self::table::table;

/// The rates of a link by its counters: of every setting, and of everything that happened without one.
///
/// Shares are of what reached the stage, `mean_burst` is in datagrams. Supposes that datagrams have some 64 bytes at
/// least and are longer than what they are cut to, and that the link has always been told the same. A setting that
/// changes over time has no rate of its own.
pub(crate) fn rates(asked: &Impairments, stats: &LinkStats) -> Vec<Rate> {
    // What found no capacity was dealt its fate as all others.
    let copies = stats.delivered + stats.dropped.capacity;
    let passed = copies - stats.duplicates;
    // Any of these may have been spared by the dose, or hit by the script, each copy by itself.
    let beside = (stats.spared + 3 * stats.scripted) as f64;
    let truncate = asked.truncate().map(|it| it.probability().as_f64());
    let corrupt = asked.corrupt().map(|it| it.probability().as_f64());
    // What is cut to nothing has no bit to flip.
    let emptied = match asked.truncate().map(|it| it.length()) {
        Some(Some(0)) => 1.0,
        Some(None) => 1.0 / 64.0,
        _ => 0.0,
    };
    let unflippable = copies as f64 * emptied * truncate.unwrap_or(0.0) * corrupt.unwrap_or(0.0);
    let duplicate = asked.duplicate().map(|it| it.probability().as_f64());
    let reorder = asked.reorder().map(|it| it.probability().as_f64());

    // What a setting that changed has done all in all says nothing of any of its values.
    let changes =
        |setting: fn(&Setting) -> bool| asked.changes().any(|(_, it)| matches!(it, Setting::Nothing) || setting(it));
    let mut rates = match changes(|it| matches!(it, Setting::Loss(_))) {
        false => loss(asked.loss_model(), stats),
        true => Vec::new(),
    };
    let changing: [fn(&Setting) -> bool; 4] = [
        |it| matches!(it, Setting::Duplicate(_) | Setting::Script(_)),
        |it| matches!(it, Setting::Truncate(_) | Setting::Script(_)),
        |it| matches!(it, Setting::Corrupt(_) | Setting::Truncate(_) | Setting::Script(_)),
        |it| matches!(it, Setting::Reorder(_)),
    ];
    for ((knob, asked, hit, of, slack), set) in [
        ("duplicate", duplicate, stats.duplicates, passed, beside),
        ("truncate", truncate, stats.truncated, copies, beside),
        ("corrupt", corrupt, stats.corrupted, copies, beside + unflippable),
        ("reorder", reorder, stats.held, passed, 0.0),
    ]
    .into_iter()
    .zip(changing)
    {
        if (asked.is_some() || hit > 0) && !changes(set) {
            rates.push(share(knob, asked.unwrap_or(0.0), (hit, of), slack));
        }
    }
    if stats.dropped.capacity > 0 {
        let observed = stats.dropped.capacity as f64 / copies as f64;
        rates.push(Rate::new("capacity", 0.0, Some(observed), 0.0, copies));
    }
    rates
}

/// The stages that are set and that no datagram has met: as far as these go, nothing has been tried.
pub(crate) fn unmet(asked: &Impairments, stats: &LinkStats) -> Vec<&'static str> {
    let dropped = &stats.dropped;
    let stages = [
        ("script", !asked.script().rules().is_empty(), stats.scripted),
        ("outage", !asked.outages().is_empty(), dropped.outage),
        ("mtu", asked.mtu().is_some(), dropped.mtu + stats.clamped),
        ("rate", asked.bottleneck().is_some(), stats.received - dropped.script - dropped.outage - dropped.mtu),
        ("loss", *asked.loss_model() != LossModel::NONE, dropped.loss),
        ("duplicate", asked.duplicate().is_some(), stats.duplicates),
        ("truncate", asked.truncate().is_some(), stats.truncated),
        ("corrupt", asked.corrupt().is_some(), stats.corrupted),
        ("delay", asked.delay().is_some(), stats.delivered + dropped.capacity),
        ("reorder", asked.reorder().is_some(), stats.held),
        ("dose", asked.dose().is_some(), stats.spared),
    ];
    stages.into_iter().filter(|&(_, set, met)| set && met == 0).map(|(stage, ..)| stage).collect()
}

/// How many of those that it was decided for were hit, each by itself; `slack` of them for other reasons.
pub(crate) fn share(knob: &'static str, asked: f64, (hit, of): (u64, u64), slack: f64) -> Rate {
    let (least, most) = binomial::reach(of, asked);
    within(knob, asked, (hit, of), (least as f64, most as f64), slack)
}

/// Whether this happens to some of the datagrams that came through, as far as chance goes.
pub(crate) fn must_be_seen(probability: Probability, stats: &LinkStats) -> bool {
    binomial::reach(stats.delivered, probability.as_f64()).0 > stats.spared
}

fn within(knob: &'static str, asked: f64, (hit, of): (u64, u64), (least, most): (f64, f64), slack: f64) -> Rate {
    let (whole, hits, mean) = (of.max(1) as f64, hit as f64, of as f64 * asked);
    let (least, most) = (least - slack, most + slack);
    let bound = (most - mean).max(mean - least).max(0.0) / whole;
    // A float that stands for a whole number is not always one.
    let step = 1e-9 * mean.max(1.0);
    let observed = (of > 0).then(|| hits / whole);
    Rate::new(knob, asked, observed, bound, of).judged(least - step <= hits && hits <= most + step)
}

fn loss(model: &LossModel, stats: &LinkStats) -> Vec<Rate> {
    let (lost, asked) = (stats.dropped.loss, model.stationary_loss());
    if lost == 0 && asked == 0.0 {
        return Vec::new();
    }
    let taken = stats.dropped.total() - lost - stats.dropped.capacity;
    let reached = stats.received - taken;
    // Any of these may have been a loss.
    let (spared, links) = (stats.spared, stats.links.max(1));
    let carried = Carried { datagrams: reached, links, picked: taken > 0 || links > 1 };
    let range = match model {
        LossModel::Bernoulli(_) => {
            let (least, most) = binomial::reach(reached, asked);
            (least as f64, most as f64)
        }
        _ => deviation(model, stats, taken).unwrap_or_else(|| match Chain::of(model) {
            Some(chain) => chain.reach(carried, 1.0, 0.0),
            None => (0.0, reached as f64),
        }),
    };
    let rate = within("loss", asked, (lost, reached), range, spared as f64);
    let (mut rates, must_be) = (vec![rate], range.0 > spared as f64);

    let (mean, bursts, elsewhere) = (model.mean_burst(), stats.bursts, taken + spared);
    // A drop elsewhere cuts a burst in two or hides it, and nobody can tell once there are as many as bursts.
    if mean.is_finite() && mean > 0.0 && (elsewhere < bursts || elsewhere == 0) {
        rates.push(match bursts {
            0 => Rate::new("mean_burst", mean, None, 0.0, 0).due(must_be),
            _ => mean_burst(model, (lost, bursts), carried, elsewhere),
        });
    }
    rates
}

/// By what is left of the losses once each burst has taken its mean: unlike the quotient, that is a sum.
fn mean_burst(model: &LossModel, (lost, bursts): (u64, u64), carried: Carried, elsewhere: u64) -> Rate {
    let (mean, count) = (model.mean_burst(), bursts as f64);
    let rest = lost as f64 - mean * count;
    let (least, most) = match Chain::of(model) {
        Some(chain) => chain.reach(carried, 1.0, -mean),
        None => {
            let edge = period(model) * (1.0 + mean) * carried.links as f64;
            (-edge, edge)
        }
    };
    // Each that was taken elsewhere may hide a loss, or begin a burst. And floats are not whole numbers.
    let slack = elsewhere as f64 * (mean + 1.0) + 1e-9 * count;
    let (least, most) = (least - slack, most + slack);
    let bound = most.max(-least).max(0.0) / count;
    let rate = Rate::new("mean_burst", mean, Some(lost as f64 / count), bound, bursts);
    // Where there are far fewer bursts than expected, their lengths alone say more than their sum.
    let may_end = Chain::of(model).is_none_or(|chain| chain.may_end(lost, bursts, elsewhere + carried.links));
    rate.judged(least <= rest && rest <= most && may_end)
}

/// The least and the most losses of a model that has lost exactly its share after each period.
fn deviation(model: &LossModel, stats: &LinkStats, taken: u64) -> Option<(f64, f64)> {
    let (share, links) = (model.stationary_loss(), stats.links.max(1) as f64);
    let reached = (stats.received - taken) as f64;
    let begun = links * period(model) * share * (1.0 - share);
    match model {
        // A pattern has no chance in it: all that others took may have been losses, or none.
        LossModel::Pattern(_) => {
            let taken = taken as f64;
            Some((reached * share - begun - taken * (1.0 - share), reached * share + begun + taken * share))
        }
        LossModel::ExactPerBlock(_) => {
            // Those of a block vary less than if each were by itself; and between whole blocks not at all, unless others
            // have taken some.
            let (least, most) = binomial::reach(stats.received - taken, share);
            let begun = if taken == 0 { begun } else { f64::INFINITY };
            Some(((least as f64).max(reached * share - begun), (most as f64).min(reached * share + begun)))
        }
        _ => None,
    }
}

/// After this many datagrams a model has lost exactly its share.
fn period(model: &LossModel) -> f64 {
    match model {
        LossModel::ExactPerBlock(block) => f64::from(block.of()),
        LossModel::Pattern(pattern) => pattern.iter().count() as f64,
        _ => 0.0,
    }
}

/// How far chance takes a count of this variance; `inflation` of it because hits come together.
pub(crate) fn chance(variance: f64, inflation: f64) -> f64 {
    match (variance, inflation) {
        (0.0, _) | (_, 0.0) => 0.0,
        _ => SIGMAS * (variance * inflation).sqrt() + SIGMAS * inflation.max(1.0),
    }
}

/// Exceeded by 2 of a billion.
pub(crate) const SIGMAS: f64 = 6.0;
