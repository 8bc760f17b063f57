//! udp-retry, this repository: `Backoff` with `Jitter::UPWARD`, `RetryPolicy`, `RetryBudget`.

use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use udp_retry::transaction::{Action, RetryTimer};
use udp_retry::policy::{Backoff, Jitter, PolicyError, RetryBudget, RetryPolicy};
use udp_retry::time::Timestamp;

use crate::cost::{self, Cost, Subject};
use crate::library::{self, Budget, Config, Delays, Library, No, Run};

pub struct UdpRetry;

impl Library for UdpRetry {
    fn name(&self) -> &'static str {
        "udp-retry"
    }

    fn spread(&self) -> (f64, f64) {
        (1.0, 1.5)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        let policy = policy(config)?;
        // Every request has a seed of its own; neighbouring ones share nothing.
        static SEED: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        Ok(Delays::numbered(move |n| Some(policy.backoff().delay(n, seed))))
    }

    /// The largest interval before jitter is max / 1.5, so that jitter finds room below the maximum.
    fn shortest(&self, config: &Config, n: u32) -> Duration {
        config.nominal(n).min(config.max.div_f64(1.5))
    }

    fn unanswered(&self, config: &Config, limit: Duration, operation: Duration) -> Result<Run, No> {
        let policy = policy(&Config { limit: Some(limit), ..*config })?;
        let mut now = Timestamp::ZERO;
        let mut tries = Vec::new();
        let mut timer = RetryTimer::start(&policy, now, 0);
        loop {
            match timer.poll(now) {
                Action::Transmit => {
                    tries.push(now.since(Timestamp::ZERO));
                    now = now.after(operation);
                    timer.on_transmitted(&policy, now);
                }
                Action::WaitUntil(later) => now = later,
                Action::Done | Action::GiveUp(_) => return Ok(Run { tries, end: now.since(Timestamp::ZERO) }),
            }
        }
    }

    fn budget(&self, ratio: f64) -> Result<Box<dyn Budget>, No> {
        Ok(Box::new(RetryBudget::new(ratio, 1_000_000, 0)?))
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![
            ("udp-retry, upward", || delay_cost(Jitter::UPWARD, cost::USUAL)),
            ("udp-retry, upward, each call waiting for the last one's result", chained_cost),
            ("udp-retry, no jitter", || delay_cost(Jitter::NONE, cost::USUAL)),
            ("udp-retry, upward, waits 16 to 24 (beyond its table)", || delay_cost(Jitter::UPWARD, 16..25)),
            ("udp-retry, compounding, mean of waits 0 to 8", || delay_cost(compounding(), cost::USUAL)),
            ("udp-retry, compounding, wait 8 alone", || delay_cost(compounding(), 8..9)),
        ]
    }

    fn budget_cost(&self) -> Option<fn() -> Cost> {
        Some(|| {
            let budget = RetryBudget::new(1.0, 10, 3).expect("valid");
            cost::of_pairs(|| budget.deposit(), || budget.try_withdraw())
        })
    }
}

fn policy(config: &Config) -> Result<RetryPolicy, PolicyError> {
    let jitter = match config.jitter {
        library::Jitter::None => Jitter::NONE,
        library::Jitter::Strongest => Jitter::UPWARD,
        library::Jitter::Share(share) => Jitter::between(1.0 - share, 1.0 + share)?,
    };
    let backoff = Backoff::exponential(config.initial, config.max)?;
    let backoff = backoff.with_multiplier(config.multiplier)?.with_jitter(jitter)?;
    let policy = RetryPolicy::new(backoff).with_max_transmissions(u32::MAX)?;
    config.limit.map_or(Ok(policy), |limit| policy.with_deadline(limit))
}

fn delay_cost(jitter: Jitter, numbers: Range<u32>) -> Cost {
    let backoff = timed_backoff(jitter);
    cost::of_delays(numbers, |seed| seed, |seed, number| backoff.delay(number, *seed))
}

/// The latency: the processor cannot work on two waits at a time, because each decides the seed of the next.
fn chained_cost() -> Cost {
    let backoff = timed_backoff(Jitter::UPWARD);
    cost::of_delays(
        cost::USUAL,
        |seed| seed,
        |seed, number| {
            let delay = backoff.delay(number, *seed);
            *seed ^= u64::from(delay.subsec_nanos());
            delay
        },
    )
}

fn timed_backoff(jitter: Jitter) -> Backoff {
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60)).expect("valid");
    black_box(backoff.with_jitter(jitter).expect("valid"))
}

fn compounding() -> Jitter {
    Jitter::compounding(0.9, 1.1).expect("valid")
}

impl Budget for RetryBudget {
    fn deposit(&self) {
        self.deposit();
    }

    fn withdraw(&self) -> bool {
        self.try_withdraw()
    }
}

impl From<PolicyError> for No {
    fn from(error: PolicyError) -> Self {
        Self::Refused(error.to_string())
    }
}
