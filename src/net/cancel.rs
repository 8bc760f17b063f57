#[cfg(feature = "tokio")]
use core::task::{Context, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "tokio")]
use std::sync::{Mutex, PoisonError};

use super::sys::Bell;

/// Ends the wait of a requester from any thread: made by
/// [`ReliableRequester::cancel_handle`](crate::ReliableRequester::cancel_handle), or by
/// [`Cancel::cancel_handle`] of the transport before that goes into one. A
/// [`ConcurrentRequester`](crate::ConcurrentRequester::cancel_handle) ends its wait by it, and no request. A server's loop
/// ([`serving`](crate::serving)) ends by it, once what it has executed is answered.
///
/// - The request under way fails as cancelled; if none is, or if its reply was quicker, the next one does, without
///   being sent. So no call is missed; calls that come before one has taken effect count as one.
/// - A wait ends at once, within some 0.05 ms on Linux: a descriptor of its own is waited for beside the socket, which is
///   neither shut nor replaced nor disconnected.
/// - Having a handle costs a system call per request, as the wait can then no longer begin in `recv` itself. Clones cancel
///   the same requester; one that outlives it does nothing.
#[derive(Clone, Debug)]
pub struct CancelHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    bell: Bell,
    /// Waits for it instead of the bell, where a runtime does the waiting.
    #[cfg(feature = "tokio")]
    task: Mutex<Option<Waker>>,
}

impl CancelHandle {
    /// Cancels the request under way, or the next one.
    pub fn cancel(&self) {
        // In this order: the one who is woken looks for the flag.
        self.shared.cancelled.store(true, Ordering::SeqCst);
        self.shared.bell.ring();
        #[cfg(feature = "tokio")]
        self.shared.wake();
    }
}

#[cfg(feature = "tokio")]
impl Shared {
    fn wakes(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn wake(&self) {
        // Without the lock, as what is woken may come here at once.
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// A transport whose waits can be ended from outside.
pub trait Cancel {
    /// A handle that ends a wait from any thread.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    fn cancel_handle(&mut self) -> io::Result<CancelHandle>;
}

/// The transport's end of its handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancellable {
    shared: Option<Arc<Shared>>,
}

impl Cancellable {
    pub(super) fn handle(&mut self) -> io::Result<CancelHandle> {
        if let Some(shared) = &self.shared {
            return Ok(CancelHandle { shared: Arc::clone(shared) });
        }
        let shared = Arc::new(Shared {
            cancelled: AtomicBool::new(false),
            bell: Bell::new()?,
            #[cfg(feature = "tokio")]
            task: Mutex::new(None),
        });
        self.shared = Some(Arc::clone(&shared));
        Ok(CancelHandle { shared })
    }

    #[inline]
    pub(super) fn is_possible(&self) -> bool {
        self.shared.is_some()
    }

    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.cancelled.load(Ordering::SeqCst))
    }

    /// Whether it was cancelled; forgets it.
    pub(super) fn take(&self) -> bool {
        self.take_meanwhile(|| {})
    }

    /// `call` comes from another thread, at the worst moment.
    #[inline]
    fn take_meanwhile(&self, call: impl FnOnce()) -> bool {
        let Some(shared) = &self.shared else { return false };
        // In this order: a call that comes too late for the flag rings again.
        shared.bell.silence();
        call();
        shared.cancelled.swap(false, Ordering::SeqCst)
    }

    /// As [`take`](Self::take), and if it was not, the next call wakes this task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll(&self, context: &Context<'_>) -> bool {
        let Some(shared) = &self.shared else { return false };
        // In this order: a call that comes too early for the flag wakes.
        shared.wakes(context.waker());
        self.is_cancelled() && self.take()
    }

    /// What a wait watches beside its socket.
    pub(super) fn bell(&self) -> Option<&Bell> {
        self.shared.as_ref().map(|shared| &shared.bell)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::net::poll::poll;

    /// A call that is slow between its two steps rings when its cancel was taken already.
    #[test]
    fn a_call_that_comes_while_a_late_ring_is_silenced_is_not_missed() {
        let mut cancellable = Cancellable::default();
        let handle = cancellable.handle().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            handle.shared.bell.ring();
            let taken = cancellable.take_meanwhile(|| handle.cancel());
            let wakes = || poll(&socket, cancellable.bell(), Duration::from_millis(10)).unwrap().bell;
            assert!(taken || wakes() && cancellable.take());
            // It has taken effect once; what it may leave behind is a ring.
            assert!(!cancellable.take() && !wakes());
        }
    }
}
