use alloc::rc::Rc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::executor::Executor;
use super::timers::Timer;
use crate::time::Timestamp;

/// Ends at a time, as [`SimTasks::sleep`](super::SimTasks::sleep) says.
#[must_use = "no one sleeps until it is awaited"]
pub struct SimSleep {
    executor: Rc<Executor>,
    until: Timestamp,
    timer: Option<Timer>,
}

impl SimSleep {
    pub(super) fn new(executor: Rc<Executor>, until: Timestamp) -> Self {
        Self { executor, until, timer: None }
    }

    /// Ends at another time.
    pub(crate) fn reset(&mut self, until: Timestamp) {
        self.take_off();
        self.until = until;
    }

    fn take_off(&mut self) {
        if let Some(timer) = self.timer.take() {
            // Bound, so that the timers are free when it is dropped.
            let waker = self.executor.timers().remove(timer);
            drop(waker);
        }
    }
}

impl Future for SimSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.take_off();
        if self.executor.net().now() >= self.until {
            return Poll::Ready(());
        }
        let timer = self.executor.timers().set(self.until, context.waker().clone());
        self.timer = timer;
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        self.take_off();
    }
}

impl fmt::Debug for SimSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSleep").field("until", &self.until).finish_non_exhaustive()
    }
}
