use std::time::Duration;

use super::rate::{Rate, Verdict};

/// A line for each setting: what was asked for, what was observed, and how far apart chance may take the two. Starts with
/// the end of a line, and has none at its end.
pub(crate) fn table(rates: &[Rate]) -> String {
    let mut rows = vec![["", "asked", "observed", "bound", "of", ""].map(str::to_owned)];
    rows.extend(rates.iter().map(row));
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("\n  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(line.trim_end());
    }
    text
}

fn row(rate: &Rate) -> [String; 6] {
    let Rate { knob, asked, observed, bound, of, .. } = rate;
    let verdict = match (rate.verdict, observed) {
        (Verdict::Kept, _) => "ok",
        (Verdict::Broken, Some(_)) => "NOT AS ASKED",
        (Verdict::Broken, None) => "NOTHING TO SEE",
        (Verdict::NotDue, _) => "not due",
    };
    let observed = observed.map_or_else(|| "none".to_owned(), |observed| value(knob, observed));
    let bound = match () {
        () if rate.observed.is_none() => "-".to_owned(),
        () if *bound == 0.0 => "exact".to_owned(),
        () => format!("± {}", value(knob, *bound)),
    };
    [(*knob).to_owned(), value(knob, *asked), observed, bound, of.to_string(), verdict.to_owned()]
}

/// In the unit that suits it.
fn value(knob: &str, value: f64) -> String {
    match knob {
        "delay" | "late" | "queue_time" | "outage_time" => format!("{:.3?}", Duration::from_secs_f64(value.min(AGES))),
        "rate" => rate(value),
        "mtu" | "queue_bytes" | "truncate_to" => format!("{} B", short(value)),
        "script" | "dose" | "stray_drops" | "mean_burst" | "corrupt_bits" | "queue_datagrams" => short(value),
        "delay_correlation" | "delay_law" | "late_law" => format!("{value:.4}"),
        _ => format!("{}%", short(value * 100.0)),
    }
}

fn rate(bits: f64) -> String {
    let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    let (scale, unit) = units.into_iter().find(|&(scale, _)| bits >= scale).unwrap_or((1.0, "bit/s"));
    format!("{} {unit}", short(bits / scale))
}

/// Three decimals, and more only for what is very small.
fn short(value: f64) -> String {
    let decimals = if value > 0.0 && value < 0.01 { (2.0 - value.log10().floor()).min(12.0) as usize } else { 3 };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds that a duration is shown up to.
const AGES: f64 = 1e15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_shown_of_what_was_observed() {
        let of = |observed, bound, of| Rate::new("loss", 0.3, observed, bound, of);
        let shown = table(&[of(None, 0.0, 0), of(Some(0.3), 0.0, 10), of(Some(0.3), 0.1, 10)]);
        let expected = "
        asked  observed  bound  of
  loss    30%      none      -   0  not due
  loss    30%       30%  exact  10       ok
  loss    30%       30%  ± 10%  10       ok";
        assert_eq!(shown, expected, "{shown}");
    }
}
