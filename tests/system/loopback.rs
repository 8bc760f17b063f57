//! The requester over real sockets on loopback: what a virtual network cannot prove.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure};
use udp_retry::transport::PathError;
use udp_retry::{ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::closed::closed_port;
use crate::ports::free_port;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_request_is_answered_over_both_families() {
    within(MINUTE, || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let server = Server::start(host, |request, _| vec![(Duration::ZERO, request.to_vec())]);
            let mut requester = ReliableRequester::connect(server.address, transaction_id(0..4)).unwrap();
            for request in [&b"0001 ping"[..], b"0002 ping"] {
                let reply = requester.request(request).unwrap();
                assert_eq!((reply.payload(), reply.transmissions()), (request, 1));
                assert!(reply.round_trip().unwrap() <= reply.elapsed());
            }
        }
    });
}

#[test]
fn the_books_schedule_leaves_on_time_as_precisely_as_the_system_can_wait() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .connect(silent.local_addr().unwrap())
            .unwrap();
        // The quietest of a few rounds, because other work can only make a wait later; beside each, bare waits of the same
        // lengths.
        let (mut ours, mut bare) = ([Duration::MAX; 5], [Duration::MAX; 5]);
        let as_precise = |(ours, bare): (&Duration, &Duration)| *ours <= *bare + MS / 2;
        for _ in 0..5 {
            let waits = thread::spawn(|| [100, 200, 400, 800, 1600].map(|wait| bare_wait(wait * MS)));
            let error = requester.request(b"0001 anyone?").unwrap_err();
            assert_eq!((error.transmissions(), error.is_timeout(), error.execution()), (5, true, Execution::Unknown));
            let sent: Vec<Duration> = error.timeline().transmissions().collect();
            let ends = sent[1..].iter().copied().chain([error.elapsed()]);
            for ((due, end), ours) in [100, 300, 700, 1500, 3100].into_iter().zip(ends).zip(&mut ours) {
                assert!(end >= due * MS, "due at {due} ms, but early: {end:?}");
                *ours = (*ours).min(end.saturating_sub(due * MS));
            }
            for (late, bare) in waits.join().unwrap().into_iter().zip(&mut bare) {
                *bare = (*bare).min(late);
            }
            if ours.iter().zip(&bare).all(as_precise) {
                return;
            }
        }
        panic!("late by {ours:?} where bare waits are late by {bare:?}");
    });
}

#[test]
fn nothing_listening_is_refused_after_the_whole_schedule_without_a_burst() {
    within(MINUTE, || {
        let nobody = closed_port();
        let policy = constant(50 * MS, 4);
        let mut requester = ReliableRequester::builder(any_reply()).policy(policy).connect(nobody).unwrap();
        let start = Instant::now();
        let error = requester.request(b"anyone?").unwrap_err();
        assert!(start.elapsed() >= 200 * MS);
        assert_eq!(error.failure(), Failure::Refused);
        assert_eq!((error.transmissions(), error.execution()), (4, Execution::Refused));
        assert_eq!(error.last_path_error(), Some(PathError::Refused));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_server_that_comes_up_between_two_transmissions_is_found() {
    within(MINUTE, || {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let server = thread::spawn(move || {
            thread::sleep(50 * MS);
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(5000 * MS)).unwrap();
            let mut buffer = [0; 64];
            let (len, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..len], from).unwrap();
        });
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).connect(address).unwrap();
        let reply = requester.request(b"0001 up?").unwrap();
        assert!((2..=4).contains(&reply.transmissions()), "{}", reply.timeline());
        assert_eq!(reply.round_trip(), None, "a reply after a retransmission is ambiguous");
        server.join().unwrap();
    });
}

#[test]
fn without_an_id_a_late_first_reply_shifts_nothing() {
    within(MINUTE, || {
        // The first request is answered after 150 ms, when the second transmission has left already.
        let server = Server::start("127.0.0.1:0", |request, number| {
            vec![(if number == 0 { 150 * MS } else { Duration::ZERO }, request.to_vec())]
        });
        replies_belong_to_their_requests(&server);
    });
}

