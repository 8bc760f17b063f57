//! What the engine takes by itself: a request submitted, transmitted and answered, with so many others outstanding.

#![expect(clippy::disallowed_methods, reason = "a real clock measures")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use udp_retry::entropy::IdSource;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Handle, InFlight, KeyedMatcher, Limits, PeerId, TransactionId};
use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};

pub(crate) fn main(short: bool) {
    println!(
        "engine alone, 32 bytes, answered in random order: ns a request (least, median of {ROUNDS} rounds), ns a stray"
    );
    let outstanding: &[usize] = if short { &[16] } else { &[16, 10_000, 100_000, 1_000_000] };
    for &outstanding in outstanding {
        measure("stamped, 8 bytes", transaction_id(0..8).stamped(), outstanding, short);
        if outstanding <= 10_000 {
            measure("stamped, 2 bytes", transaction_id(0..2).stamped(), outstanding, short);
        }
        measure("the caller's, 8 bytes", transaction_id(0..8), outstanding, short);
    }
    println!("growing from nothing: us that the longest submissions took (the longest, the hundredth)");
    let outstanding = if short { 1000 } else { 1_000_000 };
    growing("stamped, 8 bytes", transaction_id(0..8).stamped(), outstanding);
    growing("the caller's, 8 bytes", transaction_id(0..8), outstanding);
}

const ROUNDS: usize = 15;
const LEN: usize = 32;
/// What a socket gives at once.
const BATCH: usize = 64;
/// The longest id.
const ID: usize = 8;

fn measure(name: &str, matcher: TransactionId, outstanding: usize, short: bool) {
    let mut bench = Bench::new(matcher);
    (0..outstanding).for_each(|_| bench.submit());
    let requests = if short { 100 } else { outstanding.max(100_000) };
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| bench.answered(requests)).collect();
    times.sort_by(f64::total_cmp);
    let stray = bench.strays(requests);
    let (least, median) = (times[0], times[ROUNDS / 2]);
    println!("  {name:<22} {outstanding:>9} outstanding: {least:>7.1} {median:>7.1}  {stray:>5.1}");
}

fn growing(name: &str, matcher: TransactionId, outstanding: usize) {
    let mut bench = Bench::new(matcher);
    bench.ids.reserve(outstanding);
    let mut times: Vec<f64> = (0..outstanding)
        .map(|_| {
            let start = Instant::now();
            bench.submit();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(|one, other| other.total_cmp(one));
    println!("  {name:<22} {outstanding:>9} outstanding: {:>7.1} {:>7.1}", times[0], times[99]);
}

struct Bench<M> {
    engine: InFlight<u32, M>,
    peer: PeerId,
    now: Timestamp,
    draws: u64,
    /// Of those that are outstanding, as a server's replies would repeat them: all that they need to be found by.
    ids: Vec<[u8; ID]>,
    /// Of a batch: replies, and what is asked after each.
    coming: Vec<([u8; LEN], [u8; LEN])>,
    handles: Vec<Handle>,
}

impl<M: KeyedMatcher> Bench<M> {
    fn new(matcher: M) -> Self {
        let all = NonZeroU32::new(4_000_000).unwrap();
        // Ids of two bytes that rest would run out.
        let limits = Limits::default().requests(all).window(all).bytes(1 << 30).rest(Duration::ZERO, Duration::ZERO);
        let ids = IdSource::from_seed(Seed::new(1));
        let mut engine = InFlight::new(RetryPolicy::default(), matcher, limits, Seed::new(1), Some(ids));
        let peer = engine.add_peer(1, RetryBudget::unlimited(), None);
        let (outstanding, coming, handles) = (Vec::new(), Vec::new(), Vec::new());
        Self { engine, peer, now: Timestamp::ZERO, draws: 1, ids: outstanding, coming, handles }
    }

    fn draw(&mut self) -> u64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        self.draws
    }

    fn submit(&mut self) {
        let mut request = [0x5a; LEN];
        request[..8].copy_from_slice(&self.draw().to_le_bytes());
        let handle = self.engine.submit(self.now, self.peer, &request, 0).unwrap();
        self.engine.on_transmitted(self.now, 1);
        self.note(handle);
    }

    fn note(&mut self, handle: Handle) {
        self.ids.push(*self.engine.request(handle).unwrap().first_chunk().unwrap());
    }

    /// Nanoseconds for each of so many, one submitted for each that is answered.
    ///
    /// Replies come in batches, as a socket gives them: they are chosen, and the requests made, before the clock starts. What
    /// the program keeps of all of its requests is more than the caches hold if there are many, and no work of the engine's.
    fn answered(&mut self, requests: usize) -> f64 {
        let batch = BATCH.min(self.ids.len());
        let mut spent = Duration::ZERO;
        for _ in 0..requests / batch {
            self.coming.clear();
            for _ in 0..batch {
                let of = usize::try_from(self.draw()).unwrap() % self.ids.len();
                let (mut reply, mut request) = ([0x5a; LEN], [0x5a; LEN]);
                reply[..ID].copy_from_slice(&self.ids.swap_remove(of));
                request[..ID].copy_from_slice(&self.draw().to_le_bytes());
                self.coming.push((reply, request));
            }
            self.handles.clear();
            let start = Instant::now();
            for (reply, request) in &self.coming {
                self.now = self.now.after(Duration::from_nanos(100));
                assert!(matches!(self.engine.on_datagram(self.now, 1, reply, LEN), Arrived::Reply(_)));
                self.handles.push(self.engine.submit(self.now, self.peer, request, 0).unwrap());
                self.engine.on_transmitted(self.now, 1);
            }
            if self.engine.next_deadline().is_some_and(|due| due <= self.now) {
                self.engine.on_time_up(self.now);
                // With a million outstanding some have waited so long: what is due leaves before the next request does.
                let due = self.engine.transmits().count();
                self.engine.on_transmitted(self.now, due);
            }
            spent += start.elapsed();
            for n in 0..batch {
                self.note(self.handles[n]);
            }
        }
        spent.as_nanos() as f64 / (requests / batch * batch) as f64
    }

    /// Nanoseconds for each of so many forged datagrams, which are made before the clock starts.
    fn strays(&mut self, datagrams: usize) -> f64 {
        let (mut forged, mut spent) = ([[0xa5; LEN]; BATCH], Duration::ZERO);
        for _ in 0..datagrams / BATCH {
            for datagram in &mut forged {
                datagram[..ID].copy_from_slice(&self.draw().to_le_bytes());
            }
            let start = Instant::now();
            for datagram in &forged {
                black_box(&self.engine.on_datagram(self.now, 1, datagram, LEN));
            }
            spent += start.elapsed();
        }
        spent.as_nanos() as f64 / (datagrams / BATCH * BATCH) as f64
    }
}
