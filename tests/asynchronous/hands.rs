//! Futures polled by hand, to see who is woken, and when.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future in the hand, and how often it was woken.
pub(crate) struct Held<F> {
    future: Pin<Box<F>>,
    woken: Woken,
}

/// A task that only counts how often it was woken.
#[derive(Clone, Default)]
pub(crate) struct Woken(Arc<Times>);

#[derive(Default)]
struct Times(AtomicU32);

impl Wake for Times {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    pub(crate) fn times(&self) -> u32 {
        self.0.0.load(Ordering::SeqCst)
    }
}

impl<F: Future> Held<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Box::pin(future), woken: Woken::default() }
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken.0));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Another task has it from now on.
    pub(crate) fn hand_over(&mut self) -> Woken {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn woken(&self) -> u32 {
        self.woken.times()
    }
}

/// Lets everything else go on until this holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}
