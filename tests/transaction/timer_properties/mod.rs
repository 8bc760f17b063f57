//! When to transmit: any facts in any order, at any time, under any policy, against a naive model of the schedule.

mod any_facts;
mod by_hand;
mod facts;
mod model;
mod several;

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::Backoff;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, RetryTimer};

/// Drives a request that nobody answers; `late` says by how many nanoseconds each wait ends too late.
#[track_caller]
fn run(policy: &RetryPolicy, seed: u64, mut late: impl FnMut(u64) -> u64) -> (Vec<u64>, (u64, GiveUp)) {
    let mut timer = RetryTimer::start(policy, at(0), Seed::new(seed));
    let (mut now, mut sent, mut waits) = (at(0), Vec::new(), 0);
    loop {
        match timer.poll(now) {
            Action::Transmit => {
                sent.push(now.as_nanos());
                timer.on_transmitted(policy, now);
            }
            Action::WaitUntil(until) => {
                assert!(until > now);
                now = at(until.as_nanos() + late(waits));
                waits += 1;
            }
            Action::GiveUp(reason) => return (sent, (now.as_nanos(), reason)),
            Action::Done => panic!("nobody replied"),
        }
    }
}

fn constant(nanos: u64) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(Duration::from_nanos(nanos)).unwrap())
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

/// Raised by `UDP_RETRY_CASES`.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: 1_000_000, ..ProptestConfig::default() }
}

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;
const HUGE: u64 = u64::MAX / 2;
