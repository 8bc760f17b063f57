//! Success against utilisation as SVG: which way to choose collapses below what the servers can do.

use std::fmt;

use super::rows::{BANDED, Row};
use super::situations::Group;
use super::table::percent;
use super::{Column, Study};
use crate::outage::table::grouped;
use crate::svg::{head, line, paper, text};

/// Legible 700 pixels wide, by day and by night.
pub(crate) struct Picture {
    whose: String,
    /// Utilisations, from the left.
    marks: Vec<f64>,
    curves: Vec<Curve>,
}

struct Curve {
    name: &'static str,
    /// Success at each mark, and what it is in words at the first.
    shares: Vec<f64>,
    first: String,
}

impl Picture {
    /// Of one client; of a fleet where nothing else was run.
    pub(crate) fn new(study: &Study, rows: &[Row], columns: &[Column]) -> Self {
        let of = |group| {
            let columns = columns.iter().filter(move |column| column.situation.group == group);
            columns.filter(|column| column.situation.utilisation.is_some()).collect::<Vec<_>>()
        };
        let (single, fleet) = (of(Group::Load), of(Group::Fleet));
        let is_fleet = single.is_empty() && !fleet.is_empty();
        let columns = if is_fleet { fleet } else { single };
        let curve = |(n, row): (usize, &Row)| Curve {
            name: row.name,
            shares: columns.iter().map(|column| column.cells[n].success()).collect(),
            first: columns.first().map(|column| percent(&column.cells[n])).unwrap_or_default(),
        };
        Self {
            whose: if is_fleet { format!("{} clients", grouped(study.clients)) } else { "one client".to_owned() },
            marks: columns.iter().filter_map(|column| column.situation.utilisation).collect(),
            curves: rows.iter().enumerate().map(curve).collect(),
        }
    }

    /// What is to be seen at a glance.
    fn point(&self) -> String {
        let Some(mark) = self.marks.first() else { return "No load was simulated".to_owned() };
        let at = format!("at {:.0}% of what the servers can do", mark * 100.0);
        let lost: Vec<_> = self.curves.iter().filter(|curve| curve.shares[0] < 0.9).map(|curve| curve.name).collect();
        match lost.is_empty() {
            true => format!("All answer nine in ten {at}"),
            false => format!("{} collapse{} {at}", listed(&lost), if lost.len() == 1 { "s" } else { "" }),
        }
    }

    fn axes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for quarter in 0..=4 {
            let y = y(f64::from(quarter) / 4.0);
            line(f, "servers-grid", (LEFT, y), (RIGHT, y))?;
            text(f, "servers-share", LEFT - 8.0, y + 4.0, &format!("{}%", quarter * 25))?;
        }
        for &mark in &self.marks {
            let x = self.x(mark);
            line(f, "servers-grid", (x, TOP), (x, BOTTOM))?;
            text(f, "servers-tick", x, BOTTOM + 17.0, &format!("{:.0}%", mark * 100.0))?;
        }
        text(f, "servers-tick", (LEFT + RIGHT) / 2.0, BOTTOM + 38.0, "asked for, of what the servers can do together")
    }

    fn curve(&self, f: &mut fmt::Formatter<'_>, n: usize, curve: &Curve) -> fmt::Result {
        let at = self.marks.iter().zip(&curve.shares).map(|(&mark, &share)| (self.x(mark), y(share)));
        let points: Vec<_> = at.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let own = if curve.name == BANDED { " servers-own" } else { "" };
        writeln!(f, "<polyline class=\"servers-curve{own} servers-stroke-{n}\" points=\"{}\"/>", points.join(" "))?;
        for (x, y) in at {
            writeln!(f, "<circle class=\"servers-fill-{n}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>")?;
        }
        Ok(())
    }

    /// At the right end, each as near to its curve as the others leave space.
    fn labels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ends: Vec<_> = self.curves.iter().enumerate().collect();
        let last = |curve: &Curve| curve.shares.last().copied().unwrap_or(0.0);
        ends.sort_by(|(_, one), (_, other)| last(other).total_cmp(&last(one)));
        let mut places: Vec<_> = ends.iter().map(|(_, curve)| y(last(curve))).collect();
        for n in 1..places.len() {
            places[n] = places[n].max(places[n - 1] + LABEL);
        }
        let mut lowest = BOTTOM;
        for place in places.iter_mut().rev() {
            *place = place.min(lowest);
            lowest = *place - LABEL;
        }
        for ((n, curve), place) in ends.into_iter().zip(places) {
            line(
                f,
                &format!("servers-leader servers-stroke-{n}"),
                (RIGHT + 4.0, y(last(curve))),
                (LABELS - 4.0, place),
            )?;
            text(f, &format!("servers-label servers-fill-{n}"), LABELS, place + 4.0, curve.name)?;
        }
        Ok(())
    }

    fn x(&self, mark: f64) -> f64 {
        let (first, last) = (self.marks.first().copied().unwrap_or(0.0), self.marks.last().copied().unwrap_or(1.0));
        if last > first {
            LEFT + INSET + (mark - first) / (last - first) * (RIGHT - LEFT - 2.0 * INSET)
        } else {
            LEFT + INSET
        }
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, "servers", WIDTH, HEIGHT, "servers-title servers-desc")?;
        writeln!(f, "<title id=\"servers-title\">Which of three servers to ask: {}</title>", self.point())?;
        let told: Vec<_> = self.curves.iter().map(|curve| format!("{}: {}", curve.name, curve.first)).collect();
        writeln!(f, "<desc id=\"servers-desc\">Requests answered, at the lowest load. {}.</desc>", told.join("; "))?;
        paper(f, "servers", WIDTH, HEIGHT, STYLE)?;
        text(f, "servers-name", MARGIN, 30.0, &self.point())?;
        let note = format!("Three equal servers, {}; requests answered, of those that began", self.whose);
        text(f, "servers-note", MARGIN, 50.0, &note)?;
        if !self.marks.is_empty() {
            self.axes(f)?;
            for (n, curve) in self.curves.iter().enumerate() {
                self.curve(f, n, curve)?;
            }
            // Behind all curves, so that none crosses a label.
            self.labels(f)?;
        }
        writeln!(f, "</svg>")
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

