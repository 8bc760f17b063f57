//! A timeline for the eye: what happened on a scale of time, and then line by line.

use core::fmt::{self, Write};
use core::time::Duration;

use super::{Event, Timeline};
use crate::transport::PathIndex;

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.events().map(|(at, _)| at).max().unwrap_or_default();
        if !end.is_zero() {
            for column in 0..COLUMNS {
                f.write_char(mark(self, column, end))?;
            }
            writeln!(f, "  {:.1} ms", ms(end))?;
        }
        let several = self.events().any(|(_, event)| path_of(event).is_some_and(|path| path != PathIndex::FIRST));
        for (at, event) in self.events() {
            write!(f, "{:>10.1} ms  {event}", ms(at))?;
            match path_of(event).filter(|_| several) {
                Some(path) => writeln!(f, ", {path}")?,
                None => writeln!(f)?,
            }
        }
        match self.omitted() {
            0 => Ok(()),
            omitted => writeln!(f, "{:>13}  and {omitted} events more before the last", "..."),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmitted { number, .. } => write!(f, "--> transmission {number}"),
            Self::NotTransmitted { error, .. } => write!(f, "-x  not sent: {error}"),
            Self::Withheld => write!(f, "-x  withheld by the retry budget"),
            Self::Parked => write!(f, "-x  not sent: no server lives"),
            Self::PathError { error, .. } => write!(f, "<-! {error}"),
            Self::Stray { kind, len, .. } => write!(f, "<-? {len} bytes that answer nothing: {kind}"),
            Self::Provisional { .. } => write!(f, "<.. provisional answer"),
            Self::Unknown { .. } => write!(f, "<-~ the server does not know whether it has had it"),
            Self::Replied { .. } => write!(f, "<-- reply"),
            Self::Clipped { by } => write!(f, "--| deadline, {:.1} ms before this wait would have ended", ms(*by)),
            Self::Failed(failure) => write!(f, "  # {failure}"),
        }
    }
}

/// Where it happened, if it did on a path.
fn path_of(event: Event) -> Option<PathIndex> {
    match event {
        Event::Transmitted { path, .. }
        | Event::NotTransmitted { path, .. }
        | Event::Stray { path, .. }
        | Event::Provisional { path }
        | Event::Unknown { path }
        | Event::Replied { path } => Some(path),
        Event::PathError { path, .. } => path,
        Event::Withheld | Event::Parked | Event::Clipped { .. } | Event::Failed(_) => None,
    }
}

/// What is seen in this column of the scale: of several things the one that matters most.
fn mark(timeline: &Timeline, column: u128, end: Duration) -> char {
    let here = |at: Duration| (at.as_nanos() * (COLUMNS - 1) + end.as_nanos() / 2) / end.as_nanos() == column;
    let marks = timeline.events().filter(|&(at, _)| here(at)).map(|(_, event)| match event {
        Event::Transmitted { number, .. } => (9, char::from_digit(number, 10).unwrap_or('+')),
        Event::Replied { .. } => (10, '*'),
        Event::Failed(_) => (10, '#'),
        Event::Clipped { .. } => (6, '|'),
        Event::Withheld | Event::Parked | Event::NotTransmitted { .. } => (5, 'x'),
        Event::PathError { .. } => (4, '!'),
        Event::Provisional { .. } => (3, '.'),
        Event::Unknown { .. } => (4, '~'),
        Event::Stray { .. } => (2, '?'),
    });
    marks.max_by_key(|(weight, _)| *weight).map_or('-', |(_, mark)| mark)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const COLUMNS: u128 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::transaction::{Failure, GiveUp, Stray};
    use crate::transport::PathError;

    fn shown(events: &[(u64, Event)]) -> String {
        let mut timeline = Timeline::new(Timestamp::from_nanos(500));
        for &(micros, event) in events {
            timeline.record(Timestamp::from_nanos(500 + micros * 1000), event);
        }
        timeline.to_string()
    }

    #[test]
    fn what_happened_is_drawn_to_scale_and_told_line_by_line() {
        let drawn = shown(&[
            (0, Event::Transmitted { path: PathIndex::FIRST, number: 1 }),
            (12_000, Event::PathError { path: None, error: PathError::Refused }),
            (100_000, Event::Transmitted { path: PathIndex::FIRST, number: 2 }),
            (140_000, Event::Stray { path: PathIndex::FIRST, kind: Stray::Stale, len: 9 }),
            (300_000, Event::Withheld),
            (630_000, Event::Replied { path: PathIndex::FIRST }),
        ]);
        let expected = "\
1!--------2---?---------------x--------------------------------*  630.0 ms
       0.0 ms  --> transmission 1
      12.0 ms  <-! connection refused: nobody listens there
     100.0 ms  --> transmission 2
     140.0 ms  <-? 9 bytes that answer nothing: stale
     300.0 ms  -x  withheld by the retry budget
     630.0 ms  <-- reply
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn of_several_paths_each_is_named() {
        let second = PathIndex::new(1);
        let drawn = shown(&[
            (0, Event::Transmitted { path: PathIndex::FIRST, number: 1 }),
            (1_000, Event::PathError { path: Some(PathIndex::FIRST), error: PathError::Refused }),
            (1_000, Event::Transmitted { path: second, number: 2 }),
            (2_000, Event::Parked),
            (3_000, Event::Replied { path: second }),
        ]);
        let lines: Vec<_> = drawn.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "       0.0 ms  --> transmission 1, path 0",
                "       1.0 ms  <-! connection refused: nobody listens there, path 0",
                "       1.0 ms  --> transmission 2, path 1",
                "       2.0 ms  -x  not sent: no server lives",
                "       3.0 ms  <-- reply, path 1",
            ]
        );
    }

    #[test]
    fn the_end_without_a_reply_is_drawn_too() {
        let picture = shown(&[
            (0, Event::Transmitted { path: PathIndex::FIRST, number: 1 }),
            (1_000_000, Event::Transmitted { path: PathIndex::FIRST, number: 2 }),
            (2_000_000, Event::Clipped { by: Duration::from_millis(750) }),
            (2_000_000, Event::Failed(Failure::TimedOut(GiveUp::Deadline))),
        ]);
        let scale = format!("1{}2{}#  2000.0 ms\n", "-".repeat(31), "-".repeat(30));
        assert!(picture.starts_with(&scale), "{picture}");
        assert!(picture.contains("--| deadline, 750.0 ms before this wait would have ended\n"), "{picture}");
        assert!(picture.ends_with("  # no reply within the deadline\n"), "{picture}");
    }

    #[test]
    fn what_took_no_time_has_no_scale() {
        assert_eq!(
            shown(&[(0, Event::NotTransmitted { path: PathIndex::FIRST, error: PathError::Denied })]),
            "       0.0 ms  -x  not sent: permission denied\n"
        );
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn the_tenth_transmission_is_a_plus() {
        assert!(
            shown(&[
                (0, Event::Transmitted { path: PathIndex::FIRST, number: 10 }),
                (5, Event::Transmitted { path: PathIndex::FIRST, number: 11 })
            ])
            .starts_with("+---")
        );
    }
}
