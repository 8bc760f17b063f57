//! What came of many requests: counts, percentiles and a rate, as a few lines with a histogram or as a line of JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use udp_retry::transaction::Strays;

use super::latencies::Latencies;
use super::report::ms;
use crate::terminal::Outcome;

/// Each request that was begun is answered, wrong or failed, once it has ended.
pub(crate) struct Summary {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Answered by something else than what was expected.
    pub(crate) wrong: u64,
    failed: BTreeMap<&'static str, u64>,
    retransmissions: u64,
    strays: [u64; 5],
    latencies: Latencies,
    /// How long after it was due a request was begun at the latest; `None` where none was due at a time.
    pub(crate) behind: Option<Duration>,
    pub(crate) elapsed: Duration,
}

impl Summary {
    pub(crate) fn new() -> Self {
        Self {
            sent: 0,
            answered: 0,
            wrong: 0,
            failed: BTreeMap::new(),
            retransmissions: 0,
            strays: [0; 5],
            latencies: Latencies::new(),
            behind: None,
            elapsed: Duration::ZERO,
        }
    }

    pub(crate) fn on_reply(&mut self, latency: Duration, transmissions: u32, is_wrong: bool) {
        *(if is_wrong { &mut self.wrong } else { &mut self.answered }) += 1;
        self.latencies.add(latency);
        self.retransmissions += u64::from(transmissions.saturating_sub(1));
    }

    pub(crate) fn on_failure(&mut self, kind: &'static str, transmissions: u32) {
        *self.failed.entry(kind).or_default() += 1;
        self.retransmissions += u64::from(transmissions.saturating_sub(1));
    }

    pub(crate) fn on_strays(&mut self, Strays { stale, empty, truncated, envelope, foreign, .. }: Strays) {
        for (count, more) in self.strays.iter_mut().zip([stale, empty, truncated, envelope, foreign]) {
            *count += u64::from(more);
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// That each of this many requests was answered, or what is to be said of those that were not.
    pub(crate) fn outcome(&self, requests: u64, reason: Option<&io::Error>) -> Outcome {
        let (failed, mut wrongs) = (self.failed(), Vec::new());
        match (failed, reason) {
            (0, _) => {}
            (1, Some(reason)) => wrongs.push(reason.to_string()),
            (failed, Some(reason)) => wrongs.push(format!(
                "{failed} of {requests} requests brought no reply; the last one that could not be asked: {reason}"
            )),
            (failed, None) => wrongs.push(format!("{failed} of {requests} requests brought no reply")),
        }
        if self.wrong > 0 {
            wrongs.push(format!("{} of {requests} requests brought a wrong reply", self.wrong));
        }
        if self.sent < requests {
            wrongs.push(format!("ended by a signal after {} of {requests} requests", self.sent));
        }
        if wrongs.is_empty() { Ok(()) } else { Err(wrongs.join("; ").into()) }
    }

    pub(crate) fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json { self.json(out) } else { write!(out, "{self}") }
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let failed =
            self.failed.iter().map(|(kind, count)| format!("\"{kind}\":{count}")).collect::<Vec<_>>().join(",");
        let [stale, empty, truncated, envelope, foreign] = self.strays;
        let [p50, p99, p999] =
            PERCENTILES.map(|(_, share)| self.latencies.per_mille(share).map_or_else(|| "null".to_owned(), ms));
        let behind = self.behind.map_or_else(String::new, |behind| format!(",\"behind_ms\":{}", ms(behind)));
        writeln!(
            out,
            "{{\"sent\":{},\"answered\":{},\"failed\":{{{failed}}},\"wrong\":{},\"retransmissions\":{},\
             \"strays\":{{\"stale\":{stale},\"empty\":{empty},\"truncated\":{truncated},\"envelope\":{envelope},\
             \"foreign\":{foreign}}},\
             \"rate\":{:.1},\"p50_ms\":{p50},\"p99_ms\":{p99},\"p999_ms\":{p999},\"elapsed_s\":{:?}{behind}}}",
            self.sent,
            self.answered,
            self.wrong,
            self.retransmissions,
            self.rate(),
            self.elapsed.as_micros() as f64 / 1e6,
        )
    }

    /// Replies a second, those that were expected.
    fn rate(&self) -> f64 {
        if self.answered == 0 { 0.0 } else { self.answered as f64 / self.elapsed.as_secs_f64().max(1e-9) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, answered, wrong, retransmissions, strays, .. } = self;
        let [stale, empty, truncated, envelope, foreign] = strays;
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "requests         {sent} in {seconds:.3} s, {:.1} answered a second", self.rate())?;
        write!(f, "answered         {answered}, wrong {wrong}, failed {}", self.failed())?;
        for (n, (kind, count)) in self.failed.iter().enumerate() {
            write!(f, "{} {kind} {count}", if n == 0 { ":" } else { "," })?;
        }
        writeln!(f, "\nretransmissions  {retransmissions}")?;
        write!(f, "strays           stale {stale}, empty {empty}, truncated {truncated}, ")?;
        writeln!(f, "wrong envelope {envelope}, foreign {foreign}")?;
        if let Some(behind) = self.behind {
            writeln!(f, "behind           {} ms at most", ms(behind))?;
        }
        let Some(histogram) = self.latencies.histogram() else { return Ok(()) };
        write!(f, "latency")?;
        for (n, (name, share)) in PERCENTILES.into_iter().enumerate() {
            let latency = self.latencies.per_mille(share).unwrap_or_default();
            write!(f, "{} {name} {} ms", if n == 0 { "         " } else { "," }, ms(latency))?;
        }
        writeln!(f, ", longest {} ms\n\n{histogram}", ms(self.latencies.longest()))
    }
}

/// One line of a terminal once a second, if anybody looks.
pub(crate) struct Progress {
    /// `None`: nobody does.
    next: Option<Instant>,
    was_shown: bool,
}

impl Progress {
    pub(crate) fn new(is_wanted: bool) -> Self {
        let next = (is_wanted && io::stderr().is_terminal()).then(|| Instant::now() + SECOND);
        Self { next, was_shown: false }
    }

    pub(crate) fn show(&mut self, summary: &Summary, requests: u64) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now >= next {
            let Summary { sent, answered, wrong, .. } = summary;
            let failed = summary.failed();
            let line =
                format!("\r{sent} of {requests} sent, {answered} answered, {wrong} wrong, {failed} failed\x1b[K");
            // A terminal that is gone is no reason to end.
            let _ = io::stderr().write_all(line.as_bytes());
            (self.next, self.was_shown) = (Some(now + SECOND), true);
        }
    }

    pub(crate) fn clear(&self) {
        if self.was_shown {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

const PERCENTILES: [(&str, u64); 3] = [("50 %", 500), ("99 %", 990), ("99.9 %", 999)];
const SECOND: Duration = Duration::from_secs(1);
