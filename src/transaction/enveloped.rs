//! What a transaction with envelopes does otherwise. Apart, so that one without is not slowed by it.

use super::active_request::Answer;
use super::reach::routed;
use super::said::Meaning;
use super::{Match, ReplyMatcher, Stray, Transaction};
use crate::envelope::{HEADER_LEN, ReplyHeader, ReplyKind};
use crate::time::Timestamp;
use crate::transport::PathIndex;

impl<M: ReplyMatcher> Transaction<M> {
    /// Puts the transmission that is due into its envelope. One that is offered again, as its send failed, stays as it is: the
    /// same bytes are the same datagram.
    #[cold]
    pub(super) fn seal(&mut self, path: PathIndex, now: Timestamp) {
        let Self { active, outbox, envelope: Some(envelope), .. } = self else { return };
        if let Some(lane) = outbox.lane(path).filter(|_| !active.is_reissue() || !envelope.is_sealed()) {
            let number = active.transmissions().saturating_add(1);
            envelope.seal(path, number, now, active.deadline(), lane.requests.newest());
        }
    }

    /// As [`on_datagram`](Self::on_datagram), where a header is expected before the payload.
    #[cold]
    pub(super) fn on_enveloped(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8], actual: usize) -> Match {
        let Ok((header, payload)) = ReplyHeader::decode(datagram) else {
            self.add_stray(at, path, if actual == 0 { Stray::Empty } else { Stray::Envelope }, actual);
            return Match::Foreign;
        };
        let actual = actual.saturating_sub(HEADER_LEN);
        if header.kind() == ReplyKind::Unknown {
            self.on_unknown(at, path, &header, payload, actual);
            return Match::Foreign;
        }
        if !self.fits(path, &header) && self.is_answer(at, path, payload) {
            self.add_stray(at, path, Stray::Envelope, actual);
            return Match::Foreign;
        }
        let verdict = self.on_payload(at, path, payload, actual, Some(&header));
        if let (Some(envelope), true) = (&mut self.envelope, verdict != Match::Foreign) {
            envelope.on_answered(path, &header);
        }
        verdict
    }

    /// Bytes of a datagram before its payload.
    #[inline]
    pub(super) fn header_len(&self) -> usize {
        if self.envelope.is_some() { HEADER_LEN } else { 0 }
    }

    fn fits(&self, path: PathIndex, header: &ReplyHeader) -> bool {
        self.envelope.as_ref().is_some_and(|envelope| envelope.fits(path, header))
    }

    fn is_answer(&self, at: Timestamp, path: PathIndex, payload: &[u8]) -> bool {
        let judge = |lane: &super::outbox::Lane| lane.requests.judge(&self.destination.matcher, payload).0;
        self.active.accepts(at) && self.outbox.lane(path).is_some_and(|lane| judge(lane) != Match::Foreign)
    }

    /// When the transmission left that is answered, if only one can be meant: as the header says, where there is one.
    #[inline]
    pub(super) fn sent_at(
        &self,
        path: PathIndex,
        header: Option<&ReplyHeader>,
        by_bytes: Option<Timestamp>,
    ) -> Option<Timestamp> {
        match (header, &self.envelope) {
            (Some(header), Some(envelope)) => envelope.sent_at(path, header),
            _ => by_bytes,
        }
    }

    /// A server does not know whether a request was executed before, of which it received these bytes of `actual` ones.
    fn on_unknown(&mut self, at: Timestamp, path: PathIndex, header: &ReplyHeader, quoted: &[u8], actual: usize) {
        let Self { active, reach, outbox, envelope: Some(envelope), .. } = self else { return };
        let is_bound = active.is_overdue(at) || active.is_suspect() || reach.is_overdue(at);
        let requests = outbox.lane(path).map(|lane| &lane.requests);
        let meaning = match requests {
            Some(requests) if active.accepts(at) && requests.has_sent_whole(quoted, actual) => {
                envelope.on_unknown(at, is_bound, path, header)
            }
            Some(requests) if requests.has_known_whole(quoted, actual) => Meaning::Late,
            _ => return self.add_stray(at, path, Stray::Foreign, actual),
        };
        match meaning {
            Meaning::Wrong => self.add_stray(at, path, Stray::Envelope, actual),
            Meaning::Late => self.add_stray(at, path, Stray::Stale, actual),
            Meaning::Taken | Meaning::Lost => {
                let is_lost = meaning == Meaning::Lost && envelope.is_lost();
                let sent_at = envelope.sent_at(path, header).filter(|_| !is_bound);
                let answer = Answer { at, path, round_trip: sent_at.map(|sent_at| at.since_ns(sent_at)) };
                let Self { active, book, .. } = self;
                routed!(self, routing => {
                    match meaning {
                        Meaning::Taken => active.on_taken(routing, answer, book),
                        _ => active.on_lost(answer, is_lost, book),
                    }
                });
            }
        }
    }
}
