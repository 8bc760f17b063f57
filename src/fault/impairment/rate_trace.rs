use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use super::rate::{Place, STEPS_PER_BYTE};
use crate::time::Ns;

/// A recorded rate: the milliseconds at which up to 1,504 bytes may leave, over and over.
///
/// The format of mahimahi's trace files: one whole number of milliseconds a line, ascending, a line for each
/// opportunity; after the last one everything begins anew. A datagram leaves with its last byte. An opportunity that
/// no one uses is lost. Times count from the same origin as those of an [`Outage`](crate::fault::Outage).
///
/// As text `rate trace FILE`, or `rate trace { 3,3,7,10 }` with the milliseconds themselves. Memory is shared by clones.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::fault::{Bottleneck, QueueLimit, RateTrace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let trace: RateTrace = "3\n3\n7\n10\n".parse()?;
/// assert_eq!(trace.period(), Duration::from_millis(10));
/// assert_eq!(trace.mean_rate(), 4 * 1504 * 8 * 100);
/// let hop = Bottleneck::traced(trace, QueueLimit::Bytes(64_000))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RateTrace(Arc<Recorded>);

#[derive(PartialEq)]
struct Recorded {
    /// Milliseconds, ascending; the last one is the period.
    lines: Box<[u32]>,
    file: Option<Box<str>>,
}

/// Why a text or a list is not a [`RateTrace`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RateTraceError {
    /// No line at all.
    #[error("a trace has one line at least")]
    Empty,
    /// A line is not a whole number of milliseconds.
    #[error("line {line}: not a whole number of milliseconds, 4294967295 at most")]
    NotANumber {
        /// Which line, from 1.
        line: usize,
    },
    /// A line is earlier than the one before.
    #[error("line {line}: earlier than the line before")]
    OutOfOrder {
        /// Which line, from 1.
        line: usize,
    },
    /// The last line is zero, so that there is no time to repeat after.
    #[error("a trace takes 1 ms at least: its last line is 0")]
    NoTime,
    /// More lines than a trace may have.
    #[error("a trace has {most} lines at most")]
    TooLong {
        /// The most lines.
        most: usize,
    },
}

impl RateTrace {
    /// Opportunities at these milliseconds, ascending, again and again after the last one.
    ///
    /// # Errors
    ///
    /// [`RateTraceError::Empty`], [`OutOfOrder`](RateTraceError::OutOfOrder), [`NoTime`](RateTraceError::NoTime),
    /// [`TooLong`](RateTraceError::TooLong) past 1,048,576 lines.
    pub fn new(millis: impl IntoIterator<Item = u32>) -> Result<Self, RateTraceError> {
        let mut lines = Vec::new();
        for (line, at) in (1..).zip(millis) {
            push(&mut lines, at, line)?;
        }
        Self::of(lines)
    }

    fn of(lines: Vec<u32>) -> Result<Self, RateTraceError> {
        match lines.last() {
            None => Err(RateTraceError::Empty),
            Some(0) => Err(RateTraceError::NoTime),
            Some(_) => Ok(Self(Arc::new(Recorded { lines: lines.into(), file: None }))),
        }
    }

    /// Has it written as the name of a file that holds it, instead of by its milliseconds.
    #[must_use]
    pub fn from_file(self, name: &str) -> Self {
        Self(Arc::new(Recorded { lines: self.0.lines.clone(), file: Some(name.into()) }))
    }

    /// The file that it is written as.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The opportunities of one period, in milliseconds.
    #[must_use]
    pub fn millis(&self) -> &[u32] {
        &self.0.lines
    }

    /// After this time it begins anew: the last of its lines.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period_ns())
    }

    /// Bits per second over a whole period, rounded down.
    #[must_use]
    pub fn mean_rate(&self) -> u64 {
        let bits = self.0.lines.len() as u64 * u64::from(BYTES_AT_ONCE) * 8;
        (bits * 1000).checked_div(self.period_ns() / MS).unwrap_or(0)
    }

    /// Where some work ends that begins at this place, and when it is done.
    pub(in crate::fault) fn run(&self, from: Place, steps: u128) -> (Place, Ns) {
        let target = self.before(from.ns).saturating_add(from.part.into()).saturating_add(steps);
        // The opportunity that carries the last step.
        let ns = self.time_of(target.saturating_sub(1) / STEPS_AT_ONCE);
        // Of the opportunities of one moment, which are no more than there are lines, so that it fits.
        let part = u64::try_from(target - self.before(ns).min(target)).unwrap_or(u64::MAX);
        (Place { ns, part }, ns)
    }

    /// The steps that could leave before this moment.
    pub(in crate::fault) fn before(&self, at: Ns) -> u128 {
        at.checked_sub(1).map_or(0, |at| self.through(at))
    }

    /// The steps that could leave up to this moment.
    pub(in crate::fault) fn through(&self, at: Ns) -> u128 {
        let (period, lines) = (self.period_ns(), &self.0.lines);
        let (rounds, at) = (at.checked_div(period).unwrap_or(0), at.checked_rem(period).unwrap_or(0) / MS);
        let here = lines.partition_point(|&line| u64::from(line) <= at);
        (u128::from(rounds) * lines.len() as u128 + here as u128) * STEPS_AT_ONCE
    }

    /// When opportunity number `n` comes, from 0.
    fn time_of(&self, n: u128) -> Ns {
        let lines = &self.0.lines;
        let count = lines.len().max(1) as u128;
        let line = usize::try_from(n % count).ok().and_then(|place| lines.get(place)).copied().unwrap_or(0);
        let at = (n / count).saturating_mul(self.period_ns().into()).saturating_add(u128::from(line) * u128::from(MS));
        Ns::try_from(at).unwrap_or(Ns::MAX)
    }

    fn period_ns(&self) -> Ns {
        self.0.lines.last().map_or(1, |&last| Ns::from(last) * MS)
    }
}

/// Reads one number a line; blanks around it do not matter, nor do empty lines.
impl FromStr for RateTrace {
    type Err = RateTraceError;

    fn from_str(text: &str) -> Result<Self, RateTraceError> {
        let mut lines = Vec::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let digits = text.trim();
            let at = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
            push(&mut lines, at.ok_or(RateTraceError::NotANumber { line })?, line)?;
        }
        Self::of(lines)
    }
}

fn push(lines: &mut Vec<u32>, at: u32, line: usize) -> Result<(), RateTraceError> {
    if lines.len() == MOST_LINES {
        return Err(RateTraceError::TooLong { most: MOST_LINES });
    }
    if lines.last().is_some_and(|&before| at < before) {
        return Err(RateTraceError::OutOfOrder { line });
    }
    lines.push(at);
    Ok(())
}

impl PartialEq for RateTrace {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// Without its lines, which may be a million.
impl fmt::Debug for RateTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateTrace")
            .field("file", &self.file())
            .field("lines", &self.0.lines.len())
            .field("period", &self.period())
            .finish()
    }
}

/// What leaves at one opportunity, as in mahimahi: an Ethernet frame.
const BYTES_AT_ONCE: u16 = 1504;
const STEPS_AT_ONCE: u128 = BYTES_AT_ONCE as u128 * STEPS_PER_BYTE;
/// So many at one moment are less than 2⁶⁴ steps.
const MOST_LINES: usize = 1 << 20;
const MS: Ns = 1_000_000;
