//! The requester and its transports over real sockets on loopback: what a virtual network cannot prove.
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

use udp_retry::net::UnconnectedUdp;
use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure};
#[cfg(target_os = "linux")]
use udp_retry::transport::Incoming;
use udp_retry::transport::{PathError, PathIndex, Renewal, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::offers::Offers;
use crate::waits::Waits;
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
        let address = closed_port();
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
fn every_renewal_leaves_from_another_port_with_nothing_queued() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let mut ports = vec![client.local_addr().port()];
        for _ in 0..200 {
            server.send_to(b"to the old port", client.local_addr()).unwrap();
            client.renew(PathIndex::FIRST, Renewal::Required).unwrap();
            let port = client.local_addr().port();
            assert!(!ports.contains(&port), "port {port} again");
            assert_eq!(queued(&mut client), Ok(None));
            ports.push(port);
        }
        server.send_to(b"to a port of long ago", ("127.0.0.1", ports[0])).unwrap();
        server.send_to(b"to the present one", client.local_addr()).unwrap();
        assert_eq!(queued(&mut client), Ok(Some(b"to the present one".to_vec())));
        assert_eq!(queued(&mut client), Ok(None));
    });
}

#[test]
fn a_port_of_the_callers_choice_cannot_be_renewed_and_the_requester_says_so() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fixed = UdpSocket::bind(closed_port()).unwrap();
        fixed.connect(server.local_addr().unwrap()).unwrap();
        let transport = ConnectedUdp::from_socket(fixed).unwrap();
        let mut requester = ReliableRequester::builder(any_reply()).over(transport).unwrap();
        let error = requester.request(b"time?").unwrap_err();
        assert_eq!(error.failure(), Failure::NoFreshPort);
        assert_eq!((error.transmissions(), error.execution()), (0, Execution::NotSent));
    });
}

#[test]
fn a_datagram_queued_before_connecting_is_nobodys_reply() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"forged", socket.local_addr().unwrap()).unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let mut transport = ConnectedUdp::from_socket(socket).unwrap();
        assert_eq!(queued(&mut transport), Ok(None));
    });
}

#[test]
fn an_unconnected_socket_is_not_taken() {
    within(MINUTE, || {
        let error = ConnectedUdp::from_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn a_name_without_a_usable_address_is_an_error_of_the_system() {
    within(MINUTE, || {
        assert!(ConnectedUdp::connect("this is no address").is_err());
        assert!(ConnectedUdp::connect(&[][..]).is_err());
    });
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

#[test]
fn a_pending_error_does_not_hide_the_reply_behind_it() {
    within(MINUTE, || {
        let (mut client, server) = pair();
        client.send(PathIndex::FIRST, b"first").unwrap();
        let mut buffer = [0; 16];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"reply", from).unwrap();
        drop(server);
        client.send(PathIndex::FIRST, b"second").unwrap(); // refused, with the reply in the queue
        assert_eq!(queued(&mut client), Err(PathError::Refused));
        assert_eq!(queued(&mut client), Ok(Some(b"reply".to_vec())));
        assert_eq!(queued(&mut client), Ok(None));
    });
}

/// On a socket of its own a transport learns whose the error was, and so need not be asked twice.
#[test]
#[cfg(target_os = "linux")]
fn a_send_that_an_earlier_error_swallowed_is_issued_again() {
    within(MINUTE, || {
        for lent in [false, true] {
            let (mut client, server) = pair();
            if lent {
                let _ = client.as_socket();
            }
            let address = server.local_addr().unwrap();
            drop(server);
            client.send(PathIndex::FIRST, b"refused").unwrap();
            let server = UdpSocket::bind(address).unwrap();
            let kept = !lent && cfg!(not(udp_retry_portable));
            let swallowed = if kept { None } else { Some(PathError::Refused) };
            assert_eq!(client.offer(PathIndex::FIRST, b"hello"), Ok(swallowed));
            assert_eq!(client.offer(PathIndex::FIRST, b"again"), Ok(None));
            let mut buffer = [0; 16];
            for expected in [b"hello", b"again"] {
                let (len, _) = server.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], expected);
            }
            if kept {
                let now = client.now();
                let reported = client.recv(&mut buffer, now, now.after(1000 * MS));
                let (path, error) = (Some(PathIndex::FIRST), PathError::Refused);
                assert_eq!(reported, Incoming::PathError { path, error, quoted: 7 });
                assert_eq!(&buffer[..7], b"refused");
            }
            assert_eq!(queued(&mut client), Ok(None), "once");
        }
    });
}

#[test]
fn a_moment_in_the_past_never_waits_but_takes_what_is_queued() {
    within(MINUTE, || {
        let (mut client, server) = pair();
        let start = Instant::now();
        assert_eq!(queued(&mut client), Ok(None));
        assert!(start.elapsed() < 50 * MS);
        server.send_to(b"there", client.local_addr()).unwrap();
        assert_eq!(queued(&mut client), Ok(Some(b"there".to_vec())));
    });
}

#[test]
fn waits_end_when_they_should_and_never_before() {
    within(MINUTE, || {
        let (mut client, _server) = pair();
        for wait in [MS / 1000, MS / 2, MS, 7 * MS, 60 * MS, 300 * MS] {
            let until = client.now().after(wait);
            assert_eq!(client.wait(&mut [0; 4], until), Ok(None));
            let late = client.now().since(until);
            assert!(client.now() >= until, "{wait:?} ended early");
            assert!(late < 200 * MS, "{wait:?} ended {late:?} late");
        }
    });
}

#[test]
fn a_server_hears_who_asked_and_answers_there() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let mut clients = [(); 2].map(|()| ConnectedUdp::connect(server.local_addr()).unwrap());
        let mut buffer = [0; 16];
        for client in &mut clients {
            client.send(PathIndex::FIRST, b"question").unwrap();
            let heard = server.wait(&mut buffer, server.now().after(1000 * MS)).unwrap().unwrap();
            assert_eq!((heard.from.remote, heard.from.local), (client.local_addr(), server.local_addr()));
            assert_eq!((heard.len, heard.actual), (8, 8));
            server.send(heard.from, b"answer").unwrap();
            let until = client.now().after(1000 * MS);
            assert_eq!(client.wait(&mut buffer, until).unwrap().map(|answer| answer.len), Some(6));
        }
        let route = server.route_to(clients[0].local_addr());
        assert_eq!(server.renew(route, Renewal::Required), Err(PathError::Unsupported));
    });
}

