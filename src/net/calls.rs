//! What goes with system calls on sockets: signals, and queues that are emptied.

use std::io;

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
