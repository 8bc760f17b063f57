//! Whoever else has the socket, or changes its timeouts, moves no deadline and no transmission; and whatever a transport
//! does with a socket that came from the caller, its blocking mode stays.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::net::{Shutdown, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use udp_retry::net::{CancelHandle, UdpPaths};
use udp_retry::policy::Backoff;
use udp_retry::transaction::{Failure, GiveUp};
use udp_retry::transport::{PathIndex, Renewal, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RequestError, RetryPolicy, any_reply, transaction_id};

use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const LONG: Option<Duration> = Some(Duration::from_secs(50));

/// What somebody does with the socket, and when.
type Meddling = fn(&UdpSocket);
const MEDDLINGS: [(&str, Meddling); 6] = [
    ("nothing", |_| {}),
    ("a long timeout", |socket| socket.set_read_timeout(LONG).unwrap()),
    ("no timeout", |socket| socket.set_read_timeout(None).unwrap()),
    ("a short timeout", |socket| socket.set_read_timeout(Some(MS)).unwrap()),
    ("non-blocking", |socket| socket.set_nonblocking(true).unwrap()),
    ("non-blocking, a long timeout", |socket| {
        socket.set_nonblocking(true).unwrap();
        socket.set_read_timeout(LONG).unwrap();
    }),
];

#[test]
fn options_that_change_on_the_lent_socket_move_no_deadline() {
    within(MINUTE, || {
        thread::scope(|scope| {
            for (what, meddle) in MEDDLINGS {
                scope.spawn(move || {
                    ends_on_time(what, |silent| {
                        let mut requester = own(silent);
                        // So that the socket has a timeout of the transport's own when it is lent.
                        timed_out(&requester.request(b"0001 anyone?").unwrap_err());
                        meddle(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket());
                        requester
                    });
                });
            }
        });
    });
}

#[test]
fn options_that_change_on_a_clone_move_no_deadline() {
    within(MINUTE, || {
        thread::scope(|scope| {
            for (what, meddle) in MEDDLINGS {
                scope.spawn(move || {
                    ends_on_time(what, |silent| {
                        let (requester, clone) = given(silent);
                        meddle(&clone);
                        requester
                    });
                });
                scope.spawn(move || {
                    ends_on_time(what, |silent| {
                        let (mut requester, clone) = given(silent);
                        timed_out(&requester.request(b"0001 anyone?").unwrap_err());
                        meddle(&clone);
                        requester
                    });
                });
            }
        });
    });
}

#[test]
fn options_that_change_again_and_again_during_a_wait_move_no_deadline() {
    within(MINUTE, || {
        let silent = bound();
        let (requester, clone) = given(&silent);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for (_, meddle) in MEDDLINGS.iter().cycle().take_while(|_| !over.load(Relaxed)) {
                    meddle(&clone);
                    clone.set_nonblocking(false).unwrap();
                    thread::sleep(MS);
                }
            });
            let mut requester = Some(requester);
            on_time("by turns", &mut requester.take().unwrap());
            over.store(true, Relaxed);
        });
    });
}

#[test]
fn a_clone_that_steals_replies_moves_no_deadline() {
    within(MINUTE, || {
        let server = bound();
        let (mut requester, clone) = given(&server);
        let thieves_mode = clone.try_clone().unwrap();
        thieves_mode.set_read_timeout(Some(20 * MS)).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Both are woken by each reply; the thief reads nearly all of them.
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        let _ = clone.recv(&mut [0; 64]);
                    }
                });
            }
            let flood = scope.spawn(|| {
                let client = clone.local_addr().unwrap();
                while !over.load(Relaxed) {
                    server.send_to(b"of something else", client).unwrap();
                    thread::sleep(MS / 10);
                }
            });
            on_time("a thief", &mut requester);
            over.store(true, Relaxed);
            flood.join().unwrap();
        });
    });
}

/// Such a socket wakes its reader for nothing, and so is given rests.
#[test]
fn a_clone_that_shuts_the_socket_moves_no_deadline() {
    within(MINUTE, || {
        let silent = bound();
        let (mut requester, clone) = given(&silent);
        SockRef::from(&clone).shutdown(Shutdown::Read).unwrap();
        on_time("shut", &mut requester);
    });
}

#[test]
fn two_transports_on_one_socket_both_keep_their_deadlines() {
    within(MINUTE, || {
        let silent = bound();
        let (mut first, clone) = given(&silent);
        let mut second = over(ConnectedUdp::from_socket(clone.try_clone().unwrap()).unwrap());
        let mut third = over(ConnectedUdp::from_socket(clone.try_clone().unwrap()).unwrap());
        thread::scope(|scope| {
            for requester in [&mut first, &mut second, &mut third] {
                scope.spawn(|| on_time("one of three", requester));
            }
        });
        // And after another one has waited there for long, which suits none of their waits.
        let once = RetryPolicy::new(Backoff::constant(1200 * MS).unwrap()).with_max_transmissions(1).unwrap();
        let patient = ReliableRequester::builder(transaction_id(0..4)).policy(once);
        let mut patient = patient.over(ConnectedUdp::from_socket(clone).unwrap()).unwrap();
        assert!(patient.request(b"0003 anyone?").unwrap_err().is_timeout());
        on_time("after a long wait", &mut first);
    });
}

