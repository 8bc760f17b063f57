use alloc::sync::Arc;
use core::task::Waker;

use super::shared::{Shared, Wakes};
use crate::requester::peers::Asked;
use crate::requester::transmission::{CLOCK_EACH, Transmission};
use crate::time::Timestamp;
use crate::transaction::Arrived;
use crate::transport::{Incoming, PeerAddress, Transport};

/// What sends and receives for the calls, a turn at a time. It knows no rule of when to send or when to stop, and waits for
/// nothing: that is the runtime's.
///
/// A turn is [`transmit`](Self::transmit), a look at what has come, and [`sleep`](Self::sleep), which says until when there is
/// nothing to do. When it is dropped all calls end.
pub(super) struct Driver<A: PeerAddress> {
    shared: Arc<Shared<A>>,
    wakes: Wakes,
}

/// What a turn begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) sent: Sent,
    /// After that.
    pub(super) now: Timestamp,
    /// Something is due: look, and report if there is nothing.
    pub(super) is_due: bool,
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    Nothing,
    All,
    /// A batch has left, and there may be more: look at what has come first, as the replies to thousands of requests that leave
    /// in one go would overflow the receive buffer.
    Batch,
    /// The transport was cancelled, which its next look takes.
    Held,
    /// There is nothing to do any more.
    Closed,
}

impl<A: PeerAddress> Driver<A> {
    pub(super) fn new(shared: &Arc<Shared<A>>) -> Self {
        Self { shared: Arc::clone(shared), wakes: Wakes::default() }
    }

    #[cfg(feature = "tokio")]
    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Sends what is ready, a batch of it at most.
    pub(super) fn transmit<T: Transport<Peer = A>>(&mut self, transport: &mut T) -> Turn {
        let (mut now, mut left, mut sent) = (self.shared.now(), BATCH, Sent::Nothing);
        loop {
            let mut state = self.shared.lock();
            if !state.is_running() {
                return Turn { sent: Sent::Closed, now, is_due: false };
            }
            state.awake();
            let step = match state.transmit(now, transport, &mut self.wakes) {
                Transmission::Nothing => Sent::Nothing,
                Transmission::All => Sent::All,
                Transmission::Some | Transmission::Failed => Sent::Batch,
                Transmission::Cancelled => Sent::Held,
            };
            left = left.saturating_sub(CLOCK_EACH);
            if step != Sent::Nothing {
                sent = step;
            }
            if step != Sent::Batch || left == 0 {
                let is_due = state.is_due(now, &mut self.wakes);
                return Turn { sent, now, is_due };
            }
            drop(state);
            now = self.shared.now();
        }
    }

    /// Something has come, which arrived at this moment of the runtime's.
    pub(super) fn on_incoming(&mut self, at: Timestamp, incoming: Incoming<A>, buffer: &[u8]) {
        let mut state = self.shared.lock();
        let mut has_ended = false;
        match incoming {
            Incoming::Datagram(received) => {
                let datagram = buffer.get(..received.len).unwrap_or_default();
                let arrived = state.engine.on_datagram(at, Asked::at(received.from), datagram, received.actual);
                if let Arrived::Reply(finished) = arrived {
                    let payload = state.engine.payload(datagram);
                    state.deliver(finished, payload, &mut self.wakes);
                    has_ended = true;
                }
            }
            Incoming::PathError { path, error, quoted } => {
                let quoted = buffer.get(..quoted).unwrap_or_default();
                state.engine.on_path_error(at, path.map(Asked::at), error, quoted);
            }
            Incoming::TimeUp(_) | Incoming::Cancelled => return,
        }
        state.settle(has_ended, &mut self.wakes);
    }

    /// Nothing was queued at this moment.
    pub(super) fn on_time_up(&mut self, now: Timestamp) {
        let mut state = self.shared.lock();
        state.engine.on_time_up(now);
        state.settle(false, &mut self.wakes);
    }

    /// Wakes the calls that have ended, and those whose turn has come.
    pub(super) fn wake(&mut self) {
        self.wakes.wake();
    }

    /// As [`State::sleep`](super::state::State::sleep).
    pub(super) fn sleep(&mut self, alarm: Timestamp, waker: &Waker) -> Option<Timestamp> {
        self.shared.lock().sleep(alarm, waker)
    }
}

impl<A: PeerAddress> Drop for Driver<A> {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Sent before what is queued is looked at: the replies to fewer than this fit into any receive buffer.
const BATCH: usize = 64;
