use core::num::NonZeroU16;

use crate::envelope::{Incarnation, ReplyHeader, RequestHeader};
use crate::time::Timestamp;

/// What the envelopes of one request have said on one path, and what answers in one mean.
///
/// The incarnation that the first transmission named is the request's from then on, whatever other requests learn meanwhile.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Said {
    /// The incarnation that the request is for.
    named: Option<Incarnation>,
    /// The first transmission that names another than the first one did.
    taken: Option<u32>,
    /// Its server has restarted, and may have executed the request before.
    is_lost: bool,
    first_at: Option<Timestamp>,
    /// How many transmissions there were on this path; each has the place of its count in `sent`.
    count: usize,
    sent: [(u32, Timestamp); KEPT],
}

/// What it means that a server does not know whether a request was executed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// It cannot be an answer to what was sent.
    Wrong,
    /// It answers a copy that is of no account any more.
    Late,
    /// No earlier incarnation can have received it: it goes to this one.
    Taken,
    /// An earlier one may have executed it.
    Lost,
}

/// The header of the `number`th transmission of a request that ends waiting at `deadline`.
pub(super) fn header(number: u32, now: Timestamp, deadline: Timestamp, named: Option<Incarnation>) -> RequestHeader {
    let remaining = (deadline != Timestamp::MAX).then(|| deadline.since(now));
    RequestHeader::new(number, remaining, named)
}

impl Said {
    /// Whom the next transmission names, where this incarnation is known to be there.
    pub(super) fn name(&mut self, known: Option<Incarnation>) -> Option<Incarnation> {
        if self.first_at.is_none() {
            self.named = known;
        }
        self.named
    }

    /// The same, once something has left.
    pub(super) fn named(&self) -> Option<Incarnation> {
        self.named
    }

    /// A transmission has left.
    pub(super) fn on_transmitted(&mut self, number: u32, now: Timestamp) {
        self.first_at = self.first_at.or(Some(now));
        if let Some(place) = self.sent.get_mut(self.count % KEPT) {
            *place = (number, now);
        }
        self.count = self.count.saturating_add(1);
    }

    /// Whether this can be the header of a reply.
    pub(super) fn fits(&self, header: &ReplyHeader) -> bool {
        is_from(self.named, header) && self.has_sent(header.transmission())
    }

    /// When the transmission left that is answered, as far back as that is known.
    pub(super) fn sent_at(&self, header: &ReplyHeader) -> Option<Timestamp> {
        Some(self.find(header.transmission())?.1)
    }

    /// A server answered a copy of the request that it does not know whether it was executed before. That arrived at `at`, or
    /// later if that `is_bound` is all that is known.
    pub(super) fn on_unknown(&mut self, at: Timestamp, is_bound: bool, header: &ReplyHeader) -> Meaning {
        let number = self.find(header.transmission()).map(|(number, _)| number);
        match (self.first_at, self.taken) {
            (None, _) => return Meaning::Wrong,
            _ if !self.has_sent(header.transmission()) => return Meaning::Wrong,
            // Copies that left before name an incarnation that does not count any more.
            (_, Some(taken)) if number.is_none_or(|number| number < taken) => return Meaning::Late,
            // It would have executed it.
            _ if self.named == Some(header.incarnation()) => return Meaning::Wrong,
            (Some(first_at), None) if !self.is_lost && header.was_up_for(at.since(first_at)) => {
                // It may have restarted after `at` and before it answered. The next copy is answered, too.
                if is_bound {
                    return Meaning::Late;
                }
                (self.named, self.taken) = (Some(header.incarnation()), Some(self.newest().saturating_add(1)));
            }
            _ => self.is_lost = true,
        }
        if self.is_lost { Meaning::Lost } else { Meaning::Taken }
    }

    /// Whether nothing was sent here that may still be answered.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_lost || self.first_at.is_none()
    }

    /// The number of the latest transmission; 0 if there was none.
    fn newest(&self) -> u32 {
        self.count.checked_sub(1).and_then(|latest| self.sent.get(latest % KEPT)).map_or(0, |&(number, _)| number)
    }

    fn find(&self, transmission: NonZeroU16) -> Option<(u32, Timestamp)> {
        let known = self.sent.iter().take(self.count);
        known.copied().find(|&(number, _)| RequestHeader::new(number, None, None).transmission() == transmission)
    }

    /// Whether there was such a transmission; of those before the latest [`KEPT`] every number may have been one.
    fn has_sent(&self, transmission: NonZeroU16) -> bool {
        let is_earlier = || self.sent.iter().all(|&(number, _)| number > u32::from(transmission.get()));
        self.find(transmission).is_some() || self.count > KEPT && is_earlier()
    }
}

/// A server executes only what names it, or no one.
pub(super) fn is_from(named: Option<Incarnation>, header: &ReplyHeader) -> bool {
    named.is_none_or(|named| named == header.incarnation())
}

/// As many transmissions as requests that are built anew and remembered.
const KEPT: usize = 16;
