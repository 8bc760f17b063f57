use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell, RefMut};
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};

use slab::Slab;

use super::timers::Timers;
use crate::atomic::AtomicU64;
use crate::sim::{SimError, SimNet};
use crate::time::Timestamp;

/// Polls what was woken, and moves the network when nothing is.
pub(crate) struct Executor {
    net: SimNet,
    tasks: RefCell<Slab<Task>>,
    woken: Arc<Woken>,
    timers: RefCell<Timers>,
    /// To be woken when anything has happened in the network.
    watching: RefCell<Vec<Waker>>,
    /// What they have seen of it.
    seen: Cell<u64>,
    clock: Arc<AtomicU64>,
}

struct Task {
    /// `None` while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
}

/// Tasks that were woken, the first one first.
type Woken = Mutex<VecDeque<Arc<TaskWaker>>>;

struct TaskWaker {
    number: usize,
    woken: Arc<Woken>,
    /// It is among them.
    is_woken: AtomicBool,
}

impl Executor {
    pub(super) fn new(net: SimNet) -> Self {
        let clock = Arc::new(AtomicU64::new(net.now().as_nanos()));
        Self {
            seen: Cell::new(net.trace_hash()),
            net,
            tasks: RefCell::default(),
            woken: Arc::default(),
            timers: RefCell::default(),
            watching: RefCell::default(),
            clock,
        }
    }

    pub(super) fn net(&self) -> &SimNet {
        &self.net
    }

    pub(super) fn timers(&self) -> RefMut<'_, Timers> {
        self.timers.borrow_mut()
    }

    /// Nanoseconds since the origin, for those who cannot hold a network.
    pub(crate) fn clock(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.clock)
    }

    /// Has this one woken when anything has happened in the network.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut watching = self.watching.borrow_mut();
        if !watching.iter().any(|known| known.will_wake(waker)) {
            watching.push(waker.clone());
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let place = tasks.vacant_entry();
        let waker = self.waker_of(place.key());
        waker.wake_by_ref();
        place.insert(Task { future: Some(Box::pin(future)), waker });
    }

    pub(super) fn run<F: Future>(&self, main: F) -> Result<F::Output, SimError> {
        let (mut main, waker) = (pin!(main), self.waker_of(MAIN));
        waker.wake_by_ref();
        let (mut polls, mut since) = (0_u32, self.net.now());
        loop {
            match self.next_woken() {
                Some(MAIN) => {
                    if let Poll::Ready(ended) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Ok(ended);
                    }
                }
                Some(number) => self.poll(number),
                None if self.has_happened() || self.moves_on() => {}
                None => return Err(SimError::Stuck),
            }
            let now = self.net.now();
            polls = if now == since { polls + 1 } else { 0 };
            since = now;
            if polls > MOST_POLLS {
                return Err(SimError::Restless);
            }
        }
    }

    /// Drops all tasks. One that is dropped may wake or spawn others.
    pub(super) fn end(&self) {
        loop {
            // Bound, so that the tasks are free when these are dropped.
            let left = core::mem::take(&mut *self.tasks.borrow_mut());
            if left.is_empty() {
                return;
            }
            drop(left);
        }
    }

    fn poll(&self, number: usize) {
        // Bound, so that it may spawn others.
        let task =
            self.tasks.borrow_mut().get_mut(number).and_then(|task| Some((task.future.take()?, task.waker.clone())));
        let Some((mut future, waker)) = task else { return };
        let is_pending = future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        if let Some(task) = self.tasks.borrow_mut().get_mut(number).filter(|_| is_pending) {
            task.future = Some(future);
            return;
        }
        let ended = self.tasks.borrow_mut().try_remove(number);
        drop((future, ended));
    }

    fn next_woken(&self) -> Option<usize> {
        let task = self.woken.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        task.is_woken.store(false, Ordering::Relaxed);
        Some(task.number)
    }

    /// Whether anything has happened in the network since those who watch it were last woken; then they are.
    fn has_happened(&self) -> bool {
        let hash = self.net.trace_hash();
        if self.seen.replace(hash) == hash {
            return false;
        }
        // Bound, so that they may watch again.
        let watching = core::mem::take(&mut *self.watching.borrow_mut());
        watching.into_iter().for_each(Waker::wake);
        true
    }

    /// Moves on to the next thing that happens, or to the end of a sleep; `false` if there is neither.
    fn moves_on(&self) -> bool {
        let alarm = self.timers().next();
        if self.net.step(alarm.unwrap_or(Timestamp::MAX)) {
            self.set_clock();
            return true;
        }
        let Some(alarm) = alarm.filter(|_| self.net.stopped().is_none()) else { return false };
        self.net.run_until(alarm);
        self.set_clock();
        loop {
            // Bound, so that the timers are free when it is woken.
            let due = self.timers().pop_due(self.net.now());
            let Some(waker) = due else { return true };
            waker.wake();
        }
    }

    fn set_clock(&self) {
        self.clock.store(self.net.now().as_nanos(), Ordering::Relaxed);
    }

    fn waker_of(&self, number: usize) -> Waker {
        Arc::new(TaskWaker { number, woken: Arc::clone(&self.woken), is_woken: AtomicBool::new(false) }).into()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Relaxed) {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).push_back(Arc::clone(self));
        }
    }
}

/// The number of the future that all others are beside.
const MAIN: usize = usize::MAX;
/// Without time passing.
const MOST_POLLS: u32 = 10_000_000;
