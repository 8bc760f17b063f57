//! What a link was told beside what it counted: every rate, and how far from the setting chance may take it.
//!
//! A bound is 6 standard deviations and a few datagrams more, because a small count is not normal: of a billion links
//! that do what they are told, a handful at most exceed it.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::{LinkStats, LossModel, Setting};

/// One setting, and what was seen of it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rate {
    pub(crate) knob: &'static str,
    pub(crate) asked: f64,
    /// `None` if there was nothing that it could have acted on.
    pub(crate) observed: Option<f64>,
    /// How far apart the two may be.
    pub(crate) bound: f64,
    /// How many were looked at.
    pub(crate) of: u64,
    /// Too often for it to have stayed away by chance.
    frequent: bool,
}

impl Rate {
    pub(crate) fn new(knob: &'static str, asked: f64, observed: Option<f64>, bound: f64, of: u64) -> Self {
        Self { knob, asked, observed, bound, of, frequent: false }
    }

    /// How many of those that it was decided for were hit; `slack` of them for other reasons.
    fn share(knob: &'static str, asked: f64, (hit, of): (u64, u64), inflation: f64, slack: f64) -> Self {
        let whole = of as f64;
        let observed = (of > 0).then(|| hit as f64 / whole);
        let bound = if of > 0 { (chance(whole * asked * (1.0 - asked), inflation) + slack) / whole } else { 0.0 };
        let frequent = whole * asked - slack > SURE * inflation.max(1.0);
        Self { frequent, ..Self::new(knob, asked, observed, bound, of) }
    }

    /// Whether it is as asked, as far as can be told.
    pub(crate) fn ok(&self) -> bool {
        let silent = self.frequent && self.observed == Some(0.0);
        // Floats that stand for the same number.
        let bound = self.bound + self.asked.abs() * 1e-12;
        !silent && self.observed.is_some_and(|observed| (observed - self.asked).abs() <= bound)
    }

    pub(crate) fn to_json(&self) -> Value {
        let Self { knob, observed, bound, of, .. } = self;
        // 0.05 as a chain has it is 0.05000000000000001.
        let asked = format!("{:.13e}", self.asked).parse().unwrap_or(self.asked);
        json!({ "knob": knob, "asked": asked, "observed": observed, "bound": bound, "of": of, "ok": self.ok() })
    }
}

/// The rates of a link by its counters: of every setting, and of everything that happened without one.
///
/// Shares are of what reached the stage, `mean_burst` is in datagrams. Supposes that datagrams have some 64 bytes at
/// least and are longer than what they are cut to, and that the link has always been told the same. A setting that
/// changes over time has no rate of its own.
pub(crate) fn rates(asked: &Impairments, stats: &LinkStats) -> Vec<Rate> {
    let passed = stats.delivered - stats.duplicates;
    let scripted = asked.script().rules().len() as f64;
    let truncate = asked.truncate().map(|it| it.probability().as_f64());
    let corrupt = asked.corrupt().map(|it| it.probability().as_f64());
    // What is cut to nothing has no bit to flip.
    let emptied = match asked.truncate().map(|it| it.length()) {
        Some(Some(0)) => 1.0,
        Some(None) => 1.0 / 64.0,
        _ => 0.0,
    };
    let unflippable = stats.delivered as f64 * emptied * truncate.unwrap_or(0.0) * corrupt.unwrap_or(0.0);
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
        ("duplicate", duplicate, stats.duplicates, passed, scripted),
        ("truncate", truncate, stats.truncated, stats.delivered, scripted),
        ("corrupt", corrupt, stats.corrupted, stats.delivered, scripted + unflippable),
        ("reorder", reorder, stats.held, passed, 0.0),
    ]
    .into_iter()
    .zip(changing)
    {
        if (asked.is_some() || hit > 0) && !changes(set) {
            rates.push(Rate::share(knob, asked.unwrap_or(0.0), (hit, of), 1.0, slack));
        }
    }
    rates
}

fn loss(model: &LossModel, stats: &LinkStats) -> Vec<Rate> {
    let (lost, share) = (stats.dropped.loss, model.stationary_loss());
    if lost == 0 && share == 0.0 {
        return Vec::new();
    }
    let elsewhere = stats.dropped.total() - lost;
    let reached = stats.received - elsewhere;
    let variance = share * (1.0 - share);
    // Between whole blocks and patterns nothing is left to chance, unless other stages pick what gets here.
    let inflation = if elsewhere > 0 { model.variance_inflation().max(1.0) } else { model.variance_inflation() };
    let slack = period(model).map_or(0.0, |period| period * variance);
    let mut rates = vec![Rate::share("loss", share, (lost, reached), inflation, slack)];

    let (mean, bursts) = (model.mean_burst(), stats.bursts);
    // A drop elsewhere cuts a burst in two or hides it, and nobody can tell once there are as many as bursts.
    if mean.is_finite() && mean > 0.0 && (elsewhere < bursts || elsewhere == 0) {
        let observed = (bursts > 0).then(|| lost as f64 / bursts as f64);
        let (cut, per) = (elsewhere as f64, bursts.max(1) as f64);
        let slack = observed.map_or(0.0, |observed| observed * (cut / lost as f64 + cut / per));
        let bound = burst_bound(model, mean, lost.max(1) as f64, per, reached as f64) + slack;
        rates.push(Rate::new("mean_burst", mean, observed, bound, bursts));
    }
    rates
}

/// How far the mean length of so many bursts may be from theirs.
fn burst_bound(model: &LossModel, mean: f64, lost: f64, bursts: f64, reached: f64) -> f64 {
    match model {
        LossModel::Pattern(_) => period(model).unwrap_or(0.0) * (1.0 / lost + 1.0 / bursts) * mean,
        LossModel::GilbertElliott(chain)
            if chain.loss_in_good().as_f64() > 0.0 || chain.loss_in_bad().as_f64() < 1.0 =>
        {
            // No law of its own: the quotient of two counts, each as far off as it may be.
            let (inflation, share) = (model.variance_inflation().max(1.0), model.stationary_loss());
            let relative = |share: f64| SIGMAS * (inflation * (1.0 - share) / share / reached).sqrt();
            mean * (relative(share) + relative(share / mean) + SURE * inflation / bursts)
        }
        // Geometric, or narrower.
        _ => {
            let sigma = (mean * (mean - 1.0)).max(0.0).sqrt();
            SIGMAS * sigma / bursts.sqrt() + SURE * (mean - 1.0) / bursts
        }
    }
}

/// After so many datagrams a model has lost exactly its share.
fn period(model: &LossModel) -> Option<f64> {
    match model {
        LossModel::ExactPerBlock(block) => Some(f64::from(block.of())),
        LossModel::Pattern(pattern) => Some(pattern.iter().count() as f64),
        _ => None,
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
/// What is expected so often, and never seen, happens once in a billion: e⁻²¹.
const SURE: f64 = 21.0;
