use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::lookups::Lookups;
use crate::net::{Pollable, Sockets};
use crate::requester::asynchronous::driver::{Driver, Sent};
use crate::time::Timestamp;
use crate::transport::Incoming;

/// The task that drives a requester: it does what is to be done, looks at what has come, and waits for the sockets, the timer and
/// the calls.
pub(super) struct Task<T: Pollable> {
    // In this order: whoever waits for the end of the driver finds the sockets closed.
    sockets: Sockets,
    transport: T,
    driver: Driver<T::Peer>,
    buffer: Vec<u8>,
    alarm: Alarm,
    lookups: Lookups,
    /// Nothing was left at the last look.
    is_dry: bool,
    /// When that was, by the transport's clock.
    dried: Timestamp,
}

/// What a round came to.
enum Round {
    Again,
    Asleep,
    Ended,
}

impl<T: Pollable> Task<T> {
    /// `start` by the runtime's clock, and as a moment of the driver's.
    pub(super) fn new(
        transport: T,
        driver: Driver<T::Peer>,
        sockets: Sockets,
        buffer: Vec<u8>,
        start: (Instant, Timestamp),
    ) -> Self {
        let dried = transport.now();
        Self {
            sockets,
            transport,
            driver,
            buffer,
            alarm: Alarm::new(start),
            lookups: Lookups::default(),
            is_dry: false,
            dried,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|context| self.turn(context)).await;
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.round(context) {
                Round::Again => {}
                Round::Asleep => return Poll::Pending,
                Round::Ended => return Poll::Ready(()),
            }
        }
        // The others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn round(&mut self, context: &mut Context<'_>) -> Round {
        let turn = self.driver.transmit(&mut self.transport);
        match turn.sent {
            Sent::Nothing => {}
            Sent::All | Sent::Batch | Sent::Held => {
                self.sockets.on_sent();
                self.lookups.on_sent(&mut self.transport);
                self.is_dry &= turn.sent == Sent::All;
            }
            Sent::Closed => return Round::Ended,
        }
        self.lookups.poll(&mut self.transport, context);
        self.sockets.follow(turn.now, &self.transport);
        let Some(is_ready) = self.sockets.poll(turn.now, context) else { return Round::Ended };
        if !is_ready && !turn.is_due && self.is_dry {
            self.driver.wake();
            return self.wait(turn.now, context);
        }
        self.look();
        if self.is_dry && turn.is_due {
            self.transport.on_time_up();
            self.driver.on_time_up(turn.now);
        }
        self.driver.wake();
        Round::Again
    }

    /// Reads until nothing is left, a batch at most.
    fn look(&mut self) {
        let Self { sockets, transport, driver, buffer, .. } = self;
        self.is_dry = false;
        let mut clocks = (driver.now(), transport.now());
        for read in 1..=BATCH {
            let (now, by_transport) = clocks;
            let Some(incoming) = transport.look(buffer, self.dried, by_transport) else {
                sockets.on_dry(now);
                (self.is_dry, self.dried) = (true, by_transport);
                return;
            };
            let at = match &incoming {
                Incoming::Datagram(received) => {
                    sockets.on_given(T::place(received.from), true);
                    // By how long ago it was: what came since the clocks were read came now.
                    Timestamp::from_nanos(now.as_nanos().saturating_sub(by_transport.since_ns(received.at)))
                }
                Incoming::PathError { path, .. } => {
                    sockets.on_given(path.map_or(0, T::place), false);
                    now
                }
                Incoming::TimeUp(_) | Incoming::Cancelled => now,
            };
            driver.on_incoming(at, incoming, buffer);
            if read % CLOCK_EACH == 0 {
                clocks = (driver.now(), transport.now());
            }
        }
    }

    fn wait(&mut self, now: Timestamp, context: &mut Context<'_>) -> Round {
        let latest = self.alarm.at.min(self.sockets.alarm(now));
        match self.driver.sleep(latest, context.waker()) {
            Some(until) if !self.alarm.rings(until, context) => Round::Asleep,
            _ => Round::Again,
        }
    }
}

/// The runtime's timer.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// When it rings; that costs nothing where there is nothing to do, and less than to move it each time.
    at: Timestamp,
    start: Instant,
    origin: Timestamp,
}

impl Alarm {
    fn new((start, origin): (Instant, Timestamp)) -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), at: Timestamp::MAX, start, origin }
    }

    /// Whether it rings now; else it does by this time, or before.
    fn rings(&mut self, until: Timestamp, context: &mut Context<'_>) -> bool {
        if until < self.at {
            #[cfg(test)]
            tests::MOVES.set(tests::MOVES.get() + 1);
            let at = self.start.checked_add(until.since(self.origin));
            self.sleep.as_mut().reset(at.unwrap_or_else(|| self.start + FAR));
            self.at = until;
        }
        let rings = self.at < Timestamp::MAX && self.sleep.as_mut().poll(context).is_ready();
        if rings {
            self.at = Timestamp::MAX;
        }
        rings
    }
}

/// So often one thing leads to another before others have their turn.
const ROUNDS: u32 = 4;
/// Read before something else is looked at.
const BATCH: u32 = 64;
/// Datagrams that are read for one reading of the clocks.
const CLOCK_EACH: u32 = 16;
const FAR: Duration = Duration::from_secs(1 << 30);

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "an echo over a real socket")]

    use std::cell::Cell;
    use std::net::UdpSocket;
    use std::thread;

    use tokio::runtime::Builder;

    use crate::requester::AsyncRequester;
    use crate::{RetryPolicy, transaction_id};

    thread_local! {
        pub(super) static MOVES: Cell<u64> = const { Cell::new(0) };
    }

    /// Each of them is due later than the timer rings that an earlier one has set.
    #[test]
    fn one_request_after_the_other_leaves_the_timer_as_it_is() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((len, from)) = server.recv_from(&mut buffer) {
                server.send_to(&buffer[..len], from).unwrap();
            }
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
            let requester = builder.connect(address).await.unwrap();
            let began = tokio::time::Instant::now();
            for _ in 0..500 {
                requester.request(b"........ping").await.unwrap();
            }
            // Waits of 0.1 s without jitter, or what the wheel takes for them: it rings once in each, and is set again then.
            let most = 2 + began.elapsed().as_millis() as u64 / 50;
            assert!((1..=most).contains(&MOVES.get()), "{} of {most}", MOVES.get());
        });
    }
}
