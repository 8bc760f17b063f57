//! The wait that every receive needs, and what goes with it: the clock, signals, the queue that is emptied.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::time::Duration;

use super::cancel::Cancellable;
use super::sys::Receiver;
use super::{classify, sys};
use crate::time::{Ns, Timestamp};
use crate::transport::PathError;

/// Monotonic time since the process first asked for it: one origin for all transports, so that their moments compare.
///
/// Nothing counts while the system sleeps, where its clock is CLOCK_MONOTONIC (Linux).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Ns,
}

impl Clock {
    pub(super) fn new() -> Self {
        static ORIGIN: OnceLock<Ns> = OnceLock::new();
        Self { origin: *ORIGIN.get_or_init(sys::monotonic) }
    }

    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        // It never runs backwards.
        Timestamp::from_nanos(sys::monotonic().wrapping_sub(self.origin))
    }
}

pub(super) struct Wait<'w> {
    /// Not later than the present moment.
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
    /// Of a connected socket.
    pub(super) cancellable: Option<&'w Cancellable>,
}

/// What a wait came to.
#[derive(Debug)]
pub(super) enum Waited {
    /// And when it was read.
    Arrival(Arrival, Timestamp),
    TimeUp(Timestamp),
    Cancelled,
    Failed(PathError),
}

/// The loop that every wait needs: the remaining time is computed anew each turn, so neither signals nor spurious
/// wake-ups nor coarse timers shorten or stretch it, and the queue is looked at once more when it is over.
#[inline]
pub(super) fn receive_until(
    socket: &UdpSocket,
    receiver: &mut Receiver,
    clock: &Clock,
    buffer: &mut [u8],
    wait: &Wait<'_>,
) -> Waited {
    let &Wait { now, until, cancellable } = wait;
    let cancelled = || cancellable.is_some_and(Cancellable::is_cancelled);
    let connected = cancellable.is_some();
    let longest = if cancellable.is_some_and(Cancellable::is_possible) { sys::LONGEST_DEAF } else { Duration::MAX };
    if cancelled() {
        return Waited::Cancelled;
    }
    let mut time = now;
    let mut remaining = Duration::MAX;
    let mut received = receiver.receive_first(socket, buffer, connected, until.since_ns(now));
    loop {
        match received {
            // A wait that was cancelled may look like an empty datagram, or like one that is always about to come.
            _ if cancelled() => return Waited::Cancelled,
            Ok(Some(arrival)) => return Waited::Arrival(arrival, clock.now()),
            Ok(None) if remaining.is_zero() => return Waited::TimeUp(time),
            Ok(None) => {}
            Err(error) => return Waited::Failed(classify(&error)),
        }
        time = clock.now();
        remaining = until.since(time);
        received = receiver.receive(socket, buffer, connected, remaining.min(longest));
    }
}

/// Calls again while a signal interrupts: that is no reason not to send or to read.
#[inline]
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            called => return called,
        }
    }
}

/// Empties a receive queue, errors included. What a peer sends meanwhile may be endless, what was queued before is not:
/// it ends at the number that the largest receive buffer holds of the smallest datagrams.
pub(crate) fn drain(mut is_empty: impl FnMut() -> bool) {
    const MOST_QUEUED: usize = 1 << 20;
    let _ = (0..MOST_QUEUED).find(|_| is_empty());
}

/// A datagram in the caller's buffer.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) len: usize,
    /// Bytes on the wire.
    pub(super) actual: usize,
    /// `None` where the socket is connected and the system need not be asked.
    pub(super) from: Option<SocketAddr>,
}
