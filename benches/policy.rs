//! The price of chance and of a schedule: one draw, one delay of every law, one request without a reply.
//!
//! Targets on a machine of 2023: a draw 4 ns, a jittered delay 10 ns, a compounding one at slot 8 60 ns, a
//! round trip that an estimator takes and the timeout that it makes of it 20 ns.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use udp_retry::policy::{Backoff, Jitter, RttEstimator};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, RetryTimer};
use udp_retry::{RetryPolicy, Seed};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    draws(&mut criterion);
    delays(&mut criterion);
    construction(&mut criterion);
    estimates(&mut criterion);
    requests(&mut criterion);
    criterion.final_summary();
}

fn draws(criterion: &mut Criterion) {
    let mut sequence = 0;
    criterion.bench_function("policy/draw", |b| {
        b.iter(|| {
            sequence += 1;
            black_box(Seed::new(7)).draw(sequence)
        });
    });
}

/// Each asks for the slots 0 to 8 in turn, under another seed every time; the loop around costs a nanosecond or so.
fn delays(criterion: &mut Criterion) {
    let each = Jitter::UPWARD;
    let once = Jitter::once(1.0, 1.5).unwrap();
    let compounding = Jitter::compounding(0.9, 1.1).unwrap();
    let deviation = Jitter::plus_minus(Duration::from_millis(50)).unwrap();
    for (name, multiplier, jitter) in [
        ("none", 2.0, Jitter::NONE),
        ("each, doubling", 2.0, each),
        ("each, by 1.5", 1.5, each),
        ("once", 2.0, once),
        ("plus or minus", 2.0, deviation),
        ("compounding", 2.0, compounding),
    ] {
        let backoff = backoff(multiplier, jitter);
        let mut turn = 0_u64;
        criterion.bench_function(&format!("policy/delay, {name}"), |b| {
            b.iter(|| {
                turn += 1;
                black_box(&backoff).delay((turn % 9) as u32, Seed::new(turn))
            });
        });
    }
    for (name, slot, jitter) in
        [("each, slot 8", 8, each), ("each, slot 100", 100, each), ("compounding, slot 8", 8, compounding)]
    {
        // An initial interval of a millisecond: slot 8 is still below the cap.
        let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_secs(60)).unwrap();
        let backoff = backoff.with_jitter(jitter).unwrap();
        let mut seed = 0;
        criterion.bench_function(&format!("policy/delay, {name}"), |b| {
            b.iter(|| {
                seed += 1;
                black_box(&backoff).delay(black_box(slot), Seed::new(seed))
            });
        });
    }
}

fn construction(criterion: &mut Criterion) {
    criterion.bench_function("policy/construction", |b| {
        b.iter(|| backoff(black_box(1.5), black_box(Jitter::UPWARD)));
    });
}

/// What a request pays that is answered: its first wait, and the sample of its round trip.
fn estimates(criterion: &mut Criterion) {
    let (estimator, mut now) = (RttEstimator::default(), Timestamp::ZERO);
    criterion.bench_function("policy/estimator, one update and one read", |b| {
        b.iter(|| {
            now = now.after(Duration::from_millis(1));
            black_box(&estimator).on_reply(now, Some(Duration::from_micros(300)));
            black_box(&estimator).rto(now)
        });
    });
    let policy = RetryPolicy::default();
    for (name, wait) in [("fits", 2), ("is shortened", 60)] {
        let (wait, deadline) = (Duration::from_secs(wait), Some(Duration::from_secs(20)));
        criterion.bench_function(&format!("policy/first wait that {name}"), |b| {
            b.iter(|| black_box(&policy).starting_within(black_box(wait), deadline).backoff().initial());
        });
    }
}

fn requests(criterion: &mut Criterion) {
    let policy = RetryPolicy::default();
    let mut seed = 0;
    criterion.bench_function("policy/request without a reply, 5 transmissions", |b| {
        b.iter_batched_ref(
            || {
                seed += 1;
                RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(seed))
            },
            |timer| {
                let mut now = Timestamp::ZERO;
                loop {
                    match timer.poll(now) {
                        Action::Transmit => timer.on_transmitted(&policy, now),
                        Action::WaitUntil(until) => now = until,
                        Action::Done | Action::GiveUp(_) => return now,
                    }
                }
            },
            BatchSize::SmallInput,
        );
    });
}

fn backoff(multiplier: f64, jitter: Jitter) -> Backoff {
    Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60))
        .and_then(|backoff| backoff.with_multiplier(multiplier))
        .and_then(|backoff| backoff.with_jitter(jitter))
        .unwrap()
}