fn y(share: f64) -> f64 {
    BOTTOM - share * (BOTTOM - TOP)
}

const STYLE: &str = "
.servers-picture { color: #1f2328; font: 12px system-ui, -apple-system, 'DejaVu Sans', sans-serif; }
.servers-paper { fill: #fbfcfd; }
.servers-picture text { fill: currentColor; }
.servers-name { font-size: 17px; font-weight: 600; }
.servers-note { opacity: 0.8; }
.servers-tick { text-anchor: middle; }
.servers-share { text-anchor: end; }
.servers-grid { stroke: currentColor; stroke-opacity: 0.15; }
.servers-curve { fill: none; stroke-width: 2px; stroke-linejoin: round; }
.servers-own { stroke-width: 4px; }
.servers-leader { stroke-dasharray: 3 3; }
.servers-picture .servers-label { font-size: 13px; font-weight: 600; }
.servers-stroke-0 { stroke: #6e7781; }
.servers-stroke-1 { stroke: #1a7f37; }
.servers-stroke-2 { stroke: #cf222e; }
.servers-stroke-3 { stroke: #bc4c00; }
.servers-stroke-4 { stroke: #8250df; }
.servers-stroke-5 { stroke: #0969da; }
.servers-stroke-6 { stroke: #1b7c83; }
.servers-picture .servers-fill-0 { fill: #6e7781; }
.servers-picture .servers-fill-1 { fill: #1a7f37; }
.servers-picture .servers-fill-2 { fill: #cf222e; }
.servers-picture .servers-fill-3 { fill: #bc4c00; }
.servers-picture .servers-fill-4 { fill: #8250df; }
.servers-picture .servers-fill-5 { fill: #0969da; }
.servers-picture .servers-fill-6 { fill: #1b7c83; }
@media (prefers-color-scheme: dark) {
.servers-picture { color: #e6edf3; }
.servers-paper { fill: #0d1117; }
.servers-stroke-0 { stroke: #8b949e; }
.servers-stroke-1 { stroke: #3fb950; }
.servers-stroke-2 { stroke: #ff7b72; }
.servers-stroke-3 { stroke: #ffa657; }
.servers-stroke-4 { stroke: #d2a8ff; }
.servers-stroke-5 { stroke: #58a6ff; }
.servers-stroke-6 { stroke: #56d4dd; }
.servers-picture .servers-fill-0 { fill: #8b949e; }
.servers-picture .servers-fill-1 { fill: #3fb950; }
.servers-picture .servers-fill-2 { fill: #ff7b72; }
.servers-picture .servers-fill-3 { fill: #ffa657; }
.servers-picture .servers-fill-4 { fill: #d2a8ff; }
.servers-picture .servers-fill-5 { fill: #58a6ff; }
.servers-picture .servers-fill-6 { fill: #56d4dd; }
}
";

const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 374.0;
const MARGIN: f64 = 20.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 550.0;
/// From the ends of the axis to the first and the last mark.
const INSET: f64 = 12.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 320.0;
/// Where the labels begin, and from one to the next.
const LABELS: f64 = 580.0;
const LABEL: f64 = 20.0;
