//! tower: `ExponentialBackoffMaker` with a jitter of 0.99 and `HasherRng`, its defaults, and `TpsBudget`.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tower::retry::backoff::{Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;

use crate::cost::{self, Cost, Subject};
use crate::library::{self, Config, Delays, Jitter, Library, No};

pub struct Tower;

impl Library for Tower {
    fn name(&self) -> &'static str {
        "tower"
    }

    fn spread(&self) -> (f64, f64) {
        (1.0, 1.99)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        Ok(delays(maker(config)?.make_backoff()))
    }

    fn sessions(&self, config: &Config, count: usize) -> Result<Vec<Delays>, No> {
        let mut maker = maker(config)?;
        Ok((0..count).map(|_| delays(maker.make_backoff())).collect())
    }

    fn budget(&self, ratio: f64) -> Result<Box<dyn library::Budget>, No> {
        Ok(Box::new(Shared(TpsBudget::new(Duration::from_secs(60), 0, ratio as f32))))
    }

    fn deposit_after(&self, idle: Duration) -> Result<Duration, No> {
        Ok(paused().block_on(async {
            let budget = TpsBudget::default();
            tokio::time::advance(idle).await;
            let start = Instant::now();
            budget.deposit();
            start.elapsed()
        }))
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("tower (its wait is a timer)", || {
            let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _inside = runtime.enter();
            let config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0).jittered();
            let maker = maker(&config).ok().expect("valid");
            cost::of_delays(cost::USUAL, |_| maker.clone().make_backoff(), |waits, _| waits.next_backoff())
        })]
    }

    fn budget_cost(&self) -> Option<fn() -> Cost> {
        Some(|| {
            let budget = TpsBudget::new(Duration::from_secs(10), 10, 1.0);
            cost::of_pairs(|| budget.deposit(), || budget.withdraw())
        })
    }
}

fn maker(config: &Config) -> Result<ExponentialBackoffMaker, No> {
    if config.multiplier != 2.0 || config.limit.is_some() {
        return Err(No::Absent);
    }
    let jitter = match config.jitter {
        Jitter::None => 0.0,
        Jitter::Strongest => 0.99,
        Jitter::Share(share) => share,
    };
    ExponentialBackoffMaker::new(config.initial, config.max, jitter, HasherRng::default())
        .map_err(|error| No::Refused(error.to_string()))
}

fn delays(mut backoff: ExponentialBackoff) -> Delays {
    Delays::in_order(std::iter::from_fn(move || {
        CLOCK.with(|clock| {
            let _inside = clock.enter();
            Some(backoff.next_backoff().deadline() - tokio::time::Instant::now())
        })
    }))
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

thread_local! {
    /// Stands still, so that a timer's deadline tells its length to the nanosecond.
    static CLOCK: Runtime = paused();
}

struct Shared(TpsBudget);

impl library::Budget for Shared {
    fn deposit(&self) {
        self.0.deposit();
    }

    fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}
