//! Cancels at random moments: each ends exactly one request, soon, and leaves no descriptor, thread or spinning behind.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

#[path = "common/processor.rs"]
mod processor;
#[path = "common/watchdog.rs"]
mod watchdog;

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};

use processor::{spends, spent};
use udp_retry::net::CancelHandle;
use udp_retry::policy::Backoff;
use udp_retry::requester::Builder;
use udp_retry::transaction::{Execution, Failure, GiveUp};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};
use watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

#[test]
fn ten_thousand_cancels_at_random_moments_each_end_one_request_and_leave_nothing_behind() {
    within(3 * MINUTE, || {
        let _alone = alone();
        let before = (descriptors(), threads());
        let mut took = Vec::new();
        for (n, world) in WORLDS.into_iter().enumerate() {
            took.extend(storm(world, SEED.derive(n as u64)));
        }
        // A thread that was joined is listed for a moment more.
        let left = || (descriptors(), threads());
        (0..100).take_while(|_| left() != before).for_each(|_| thread::sleep(MS));
        assert_eq!(left(), before, "(descriptors, threads)");
        took.sort_unstable();
        let [median, high] = [2, 100].map(|part| took[took.len() - took.len() / part - 1]);
        println!("{} cancels, from the call to the end: p50 {median:?}, p99 {high:?}", took.len());
        assert_eq!(took.len(), 10_000);
        assert!(median < MS, "p50 {median:?}, p99 {high:?}");
    });
}

#[test]
fn many_handles_share_one_descriptor_that_is_closed_with_the_last_of_them() {
    within(3 * MINUTE, || {
        let _alone = alone();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let without = descriptors();
        let mut requester = ReliableRequester::connect(silent.local_addr().unwrap(), transaction_id(0..4)).unwrap();
        assert_eq!(descriptors(), without + 1);
        let handles: Vec<CancelHandle> = (0..1000).map(|_| requester.cancel_handle().unwrap()).collect();
        let clones = handles.clone();
        assert_eq!(descriptors(), without + 2);
        for handle in &handles {
            handle.cancel();
            assert_eq!(requester.request(b"0001 anyone?").unwrap_err().failure(), Failure::Cancelled);
        }
        assert_eq!(descriptors(), without + 2);
        drop((handles, clones));
        drop(requester);
        assert_eq!(descriptors(), without);

        let mut requester = ReliableRequester::connect(silent.local_addr().unwrap(), transaction_id(0..4)).unwrap();
        let handle = requester.cancel_handle().unwrap();
        drop(requester);
        // Its own, not the socket's.
        assert_eq!(descriptors(), without + 1, "with a handle left");
        handle.cancel();
        handle.clone().cancel();
        assert_eq!(descriptors(), without + 1);
        drop(handle);
        assert_eq!(descriptors(), without);
    });
}

#[test]
fn after_a_cancel_the_next_request_keeps_its_schedule_and_burns_no_time() {
    within(3 * MINUTE, || {
        let _alone = alone();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (wait, transmissions) in [(5 * MS, 20), (100 * MS, 1)] {
            for (what, matched) in [("by id", by_id as fn() -> Builder), ("by port", by_port)] {
                // The most that one of three requests takes.
                spends(..30 * MS, &format!("{what}, {transmissions} transmissions"), || {
                    let builder = matched().policy(constant(wait, transmissions));
                    let mut requester = builder.connect(silent.local_addr().unwrap()).unwrap();
                    let handle = requester.cancel_handle().unwrap();
                    // The first one sets what the socket remembers of its waits.
                    let burnt = [false, true, true].map(|ahead| {
                        if ahead {
                            handle.cancel();
                            assert_eq!(requester.request(b"0001 anyone?").unwrap_err().failure(), Failure::Cancelled);
                        }
                        let (error, burnt) = spent(|| requester.request(b"0002 anyone?").unwrap_err());
                        assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
                        assert!(error.elapsed() >= 100 * MS, "{:?}", error.elapsed());
                        assert_eq!(error.strays().total(), 0);
                        burnt
                    });
                    ((), burnt.into_iter().max().unwrap())
                });
            }
        }
    });
}

#[test]
fn junk_as_fast_as_a_server_can_send_it_keeps_no_cancel_from_ending() {
    within(3 * MINUTE, || {
        let _alone = alone();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let flood = thread::spawn(move || {
            let mut buffer = [0; 64];
            let mut client = None;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                client = server.recv_from(&mut buffer).ok().map(|(_, from)| from).or(client);
                match client {
                    Some(client) => drop(server.send_to(b"junk", client)),
                    None => thread::yield_now(),
                }
            }
        });
        let mut requester = by_id().policy(constant(5000 * MS, 4)).connect(address).unwrap();
        let handle = requester.cancel_handle().unwrap();
        let mut strays = 0;
        let mut took: Vec<Duration> = (0..50)
            .map(|_| {
                let handle = handle.clone();
                let canceller = thread::spawn(move || {
                    thread::sleep(5 * MS);
                    let called = Instant::now();
                    handle.cancel();
                    called
                });
                let error = requester.request(b"0001 anyone?").unwrap_err();
                let ended = Instant::now();
                assert_eq!(error.failure(), Failure::Cancelled);
                strays += error.strays().total();
                ended.saturating_duration_since(canceller.join().unwrap())
            })
            .collect();
        drop(stop);
        flood.join().unwrap();
        took.sort_unstable();
        println!("{strays} strays in 50 requests; from the call to the end: p50 {:?}", took[25]);
        assert!(strays > 1000, "no flood: {strays}");
        assert!(took[25] < 25 * MS, "{took:?}");
    });
}

