//! A request as people are told of it: line by line while it runs, and drawn when it has ended.

use std::io::{self, Write};
use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::transaction::{Event, Timeline};

/// A line on standard error for each transmission of `length` bytes, each wait and whatever arrives.
pub(crate) fn story(at: Duration, event: Event, length: usize) {
    let ms = at.as_secs_f64() * 1e3;
    let line = match event {
        Event::Transmitted(number) => {
            let mut schedule = RetryPolicy::LAN.schedule();
            let fails = schedule.fails();
            let until = schedule.nth(number as usize).or(fails).map_or(at, |next| next.latest);
            let wait = until.saturating_sub(at).as_secs_f64() * 1e3;
            format!("transmission {number}, {length} bytes\n{ms:>8.1} ms  waiting {wait:.0} ms for a reply")
        }
        Event::Replied => "heard the reply".to_owned(),
        Event::Stray(_, length) => format!("heard {length} bytes"),
        Event::NotTransmitted(error) => format!("not sent: {error}"),
        Event::PathError(error) => format!("told of an earlier transmission: {error}"),
        _ => return,
    };
    // A story that no one reads must not stop the request.
    let _ = writeln!(io::stderr(), "{ms:>8.1} ms  {line}");
}

/// Draws what runs between the client's line and the server's; time runs to the right, to scale. `elapsed` is when the
/// request ended. The client alone cannot tell which transmissions were `lost`: whoever watched the server can.
pub(crate) fn chart(timeline: &Timeline, elapsed: Duration, lost: &[bool]) -> String {
    let span = elapsed.max(SHORTEST).as_secs_f64();
    let column = |at: Duration| (at.as_secs_f64() / span * WIDTH as f64).round() as usize;
    let sent = marked(timeline, lost);
    let replied = timeline.events().any(|(_, event)| event == Event::Replied);
    // A reply on loopback takes no time that could be seen: it still gets a column of its own.
    let end = sent.last().map_or(0, |&(at, _)| column(at) + 1).max(column(elapsed));
    let length = end.max(WIDTH) + 1;

    let row = |name: &str, blank: char, cell: &dyn Fn(usize, char) -> char, [reply, failure]: [char; 2]| {
        let mut row = vec![blank; length];
        for (n, &(at, mark)) in sent.iter().enumerate() {
            row[column(at)] = cell(n, mark);
        }
        row[end] = if replied { reply } else { failure };
        format!("  {name:>6}  {}\n", row.iter().collect::<String>().trim_end())
    };
    let number = |n: usize, _| char::from_digit((n as u32 + 1) % 10, 10).unwrap_or('#');
    let arrival = |_, mark| if mark == HEARD { '●' } else { '─' };

    // A tick at every round number of milliseconds whose label has room.
    let step = STEPS.into_iter().find(|&ms| column(Duration::from_millis(ms)) >= ROOM).unwrap_or(LONGEST_STEP);
    let (mut ticks, mut labels) = (String::new(), String::new());
    let moments = (0..).map(|n| n * step).map(|ms| (ms, column(Duration::from_millis(ms))));
    for (ms, column) in moments.take_while(|&(_, column)| column < length) {
        (ticks, labels) = (format!("{ticks:column$}┴"), format!("{labels:column$}{ms}"));
    }

    let shown = LEGEND.into_iter().filter(|(mark, _)| sent.iter().any(|(_, other)| other == mark));
    let mut legend: Vec<_> = shown.map(|(mark, meaning)| format!("{mark} {meaning}")).collect();
    legend.push(if replied { "▲ reply" } else { "╳ gave up (on the client's line)" }.to_owned());
    [
        row("", ' ', &number, [' ', ' ']),
        row("client", '─', &|_, _| '●', ['●', '╳']),
        row("", ' ', &|_, _| '│', ['▲', ' ']),
        row("", ' ', &|_, mark| mark, ['│', ' ']),
        row("server", '─', &arrival, ['┘', '─']),
        format!("  {:>6}  {ticks}\n  {:>6}  {labels}\n          {}", "", "ms", legend.join("   ")),
    ]
    .concat()
}

/// When each transmission left, and what became of it as far as is known. What arrives after one is put down to it,
/// which is a guess: it may be late.
fn marked(timeline: &Timeline, lost: &[bool]) -> Vec<(Duration, char)> {
    let mut sent = Vec::new();
    for (at, event) in timeline.events() {
        match (event, sent.last_mut()) {
            (Event::Transmitted(_), _) => sent.push((at, UNANSWERED)),
            (Event::PathError(_), Some((_, mark))) => *mark = REFUSED,
            (Event::Replied, Some((_, mark))) => *mark = HEARD,
            _ => {}
        }
    }
    for ((_, mark), lost) in sent.iter_mut().zip(lost) {
        *mark = if *lost { LOST } else { HEARD };
    }
    sent
}

const HEARD: char = '▼';
const LOST: char = '╳';
const REFUSED: char = '!';
const UNANSWERED: char = '?';
const LEGEND: [(char, &str); 4] =
    [(HEARD, "heard"), (LOST, "lost"), (REFUSED, "error came back"), (UNANSWERED, "unanswered")];

/// Columns from the first moment to the last.
const WIDTH: usize = 64;
/// A quicker request than this does not stretch the axis further.
const SHORTEST: Duration = Duration::from_millis(10);
/// Columns that a label needs.
const ROOM: usize = 6;
/// Milliseconds between two ticks.
const STEPS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const LONGEST_STEP: u64 = 10_000;
