//! Histograms drawn as SVG, one below the other.

use std::fmt;

use crate::histogram::{Bin, Histogram};
use crate::svg::{escaped, head, line, paper, text};

/// A picture, legible 700 pixels wide, by day and by night.
pub(crate) struct Picture<'h> {
    /// What it shows, in words.
    pub(crate) title: String,
    /// Each under the specification that it is of.
    pub(crate) panels: Vec<(String, &'h Histogram)>,
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = TOP + self.panels.len() as f64 * PANEL;
        head(f, "faults", WIDTH, height, "faults-title")?;
        writeln!(f, "<title id=\"faults-title\">{}</title>", escaped(&self.title))?;
        paper(f, "faults", WIDTH, height, STYLE)?;
        for (n, (spec, histogram)) in self.panels.iter().enumerate() {
            panel(f, TOP + n as f64 * PANEL, spec, histogram)?;
        }
        writeln!(f, "</svg>")
    }
}

fn panel(f: &mut fmt::Formatter<'_>, top: f64, spec: &str, histogram: &Histogram) -> fmt::Result {
    let law = histogram.bins.iter().any(|bin| bin.expected.is_some());
    let legend = if law { "bars: observed; lines: by the law" } else { "bars: observed" };
    text(f, "faults-heading", MARGIN, top + 10.0, histogram.title)?;
    text(f, "faults-note", MARGIN, top + 28.0, &shortened(spec))?;
    text(f, "faults-note", MARGIN, top + 45.0, legend)?;
    let (high, bottom) = (top + HEADING, top + HEADING + HEIGHT);
    let highest = histogram.highest();
    let y = |share: f64| bottom - share / highest * HEIGHT;
    for share in [0.0, highest / 2.0, highest] {
        line(f, "faults-grid", (LEFT, y(share)), (RIGHT, y(share)))?;
        text(f, "faults-share", LEFT - 8.0, y(share) + 4.0, &format!("{:.1}%", share * 100.0))?;
    }
    let step = (RIGHT - LEFT) / histogram.bins.len() as f64;
    // Labels need room: every second one, every third one, …
    let every = (LABEL / step).ceil() as usize;
    for (n, Bin { label, observed, expected }) in histogram.bins.iter().enumerate() {
        let x = LEFT + n as f64 * step;
        let (top, width) = (y(*observed), step - GAP.min(step / 4.0));
        writeln!(
            f,
            "<rect class=\"faults-bar\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
            bottom - top
        )?;
        if let Some(expected) = expected {
            line(f, "faults-law", (x, y(*expected)), (x + width, y(*expected)))?;
        }
        if n % every == 0 {
            let from = label.split(" to ").next().unwrap_or(label).replace(" and more", "+");
            text(f, "faults-tick", x, bottom + 17.0, &from)?;
        }
    }
    line(f, "faults-grid", (LEFT, high), (LEFT, bottom))
}

/// As much as fits into a line.
fn shortened(spec: &str) -> String {
    if spec.chars().count() <= LINE {
        return spec.to_owned();
    }
    spec.chars().take(LINE - 1).chain(['…']).collect()
}

const STYLE: &str = "
.faults-picture { color: #1f2328; font: 12px system-ui, -apple-system, 'DejaVu Sans', sans-serif; }
.faults-paper { fill: #fbfcfd; }
.faults-picture text { fill: currentColor; }
.faults-heading { font-size: 15px; font-weight: 600; }
.faults-note { opacity: 0.8; }
.faults-share { text-anchor: end; }
.faults-tick { text-anchor: start; }
.faults-grid { stroke: currentColor; stroke-opacity: 0.15; }
.faults-bar { fill: #0969da; fill-opacity: 0.5; }
.faults-law { stroke: #cf222e; stroke-width: 2px; }
@media (prefers-color-scheme: dark) {
.faults-picture { color: #e6edf3; }
.faults-paper { fill: #0d1117; }
.faults-bar { fill: #58a6ff; }
.faults-law { stroke: #ff7b72; }
}
";

const WIDTH: f64 = 700.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 24.0;
/// From one panel to the next.
const PANEL: f64 = 270.0;
const HEADING: f64 = 62.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 680.0;
const GAP: f64 = 3.0;
/// Pixels of a label.
const LABEL: f64 = 75.0;
/// Characters.
const LINE: usize = 100;
