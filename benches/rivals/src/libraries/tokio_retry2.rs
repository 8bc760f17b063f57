//! tokio-retry2: `ExponentialFactorBackoff` mapped through `jitter`, which is ±50 %, in the order of its own example.

use std::thread;
use std::time::{Duration, Instant};

use tokio_retry2::strategy::{ExponentialFactorBackoff, MaxInterval, jitter, jitter_with_bounds};

use crate::cost::{self, Subject};
use crate::library::{Config, Delays, Jitter, Library, No, Run};

pub struct TokioRetry2;

impl Library for TokioRetry2 {
    fn name(&self) -> &'static str {
        "tokio-retry2"
    }

    fn spread(&self) -> (f64, f64) {
        (0.5, 1.5)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        let waits = strategy(config)?.max_duration(config.limit.unwrap_or(Duration::MAX));
        Ok(match config.jitter {
            Jitter::None => Delays::in_order(waits),
            Jitter::Strongest => Delays::in_order(waits.map(jitter)),
            Jitter::Share(share) => Delays::in_order(waits.map(jitter_with_bounds(1.0 - share, 1.0 + share))),
        })
    }

    /// The limit reads the system's clock, so this one really waits.
    fn unanswered(&self, config: &Config, limit: Duration, operation: Duration) -> Result<Run, No> {
        let start = Instant::now();
        let mut waits = strategy(config)?.max_duration(limit);
        let mut tries = Vec::new();
        loop {
            tries.push(start.elapsed());
            thread::sleep(operation);
            match waits.next() {
                Some(wait) => thread::sleep(wait),
                None => return Ok(Run { tries, end: start.elapsed() }),
            }
        }
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("tokio-retry2", || {
            let config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0);
            let strategy = strategy(&config).ok().expect("valid");
            cost::of_delays(cost::USUAL, |_| strategy.clone().map(jitter), |waits, _| waits.next())
        })]
    }
}

fn strategy(config: &Config) -> Result<ExponentialFactorBackoff, No> {
    let strategy = ExponentialFactorBackoff::from_millis(config.whole_milliseconds()?, config.multiplier);
    Ok(strategy.max_delay(config.max))
}
