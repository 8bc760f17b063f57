use serde_json::{Value, json};

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
    pub(crate) verdict: Verdict,
}

/// Whether a setting was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// As far as can be told.
    Kept,
    /// Chance does not do that.
    Broken,
    /// Nothing was seen, and nothing had to be.
    NotDue,
}

impl Rate {
    /// Kept if what was observed is as near as the bound says.
    pub(crate) fn new(knob: &'static str, asked: f64, observed: Option<f64>, bound: f64, of: u64) -> Self {
        // Floats that stand for the same number.
        let reach = bound + asked.abs() * 1e-12;
        let kept = observed.map(|observed| (observed - asked).abs() <= reach);
        Self { knob, asked, observed, bound, of, verdict: kept.map_or(Verdict::NotDue, Verdict::of) }
    }

    /// By what is known better than by one bound for both sides.
    pub(crate) fn judged(self, kept: bool) -> Self {
        let verdict = if self.observed.is_some() { Verdict::of(kept) } else { self.verdict };
        Self { verdict, ..self }
    }

    /// Something had to be seen of it, if that is so.
    pub(crate) fn due(self, due: bool) -> Self {
        let verdict = if due && self.observed.is_none() { Verdict::Broken } else { self.verdict };
        Self { verdict, ..self }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.verdict == Verdict::Broken
    }

    /// `ok` is null where nothing had to be seen.
    pub(crate) fn to_json(&self) -> Value {
        let Self { knob, observed, bound, of, verdict, .. } = self;
        // 0.05 as a chain has it is 0.05000000000000001.
        let asked = format!("{:.13e}", self.asked).parse().unwrap_or(self.asked);
        let ok = match verdict {
            Verdict::Kept => Some(true),
            Verdict::Broken => Some(false),
            Verdict::NotDue => None,
        };
        json!({ "knob": knob, "asked": asked, "observed": observed, "bound": bound, "of": of, "ok": ok })
    }
}

impl Verdict {
    fn of(kept: bool) -> Self {
        if kept { Self::Kept } else { Self::Broken }
    }
}
