//! The price of a bad network: what a link takes to decide over one datagram of 1,250 bytes, stage by stage, and what
//! the proxy takes beside a bare loop of the same shape that only forwards. With `--features pcap` also what a capture costs it.
//!
//! `taskset -c 0 cargo bench --features proxy --bench link` measures on one core. The proxy and the bare loop forward bursts in turn.
//!
//! Targets on a machine of 2023: all stages 400 ns, none of them 50 ns, the damage to a copy 20 ns.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are measured")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use mio::{Events, Interest, Poll, Token};
use udp_retry::fault::{Direction, Fate, Link};
use udp_retry::proxy::Proxy;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{Impairments, LossySink, Seed};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    stages(&mut criterion);
    damage(&mut criterion);
    sinks(&mut criterion);
    criterion.final_summary();
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 300 };
    forwarding(rounds);
    #[cfg(feature = "pcap")]
    capturing(rounds);
}

/// Each link carries a datagram every 2 ms, which is twice the time that its bottleneck takes, where it has one.
fn stages(criterion: &mut Criterion) {
    for (name, spec) in [
        ("nothing", "none"),
        ("script of 100 rules", ""),
        ("outage", "outage from 10s for 200ms every 15s"),
        ("mtu", "mtu 1400"),
        ("rate, queue by time", "rate 10mbit queue 100ms"),
        ("rate, queue by datagrams", "rate 10mbit queue 100 datagrams"),
        ("loss", "loss 5%"),
        ("loss in bursts", "loss 5% burst 3"),
        ("loss per block", "loss exactly 3 of 10"),
        ("duplicate", "duplicate 1%"),
        ("duplicate, late", "duplicate 10% late 2s ~1s"),
        ("truncate", "truncate 1%"),
        ("corrupt", "corrupt 1% bits 3"),
        ("delay, fixed", "delay 50ms"),
        ("delay, uniform", "delay 50ms ~10ms"),
        ("delay, normal", "delay 50ms normal 10ms"),
        ("delay, exponential", "delay 50ms exponential 20ms"),
        ("delay, uniform and correlated", "delay 50ms ~10ms correlation 25%"),
        ("reorder", "reorder 2% by 30ms"),
        ("evil", EVIL),
        ("all stages", ALL),
    ] {
        let mut link = Link::new(if spec.is_empty() { scripted() } else { parsed(spec) }, Seed::new(7));
        let (mut now, datagram) = (Timestamp::ZERO, [0x5a; LEN]);
        criterion.bench_function(&format!("link/{name}"), |b| {
            b.iter(|| {
                now = now.after(SPACING);
                // Looked at where it is: a copy of it would wait for everything that the decision wrote.
                let fate = link.transmit(now, black_box(&datagram));
                black_box(&fate);
            });
        });
    }
}

