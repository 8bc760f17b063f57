use std::net::SocketAddr;
use std::time::Instant;

use super::lane::Lane;
use crate::fault::{Ends, FateObserver, Record, Tag, Tap};
use crate::time::Timestamp;

/// Those who see what becomes of datagrams: an observer, and a capture.
pub(super) struct Watch {
    observer: Option<FateObserver<SocketAddr>>,
    tap: Tap,
    /// The origin of all timestamps.
    origin: Instant,
}

impl Watch {
    pub(super) fn new(observer: Option<FateObserver<SocketAddr>>, tap: Tap, origin: Instant) -> Self {
        Self { observer, tap, origin }
    }

    /// A datagram of a client's session enters its link. Either may panic: the observer, and the capture's writer.
    #[inline]
    pub(super) fn entered<P: Copy + Ord>(
        &mut self,
        lane: &mut Lane<P>,
        client: SocketAddr,
        record: &Record,
        ends: Ends,
        datagram: &[u8],
    ) {
        let Self { observer, tap, .. } = self;
        if observer.is_none() && !tap.is_on() {
            return;
        }
        lane.observed(&record.fate, || {
            tap.entered(record, ends, datagram);
            if let Some(observer) = observer {
                observer(client, record);
            }
        });
    }

    /// The system has taken a copy.
    #[inline]
    pub(super) fn left(&self, tag: &Tag, ends: Ends, datagram: &[u8]) {
        if self.tap.is_on() {
            self.tap.left(tag, Timestamp::ZERO.after(self.origin.elapsed()), ends, datagram, 0);
        }
    }
}
