use alloc::boxed::Box;
use alloc::vec::Vec;

use super::chunks::Chunks;
use super::slots::NONE;
use crate::time::{Ns, Timestamp};
use crate::transaction::active_request::ActiveRequest;
use crate::transaction::record::Record;
use crate::transaction::{Event, Timeline};

/// What is kept of a request that does not simply go well: made at the first unusual fact, from what its slot knows.
#[derive(Debug)]
pub(super) struct Troubled {
    /// `None` before its first transmission, or the attempt at it: there the request begins.
    pub(super) active: Option<ActiveRequest>,
    /// When it began.
    pub(super) began: Timestamp,
    /// When it was sent last.
    pub(super) sent: Timestamp,
    /// When it ends at the latest by its own deadline, `MAX` without one; once it has ended, when it did.
    pub(super) end_by: Timestamp,
    /// The round trip that a provisional answer measured, `MAX` without one.
    pub(super) measured: Ns,
    pub(super) log: Log,
}

impl Troubled {
    /// What a provisional answer measured.
    pub(super) fn measured(&self) -> Option<Ns> {
        (self.measured != Ns::MAX).then_some(self.measured)
    }
}

/// A request's timeline, if there was one left for it.
#[derive(Debug, Default)]
pub(super) struct Log(pub(super) Option<Box<Timeline>>);

impl Record for Log {
    fn record(&mut self, at: Timestamp, event: Event) {
        if let Some(timeline) = &mut self.0 {
            timeline.record(at, event);
        }
    }
}

/// The records of all requests that have one, and the timelines that these share.
#[derive(Debug)]
pub(super) struct Records {
    records: Chunks<Troubled>,
    free: Vec<u32>,
    /// Timelines that no record has at present.
    #[expect(clippy::vec_box, reason = "they move in and out as boxes")]
    spare: Vec<Box<Timeline>>,
    /// Timelines that may still be made.
    unmade: usize,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { records: Chunks::new(), free: Vec::new(), spare: Vec::new(), unmade: TIMELINES }
    }

    pub(super) fn insert(&mut self, troubled: Troubled) -> u32 {
        let Some(number) = self.free.pop() else { return self.records.push(troubled) };
        if let Some(free) = self.records.get_mut(number) {
            *free = troubled;
        }
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&Troubled> {
        self.records.get(number).filter(|_| number != NONE)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Troubled> {
        self.records.get_mut(number)
    }

    /// Frees a record; its timeline, if it has one, goes to whoever learns of the end, or comes back.
    pub(super) fn remove(&mut self, number: u32) -> Option<Box<Timeline>> {
        let record = self.records.get_mut(number)?;
        record.active = None;
        let log = core::mem::take(&mut record.log);
        self.free.push(number);
        log.0
    }

    /// A timeline that begins at this moment, if one is left.
    pub(super) fn log(&mut self, start: Timestamp) -> Log {
        let spare = self.spare.pop().or_else(|| {
            self.unmade = self.unmade.checked_sub(1)?;
            Some(Box::new(Timeline::new(start)))
        });
        Log(spare.map(|mut timeline| {
            timeline.restart(start);
            timeline
        }))
    }

    /// Keeps the timeline of a request that was answered after all for the next one.
    pub(super) fn give_back(&mut self, timeline: Option<Box<Timeline>>) {
        self.spare.extend(timeline);
    }

    /// A timeline went to the caller for good: another one may be made for it.
    pub(super) fn give_away(&mut self, timeline: Option<&Timeline>) {
        self.unmade += usize::from(timeline.is_some());
    }
}

/// Requests in trouble at a time whose events are remembered; each takes a KiB.
const TIMELINES: usize = 64;
