//! backon: `ExponentialBuilder::with_jitter`, which adds 0 to 100 %.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::cost::{self, Subject};
use crate::library::{Config, Delays, Jitter, Library, No, Run};

pub struct Backon;

impl Library for Backon {
    fn name(&self) -> &'static str {
        "backon"
    }

    fn spread(&self) -> (f64, f64) {
        (1.0, 2.0)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        Ok(Delays::in_order(builder(config)?.build()))
    }

    fn announced(&self) -> &'static [(&'static str, &'static str)] {
        const STOPS: &str = "stops \"once the cumulative sleep time plus the next sleep duration would exceed\" it";
        &[("P15", STOPS), ("P16", STOPS)]
    }

    /// The backoff has no clock: it adds up its own waits.
    fn unanswered(&self, config: &Config, limit: Duration, operation: Duration) -> Result<Run, No> {
        let mut waits = builder(&Config { limit: Some(limit), ..*config })?.build();
        let mut now = Duration::ZERO;
        let mut tries = Vec::new();
        loop {
            tries.push(now);
            now += operation;
            match waits.next() {
                Some(wait) => now += wait,
                None => return Ok(Run { tries, end: now }),
            }
        }
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("backon", || {
            let config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0).jittered();
            let builder = builder(&config).ok().expect("valid");
            cost::of_delays(cost::USUAL, |_| builder.build(), |waits, _| waits.next())
        })]
    }
}

fn builder(config: &Config) -> Result<ExponentialBuilder, No> {
    let builder = ExponentialBuilder::new()
        .with_min_delay(config.initial)
        .with_max_delay(config.max)
        .with_factor(config.multiplier as f32)
        .without_max_times()
        .with_total_delay(config.limit);
    match config.jitter {
        Jitter::None => Ok(builder),
        Jitter::Strongest => Ok(builder.with_jitter()),
        Jitter::Share(_) => Err(No::Absent),
    }
}
