//! exponential-backoff: `Backoff` with a jitter of 0.5; its default is 0.3.

use std::time::Duration;

use exponential_backoff::Backoff;

use crate::cost::{self, Subject};
use crate::library::{Config, Delays, Jitter, Library, No};

pub struct ExponentialBackoff;

impl Library for ExponentialBackoff {
    fn name(&self) -> &'static str {
        "exponential-backoff"
    }

    fn spread(&self) -> (f64, f64) {
        (0.5, 1.5)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        if config.limit.is_some() {
            return Err(No::Absent);
        }
        Ok(Delays::in_order(backoff(config)?.iter().map_while(|wait| wait)))
    }

    fn shortest(&self, config: &Config, n: u32) -> Duration {
        config.nominal(n).mul_f64(self.spread().0).max(config.initial)
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("exponential-backoff", || {
            let config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0).jittered();
            let backoff = backoff(&config).ok().expect("valid");
            cost::of_delays(cost::USUAL, |_| backoff.iter(), |waits, _| waits.next())
        })]
    }
}

fn backoff(config: &Config) -> Result<Backoff, No> {
    let mut backoff = Backoff::new(u32::MAX, config.initial, config.max);
    backoff.set_factor(config.whole_multiplier()?);
    backoff.set_jitter(match config.jitter {
        Jitter::None => 0.0,
        Jitter::Strongest => 0.5,
        Jitter::Share(share) => share as f32,
    });
    Ok(backoff)
}
