//! A schedule drawn in text: a line for each transmission, on a time axis to scale.

use std::fmt;
use std::time::Duration;

use udp_retry::policy::Window;

use super::outlook::{Outlook, brief};

/// The picture of an outlook.
pub(crate) struct Timeline<'o>(pub(crate) &'o Outlook<'o>);

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(outlook) = self;
        let sent = (1..).zip(&outlook.sent).map(|(number, window)| self.row(&format!("{number}"), *window, '●'));
        let fails = outlook.end().map(|window| self.row("fails", window, '╳'));
        let (ticks, labels) = self.axis();
        let mut rows = vec![["", "earliest", "nominal", "latest", ""].map(str::to_owned)];
        rows.extend(sent.chain(fails));
        rows.extend([ticks, labels].map(|line| [String::new(), String::new(), String::new(), String::new(), line]));

        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 4] = std::array::from_fn(width);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", format!("{line}  {}", row[4]).trim_end())?;
        }
        write!(f, "\n  ├─┤ leaves between these   ● with every draw in the middle")?;
        if outlook.end().is_some() {
            write!(f, "   ╳ fails")?;
        }
        outlook.cut().map_or(Ok(()), |cut| write!(f, "\n  {cut}"))
    }
}

impl Timeline<'_> {
    fn row(&self, name: &str, window: Window, mark: char) -> [String; 5] {
        let nominal = window.nominal.map_or_else(|| "not sent".to_owned(), brief);
        [name.to_owned(), brief(window.earliest), nominal, brief(window.latest), self.bar(window, mark)]
    }

    fn bar(&self, window: Window, mark: char) -> String {
        let (from, to) = (self.column(window.earliest), self.column(window.latest));
        let mut cells = vec![' '; WIDTH + 1];
        cells[from..=to].fill('─');
        (cells[from], cells[to]) = if from < to { ('├', '┤') } else { ('│', '│') };
        if let Some(nominal) = window.nominal {
            cells[self.column(nominal)] = mark;
        }
        cells.into_iter().collect()
    }

    fn axis(&self) -> (String, String) {
        let (mut ticks, mut labels) = (vec!['─'; WIDTH + 1], String::new());
        for tick in self.0.ticks(PARTS) {
            let column = self.column(tick);
            ticks[column] = '┴';
            labels = format!("{labels:column$}{}", brief(tick));
        }
        (ticks.into_iter().collect(), labels)
    }

    fn column(&self, at: Duration) -> usize {
        (self.0.position(at) * WIDTH as f64).round() as usize
    }
}

/// Columns from the start to the end.
const WIDTH: usize = 40;
/// Few enough that the labels have room.
const PARTS: u128 = 5;
