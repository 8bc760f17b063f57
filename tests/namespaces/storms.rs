//! ICMP errors of every type and code, forged by whoever knows the ports and even the bytes of a request, once or 20,000
//! times while it waits: the reply is found, every transmission leaves when it is due, and nothing is a verdict.
//!
//! In a network namespace, over its loopback interface.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::Fragmentation;
use udp_retry::policy::Backoff;
use udp_retry::transport::PathIndex;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::again::this_test;
use crate::forged::{Forger, Icmp, Quoted};
use crate::inside::{Inside, run};
use crate::offers::Offers;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
/// Between transmissions.
const INTERVAL: Duration = Duration::from_millis(100);
/// From the first transmission to the reply; there is one of them at each interval before it.
const LATE: Duration = Duration::from_millis(480);
/// On a quiet machine. Others are allowed what they need without a storm, too.
const PUNCTUAL: Duration = Duration::from_millis(20);

#[test]
fn no_icmp_error_of_any_type_and_code_ends_a_request_or_puts_off_a_transmission() {
    within(MINUTE, || {
        let Some(_network) = prepared(this_test!()) else { return };
        let (v4, v6) = every_error();
        assert_eq!((v4.len(), v6.len()), (20, 13));
        let errors = v4.into_iter().chain(v6);
        all(errors.flat_map(|icmp| [1, 500].map(|times| Case::of(icmp, times))).collect(), 17);
    });
}

#[test]
fn nor_do_twenty_thousand_of_them() {
    within(MINUTE, || {
        let Some(_network) = prepared(this_test!()) else { return };
        let errors = [Icmp::v4(3, 3), Icmp::v4(3, 1), Icmp::v4(3, 13), Icmp::v4(12, 0), Icmp::v6(1, 4), Icmp::v6(1, 1)];
        all(errors.map(|icmp| Case::of(icmp, 20_000)).into(), 1);
    });
}

#[test]
fn nor_do_twenty_thousand_at_once() {
    within(MINUTE, || {
        let Some(_network) = prepared(this_test!()) else { return };
        let errors = [Icmp::v4(3, 3), Icmp::v4(3, 13), Icmp::v6(1, 4)];
        all(errors.map(|icmp| Case { spread: 80, ..Case::of(icmp, 20_000) }).into(), 1);
    });
}

#[test]
fn a_forged_path_mtu_ends_no_request_of_a_socket_that_forbids_fragments() {
    within(MINUTE, || {
        let Some(_network) = prepared(this_test!()) else { return };
        let mut cases = Vec::new();
        for mtu in [0, 68, 1280] {
            for icmp in [Icmp::v4(3, 4).with_mtu(mtu), Icmp::v6(2, 0).with_mtu(mtu)] {
                // The longer one no longer fits, if the error is believed.
                for (len, times) in [(40, 1), (40, 500), (1400, 1), (1400, 500)] {
                    cases.push(Case { fragmentation: Fragmentation::Forbidden, len, ..Case::of(icmp, times) });
                }
            }
        }
        all(cases, 12);
    });
}

#[test]
fn between_two_errors_a_socket_gets_its_datagram_out_and_keeps_its_port() {
    within(MINUTE, || {
        let Some(_network) = prepared(this_test!()) else { return };
        // As if no route led there any more, refused, and too narrow.
        for icmp in [Icmp::v4(3, 13), Icmp::v4(3, 3), Icmp::v4(3, 4).with_mtu(1280)] {
            for socket in [Socket::Own, Socket::Given] {
                let case = Case { socket, fragmentation: Fragmentation::Forbidden, ..Case::of(icmp, 20_000) };
                let server = UdpSocket::bind((fresh_address(false), 0)).unwrap();
                let address = server.local_addr().unwrap();
                let mut client = transport(address, case);
                let own = client.local_addr();
                let forger = Forger::new(icmp, Quoted { client: own, server: address, payload: b"0001" });
                thread::scope(|scope| {
                    let forging = scope.spawn(|| forger.send(case.times));
                    while !forging.is_finished() {
                        assert!(client.offer(PathIndex::FIRST, b"0001").is_ok(), "{case:?}");
                    }
                });
                assert_eq!(client.local_addr(), own, "{case:?}");
            }
        }
    });
}

/// Types 3, 4, 11 and 12 with their codes (RFC 792, RFC 1812), and 1 to 4 (RFC 4443).
fn every_error() -> (Vec<Icmp>, Vec<Icmp>) {
    let v4 = (0..=15).map(|code| Icmp::v4(3, code)).chain([(4, 0), (11, 0), (11, 1), (12, 0)].map(of(Icmp::v4)));
    let v6 =
        (0..=6).map(|code| Icmp::v6(1, code)).chain([(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)].map(of(Icmp::v6)));
    (v4.collect(), v6.collect())
}

fn of(make: fn(u8, u8) -> Icmp) -> impl Fn((u8, u8)) -> Icmp {
    move |(kind, code)| make(kind, code)
}

#[derive(Clone, Copy, Debug)]
struct Case {
    icmp: Icmp,
    times: u32,
    socket: Socket,
    /// The milliseconds that they are spread over.
    spread: u32,
    fragmentation: Fragmentation,
    /// Of the request.
    len: usize,
}

