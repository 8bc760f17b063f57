use alloc::vec::Vec;
use core::task::Waker;

use super::{Driven, Phase, State};
use crate::requester::asynchronous::shared::Wakes;
use crate::requester::transmission::{Transmission, transmit};
use crate::time::Timestamp;
use crate::transaction::{Failure, Handle};
use crate::transport::{PeerAddress, Transport};

/// What the driver does, and who does it for it.
impl<A: PeerAddress> State<A> {
    /// Wakes the driver if there is something to send, or if it would look at the time too late.
    #[inline]
    pub(in crate::requester::asynchronous) fn rouse(&mut self, wakes: &mut Wakes) {
        if !self.driver.asleep {
            return;
        }
        let is_due = || self.next_deadline().is_some_and(|at| at < self.driver.until);
        if self.engine.transmits().next().is_some() || is_due() {
            self.driver.asleep = false;
            wakes.driver.clone_from(&self.driver.waker);
        }
    }

    /// When the time is to be looked at.
    pub(in crate::requester::asynchronous) fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline().into_iter().chain(self.waiters.next_deadline()).min()
    }

    /// Sends what is ready, a batch of it at most.
    pub(in crate::requester::asynchronous) fn transmit<T: Transport<Peer = A>>(
        &mut self,
        now: Timestamp,
        transport: &mut T,
        wakes: &mut Wakes,
    ) -> Transmission {
        let sent = transmit(&mut self.engine, transport, now);
        if sent == Transmission::Failed {
            // What was sent last may have ended its request.
            self.settle(false, wakes);
        }
        sent
    }

    /// Whether something is due at this moment. A waiter needs no look: nothing that comes could be for it.
    pub(in crate::requester::asynchronous) fn is_due(&mut self, now: Timestamp, wakes: &mut Wakes) -> bool {
        self.waiters.on_time(now, &mut wakes.calls);
        self.admit(wakes);
        self.engine.advance(now);
        self.engine.next_deadline().is_some_and(|at| at <= now)
    }

    pub(in crate::requester::asynchronous) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Until when the driver may wait, by `alarm` at the latest if it does; it is woken before if there is more to do. `None` if
    /// there is already.
    pub(in crate::requester::asynchronous) fn sleep(&mut self, alarm: Timestamp, waker: &Waker) -> Option<Timestamp> {
        if self.phase != Phase::Running || self.engine.transmits().next().is_some() {
            return None;
        }
        let until = self.next_deadline().unwrap_or(Timestamp::MAX).min(alarm);
        let Driven { waker: known, asleep, until: noted } = &mut self.driver;
        (*asleep, *noted) = (true, until);
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        Some(until)
    }

    pub(in crate::requester::asynchronous) fn awake(&mut self) {
        self.driver.asleep = false;
    }

    /// Whom to wake, so that it ends.
    pub(in crate::requester::asynchronous) fn close(&mut self) -> Option<Waker> {
        if self.phase == Phase::Running {
            self.phase = Phase::Closing;
        }
        self.driver.waker.clone()
    }

    /// Whether the driver has ended; else this one is woken when it has.
    pub(in crate::requester::asynchronous) fn has_ended(&mut self, waker: &Waker) -> bool {
        let has_ended = self.phase == Phase::Ended;
        if !has_ended && !self.stopping.iter().any(|known| known.will_wake(waker)) {
            self.stopping.push(waker.clone());
        }
        has_ended
    }

    /// The driver has ended: everything else does.
    pub(in crate::requester::asynchronous) fn end(&mut self, now: Timestamp, wakes: &mut Wakes) {
        self.phase = Phase::Ended;
        self.driver.waker = None;
        let open: Vec<Handle> = self.calls.in_flight().collect();
        for handle in open {
            if let Some(mut finished) = self.engine.cancel(now, handle) {
                finished.failure = Some(Failure::Stopped);
                self.deliver(finished, &[], wakes);
            }
        }
        self.waiters.wake_all(&mut wakes.calls);
        wakes.calls.append(&mut self.stopping);
    }
}
