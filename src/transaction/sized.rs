//! What becomes of a request's transmissions, large and small. Apart, and out of the way of those that are small where no large
//! one was lost.

use super::sizes::{Progress, Sent};
use super::{BuildFor, Failure, GiveUp, ReplyMatcher, Transaction};
use crate::size::Plpmtu;
use crate::time::Timestamp;
use crate::transport::{PathError, PathIndex};

impl<M: ReplyMatcher> Transaction<M> {
    /// What the bytes are for that are due on a path.
    pub(super) fn purpose(&self, path: PathIndex) -> BuildFor {
        let transmissions = self.active.transmissions();
        let on_path = self.reach.transmissions_on(path).unwrap_or(transmissions);
        let progress = Progress { transmissions, on_path, is_answered: self.active.is_answered() };
        let at_most =
            self.sizes.at_most(path, progress).map(|most| plpmtu(most.bytes().saturating_sub(self.header_len())));
        BuildFor { transmission: transmissions.saturating_add(1), path, at_most }
    }

    /// The bytes for a path have left, as a slot or beside it.
    #[cold]
    pub(super) fn on_size_sent(&mut self, at: Timestamp, path: PathIndex, is_slot: bool) {
        let Some(lane) = self.outbox.lane(path) else { return };
        let len = plpmtu(lane.requests.newest().len() + self.header_len());
        match is_slot {
            true => self.sizes.on_transmitted(Sent { path, len, at }, self.active.is_answered()),
            false => self.sizes.on_copied(path, len),
        }
    }

    /// A reply, or a provisional answer, arrived on a path.
    #[cold]
    pub(super) fn on_size_answered(&mut self, at: Timestamp, path: PathIndex, datagram: &[u8]) {
        let Some(lane) = self.outbox.lane(path) else { return };
        if let Some(answered) = lane.requests.answered(&self.destination.matcher, path, datagram, self.header_len()) {
            self.sizes.on_answered(answered, at);
        }
    }

    /// Another request begins: what was sent last of the one before is lost if its time ran out.
    #[cold]
    pub(super) fn on_sizes_left(&mut self, now: Timestamp) {
        match self.active.failure() {
            Some(Failure::TimedOut(GiveUp::Unanswered | GiveUp::OverBudget)) => self.sizes.on_time_over(now),
            // That may have come too soon for the latest.
            Some(Failure::TimedOut(GiveUp::Deadline)) => {
                let sent = self.sizes.awaited_since().filter(|&sent| self.active.had_a_wait_since(sent));
                if sent.is_some() {
                    self.sizes.on_time_over(now);
                }
            }
            _ => {}
        }
        self.sizes.begin(now);
    }

    /// What to ask a builder for of whose bytes the system said this; `None` if it is not to be asked again.
    pub(super) fn smaller(&self, path: PathIndex, len: u32, error: PathError) -> Option<Plpmtu> {
        let PathError::TooBig { limit } = error else { return None };
        let len = plpmtu(usize::try_from(len).unwrap_or(usize::MAX));
        self.sizes.smaller_than(Sent { path, len, at: Timestamp::ZERO }, limit).filter(|_| self.active.is_rebuilt())
    }
}

pub(super) fn plpmtu(len: usize) -> Plpmtu {
    Plpmtu::new(u16::try_from(len).unwrap_or(u16::MAX))
}