impl Case {
    fn of(icmp: Icmp, times: u32) -> Self {
        Self { icmp, times, socket: Socket::Own, spread: 420, fragmentation: Fragmentation::ByEstimate, len: 40 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Socket {
    Own,
    Given,
}

/// Any address of these networks is this host's.
fn prepared(test: &'static str) -> Option<Inside> {
    let network = Inside::of(test, "direct")?;
    run("sysctl -qw net.ipv6.ip_nonlocal_bind=1");
    run("ip -6 route add local fd99::/64 dev lo");
    Some(network)
}

/// Both kinds of sockets for so many cases at a time.
fn all(cases: Vec<Case>, at_once: usize) {
    let cases = Mutex::new(cases);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().pop() else { return };
                    let given = Case { socket: Socket::Given, ..case };
                    thread::scope(|scope| [case, given].map(|case| _ = scope.spawn(move || check(case))));
                }
            });
        }
    });
}

/// What it is about holds every time; other work may make a transmission late, but not every time, and not where nothing is
/// forged at all.
fn check(case: Case) {
    let mut seen = Vec::new();
    for _ in 0..6 {
        let late = lateness(case);
        if late <= PUNCTUAL {
            return;
        }
        let quiet = lateness(Case { times: 0, ..case });
        if late <= PUNCTUAL + 2 * quiet {
            return;
        }
        seen.push((late, quiet));
    }
    panic!("{case:?}: late by {seen:?}, with the storm and without");
}

/// By how much the latest of the transmissions was late, or the reply; all of the time where one is missing.
fn lateness(case: Case) -> Duration {
    let server = UdpSocket::bind((fresh_address(case.icmp.v6), 0)).unwrap();
    let policy = RetryPolicy::new(Backoff::constant(INTERVAL).unwrap()).with_max_transmissions(20).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy).deadline(3000 * MS);
    let mut requester = builder.over(transport(server.local_addr().unwrap(), case)).unwrap();
    let request = vec![b'r'; case.len];
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&server, case));
        let reply = requester.request(&request).unwrap_or_else(|failed| panic!("{case:?}: {failed}"));
        assert_eq!(reply.payload(), request, "{case:?}");
        let (arrivals, answered) = serving.join().unwrap();
        let found = answered.elapsed();
        // If the kernel believes in a narrow path, and nothing may be fragmented, no retransmission leaves.
        let shut_out = case.fragmentation == Fragmentation::Forbidden && case.len > 500;
        if arrivals.len() < 5 && !shut_out {
            return LATE;
        }
        let due = (0..).map(|slot| slot * INTERVAL);
        let late = arrivals.iter().zip(due).map(|(&at, due)| at.saturating_sub(due)).max().unwrap();
        late.max(found)
    })
}

/// What is believed of a path MTU holds for an address.
fn fresh_address(v6: bool) -> IpAddr {
    static USED: AtomicU16 = AtomicU16::new(1);
    let number = USED.fetch_add(1, Ordering::Relaxed);
    let [high, low] = number.to_be_bytes();
    if v6 { Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, number).into() } else { Ipv4Addr::new(127, 0, high, low).into() }
}

fn transport(server: SocketAddr, case: Case) -> ConnectedUdp {
    let transport = ConnectedUdp::connect(server).unwrap();
    let transport = match case.socket {
        Socket::Own => transport,
        Socket::Given => ConnectedUdp::from_socket(transport.into_socket()).unwrap(),
    };
    transport.set_fragmentation(case.fragmentation).unwrap();
    transport
}

/// Answers the first transmission, and only where that came from, after all that was forged about it. Returns when each
/// arrived, counted from the first, and when it was answered.
fn serve(server: &UdpSocket, case: Case) -> (Vec<Duration>, Instant) {
    let mut buffer = [0; 2048];
    server.set_read_timeout(Some(5000 * MS)).unwrap();
    let (len, client) = server.recv_from(&mut buffer).unwrap();
    let first = Instant::now();
    let request = buffer[..len].to_vec();
    let mut arrivals = vec![Duration::ZERO];
    thread::scope(|scope| {
        if case.times > 0 {
            let quoted = Quoted { client, server: server.local_addr().unwrap(), payload: &request };
            let forger = Forger::new(case.icmp, quoted);
            scope.spawn(move || forge(&forger, case, first));
        }
        while let Some(left) = LATE.checked_sub(first.elapsed()).filter(|left| !left.is_zero()) {
            server.set_read_timeout(Some(left)).unwrap();
            if server.recv_from(&mut buffer).is_ok() {
                arrivals.push(first.elapsed());
            }
        }
    });
    let _ = server.send_to(&request, client);
    (arrivals, Instant::now())
}

/// Some each millisecond, the first transmission's retransmission being due among them.
fn forge(forger: &Forger, Case { times, spread, .. }: Case, first: Instant) {
    let begin = if spread < 100 { 60 } else { 0 };
    for step in 1..=spread {
        thread::sleep(((begin + step) * MS).saturating_sub(first.elapsed()));
        forger.send(times * step / spread - times * (step - 1) / spread);
    }
}
