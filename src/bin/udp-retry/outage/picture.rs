//! The goodput of the telling rows drawn as SVG: who comes back after the trouble, and when.

use std::fmt;

use super::study::{BEGIN, Figures, Study};
use crate::svg::{head, line, paper, text};

/// Legible 700 pixels wide, by day and by night.
pub(crate) struct Picture<'f> {
    study: &'f Study,
    shown: Vec<&'f Figures>,
}

impl<'f> Picture<'f> {
    /// The telling ones of these rows, or the first ones.
    pub(crate) fn new(study: &'f Study, figures: &'f [Figures]) -> Self {
        let find = |name| figures.iter().find(|row| row.policy == name);
        let mut shown: Vec<_> = TELLING.into_iter().filter_map(find).collect();
        if shown.is_empty() {
            shown = figures.iter().take(TELLING.len()).collect();
        }
        Self { study, shown }
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.bottom() + 54.0;
        head(f, "outage", WIDTH, height, "outage-title outage-desc")?;
        let title = format!("{}: {}", self.study.title(), self.point());
        writeln!(f, "<title id=\"outage-title\">{title}</title>")?;
        let told: Vec<_> = self.shown.iter().map(|row| self.told(row)).collect();
        writeln!(f, "<desc id=\"outage-desc\">Requests answered over time. {}.</desc>", told.join("; "))?;
        paper(f, "outage", WIDTH, height, STYLE)?;
        text(f, "outage-name", MARGIN, 30.0, &self.point())?;
        text(
            f,
            "outage-note",
            MARGIN,
            50.0,
            &format!("{}; requests answered, of those that began", self.study.title()),
        )?;
        self.axes(f)?;
        for (n, row) in self.shown.iter().enumerate() {
            self.curve(f, n, row)?;
        }
        // Behind all curves, so that none crosses a label.
        self.labels(f)?;
        writeln!(f, "</svg>")
    }
}

impl Picture<'_> {
    /// What is to be seen at a glance.
    fn point(&self) -> String {
        let stuck: Vec<_> = self.shown.iter().filter(|row| row.recovery.is_none()).map(|row| row.policy).collect();
        let quickest = self.shown.iter().filter_map(|row| Some((row.recovery?, row.policy))).min();
        match (stuck.is_empty(), quickest) {
            (true, _) => "Every one comes back".to_owned(),
            (false, None) => "None comes back".to_owned(),
            (false, Some((seconds, quickest))) => {
                format!("{quickest} is back after {seconds} s, {} stays down", stuck.join(" and "))
            }
        }
    }

    fn told(&self, row: &Figures) -> String {
        match row.recovery {
            Some(seconds) => format!("{}: back after {seconds} s", row.policy),
            None => format!("{}: not back within {} s", row.policy, self.study.arrivals() - self.study.end()),
        }
    }

    fn axes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (top, bottom) = (self.top(), self.bottom());
        let (from, to) = (self.x(BEGIN as f64), self.x(self.study.end() as f64));
        writeln!(
            f,
            "<rect class=\"outage-trouble\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{HEIGHT:.1}\"/>",
            to - from
        )?;
        text(f, "outage-tick", (from + to) / 2.0, top + 16.0, self.study.cause.word())?;
        for quarter in 0..=(self.highest() * 4.0) as u32 {
            let share = f64::from(quarter) / 4.0;
            line(f, "outage-grid", (LEFT, self.y(share)), (RIGHT, self.y(share)))?;
            text(f, "outage-share", LEFT - 8.0, self.y(share) + 4.0, &format!("{}%", quarter * 25))?;
        }
        for second in (0..=self.study.arrivals()).step_by(10) {
            let x = self.x(second as f64);
            line(f, "outage-grid", (x, top), (x, bottom))?;
            text(f, "outage-tick", x, bottom + 17.0, &second.to_string())?;
        }
        text(f, "outage-tick", (LEFT + RIGHT) / 2.0, bottom + 38.0, "seconds")
    }

    fn curve(&self, f: &mut fmt::Formatter<'_>, n: usize, row: &Figures) -> fmt::Result {
        // Each second in its middle.
        let points = row.goodput.iter().zip(0..).map(|(&share, second)| {
            let (x, y) = (self.x(f64::from(second) + 0.5), self.y(share));
            format!("{x:.1},{y:.1}")
        });
        let points: Vec<_> = points.collect();
        writeln!(f, "<polyline class=\"outage-curve outage-stroke-{n}\" points=\"{}\"/>", points.join(" "))
    }

    /// Over the curves and in their order, with a line down to where each is back; or at the end of the curve.
    fn labels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut back: Vec<_> = self.shown.iter().enumerate().filter_map(|(n, row)| Some((row.recovery?, n))).collect();
        back.sort_unstable();
        for (level, &(recovery, n)) in back.iter().rev().enumerate() {
            let second = self.study.end() + recovery as usize;
            let share = self.shown[n].goodput.get(second).copied().unwrap_or(0.0);
            let (x, y) = (self.x(second as f64 + 0.5), self.top() - 10.0 - level as f64 * LABEL);
            line(f, &format!("outage-leader outage-stroke-{n}"), (x, y + 5.0), (x, self.y(share)))?;
            writeln!(f, "<circle class=\"outage-fill-{n}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4.5\"/>", self.y(share))?;
            text(f, &format!("outage-label outage-fill-{n}"), x - 4.0, y, &self.told(self.shown[n]))?;
        }
        for (level, n) in (0..self.shown.len()).filter(|&n| self.shown[n].recovery.is_none()).enumerate() {
            let y = self.y(0.0) - 10.0 - level as f64 * LABEL;
            let class = format!("outage-label outage-last outage-fill-{n}");
            text(f, &class, RIGHT - 6.0, y, &self.told(self.shown[n]))?;
        }
        Ok(())
    }

    /// Of the axis: whole quarters.
    fn highest(&self) -> f64 {
        let shares = self.shown.iter().flat_map(|row| &row.goodput);
        (shares.fold(1.0, |highest: f64, &share| highest.max(share)) * 4.0).ceil() / 4.0
    }

    fn x(&self, second: f64) -> f64 {
        LEFT + second / self.study.arrivals() as f64 * (RIGHT - LEFT)
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom() - share / self.highest() * HEIGHT
    }

    fn top(&self) -> f64 {
        let back = self.shown.iter().filter(|row| row.recovery.is_some()).count();
        HEADING + back as f64 * LABEL
    }

    fn bottom(&self) -> f64 {
        self.top() + HEIGHT
    }
}

