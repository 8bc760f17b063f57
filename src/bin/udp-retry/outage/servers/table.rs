//! The figures as text and as JSON.

use serde_json::{Value, json};

use super::figures::Figures;
use super::rows::Row;
use super::situations::Group;
use super::{Column, Study};
use crate::outage::table::{grouped, rounded};

/// A table for each group of situations, and what its cells mean.
pub(crate) fn text(study: &Study, rows: &[Row], columns: &[Column]) -> String {
    let quick = if study.is_quick { " (quick)" } else { "" };
    let mut text = format!("Which of three servers to ask{quick}, --seed {}\n", study.seed);
    for group in [Group::Health, Group::Load, Group::Fleet] {
        let columns: Vec<_> = columns.iter().filter(|column| column.situation.group == group).collect();
        if !columns.is_empty() {
            text.push_str(&format!("\n{}\n\n{}", heading(study, group), table(rows, &columns)));
        }
    }
    text.push_str(LEGEND);
    text
}

/// One line; rates to four digits and times to the microsecond, so that it is the same on every machine.
pub(crate) fn json(rows: &[Row], columns: &[Column]) -> Value {
    let cell = |(row, cell): (&Row, &Figures)| {
        json!({
            "policy": row.name,
            "requests": cell.requests,
            "failed": cell.failed,
            "success": rounded(cell.success(), 1e4),
            "p50_ms": rounded(cell.p50, 1e3),
            "p99_ms": rounded(cell.p99, 1e3),
            "transmissions": rounded(cell.transmissions, 1e4),
        })
    };
    let column = |column: &Column| {
        let cells: Vec<_> = rows.iter().zip(&column.cells).map(cell).collect();
        json!({ "situation": column.situation.name, "policies": cells })
    };
    json!({ "situations": columns.iter().map(column).collect::<Vec<_>>() })
}

fn heading(study: &Study, group: Group) -> String {
    match group {
        Group::Health => "One client; servers that answer as many as they are asked:".to_owned(),
        Group::Load => "One client; servers that answer 150 a second together (unequal: 175):".to_owned(),
        Group::Fleet => {
            let (clients, s) = (grouped(study.clients), if study.clients == 1 { "" } else { "s" });
            format!("The same, with {clients} client{s} that know nothing of each other:")
        }
    }
}

fn table(rows: &[Row], columns: &[&Column]) -> String {
    let mut lines = vec![vec![String::new()], vec!["policy".to_owned()]];
    lines.extend(rows.iter().map(|row| vec![row.name.to_owned()]));
    for column in columns {
        lines[0].push(column.situation.name.to_owned());
        // Each part of a cell in line with those above it.
        let heads = ["ok", "p50/p99 ms", "sent"].map(str::to_owned);
        let parts: Vec<_> = std::iter::once(heads).chain(column.cells.iter().map(parts)).collect();
        let width = |part: usize| parts.iter().map(|parts| parts[part].len()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for (line, parts) in lines[1..].iter_mut().zip(&parts) {
            let cell = parts.iter().zip(widths).map(|(part, width)| format!("{part:>width$}")).collect::<Vec<_>>();
            line.push(cell.join("  "));
        }
    }
    aligned(&lines)
}

fn parts(cell: &Figures) -> [String; 3] {
    [percent(cell), format!("{:.0}/{:.0}", cell.p50, cell.p99), format!("{:.2}", cell.transmissions)]
}

/// Downward, so that nothing but all of them is 100 %.
pub(super) fn percent(cell: &Figures) -> String {
    let percent = (cell.success() * 1e4).floor() / 100.0;
    if percent >= 100.0 { "100%".to_owned() } else { format!("{percent:.2}%") }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<_> = cells
            .map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(format!("  {}", cells.join("  | ")).trim_end());
        text.push('\n');
    }
    text
}

const LEGEND: &str = "
ok: requests answered within 5 s; p50/p99: time to their reply; sent: transmissions for each request, probes included
mixed: one dead, one slow (200 ms), one lossy (30% each way); slow-lossy-fine: without the dead one
dies: the first of three dies, and the next 15 s; outage: all are silent for 10 s, and 15 s from its begin
rare: one request in 10 s to three sound servers; rare-dead: to one dead and two sound ones
load-N, fleet-N: the share of what equal servers can do that is asked of them; unequal: 1 : 2 : 4, 80%
";
