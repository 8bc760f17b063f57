//! Asynchronous code in a network in virtual time: an executor without a runtime.

mod executor;
mod sleep;
mod timers;

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use self::executor::Executor;
pub use self::sleep::SimSleep;
use super::{SimError, SimNet};
use crate::atomic::AtomicU64;
use crate::time::Timestamp;

/// The tasks of asynchronous code in a [`SimNet`]: what a runtime is elsewhere. Clones are handles on the same ones.
///
/// They run one at a time, in the order in which they were woken, and take no time; once all of them wait, time moves on to the
/// next thing that happens in the network, or to the end of a [sleep](Self::sleep). So a run can be repeated bit for bit. What has
/// arrived at a moment is seen before a sleep of that moment ends.
///
/// Only code that needs no runtime can run here: an [`AsyncRequester`](crate::AsyncRequester) made
/// [for it](crate::requester::Builder::over_simulated), channels, `select!` and `join!`; not the timers and sockets of tokio. A call
/// that moves the network itself, such as a request of a [`ReliableRequester`](crate::ReliableRequester), keeps all tasks waiting
/// for as long as it takes.
#[derive(Clone)]
pub struct SimTasks {
    executor: Rc<Executor>,
}

impl SimTasks {
    /// Runs a future beside the others, until it ends or [`SimNet::block_on`] does. What it returns is for whoever awaits the
    /// [`SimTask`]; dropping that changes nothing.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> SimTask<T> {
        let outcome = Rc::new(RefCell::new(Outcome { value: None, waker: None }));
        let task = SimTask { outcome: Rc::clone(&outcome) };
        self.executor.spawn(async move {
            let value = future.await;
            let waker = {
                let mut outcome = outcome.borrow_mut();
                outcome.value = Some(value);
                outcome.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        });
        task
    }

    /// Ends after this time.
    pub fn sleep(&self, duration: Duration) -> SimSleep {
        self.sleep_until(self.now().after(duration))
    }

    /// Ends at this time; at [`Timestamp::MAX`] never.
    pub fn sleep_until(&self, until: Timestamp) -> SimSleep {
        SimSleep::new(Rc::clone(&self.executor), until)
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.executor.net().now()
    }

    /// The present moment in nanoseconds, for those who cannot hold a network.
    pub(crate) fn clock(&self) -> Arc<AtomicU64> {
        self.executor.clock()
    }

    /// Has this one woken when anything has happened in the network.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.executor.watch(waker);
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &SimNet {
        self.executor.net()
    }
}

impl fmt::Debug for SimTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTasks").field("net", self.net()).finish_non_exhaustive()
    }
}

/// What a spawned future returns, as a future.
pub struct SimTask<T> {
    outcome: Rc<RefCell<Outcome<T>>>,
}

struct Outcome<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Future for SimTask<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.outcome.borrow_mut();
        match outcome.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                outcome.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for SimTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTask").field("has_ended", &self.outcome.borrow().value.is_some()).finish()
    }
}

impl SimNet {
    /// Runs asynchronous code in this network until it ends, and the tasks that it spawns beside it; those are dropped then. `make`
    /// is given their handle.
    ///
    /// ```
    /// use core::time::Duration;
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::{AsyncRequester, Seed, transaction_id};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    /// net.path(client, server, udp_retry::fault::Profile::both("loss 30%; delay 20ms".parse()?))?;
    /// net.serve("10.0.0.2:1060".parse()?, echo())?;
    /// let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    ///
    /// net.block_on(|tasks| async move {
    ///     let requester = AsyncRequester::builder(transaction_id(0..4).stamped()).over_simulated(&tasks, transport)?;
    ///     let other = requester.clone();
    ///     let beside = tasks.spawn(async move { other.request(b"....pong").await.map(|reply| reply.into_vec()) });
    ///     assert_eq!(requester.request(b"....ping").await?.payload()[4..], *b"ping");
    ///     assert_eq!(beside.await?[4..], *b"pong");
    ///     tasks.sleep(Duration::from_secs(3600)).await;
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SimError::Stuck`] if all tasks wait for what never comes, or the network is [stopped](Self::stopped);
    /// [`SimError::Restless`] if they wake each other without end while no time passes.
    pub fn block_on<F: Future>(&self, make: impl FnOnce(SimTasks) -> F) -> Result<F::Output, SimError> {
        let executor = Rc::new(Executor::new(self.clone()));
        // Tasks hold handles, so that without this they would hold each other.
        let _end = End(&executor);
        executor.run(make(SimTasks { executor: Rc::clone(&executor) }))
    }
}

struct End<'e>(&'e Executor);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