/// Without a guard, with the most widespread one, with ours.
const TELLING: [&str; 3] = ["exponential", "aws-500", "recommended"];

const STYLE: &str = "
.outage-picture { color: #1f2328; font: 12px system-ui, -apple-system, 'DejaVu Sans', sans-serif; }
.outage-paper { fill: #fbfcfd; }
.outage-picture text { fill: currentColor; }
.outage-name { font-size: 17px; font-weight: 600; }
.outage-note { opacity: 0.8; }
.outage-tick { text-anchor: middle; }
.outage-share { text-anchor: end; }
.outage-grid { stroke: currentColor; stroke-opacity: 0.15; }
.outage-trouble { fill: currentColor; fill-opacity: 0.12; }
.outage-curve { fill: none; stroke-width: 2.5px; stroke-linejoin: round; }
.outage-leader { stroke-dasharray: 3 3; }
.outage-picture .outage-label { font-size: 13px; font-weight: 600; paint-order: stroke; stroke-width: 4px; }
.outage-label { stroke: #fbfcfd; }
.outage-last { text-anchor: end; }
.outage-stroke-0 { stroke: #cf222e; }
.outage-stroke-1 { stroke: #8250df; }
.outage-stroke-2 { stroke: #0969da; }
.outage-picture .outage-fill-0 { fill: #cf222e; }
.outage-picture .outage-fill-1 { fill: #8250df; }
.outage-picture .outage-fill-2 { fill: #0969da; }
@media (prefers-color-scheme: dark) {
.outage-picture { color: #e6edf3; }
.outage-paper { fill: #0d1117; }
.outage-label { stroke: #0d1117; }
.outage-stroke-0 { stroke: #ff7b72; }
.outage-stroke-1 { stroke: #d2a8ff; }
.outage-stroke-2 { stroke: #58a6ff; }
.outage-picture .outage-fill-0 { fill: #ff7b72; }
.outage-picture .outage-fill-1 { fill: #d2a8ff; }
.outage-picture .outage-fill-2 { fill: #58a6ff; }
}
";

const WIDTH: f64 = 700.0;
const MARGIN: f64 = 20.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 680.0;
const HEADING: f64 = 70.0;
const HEIGHT: f64 = 220.0;
/// From one label to the next.
const LABEL: f64 = 20.0;
