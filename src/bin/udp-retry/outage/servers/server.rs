//! A server of the study, and the path to it.

use std::collections::VecDeque;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::time::Timestamp;

/// What a server and its path are like.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Of a reply, without a queue and the work.
    pub(crate) round_trip: Duration,
    /// The share of datagrams that are lost, each way.
    pub(crate) loss: f64,
    /// Answers a second, one after the other; `None` for as many as are asked for.
    pub(crate) capacity: Option<u32>,
    /// It answers nothing from the first of these moments until the second.
    pub(crate) silent: Option<(Timestamp, Timestamp)>,
}

/// First come, first served. What is asked twice is answered twice.
pub(crate) struct Server {
    kind: Kind,
    seed: Seed,
    /// Datagrams that took the path, in either direction.
    datagrams: u64,
    /// When each request that is here now will have been answered.
    queue: VecDeque<Timestamp>,
}

impl Server {
    pub(crate) fn new(kind: Kind, seed: Seed) -> Self {
        Self { kind, seed, datagrams: 0, queue: VecDeque::new() }
    }

    /// When a datagram that leaves now arrives, in either direction; `None` if it is lost.
    pub(crate) fn travel(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.datagrams += 1;
        let share = |family: u64| fraction(self.seed.derive(family).draw(self.datagrams));
        if share(LOSS) < self.kind.loss {
            return None;
        }
        Some(now.after((self.kind.round_trip / 2).mul_f64(1.0 + JITTER * share(DELAY))))
    }

    /// A request has arrived. Returns when its answer leaves.
    pub(crate) fn answer(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.kind.silent.is_some_and(|(from, until)| now >= from && now < until) {
            return None;
        }
        let Some(capacity) = self.kind.capacity else { return Some(now) };
        while self.queue.front().is_some_and(|&done| done <= now) {
            self.queue.pop_front();
        }
        if self.queue.len() >= QUEUE {
            return None;
        }
        let done = self.queue.back().copied().unwrap_or(now).after(Duration::from_secs(1) / capacity);
        self.queue.push_back(done);
        Some(done)
    }
}

/// In [0, 1), by the 53 bits of a float.
pub(crate) fn fraction(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

const QUEUE: usize = 100;
/// A datagram takes up to this share longer.
const JITTER: f64 = 0.1;
const LOSS: u64 = 0;
const DELAY: u64 = 1;
