//! What the pure machines cost: `cargo bench --bench transaction`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use udp_retry::fault::Link;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Next, RetryTimer, Transaction};
use udp_retry::{Impairments, Probability, RetryPolicy, Seed, transaction_id};

criterion_group! {
    name = timer;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = schedule, transaction, link
}
criterion_main!(timer);

fn schedule(criterion: &mut Criterion) {
    let policy = RetryPolicy::default();
    let mut waiting = RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(7));
    waiting.on_transmitted(&policy, Timestamp::ZERO);
    criterion.bench_function("request/poll", |bencher| {
        bencher.iter(|| black_box(&waiting).poll(black_box(Timestamp::ZERO)));
    });
    criterion.bench_function("request/on_transmitted", |bencher| {
        let fresh = RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(7));
        bencher.iter(|| {
            let mut timer = black_box(fresh);
            timer.on_transmitted(black_box(&policy), black_box(Timestamp::ZERO));
            timer
        });
    });
    criterion.bench_function("request/on_transmitted after 64 missed slots", |bencher| {
        let endless = policy.with_max_transmissions(u32::MAX).unwrap();
        let fresh = RetryTimer::start(&endless, Timestamp::ZERO, Seed::new(7));
        let awake = Timestamp::ZERO.after(Duration::from_secs(1_000_000));
        bencher.iter_batched_ref(
            || fresh,
            |timer| timer.on_transmitted(black_box(&endless), black_box(awake)),
            BatchSize::SmallInput,
        );
    });
}

/// From the start to the reply of one request that nothing goes wrong with.
fn transaction(criterion: &mut Criterion) {
    let mut transaction = Transaction::new(RetryPolicy::default(), transaction_id(0..4));
    let (request, reply) = ([7; 64], [7; 64]);
    let mut seed = 0;
    criterion.bench_function("transaction/from start to reply", |bencher| {
        bencher.iter(|| {
            seed += 1;
            let sent = Timestamp::from_nanos(seed);
            transaction.start(black_box(&request), sent, Seed::new(seed));
            assert!(matches!(transaction.next(sent), Next::Transmit(_)));
            transaction.on_transmitted(sent);
            let heard = sent.after(Duration::from_millis(1));
            assert!(matches!(transaction.next(sent), Next::WaitUntil(_)));
            transaction.on_datagram(heard, black_box(&reply), reply.len());
            assert_eq!(transaction.next(heard), Next::Done);
        });
    });
}

fn link(criterion: &mut Criterion) {
    let mut link = Link::new(Impairments::loss(Probability::HALF), Seed::new(7));
    criterion.bench_function("link/transmit", |bencher| {
        bencher.iter(|| link.transmit(black_box(Timestamp::ZERO), black_box(b"datagram")));
    });
}
