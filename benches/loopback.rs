//! One exchange on loopback, beside the least that any client can do: a bare `send` and a blocking `recv`.
//!
//! `taskset -c 0 cargo bench --bench loopback` puts client and server on one core, where no wake-up of another core
//! hides the difference. The table at the end pairs both in alternating rounds, and compares how late
//! retransmissions leave with how late a bare wait of the same length ends.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are measured")]

use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use udp_retry::policy::Backoff;
use udp_retry::{ReliableRequester, RetryPolicy, any_reply, transaction_id};

fn main() {
    let server = echo();
    let mut bare = Bare::connect(server);
    let mut by_id = ReliableRequester::connect(server, transaction_id(0..4)).unwrap();
    let mut by_port = ReliableRequester::connect(server, any_reply()).unwrap();

    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    criterion.bench_function("loopback/bare send and recv", |b| b.iter(|| black_box(bare.exchange())));
    criterion.bench_function("loopback/request by id", |b| b.iter(|| by_id.request(REQUEST).unwrap().transmissions()));
    criterion.bench_function("loopback/request without id", |b| {
        b.iter(|| by_port.request(REQUEST).unwrap().transmissions());
    });
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }

    paired("by id", || by_id.request(REQUEST).unwrap().transmissions(), || bare.exchange());
    paired("without id", || by_port.request(REQUEST).unwrap().transmissions(), || bare.exchange());
    lateness();
}

const REQUEST: &[u8] = b"0001 thirty-two bytes of request";
const ROUNDS: usize = 30;
const EXCHANGES: u32 = 1000;

/// The median over alternating rounds of the ratio between two clients.
fn paired(name: &str, mut ours: impl FnMut() -> u32, mut bare: impl FnMut() -> u32) {
    let mut ratios = Vec::new();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, bare) = (timed(&mut ours), timed(&mut bare));
        ratios.push(ours / bare);
        times.push(ours);
    }
    println!(
        "request {name}: {:.2} us, {:.3} of a bare send and recv (medians of {ROUNDS} pairs of rounds of {EXCHANGES})",
        median(&mut times),
        median(&mut ratios)
    );
}

/// Microseconds for one exchange.
fn timed(exchange: &mut impl FnMut() -> u32) -> f64 {
    let start = Instant::now();
    for _ in 0..EXCHANGES {
        black_box(exchange());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(EXCHANGES)
}

/// How late a retransmission leaves, beside a bare wait of the same length.
fn lateness() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    println!("{:>10}  {:>16}  {:>16}", "wait", "retransmission", "bare wait");
    for (wait, rounds) in [(1, 40), (10, 40), (100, 20), (500, 6), (1600, 3), (3000, 3)] {
        let wait = Duration::from_millis(wait);
        let policy = RetryPolicy::new(Backoff::constant(wait).unwrap()).with_max_transmissions(1).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(policy)
            .connect(silent.local_addr().unwrap())
            .unwrap();
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let error = requester.request(REQUEST).unwrap_err();
            ours.push((error.elapsed() - wait).as_secs_f64() * 1e3);
            bare.push(bare_wait(wait));
        }
        println!("{wait:>10?}  {:>8.3} ms late  {:>8.3} ms late", median(&mut ours), median(&mut bare));
    }
}

/// Milliseconds past the end of one wait by the system.
fn bare_wait(wait: Duration) -> f64 {
    let start = Instant::now();
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let idle = UdpSocket::bind("127.0.0.1:0").unwrap();
        let timeout = Timespec { tv_sec: wait.as_secs().try_into().unwrap(), tv_nsec: wait.subsec_nanos().into() };
        poll(&mut [PollFd::new(&idle, PollFlags::IN)], Some(&timeout)).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    thread::sleep(wait);
    (start.elapsed() - wait).as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Without a deadline, without an id, without a second try.
struct Bare {
    socket: UdpSocket,
    buffer: [u8; 2048],
}

impl Bare {
    fn connect(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        Self { socket, buffer: [0; 2048] }
    }

    fn exchange(&mut self) -> u32 {
        self.socket.send(REQUEST).unwrap();
        self.socket.recv(&mut self.buffer).unwrap() as u32
    }
}

fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}
