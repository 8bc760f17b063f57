use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state::State;
use crate::requester::concurrent_settings::Many;
use crate::time::Timestamp;
use crate::transaction::GroupId;
use crate::transport::PeerAddress;

/// What the clones of a requester, their calls and the driver have in common.
pub(super) struct Shared<A: PeerAddress> {
    state: Mutex<State<A>>,
    clock: Box<Clock>,
    /// Requesters that are clones of one another.
    clones: AtomicUsize,
    service: Option<GroupId>,
}

/// The present moment of whatever runs the driver.
pub(super) type Clock = dyn Fn() -> Timestamp + Send + Sync;

/// What a requester begins with.
pub(super) struct Beginning<A: PeerAddress> {
    pub(super) many: Many<A>,
    pub(super) deadline: Option<Duration>,
    /// Of the only path.
    pub(super) server: Option<SocketAddr>,
    /// The several servers.
    pub(super) service: Option<GroupId>,
}

/// Whom to wake once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    pub(super) driver: Option<Waker>,
    pub(super) calls: Vec<Waker>,
    /// Not to be woken, and not to be dropped before either: it may be the last of a task that holds calls.
    pub(super) unused: Option<Waker>,
}

impl Wakes {
    pub(super) fn wake(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
        self.calls.drain(..).for_each(Waker::wake);
    }
}

impl<A: PeerAddress> Shared<A> {
    /// For one requester.
    pub(super) fn new(beginning: Beginning<A>, clock: Box<Clock>) -> Arc<Self> {
        let service = beginning.service;
        Arc::new(Self { state: Mutex::new(State::new(beginning)), clock, clones: AtomicUsize::new(1), service })
    }

    /// Nothing is half done where a matcher of the caller's has panicked: it is called before anything is changed.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn service(&self) -> Option<GroupId> {
        self.service
    }

    pub(super) fn on_cloned(&self) {
        self.clones.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_clone_dropped(&self) {
        if self.clones.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// Has the driver end, and waits for that.
    pub(super) async fn stop(&self) {
        self.close();
        poll_fn(|context| if self.lock().has_ended(context.waker()) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Has the driver end.
    fn close(&self) {
        let driver = self.lock().close();
        driver.into_iter().for_each(Waker::wake);
    }

    /// The driver has ended, or was dropped with its runtime: nothing is waited for in vain.
    pub(super) fn end(&self) {
        let (now, mut wakes) = (self.now(), Wakes::default());
        self.lock().end(now, &mut wakes);
        wakes.wake();
    }

    /// A buffer for the pool.
    pub(super) fn take_back(&self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 {
            // Dropped after the lock is released if the pool is full.
            let _left = self.lock().spare.take_back(buffer);
        }
    }
}
