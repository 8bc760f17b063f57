//! How late retransmissions leave with thousands in flight: a server that never answers notes when each copy came.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets, clocks and threads")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::policy::{Backoff, Jitter};
use udp_retry::transaction::Limits;
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

pub(crate) fn main(short: bool) {
    let requests = if short { 50 } else { 2000 };
    let waits: &[u64] = if short { &[50] } else { &[100, 200, 400, 800] };
    let backoff = Backoff::exponential(Duration::from_millis(waits[0]), Duration::from_secs(1)).unwrap();
    let policy = RetryPolicy::new(backoff.with_jitter(Jitter::NONE).unwrap())
        .with_max_transmissions(u32::try_from(waits.len()).unwrap() + 1)
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    let listening = thread::spawn(move || listen(&socket, requests * (waits.len() + 1)));
    ask(server, policy, requests);
    let copies = listening.join().unwrap();
    println!("lateness of retransmissions with {requests} in flight, ms: median, 99th percentile");
    for (n, wait) in waits.iter().enumerate() {
        let late =
            |copies: &Vec<Instant>| Some((*copies.get(n + 1)? - *copies.get(n)?).as_secs_f64() * 1e3 - *wait as f64);
        let mut late: Vec<f64> = copies.values().filter_map(late).collect();
        late.sort_by(f64::total_cmp);
        if late.is_empty() {
            println!("  after {wait} ms: none came");
            continue;
        }
        println!("  after {wait:>3} ms: {:.3} {:.3}", late[late.len() / 2], late[late.len() * 99 / 100]);
    }
}

fn ask(server: SocketAddr, policy: RetryPolicy, requests: usize) {
    let limits = Limits::default().window(u32::try_from(requests).unwrap().try_into().unwrap());
    let mut requester = ConcurrentRequester::builder(transaction_id(0..8).stamped())
        .policy(policy)
        .limits(limits)
        .connect(server)
        .unwrap();
    for token in 0..requests as u64 {
        requester.submit(b"........is anyone there?", token).unwrap();
        // Spread, so that each copy can leave and be noted when it is due.
        let next = requester.now().after(Duration::from_micros(40));
        let _ended = requester.wait_until(next);
    }
    while requester.wait().is_some() {}
}

fn listen(socket: &UdpSocket, datagrams: usize) -> BTreeMap<[u8; 8], Vec<Instant>> {
    let mut copies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..datagrams {
        let Ok(_len) = socket.recv(&mut buffer) else { break };
        copies.entry(buffer[..8].try_into().unwrap()).or_default().push(Instant::now());
    }
    copies
}
