use super::LossySink;
use super::captured::Course;
use crate::fault::capture::Tag;
use crate::fault::link::fate::Fate;
use crate::fault::link::transit::Transit;
use crate::time::Timestamp;
use crate::transport::{Received, Transport};

/// What arrives: the caller is shown it at once, late, or never.
impl<T: Transport> LossySink<T> {
    /// Decides over a datagram that has arrived at this host. Returns `true` if the caller can have it as it lies in
    /// the caller's buffer, which is possible only if `direct`; its other copies go into the line.
    pub(super) fn take_in(&mut self, received: &Received<T::Peer>, datagram: &[u8], direct: bool) -> bool {
        self.follow_control();
        // What cannot be handed out directly has to be kept, even if it is due.
        let at = direct.then_some(received.at);
        let (back, incoming) = (self.sending.opposite(), &mut self.incoming);
        let record = self.links.decide(back, received.from, received.at, received.actual, at, incoming);
        let course = Course { peer: received.from, is_sent: false, family: self.links.family };
        if self.captured.is_on() {
            incoming.observed(&record.fate, || self.captured.entered(course, &record, datagram));
        }
        // Lost, and never shown. `TooBig` concerns a sender on this host, and this one is elsewhere.
        let Fate::Delivered(deliveries) = &record.fate else { return false };
        let mut passed = false;
        for (nth, delivery) in deliveries.iter().enumerate() {
            let tag = Tag::new(&record, nth, delivery);
            // What is not at hand of it.
            let missing = delivery.len.saturating_sub(datagram.len());
            // The buffer serves one copy, and holds it as it came.
            let buffer_serves = direct && !passed && delivery.is_whole(received.actual);
            let has_arrived = delivery.at <= received.at;
            // What is due by then and waits already was first.
            let is_next = self.incoming.line.next_due().is_none_or(|due| due > delivery.at);
            if buffer_serves && has_arrived && is_next {
                passed = true;
                self.incoming.passed += 1;
                if self.captured.is_on() {
                    self.captured.left(course, &tag, received.at, datagram, missing);
                }
                continue;
            }
            // The line keeps what there is of the datagram; its true length must come out all the same.
            self.incoming.line.push(received.from, (missing, tag), delivery, datagram);
        }
        passed
    }

    /// The next datagram that has arrived by `now`.
    pub(super) fn hand_out(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<Received<T::Peer>> {
        let Self { incoming: Transit { line, passed, .. }, captured, links, .. } = self;
        line.pop_due(now, |from, (missing, tag), at, datagram| {
            *passed += 1;
            if captured.is_on() {
                let course = Course { peer: from, is_sent: false, family: links.family };
                captured.left(course, &tag, at, datagram, missing);
            }
            let len = datagram.len().min(buffer.len());
            if let (Some(to), Some(datagram)) = (buffer.get_mut(..len), datagram.get(..len)) {
                to.copy_from_slice(datagram);
            }
            Received::new(from, len, datagram.len() + missing, at)
        })
    }
}
