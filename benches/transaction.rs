//! What the pure machines cost: `cargo bench --bench transaction`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use udp_retry::entropy::IdSource;
use udp_retry::fault::Link;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Next, RetryTimer, Transaction, TransactionId};
use udp_retry::transport::PathIndex;
use udp_retry::{Impairments, Probability, RetryPolicy, Seed, transaction_id};

criterion_group! {
    name = timer;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = schedule, transaction, stamped, ids, link
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
    let mut number = 0;
    criterion.bench_function("transaction/from start to reply", |bencher| {
        bencher.iter(|| {
            number += 1;
            exchange(&mut transaction, number);
        });
    });
}

/// The same with an id of its own for each request.
fn stamped(criterion: &mut Criterion) {
    let ids = IdSource::from_seed(Seed::new(7));
    let mut transaction = Transaction::new(RetryPolicy::default(), transaction_id(0..8).stamped()).with_ids(ids);
    let mut number = 0;
    criterion.bench_function("transaction/from start to reply, stamped", |bencher| {
        bencher.iter(|| {
            number += 1;
            exchange(&mut transaction, number);
        });
    });
}

fn exchange(transaction: &mut Transaction<TransactionId>, number: u64) {
    let sent = Timestamp::from_nanos(number);
    transaction.start(black_box(&[7; 64]), sent, Seed::new(number));
    assert!(matches!(transaction.next(sent), Next::Transmit(_)));
    transaction.on_transmitted(sent);
    let mut reply = [0; 64];
    reply.copy_from_slice(transaction.datagram());
    let heard = sent.after(Duration::from_millis(1));
    assert!(matches!(transaction.next(sent), Next::WaitUntil(_)));
    transaction.on_datagram(heard, PathIndex::FIRST, black_box(&reply), reply.len());
    assert_eq!(transaction.next(heard), Next::Done);
}

fn ids(criterion: &mut Criterion) {
    let (mut inline, mut boxed) = (IdSource::from_seed(Seed::new(7)), Box::new(IdSource::from_seed(Seed::new(7))));
    let mut id = [0; 8];
    criterion.bench_function("ids/8 bytes", |bencher| bencher.iter(|| inline.fill(black_box(&mut id))));
    criterion.bench_function("ids/8 bytes, boxed", |bencher| bencher.iter(|| boxed.fill(black_box(&mut id))));
    criterion.bench_function("ids/number of the process", |bencher| bencher.iter(std::process::id));
}

fn link(criterion: &mut Criterion) {
    let mut link = Link::new(Impairments::loss(Probability::HALF), Seed::new(7));
    criterion.bench_function("link/transmit", |bencher| {
        bencher.iter(|| link.transmit(black_box(Timestamp::ZERO), black_box(b"datagram")));
    });
}
