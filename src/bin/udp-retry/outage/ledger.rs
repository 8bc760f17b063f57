//! What happened in a run, second by second.

use std::time::Duration;

use udp_retry::time::Timestamp;

/// Counts of one run; a request counts in the second in which it began.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) seconds: Vec<Second>,
    /// From the beginning of a request to its reply, for those that began in the calm before the trouble.
    pub(crate) latencies: Vec<Duration>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Second {
    /// Requests that began, and how many of those were answered.
    pub(crate) requests: u32,
    pub(crate) answered: u32,
    /// Transmissions that left, and how many of those were not the first of their request.
    pub(crate) sent: u32,
    pub(crate) sent_again: u32,
    /// Datagrams that reached the server.
    pub(crate) heard: u32,
    /// Requests that the server answered, and replies that ended a request.
    pub(crate) served: u32,
    pub(crate) useful: u32,
}

impl Ledger {
    pub(crate) fn on_request(&mut self, now: Timestamp) {
        self.at(now).requests += 1;
    }

    pub(crate) fn on_sent(&mut self, now: Timestamp, again: bool) {
        let second = self.at(now);
        second.sent += 1;
        second.sent_again += u32::from(again);
    }

    pub(crate) fn on_heard(&mut self, now: Timestamp) {
        self.at(now).heard += 1;
    }

    pub(crate) fn on_served(&mut self, done: Timestamp) {
        self.at(done).served += 1;
    }

    pub(crate) fn on_end(&mut self, began: Timestamp, now: Timestamp, success: bool) {
        if success {
            self.at(began).answered += 1;
            self.at(now).useful += 1;
            if began < CALM_UNTIL {
                self.latencies.push(now.since(began));
            }
        }
    }

    /// The sum over the seconds from `from` to before `to`.
    pub(crate) fn sum(&self, from: usize, to: usize, of: impl Fn(&Second) -> u32) -> u64 {
        let seconds = self.seconds.get(from..to.min(self.seconds.len())).unwrap_or_default();
        seconds.iter().map(|second| u64::from(of(second))).sum()
    }

    fn at(&mut self, time: Timestamp) -> &mut Second {
        let second = time.since(Timestamp::ZERO).as_secs() as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Second::default());
        }
        &mut self.seconds[second]
    }
}

/// A share of a whole; of nothing, nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A second before the trouble begins, which is not to be seen in any latency but those of a longer deadline.
const CALM_UNTIL: Timestamp = Timestamp::from_nanos(19_000_000_000);
