//! tower-resilience-retry: `ExponentialRandomBackoff` with a factor of 0.5, `TokenBucketBudget`, `AimdBudget`.

use std::time::Duration;

use tower_resilience_retry::{
    AimdBudget, BackoffConfigError, ExponentialBackoff, ExponentialRandomBackoff, IntervalFunction, RetryBudget,
    RetryBudgetConfigError, TokenBucketBudget,
};

use crate::cost::{self, Cost, Subject};
use crate::library::{Budget, Config, Delays, Jitter, Library, No};

pub struct TowerResilience;

impl Library for TowerResilience {
    fn name(&self) -> &'static str {
        "tower-resilience-retry"
    }

    fn spread(&self) -> (f64, f64) {
        (0.5, 1.5)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        if config.limit.is_some() {
            return Err(No::Absent);
        }
        match config.jitter {
            Jitter::None => {
                let plain = ExponentialBackoff::new(config.initial).multiplier(config.multiplier)?;
                let plain = plain.max_interval(config.max);
                Ok(Delays::numbered(move |n| Some(plain.next_interval(n as usize))))
            }
            Jitter::Strongest => jittered(config, 0.5),
            Jitter::Share(share) => jittered(config, share),
        }
    }

    /// The token bucket pays a whole token per success; other ratios are those of the other budget's two amounts.
    fn budget(&self, ratio: f64) -> Result<Box<dyn Budget>, No> {
        if ratio == 1.0 {
            return Ok(Box::new(Shared(TokenBucketBudget::new(0.0, 1_000_000, 0)?)));
        }
        const TOKEN: usize = 1_000;
        let deposit = (ratio * TOKEN as f64).round() as usize;
        Ok(Box::new(Shared(AimdBudget::new(10, 1_000_000_000, deposit, TOKEN, 0.5)?)))
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("tower-resilience-retry", || {
            let backoff = ExponentialRandomBackoff::new(Duration::from_millis(100), 0.5).expect("valid");
            let backoff = backoff.max_interval(Duration::from_secs(60));
            cost::of_delays(cost::USUAL, |_| (), |(), number| backoff.next_interval(number as usize))
        })]
    }

    fn budget_cost(&self) -> Option<fn() -> Cost> {
        Some(|| {
            let budget = TokenBucketBudget::new(10.0, 100, 50).expect("valid");
            cost::of_pairs(|| budget.deposit(), || budget.try_withdraw())
        })
    }
}

fn jittered(config: &Config, factor: f64) -> Result<Delays, No> {
    let backoff = ExponentialRandomBackoff::new(config.initial, factor)?.multiplier(config.multiplier)?;
    let backoff = backoff.max_interval(config.max);
    Ok(Delays::numbered(move |n| Some(backoff.next_interval(n as usize))))
}

struct Shared<B>(B);

impl<B: RetryBudget> Budget for Shared<B> {
    fn deposit(&self) {
        self.0.deposit();
    }

    fn withdraw(&self) -> bool {
        self.0.try_withdraw()
    }
}

impl From<BackoffConfigError> for No {
    fn from(error: BackoffConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<RetryBudgetConfigError> for No {
    fn from(error: RetryBudgetConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}
