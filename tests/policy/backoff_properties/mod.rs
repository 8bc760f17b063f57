//! Backoff timing against an exact model, a virtual clock and the laws that the documentation states.
//!
//! The numbers P1 to P30 name the classes of bugs that retry libraries have had. Covered here: P1 to P16, P18 to
//! P20, P25, P27 to P29; what cannot be built (P10, P11) also in `policy_construction.rs`. Not here:
//!
//! - P17, server hints: nothing takes a hint.
//! - P21 to P24, budgets: `budget.rs`.
//! - P26, backoff kept or reset by round-trip samples: `estimator.rs`.
//! - P30, vacuous tests: checked by planting mutants, not by a test.
//!
//! `UDP_RETRY_CASES` sets the cases of each random property; the default is 10,000. A failure prints the smallest
//! failing input, and proptest keeps its seed beside the file that the property is in.

mod compounding;
mod delays;
mod draws;
mod driven;
mod known;

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, RetryTimer};
use udp_retry::{RetryPolicy, Seed};

use crate::exact::{self, Settings, fraction, ns, whole};
use crate::unmixed::{GAMMA, unfinalized};

const MS: u64 = 1_000_000;

/// What a request did that nobody answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    sends: Vec<u64>,
    end: u64,
    why: GiveUp,
    /// The latest moment that it asked to be woken at.
    longest_wait: u64,
}

impl Run {
    fn shifted(mut self, shift: u64) -> Self {
        self.sends.iter_mut().chain([&mut self.end, &mut self.longest_wait]).for_each(|at| *at += shift);
        self
    }
}

/// Drives a request on a virtual clock; operation number k takes `lag(k)` longer than it should.
fn drive(policy: &RetryPolicy, start: u64, seed: u64, lag: impl Fn(u64) -> u64) -> Run {
    let at = Timestamp::from_nanos;
    let mut timer = RetryTimer::start(policy, at(start), Seed::new(seed));
    let (mut now, mut sends, mut longest_wait) = (start, Vec::new(), start);
    for operation in 0.. {
        match timer.poll(at(now)) {
            Action::Transmit => {
                sends.push(now);
                now = now.saturating_add(lag(operation));
                timer.on_transmitted(policy, at(now));
            }
            Action::WaitUntil(until) => {
                assert!(until > at(now), "asks to wait for the past");
                longest_wait = longest_wait.max(until.as_nanos());
                now = until.as_nanos().saturating_add(lag(operation));
            }
            Action::GiveUp(why) => {
                assert_eq!(timer.transmissions() as usize, sends.len());
                return Run { sends, end: now, why, longest_wait };
            }
            Action::Done => unreachable!("nobody answered"),
        }
    }
    unreachable!("a request ends")
}

/// The pause before the first transmission, as a request shows it.
fn start_delay(policy: &RetryPolicy, seed: u64) -> u64 {
    match RetryTimer::start(policy, Timestamp::ZERO, Seed::new(seed)).poll(Timestamp::ZERO) {
        Action::WaitUntil(due) => due.as_nanos(),
        _ => 0,
    }
}

fn assert_compounded_bounds(settings: &Settings, n: u32) {
    if (0..=n).any(|slot| settings.barely_reaches_the_cap(slot)) {
        return;
    }
    let (lo, hi) = settings.build().unwrap().bounds(n);
    let exact = settings.compounded_range(n);
    let near = |bound: Duration, exact: &exact::Q| {
        let off = whole(ns(bound)) - exact;
        // The end at the cap is rounded after the cap, and the cap down.
        let loose = whole(2) + fraction(settings.hi) + exact / whole(1 << 52);
        -&loose <= off && off <= loose
    };
    let (shortest, longest) = (exact.0.floor(), exact.1.floor());
    assert!(
        near(lo, &exact.0) && near(hi, &exact.1),
        "{settings:?}, slot {n}: {lo:?} to {hi:?}, not {shortest} to {longest}"
    );
}

/// The one seed whose draw for `slot` is `draw`: keyed draws are a bijection of the seed.
fn seed_that_draws(draw: u64, slot: u32) -> u64 {
    let key = unfinalized(draw).wrapping_sub(GAMMA.wrapping_mul(slot.into()));
    let seed = unfinalized(key).wrapping_sub(GAMMA);
    assert_eq!(Seed::new(seed).draw(slot.into()), draw);
    seed
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").map_or(10_000, |cases| cases.parse().expect("a number of cases"));
    ProptestConfig {
        cases,
        max_global_rejects: cases.saturating_mul(10),
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}
