//! A request and its reply, drawn in text: time runs to the right, to scale.

use std::fmt;
use std::time::Duration;

use udp_retry::transaction::{Event, Timeline};

/// A picture of one request between a client's line and a server's line.
pub(crate) struct Chart {
    sent: Vec<(Duration, Fate)>,
    /// When it was over, and whether by a reply.
    end: Duration,
    replied: bool,
}

/// What became of a transmission, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Refused,
    Unanswered,
    Heard,
}

impl Chart {
    /// `elapsed` is when the request ended. The client alone cannot tell which transmissions were `lost`: whoever
    /// watched the server can.
    pub(crate) fn new(timeline: &Timeline, elapsed: Duration, lost: &[bool]) -> Self {
        let mut chart = Self { sent: Vec::new(), end: elapsed, replied: false };
        for (at, event) in timeline.events() {
            match event {
                Event::Transmitted(_) => chart.sent.push((at, Fate::Unanswered)),
                Event::PathError(_) => chart.learn(Fate::Refused),
                Event::Replied => {
                    chart.learn(Fate::Heard);
                    chart.replied = true;
                }
                _ => {}
            }
        }
        for ((_, fate), lost) in chart.sent.iter_mut().zip(lost) {
            *fate = if *lost { Fate::Lost } else { Fate::Heard };
        }
        chart
    }

    /// News that arrive after a transmission are put down to it, which is a guess: they may be late.
    fn learn(&mut self, fate: Fate) {
        if let Some((_, latest)) = self.sent.last_mut() {
            *latest = fate;
        }
    }

    /// The column of a moment, on an axis that ends with the request.
    fn column(&self, at: Duration) -> usize {
        (at.as_secs_f64() / self.span().as_secs_f64() * WIDTH as f64).round() as usize
    }

    fn span(&self) -> Duration {
        self.end.max(SHORTEST)
    }

    /// A reply on loopback takes no time that could be seen: it still gets a column of its own.
    fn end_column(&self) -> usize {
        let behind = self.sent.last().map_or(0, |&(at, _)| self.column(at) + 1);
        self.column(self.end).max(behind)
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, length) = (self.end_column(), self.end_column().max(WIDTH) + 1);
        let mut numbers = vec![' '; length];
        let mut client = vec!['─'; length];
        let mut path = vec![' '; length];
        let mut fates = vec![' '; length];
        let mut server = vec!['─'; length];
        for (number, &(at, fate)) in (1_u32..).zip(&self.sent) {
            let column = self.column(at);
            numbers[column] = char::from_digit(number % 10, 10).unwrap_or('#');
            client[column] = '●';
            path[column] = '│';
            fates[column] = fate.mark();
            if fate == Fate::Heard {
                server[column] = '●';
            }
        }
        if self.replied {
            (client[end], path[end], fates[end], server[end]) = ('●', '▲', '│', '┘');
        } else {
            client[end] = '╳';
        }
        let (ticks, labels) = self.axis(length);
        let rows: [(&str, &[char]); 7] = [
            ("", &numbers),
            ("client", &client),
            ("", &path),
            ("", &fates),
            ("server", &server),
            ("", &ticks),
            ("ms", &labels),
        ];
        for (name, row) in rows {
            let row: String = row.iter().collect();
            writeln!(f, "  {name:>6}  {}", row.trim_end())?;
        }
        write!(f, "          {}", self.legend())
    }
}

impl Chart {
    /// Ticks at every round number of milliseconds whose label has room.
    fn axis(&self, length: usize) -> (Vec<char>, Vec<char>) {
        let (mut ticks, mut labels) = (vec![' '; length], vec![' '; length + ROOM]);
        let roomy = |step: &u64| self.column(Duration::from_millis(*step)) >= ROOM;
        let step = STEPS.into_iter().find(roomy).unwrap_or(LONGEST_STEP);
        for tick in (0..).map(|n| n * step) {
            let column = self.column(Duration::from_millis(tick));
            if column >= length {
                break;
            }
            ticks[column] = '┴';
            for (cell, digit) in labels[column..].iter_mut().zip(tick.to_string().chars()) {
                *cell = digit;
            }
        }
        (ticks, labels)
    }

    fn legend(&self) -> String {
        let known = [Fate::Heard, Fate::Lost, Fate::Refused, Fate::Unanswered];
        let mut shown: Vec<_> = known
            .into_iter()
            .filter(|fate| self.sent.iter().any(|(_, sent)| sent == fate))
            .map(|fate| format!("{} {}", fate.mark(), fate.name()))
            .collect();
        shown.push(if self.replied { "▲ reply" } else { "╳ gave up (on the client's line)" }.to_owned());
        shown.join("   ")
    }
}

impl Fate {
    fn mark(self) -> char {
        match self {
            Self::Heard => '▼',
            Self::Lost => '╳',
            Self::Refused => '!',
            Self::Unanswered => '?',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Lost => "lost",
            Self::Refused => "error came back",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Columns from the first moment to the last.
const WIDTH: usize = 64;
/// A quicker request than this does not stretch the axis further.
const SHORTEST: Duration = Duration::from_millis(10);
/// Columns that a label needs.
const ROOM: usize = 6;
/// Milliseconds between two ticks.
const STEPS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const LONGEST_STEP: u64 = 10_000;