#[test]
fn a_given_socket_keeps_its_blocking_mode_and_its_timeout() {
    within(MINUTE, || {
        for nonblocking in [false, true] {
            for timeout in [None, LONG, Some(7 * MS)] {
                let server = bound();
                let socket = bound();
                socket.connect(server.local_addr().unwrap()).unwrap();
                socket.set_nonblocking(nonblocking).unwrap();
                socket.set_read_timeout(timeout).unwrap();
                let clone = socket.try_clone().unwrap();
                let before = modes(&clone);
                let unchanged = |after| assert_eq!(modes(&clone), before, "{after}");
                let mut transport = ConnectedUdp::from_socket(socket).unwrap();
                unchanged("from_socket");
                transport.renew(PathIndex::FIRST, Renewal::Required).unwrap();
                unchanged("renew");
                let mut requester =
                    short(ReliableRequester::builder(any_reply())).over(UdpPaths::from(transport)).unwrap();
                timed_out(&requester.request(b"0001").unwrap_err());
                unchanged("a request");
                let handle = requester.cancel_handle().unwrap();
                timed_out(&requester.request(b"0001").unwrap_err());
                unchanged("a request that can be cancelled");
                cancel_twice(&mut requester, &handle);
                unchanged("cancellations");
                assert_eq!(
                    modes(&requester.into_transport().into_socket().unwrap().into_socket()),
                    before,
                    "given back"
                );
            }
        }
    });
}

#[test]
fn a_socket_of_its_own_is_lent_without_a_timeout_and_blocking() {
    within(MINUTE, || {
        let silent = bound();
        let mut requester = own(&silent);
        timed_out(&requester.request(b"0001 anyone?").unwrap_err());
        let lent = requester.transport().socket(PathIndex::FIRST).unwrap().as_socket();
        assert_eq!(modes(lent), (false, None));
        timed_out(&requester.request(b"0002 anyone?").unwrap_err());
        assert_eq!(
            modes(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket()),
            (false, None),
            "and none is set again"
        );
    });
}

fn cancel_twice(requester: &mut ReliableRequester, handle: &CancelHandle) {
    for _ in 0..2 {
        handle.cancel();
        assert_eq!(requester.request(b"0002").unwrap_err().failure(), Failure::Cancelled);
    }
}

fn modes(socket: &UdpSocket) -> (bool, Option<Duration>) {
    (SockRef::from(socket).nonblocking().unwrap(), socket.read_timeout().unwrap())
}

fn ends_on_time(what: &str, prepared: impl Fn(&UdpSocket) -> ReliableRequester) {
    let silent = bound();
    on_time(what, &mut prepared(&silent));
}

/// Each moment in the quietest of a few rounds, as other work can only make a wait later.
fn on_time(what: &str, requester: &mut ReliableRequester) {
    let mut least = [Duration::MAX; DUES.len() + 1];
    for _ in 0..10 {
        let error = requester.request(b"0002 anyone?").unwrap_err();
        timed_out(&error);
        assert!(error.elapsed() < DEADLINE + 500 * MS, "{what}: {}", error.timeline());
        let moments: Vec<_> = error.timeline().transmissions().chain([error.elapsed()]).collect();
        // Else the machine stalled for longer than half a wait.
        if moments.len() == least.len() {
            for ((least, moment), due) in least.iter_mut().zip(moments).zip(DUES.into_iter().chain([DEADLINE])) {
                let late = moment.checked_sub(due);
                *least = (*least).min(late.unwrap_or_else(|| panic!("{what}: early: {}", error.timeline())));
            }
        }
        if least.iter().all(|&late| late <= 3 * MS) {
            println!("{what}: late by {least:?}");
            return;
        }
    }
    panic!("{what}: late by {least:?}");
}

/// The slots of `RetryPolicy::LAN` before this deadline.
const DUES: [Duration; 3] = [Duration::ZERO, MS.saturating_mul(100), MS.saturating_mul(300)];
const DEADLINE: Duration = MS.saturating_mul(500);

#[track_caller]
fn timed_out(error: &RequestError) {
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline), "{}", error.timeline());
}

fn short(builder: udp_retry::requester::Builder) -> udp_retry::requester::Builder {
    builder.policy(RetryPolicy::LAN).deadline(60 * MS)
}

fn own(server: &UdpSocket) -> ReliableRequester {
    over(ConnectedUdp::connect(server.local_addr().unwrap()).unwrap())
}

/// And a clone of its socket.
fn given(server: &UdpSocket) -> (ReliableRequester, UdpSocket) {
    let socket = bound();
    socket.connect(server.local_addr().unwrap()).unwrap();
    let clone = socket.try_clone().unwrap();
    (over(ConnectedUdp::from_socket(socket).unwrap()), clone)
}

fn over(transport: ConnectedUdp) -> ReliableRequester {
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(DEADLINE);
    builder.over(UdpPaths::from(transport)).unwrap()
}

fn bound() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}
