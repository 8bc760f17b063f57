//! A cancel while others have the socket, or something is around the transport: it is theirs as before, and none is missed.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::{Cancel, CancelHandle};
use udp_retry::policy::Backoff;
use udp_retry::transaction::Failure;
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::forwarding::Forwarding;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn clones_read_and_write_on_after_cancels() {
    within(MINUTE, || {
        for host in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            let server = UdpSocket::bind(if host.contains(':') { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
            let socket = UdpSocket::bind((host, 0)).unwrap();
            socket.connect(server.local_addr().unwrap()).unwrap();
            let clone = socket.try_clone().unwrap();
            clone.set_read_timeout(Some(5000 * MS)).unwrap();
            let addresses = || (clone.local_addr().unwrap(), clone.peer_addr().unwrap());
            let before = addresses();
            let mut requester = patient().over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
            let handle = requester.cancel_handle().unwrap();
            for n in 0..5_u8 {
                let cancelled = if n % 2 == 0 {
                    cancelled_ahead(&mut requester, &handle)
                } else {
                    cancelled_later(&mut requester, &handle)
                };
                assert_eq!(cancelled, Failure::Cancelled);
                assert_eq!(addresses(), before, "{host}");
                while server_has(&server) {}
                clone.send(&[n]).unwrap();
                let mut buffer = [0; 16];
                let (len, from) = server.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..len], from.port()), (&[n][..], before.0.port()));
                server.send_to(&[n, n], from).unwrap();
                assert_eq!((clone.recv(&mut buffer).unwrap(), buffer[..2].to_vec()), (2, vec![n, n]), "{host}");
            }
        }
    });
}

#[test]
fn a_clone_that_waits_in_a_read_is_not_woken_by_a_cancel() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let clone = socket.try_clone().unwrap();
        let client = socket.local_addr().unwrap();
        let mut requester = patient().over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
        let handle = requester.cancel_handle().unwrap();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 16];
            let len = clone.recv(&mut buffer).unwrap();
            buffer[..len].to_vec()
        });
        thread::sleep(50 * MS);
        for _ in 0..3 {
            assert_eq!(cancelled_ahead(&mut requester, &handle), Failure::Cancelled);
        }
        server.send_to(b"for the clone", client).unwrap();
        assert_eq!(reader.join().unwrap(), b"for the clone");
    });
}

/// A call that rings late, when its cancel was taken already, must not swallow the one after it.
#[test]
fn of_calls_from_many_threads_none_is_missed() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut transport = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let handle = transport.cancel_handle().unwrap();
        let (taken, finished) = (&AtomicU32::new(0), &AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                let handle = handle.clone();
                scope.spawn(move || {
                    for call in 0..CALLS {
                        let (before, start) = (taken.load(SeqCst), Instant::now());
                        handle.cancel();
                        while taken.load(SeqCst) == before {
                            assert!(start.elapsed() < 5000 * MS, "call {call} was missed");
                            thread::yield_now();
                        }
                    }
                    // So that the wait sees it.
                    finished.fetch_add(1, SeqCst);
                    handle.cancel();
                });
            }
            while finished.load(SeqCst) < CALLERS {
                assert_eq!(received(&mut transport, 20_000 * MS), Incoming::Cancelled, "a call was missed");
                taken.fetch_add(1, SeqCst);
            }
        });
        println!("{} calls, {} took effect", CALLERS * CALLS, taken.load(SeqCst));
    });
}

#[test]
fn a_handle_is_had_through_whatever_is_around_the_transport() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connect = || ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let none = || Impairments::NONE;
        is_cancelled(LossySink::new(connect(), none(), Seed::new(1)));
        is_cancelled(Forwarding::around(connect()));
        is_cancelled(Forwarding::around(LossySink::new(connect(), none(), Seed::new(1))));
        let twice = LossySink::new(LossySink::new(connect(), none(), Seed::new(1)), none(), Seed::new(2));
        is_cancelled(LossySink::new(Forwarding::around(twice), "delay 1ms".parse().unwrap(), Seed::new(3)));
    });
}

#[test]
fn a_flush_ends_by_a_cancel_and_leaves_it_for_the_next_wait() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(5000 * MS)).unwrap();
        let transport = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let mut lossy = LossySink::new(transport, "delay 400ms".parse().unwrap(), Seed::new(7));
        let handle = lossy.cancel_handle().unwrap();
        let start = lossy.now();
        lossy.send(PathIndex::FIRST, b"late").unwrap();
        let canceller = thread::spawn(move || {
            thread::sleep(30 * MS);
            handle.cancel();
        });
        lossy.flush().unwrap();
        assert!(lossy.now().since(start) < 300 * MS, "{:?}", lossy.now().since(start));
        canceller.join().unwrap();
        assert_eq!(lossy.send(PathIndex::FIRST, b"not"), Err(PathError::Cancelled));
        assert_eq!(received(&mut lossy, Duration::ZERO), Incoming::Cancelled);
        assert!(matches!(received(&mut lossy, Duration::ZERO), Incoming::TimeUp(_)), "once");
        lossy.flush().unwrap();
        assert!(lossy.now().since(start) >= 400 * MS);
        let mut buffer = [0; 8];
        let (len, _) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"late");
    });
}

/// Ahead, and while it waits, twice each.
fn is_cancelled<T: Transport<Peer = PathIndex> + Cancel>(transport: T) {
    let mut requester = patient().over(transport).unwrap();
    let handle = requester.cancel_handle().unwrap();
    for _ in 0..2 {
        assert_eq!(cancelled_ahead(&mut requester, &handle), Failure::Cancelled);
        assert_eq!(cancelled_later(&mut requester, &handle), Failure::Cancelled);
    }
}

fn cancelled_ahead<T: Transport<Peer = PathIndex>>(
    requester: &mut ReliableRequester<T>,
    handle: &CancelHandle,
) -> Failure {
    handle.cancel();
    let error = requester.request(b"0000 not to be sent").unwrap_err();
    assert!(error.elapsed() < 1000 * MS, "{error}");
    error.failure()
}

fn cancelled_later<T: Transport<Peer = PathIndex>>(
    requester: &mut ReliableRequester<T>,
    handle: &CancelHandle,
) -> Failure {
    let handle = handle.clone();
    let canceller = thread::spawn(move || {
        thread::sleep(30 * MS);
        handle.cancel();
    });
    let error = requester.request(b"0001 anyone?").unwrap_err();
    canceller.join().unwrap();
    assert_eq!(error.transmissions(), 1);
    assert!((20 * MS..1000 * MS).contains(&error.elapsed()), "{error}");
    error.failure()
}

fn received<T: Transport<Peer = PathIndex>>(transport: &mut T, wait: Duration) -> Incoming<PathIndex> {
    let now = transport.now();
    transport.recv(&mut [0; 8], now, now.after(wait))
}

/// Takes a datagram off a queue, if there is one.
fn server_has(server: &UdpSocket) -> bool {
    server.set_nonblocking(true).unwrap();
    let had = server.recv_from(&mut [0; 64]).is_ok();
    server.set_nonblocking(false).unwrap();
    had
}

impl<T: Cancel> Cancel for Forwarding<T> {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.inner.cancel_handle()
    }
}

/// Its waits are longer than any test.
fn patient() -> udp_retry::requester::Builder {
    let policy = RetryPolicy::new(Backoff::constant(Duration::from_secs(50)).unwrap());
    ReliableRequester::builder(transaction_id(0..4)).policy(policy)
}

const CALLERS: u32 = 4;
const CALLS: u32 = 2000;
