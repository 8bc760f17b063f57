use super::observer::Observer;
use super::{Event, Timeline};
use crate::time::Timestamp;

/// Where the events of a request go.
pub(super) trait Record {
    /// Something happened at this moment.
    fn record(&mut self, at: Timestamp, event: Event);
}

/// The record of one request at a time: a timeline, and the caller's function.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) timeline: Timeline,
    pub(super) observer: Option<Observer>,
}

impl Record for Book {
    #[inline]
    fn record(&mut self, at: Timestamp, event: Event) {
        if let Some(observer) = &self.observer {
            observer.show(at.since(self.timeline.start()), event);
        }
        self.timeline.record(at, event);
    }
}
