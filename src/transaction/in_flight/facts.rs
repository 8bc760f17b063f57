//! What is reported of sends, of errors and of the time.

use core::fmt::Debug;

use super::group_request::Asked;
use super::progress::{Case, Turn};
use super::recipient::{Recipient, routed};
use super::{InFlight, State};
use crate::time::{Ns, Timestamp};
use crate::transaction::KeyedMatcher;
use crate::transaction::active_request::{ActiveRequest, Reported, Unsent, Whose};
use crate::transaction::conclusion::is_refusal;
use crate::transport::{PathError, PathIndex};

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// So many of the first of [`transmits`](Self::transmits) were sent, at `now`.
    pub fn on_transmitted(&mut self, now: Timestamp, count: usize) {
        if count > 0 {
            (self.paused_until, self.pauses) = (None, 0);
        }
        for _ in 0..count {
            match self.ready.pop_sent(&mut self.slots, now) {
                Some(Ok(clean)) if self.groups.group_of(clean.handle.slot).is_none() => self.begin_clean(&clean),
                Some(Ok(clean)) => self.begin_in_group(now, clean.handle.slot),
                Some(Err(number)) => self.on_troubled_transmitted(now, number),
                None => return,
            }
        }
        self.settle(now);
    }

    #[cold]
    fn on_troubled_transmitted(&mut self, now: Timestamp, number: u32) {
        self.wheel.remove(&mut self.slots, number);
        let swallowed = self.case(now, number).and_then(|case| case.troubled.active.as_mut()?.take_swallowed());
        if let Some(swallowed) = swallowed {
            self.on_earlier_error(now, number, swallowed);
        }
        if self.envelopes.is_some() {
            let active = self.case(now, number).and_then(|case| case.troubled.active.as_ref());
            let transmission = active.map_or(0, ActiveRequest::transmissions).saturating_add(1);
            self.note_transmitted(now, self.groups.carrier(number), transmission);
        }
        let path = self.groups.request(number).map(|request| request.course.named());
        if let Some(Case { troubled, terms, mut recipient }) = self.case(now, number) {
            if let Some(active) = &mut troubled.active {
                routed!(&mut recipient, routing => active.on_transmitted(&terms, routing, now, &mut troubled.log));
            }
            troubled.on_transmitted(now);
        }
        if let (Some(path), Some(request)) = (path, self.groups.request_mut(number)) {
            request.on_transmitted(now, path);
        }
        self.go_on(now, number, Turn::Last);
    }

    /// The first of [`transmits`](Self::transmits) was not sent, at `now`.
    ///
    /// - [`NoBuffers`](PathError::NoBuffers) pushes back: for a millisecond there is nothing to transmit, and then the same
    ///   one is first. It loses neither a transmission nor its slot, unless nothing leaves for a tenth of a second.
    /// - [`Cancelled`](PathError::Cancelled) says nothing of a request: the same one is first.
    /// - Any other may be an earlier datagram's, of any request: the same one is first, up to 8 times, and then its slot has
    ///   passed. "Too big" ends it, unless it has left before.
    #[cold]
    pub fn on_not_transmitted(&mut self, now: Timestamp, error: PathError) {
        match error {
            PathError::NoBuffers if self.pauses < MOST_PAUSES => {
                self.pauses += 1;
                let until = now.after_ns(PAUSE);
                self.paused_until = Some(until);
                self.soonest = self.soonest.min(until);
            }
            PathError::Cancelled => {}
            error => self.on_send_failed(now, error),
        }
        self.settle(now);
    }

    fn on_send_failed(&mut self, now: Timestamp, error: PathError) {
        let Some(number) = self.ready.pop_front(&mut self.slots) else { return };
        self.wheel.remove(&mut self.slots, number);
        let len = self.slots.get(number).map_or(0, |slot| self.payloads.datagram(slot.place).len());
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let has_begun = self.case(now, number).is_some();
        let left_once = self.groups.request_mut(number).filter(|_| has_begun).map(|request| {
            let path = request.course.named();
            request.on_error(path, error);
            request.at(path).is_some_and(Asked::has_left)
        });
        let earlier = self.case(now, number).and_then(|Case { troubled, terms, mut recipient }| {
            let active = troubled.active.as_mut()?;
            let left_once = left_once.unwrap_or(active.transmissions() > 0);
            let unsent = Unsent { len, left_once, may_shrink: false };
            routed!(&mut recipient, routing =>
                active.on_not_transmitted(&terms, routing, now, error, unsent, &mut troubled.log))
        });
        if let Some(earlier) = earlier {
            self.on_earlier_error(now, number, earlier);
        }
        self.go_on(now, number, Turn::First);
    }

    /// A send to the peer of this request took an error off the socket: of this request if there is no other, else of any.
    fn on_earlier_error(&mut self, now: Timestamp, number: u32, error: PathError) {
        let carrier = self.groups.carrier(number);
        let Some(slot) = self.slots.get(carrier) else { return };
        let Some(peer) = self.peers.get_mut(slot.peer) else { return };
        if peer.only_occupant() != Some(carrier) {
            peer.error = Some((now, error));
            return;
        }
        let (mut path, mut whose) = (PathIndex::FIRST, Whose::Unknown);
        if let Some(request) = self.groups.request_mut(number) {
            path = request.course.named();
            request.on_error(path, error);
            whose = request.at(path).map_or(whose, Asked::whose);
        }
        if let Some(Case { troubled, terms, mut recipient }) = self.case(now, number) {
            if let Some(active) = &mut troubled.active {
                let reported = Reported { path: Some(path), error, whose };
                routed!(&mut recipient, routing =>
                    active.on_path_error(&terms, routing, now, reported, &mut troubled.log));
            }
        }
    }

    /// An error was reported at `now` for something sent earlier: to this peer, where that is known, and quoting this much of
    /// the datagram, where it does.
    ///
    /// What it quotes says whose it is, once for each transmission. Without that it is the request's that is alone on the wire
    /// at the peer; if there are several it is noted: one that ends unanswered, with nothing received from the peer since it
    /// began, says what was reported.
    #[cold]
    pub fn on_path_error(&mut self, now: Timestamp, from: Option<P>, error: PathError, quoted: &[u8]) {
        self.attribute(now, from, error, quoted);
        self.settle(now);
        // A socket that has nothing but errors to report must not put the end of a request off indefinitely.
        self.count_overdue(now);
    }

    fn attribute(&mut self, now: Timestamp, from: Option<P>, error: PathError, quoted: &[u8]) {
        let peer = match from.map(|address| self.peers.id_of(address)) {
            // Of someone who is asked nothing.
            Some(None) => return,
            Some(known) => known,
            None => self.peers.only(),
        };
        // What tells requests apart stands after the header.
        let quoted = self.payload(quoted);
        if !quoted.is_empty() {
            if let Some(number) = self.quoted(quoted, peer.map(|peer| peer.0)) {
                self.on_own_error(now, number, error, None);
            }
            return;
        }
        let Some(peer) = peer.and_then(|peer| self.peers.get_mut(peer.0)) else { return };
        match peer.only_occupant() {
            Some(number) => self.on_own_error(now, number, error, Some(Whose::Unknown)),
            None => peer.error = Some((now, error)),
        }
    }

    /// The request on the wire whose bytes these are, or begin.
    fn quoted(&self, quoted: &[u8], peer: Option<u32>) -> Option<u32> {
        let key = self.ids.key(self.matcher.id(quoted)?)?;
        let at = |peer| {
            let (number, slot) = self.ids.find(key, peer, self.kept(), &self.matcher)?;
            self.payloads.get(slot.place).starts_with(quoted).then_some(number)
        };
        peer.map_or_else(|| self.peers.numbers().find_map(at), at)
    }

    fn on_own_error(&mut self, now: Timestamp, found: u32, error: PathError, whose: Option<Whose>) {
        if self.groups.request(found).is_none() && !self.was_transmitted(found) {
            return;
        }
        if self.groups.group_of(found).is_some() {
            return self.on_own_error_in_group(now, found, error, whose);
        }
        let Some(Case { troubled, terms, mut recipient }) = self.case(now, found) else { return };
        let Some(active) = &mut troubled.active else { return };
        let again = is_refusal(error) && active.is_refused_throughout();
        let whose = whose.unwrap_or(if again { Whose::Again } else { Whose::Own });
        routed!(&mut recipient, routing =>
            active.on_path_error(&terms, routing, now, of_only(error, whose), &mut troubled.log));
        if active.is_suspect() {
            self.detach(found);
            self.go_on(now, found, Turn::Last);
        }
    }

    /// Of the copy of a request that this slot has.
    fn on_own_error_in_group(&mut self, now: Timestamp, found: u32, error: PathError, whose: Option<Whose>) {
        let number = self.groups.request(found).map_or(found, |request| request.slot);
        let _kept = self.case(now, number);
        let Some(request) = self.groups.request_mut(found) else { return };
        let Some(asked) = request.asked.iter_mut().find(|asked| asked.slot == found) else { return };
        let again = whose.is_none() && is_refusal(error) && asked.is_refused_again();
        let whose = match whose {
            Some(Whose::Unknown) => asked.whose(),
            _ if again => Whose::Again,
            _ => Whose::Own,
        };
        let path = asked.report.path;
        request.on_error(path, error);
        let Some(Case { troubled, terms, mut recipient }) = self.case(now, number) else { return };
        let Some(active) = &mut troubled.active else { return };
        let reported = Reported { path: Some(path), error, whose };
        routed!(&mut recipient, routing => active.on_path_error(&terms, routing, now, reported, &mut troubled.log));
        // What waits for its turn waits on, unless this ends it.
        let is_suspect = active.is_suspect();
        let is_queued = self.slots.get(number).is_some_and(|it| matches!(it.state, State::Ready | State::Waiting));
        if is_suspect || !is_queued {
            self.detach(number);
            self.go_on(now, number, Turn::Last);
        }
    }

    /// Whether a copy of the request has left.
    #[inline]
    pub(super) fn was_transmitted(&self, number: u32) -> bool {
        let Some(slot) = self.slots.get(number) else { return false };
        match self.records.get(slot.record) {
            None => slot.state == State::Sent,
            Some(_) if self.groups.group_of(number).is_some() => self.groups.was_asked(number),
            Some(troubled) => troubled.active.as_ref().is_some_and(|active| active.transmissions() > 0),
        }
    }

    /// The time is `now`. Nothing comes due by that, since nobody has looked what is queued; but a
    /// [`next_deadline`](Self::next_deadline) that has come is then when something is due, and not merely soon.
    ///
    /// A wait until a moment that has passed gives what is queued no later time of arrival than that.
    #[inline]
    pub fn advance(&mut self, now: Timestamp) {
        if now >= self.soonest {
            self.sort_out(now);
        }
    }

    #[cold]
    fn sort_out(&mut self, now: Timestamp) {
        while let Some(number) = self.wheel.first(&mut self.slots, now) {
            match self.due_of(number) {
                Some(due) if due <= now => break,
                Some(due) => self.wheel.insert(&mut self.slots, number, due),
                None => self.wheel.remove(&mut self.slots, number),
            }
        }
        self.look_ahead();
    }

    /// Forgets what was known of when something is due, for what the wheel says now.
    fn look_ahead(&mut self) {
        self.cool();
        self.soonest = self.bound().unwrap_or(Timestamp::MAX);
    }

    /// Nothing was queued at `now`: what was due by then has come to nothing, and what is due is to be done.
    pub fn on_time_up(&mut self, now: Timestamp) {
        self.overdue = 0;
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        while let Some(suspect) = self.suspects.first() {
            self.look_on(now, suspect);
        }
        while let Some(number) = self.wheel.pop(&mut self.slots, now) {
            self.come_due(now, number);
        }
        if self.groups.are_used() {
            self.settle(now);
            self.send_probes(now);
            self.settle(now);
        }
        self.cool();
        self.soonest = self.next_deadline().unwrap_or(Timestamp::MAX);
    }

    /// Counts what was read past the moment at which something is due, and looks at the time after a window's worth.
    pub(super) fn count_overdue(&mut self, at: Timestamp) {
        self.look_ahead();
        if at < self.soonest {
            return;
        }
        self.overdue = self.overdue.saturating_add(1);
        if self.overdue >= self.limits.window.get().max(LEAST_OVERDUE) {
            self.on_time_up(at);
        }
    }
}

/// On the only path there is to a peer.
fn of_only(error: PathError, whose: Whose) -> Reported {
    Reported { path: Some(PathIndex::FIRST), error, whose }
}

/// How long a full send buffer is left alone: some hundred datagrams leave a network card in that time.
const PAUSE: Ns = 1_000_000;
/// In a row; then the device does not send at all.
const MOST_PAUSES: u32 = 100;
/// Read past the moment at which something is due, before the queue is taken for empty; a window's worth if that is more.
const LEAST_OVERDUE: u32 = 64;
