//! As much of a schedule as can be shown, and the time axis under it.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::policy::Window;

/// A policy and what it will do.
pub(crate) struct Outlook<'n> {
    pub(crate) name: &'n str,
    pub(crate) source: &'n str,
    pub(crate) policy: RetryPolicy,
    /// All transmissions, or the first of very many.
    pub(crate) sent: Vec<Window>,
    pub(crate) all: bool,
    pub(crate) fails: Option<Window>,
}

impl<'n> Outlook<'n> {
    pub(crate) fn new(name: &'n str, source: &'n str, policy: RetryPolicy) -> Self {
        let mut sent: Vec<_> = policy.schedule().take(MOST + 1).collect();
        let all = sent.len() <= MOST;
        if !all {
            sent.truncate(FIRST);
        }
        Self { name, source, policy, sent, all, fails: policy.schedule().fails() }
    }

    /// How many transmissions there are, whether shown or not.
    pub(crate) fn extent(&self) -> String {
        match (self.all, self.policy.max_transmissions()) {
            (true, _) if self.sent.len() == 1 => "a single transmission".to_owned(),
            (true, _) => format!("up to {} transmissions", self.sent.len()),
            (false, u32::MAX) if self.policy.deadline().is_none() => "transmissions without end".to_owned(),
            (false, most) => format!("up to {most} transmissions"),
        }
    }

    /// What is not shown, in words.
    pub(crate) fn cut(&self) -> Option<String> {
        (!self.all).then(|| format!("only the first {FIRST} are shown of {}", self.extent()))
    }

    /// The failure, if it lies on the axis.
    pub(crate) fn end(&self) -> Option<Window> {
        self.fails.filter(|_| self.all)
    }

    /// Where a moment lies on the axis, from 0 to 1.
    pub(crate) fn position(&self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.span().as_secs_f64()).min(1.0)
    }

    /// Round moments that cut the axis into at most `parts`.
    pub(crate) fn ticks(&self, parts: u128) -> impl Iterator<Item = Duration> {
        let span = self.span().as_nanos();
        let mut steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u128.pow(power)));
        let step = steps.find(|step| step * parts >= span).unwrap_or(span);
        (0..=span / step).map(move |tick| nanos(tick * step))
    }

    /// A policy of one nanosecond still needs an axis.
    fn span(&self) -> Duration {
        let last = self.end().or_else(|| self.sent.last().copied());
        last.map_or(Duration::ZERO, |last| last.latest).max(Duration::from_nanos(1))
    }
}

/// "5.22s to 6.82s", or one of them if they are equal.
pub(crate) fn between(Window { earliest, latest, .. }: Window) -> String {
    if earliest == latest { brief(latest) } else { format!("{} to {}", brief(earliest), brief(latest)) }
}

/// Five significant digits, and the unit that suits them.
pub(crate) fn brief(time: Duration) -> String {
    let ns = time.as_nanos();
    let unit = 10_u128.pow((ns.checked_ilog10().unwrap_or(0) + 1).saturating_sub(DIGITS));
    let rounded = (ns + unit / 2) / unit * unit;
    match rounded / 1_000_000_000 {
        _ if rounded == 0 => "0s".to_owned(),
        seconds if seconds >= LONG => format!("{seconds:e}s"),
        _ => format!("{:?}", nanos(rounded)),
    }
}

fn nanos(ns: u128) -> Duration {
    Duration::from_nanos(ns.try_into().unwrap_or(u64::MAX))
}

/// A schedule with more transmissions than this is cut.
const MOST: usize = 64;
/// What is left of one that is cut.
const FIRST: usize = 16;
const DIGITS: u32 = 5;
/// From so many seconds on powers of ten are easier to read.
const LONG: u128 = 1_000_000;
