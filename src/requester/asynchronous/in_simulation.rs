//! The driver of a requester in a simulated network: a task among the others there.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

use super::driver::{Driver, Sent};
use super::shared::{Beginning, Shared};
use super::{AsyncRequester, Asynchronous};
use crate::requester::Builder;
use crate::sim::{SimSleep, SimTasks};
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PeerAddress, Transport};

impl Builder<Asynchronous> {
    /// Runs in a simulated network, among these tasks, over an end of that network: a [`SimTransport`](crate::sim::SimTransport)
    /// or a [`SimUnconnected`](crate::sim::SimUnconnected). Several servers are a [group](AsyncRequester::add_group) of its paths.
    ///
    /// Its time is the network's, and it takes none: see [`SimNet::block_on`](crate::sim::SimNet::block_on), which has an example.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`] never, over an end of a network: that has its seed's.
    pub fn over_simulated<T: Transport<Peer: PeerAddress> + 'static>(
        self,
        tasks: &SimTasks,
        mut transport: T,
    ) -> Result<AsyncRequester<T::Peer>, NoEntropy> {
        let (deadline, many) = (self.deadline, self.many());
        let buffer = many.receive_buffer(many.front.header_len());
        let many = many.engine(&mut transport)?;
        let clock = tasks.clock();
        let clock = move || Timestamp::from_nanos(clock.load(Ordering::Relaxed));
        let shared = Shared::new(Beginning { many, deadline, server: None, service: None }, Box::new(clock));
        let (driver, alarm) = (Driver::new(&shared), tasks.sleep_until(Timestamp::MAX));
        // Bound to nothing: it ends with the requester.
        let _running = tasks.spawn(Task { transport, driver, buffer, alarm, tasks: tasks.clone() });
        Ok(AsyncRequester { shared })
    }
}

struct Task<T: Transport<Peer: PeerAddress>> {
    transport: T,
    driver: Driver<T::Peer>,
    buffer: Vec<u8>,
    alarm: SimSleep,
    tasks: SimTasks,
}

/// Nothing in it is pinned.
impl<T: Transport<Peer: PeerAddress>> Unpin for Task<T> {}

impl<T: Transport<Peer: PeerAddress>> Task<T> {
    /// Reads until nothing is left, a batch at most; whether nothing is.
    fn look(&mut self, now: Timestamp) -> bool {
        let Self { transport, driver, buffer, .. } = self;
        for _ in 0..BATCH {
            let incoming = transport.recv(buffer, now, now);
            let at = match &incoming {
                Incoming::TimeUp(_) => return true,
                Incoming::Datagram(received) => received.at,
                Incoming::PathError { .. } | Incoming::Cancelled => now,
            };
            driver.on_incoming(at, incoming, buffer);
        }
        false
    }
}

impl<T: Transport<Peer: PeerAddress>> Future for Task<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        loop {
            let turn = task.driver.transmit(&mut task.transport);
            if turn.sent == Sent::Closed {
                return Poll::Ready(());
            }
            let is_dry = task.look(turn.now);
            if is_dry && turn.is_due {
                task.driver.on_time_up(turn.now);
            }
            task.driver.wake();
            if !is_dry || turn.is_due || turn.sent == Sent::Batch {
                continue;
            }
            task.tasks.watch(context.waker());
            let Some(until) = task.driver.sleep(Timestamp::MAX, context.waker()) else { continue };
            task.alarm.reset(until);
            if Pin::new(&mut task.alarm).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Read before something else is looked at.
const BATCH: u32 = 64;
