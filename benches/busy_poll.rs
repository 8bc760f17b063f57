//! A requester over `BusyPoll` beside a plain one, where looking before a wait pays and where it does not.
//!
//! `cargo bench --bench busy_poll`: the client is bound to the first processor that it may use, the server to the second or to
//! the same one. The two requesters take turns, round after round, and each round is compared with the other's.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are measured")]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the processor time of a thread is measured on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::hint::{black_box, spin_loop};
    use std::net::{SocketAddr, UdpSocket};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use rustix::time::{ClockId, clock_gettime};
    use udp_retry::net::BusyPoll;
    use udp_retry::transport::{PathIndex, Transport};
    use udp_retry::{ConnectedUdp, ReliableRequester, transaction_id};

    pub(super) fn main() {
        let allowed = sched_getaffinity(None).unwrap();
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&n| allowed.is_set(n));
        let (first, second) = (processors.next().unwrap(), processors.next());
        // `cargo test --benches` wants to know whether it runs, not how fast.
        let quick = std::env::args().any(|argument| argument == "--test");
        bind_to(first);
        println!(
            "{:<34} {:>10} {:>10} {:>10}   of plain: {:>6} {:>6}",
            "medians of rounds, in us", "plain", "busy", "busy CPU", "time", "CPU"
        );
        if let Some(second) = second {
            compare("other core, at once", second, [0, USUAL], 1000, quick);
            compare("other core, after 30 us", second, [30, USUAL], 1000, quick);
            compare("the same, looking for 25 us", second, [30, 25], 1000, quick);
            compare("other core, after 200 us", second, [200, USUAL], 300, quick);
        } else {
            println!("one processor only: no server on another core");
        }
        compare("same core, at once", first, [0, USUAL], 2000, quick);
    }

    const REQUEST: &[u8] = b"0001 thirty-two bytes of request";
    const ROUNDS: usize = 40;
    /// How long `BusyPoll` looks by default, in microseconds.
    const USUAL: u64 = 50;

    /// One row, by how long the server works and the client looks, in microseconds. What the first round measures is left
    /// out: in it misses teach the second requester when to look.
    fn compare(name: &str, processor: usize, times: [u64; 2], requests: u32, quick: bool) {
        let [work, looking_for] = times.map(Duration::from_micros);
        let (rounds, requests) = if quick { (1, 10) } else { (ROUNDS, requests) };
        let server = echo(processor, work);
        let mut plain = requester(ConnectedUdp::connect(server).unwrap());
        let mut busy = requester(BusyPoll::new(ConnectedUdp::connect(server).unwrap()).looking_for(looking_for));
        let mut costs = Vec::new();
        for round in 0..=rounds {
            // Each goes first in every other round.
            let pair = if round % 2 == 0 {
                let plain = cost(&mut plain, requests);
                (plain, cost(&mut busy, requests))
            } else {
                let busy = cost(&mut busy, requests);
                (cost(&mut plain, requests), busy)
            };
            costs.push(pair);
        }
        let costs = &costs[1..];
        let of = |figure: fn(&(Cost, Cost)) -> f64| median(&mut costs.iter().map(figure).collect::<Vec<_>>());
        println!(
            "{name:<34} {:>10.3} {:>10.3} {:>10.3}             {:>6.3} {:>6.3}",
            of(|(plain, _)| plain.time),
            of(|(_, busy)| busy.time),
            of(|(_, busy)| busy.cpu),
            of(|(plain, busy)| busy.time / plain.time),
            of(|(plain, busy)| busy.cpu / plain.cpu),
        );
    }

    fn requester<T: Transport<Peer = PathIndex>>(transport: T) -> ReliableRequester<T> {
        ReliableRequester::builder(transaction_id(0..4)).over(transport).unwrap()
    }

    /// Microseconds for one request.
    #[derive(Clone, Copy)]
    struct Cost {
        cpu: f64,
        time: f64,
    }

    fn cost<T: Transport<Peer = PathIndex>>(requester: &mut ReliableRequester<T>, requests: u32) -> Cost {
        let (cpu, time) = (thread_time(), Instant::now());
        for _ in 0..requests {
            black_box(requester.request(REQUEST).unwrap().payload().len());
        }
        let (cpu, time) = (thread_time() - cpu, time.elapsed());
        let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(requests);
        Cost { cpu: each(cpu), time: each(time) }
    }

    /// Processor time of this thread, user and system.
    fn thread_time() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }

    /// A server that works this long on each request, on a processor of its own or of the client's, and sleeps until the next.
    fn echo(processor: usize, work: Duration) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            bind_to(processor);
            let mut buffer = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let received = Instant::now();
                while received.elapsed() < work {
                    spin_loop();
                }
                let _ = socket.send_to(&buffer[..len], from);
            }
        });
        address
    }

    fn bind_to(processor: usize) {
        let mut only = CpuSet::new();
        only.set(processor);
        sched_setaffinity(None, &only).unwrap();
    }

    fn median(values: &mut [f64]) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}