/// Who is asked how, and when the cancels come.
#[derive(Clone, Copy, Debug)]
struct World {
    answers: bool,
    /// Each request leaves from a fresh port.
    by_port: bool,
    /// Between two transmissions; from 25 ms on the first half of it blocks in `recv`.
    wait: Duration,
    /// Each cancel comes up to so long after the effect of the one before.
    latest: Duration,
    cancels: u64,
}

const WORLDS: [World; 7] = [
    World { answers: false, by_port: false, wait: MS, latest: Duration::from_micros(300), cancels: 2000 },
    World {
        answers: false,
        by_port: false,
        wait: Duration::from_secs(1),
        latest: Duration::from_micros(150),
        cancels: 1950,
    },
    World { answers: false, by_port: true, wait: Duration::from_millis(50), latest: US, cancels: 2000 },
    // Late enough for the wait that follows the blocking one.
    World {
        answers: false,
        by_port: false,
        wait: Duration::from_millis(30),
        latest: Duration::from_millis(30),
        cancels: 50,
    },
    // So long that a machine that stalls causes no second reply, which would be a stray of the next request.
    World {
        answers: true,
        by_port: false,
        wait: Duration::from_millis(600),
        latest: Duration::from_micros(100),
        cancels: 2000,
    },
    World {
        answers: true,
        by_port: true,
        wait: Duration::from_millis(60),
        latest: Duration::from_micros(100),
        cancels: 1500,
    },
    World { answers: true, by_port: true, wait: Duration::from_millis(20), latest: US, cancels: 500 },
];

/// Asks without a pause while another thread cancels; returns how long each cancel took.
fn storm(world: World, seed: Seed) -> Vec<Duration> {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let server =
        Server { address, thread: world.answers.then(|| answering(server.try_clone().unwrap())), _socket: server };
    let matched = if world.by_port { by_port() } else { by_id() };
    let mut requester = matched.policy(constant(world.wait, 3)).connect(server.address).unwrap();
    let handle = requester.cancel_handle().unwrap();
    let (end, ended) = mpsc::channel::<Instant>();
    let canceller = thread::spawn(move || {
        let cancel = |n| {
            pause(Duration::from_nanos(seed.draw(n) % (world.latest.as_nanos() as u64 + 1)));
            assert!(ended.try_recv().is_err(), "cancel {n} of {seed:?} ended two requests: {world:?}");
            let called = Instant::now();
            handle.cancel();
            let Ok(end) = ended.recv_timeout(10_000 * MS) else {
                panic!("cancel {n} of {seed:?} was missed: {world:?}")
            };
            end.saturating_duration_since(called)
        };
        let mut total = Duration::ZERO;
        let soon = |took: &Duration| {
            total += *took;
            assert!(total < 20_000 * MS, "cancels of {seed:?} take their time: {world:?}");
        };
        (0..world.cancels).map(cancel).inspect(soon).collect::<Vec<_>>()
    });
    let mut n = 0_u32;
    // Also once it has made its last one, which must not hit a second request.
    while !canceller.is_finished() {
        n += 1;
        let request = n.to_be_bytes();
        match requester.request(&request) {
            Ok(reply) => assert_eq!((reply.payload(), world.answers), (&request[..], true), "{world:?}"),
            Err(error) => match error.failure() {
                Failure::Cancelled => {
                    assert_eq!(error.execution() == Execution::NotSent, error.transmissions() == 0);
                    assert_eq!(error.strays().total(), 0, "{world:?}");
                    let _ = end.send(Instant::now());
                }
                failure => assert!(matches!(failure, Failure::TimedOut(_)), "{failure:?} in {world:?}"),
            },
        }
    }
    canceller.join().unwrap()
}

/// Sleeps take 50 µs at least.
fn pause(pause: Duration) {
    let start = Instant::now();
    if pause > 60 * US {
        thread::sleep(pause - 60 * US);
    }
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
}

struct Server {
    address: SocketAddr,
    thread: Option<thread::JoinHandle<()>>,
    _socket: UdpSocket,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(END, self.address).unwrap();
            thread.join().unwrap();
        }
    }
}

fn answering(socket: UdpSocket) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            // An error is news of a client whose port is closed by now.
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            if &buffer[..len] == END {
                return;
            }
            let _ = socket.send_to(&buffer[..len], from);
        }
    })
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).seed(SEED)
}

fn by_port() -> Builder {
    ReliableRequester::builder(any_reply()).seed(SEED)
}

fn constant(interval: Duration, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(interval).unwrap()).with_max_transmissions(transmissions).unwrap()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Those that began in this test: a thread has the name of the one that started it. The system's list may lack one that
/// runs, while another one ends; so the longest of several counts.
fn threads() -> usize {
    (0..16).map(|_| (listed_threads(), thread::sleep(MS)).0).max().unwrap()
}

fn listed_threads() -> usize {
    let own = fs::read_to_string("/proc/thread-self/comm").unwrap();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter(|task| fs::read_to_string(task.as_ref().unwrap().path().join("comm")).is_ok_and(|name| name == own))
        .count()
}

/// Descriptors are counted, and processor time is needed, for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const SEED: Seed = Seed::new(0x0ca9_ce1e);
const END: &[u8] = b"end";