#[test]
fn a_cut_datagram_tells_its_true_length_on_both_ends() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let mut client = ConnectedUdp::connect(server.local_addr()).unwrap();
        let mut small = [0; 3];
        client.send(PathIndex::FIRST, b"0123456789").unwrap();
        let heard = server.wait(&mut small, server.now().after(1000 * MS)).unwrap().unwrap();
        assert_eq!((heard.len, heard.actual, &small), (3, 10, b"012"));
        server.send(heard.from, b"abcdefgh").unwrap();
        let until = client.now().after(1000 * MS);
        let heard = client.wait(&mut small, until).unwrap().unwrap();
        assert_eq!((heard.len, heard.actual, &small), (3, 8, b"abc"));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn broadcasting_needs_the_permission_that_its_constructor_gives() {
    within(MINUTE, || {
        let listener = UdpSocket::bind("0.0.0.0:0").unwrap();
        listener.set_read_timeout(Some(2000 * MS)).unwrap();
        let everybody = SocketAddr::from(([127, 255, 255, 255], listener.local_addr().unwrap().port()));
        let mut plain = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        assert_eq!(plain.send(plain.route_to(everybody), b"hear me"), Err(PathError::Denied));
        let mut loud = UnconnectedUdp::bind_broadcast("0.0.0.0:0").unwrap();
        assert_eq!(loud.send(loud.route_to(everybody), b"hear me"), Ok(()));
        let mut buffer = [0; 16];
        assert_eq!(listener.recv_from(&mut buffer).unwrap().0, 7);
    });
}

#[test]
fn a_receive_buffer_is_granted_as_reported() {
    within(MINUTE, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let small = udp_retry::net::set_receive_buffer(&socket, 8 * 1024).unwrap();
        let large = udp_retry::net::set_receive_buffer(&socket, 128 * 1024).unwrap();
        assert!(small >= 8 * 1024 && large >= 128 * 1024 && small < large, "{small} {large}");
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

fn pair() -> (ConnectedUdp, UdpSocket) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
    (client, server)
}

/// What is there at this moment; loopback delivers before `send` returns.
fn queued(transport: &mut ConnectedUdp) -> Result<Option<Vec<u8>>, PathError> {
    let mut buffer = [0; 64];
    let past = transport.now();
    Ok(transport.wait(&mut buffer, past)?.map(|heard| buffer[..heard.len].to_vec()))
}

fn constant(interval: Duration, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(interval).unwrap()).with_max_transmissions(transmissions).unwrap()
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
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
