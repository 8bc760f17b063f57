use core::time::Duration;

use super::{Failure, Stray};
use crate::time::Timestamp;
use crate::transport::{PathError, PathIndex};

/// What happened in one transaction, in order: a record of fixed size that needs no allocation.
///
/// It holds the first 31 events and the newest; what lies between is [counted](Self::omitted). Strays take at most
/// half of it, so that junk cannot push the transmissions out. `Display` draws it: the events on a scale of time, and
/// then a line for each.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    start: Timestamp,
    events: [(Timestamp, Event); CAPACITY],
    len: usize,
    omitted: u32,
}

impl PartialEq for Timeline {
    /// Only what happened counts, not what the record held before.
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.omitted) == (other.start, other.omitted) && self.events().eq(other.events())
    }
}

impl Eq for Timeline {}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The request was sent.
    #[non_exhaustive]
    Transmitted {
        /// Where.
        path: PathIndex,
        /// Counts transmissions, from 1.
        number: u32,
    },
    /// The system refused to send it.
    #[non_exhaustive]
    NotTransmitted {
        /// Where.
        path: PathIndex,
        /// Why.
        error: PathError,
    },
    /// The retry budget withheld a transmission.
    Withheld,
    /// Every server was taken for dead when a transmission was due.
    Parked,
    /// The path reported an error of something sent before.
    #[non_exhaustive]
    PathError {
        /// Where, if that is known.
        path: Option<PathIndex>,
        /// Which.
        error: PathError,
    },
    /// A datagram arrived that answers nothing.
    #[non_exhaustive]
    Stray {
        /// Where.
        path: PathIndex,
        /// What it was.
        kind: Stray,
        /// Its bytes.
        len: u32,
    },
    /// A provisional answer arrived.
    #[non_exhaustive]
    Provisional {
        /// Where.
        path: PathIndex,
    },
    /// The server does not know whether it has had the request: it restarted, or its client has not met it before.
    #[non_exhaustive]
    Unknown {
        /// Where.
        path: PathIndex,
    },
    /// The reply arrived.
    #[non_exhaustive]
    Replied {
        /// Where.
        path: PathIndex,
    },
    /// The deadline shortened the wait that was running.
    #[non_exhaustive]
    Clipped {
        /// By this much.
        by: Duration,
    },
    /// The request ended without a reply.
    Failed(Failure),
}

impl Timeline {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, events: [(start, Event::Withheld); CAPACITY], len: 0, omitted: 0 }
    }

    /// One that holds nothing of this many events.
    pub(super) fn omitting(events: u32) -> Self {
        Self { omitted: events, ..Self::new(Timestamp::ZERO) }
    }

    /// When the request began.
    #[inline]
    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    pub(super) fn restart(&mut self, start: Timestamp) {
        (self.start, self.len, self.omitted) = (start, 0, 0);
    }

    #[inline]
    pub(super) fn record(&mut self, at: Timestamp, event: Event) {
        let crowded = matches!(event, Event::Stray { .. }) && self.len >= CAPACITY / 2;
        if crowded {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        if let Some(free) = self.events.get_mut(self.len) {
            *free = (at, event);
            self.len += 1;
            return;
        }
        // The newest event says how it ended.
        self.omitted = self.omitted.saturating_add(1);
        if let Some(newest) = self.events.last_mut() {
            *newest = (at, event);
        }
    }

    /// The events in order, each with its time since the transaction began.
    pub fn events(&self) -> impl Iterator<Item = (Duration, Event)> {
        self.events.iter().take(self.len).map(|&(at, event)| (at.since(self.start), event))
    }

    /// When each transmission left, counted from the first one.
    pub fn transmissions(&self) -> impl Iterator<Item = Duration> {
        let sent = || self.events().filter(|(_, event)| matches!(event, Event::Transmitted { .. })).map(|(at, _)| at);
        let first = sent().next().unwrap_or_default();
        sent().map(move |at| at.saturating_sub(first))
    }

    /// Events that are not in the record because it was full.
    #[must_use]
    pub fn omitted(&self) -> u32 {
        self.omitted
    }
}

const CAPACITY: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn sent(number: u32) -> Event {
        Event::Transmitted { path: PathIndex::FIRST, number }
    }

    fn stray(len: u32) -> Event {
        Event::Stray { path: PathIndex::FIRST, kind: Stray::Foreign, len }
    }

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_full_record_keeps_its_beginning_and_the_newest_event() {
        let mut timeline = Timeline::new(at(5));
        for n in 1..=40 {
            timeline.record(at(5 + u64::from(n)), sent(n));
        }
        let events: Vec<_> = timeline.events().collect();
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(events[0], (Duration::from_nanos(1), sent(1)));
        assert_eq!(events[30], (Duration::from_nanos(31), sent(31)));
        assert_eq!(events[31], (Duration::from_nanos(40), sent(40)));
        assert_eq!(timeline.omitted(), 8);
    }

    #[test]
    fn strays_leave_room_for_transmissions() {
        let mut timeline = Timeline::new(at(0));
        for n in 0..1000 {
            timeline.record(at(n), stray(4));
        }
        timeline.record(at(1000), sent(2));
        assert_eq!(timeline.events().count(), CAPACITY / 2 + 1);
        assert_eq!(timeline.omitted(), 1000 - CAPACITY as u32 / 2);
    }

    #[test]
    fn transmissions_are_counted_from_the_first() {
        let mut timeline = Timeline::new(at(0));
        assert_eq!(timeline.transmissions().count(), 0);
        timeline.record(at(7), sent(1));
        timeline.record(at(8), stray(1));
        timeline.record(at(10), sent(2));
        let sent: Vec<_> = timeline.transmissions().map(|at| at.as_nanos()).collect();
        assert_eq!(sent, [0, 3]);
    }
}
