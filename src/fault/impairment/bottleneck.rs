use alloc::collections::VecDeque;
use core::time::Duration;

use super::delay::ns;
use super::infeasible::Infeasible;
use crate::time::{Ns, Timestamp};

/// The slowest hop: a rate in bits per second, and a bounded queue in front of it.
///
/// A datagram that arrives while the hop is busy waits; if too much waits already, it is dropped. The time that a
/// datagram takes to *propagate* is not part of it: that is the delay.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::fault::{Bottleneck, QueueLimit};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dsl = Bottleneck::new(10_000_000, QueueLimit::Time(Duration::from_millis(100)))?;
/// assert_eq!(dsl.service_time(1250), Duration::from_millis(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bottleneck {
    rate: u64,
    queue: QueueLimit,
}

/// How much may wait in front of a [`Bottleneck`] when a datagram arrives, so that it is not dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum QueueLimit {
    /// Bytes ahead of it, headers and the unsent part of the datagram that is being sent included.
    Bytes(u64),
    /// Its own wait.
    Time(Duration),
    /// Datagrams that wait, the one that is being sent not counted, itself counted.
    Datagrams(u32),
}

impl Bottleneck {
    /// `rate` bits per second, headers included.
    ///
    /// # Errors
    ///
    /// [`Infeasible::ZeroRate`], [`Infeasible::QueueTooLong`] past 65,536 datagrams, [`Infeasible::DurationTooLong`].
    pub fn new(rate: u64, queue: QueueLimit) -> Result<Self, Infeasible> {
        if rate == 0 {
            return Err(Infeasible::ZeroRate);
        }
        match queue {
            QueueLimit::Datagrams(datagrams) if datagrams > LONGEST_QUEUE => {
                return Err(Infeasible::QueueTooLong { datagrams, most: LONGEST_QUEUE });
            }
            QueueLimit::Time(time) => {
                ns(time)?;
            }
            _ => {}
        }
        Ok(Self { rate, queue })
    }

    /// Bits per second.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// What may wait.
    #[must_use]
    pub const fn queue(&self) -> QueueLimit {
        self.queue
    }

    /// How long it takes to send `bytes` bytes, rounded down to nanoseconds.
    #[must_use]
    pub fn service_time(&self, bytes: usize) -> Duration {
        Duration::from_nanos(Moment::default().plus(bytes, self.rate).ns)
    }
}

/// When the hop is free again, and who waits for it.
#[derive(Clone, Default, Debug)]
pub(in crate::fault) struct BottleneckState {
    free: Moment,
    /// When those that wait begin to be sent; kept only where datagrams are counted.
    starts: VecDeque<Ns>,
}

impl BottleneckState {
    /// When the last bit of a datagram of `bytes` bytes, headers included, has left; `None` if the queue is full.
    pub(in crate::fault) fn pass(&mut self, hop: &Bottleneck, now: Timestamp, bytes: usize) -> Option<Timestamp> {
        let now = now.as_nanos();
        // A fraction counts at the rate that it was made at; after a change of the rate it is at most one ns.
        self.free.fraction = self.free.fraction.min(hop.rate - 1);
        let start = if self.free.ns < now { Moment { ns: now, fraction: 0 } } else { self.free };
        let wait = start.ns - now;
        match hop.queue {
            QueueLimit::Time(limit) => {
                if u128::from(wait) + u128::from(start.fraction > 0) > limit.as_nanos() {
                    return None;
                }
            }
            QueueLimit::Bytes(limit) => {
                let ahead = u128::from(wait) * u128::from(hop.rate) + u128::from(start.fraction);
                if ahead > u128::from(limit) * BIT_NANOS {
                    return None;
                }
            }
            QueueLimit::Datagrams(limit) => {
                while self.starts.front().is_some_and(|&start| start <= now) {
                    self.starts.pop_front();
                }
                let busy = wait > 0 || start.fraction > 0;
                if busy && self.starts.len() >= limit as usize {
                    return None;
                }
                if busy {
                    self.starts.push_back(start.ns.saturating_add(u64::from(start.fraction > 0)));
                }
            }
        }
        self.free = start.plus(bytes, hop.rate);
        Some(Timestamp::from_nanos(self.free.ns.saturating_add(u64::from(self.free.fraction > 0))))
    }
}

/// Nanoseconds and `fraction`/rate of one more, so that no run, however long, drifts.
#[derive(Clone, Copy, Default, Debug)]
struct Moment {
    ns: Ns,
    fraction: u64,
}

impl Moment {
    fn plus(self, bytes: usize, rate: u64) -> Self {
        let steps = bytes as u128 * BIT_NANOS + u128::from(self.fraction);
        // Those of a datagram fit; dividing 128 bits takes several times as long.
        let (ns, fraction) = match u64::try_from(steps) {
            Ok(steps) => (steps / rate, steps % rate),
            Err(_) => divided(steps, rate),
        };
        Self { ns: self.ns.saturating_add(ns), fraction }
    }
}

#[cold]
fn divided(steps: u128, rate: u64) -> (Ns, u64) {
    let rate = u128::from(rate);
    let ns = Ns::try_from(steps / rate).unwrap_or(Ns::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "below the rate")]
    let fraction = (steps % rate) as u64;
    (ns, fraction)
}

/// The steps of 1/rate ns that one byte takes.
const BIT_NANOS: u128 = 8 * 1_000_000_000;
const LONGEST_QUEUE: u32 = 1 << 16;
