//! Requests that go well, of which no record is kept: what their schedule is follows from when they were sent.

use core::fmt::Debug;
use core::time::Duration;

use super::progress::before;
use super::slots::{Clean, Slot, State};
use super::troubled::Troubled;
use super::{Handle, InFlight};
use crate::entropy::uniform;
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transaction::active_request::{ActiveRequest, pace};
use crate::transaction::destination::PolicyIndex;
use crate::transaction::record::Record;
use crate::transaction::{Event, KeyedMatcher, RetryTimer};

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// The record of a request that had none: of one that was sent, with the machine that it would have had from the start.
    #[cold]
    pub(super) fn replay(&mut self, number: u32, slot: &Slot, now: Timestamp) -> Troubled {
        if slot.state != State::Sent {
            let log = self.records.log(now);
            return Troubled::waiting(now, Timestamp::MAX, log);
        }
        let clean = slot.clean(number);
        let (sent, timer, first_wait) = (clean.sent, self.schedule(&clean), self.first_wait(&clean));
        let mut log = self.records.log(sent);
        let group = self.groups.group_of(number).and_then(|group| self.groups.get(group));
        let path = group.and_then(|group| group.path_of(slot.peer)).unwrap_or_default();
        log.record(sent, Event::Transmitted { path, number: 1 });
        let active = ActiveRequest::transmitted(timer, PolicyIndex(slot.policy), first_wait, sent);
        let active = if group.is_some() { active.copied() } else { active };
        Troubled::sent(active, sent, log)
    }

    /// The schedule of a request that was sent once and has no record: it follows from when that was.
    pub(super) fn schedule(&self, clean: &Clean) -> RetryTimer {
        let policy = self.rules.policy(clean.policy);
        let seed = self.seed_of(clean.handle);
        let start = before(clean.sent, policy.start_delay_ns(seed));
        let mut timer = RetryTimer::start(policy, start, seed);
        if let Some(hop) = self.hop_of(clean) {
            timer.on_hop(Duration::from_nanos(hop), clean.sent);
            return timer;
        }
        let mut own = None;
        timer.on_transmitted(pace(self.first_wait(clean), policy, &mut own), clean.sent);
        timer
    }

    /// When the first wait of a request without a record ends, as its [`schedule`](Self::schedule) has it.
    #[inline(always)] // once a request: a call would pass it by what is written in parts and read as a whole
    pub(super) fn first_due(&self, clean: &Clean) -> Timestamp {
        match self.rules.plan(clean.policy).first_wait {
            Some((least, most)) if self.first_waits.is_none() => {
                clean.sent.after_ns(uniform(least, most, self.seed_of(clean.handle).draw(0)))
            }
            _ => self.schedule(clean).wait_end(),
        }
    }

    /// Whether a first wait that began with this transmission is still running at `at`.
    #[inline]
    pub(super) fn is_in_first_wait(&self, at: Timestamp, clean: &Clean) -> bool {
        // Most replies come so soon that nothing need be drawn.
        let surely_waits = at.since_ns(clean.sent) < self.rules.plan(clean.policy).surely_waits;
        self.first_waits.is_none() && surely_waits || self.is_before_due(at, clean.handle.slot)
    }

    #[cold]
    fn is_before_due(&self, at: Timestamp, number: u32) -> bool {
        self.slots.get(number).is_some_and(|slot| at < self.first_due(&slot.clean(number)))
    }

    /// A request without a record was transmitted.
    #[inline]
    pub(super) fn begin_clean(&mut self, clean: &Clean) {
        let (now, number, plan) = (clean.sent, clean.handle.slot, self.rules.plan(clean.policy));
        // Most are answered by the least that it can wait, and when it ends then need not be drawn.
        let least = now.after_ns(plan.surely_waits);
        let start = if plan.delays_start { before(now, self.start_delay(clean.handle, clean.policy)) } else { now };
        if let Some(peer) = self.peers.get_mut(clean.peer) {
            peer.path.on_start(start);
            peer.path.on_transmitted(now);
            if peer.path.estimator.is_some() {
                self.keep_first_wait(clean, start);
            }
        }
        let drawn_later = if self.first_waits.is_none() { self.wheel.early_list(least) } else { None };
        let (due, list) = match drawn_later {
            Some(list) => (least, list),
            None => {
                let due = self.first_due(clean);
                (due, self.wheel.list_of(due))
            }
        };
        self.soonest = self.soonest.min(due);
        self.wheel.put_in(&mut self.slots, number, list);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.state = State::Sent;
            slot.set_at(now);
        }
    }

    /// The first wait that the round trips to its peer call for at present.
    #[inline(never)]
    fn keep_first_wait(&mut self, clean: &Clean, start: Timestamp) {
        let estimator = self.peers.get(clean.peer).and_then(|peer| peer.path.estimator.as_ref());
        let place = self.first_waits.as_mut().and_then(|waits| waits.get_mut(clean.handle.slot));
        if let (Some(estimator), Some(place)) = (estimator, place) {
            let rto = saturating_ns(estimator.rto(start));
            *place = self.rules.policy(clean.policy).first_wait_within(rto, None);
        }
    }

    /// The one that held when it was sent: round trips since then change nothing for it.
    fn first_wait(&self, clean: &Clean) -> Ns {
        let policy = || self.rules.policy(clean.policy).backoff().initial_ns();
        let Some(waits) = &self.first_waits else { return policy() };
        if self.groups.group_of(clean.handle.slot).is_some() {
            return policy();
        }
        let is_measured = self.peers.get(clean.peer).is_some_and(|peer| peer.path.estimator.is_some());
        waits.get(clean.handle.slot).copied().filter(|_| is_measured).unwrap_or_else(policy)
    }

    pub(super) fn start_delay(&self, handle: Handle, policy: u8) -> Ns {
        self.rules.policy(policy).start_delay_ns(self.seed_of(handle))
    }
}