#[test]
fn without_an_id_late_copies_of_every_reply_shift_nothing() {
    within(MINUTE, || {
        let server = Server::start("127.0.0.1:0", |request, _| {
            vec![(Duration::ZERO, request.to_vec()), (15 * MS, request.to_vec()), (30 * MS, request.to_vec())]
        });
        replies_belong_to_their_requests(&server);
    });
}

#[track_caller]
fn replies_belong_to_their_requests(server: &Server) {
    let mut requester =
        ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).connect(server.address).unwrap();
    for k in 0..20 {
        let request = format!("request {k}");
        let reply = requester.request(request.as_bytes()).unwrap();
        assert_eq!(reply.payload(), request.as_bytes());
        thread::sleep(5 * MS);
    }
}

#[test]
fn a_reply_larger_than_the_buffer_is_an_error_with_both_sizes() {
    within(MINUTE, || {
        let server = Server::start("127.0.0.1:0", |request, _| vec![(Duration::ZERO, request.repeat(3))]);
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).buffer(35).connect(server.address).unwrap();
        let error = requester.request(b"0001 abcdefg").unwrap_err();
        assert!(matches!(error.failure(), Failure::Truncated { received: 35, actual: 36, .. }), "{error}");
        assert_eq!(error.execution(), Execution::Unknown);
        assert_eq!(requester.request(b"0002 abcdef").unwrap().payload().len(), 33, "the next one is not harmed");
    });
}

#[test]
fn an_empty_reply_is_a_reply() {
    within(MINUTE, || {
        let server = Server::start("127.0.0.1:0", |_, _| vec![(Duration::ZERO, Vec::new())]);
        let mut requester = ReliableRequester::connect(server.address, any_reply()).unwrap();
        assert_eq!(requester.request(b"").unwrap().payload(), b"");
    });
}

#[test]
fn a_request_that_no_datagram_can_hold_fails_at_once() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut requester = ReliableRequester::connect(silent.local_addr().unwrap(), transaction_id(0..4)).unwrap();
        let error = requester.request(&[7; 65_508]).unwrap_err();
        let Failure::TooLarge { len, limit, .. } = error.failure() else { panic!("{error}") };
        assert_eq!((len, limit), (65_508, Some(Plpmtu::new(65_507))));
        assert_eq!((error.transmissions(), error.execution()), (0, Execution::NotSent));
        assert!(error.elapsed() < 500 * MS, "no transmission was waited for");
    });
}

#[test]
fn the_largest_datagram_goes_both_ways() {
    within(MINUTE, || {
        let server = Server::start("127.0.0.1:0", |request, _| vec![(Duration::ZERO, request.to_vec())]);
        let mut requester = ReliableRequester::connect(server.address, transaction_id(0..4)).unwrap();
        let request: Vec<u8> = (0..65_507).map(|n| (n % 251) as u8).collect();
        assert_eq!(requester.request(&request).unwrap().payload(), request);
    });
}

/// Answers each datagram as `answer` says (request, its number) with delayed copies, until dropped.
struct Server {
    address: SocketAddr,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(address: &str, answer: impl Fn(&[u8], usize) -> Vec<(Duration, Vec<u8>)> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(MS)).unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            let mut pending: Vec<(Instant, SocketAddr, Vec<u8>)> = Vec::new();
            let mut number = 0;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let now = Instant::now();
                    pending.extend(
                        answer(&buffer[..len], number).into_iter().map(|(late, reply)| (now + late, from, reply)),
                    );
                    number += 1;
                }
                let now = Instant::now();
                pending.retain(|(due, to, reply)| {
                    let waits = *due > now;
                    if !waits {
                        let _ = socket.send_to(reply, to);
                    }
                    waits
                });
            }
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

fn constant(interval: Duration, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(interval).unwrap()).with_max_transmissions(transmissions).unwrap()
}

/// How late a bare wait of the system's is.
fn bare_wait(wait: Duration) -> Duration {
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
    start.elapsed() - wait
}
