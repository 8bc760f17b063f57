use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use super::InFlight;
use super::slots::Freed;
use crate::time::{Ns, Timestamp};
use crate::transaction::{Execution, Failure, KeyedMatcher, PathReport, Stray, Timeline};
use crate::transport::PathError;

/// Names a request in flight, until it has ended: then it means nothing, and no later request has the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Names a peer of one [`InFlight`](super::InFlight).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerId(pub(super) u32);

/// A datagram to be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transmit<'t, P> {
    /// Of which request.
    pub handle: Handle,
    /// Where to.
    pub to: P,
    /// Its bytes.
    pub datagram: &'t [u8],
    /// Whether the port should be [renewed](crate::transport::Transport::renew) before it leaves: a request was sent in vain
    /// from there, or a server of a group has died, and nothing has come from the peer since. A fresh port leaves a mapping
    /// that a NAT has lost, and a transport that knows a name may find another address. What becomes of that is for
    /// [`on_renewed`](super::InFlight::on_renewed).
    pub renewal_due: bool,
}

/// What a datagram was taken for.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a front must handle every answer")]
pub enum Arrived {
    /// The reply to this request, which has ended.
    Reply(Finished),
    /// The reply to this request, but the buffer was too small for it: the request fails.
    Truncated(Handle),
    /// A provisional answer to this request.
    Provisional(Handle),
    /// The server has restarted and does not know whether it executed this request before, as its
    /// [envelope](crate::envelope) says. It is sent once more, or ends as
    /// [`ServerRestarted`](crate::transaction::Failure::ServerRestarted) unless the socket holds a reply.
    Unknown(Handle),
    /// It answers nothing.
    Stray(Stray),
}

/// A request that has ended, and how.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Which request; it is gone.
    pub handle: Handle,
    /// The caller's word for it.
    pub token: u64,
    /// Whom it was sent to; of a group who answered, else who was asked last.
    pub peer: PeerId,
    /// Why there is no reply; `None` where there is one.
    pub failure: Option<Failure>,
    /// Whether the peer may have executed it.
    pub execution: Execution,
    /// How often it was sent, the first time included.
    pub transmissions: u32,
    /// How many transmissions the budget withheld.
    pub withheld: u32,
    /// The time since it was first sent, or was to be; zero if it never had its turn.
    pub elapsed: Duration,
    /// From transmission to the first answer, where that is a measurement, as
    /// [`Transaction::round_trip`](crate::transaction::Transaction::round_trip) has it.
    pub round_trip: Option<Duration>,
    /// What the system reported last, if it reported anything.
    pub last_error: Option<PathError>,
    /// What happened, event by event, of 64 requests at a time that do not go well; `None` for the others.
    pub timeline: Option<Box<Timeline>>,
    pub(in crate::transaction) paths: Option<Box<Reports>>,
}

/// What the paths have shown that a request to a group asked.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::transaction) struct Reports(Vec<PathReport>);

impl Finished {
    /// What each member has shown that a request to a group asked and that failed, or that could not be asked, by its place in
    /// the group. Of others none.
    #[must_use]
    pub fn paths(&self) -> &[PathReport] {
        self.paths.as_ref().map_or(&[], |reports| reports.0.as_slice())
    }
}

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// The next of the requests that failed, in the order in which they did. Replies are not among them: those come from
    /// [`on_datagram`](Self::on_datagram) itself.
    pub fn next_finished(&mut self) -> Option<Finished> {
        let number = self.finished.pop_front(&mut self.slots)?;
        self.take_finished(number)
    }

    /// Takes a failure out, which is in no queue any more.
    pub(super) fn take_finished(&mut self, number: u32) -> Option<Finished> {
        let slot = *self.slots.get(number)?;
        let finished = {
            let troubled = self.records.get(slot.record)?;
            let active = troubled.active.as_ref()?;
            Finished {
                handle: self.slots.handle(number),
                token: slot.token,
                peer: PeerId(slot.peer),
                failure: active.failure(),
                execution: active.execution(),
                transmissions: active.transmissions(),
                withheld: active.withheld(),
                elapsed: troubled.elapsed(),
                round_trip: troubled.measured().map(Duration::from_nanos),
                last_error: active.last_error(),
                timeline: None,
                paths: self.groups.reports(number).map(|reports| Box::new(Reports(reports))),
            }
        };
        let timeline = self.records.remove(slot.record);
        self.records.give_away(timeline.as_deref());
        self.release(number);
        Some(Finished { timeline, ..finished })
    }

    /// Takes a troubled request out that was answered at `at`, which is in no queue any more.
    pub(super) fn take_answered(&mut self, at: Timestamp, number: u32, measured: Option<Ns>) -> Option<Finished> {
        let slot = *self.slots.get(number)?;
        let troubled = self.records.get(slot.record)?;
        let active = troubled.active.as_ref()?;
        let finished = Finished {
            handle: self.slots.handle(number),
            token: slot.token,
            peer: PeerId(slot.peer),
            failure: None,
            execution: Execution::Unknown,
            transmissions: active.transmissions(),
            withheld: active.withheld(),
            elapsed: at.since(troubled.began()),
            round_trip: measured.map(Duration::from_nanos),
            last_error: active.last_error(),
            timeline: None,
            paths: None,
        };
        let timeline = self.records.remove(slot.record);
        self.records.give_back(timeline);
        self.release(number);
        Some(finished)
    }

    /// Frees the slot of a troubled request that has been taken out of everything else.
    fn release(&mut self, number: u32) {
        if self.groups.group_of(number).is_some() {
            self.groups.forget(number);
        }
        if let Some(envelopes) = &mut self.envelopes {
            envelopes.forget(number);
        }
        self.free(number);
    }

    /// Frees the slot of a request that has ended, and has it ready for the next one.
    #[inline]
    pub(super) fn free(&mut self, number: u32) {
        if self.slots.is_warm() {
            self.cool();
        }
        self.slots.leave(number);
    }

    /// Takes what was kept for a next request out of the wheel, and its bytes out of memory.
    #[inline(never)]
    pub(super) fn cool(&mut self) {
        if let Some((number, Freed { link, place })) = self.slots.cool() {
            self.wheel.take_out(&mut self.slots, number, link);
            self.payloads.release(place);
        }
    }
}
