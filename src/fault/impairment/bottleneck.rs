use core::time::Duration;

use super::delay::ns;
use super::infeasible::Infeasible;
use super::rate::{Place, Rate, STEPS_PER_BYTE, constant};
use super::rate_trace::RateTrace;

/// The slowest hop: a rate in bits per second, or a recorded one, and a bounded queue in front of it.
///
/// A datagram that arrives while the hop is busy waits; if too much waits already, it is dropped. The time that a
/// datagram takes to *propagate* is not part of it: that is the delay. When a datagram leaves is known when it enters,
/// also where the specification [changes the rate](crate::Impairments::with_change) while it waits.
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
#[derive(Clone, PartialEq, Debug)]
pub struct Bottleneck {
    rate: Rate,
    queue: QueueLimit,
}

/// How much may wait in front of a [`Bottleneck`] when a datagram arrives, so that it is not dropped.
///
/// It is what is really ahead, whatever the rate and the limit were when that came.
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
        Self::of(Rate::Constant(rate), queue)
    }

    /// The rate of a recording, headers included.
    ///
    /// # Errors
    ///
    /// [`Infeasible::QueueTooLong`] past 65,536 datagrams, [`Infeasible::DurationTooLong`].
    pub fn traced(trace: RateTrace, queue: QueueLimit) -> Result<Self, Infeasible> {
        Self::of(Rate::Trace(trace), queue)
    }

    fn of(rate: Rate, queue: QueueLimit) -> Result<Self, Infeasible> {
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

    /// Bits per second; of a recorded rate the mean, rounded down.
    #[must_use]
    pub fn rate(&self) -> u64 {
        match &self.rate {
            Rate::Constant(rate) => *rate,
            Rate::Trace(trace) => trace.mean_rate(),
        }
    }

    /// The recorded rate, if it is one.
    #[must_use]
    pub const fn trace(&self) -> Option<&RateTrace> {
        match &self.rate {
            Rate::Constant(_) => None,
            Rate::Trace(trace) => Some(trace),
        }
    }

    /// What may wait.
    #[must_use]
    pub const fn queue(&self) -> QueueLimit {
        self.queue
    }

    /// How long it takes to send `bytes` bytes, rounded down to nanoseconds; of a recorded rate at its mean.
    #[must_use]
    pub fn service_time(&self, bytes: usize) -> Duration {
        Duration::from_nanos(constant(Place::default(), bytes as u128 * STEPS_PER_BYTE, self.rate()).ns)
    }

    pub(in crate::fault) const fn pace(&self) -> &Rate {
        &self.rate
    }
}

pub(in crate::fault) const LONGEST_QUEUE: u32 = 1 << 16;
