//! 200 callers at once over a network that loses a tenth in each direction: the crate's requester, and the loop around a map of
//! channels that programs write by hand, on a runtime of two threads.
#![expect(clippy::disallowed_methods, reason = "real sockets and clocks are measured")]

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use udp_retry::net::UdpPaths;
use udp_retry::policy::Backoff;
use udp_retry::transaction::Limits;
use udp_retry::{AsyncRequester, RetryPolicy, transaction_id};

use crate::echo::Echo;
use crate::futures::Asks;

pub(crate) fn main(short: bool) {
    let (each, rounds) = if short { (2, 1) } else { (100, 5) };
    println!(
        "{CALLERS} callers, {each} requests each, a tenth lost in each direction, {MOST} transmissions at most; medians:"
    );
    let server = Echo::lossy();
    let mut taken = [const { Vec::new() }; 2];
    for round in 0..rounds {
        for turn in 0..2 {
            let way = (round + turn) % 2;
            let run = if way == 0 { by_requester } else { by_hand };
            let (cpu, start) = (process_time(), Instant::now());
            let (answered, threads) = run(server.address, each);
            let spent = process_time() - cpu;
            taken[way].push((spent, start.elapsed(), answered, threads));
        }
    }
    for (name, mut taken) in ["AsyncRequester", "by hand"].into_iter().zip(taken) {
        taken.sort();
        let (cpu, time, ..) = taken[taken.len() / 2];
        let unanswered: u64 = taken.iter().map(|(_, _, answered, _)| CALLERS * each - answered).sum();
        let threads = taken.iter().map(|(.., threads)| threads).max().unwrap_or(&0);
        println!(
            "  {name:<16} {cpu:>9.3?} of processor time, {time:.3?} in all, {threads} threads, {unanswered} unanswered"
        );
    }
}

fn by_requester(server: SocketAddr, each: u64) -> (u64, usize) {
    let policy = RetryPolicy::new(Backoff::constant(WAIT).unwrap()).with_max_transmissions(MOST).unwrap();
    // None waits for space in the window, as none does by hand.
    let limits = Limits::default().window((CALLERS as u32).try_into().unwrap());
    let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(policy).limits(limits);
    runs(each, async move { Requester(builder.over(UdpPaths::connect(&[server]).unwrap()).unwrap()) })
}

#[derive(Clone)]
struct Requester(AsyncRequester);

impl Asks for Requester {
    async fn ask(&mut self) -> bool {
        self.0.request(b"........ping").await.is_ok()
    }
}

fn by_hand(server: SocketAddr, each: u64) -> (u64, usize) {
    runs(each, async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        let hand = Hand(Arc::new(Shared { socket, waiting: Mutex::default(), next: AtomicU64::new(0) }));
        tokio::spawn(hand.clone().read());
        hand
    })
}

#[derive(Clone)]
struct Hand(Arc<Shared>);

struct Shared {
    socket: UdpSocket,
    /// Those that wait, by the id of what they have sent.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
    next: AtomicU64,
}

impl Hand {
    async fn read(self) {
        let mut buffer = [0; 2048];
        while let Ok(len) = self.0.socket.recv(&mut buffer).await {
            let Some(id) = buffer[..len].first_chunk() else { continue };
            let waits = self.0.waiting.lock().unwrap().remove(&u64::from_be_bytes(*id));
            let _ = waits.map(|waits| waits.send(buffer[..len].to_vec()));
        }
    }
}

impl Asks for Hand {
    async fn ask(&mut self) -> bool {
        let id = self.0.next.fetch_add(1, Relaxed);
        for _ in 0..MOST {
            let (waits, reply) = oneshot::channel();
            self.0.waiting.lock().unwrap().insert(id, waits);
            self.0.socket.send(&[&id.to_be_bytes()[..], b"ping"].concat()).await.unwrap();
            if let Ok(Ok(_)) = timeout(WAIT, reply).await {
                return true;
            }
        }
        self.0.waiting.lock().unwrap().remove(&id);
        false
    }
}

/// Returns how many were answered, and the threads that there were.
fn runs<A: Asks + Clone>(each: u64, connects: impl Future<Output = A>) -> (u64, usize) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let asks = connects.await;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let mut asks = asks.clone();
                tokio::spawn(async move {
                    let mut answered = 0;
                    for _ in 0..each {
                        answered += u64::from(asks.ask().await);
                    }
                    answered
                })
            })
            .collect();
        let mut answered = 0;
        for caller in callers {
            answered += caller.await.unwrap();
        }
        (answered, fs::read_dir("/proc/self/task").unwrap().count())
    })
}

fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

const CALLERS: u64 = 200;
/// Transmissions of a request: one in 17 million fails.
const MOST: u32 = 10;
const WAIT: Duration = Duration::from_millis(20);
