use alloc::collections::VecDeque;

use crate::fault::impairment::bottleneck::{Bottleneck, LONGEST_QUEUE, QueueLimit};
use crate::fault::impairment::pace::{KeptPace, Pace};
use crate::fault::impairment::rate::{Place, STEPS_PER_BYTE};
use crate::time::{Ns, saturating_ns};

/// What waits in front of a bottleneck, and when the hop is free again.
///
/// When a datagram leaves is settled when it enters. So what has been taken on at one rate is done at that rate, also if
/// another one is set meanwhile, and each limit is held against what of it is really left.
#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    free: Place,
    /// The nanosecond by which it is free.
    free_at: Ns,
    /// When those that wait begin to be sent: the latest of them, as no limit asks for more.
    starts: VecDeque<Ns>,
    /// Work of earlier paces that is not done yet. Empty unless a pace was changed while something waited.
    earlier: VecDeque<Stretch>,
    /// The steps of all of them but the first, which alone may be done in part.
    behind_first: u128,
}

/// Work that was taken on at one pace: it begins where the one before ends.
#[derive(Clone, Debug)]
struct Stretch {
    pace: KeptPace,
    steps: u128,
    end: Place,
    end_at: Ns,
}

impl Queue {
    /// When the last bit of a datagram of `bytes` bytes, headers included, has left; `None` if the queue is full.
    #[inline]
    pub(super) fn pass(&mut self, hop: &Bottleneck, pace: Pace<'_>, now: Ns, bytes: usize) -> Option<Ns> {
        self.forget_what_left(now);
        // What comes to a free hop needs no place in the queue.
        if self.free_at > now && !self.takes_in(hop, pace, now) {
            return None;
        }
        let start = if self.free.ns < now { Place { ns: now, part: 0 } } else { self.free };
        (self.free, self.free_at) = match bytes {
            0 => (start, self.free_at.max(now)),
            _ => pace.run(start, bytes as u128 * STEPS_PER_BYTE),
        };
        Some(self.free_at)
    }

    /// Whether one more may wait, which then does.
    fn takes_in(&mut self, hop: &Bottleneck, pace: Pace<'_>, now: Ns) -> bool {
        let fits = match hop.queue() {
            QueueLimit::Time(limit) => self.free_at - now <= saturating_ns(limit),
            QueueLimit::Bytes(limit) => self.ahead(pace, now) <= u128::from(limit) * STEPS_PER_BYTE,
            QueueLimit::Datagrams(limit) => self.starts.len() < limit as usize,
        };
        if !fits || self.earlier.len() > MOST_STRETCHES {
            return false;
        }
        if self.starts.len() == LONGEST_QUEUE as usize {
            self.starts.pop_front();
        }
        self.starts.push_back(self.free_at);
        true
    }

    /// From now on another pace holds, or none. What waits is done at the one there was until now.
    pub(super) fn end_pace(&mut self, pace: Option<Pace<'_>>) {
        let begin = self.earlier.back().map(|last| last.end_at);
        // A burst is work that takes no time: it may end at the very moment at which it begins.
        let work = pace.map(|pace| (pace, pace.remaining(0, begin, self.free))).filter(|&(_, steps)| steps > 0);
        if let Some((pace, steps)) = work {
            self.behind_first = self.behind_first.saturating_add(if begin.is_some() { steps } else { 0 });
            self.earlier.push_back(Stretch { pace: pace.kept(), steps, end: self.free, end_at: self.free_at });
        }
        self.free = Place { ns: self.free_at, part: 0 };
    }

    #[inline]
    fn forget_what_left(&mut self, now: Ns) {
        while self.starts.front().is_some_and(|&start| start <= now) {
            self.starts.pop_front();
        }
        while self.earlier.front().is_some_and(|stretch| stretch.end_at <= now) {
            self.earlier.pop_front();
            self.behind_first = self.behind_first.saturating_sub(self.earlier.front().map_or(0, |first| first.steps));
        }
    }

    /// The steps of work that are left of what waits.
    fn ahead(&self, pace: Pace<'_>, now: Ns) -> u128 {
        let first = self.earlier.front().map_or(0, |first| first.pace.lent().remaining(now, None, first.end));
        let begin = self.earlier.back().map(|last| last.end_at);
        first.saturating_add(self.behind_first).saturating_add(pace.remaining(now, begin, self.free))
    }
}

/// Far more changes of the rate than anyone makes while one datagram waits.
const MOST_STRETCHES: usize = 1 << 16;
