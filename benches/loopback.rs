//! One request on loopback, beside the least that any client can do: a bare `send` and a blocking `recv`.
//!
//! `taskset -c 0 cargo bench --bench loopback` puts client and server on one core, where no wake-up of another core
//! hides the difference. The tables at the end alternate between the requester and other ways to wait, compare what
//! each costs the client, and how late retransmissions leave with how late a bare wait of the same length ends.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are measured")]

use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
#[cfg(target_os = "linux")]
use udp_retry::ConnectedUdp;
#[cfg(target_os = "linux")]
use udp_retry::net::UdpPaths;
use udp_retry::policy::Backoff;
use udp_retry::transport::PathIndex;
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
    criterion.bench_function("loopback/bare send and recv", |b| b.iter(|| black_box(bare.transact())));
    criterion.bench_function("loopback/request by id", |b| b.iter(|| by_id.request(REQUEST).unwrap().transmissions()));
    criterion.bench_function("loopback/request without id", |b| {
        b.iter(|| by_port.request(REQUEST).unwrap().transmissions());
    });
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }

    costs(server);
    lateness();
}

const REQUEST: &[u8] = b"0001 thirty-two bytes of request";
const ROUNDS: usize = 30;
const REQUESTS: u32 = 2000;

/// What a request costs the client in processor time, and how long it takes: each way to wait in turn, round after
/// round, and each compared with the bare way in the same round.
#[cfg(target_os = "linux")]
fn costs(server: SocketAddr) {
    let mut bare = Bare::connect(server);
    let mut ways = [
        Way::bare("bare send and recv, waiting for ever", server),
        Way::requester("request by id", ReliableRequester::connect(server, transaction_id(0..4)).unwrap()),
        Way::requester("request by id, with a cancel handle", cancellable(server)),
        Way::requester("request by id, over a lent socket", lent(server)),
        Way::requester("request without id", ReliableRequester::connect(server, any_reply()).unwrap()),
        Way::paths(server),
        Way::read_timeout(server),
        Way::polling(server),
        Way::tokio(server),
    ];
    let mut costs = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (way, costs) in ways.iter_mut().zip(&mut costs) {
            costs.push((cost(&mut || bare.requests()), cost(&mut *way.requests)));
        }
    }
    println!("medians of {ROUNDS} rounds of {REQUESTS} requests, in us of the client's processor and in all:");
    for (way, costs) in ways.iter().zip(&costs) {
        let of = |figure: fn(&(Cost, Cost)) -> f64| median(&mut costs.iter().map(figure).collect::<Vec<_>>());
        println!(
            "{:<38} {:>6.3} us CPU, {:.3} of bare {:>8.3} us, {:.3} of bare",
            way.name,
            of(|(_, way)| way.cpu),
            of(|(bare, way)| way.cpu / bare.cpu),
            of(|(_, way)| way.time),
            of(|(bare, way)| way.time / bare.time),
        );
    }
}

#[cfg(target_os = "linux")]
fn cancellable(server: SocketAddr) -> ReliableRequester {
    let mut requester = ReliableRequester::connect(server, transaction_id(0..4)).unwrap();
    requester.cancel_handle().unwrap();
    requester
}

#[cfg(target_os = "linux")]
fn lent(server: SocketAddr) -> ReliableRequester {
    let requester = ReliableRequester::connect(server, transaction_id(0..4)).unwrap();
    let _ = requester.transport().socket(PathIndex::FIRST).map(ConnectedUdp::as_socket);
    requester
}

#[cfg(not(target_os = "linux"))]
fn costs(_: SocketAddr) {
    println!("the processor time of a thread is measured on Linux only");
}

/// Microseconds for one request.
#[derive(Clone, Copy)]
#[cfg(target_os = "linux")]
struct Cost {
    cpu: f64,
    time: f64,
}

#[cfg(target_os = "linux")]
fn cost(requests: &mut dyn FnMut()) -> Cost {
    let (cpu, time) = (thread_time(), Instant::now());
    requests();
    let (cpu, time) = (thread_time() - cpu, time.elapsed());
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(REQUESTS);
    Cost { cpu: each(cpu), time: each(time) }
}

/// Processor time of this thread, user and system.
#[cfg(target_os = "linux")]
fn thread_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// A way to ask and to wait for the reply.
#[cfg(target_os = "linux")]
struct Way {
    name: &'static str,
    /// A round of them.
    requests: Box<dyn FnMut()>,
}

#[cfg(target_os = "linux")]
impl Way {
    fn new(name: &'static str, mut timer: impl FnMut() -> usize + 'static) -> Self {
        let requests = move || {
            for _ in 0..REQUESTS {
                black_box(timer());
            }
        };
        Self { name, requests: Box::new(requests) }
    }

    fn bare(name: &'static str, server: SocketAddr) -> Self {
        let mut bare = Bare::connect(server);
        Self { name, requests: Box::new(move || bare.requests()) }
    }

    fn requester(name: &'static str, mut requester: ReliableRequester) -> Self {
        Self::new(name, move || requester.request(REQUEST).unwrap().payload().len())
    }

    fn paths(server: SocketAddr) -> Self {
        let transport = UdpPaths::connect(&[server]).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(transport).unwrap();
        Self::new("UdpPaths, one server", move || requester.request(REQUEST).unwrap().payload().len())
    }

    /// As most programs do it: the timeout of the socket is set for each attempt.
    fn read_timeout(server: SocketAddr) -> Self {
        let Bare { socket, mut buffer } = Bare::connect(server);
        Self::new("std, set_read_timeout per attempt", move || {
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket.send(REQUEST).unwrap();
            socket.recv(&mut buffer).unwrap()
        })
    }

    /// As precise programs do it.
    fn polling(server: SocketAddr) -> Self {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Bare { socket, mut buffer } = Bare::connect(server);
        Self::new("ppoll and recv", move || {
            socket.send(REQUEST).unwrap();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            assert_eq!(poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&second)), Ok(1));
            socket.recv(&mut buffer).unwrap()
        })
    }

    /// A round within one runtime, so that entering it is not counted.
    fn tokio(server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let Bare { socket, mut buffer } = Bare::connect(server);
        socket.set_nonblocking(true).unwrap();
        let socket = runtime.block_on(async { tokio::net::UdpSocket::from_std(socket).unwrap() });
        let requests = move || {
            runtime.block_on(async {
                for _ in 0..REQUESTS {
                    socket.send(REQUEST).await.unwrap();
                    let reply = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut buffer));
                    black_box(reply.await.unwrap().unwrap());
                }
            });
        };
        Self { name: "tokio::time::timeout(recv)", requests: Box::new(requests) }
    }
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

    fn transact(&mut self) -> usize {
        self.socket.send(REQUEST).unwrap();
        self.socket.recv(&mut self.buffer).unwrap()
    }

    #[cfg(target_os = "linux")]
    fn requests(&mut self) {
        for _ in 0..REQUESTS {
            black_box(self.transact());
        }
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
