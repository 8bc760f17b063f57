//! A schedule drawn as SVG: the transmissions on a time axis, and the chance of a reply against the loss.

use std::fmt;
use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::policy::{PolicyError, Window};

use super::outlook::{Outlook, between, brief};
use crate::svg::{escaped, head, line, paper, text};

/// The picture of an outlook; legible 700 pixels wide, by day and by night.
pub(crate) struct Picture<'o> {
    outlook: &'o Outlook<'o>,
    /// The policy with 1, 2, … transmissions.
    rivals: Vec<RetryPolicy>,
}

impl<'o> Picture<'o> {
    pub(crate) fn new(outlook: &'o Outlook<'o>) -> Result<Self, PolicyError> {
        let rivals = (1..=CURVES).map(|n| outlook.policy.with_max_transmissions(n)).collect::<Result<_, _>>()?;
        Ok(Self { outlook, rivals })
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outlook { name, source, policy, .. } = self.outlook;
        let height = self.curves_bottom() + 56.0;
        head(f, "schedule", WIDTH, height, "schedule-title schedule-desc")?;
        writeln!(f, "<title id=\"schedule-title\">Retransmission schedule {}</title>", escaped(name))?;
        writeln!(f, "<desc id=\"schedule-desc\">{}</desc>", escaped(&policy.explain().to_string()))?;
        paper(f, "schedule", WIDTH, height, STYLE)?;
        text(f, "schedule-name", MARGIN, 30.0, name)?;
        text(f, "schedule-text", MARGIN, 50.0, source)?;
        self.timeline(f)?;
        self.curves(f)?;
        writeln!(f, "</svg>")
    }
}

impl Picture<'_> {
    fn timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bottom = self.rows_bottom();
        for tick in self.outlook.ticks(PARTS) {
            let x = self.x(tick);
            line(f, "schedule-grid", (x, ROWS_TOP), (x, bottom))?;
            text(f, "schedule-tick", x, bottom + 17.0, &brief(tick))?;
        }
        if let Some(Window { nominal: Some(nominal), .. }) = self.outlook.end() {
            let x = self.x(nominal);
            line(f, "schedule-end", (x, ROWS_TOP), (x, bottom))?;
        }
        for (row, window) in self.outlook.sent.iter().enumerate() {
            self.row(f, row, &format!("{}", row + 1), *window, "schedule-band")?;
            if let Some(nominal) = window.nominal {
                let (x, y) = (self.x(nominal), Self::y(row));
                writeln!(f, "<circle class=\"schedule-mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")?;
            }
        }
        if let Some(end) = self.outlook.end() {
            self.row(f, self.outlook.sent.len(), "fails", end, "schedule-failure")?;
        }
        let legend = "bar: when it may leave; dot: with every draw in the middle";
        text(f, "schedule-note", MARGIN, bottom + 38.0, legend)?;
        self.outlook.cut().map_or(Ok(()), |cut| text(f, "schedule-note", MARGIN, bottom + 55.0, &cut))
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, row: usize, name: &str, window: Window, class: &str) -> fmt::Result {
        let y = Self::y(row);
        text(f, "schedule-number", NUMBER_END, y + 4.0, name)?;
        text(f, "schedule-text", NUMBER_END + 10.0, y + 4.0, &between(window))?;
        let width = self.x(window.latest) - self.x(window.earliest) + BAND_ENDS;
        let x = self.x(window.earliest) - BAND_ENDS / 2.0;
        writeln!(
            f,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" rx=\"2\"/>",
            y - 6.0
        )
    }

    fn curves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (top, bottom) = (self.curves_top(), self.curves_bottom());
        let title = "Chance of a reply, if each datagram is lost with this probability in either direction";
        text(f, "schedule-heading", MARGIN, top - 34.0, title)?;
        let here = match self.outlook.sent.len() {
            _ if !self.outlook.all => "here many more".to_owned(),
            here if here > self.rivals.len() => format!("here n = {here}, above them all"),
            here => format!("here n = {here}, bold"),
        };
        let which = format!("after n = 1 to {CURVES} transmissions; {here}");
        text(f, "schedule-note", MARGIN, top - 16.0, &which)?;
        for percent in (0..=100).step_by(10) {
            let x = loss_x(f64::from(percent) / 100.0);
            line(f, "schedule-grid", (x, top), (x, bottom))?;
            text(f, "schedule-tick", x, bottom + 17.0, &format!("{percent}%"))?;
        }
        text(f, "schedule-tick", loss_x(0.5), bottom + 36.0, "loss in either direction")?;
        for percent in (0..=100).step_by(25) {
            let y = self.chance_y(f64::from(percent) / 100.0);
            line(f, "schedule-grid", (CURVES_LEFT, y), (CURVES_RIGHT, y))?;
            text(f, "schedule-number", CURVES_LEFT - 8.0, y + 4.0, &format!("{percent}%"))?;
        }
        for (n, rival) in (1..).zip(&self.rivals) {
            let bold = if self.outlook.all && n == self.outlook.sent.len() { " schedule-here" } else { "" };
            let points: Vec<_> =
                (0..=STEPS).map(|step| self.point(rival, f64::from(step) / f64::from(STEPS))).collect();
            writeln!(f, "<polyline class=\"schedule-curve{bold}\" points=\"{}\"/>", points.join(" "))?;
        }
        // Behind all curves, so that none crosses a label.
        for (n, rival) in (1..).zip(&self.rivals) {
            let chance = LABELS_FROM - LABELS_STEP * f64::from(n);
            let name = if n == 1 { "n = 1".to_owned() } else { n.to_string() };
            text(f, "schedule-label", loss_x(loss_of(rival, chance)), self.chance_y(chance) + 4.0, &name)?;
        }
        Ok(())
    }

    fn point(&self, rival: &RetryPolicy, loss: f64) -> String {
        format!("{:.1},{:.1}", loss_x(loss), self.chance_y(rival.success_probability(loss)))
    }

    fn x(&self, at: Duration) -> f64 {
        AXIS_LEFT + self.outlook.position(at) * (AXIS_RIGHT - AXIS_LEFT)
    }

    fn y(row: usize) -> f64 {
        ROWS_TOP + (row as f64 + 0.5) * ROW
    }

    fn rows_bottom(&self) -> f64 {
        ROWS_TOP + (self.outlook.sent.len() + usize::from(self.outlook.end().is_some())) as f64 * ROW
    }

    fn curves_top(&self) -> f64 {
        self.rows_bottom() + 118.0
    }

    fn curves_bottom(&self) -> f64 {
        self.curves_top() + CURVES_HEIGHT
    }

    fn chance_y(&self, chance: f64) -> f64 {
        self.curves_bottom() - chance * CURVES_HEIGHT
    }
}

