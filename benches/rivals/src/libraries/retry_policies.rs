//! retry-policies: `ExponentialBackoff` with `Jitter::Full`, its default.

use std::time::{Duration, SystemTime};

use retry_policies::policies::{ExponentialBackoff, ExponentialBackoffBuilder, ExponentialBackoffTimed};
use retry_policies::{Jitter, RetryDecision, RetryPolicy};

use crate::cost::{self, Subject};
use crate::library::{self, Config, Delays, Library, No, Run};

pub struct RetryPolicies;

impl Library for RetryPolicies {
    fn name(&self) -> &'static str {
        "retry-policies"
    }

    fn spread(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn session(&self, config: &Config) -> Result<Delays, No> {
        let policy = timed(config, config.limit.unwrap_or(Duration::MAX))?;
        Ok(Delays::numbered(move |n| wait(&policy, Duration::ZERO, n)))
    }

    /// The setting is called the minimum.
    fn shortest(&self, config: &Config, _n: u32) -> Duration {
        config.initial
    }

    /// Only a moment of the wall clock comes out.
    fn resolution(&self) -> Duration {
        READ_WITHIN
    }

    fn announced(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("P3", "min_retry_interval: \"it can end up being lower due to jitter\""),
            ("P11", "\"Panics if min_retry_interval > max_retry_interval\""),
        ]
    }

    fn construct(&self, config: &Config) {
        let _ = self.session(config);
        if let Ok(builder) = builder(config) {
            builder.build_with_total_retry_duration_and_limit_retries(Duration::from_secs(3600));
        }
    }

    /// The start is an argument, so the time that has passed can be made up.
    fn unanswered(&self, config: &Config, limit: Duration, operation: Duration) -> Result<Run, No> {
        let policy = timed(config, limit)?;
        let mut now = Duration::ZERO;
        let mut tries = Vec::new();
        for n in 0.. {
            tries.push(now);
            now += operation;
            match wait(&policy, now, n) {
                Some(wait) => now += wait,
                None => break,
            }
        }
        Ok(Run { tries, end: now })
    }

    fn retries_by_wall_clock(&self, limit: Duration, started: SystemTime) -> Option<bool> {
        let policy = ExponentialBackoff::builder().build_with_total_retry_duration(limit);
        Some(matches!(policy.should_retry(started, 0), RetryDecision::Retry { .. }))
    }

    fn delay_costs(&self) -> Vec<Subject> {
        vec![("retry-policies", || {
            let config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0).jittered();
            let policy = builder(&config).ok().expect("valid").build_with_max_retries(u32::MAX);
            cost::of_delays(cost::USUAL, |_| SystemTime::now(), |start, number| policy.should_retry(*start, number))
        })]
    }
}

fn builder(config: &Config) -> Result<ExponentialBackoffBuilder, No> {
    let jitter = match config.jitter {
        library::Jitter::None => Jitter::None,
        library::Jitter::Strongest => Jitter::Full,
        library::Jitter::Share(_) => return Err(No::Absent),
    };
    let base = config.whole_multiplier()?;
    Ok(ExponentialBackoff::builder().retry_bounds(config.initial, config.max).jitter(jitter).base(base))
}

fn timed(config: &Config, limit: Duration) -> Result<ExponentialBackoffTimed, No> {
    Ok(builder(config)?.build_with_total_retry_duration(limit))
}

/// Never longer than the library's own wait, and shorter by [`READ_WITHIN`] at most.
fn wait(policy: &ExponentialBackoffTimed, passed: Duration, n: u32) -> Option<Duration> {
    loop {
        let before = SystemTime::now();
        let decision = policy.should_retry(before - passed, n);
        let after = SystemTime::now();
        let RetryDecision::Retry { execute_after } = decision else { return None };
        if after.duration_since(before).is_ok_and(|taken| taken < READ_WITHIN) {
            return Some(execute_after.duration_since(after).unwrap_or_default());
        }
    }
}

const READ_WITHIN: Duration = Duration::from_micros(5);
