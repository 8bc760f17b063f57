use alloc::vec::Vec;

use super::requests::Requests;
use super::stamping::{Stamped, Stamping};
use super::{Identity, ReplyMatcher};
use crate::entropy::IdSource;
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// What is sent, and what was: the bytes of the requests and their ids, of each path by itself. So a reply counts only where
/// its request was sent, and no path takes what another one has of its own.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    stamping: Stamping,
    first: Lane,
    /// Of the paths after the first.
    more: Vec<Lane>,
    /// What the caller has given, where each path gets a copy.
    given: Vec<u8>,
}

/// What went, or goes, on one path.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) requests: Requests,
    stamped: Stamped,
}

impl Outbox {
    pub(super) fn new(is_stamping: bool) -> Self {
        let stamping = Stamping::asked_for(is_stamping);
        Self { stamping, first: Lane::default(), more: Vec::new(), given: Vec::new() }
    }

    /// As many paths as there are servers.
    pub(super) fn resize(&mut self, paths: usize) {
        self.more.resize_with(paths.saturating_sub(1), Lane::default);
    }

    pub(super) fn stamp_from(&mut self, ids: IdSource) {
        self.stamping.from(ids);
    }

    /// Another request begins: the one before is of the past on all paths.
    #[inline]
    pub(super) fn begin(&mut self, matcher: &impl ReplyMatcher, now: Timestamp) {
        self.first.begin(matcher, now);
        self.more.iter_mut().for_each(|lane| lane.begin(matcher, now));
    }

    /// What each path gets a copy of.
    pub(super) fn give(&mut self, bytes: &[u8]) {
        self.given.clear();
        self.given.extend_from_slice(bytes);
    }

    /// That of the only path, where there is one.
    #[inline]
    pub(super) fn only(&self) -> &Lane {
        &self.first
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn first(&mut self) -> &mut Lane {
        &mut self.first
    }

    #[inline]
    pub(super) fn lane(&self, path: PathIndex) -> Option<&Lane> {
        match path {
            PathIndex::FIRST => Some(&self.first),
            path => self.more.get(place(path)?),
        }
    }

    #[inline]
    pub(super) fn lane_mut(&mut self, path: PathIndex) -> Option<&mut Lane> {
        match path {
            PathIndex::FIRST => Some(&mut self.first),
            path => self.more.get_mut(place(path)?),
        }
    }

    /// All paths, by number.
    pub(super) fn lanes_mut(&mut self) -> impl Iterator<Item = (PathIndex, &mut Lane)> {
        (0..).map(PathIndex::new).zip([&mut self.first].into_iter().chain(&mut self.more))
    }

    /// Builds the request for a path; says what its replies are told by.
    #[inline]
    pub(super) fn build(
        &mut self,
        matcher: &impl ReplyMatcher,
        path: PathIndex,
        began: Timestamp,
        build: impl FnOnce(&mut Vec<u8>),
    ) -> Identity {
        let Some(lane) = self.lane_mut(path) else { return Identity::Missing };
        build(lane.requests.fresh());
        self.finish(matcher, path, began)
    }

    /// Copies what was given for a path, once in a request; says what its replies are told by.
    pub(super) fn copy(&mut self, matcher: &impl ReplyMatcher, path: PathIndex, began: Timestamp) -> Identity {
        let given = core::mem::take(&mut self.given);
        if let Some(lane) = self.lane_mut(path).filter(|lane| !lane.requests.newest_has_left()) {
            lane.requests.fresh().extend_from_slice(&given);
        }
        self.given = given;
        self.finish(matcher, path, began)
    }

    #[inline]
    fn finish(&mut self, matcher: &impl ReplyMatcher, path: PathIndex, began: Timestamp) -> Identity {
        let stamped = if self.stamping.is_asked_for { self.stamp(matcher, path, began) } else { None };
        let Some(lane) = self.lane_mut(path) else { return Identity::Missing };
        let identity = stamped.unwrap_or_else(|| matcher.identity(lane.requests.newest()));
        lane.requests.on_built();
        identity
    }

    fn stamp(&mut self, matcher: &impl ReplyMatcher, path: PathIndex, began: Timestamp) -> Option<Identity> {
        let Self { stamping, first, more, .. } = self;
        let Some(place) = place(path).filter(|_| path != PathIndex::FIRST) else {
            let others = more.iter().filter_map(Lane::present);
            return stamping.stamp(matcher, &mut first.stamped, &mut first.requests, others, began);
        };
        let (before, rest) = more.split_at_mut_checked(place)?;
        let (lane, after) = rest.split_first_mut()?;
        let others = before.iter().chain(&*after).chain([&*first]).filter_map(Lane::present);
        stamping.stamp(matcher, &mut lane.stamped, &mut lane.requests, others, began)
    }
}

impl Lane {
    #[inline]
    pub(super) fn begin(&mut self, matcher: &impl ReplyMatcher, now: Timestamp) {
        if self.stamped.is_stamped() {
            let sent = self.requests.newest_has_left().then(|| self.requests.newest());
            self.stamped.retire(matcher, sent, now);
        }
        self.requests.forget();
    }

    /// The present request, if it has been built for this path.
    fn present(&self) -> Option<&[u8]> {
        self.stamped.is_stamped().then(|| self.requests.newest())
    }

    /// No reply to an earlier request can arrive any more.
    pub(super) fn on_fresh_port(&mut self) {
        self.stamped.on_fresh_port();
    }

    /// Until when no id is free, if the present request found none.
    pub(super) fn all_resting(&self) -> Option<Timestamp> {
        self.stamped.all_resting()
    }
}

/// Among the paths after the first.
fn place(path: PathIndex) -> Option<usize> {
    usize::try_from(path.number()).ok()?.checked_sub(1)
}