fn loss_x(loss: f64) -> f64 {
    CURVES_LEFT + loss * (CURVES_RIGHT - CURVES_LEFT)
}

/// The loss at which the policy succeeds with this chance, by halving.
fn loss_of(policy: &RetryPolicy, chance: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..20 {
        let middle = (low + high) / 2.0;
        *(if policy.success_probability(middle) > chance { &mut low } else { &mut high }) = middle;
    }
    low
}

const STYLE: &str = "
.schedule-picture { color: #1f2328; font: 12px system-ui, -apple-system, 'DejaVu Sans', sans-serif; }
.schedule-paper { fill: #fbfcfd; }
.schedule-picture text { fill: currentColor; }
.schedule-name { font-size: 18px; font-weight: 600; }
.schedule-heading { font-size: 13px; font-weight: 600; }
.schedule-tick { text-anchor: middle; }
.schedule-number { text-anchor: end; }
.schedule-note { opacity: 0.8; }
.schedule-label { text-anchor: middle; font-weight: 600; stroke: #fbfcfd; stroke-width: 4px; paint-order: stroke; }
.schedule-grid { stroke: currentColor; stroke-opacity: 0.15; }
.schedule-band { fill: #0969da; fill-opacity: 0.4; }
.schedule-mark { fill: #0969da; }
.schedule-failure { fill: #cf222e; fill-opacity: 0.8; }
.schedule-end { stroke: #cf222e; stroke-dasharray: 4 3; }
.schedule-curve { fill: none; stroke: currentColor; stroke-opacity: 0.45; stroke-width: 1.5px; }
.schedule-here { stroke: #0969da; stroke-opacity: 1; stroke-width: 3px; }
@media (prefers-color-scheme: dark) {
.schedule-picture { color: #e6edf3; }
.schedule-paper { fill: #0d1117; }
.schedule-label { stroke: #0d1117; }
.schedule-band { fill: #58a6ff; }
.schedule-mark { fill: #58a6ff; }
.schedule-failure { fill: #ff7b72; }
.schedule-end { stroke: #ff7b72; }
.schedule-here { stroke: #58a6ff; }
}
";

const WIDTH: f64 = 700.0;
const MARGIN: f64 = 20.0;
const NUMBER_END: f64 = 48.0;
const AXIS_LEFT: f64 = 225.0;
const AXIS_RIGHT: f64 = 660.0;
const ROWS_TOP: f64 = 68.0;
const ROW: f64 = 22.0;
/// What a band without jitter still shows of itself.
const BAND_ENDS: f64 = 4.0;
/// Few enough that the labels have room.
const PARTS: u128 = 6;
const CURVES: u32 = 7;
const CURVES_LEFT: f64 = 70.0;
const CURVES_RIGHT: f64 = 660.0;
const CURVES_HEIGHT: f64 = 240.0;
const STEPS: u32 = 50;
/// Each label stands a little lower than the one before, where the curves are far apart.
const LABELS_FROM: f64 = 0.65;
const LABELS_STEP: f64 = 0.05;
