//! Many requests in flight, each as soon as there is space for it or at its time, and what came of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slab::Slab;
use udp_retry::requester::{Completion, Waited};
use udp_retry::time::Timestamp;
use udp_retry::transaction::SubmitError;
use udp_retry::{ConcurrentRequester, RetryPolicy};

use super::Arguments;
use super::ended::Ended;
use super::lines::Requests;
use super::output::Output;
use super::report;
use super::summary::{Progress, Summary};
use super::targets::{self, Targets};
use crate::interrupt::Interrupt;
use crate::terminal::Outcome;
use crate::values::Hosts;

pub(crate) fn ask(arguments: &Arguments, targets: &[Hosts], requests: &Requests, policy: RetryPolicy) -> Outcome {
    let (interrupt, is_wrong) = (Interrupt::new()?, Arc::new(AtomicBool::new(false)));
    let (mut requester, targets) = Targets::connect(arguments, targets, policy, is_wrong.clone())?;
    targets::widen(&mut requester, requests.get(0).len());
    let width = arguments.width() as usize;
    let load = Load {
        arguments,
        requests,
        count: arguments.count(requests),
        width,
        period: arguments.qps.map(|qps| 1e9 / qps),
        begun: requester.now(),
        began: Instant::now(),
        targets,
        is_wrong,
        asked: Slab::with_capacity(width),
        summary: Summary::new(),
        output: Output::new(),
    };
    load.run(&mut requester, &interrupt)
}

struct Load<'a> {
    arguments: &'a Arguments,
    requests: &'a Requests,
    count: u64,
    /// The most in flight.
    width: usize,
    /// Nanoseconds from one request to the next, where each has its time.
    period: Option<f64>,
    /// By the requester's clock, and by one that can be read while a reply is looked at.
    begun: Timestamp,
    began: Instant,
    targets: Targets,
    /// Whether the latest reply was not as expected.
    is_wrong: Arc<AtomicBool>,
    asked: Slab<Asked>,
    summary: Summary,
    output: Output,
}

/// A request in flight.
struct Asked {
    number: u64,
    /// Since the beginning.
    due: Duration,
}

impl Load<'_> {
    fn run(mut self, requester: &mut ConcurrentRequester, interrupt: &Interrupt) -> Outcome {
        let mut progress = Progress::new(self.arguments.summary);
        // In a closed loop nothing is due at a time, and the clock is read now and then only.
        let (mut now, mut look_at, mut unread) = (Duration::ZERO, LOOK, 0);
        while !interrupt.is_set() {
            let next = self.submit(requester, now)?;
            if self.asked.is_empty() && self.summary.sent == self.count {
                break;
            }
            match requester.wait_until(next.min(self.begun.after(look_at))) {
                Waited::Completion(done) => {
                    unread += 1;
                    if self.period.is_some() || unread == UNREAD {
                        (now, unread) = (self.began.elapsed(), 0);
                    }
                    self.on_ended(done, now)?;
                }
                Waited::TimeUp | Waited::Cancelled => now = self.began.elapsed(),
            }
            if now >= look_at {
                look_at = now + LOOK;
                progress.show(&self.summary, self.count);
                self.output.flush_if_old(Instant::now(), Duration::ZERO)?;
            }
        }
        progress.clear();
        self.summary.on_strays(requester.strays());
        self.end()
    }

    /// Takes in what is due and fits, and returns when more is to be taken in, should nothing end before.
    fn submit(&mut self, requester: &mut ConcurrentRequester, now: Duration) -> Result<Timestamp, SubmitError> {
        while self.summary.sent < self.count && self.asked.len() < self.width {
            let number = self.summary.sent;
            let due = Duration::from_nanos((self.period.unwrap_or(0.0) * number as f64) as u64);
            if due > now {
                return Ok(self.begun.after(due));
            }
            let (place, request) = (self.asked.vacant_entry(), self.requests.get(number));
            match self.targets.submit(requester, number, request, place.key() as u64) {
                Ok(_) => {
                    place.insert(Asked { number, due });
                    self.summary.sent += 1;
                    if self.period.is_some() {
                        self.summary.behind = self.summary.behind.max(Some(now - due));
                    }
                }
                Err(SubmitError::IdsUsedUp { until: Some(until), .. }) => return Ok(until),
                // Of ids and of bytes there are more when one has ended.
                Err(SubmitError::IdsUsedUp { .. } | SubmitError::IdInUse | SubmitError::Full)
                    if !self.asked.is_empty() =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Timestamp::MAX)
    }

    fn on_ended(&mut self, done: Completion<'_>, now: Duration) -> io::Result<()> {
        let Some(Asked { number, due }) = self.asked.try_remove(done.token() as usize) else { return Ok(()) };
        let latency = if self.period.is_some() { now.saturating_sub(due) } else { done.elapsed() };
        let is_wrong = self.is_wrong.load(Ordering::Relaxed);
        match done.reply() {
            Ok(_) => self.summary.on_reply(latency, done.transmissions(), is_wrong),
            Err(error) => self.summary.on_failure(report::kind(error.failure()), done.transmissions()),
        }
        if self.arguments.summary {
            return Ok(());
        }
        let is_wrong = self.arguments.expect.map(|_| is_wrong);
        let server = self.targets.server(done.peer());
        let ended = Ended { number, latency, done, server, is_wrong };
        self.output.line(|out| if self.arguments.json { ended.json(out) } else { ended.story(out) })
    }

    fn end(mut self) -> Outcome {
        self.summary.elapsed = self.began.elapsed();
        // A signal has left them.
        for _ in &self.asked {
            self.summary.on_failure("cancelled", 0);
        }
        if self.arguments.summary {
            self.summary.write(&mut self.output.buffer, self.arguments.json)?;
        }
        self.output.flush()?;
        self.summary.outcome(self.count, None)
    }
}

/// A signal is noticed within this time.
const LOOK: Duration = Duration::from_millis(100);
/// In a closed loop so many may end before the clock is read.
const UNREAD: u32 = 256;
