//! What requests in envelopes do otherwise. Apart, so that those without are not slowed by it.

use alloc::boxed::Box;
use core::fmt::Debug;

use super::InFlight;
use super::envelopes::Envelopes;
use super::finished::Arrived;
use super::progress::{Case, Turn};
use super::recipient::{Recipient, routed};
use super::slots::{Slot, State};
use crate::envelope::{HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use crate::time::{Ns, Timestamp};
use crate::transaction::active_request::{ActiveRequest, Answer};
use crate::transaction::routing::Routing;
use crate::transaction::said::{Meaning, Said, header, is_from};
use crate::transaction::{KeyedMatcher, Stray};
use crate::transport::PathIndex;

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// Puts an [envelope](crate::envelope) around each request, and expects one around each reply: the servers must do the same.
    /// None by default; for requests that are submitted from now on.
    ///
    /// Whoever sends what [`transmits`](Self::transmits) names [seals](Self::seal) it first, and finds the payload of a reply by
    /// [`payload`](Self::payload).
    #[must_use]
    pub fn with_envelope(mut self) -> Self {
        self.payloads.envelop();
        self.envelopes.get_or_insert_with(|| Box::new(Envelopes::new()));
        self
    }

    /// Writes into the envelopes of the first `count` of [`transmits`](Self::transmits) what they say if they leave at `now`: call
    /// it before they do. Without envelopes it does nothing.
    ///
    /// One that is offered again, as its send failed, stays as it was: the same bytes are the same datagram.
    #[inline]
    pub fn seal(&mut self, now: Timestamp, count: usize) {
        if self.envelopes.is_some() {
            self.seal_first(now, count);
        }
    }

    /// What a datagram that was taken for a reply has in its envelope; all of it without envelopes.
    #[must_use]
    #[inline]
    pub fn payload<'d>(&self, datagram: &'d [u8]) -> &'d [u8] {
        datagram.get(self.header_len()..).unwrap_or_default()
    }

    /// Bytes of a datagram before its payload.
    #[inline]
    pub(crate) fn header_len(&self) -> usize {
        if self.envelopes.is_some() { HEADER_LEN } else { 0 }
    }

    fn seal_first(&mut self, now: Timestamp, count: usize) {
        let Self { ready, slots, payloads, groups, peers, records, rules, envelopes: Some(envelopes), .. } = self
        else {
            return;
        };
        let mut is_offered_again = self.pauses > 0;
        for (number, slot) in ready.iter(slots).take(count) {
            let troubled = records.get(slot.record);
            let active = troubled.and_then(|troubled| troubled.active.as_ref());
            is_offered_again |= active.is_some_and(ActiveRequest::is_reissue);
            let transmission = active.map_or(0, ActiveRequest::transmissions).saturating_add(1);
            let deadline = active.map_or_else(
                // It begins as it leaves.
                || {
                    let of_policy =
                        rules.policy(slot.policy).deadline_ns().map_or(Timestamp::MAX, |it| now.after_ns(it));
                    troubled.map_or(of_policy, |troubled| of_policy.min(troubled.end_by()))
                },
                ActiveRequest::deadline,
            );
            let carrier = groups.carrier(number);
            let Some(carried) = slots.get(carrier) else { continue };
            let named = match envelopes.get(carrier) {
                Some(said) => said.named(),
                None => peers.get(carried.peer).and_then(|peer| peer.incarnation),
            };
            let fresh = header(transmission, now, deadline, named);
            if let Some(place) = payloads.header_mut(carried.place) {
                if !(is_offered_again && is_alike(place, &fresh)) {
                    *place = fresh.encode();
                }
            }
            is_offered_again = false;
        }
    }

    /// A request that has a record was sent, as this transmission: number 1 is the first.
    pub(super) fn note_transmitted(&mut self, now: Timestamp, carrier: u32, transmission: u32) {
        let named = self.named(carrier);
        let Some(envelopes) = &mut self.envelopes else { return };
        if let Some(said) = envelopes.keep(carrier, named) {
            said.on_transmitted(transmission, now);
        }
    }

    /// A request that was sent once, and had no record until now, gets what is kept beside that.
    pub(super) fn keep_envelope(&mut self, number: u32, slot: &Slot) {
        if slot.state == State::Sent {
            self.note_transmitted(slot.at(), number, 1);
        }
    }

    /// The incarnation that the latest transmission of these bytes named.
    fn named(&self, carrier: u32) -> Option<Incarnation> {
        let header = self.payloads.header(self.slots.get(carrier)?.place)?;
        RequestHeader::decode(header).ok()?.0.incarnation()
    }

    /// A datagram came from a peer that is asked something.
    #[cold]
    pub(super) fn take_enveloped(&mut self, at: Timestamp, peer: u32, datagram: &[u8], actual: usize) -> Arrived {
        let Ok((header, payload)) = ReplyHeader::decode(datagram) else {
            return self.count_stray(if actual == 0 { Stray::Empty } else { Stray::Envelope });
        };
        let actual = actual.saturating_sub(HEADER_LEN);
        let arrived = match header.kind() {
            ReplyKind::Unknown => return self.on_unknown(at, peer, &header, payload, actual),
            ReplyKind::Reply => self.take_payload(at, peer, payload, actual, Some(&header)),
        };
        if !matches!(arrived, Arrived::Stray(_)) {
            self.know(peer, &header);
        }
        arrived
    }

    /// Whether this can be the header of a reply to the request that this slot has, or has a copy of.
    pub(super) fn fits(&self, number: u32, header: &ReplyHeader) -> bool {
        match self.envelopes.as_ref().and_then(|envelopes| envelopes.get(number)) {
            Some(said) => said.fits(header),
            None => header.transmission().get() == 1 && is_from(self.named(number), header),
        }
    }

    /// From the transmission that is answered to what arrived at `at`, if that was read in time to be a measurement. Of a request
    /// that has a record; `found` is its slot, or that of the copy which was answered.
    pub(super) fn round_trip_by(&mut self, at: Timestamp, number: u32, found: u32, header: &ReplyHeader) -> Option<Ns> {
        let is_bound = self.is_bound(at, number);
        let sent_at = self.envelopes.as_ref()?.get(found)?.sent_at(header)?;
        (!is_bound).then(|| at.since_ns(sent_at))
    }

    /// A server does not know whether a request was executed before, of which it received these bytes of `actual` ones.
    fn on_unknown(&mut self, at: Timestamp, peer: u32, header: &ReplyHeader, quoted: &[u8], actual: usize) -> Arrived {
        let key = self.matcher.id(quoted).and_then(|id| self.ids.key(id));
        let found = key.and_then(|key| self.ids.find(key, peer, self.kept(), &self.matcher));
        let is_whole = |slot: &Slot| {
            let request = self.payloads.get(slot.place);
            request.len() == actual && request.starts_with(quoted)
        };
        let found = match found {
            Some((found, slot)) if is_whole(slot) && self.accepts(at, found, slot) => found,
            // It has ended, and no one has looked yet.
            Some((found, slot)) if is_whole(slot) && self.was_transmitted(found) => {
                return self.count_stray(Stray::Stale);
            }
            _ if self.ids.stray(key, quoted.len(), actual) == Stray::Stale => return self.count_stray(Stray::Stale),
            _ => return self.count_stray(Stray::Foreign),
        };
        let number = self.groups.request(found).map_or(found, |request| request.slot);
        let is_suspect = self.case(at, number).and_then(|case| Some(case.troubled.active.as_ref()?.is_suspect()));
        let is_bound = is_suspect.unwrap_or(true) || self.is_bound(at, number);
        let said = self.envelopes.as_mut().and_then(|envelopes| envelopes.get_mut(found));
        let meaning = said.map_or(Meaning::Wrong, |said| said.on_unknown(at, is_bound, header));
        match meaning {
            Meaning::Wrong => return self.count_stray(Stray::Envelope),
            Meaning::Late => return self.count_stray(Stray::Stale),
            Meaning::Taken | Meaning::Lost => self.know(peer, header),
        }
        let round_trip = if is_bound { None } else { self.round_trip_by(at, number, found, header) };
        let is_lost = self.is_lost_everywhere(number);
        let path = self.groups.request_mut(number).map_or(PathIndex::FIRST, |request| {
            let path = request.of_slot(found).map_or(PathIndex::FIRST, |asked| asked.report.path);
            // What is repeated has its place there.
            request.is_admitted |= meaning == Meaning::Taken;
            path
        });
        let answer = Answer { at, path, round_trip };
        // What waits for its turn waits on, unless this ends it or has it sent once more.
        let is_queued = self.slots.get(number).is_some_and(|it| matches!(it.state, State::Ready | State::Waiting));
        let mut goes_on = meaning == Meaning::Taken || !is_queued;
        if let Some(Case { troubled, mut recipient, .. }) = self.case(at, number) {
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing => match meaning {
                    Meaning::Taken => active.on_taken(routing, answer, &mut troubled.log),
                    _ => active.on_lost(answer, is_lost, &mut troubled.log),
                });
                goes_on |= active.is_suspect();
            }
        }
        if goes_on {
            self.detach(number);
            self.go_on(at, number, Turn::Last);
        }
        self.settle(at);
        Arrived::Unknown(self.slots.handle(number))
    }

    /// Whether each server that has the request says that an earlier incarnation may have executed it.
    fn is_lost_everywhere(&self, number: u32) -> bool {
        let is_hopeless = |slot: u32| {
            let said = self.envelopes.as_ref().and_then(|envelopes| envelopes.get(slot));
            said.is_none_or(Said::is_hopeless)
        };
        match self.groups.request(number) {
            None => is_hopeless(number),
            Some(request) => request.asked.iter().all(|asked| is_hopeless(asked.slot)),
        }
    }

    /// Whether what arrived at `at` may have waited in the queue, so that this is no more than a bound. Of a request that has a
    /// record.
    pub(super) fn is_bound(&mut self, at: Timestamp, number: u32) -> bool {
        let Some(Case { troubled, recipient, .. }) = self.case(at, number) else { return true };
        let is_late = troubled.active.as_ref().is_none_or(|active| active.is_overdue(at));
        match recipient {
            Recipient::One(_) => is_late,
            Recipient::Several(mut asking) => is_late || asking.wake(at, Timestamp::MAX) <= at,
        }
    }

    /// This incarnation is there.
    fn know(&mut self, peer: u32, header: &ReplyHeader) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.incarnation = Some(header.incarnation());
        }
    }

    pub(super) fn count_stray(&mut self, kind: Stray) -> Arrived {
        self.strays.add(kind);
        Arrived::Stray(kind)
    }
}

/// Whether two headers differ in nothing but the time that is left.
fn is_alike(sealed: &[u8; HEADER_LEN], fresh: &RequestHeader) -> bool {
    let is_it = |sealed: RequestHeader| {
        (sealed.transmission(), sealed.incarnation()) == (fresh.transmission(), fresh.incarnation())
    };
    RequestHeader::decode(sealed).is_ok_and(|(sealed, _)| is_it(sealed))
}
