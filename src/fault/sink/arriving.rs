use super::LossySink;
use crate::fault::link::fate::Fate;
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
        let fate = self.links.decide(back, received.from, received.at, received.actual, at, incoming);
        // Lost, and never shown. `TooBig` concerns a sender on this host, and this one is elsewhere.
        let Fate::Delivered(deliveries) = fate else { return false };
        let mut passed = false;
        for delivery in &deliveries {
            // The buffer serves one copy, and holds it as it came.
            let buffer_serves = direct && !passed && delivery.is_whole(received.actual);
            let has_arrived = delivery.at <= received.at;
            // What is due by then and waits already was first.
            let is_next = self.incoming.line.next_due().is_none_or(|due| due > delivery.at);
            if buffer_serves && has_arrived && is_next {
                passed = true;
                self.incoming.passed += 1;
                continue;
            }
            // The line keeps what there is of the datagram; its true length must come out all the same.
            let missing = delivery.len.saturating_sub(datagram.len());
            self.incoming.line.push(received.from, missing, delivery, datagram);
        }
        passed
    }

    /// The next datagram that has arrived by `now`.
    pub(super) fn hand_out(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<Received<T::Peer>> {
        let out = self.incoming.line.pop_due(now, |from, missing, at, datagram| {
            let len = datagram.len().min(buffer.len());
            if let (Some(to), Some(datagram)) = (buffer.get_mut(..len), datagram.get(..len)) {
                to.copy_from_slice(datagram);
            }
            Received::new(from, len, datagram.len() + missing, at)
        })?;
        self.incoming.passed += 1;
        Some(out)
    }
}
