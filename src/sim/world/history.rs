use core::time::Duration;

use super::World;
use crate::sim::observer::Seen;
use crate::sim::{Happened, SimEvent};

impl<A> World<A> {
    /// Something has happened.
    #[inline]
    pub(super) fn note(&mut self, event: SimEvent) {
        self.hash = event.hash(self.hash);
        if let Some(record) = &mut self.record {
            record.push(event);
        }
        if let Some(observer) = &self.observer {
            let mut seen = Seen { event, least_delay: Duration::ZERO, planned: false };
            if let Happened::Sent { path, direction, n, .. }
            | Happened::RefusalSent { path, direction, n, .. }
            | Happened::ReportSent { path, direction, n, .. } = event.what
            {
                seen.least_delay = self.topology.least_delay(path, direction);
                seen.planned = self.topology.plan().names(path, direction, n);
            }
            observer.borrow_mut().on_event(&seen);
        }
    }
}
