//! A million requests through a simulated network that loses 30 % each way: `cargo bench --features sim --bench simulation`.
//!
//! Once with one blocking requester, once with a fleet of a thousand clients; one thread each time. Then what a test
//! costs that explores 1,000 seeds, in a debug build as tests are made: `cargo bench --profile dev --features sim --bench
//! simulation -- explore` does this alone.
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use udp_retry::fault::Profile;
use udp_retry::sim::{Client, HostId, Outcome, SimNet, echo, explore};
use udp_retry::time::Timestamp;
use udp_retry::transaction::Transaction;
use udp_retry::{ConcurrentRequester, ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

fn main() {
    // `cargo test --benches` wants to know whether it runs, not how fast.
    let quick = std::env::args().any(|argument| argument == "--test");
    let (rounds, requests) = if quick { (1, 1000) } else { (5, 1_000_000) };
    explored(if quick { 1 } else { 9 });
    if std::env::args().any(|argument| argument == "explore") {
        return;
    }
    println!("{:<36} {:>9} {:>9} {:>10} {:>14}", "", "requests", "answered", "median", "datagrams/s");
    measured("one requester, by id", rounds, requests, |net, requests| requester(net, requests, true));
    measured("one requester, without ids", rounds, requests, |net, requests| requester(net, requests, false));
    measured("a fleet of 1,000 clients", rounds, requests, fleet);
    measured("1,000 in flight to 16 servers", rounds, requests, in_flight);
}

/// The median of 1,000 runs of README's example, none of which fails.
fn explored(rounds: usize) {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let before = processor_time();
            assert_eq!(explore(0..1000, answers_are_ours), Ok(1000));
            processor_time() - before
        })
        .collect();
    times.sort_unstable();
    println!("1,000 runs of README's example: {:.3} s of processor time", times[rounds / 2].as_secs_f64());
}

/// Of this process, so that it does not matter what else runs.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn processor_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

fn answers_are_ours(net: &SimNet) -> Result<(), Box<dyn std::error::Error>> {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.path(client, server, Profile::both("loss 30%; duplicate 10%; delay 20ms ~5ms".parse()?))?;
    net.serve("10.0.0.2:1060".parse()?, echo())?;
    let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
    for id in 0..3 {
        if let Ok(reply) = requester.request(&[id, b'?']) {
            assert_eq!(reply.payload(), [id, b'?']);
        }
    }
    Ok(())
}

/// The median of some rounds.
fn measured(name: &str, rounds: u64, requests: u64, run: impl Fn(&SimNet, u64) -> u64) {
    let mut times = Vec::new();
    let (mut answered, mut datagrams) = (0, 0);
    for round in 0..rounds {
        let net = SimNet::new(Seed::new(round));
        let start = Instant::now();
        answered = run(&net, requests);
        times.push(start.elapsed().as_secs_f64());
        datagrams = net.stats().sent;
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{name:<36} {requests:>9} {answered:>9} {median:>8.3} s {:>14.0}", datagrams as f64 / median);
}

fn requester(net: &SimNet, requests: u64, by_id: bool) -> u64 {
    let transport = net.connect(lossy(net), SERVER).unwrap();
    let builder =
        if by_id { ReliableRequester::builder(transaction_id(0..8)) } else { ReliableRequester::builder(any_reply()) };
    let mut requester = builder.policy(RetryPolicy::LAN).seed(Seed::new(7)).over(transport).unwrap();
    (0..requests).filter(|n| requester.request(&message(*n)).is_ok()).count() as u64
}

fn fleet(net: &SimNet, requests: u64) -> u64 {
    let client = lossy(net);
    let answered = Rc::new(Cell::new(0));
    for n in 0..CLIENTS {
        let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8));
        let (answered, mut asked) = (answered.clone(), 0);
        let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| {
            answered.set(answered.get() + u64::from(matches!(outcome, Outcome::Reply { .. })));
            request.extend_from_slice(&message(n << 32 | asked));
            asked += 1;
            // Not all at once.
            let begin = if asked == 1 { now.after(Duration::from_millis(n)) } else { now };
            (asked <= requests / CLIENTS).then_some(begin)
        };
        net.serve_connected(client, SERVER, Client::new(SERVER, transaction, Seed::new(n), next)).unwrap();
    }
    net.run_to_the_end(Timestamp::MAX);
    answered.get()
}

/// No reply is another request's, and each request ends once.
fn in_flight(net: &SimNet, requests: u64) -> u64 {
    let client = net.host("10.1.0.1".parse().unwrap()).unwrap();
    let servers: Vec<SocketAddr> = (1..=16).map(|n| SocketAddr::from(([10, 0, 0, n], 1060))).collect();
    for server in &servers {
        let faults = "loss 30%; duplicate 10%; delay 20ms ~5ms; reorder 5% by 30ms";
        net.path(client, net.host(server.ip()).unwrap(), Profile::both(faults.parse().unwrap())).unwrap();
        net.serve(*server, echo()).unwrap();
    }
    let client = net.bind(client, "0.0.0.0:0".parse().unwrap()).unwrap();
    let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
    let mut requester = builder.over(client).unwrap();
    let mut ended = vec![false; requests as usize];
    let (mut next, mut answered) = (0, 0);
    loop {
        while next < requests && requester.in_flight() < 1000 {
            let request = [[0; 8], next.to_be_bytes()].concat();
            requester.submit_to(servers[next as usize % 16], &request, next).unwrap();
            next += 1;
        }
        let Some(done) = requester.wait() else { break };
        assert!(!std::mem::replace(&mut ended[done.token() as usize], true), "{} ended twice", done.token());
        if let Ok(reply) = done.reply() {
            assert_eq!(reply[8..], done.token().to_be_bytes());
            answered += 1;
        }
    }
    assert!(ended.iter().all(|ended| *ended), "none is forgotten");
    answered
}

/// The client's host.
fn lossy(net: &SimNet) -> HostId {
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    let server = net.host(SERVER.ip()).unwrap();
    net.path(client, server, Profile::both("loss 30%; delay 20ms ~10ms".parse().unwrap())).unwrap();
    net.serve(SERVER, echo()).unwrap();
    client
}

/// An id of eight bytes and as many more.
fn message(n: u64) -> [u8; 16] {
    let mut message = [7; 16];
    message[..8].copy_from_slice(&n.to_be_bytes());
    message
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 1060);
const CLIENTS: u64 = 1000;
