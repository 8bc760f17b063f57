//! The figures as text, as JSON and as one sentence.

use serde_json::{Value, json};

use super::rows::DEFAULT;
use super::study::{BEGIN, Extent, Figures, Study};

/// Two tables, what they show, and what their columns mean.
pub(crate) fn text(study: &Study, figures: &[Figures]) -> String {
    let (default, compared): (Vec<_>, Vec<_>) = figures.iter().partition(|row| row.policy == DEFAULT);
    let mut text = format!("{}, --seed {}\n", study.title(), study.seed);
    // Both tables have the same columns.
    let lines: Vec<_> = heads().into_iter().chain(figures.iter().map(|row| cells(study, row))).collect();
    let widths: Vec<_> = (0..HEADS[0].len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    if !compared.is_empty() {
        text.push_str("\nAll wait 200 ms, then twice as long, send 4 times at most and give up after 1 s:\n\n");
        text.push_str(&table(study, &compared, &widths));
    }
    if !default.is_empty() {
        text.push_str("\nRetryPolicy::default() and nothing else: waits of 1 s and more, and a deadline of 30 s:\n\n");
        text.push_str(&table(study, &default, &widths));
    }
    if !compared.is_empty() {
        text.push_str(&format!("\n{}\n", finding(study, &compared)));
    }
    text.push_str(&format!("\n{}", legend(study)));
    text
}

/// One line; rates to four digits and times to the microsecond, so that it is the same on every machine.
pub(crate) fn json(figures: &[Figures]) -> Value {
    let policies: Vec<_> = figures
        .iter()
        .map(|row| {
            json!({
                "policy": row.policy,
                "recovery_s": row.recovery.map(f64::from),
                "amplification_during": rounded(row.amplification_during, 1e4),
                "amplification_after": rounded(row.amplification_after, 1e4),
                "peak_load": rounded(row.peak_load, 1e4),
                "success_30s_after": rounded(row.success_30s_after, 1e4),
                "wasted_work": rounded(row.wasted_work, 1e4),
                "success_at_19_percent_loss": rounded(row.success_at_19_percent_loss, 1e4),
                "spurious_without_loss": rounded(row.spurious_without_loss, 1e4),
                "p50_ms": rounded(row.p50, 1e3),
                "p99_ms": rounded(row.p99, 1e3),
            })
        })
        .collect();
    json!({ "policies": policies })
}

/// What the rows say together.
pub(crate) fn finding(study: &Study, rows: &[&Figures]) -> String {
    let stuck: Vec<_> = rows.iter().filter(|row| row.recovery.is_none()).map(|row| row.policy).collect();
    let after = study.arrivals() - study.end();
    let recovered = rows.iter().filter_map(|row| Some((row.recovery?, row.policy)));
    match (stuck.len(), recovered.max_by_key(|(seconds, _)| *seconds)) {
        (0, Some((0, _))) => "All recover at once.".to_owned(),
        (0, Some((seconds, slowest))) => format!("All recover; the slowest, {slowest}, takes {seconds} s."),
        (_, None) => format!("None recovers within {after} s."),
        (count, Some((seconds, slowest))) => format!(
            "{count} of {} do not recover within {after} s: {}.\n{}",
            rows.len(),
            stuck.join(", "),
            match seconds {
                0 => "The others recover at once.".to_owned(),
                _ => format!("The slowest of the others, {slowest}, takes {seconds} s."),
            }
        ),
    }
}

fn table(study: &Study, rows: &[&Figures], widths: &[usize]) -> String {
    let mut text = String::new();
    for line in heads().into_iter().chain(rows.iter().map(|row| cells(study, row))) {
        let mut row = format!("  {:<1$}", line[0], widths[0]);
        for (cell, width) in line.iter().zip(widths).skip(1) {
            row.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn heads() -> [Vec<String>; 2] {
    HEADS.map(|head| head.map(str::to_owned).to_vec())
}

fn cells(study: &Study, row: &Figures) -> Vec<String> {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    vec![
        row.policy.to_owned(),
        row.recovery.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s")),
        format!("{:.2}", row.amplification_during),
        format!("{:.2}", row.amplification_after),
        format!("{:.2}", row.peak_load),
        percent(row.success_30s_after),
        percent(row.wasted_work),
        percent(row.success_at_19_percent_loss),
        percent(row.spurious_without_loss),
        format!("{:.1} ms", row.p50),
        format!("{:.1} ms", row.p99),
        spark(study, row),
    ]
}

/// The goodput from before the trouble until 30 s after it, in as many spans as fit.
fn spark(study: &Study, row: &Figures) -> String {
    let step = (study.end() + 30 - SPARK_FROM).div_ceil(SPARKS);
    let spans = row.goodput[SPARK_FROM..study.end() + 30].chunks(step);
    let level = |span: &[f64]| {
        let goodput = span.iter().sum::<f64>() / span.len() as f64;
        LEVELS[((goodput * 8.0).round() as usize).min(LEVELS.len() - 1)]
    };
    spans.map(level).collect()
}

fn legend(study: &Study) -> String {
    let (begin, end, after) = (BEGIN, study.end(), study.end() + 30);
    let lossy = study.extent.losses();
    format!(
        "recovery: from the end of the trouble until 5 s in a row answer 95% of what was answered before it
sent: transmissions for each request, in the trouble ({begin} to {end} s) and in the 30 s after it
peak: what reached the server in the worst second, of what it can do
ok after: requests answered of those that began in the 30 s after the trouble; wasted: answers then that nobody took
ok at 19%: requests answered by a calm server if 10% are lost each way ({lossy} s); spurious: sent again without loss
p50, p99: time to the reply in the calm before; goodput: replies that came in time, from {SPARK_FROM} to {after} s
"
    )
}

pub(crate) fn rounded(value: f64, to: f64) -> f64 {
    (value * to).round() / to
}

const HEADS: [[&str; 12]; 2] = [
    ["", "", "sent", "sent", "", "ok", "", "ok", "", "", "", ""],
    ["policy", "recovery", "during", "after", "peak", "after", "wasted", "at 19%", "spurious", "p50", "p99", "goodput"],
];
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_FROM: usize = BEGIN - 5;
/// Characters at most.
const SPARKS: usize = 24;

impl Study {
    /// What happens, in words.
    pub(crate) fn title(&self) -> String {
        let seconds = self.stall.as_secs();
        let trouble = self.cause.phrase();
        let quick = if self.extent == Extent::QUICK { " (quick: one run of each)" } else { "" };
        let (clients, s) = (grouped(self.clients), if self.clients == 1 { "" } else { "s" });
        format!("{trouble} for {seconds} s, {clients} client{s}{quick}")
    }
}

/// With a comma for the thousands.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
