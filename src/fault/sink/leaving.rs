use super::LossySink;
use super::captured::Course;
use crate::fault::capture::Tag;
use crate::fault::link::fate::{Delivery, Fate};
use crate::fault::link::transit::Transit;
use crate::fault::record::Record;
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::{PathError, Transport};

/// What is sent: it leaves at once, late, or not at all.
impl<T: Transport> LossySink<T> {
    /// A datagram of the caller's.
    pub(super) fn offer(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        let now = self.inner.now();
        let known = if self.offered.is_kept() { self.offered_before(to, datagram) } else { None };
        let (record, next) = match known {
            Some(known) => known,
            None => {
                self.check_size(to, datagram.len())?;
                (self.decide(to, now, datagram), 0)
            }
        };
        let deliveries = match &record.fate {
            Fate::Delivered(deliveries) => deliveries,
            Fate::Dropped(_) => return Ok(()),
            Fate::TooBig { limit } => {
                self.keep_offered(to, datagram, record, next);
                return Err(PathError::TooBig { limit: Some(*limit) });
            }
        };
        let mut left = false;
        for (n, delivery) in deliveries.iter().enumerate().skip(next) {
            let tag = Tag::new(&record, n, delivery);
            if delivery.at > now {
                self.outgoing.line.push(to, tag, delivery, datagram);
                left = true;
                continue;
            }
            let copy = delivery.as_it_leaves(datagram, &mut self.scratch);
            let family = self.links.family;
            if left {
                // The datagram itself has left, so what happens to this copy is no error of it.
                match send_again(&mut self.inner, to, copy) {
                    Ok(swallowed) => {
                        self.outgoing.passed += 1;
                        self.pending = swallowed.or(self.pending);
                        self.captured.sent(&self.inner, to, family, &tag, copy);
                    }
                    Err(error) => {
                        self.outgoing.failed += 1;
                        self.pending = Some(error);
                    }
                }
                continue;
            }
            if let Err(error) = self.inner.send(to, copy) {
                self.keep_offered(to, datagram, record, n);
                return Err(error);
            }
            self.outgoing.passed += 1;
            left = true;
            self.captured.sent(&self.inner, to, family, &tag, copy);
        }
        Ok(())
    }

    /// What becomes of a datagram that enters its link.
    fn decide(&mut self, to: T::Peer, now: Timestamp, datagram: &[u8]) -> Record {
        let Self { links, outgoing, captured, .. } = self;
        let record = links.decide(self.sending, to, now, datagram.len(), Some(now), outgoing);
        if captured.is_on() {
            let course = Course { peer: to, is_sent: true, family: links.family };
            outgoing.observed(&record.fate, || captured.entered(course, &record, datagram));
        }
        record
    }

    /// What this host would refuse never enters the network, so that a delay does not hide it.
    fn check_size(&self, to: T::Peer, len: usize) -> Result<(), PathError> {
        if len <= SURELY_SENDABLE {
            return Ok(());
        }
        let limit = self.inner.max_plpmtu(to);
        let most = limit.unwrap_or(IpFamily::V6.max_plpmtu());
        if len <= most.bytes() { Ok(()) } else { Err(PathError::TooBig { limit }) }
    }

    /// Sends what is due by now. No one offers these datagrams again, so a send that fails is repeated here, once: its
    /// error may be an earlier datagram's, and is what the next `recv` returns.
    pub(super) fn release(&mut self) {
        self.follow_control();
        if self.outgoing.line.len() == 0 {
            return;
        }
        let Self { inner, outgoing: Transit { line, passed, failed, .. }, pending, captured, links, .. } = self;
        let now = inner.now();
        while let Some((to, tag, at, datagram)) = line.take_due(now) {
            match send_again(inner, to, &datagram) {
                Err(PathError::Cancelled) => {
                    // Nothing leaves until the cancellation is taken; then this does.
                    line.push(to, tag, &Delivery::whole(at, datagram.len()), &datagram);
                    line.give_back(datagram);
                    return;
                }
                Err(error) => {
                    *failed += 1;
                    *pending = Some(error);
                }
                Ok(swallowed) => {
                    *passed += 1;
                    *pending = swallowed.or(*pending);
                    captured.sent(inner, to, links.family, &tag, &datagram);
                }
            }
            line.give_back(datagram);
        }
    }

    /// The fate that a datagram has been dealt already, if it is the one that was offered last, and its next copy.
    #[cold]
    fn offered_before(&mut self, to: T::Peer, datagram: &[u8]) -> Option<(Record, usize)> {
        let (record, next) = self.offered.take(to, datagram)?;
        self.outgoing.failed -= record.fate.copies_from(next);
        Some((record, next))
    }

    /// Nothing of it has left.
    #[cold]
    fn keep_offered(&mut self, to: T::Peer, datagram: &[u8], record: Record, next: usize) {
        self.outgoing.failed += record.fate.copies_from(next);
        self.offered.keep(to, datagram, record, next);
    }
}

/// Sends a datagram that no one offers again. `Ok(Some(error))` is an earlier datagram's.
fn send_again<T: Transport>(inner: &mut T, to: T::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
    match inner.send(to, datagram) {
        Ok(()) => Ok(None),
        Err(swallowed) => inner.send(to, datagram).map(|()| Some(swallowed)),
    }
}

/// Bytes of payload that every host sends: the least packet that each has to take (RFC 791) holds them, with options.
const SURELY_SENDABLE: usize = 508;
