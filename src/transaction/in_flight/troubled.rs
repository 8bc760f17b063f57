use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::chunks::Chunks;
use super::slots::NONE;
use crate::time::{Ns, Timestamp};
use crate::transaction::active_request::ActiveRequest;
use crate::transaction::record::Record;
use crate::transaction::{Event, Timeline};

/// What is kept of a request that does not simply go well: made at the first unusual fact, from what its slot knows.
#[derive(Default, Debug)]
pub(super) struct Troubled {
    /// `None` before its first transmission, or the attempt at it: there the request begins.
    pub(super) active: Option<ActiveRequest>,
    /// When it began; once it has ended, how long that took.
    began: Timestamp,
    /// Before it begins, its own deadline, [`MAX`](Timestamp::MAX) without one; then when it was sent last; and once a
    /// provisional answer came, the round trip that this measured, `MAX` without one. One place, as there are millions.
    mark: Timestamp,
    pub(super) log: Log,
}

impl Troubled {
    /// One that has not begun.
    pub(super) fn waiting(now: Timestamp, end_by: Timestamp, log: Log) -> Self {
        Self { active: None, began: now, mark: end_by, log }
    }

    /// One that was sent once, when it began.
    pub(super) fn sent(active: ActiveRequest, began: Timestamp, log: Log) -> Self {
        Self { active: Some(active), began, mark: began, log }
    }

    /// Its machine, from when it begins.
    pub(super) fn begin(&mut self, now: Timestamp, active: ActiveRequest) {
        (self.active, self.began, self.mark) = (Some(active), now, now);
    }

    /// When it ends at the latest.
    pub(super) fn end_by(&self) -> Timestamp {
        self.active.as_ref().map_or(self.mark, ActiveRequest::deadline)
    }

    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    pub(super) fn on_transmitted(&mut self, now: Timestamp) {
        if !self.is_answered() {
            self.mark = now;
        }
    }

    /// From its only transmission to what arrived at `at`, if that was read in time to be a measurement, and nothing was
    /// measured before.
    pub(super) fn round_trip(&self, at: Timestamp) -> Option<Ns> {
        let active = self.active.as_ref().filter(|active| active.transmissions() == 1 && !active.is_overdue(at))?;
        (!active.is_answered()).then(|| at.since_ns(self.mark))
    }

    /// It is about to be answered, provisionally or by what is too large, with this round trip.
    pub(super) fn on_answer(&mut self, round_trip: Option<Ns>) {
        if !self.is_answered() {
            self.mark = round_trip.map_or(Timestamp::MAX, Timestamp::from_nanos);
        }
    }

    /// What its first answer measured, if there was one.
    pub(super) fn measured(&self) -> Option<Ns> {
        (self.is_answered() && self.mark != Timestamp::MAX).then_some(self.mark.as_nanos())
    }

    pub(super) fn on_end(&mut self, now: Timestamp) {
        self.began = Timestamp::from_nanos(now.since_ns(self.began));
    }

    /// How long it took, once it has ended.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.began.as_nanos())
    }

    pub(super) fn is_answered(&self) -> bool {
        self.active.as_ref().is_some_and(ActiveRequest::is_answered)
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
    /// Of these, those that no request has.
    free: Chunks<u32>,
    /// Timelines that no record has at present.
    #[expect(clippy::vec_box, reason = "they move in and out as boxes")]
    spare: Vec<Box<Timeline>>,
    /// Timelines that may still be made.
    unmade: usize,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { records: Chunks::new(), free: Chunks::new(), spare: Vec::new(), unmade: TIMELINES }
    }

    pub(super) fn insert(&mut self, troubled: Troubled) -> u32 {
        let Some(number) = self.free.pop() else { return self.records.push(troubled) };
        if let Some(free) = self.records.get_mut(number) {
            *free = troubled;
        }
        number
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Troubled> {
        self.records.get(number).filter(|_| number != NONE)
    }

    #[inline]
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
