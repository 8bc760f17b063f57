use core::time::Duration;

use super::{Failure, Stray};
use crate::time::Timestamp;
use crate::transport::PathError;

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
    /// The request was sent; the number counts transmissions from 1.
    Transmitted(u32),
    /// The system refused to send it.
    NotTransmitted(PathError),
    /// The retry budget withheld a transmission.
    Withheld,
    /// The path reported an error of something sent before.
    PathError(PathError),
    /// A datagram of this kind and of this many bytes arrived that answers nothing.
    Stray(Stray, usize),
    /// A provisional answer arrived.
    Provisional,
    /// The reply arrived.
    Replied,
    /// The deadline cut the wait that was running short by this much.
    Clipped(Duration),
    /// It is over without a reply.
    Failed(Failure),
}

impl Timeline {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, events: [(start, Event::Withheld); CAPACITY], len: 0, omitted: 0 }
    }

    pub(super) fn restart(&mut self, start: Timestamp) {
        (self.start, self.len, self.omitted) = (start, 0, 0);
    }

    pub(super) fn record(&mut self, at: Timestamp, event: Event) {
        let crowded = matches!(event, Event::Stray(..)) && self.len >= CAPACITY / 2;
        if crowded {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        if self.len < CAPACITY {
            self.len += 1;
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
        if let Some(newest) = self.events.get_mut(self.len - 1) {
            *newest = (at, event);
        }
    }

    /// The events in order, each with its time since the transaction began.
    pub fn events(&self) -> impl Iterator<Item = (Duration, Event)> {
        self.events.iter().take(self.len).map(|&(at, event)| (at.since(self.start), event))
    }

    /// When each transmission left, counted from the first one.
    pub fn transmissions(&self) -> impl Iterator<Item = Duration> {
        let sent = || self.events().filter(|(_, event)| matches!(event, Event::Transmitted(_))).map(|(at, _)| at);
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

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_full_record_keeps_its_beginning_and_the_newest_event() {
        let mut timeline = Timeline::new(at(5));
        for n in 1..=40 {
            timeline.record(at(5 + u64::from(n)), Event::Transmitted(n));
        }
        let events: Vec<_> = timeline.events().collect();
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(events[0], (Duration::from_nanos(1), Event::Transmitted(1)));
        assert_eq!(events[30], (Duration::from_nanos(31), Event::Transmitted(31)));
        assert_eq!(events[31], (Duration::from_nanos(40), Event::Transmitted(40)));
        assert_eq!(timeline.omitted(), 8);
    }

    #[test]
    fn strays_leave_room_for_transmissions() {
        let mut timeline = Timeline::new(at(0));
        for n in 0..1000 {
            timeline.record(at(n), Event::Stray(Stray::Foreign, 4));
        }
        timeline.record(at(1000), Event::Transmitted(2));
        assert_eq!(timeline.events().count(), CAPACITY / 2 + 1);
        assert_eq!(timeline.omitted(), 1000 - CAPACITY as u32 / 2);
    }

    #[test]
    fn transmissions_are_counted_from_the_first() {
        let mut timeline = Timeline::new(at(0));
        assert_eq!(timeline.transmissions().count(), 0);
        timeline.record(at(7), Event::Transmitted(1));
        timeline.record(at(8), Event::Stray(Stray::Foreign, 1));
        timeline.record(at(10), Event::Transmitted(2));
        let sent: Vec<_> = timeline.transmissions().map(|at| at.as_nanos()).collect();
        assert_eq!(sent, [0, 3]);
    }
}
