//! backoff: `ExponentialBackoff` with its default randomization factor of 0.5.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use backoff::backoff::Backoff as _;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};
use backoff::{Clock, SystemClock};

use crate::cost::{self, Subject};
use crate::library::{Config, Delays, Jitter, Library, No, Run};

pub struct Backoff;

impl Library for Backoff {
    fn name(&self) -> &'static str {
        "backoff"
    }

    fn spread(&self) -> (f64, f64) {
        (0.5, 1.5)
    }

    /// The interval that it draws from is a nanosecond longer than documented, even at a factor of 0.
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        let clock = Stopped::default();
        let mut backoff = backoff(config, clock.clone());
        Ok(Delays::in_order(std::iter::from_fn(move || {
            let wait = backoff.next_backoff()?;
            clock.advance(wait);
            Some(wait)
        })))
    }

    fn unanswered(&self, config: &Config, limit: Duration, operation: Duration) -> Result<Run, No> {
        let clock = Stopped::default();
        let mut backoff = backoff(&Config { limit: Some(limit), ..*config }, clock.clone());
        let mut tries = Vec::new();
        loop {
            tries.push(clock.elapsed.get());
            clock.advance(operation);
            match backoff.next_backoff() {
                Some(wait) => clock.advance(wait),
                None => return Ok(Run { tries, end: clock.elapsed.get() }),
            }
        }
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("backoff", || {
            let mut builder = ExponentialBackoffBuilder::<SystemClock>::new();
            builder
                .with_initial_interval(Duration::from_millis(100))
                .with_max_interval(Duration::from_secs(60))
                .with_multiplier(2.0);
            cost::of_delays(cost::USUAL, |_| builder.build(), |backoff, _| backoff.next_backoff())
        })]
    }
}

fn backoff(config: &Config, clock: Stopped) -> ExponentialBackoff<Stopped> {
    ExponentialBackoff {
        current_interval: config.initial,
        initial_interval: config.initial,
        randomization_factor: match config.jitter {
            Jitter::None => 0.0,
            Jitter::Strongest => 0.5,
            Jitter::Share(share) => share,
        },
        multiplier: config.multiplier,
        max_interval: config.max,
        start_time: clock.now(),
        max_elapsed_time: config.limit,
        clock,
    }
}

/// A clock that only the waits and the tries move.
#[derive(Clone)]
struct Stopped {
    origin: Instant,
    elapsed: Rc<Cell<Duration>>,
}

impl Stopped {
    fn advance(&self, by: Duration) {
        self.elapsed.set(self.elapsed.get().saturating_add(by));
    }
}

impl Default for Stopped {
    fn default() -> Self {
        Self { origin: Instant::now(), elapsed: Rc::default() }
    }
}

impl Clock for Stopped {
    fn now(&self) -> Instant {
        // No clock of a machine reaches further than this.
        const AGES: Duration = Duration::from_secs(10_000_000_000);
        self.origin + self.elapsed.get().min(AGES)
    }
}
