//! What must not allocate does not: counted by the allocator itself, for the thread that is asked.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "one exchange goes over real sockets")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_retry::exchange::{Action, Exchange, Next, Transaction};
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::time::Timestamp;
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, any_reply, transaction_id};

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![0_u8; 100]))), 1);
    let mut grown = Vec::with_capacity(1);
    assert_eq!(allocations(|| grown.resize(1000, 0_u8)), 1);
}

#[test]
fn a_delay_allocates_nothing() {
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60)).unwrap();
    let jitters = [
        Jitter::NONE,
        Jitter::UPWARD,
        Jitter::once(1.0, 1.5).unwrap(),
        Jitter::compounding(0.9, 1.1).unwrap(),
        Jitter::plus_minus(Duration::from_millis(50)).unwrap(),
    ];
    let count = allocations(|| {
        for jitter in jitters {
            let jittered = backoff.with_jitter(jitter).and_then(|backoff| backoff.with_multiplier(1.6)).unwrap();
            for n in [0, 1, 8, 16, 1000, u32::MAX] {
                black_box((jittered.delay(n, 7), jittered.bounds(n), jittered.interval(n)));
            }
        }
        black_box(backoff.with_multiplier(f64::NAN).unwrap_err());
    });
    assert_eq!(count, 0);
}

#[test]
fn an_exchange_allocates_nothing_from_start_to_end() {
    let policy = RetryPolicy::default();
    let count = allocations(|| {
        let mut now = Timestamp::ZERO;
        let mut exchange = Exchange::start(&policy, now, 7);
        loop {
            match exchange.poll(now) {
                Action::Transmit => exchange.on_transmitted(&policy, now),
                Action::WaitUntil(until) => now = until,
                Action::Done | Action::GiveUp(_) => break,
            }
        }
        assert_eq!(exchange.transmissions(), 5);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_transaction_allocates_nothing_after_its_first_start() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(RetryBudget::default());
    unanswered(&mut transaction, 0);
    assert_eq!(allocations(|| unanswered(&mut transaction, 1)), 0);
    assert_eq!(allocations(|| answered(&mut transaction, 2)), 0);
}

#[test]
fn a_request_over_loopback_allocates_nothing_after_the_first_ones() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..len], from);
        }
    });
    let mut by_id = ReliableRequester::connect(address, transaction_id(0..4)).unwrap();
    let mut by_port = ReliableRequester::connect(address, any_reply()).unwrap();
    for requester in [&mut by_id, &mut by_port] {
        for id in 0..10 {
            request(requester, id);
        }
        let count = allocations(|| (10..110).for_each(|id| request(requester, id)));
        assert_eq!(count, 0, "in 100 requests");
    }
}

fn request(requester: &mut ReliableRequester, id: u32) {
    let message = id.to_be_bytes();
    let reply = requester.request(&message).unwrap();
    assert_eq!(reply.payload(), message);
}

fn unanswered(transaction: &mut Transaction<impl udp_retry::exchange::ReplyMatcher>, id: u32) {
    let mut now = Timestamp::ZERO;
    transaction.start(&id.to_be_bytes(), now, 7);
    loop {
        match transaction.next(now) {
            Next::Transmit => transaction.on_transmitted(now),
            Next::WaitUntil(until) => {
                transaction.on_datagram(now, b"a stray", 7);
                now = until;
            }
            Next::Done => unreachable!("nothing answers"),
            Next::Failed(_) => return,
        }
    }
}

fn answered(transaction: &mut Transaction<impl udp_retry::exchange::ReplyMatcher>, id: u32) {
    let (now, message) = (Timestamp::ZERO, id.to_be_bytes());
    transaction.start(&message, now, 7);
    assert_eq!(transaction.next(now), Next::Transmit);
    transaction.on_transmitted(now);
    transaction.on_datagram(now, &message, message.len());
    assert_eq!(transaction.next(now), Next::Done);
}

/// How often this thread allocates meanwhile; other threads, such as other tests, do not count.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

thread_local! {
    /// Constant from the start, so that counting needs no allocation itself.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // Threads that end may free and allocate after their locals are gone.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory that it manages.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, and it is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `memory` came from the system's allocator, because all of it does.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
