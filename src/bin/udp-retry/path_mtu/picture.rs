//! A search drawn in text: a row for each size, the largest on top, and time to the right.
//!
//! ```text
//!   to 192.0.2.7:1060, bytes of a packet
//!   65535  ○
//!    1500   ╶──────────────────╳
//!    1420                        ╶───╳╶───╳╶───╳
//!    1400                       ●
//!    1228  ●
//!          0.0 ms                       1601.3 ms
//! ```
//!
//! Each probe has a column of its own, and the rest of the width is time to scale, so that the waits can be seen.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use udp_retry::path_mtu::{ProbeDirection, ProbeFate};

use super::report::Measured;

/// Both directions, one below the other, and what the marks mean.
pub(crate) struct Picture<'a>(pub(crate) &'a Measured);

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(measured @ Measured { server, history, .. }) = self;
        for (direction, word) in [(ProbeDirection::Forward, "to"), (ProbeDirection::Reverse, "from")] {
            let of_direction: Vec<_> = history.iter().filter(|it| it.direction == direction).collect();
            let marks = of_direction.iter().enumerate().map(|(n, it)| Mark {
                packet: measured.packet(it.probe.len),
                sent: it.sent,
                ended: it.ended,
                fate: it.fate,
                is_late: of_direction[..n].iter().any(|before| before.probe.id == it.probe.id),
            });
            let marks: Vec<_> = marks.collect();
            if !marks.is_empty() {
                writeln!(f, "  {word} {server}, bytes of a packet\n{}\n", Panel(&marks))?;
            }
        }
        let shown = LEGEND.into_iter().filter(|(fate, _)| history.iter().any(|it| it.fate == *fate));
        let legend: Vec<_> = shown.map(|(fate, word)| format!("{} {word}", mark(fate))).collect();
        writeln!(f, "  {}", legend.join("   "))
    }
}

/// A probe as it is drawn.
#[derive(Clone, Copy)]
struct Mark {
    packet: u32,
    sent: Duration,
    ended: Duration,
    fate: ProbeFate,
    /// It was drawn as lost before.
    is_late: bool,
}

/// One direction: its probes, in the order in which they ended.
struct Panel<'a>(&'a [Mark]);

impl fmt::Display for Panel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets: BTreeSet<_> = self.0.iter().map(|it| it.packet).collect();
        for packet in packets.into_iter().rev() {
            writeln!(f, "{}", format!("  {packet:>LABEL$}  {}", self.row(packet)).trim_end())?;
        }
        let [start, end] = [self.start(), self.end()].map(|it| format!("{:.1} ms", it.as_secs_f64() * 1e3));
        let space = WIDTH.saturating_sub(start.len());
        write!(f, "  {:LABEL$}  {start}{end:>space$}", "")
    }
}

impl Panel<'_> {
    fn row(&self, packet: u32) -> String {
        let mut cells = [' '; WIDTH];
        // Where the line of a probe begins: one is under way at a time.
        let mut begin = 0;
        for (n, it) in self.0.iter().enumerate() {
            let end = self.column(n);
            let begins = if it.is_late { end } else { std::mem::replace(&mut begin, end + 1) };
            if it.packet == packet {
                // A late mark stays where it is.
                let line = cells.iter_mut().enumerate().take(end).skip(begins).filter(|(_, cell)| **cell == ' ');
                line.for_each(|(column, cell)| *cell = if column == begins { '╶' } else { '─' });
                cells[end] = mark(it.fate);
            }
        }
        cells.into_iter().collect()
    }

    /// Where the end of a probe stands. More of them than columns share some.
    fn column(&self, n: usize) -> usize {
        let count = self.0.len();
        let spare = WIDTH.saturating_sub(count);
        let [part, whole] = [self.0[n].ended, self.end()].map(|it| it.saturating_sub(self.start()).as_secs_f64());
        let share = if whole > 0.0 { (part / whole).min(1.0) } else { 0.0 };
        n * (WIDTH - spare) / count + (spare as f64 * share) as usize
    }

    fn start(&self) -> Duration {
        self.0.first().map_or(Duration::ZERO, |it| it.sent)
    }

    fn end(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |it| it.ended)
    }
}

fn mark(fate: ProbeFate) -> char {
    match fate {
        ProbeFate::Acknowledged => '●',
        ProbeFate::Lost => '╳',
        ProbeFate::Refused => '○',
        ProbeFate::Reported => '◇',
        _ => '□',
    }
}

const LEGEND: [(ProbeFate, &str); 5] = [
    (ProbeFate::Acknowledged, "acknowledged"),
    (ProbeFate::Lost, "lost"),
    (ProbeFate::Refused, "refused by the host that was to send it"),
    (ProbeFate::Reported, "reported by a router as too big"),
    (ProbeFate::NoListener, "no one listens"),
];

/// Digits of a size.
const LABEL: usize = 5;
const WIDTH: usize = 64;

#[cfg(test)]
mod tests {
    use udp_retry::path_mtu::ProbeFate::{Acknowledged, Lost, NoListener, Refused, Reported};

    use super::*;

    /// Packets, milliseconds from and to, and fates.
    fn drawn(history: &[(u32, u64, u64, ProbeFate)]) -> String {
        let ms = Duration::from_millis;
        let marks = history.iter().enumerate().map(|(n, &(packet, sent, ended, fate))| {
            let is_late = history[..n].iter().any(|before| (before.0, before.1) == (packet, sent));
            Mark { packet, sent: ms(sent), ended: ms(ended), fate, is_late }
        });
        Panel(&marks.collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn a_search_has_a_row_for_each_size_and_its_waits_to_scale() {
        let history = [
            (1228, 0, 40, Acknowledged),
            (65_535, 40, 40, Refused),
            (1500, 40, 240, Lost),
            (1400, 240, 280, Acknowledged),
            (1420, 280, 480, Lost),
            (1420, 480, 680, Lost),
            (1420, 680, 720, Reported),
        ];
        let picture = "  65535      ○
   1500       ╶───────────────╳
   1420                            ╶───────────────╳╶──────────────╳╶───◇
   1400                        ╶──●
   1228  ╶──●
         0.0 ms                                                  720.0 ms";
        assert_eq!(drawn(&history), picture);
    }

    #[test]
    fn a_late_answer_has_a_mark_of_its_own_and_no_line() {
        let history = [(1228, 0, 1000, Lost), (1228, 0, 1200, Acknowledged), (1228, 1000, 2000, Lost)];
        let picture = "   1228  ╶─────────────────────────────╳╶─────●─────────────────────────╳
         0.0 ms                                                 2000.0 ms";
        assert_eq!(drawn(&history), picture);
    }

    #[test]
    fn any_number_of_probes_and_any_time_have_their_place() {
        let axis = format!("         0.0 ms{:>58}", "0.0 ms");
        assert_eq!(drawn(&[(1228, 0, 0, NoListener)]), format!("   1228  □\n{axis}"));
        let same_time = vec![(1228, 5, 5, Acknowledged); 70];
        let crowded: Vec<_> = (0..1000).map(|n| (1228, n, n + 1, Lost)).collect();
        for (history, mark) in [(same_time, '●'), (crowded, '╳')] {
            let picture = drawn(&history);
            let row: String = std::iter::repeat_n(mark, WIDTH).collect();
            assert_eq!(picture.lines().next().unwrap().trim_start(), format!("1228  {row}"));
        }
    }
}