/// What a caller does with what is left: nothing to a datagram that nothing happened to.
fn damage(criterion: &mut Criterion) {
    for (name, spec) in
        [("spared", "none"), ("cut to 100 bytes", "truncate 100% to 100"), ("3 bits", "corrupt 100% bits 3")]
    {
        let Fate::Delivered(copies) = Link::new(parsed(spec), Seed::new(7)).transmit(Timestamp::ZERO, &[0; LEN]) else {
            unreachable!("nothing is lost")
        };
        let delivery = copies.as_slice()[0];
        criterion.bench_function(&format!("link/damage of a copy, {name}"), |b| {
            b.iter_batched_ref(
                || [0x5a; LEN],
                |datagram| black_box(delivery).apply_to(datagram).len(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Sends through a sink, each datagram until it has left: the decision, the line, the copy and the release.
fn sinks(criterion: &mut Criterion) {
    for (name, spec) in [("nothing", "none"), ("loss", "loss 5%"), ("delay", "delay 50ms ~10ms"), ("all stages", ALL)] {
        let mut sink = LossySink::new(Nowhere { now: Timestamp::ZERO, left: 0 }, parsed(spec), Seed::new(7));
        let datagram = [0x5a; LEN];
        criterion.bench_function(&format!("link/sink, {name}"), |b| {
            b.iter(|| {
                sink.get_mut().now = sink.now().after(SPACING);
                sink.send(PathIndex::FIRST, black_box(&datagram))
            });
        });
        assert_eq!(sink.get_ref().left, sink.stats(Direction::ToServer).passed);
    }
}

/// Bursts from some clients to a service and back, through the proxy without any impairment and through a bare loop.
fn forwarding(rounds: usize) {
    for clients in [1, 16] {
        let (ours, bare) = (Ends::new(clients), Ends::new(clients));
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", ours.service.local_addr().unwrap()).unwrap();
        let mut forwarder = Bare::new(bare.service.local_addr().unwrap());
        let (to, bare_to) = (proxy.local_addr(), forwarder.listener.local_addr().unwrap());
        let (mut times, mut bare_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let time = ours.burst(to, || proxy.run_for(Duration::ZERO).unwrap());
            let bare_time = bare.burst(bare_to, || forwarder.turn());
            ratios.push(bare_time / time);
            times.push(time);
            bare_times.push(bare_time);
        }
        println!(
            "forwarding, {clients} clients: {:.0} ns a datagram, bare {:.0} ns: {:.0} % of the bare loop's throughput \
             (medians of {rounds} pairs of bursts)",
            median(&mut times),
            median(&mut bare_times),
            100.0 * median(&mut ratios),
        );
    }
}

/// The same through two proxies, of which one writes a capture to a file.
#[cfg(feature = "pcap")]
fn capturing(rounds: usize) {
    let file = std::env::temp_dir().join(format!("udp-retry-bench-{}.pcapng", std::process::id()));
    for clients in [1, 16] {
        let (plain, written) = (Ends::new(clients), Ends::new(clients));
        let capture = udp_retry::fault::Capture::new(std::fs::File::create(&file).unwrap());
        let bind = |builder: udp_retry::proxy::ProxyBuilder, ends: &Ends| {
            builder.bind("127.0.0.1:0", ends.service.local_addr().unwrap()).unwrap()
        };
        let mut proxy = bind(Proxy::builder(), &plain);
        let mut writing = bind(Proxy::builder().capture(capture.clone()), &written);
        let (to, writing_to) = (proxy.local_addr(), writing.local_addr());
        let (mut times, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let time = plain.burst(to, || proxy.run_for(Duration::ZERO).unwrap());
            let writing_time = written.burst(writing_to, || writing.run_for(Duration::ZERO).unwrap());
            ratios.push(time / writing_time);
            times.push(writing_time);
        }
        capture.finish().unwrap();
        println!(
            "forwarding with a capture, {clients} clients: {:.0} ns a datagram, {:.0} % of the throughput without \
             (medians of {rounds} pairs of bursts, {} bytes in the file)",
            median(&mut times),
            100.0 * median(&mut ratios),
            std::fs::metadata(&file).unwrap().len(),
        );
    }
    std::fs::remove_file(&file).unwrap();
}

/// Clients and a service around a forwarder.
struct Ends {
    clients: Vec<UdpSocket>,
    service: UdpSocket,
}

impl Ends {
    fn new(clients: usize) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            socket
        };
        Self { clients: (0..clients).map(|_| socket()).collect(), service: socket() }
    }

    /// So many datagrams there and back; the nanoseconds that it takes to forward one.
    fn burst(&self, to: SocketAddr, mut forward: impl FnMut()) -> f64 {
        let (mut buffer, mut spent) = ([0; 64], Duration::ZERO);
        let mut timed = || {
            let started = Instant::now();
            forward();
            spent += started.elapsed();
        };
        for n in 0..BURST {
            self.clients[n % self.clients.len()].send_to(&[n as u8; 64], to).unwrap();
        }
        timed();
        let mut froms = Vec::with_capacity(BURST);
        self.service.set_nonblocking(true).unwrap();
        while froms.len() < BURST {
            match self.service.recv_from(&mut buffer) {
                Ok((_, from)) => froms.push(from),
                Err(_) => timed(),
            }
        }
        self.service.set_nonblocking(false).unwrap();
        for from in froms {
            self.service.send_to(&buffer, from).unwrap();
        }
        timed();
        for n in 0..BURST {
            let client = &self.clients[n % self.clients.len()];
            client.set_nonblocking(true).unwrap();
            while client.recv(&mut buffer).is_err() {
                timed();
            }
            client.set_nonblocking(false).unwrap();
        }
        spent.as_nanos() as f64 / (2 * BURST) as f64
    }
}

/// The least that a forwarder with a socket for each client can do.
struct Bare {
    poll: Poll,
    events: Events,
    listener: mio::net::UdpSocket,
    upstream: SocketAddr,
    places: HashMap<SocketAddr, usize>,
    sessions: Vec<(SocketAddr, mio::net::UdpSocket)>,
    buffer: Vec<u8>,
}

impl Bare {
    fn new(upstream: SocketAddr) -> Self {
        let poll = Poll::new().unwrap();
        let mut listener = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE).unwrap();
        let (events, buffer) = (Events::with_capacity(1024), vec![0; 65_536]);
        Self { poll, events, listener, upstream, places: HashMap::new(), sessions: Vec::new(), buffer }
    }

    fn turn(&mut self) {
        let Self { poll, events, listener, upstream, places, sessions, buffer } = self;
        poll.poll(events, Some(Duration::ZERO)).unwrap();
        for event in events.iter() {
            if event.token() == Token(usize::MAX) {
                while let Ok((len, client)) = listener.recv_from(buffer) {
                    let place = *places.entry(client).or_insert_with(|| {
                        let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                        socket.connect(*upstream).unwrap();
                        poll.registry().register(&mut socket, Token(sessions.len()), Interest::READABLE).unwrap();
                        sessions.push((client, socket));
                        sessions.len() - 1
                    });
                    sessions[place].1.send(&buffer[..len]).unwrap();
                }
            } else {
                let (client, socket) = &sessions[event.token().0];
                while let Ok(len) = socket.recv(buffer) {
                    listener.send_to(&buffer[..len], *client).unwrap();
                }
            }
        }
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What both forwarders take in one turn.
const BURST: usize = 48;

/// Takes everything, and hears nothing.
#[derive(Debug)]
struct Nowhere {
    now: Timestamp,
    left: u64,
}

impl Transport for Nowhere {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        black_box(datagram);
        self.left += 1;
        Ok(())
    }

    fn recv(&mut self, _: &mut [u8], _: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        self.now = self.now.max(until);
        Incoming::TimeUp(self.now)
    }

    fn renew(&mut self, _: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

fn parsed(spec: &str) -> Impairments {
    spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"))
}

/// Rules for datagrams that will never come, so that each one is looked up and none found.
fn scripted() -> Impairments {
    let numbers: Vec<_> = (1..=100_u64).map(|n| (n << 50).to_string()).collect();
    parsed(&format!("script {{ drop {} }}", numbers.join(",")))
}

const LEN: usize = 1250;
const SPACING: Duration = Duration::from_millis(2);
const EVIL: &str = "loss 20% burst 4; duplicate 10% late 2500ms ~2500ms; truncate 0.5%; corrupt 1%; \
                    delay 0ms exponential 50ms; reorder 10% by 100ms";
/// The dearest of each.
const ALL: &str = "script { drop 1 }; outage from 10s for 200ms every 15s; mtu 1400; rate 10mbit queue 100 datagrams; \
                   loss 5% burst 3; duplicate 10% late 2s normal 500ms; truncate 10%; corrupt 10% bits 8; \
                   delay 50ms exponential 20ms correlation 25%; reorder 2% by 30ms";
