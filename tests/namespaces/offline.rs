//! No way to the server: requests burn no time, also once cancelled, each cancel ends its wait at once, and when the way is
//! there again everything works. In network namespaces.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::net::UdpSocket;
use std::ops::RangeToInclusive;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::{CancelHandle, UdpPaths};
use udp_retry::requester::Builder;
use udp_retry::transaction::Failure;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::again::this_test;
use crate::inside::{Inside, PORT, run};
use crate::processor::{spends, spent};
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn behind_an_unreachable_route_nothing_spins_and_every_cancel_is_taken_at_once() {
    within(MINUTE, || {
        offline(this_test!(), "ip route add unreachable SERVER", "ip route del unreachable SERVER");
    });
}

#[test]
fn without_any_route_nothing_spins_and_every_cancel_is_taken_at_once() {
    within(MINUTE, || {
        offline(this_test!(), "ip route add throw SERVER", "ip route del throw SERVER");
    });
}

#[test]
fn with_the_link_down_nothing_spins_and_every_cancel_is_taken_at_once() {
    within(MINUTE, || {
        offline(this_test!(), "ip link set DEVICE down", "ip link set DEVICE up");
    });
}

/// Who asks, and what was cancelled before the request that is measured.
#[derive(Clone, Copy, Debug)]
struct Case {
    by_port: bool,
    given: bool,
    before: Before,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    NoHandle,
    Nothing,
    CancelledOnline,
    CancelledOffline,
}

fn offline(test: &'static str, block: &str, open: &str) {
    let Some(network) = Inside::of(test, "direct") else { return };
    let _server = network.echo(&network.server4);
    let [block, open] =
        [block, open].map(|text| text.replace("SERVER", &network.server4).replace("DEVICE", &network.device));
    let mut cases: Vec<Case> =
        [false, true]
            .into_iter()
            .flat_map(|by_port| [false, true].map(|given| (by_port, given)))
            .flat_map(|(by_port, given)| {
                [Before::NoHandle, Before::Nothing, Before::CancelledOnline, Before::CancelledOffline]
                    .map(|before| Case { by_port, given, before })
            })
            .collect();
    spends(ALLOWED, "the worst case", || {
        let spent = ask_all(&cases, &network, &block, &open);
        let worst = spent.iter().copied().max().unwrap();
        // From online to offline and back, and only those that spent too much.
        cases = cases.iter().zip(spent).filter(|(_, spent)| !ALLOWED.contains(spent)).map(|(case, _)| *case).collect();
        ((), worst)
    });
}

/// Returns what each spent.
fn ask_all(cases: &[Case], network: &Inside, block: &str, open: &str) -> Vec<Duration> {
    let barrier = &Barrier::new(cases.len() + 1);
    thread::scope(|scope| {
        let asking: Vec<_> = cases.iter().map(|&case| scope.spawn(move || ask(case, network, barrier))).collect();
        barrier.wait();
        run(block);
        barrier.wait();
        barrier.wait();
        run(open);
        barrier.wait();
        asking.into_iter().map(|asks| asks.join().unwrap()).collect()
    })
}

/// Returns the most that a request spent offline.
fn ask(case: Case, network: &Inside, barrier: &Barrier) -> Duration {
    let mut requester = requester(case, network);
    assert!(requester.request(b"0001 online").is_ok(), "{case:?}");
    let handle = (case.before != Before::NoHandle).then(|| requester.cancel_handle().unwrap());
    if case.before == Before::CancelledOnline {
        cancelled(&mut requester, handle.as_ref().unwrap());
    }
    barrier.wait();
    barrier.wait();
    if case.before == Before::CancelledOffline {
        cancelled(&mut requester, handle.as_ref().unwrap());
    }
    let mut most = Duration::ZERO;
    for _ in 0..2 {
        most = most.max(unanswered(case, &mut requester));
        // The second is as fast as the first.
        for _ in 0..2 {
            let Some(handle) = handle.clone() else { continue };
            let canceller = thread::spawn(move || {
                thread::sleep(50 * MS);
                let called = Instant::now();
                handle.cancel();
                called
            });
            let error = requester.request(b"0003 offline").unwrap_err();
            let took = Instant::now().saturating_duration_since(canceller.join().unwrap());
            assert_eq!(error.failure(), Failure::Cancelled, "{case:?}: {}", error.timeline());
            assert!(took < 90 * MS, "{case:?}: {took:?}");
        }
    }
    barrier.wait();
    barrier.wait();
    // A link that came up takes its time.
    assert!((0..30).any(|_| requester.request(b"0004 online").is_ok()), "{case:?}");
    assert!(requester.request(b"0005 online").is_ok(), "{case:?}");
    most
}

/// Returns what 3 s spent.
fn unanswered(case: Case, requester: &mut ReliableRequester) -> Duration {
    let (error, spent) = spent(|| requester.request(b"0002 offline").unwrap_err());
    println!("{case:?}: {spent:?}");
    assert_eq!((error.failure(), error.transmissions()), (Failure::Unreachable, 0), "{case:?}: {}", error.timeline());
    assert!(error.elapsed() >= 3000 * MS && error.elapsed() < 3500 * MS, "{case:?}: {error}");
    spent
}

/// Ahead.
fn cancelled(requester: &mut ReliableRequester, handle: &CancelHandle) {
    handle.cancel();
    assert_eq!(requester.request(b"0000 not to be sent").unwrap_err().failure(), Failure::Cancelled);
}

fn requester(case: Case, network: &Inside) -> ReliableRequester {
    let builder = if case.by_port { by_port() } else { by_id() };
    let builder = builder.policy(RetryPolicy::LAN);
    if !case.given {
        return builder.connect((network.server4.as_str(), PORT)).unwrap();
    }
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((network.server4.as_str(), PORT)).unwrap();
    builder.over(UdpPaths::from(ConnectedUdp::from_socket(socket).unwrap())).unwrap()
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4))
}

fn by_port() -> Builder {
    ReliableRequester::builder(any_reply())
}

/// What 3 s offline may spend.
const ALLOWED: RangeToInclusive<Duration> = ..=Duration::from_millis(5);
