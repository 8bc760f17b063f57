use alloc::vec::Vec;

use crate::servers::Paths;
use crate::time::Timestamp;
use crate::transaction::PathReport;
use crate::transaction::active_request::Whose;
use crate::transaction::course::Course;
use crate::transport::{PathError, PathIndex};

/// What is kept of a request to a group, beside its record, once it needs one.
#[derive(Debug)]
pub(super) struct GroupRequest {
    pub(super) group: u32,
    /// The slot of the request itself; others have copies of it.
    pub(super) slot: u32,
    pub(super) course: Course,
    /// It has had its turn: it waits for no place any more.
    pub(super) is_admitted: bool,
    /// Who answered, or was asked last.
    pub(super) last: Option<PathIndex>,
    /// The paths that it asked, or is about to ask.
    pub(super) asked: Vec<Asked>,
}

/// A path that a request asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) report: PathReport,
    /// What finds the replies: the slot of the request or of a copy.
    pub(super) slot: u32,
    /// When the request was sent there last.
    pub(super) sent: Timestamp,
    /// Refusals of it that came.
    refusals: u32,
}

impl Default for GroupRequest {
    fn default() -> Self {
        Self::new(0, 0, Course::new(false))
    }
}

impl GroupRequest {
    /// Of a request that has no place yet.
    pub(super) const fn new(group: u32, slot: u32, course: Course) -> Self {
        Self { group, slot, course, is_admitted: false, last: None, asked: Vec::new() }
    }

    /// Its own bytes go to the peer of this path.
    pub(super) fn carry(&mut self, path: PathIndex) {
        self.asked.push(Asked::new(path, self.slot));
    }

    pub(super) fn at(&self, path: PathIndex) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.report.path == path)
    }

    pub(super) fn at_mut(&mut self, path: PathIndex) -> Option<&mut Asked> {
        self.asked.iter_mut().find(|asked| asked.report.path == path)
    }

    /// The paths whose peers it has a place at.
    pub(super) fn carried(&self) -> Paths {
        self.asked.iter().fold(Paths::NONE, |paths, asked| paths.with(asked.report.path))
    }

    /// The path that a slot finds the replies of.
    pub(super) fn of_slot(&self, slot: u32) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.slot == slot)
    }

    /// The slot whose bytes are to be sent now.
    pub(super) fn carrier(&self) -> Option<u32> {
        self.at(self.course.named()).map(|asked| asked.slot)
    }

    /// It was sent at `now` on this path.
    pub(super) fn on_transmitted(&mut self, now: Timestamp, path: PathIndex) {
        self.last = Some(path);
        if let Some(asked) = self.at_mut(path) {
            asked.on_transmitted(now);
        }
    }

    /// An answer to it arrived on this path.
    pub(super) fn on_answered(&mut self, path: PathIndex) {
        self.last = Some(path);
        self.is_admitted = true;
        if let Some(asked) = self.at_mut(path) {
            asked.report.answered = true;
        }
    }

    /// The path reported this.
    pub(super) fn on_error(&mut self, path: PathIndex, error: PathError) {
        if let Some(asked) = self.at_mut(path) {
            asked.report.last_error = Some(error);
        }
    }
}

impl Asked {
    pub(super) const fn new(path: PathIndex, slot: u32) -> Self {
        Self { report: PathReport::new(path), slot, sent: Timestamp::ZERO, refusals: 0 }
    }

    pub(super) fn on_transmitted(&mut self, now: Timestamp) {
        self.report.transmissions = self.report.transmissions.saturating_add(1);
        self.sent = now;
    }

    pub(super) const fn has_left(&self) -> bool {
        self.report.transmissions > 0
    }

    /// Whose an error of this path is that does not say so.
    pub(super) const fn whose(&self) -> Whose {
        if self.has_left() { Whose::Unknown } else { Whose::Earlier }
    }

    /// When it was sent, if that was once: else no one knows which transmission an answer is to (Karn's rule).
    pub(super) fn sent_once(&self) -> Option<Timestamp> {
        (self.report.transmissions == 1).then_some(self.sent)
    }

    /// Counts a refusal; whether there are more than transmissions that it could be of.
    pub(super) fn is_refused_again(&mut self) -> bool {
        let again = self.refusals >= self.report.transmissions;
        self.refusals = self.refusals.saturating_add(u32::from(!again));
        again
    }
}
