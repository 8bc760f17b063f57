use alloc::vec::Vec;
use core::num::NonZeroU16;

use crate::envelope::{Incarnation, ReplyHeader, RequestHeader};
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// What headers say: those of the present request's transmissions, and those of answers. Of each path by itself.
#[derive(Clone, Default, Debug)]
pub(super) struct Enveloping {
    /// The transmission that is due: header and request.
    datagram: Vec<u8>,
    paths: Vec<Said>,
}

/// What was said on one path.
#[derive(Clone, Copy, Default, Debug)]
struct Said {
    /// The incarnation that answered last, whatever request.
    known: Option<Incarnation>,
    /// The one that the present request is for.
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

impl Enveloping {
    /// Another request begins.
    pub(super) fn begin(&mut self) {
        self.paths.iter_mut().for_each(|said| *said = Said { known: said.known, ..Said::default() });
    }

    /// Puts a transmission into its envelope: it is the `number`th of the request, and ends waiting at `deadline`.
    pub(super) fn seal(&mut self, path: PathIndex, number: u32, now: Timestamp, deadline: Timestamp, request: &[u8]) {
        let Some(said) = self.said_mut(path) else { return };
        if said.first_at.is_none() {
            said.named = said.known;
        }
        let remaining = (deadline != Timestamp::MAX).then(|| deadline.since(now));
        let header = RequestHeader::new(number, remaining, said.named).encode();
        self.datagram.clear();
        self.datagram.extend_from_slice(&header);
        self.datagram.extend_from_slice(request);
    }

    pub(super) fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// The transmission has left.
    pub(super) fn on_transmitted(&mut self, path: PathIndex, number: u32, now: Timestamp) {
        let Some(said) = self.said_mut(path) else { return };
        said.first_at = said.first_at.or(Some(now));
        if let Some(place) = said.sent.get_mut(said.count % KEPT) {
            *place = (number, now);
        }
        said.count = said.count.saturating_add(1);
    }

    /// Whether this can be the header of a reply to the present request.
    pub(super) fn fits(&self, path: PathIndex, header: &ReplyHeader) -> bool {
        self.said(path).is_some_and(|said| said.is_from_named(header) && said.has_sent(header.transmission()))
    }

    /// When the transmission left that is answered, as far back as that is known.
    pub(super) fn sent_at(&self, path: PathIndex, header: &ReplyHeader) -> Option<Timestamp> {
        Some(self.said(path)?.find(header.transmission())?.1)
    }

    /// The request was answered.
    pub(super) fn on_answered(&mut self, path: PathIndex, header: &ReplyHeader) {
        if let Some(said) = self.said_mut(path) {
            said.known = Some(header.incarnation());
        }
    }

    /// A server answered a copy of the request that it does not know whether it was executed before. That arrived at `at`, or
    /// later if that `is_bound` is all that is known.
    pub(super) fn on_unknown(
        &mut self,
        at: Timestamp,
        is_bound: bool,
        path: PathIndex,
        header: &ReplyHeader,
    ) -> Meaning {
        let Some(said) = self.said_mut(path) else { return Meaning::Wrong };
        let number = said.find(header.transmission()).map(|(number, _)| number);
        match (said.first_at, said.taken) {
            (None, _) => return Meaning::Wrong,
            _ if !said.has_sent(header.transmission()) => return Meaning::Wrong,
            // Copies that left before name an incarnation that does not count any more.
            (_, Some(taken)) if number.is_none_or(|number| number < taken) => return Meaning::Late,
            // It would have executed it.
            _ if said.named == Some(header.incarnation()) => return Meaning::Wrong,
            (Some(first_at), None) if !said.is_lost && header.was_up_for(at.since(first_at)) => {
                // It may have restarted after `at` and before it answered. The next copy is answered, too.
                if is_bound {
                    return Meaning::Late;
                }
                (said.named, said.taken) = (Some(header.incarnation()), Some(said.newest().saturating_add(1)));
            }
            _ => said.is_lost = true,
        }
        said.known = Some(header.incarnation());
        if said.is_lost { Meaning::Lost } else { Meaning::Taken }
    }

    /// Whether no server is left that was asked and may answer.
    pub(super) fn is_lost(&self) -> bool {
        self.paths.iter().all(|said| said.is_lost || said.first_at.is_none())
    }

    fn said(&self, path: PathIndex) -> Option<&Said> {
        self.paths.get(usize::try_from(path.number()).ok()?)
    }

    /// Made when the path is first asked.
    fn said_mut(&mut self, path: PathIndex) -> Option<&mut Said> {
        let place = usize::try_from(path.number()).ok()?;
        if place >= self.paths.len() && place < MOST_PATHS {
            self.paths.resize(place + 1, Said::default());
        }
        self.paths.get_mut(place)
    }
}

impl Said {
    /// A server executes only what names it, or no one.
    fn is_from_named(&self, header: &ReplyHeader) -> bool {
        self.named.is_none_or(|named| named == header.incarnation())
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

/// As many transmissions as requests that are built anew and remembered.
const KEPT: usize = 16;
/// A set of servers has no more.
const MOST_PATHS: usize = 64;
