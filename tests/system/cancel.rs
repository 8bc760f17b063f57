//! A cancel from another thread ends one request and no other, and leaves a requester that works as before.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::fault::Direction;
use udp_retry::net::CancelHandle;
use udp_retry::requester::Builder;
use udp_retry::transaction::{Execution, Failure, matching};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{
    ConnectedUdp, Impairments, LossySink, ReliableRequester, RequestError, Seed, any_reply, transaction_id,
};

use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_cancel_ahead_fails_the_next_request_alone_and_nothing_of_it_is_sent() {
    within(MINUTE, || {
        for (builder, by_port) in [(by_id(), false), (by_port(), true)] {
            let server = Server::start(|_| {});
            let mut requester = builder.connect(server.address).unwrap();
            let handle = requester.cancel_handle().unwrap();
            let other = requester.cancel_handle().unwrap();
            let mut ports = BTreeSet::new();
            for n in 0..100_u32 {
                for _ in 0..n % 4 {
                    other.cancel();
                }
                handle.clone().cancel();
                let error = requester.request(b"0000 not to be sent").unwrap_err();
                cancelled_unsent(&error);
                // The server hears everything in order: nothing came before this.
                let request = [n.to_be_bytes(), *b"sent"].concat();
                assert_eq!(requester.request(&request).unwrap().payload(), request);
                assert_eq!(server.heard(), request, "round {n}");
                ports.insert(requester.transport().local_addr(PathIndex::FIRST).unwrap().port());
            }
            if by_port {
                assert_eq!(ports.len(), 100, "without ids each request has a port of its own: {ports:?}");
            } else {
                assert_eq!(ports.len(), 1, "what never left makes no reply that could come late: {ports:?}");
            }
        }
    });
}

#[test]
fn a_reply_that_is_quicker_is_returned_and_the_cancel_hits_the_next_request() {
    within(MINUTE, || {
        let server = Server::start(|_| {});
        let handle: Arc<OnceLock<CancelHandle>> = Arc::default();
        // The latest moment at which the request is still under way: its reply is being looked at.
        let late = handle.clone();
        let matcher = move |request: &[u8], datagram: &[u8]| {
            if let (true, Some(handle)) = (request.starts_with(b"late"), late.get()) {
                handle.cancel();
            }
            request == datagram
        };
        let mut requester = ReliableRequester::connect(server.address, matching(matcher)).unwrap();
        handle.set(requester.cancel_handle().unwrap()).unwrap();
        for _ in 0..100 {
            assert_eq!(requester.request(b"late").unwrap().payload(), b"late");
            cancelled_unsent(&requester.request(b"not to be sent").unwrap_err());
            assert_eq!(requester.request(b"sent").unwrap().payload(), b"sent");
            assert_eq!((server.heard(), server.heard()), (b"late".to_vec(), b"sent".to_vec()));
        }
    });
}

#[test]
fn a_cancel_that_races_with_the_reply_ends_exactly_one_request() {
    within(MINUTE, || {
        for builder in [by_id(), by_port()] {
            let handle: Arc<OnceLock<CancelHandle>> = Arc::default();
            let racing = handle.clone();
            let server = Server::start(move |request| {
                if request.ends_with(b"race") {
                    racing.get().unwrap().cancel();
                }
            });
            let mut requester = builder.connect(server.address).unwrap();
            handle.set(requester.cancel_handle().unwrap()).unwrap();
            for n in 0..500_u32 {
                let request = [n.to_be_bytes(), *b"race"].concat();
                match requester.request(&request) {
                    Ok(reply) => {
                        assert_eq!(reply.payload(), request);
                        // The server may be about to cancel: only what comes after it has told is the next one.
                        server.heard();
                        cancelled_unsent(&requester.request(b"0000 not to be sent").unwrap_err());
                    }
                    Err(error) => {
                        assert_eq!((error.failure(), error.execution()), (Failure::Cancelled, Execution::Unknown));
                        server.heard();
                    }
                }
                let request = [n.to_be_bytes(), *b"next"].concat();
                assert_eq!(requester.request(&request).unwrap().payload(), request, "round {n}");
                assert_eq!(server.heard(), request);
            }
        }
    });
}

#[test]
fn a_long_wait_is_woken_not_sat_out() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        for builder in [by_id(), by_port()] {
            let mut requester = builder.connect(silent.local_addr().unwrap()).unwrap();
            let handle = requester.cancel_handle().unwrap();
            let start = Instant::now();
            let canceller = thread::spawn(move || {
                thread::sleep(50 * MS);
                handle.cancel();
            });
            // The first wait of the default policy is a second at least.
            let error = requester.request(b"0001 anyone?").unwrap_err();
            assert!((50 * MS..450 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
            assert_eq!((error.failure(), error.transmissions()), (Failure::Cancelled, 1));
            assert_eq!((error.execution(), error.is_timeout()), (Execution::Unknown, false));
            assert!(error.to_string().contains(": cancelled (1 transmission, "), "{error}");
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionAborted);
            canceller.join().unwrap();
        }
    });
}

#[test]
fn dropping_handles_changes_nothing_and_what_they_cancelled_stays_so() {
    within(MINUTE, || {
        let server = Server::start(|_| {});
        let mut requester = by_id().connect(server.address).unwrap();
        let handle = requester.cancel_handle().unwrap();
        drop(requester.cancel_handle().unwrap());
        assert!(requester.request(b"0001").is_ok());
        handle.cancel();
        drop(handle);
        cancelled_unsent(&requester.request(b"0002").unwrap_err());
        assert!(requester.request(b"0003").is_ok());
        // One made anew works as the first did.
        let canceller = requester.cancel_handle().unwrap();
        canceller.cancel();
        cancelled_unsent(&requester.request(b"0004").unwrap_err());
        assert!(requester.request(b"0005").is_ok());
    });
}

#[test]
fn a_requester_that_is_gone_holds_no_port_and_cannot_be_cancelled() {
    within(MINUTE, || {
        let server = Server::start(|_| {});
        for cancelled_before in [false, true] {
            let socket = chosen();
            let address = socket.local_addr().unwrap();
            socket.connect(server.address).unwrap();
            let mut requester = by_id().over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
            let handle = requester.cancel_handle().unwrap();
            let clone = handle.clone();
            if cancelled_before {
                handle.cancel();
            }
            drop(requester);
            // While any descriptor of it is open, its port is taken.
            let next = UdpSocket::bind(address).unwrap();
            next.connect(server.address).unwrap();
            handle.cancel();
            clone.cancel();
            let mut next = by_id().over(ConnectedUdp::from_socket(next).unwrap()).unwrap();
            assert!(next.request(b"0001").is_ok(), "whoever has the port now is not meant");
        }
    });
}

#[test]
fn a_bare_transport_says_once_that_it_was_cancelled_and_then_waits_again() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut transport = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        assert!(matches!(looked(&mut transport), Incoming::TimeUp(_)));
        let handle = transport.cancel_handle().unwrap();
        assert!(matches!(looked(&mut transport), Incoming::TimeUp(_)));
        let start = transport.now();
        for wait in [Duration::ZERO, 10 * MS, 10_000 * MS] {
            handle.cancel();
            handle.cancel();
            // Until a wait has taken it, nothing leaves.
            for _ in 0..3 {
                assert_eq!(transport.send(PathIndex::FIRST, b"not"), Err(PathError::Cancelled));
            }
            let now = transport.now();
            assert_eq!(transport.recv(&mut [0; 4], now, now.after(wait)), Incoming::Cancelled);
            assert!(matches!(looked(&mut transport), Incoming::TimeUp(_)), "calls before it took effect count as one");
        }
        assert!(transport.now().since(start) < 5000 * MS);
        let until = transport.now().after(40 * MS);
        assert_eq!(transport.wait(&mut [0; 4], until), Ok(None));
        assert!(transport.now() >= until, "and then it waits again");
        transport.send(PathIndex::FIRST, b"who").unwrap();
        let (_, from) = server.recv_from(&mut [0; 4]).unwrap();
        server.send_to(b"you", from).unwrap();
        let until = transport.now().after(5000 * MS);
        assert_eq!(transport.wait(&mut [0; 4], until).unwrap().map(|heard| heard.len), Some(3));
    });
}

#[test]
fn a_socket_that_is_given_back_works_also_after_a_cancel() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut transport = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let handle = transport.cancel_handle().unwrap();
        handle.cancel();
        let socket = transport.into_socket();
        handle.cancel();
        socket.send(b"who").unwrap();
        let (_, from) = server.recv_from(&mut [0; 4]).unwrap();
        server.send_to(b"you", from).unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).unwrap(), 3);
    });
}

#[test]
fn a_cancel_reaches_through_a_bad_network_also_while_it_holds_datagrams() {
    within(MINUTE, || {
        for (impairments, held) in [("none", false), ("delay 300ms", true)] {
            let server = Server::start(|_| {});
            let impairments: Impairments = impairments.parse().unwrap();
            let transport = ConnectedUdp::connect(server.address).unwrap();
            let lossy = LossySink::new(transport, impairments, Seed::new(7));
            let mut requester = by_id().over(lossy).unwrap();
            let handle = requester.cancel_handle().unwrap();
            for n in 0..2_u8 {
                handle.cancel();
                let error = requester.request(b"0000 not to be sent").unwrap_err();
                if !held {
                    cancelled_unsent(&error);
                } else {
                    // What a bad network delays looks sent; it never leaves all the same.
                    assert_eq!((error.failure(), error.transmissions()), (Failure::Cancelled, 1));
                    assert!(error.elapsed() < 200 * MS, "nothing was waited for: {:?}", error.elapsed());
                    let handle = handle.clone();
                    let canceller = thread::spawn(move || {
                        thread::sleep(10 * MS);
                        handle.cancel();
                    });
                    let error = requester.request(b"held for 300 ms").unwrap_err();
                    assert_eq!((error.failure(), error.transmissions()), (Failure::Cancelled, 1));
                    assert!(error.elapsed() < 250 * MS, "it ended when something was due: {:?}", error.elapsed());
                    canceller.join().unwrap();
                }
                let request = [b'0', b'0', b'1', n];
                assert_eq!(requester.request(&request).unwrap().payload(), request);
                // What follows a cancelled request leaves from a fresh port, where what was held cannot leave any more.
                assert_eq!(server.heard(), request);
                let discarded = requester.transport().stats(Direction::ToServer).discarded;
                assert_eq!(discarded, if held { 2 * u64::from(n + 1) } else { 0 });
            }
        }
    });
}

#[test]
fn a_chosen_port_is_never_given_up_by_a_cancel() {
    within(MINUTE, || {
        let server = Server::start(|_| {});
        let socket = chosen();
        let address = socket.local_addr().unwrap();
        socket.connect(server.address).unwrap();
        let mut requester = by_id().over(ConnectedUdp::from_socket(socket).unwrap()).unwrap();
        let handle = requester.cancel_handle().unwrap();
        // A thief that never tires: if the port were free for a moment, it would be his.
        let over = Arc::new(AtomicBool::new(false));
        let thief = {
            let over = over.clone();
            thread::spawn(move || {
                let mut tries = 0_u32;
                while !over.load(Relaxed) {
                    let stolen = UdpSocket::bind(address).map(drop);
                    assert_eq!(stolen.unwrap_err().kind(), io::ErrorKind::AddrInUse);
                    tries += 1;
                }
                tries
            })
        };
        for n in 0..200_u32 {
            handle.cancel();
            cancelled_unsent(&requester.request(b"0000 not to be sent").unwrap_err());
            let request = [n.to_be_bytes(), *b"sent"].concat();
            assert_eq!(requester.request(&request).unwrap().payload(), request);
            assert_eq!(requester.transport().local_addr(), address);
        }
        over.store(true, Relaxed);
        assert!(thief.join().unwrap() > 100, "no thief was there");
    });
}

/// What a wait that has ended already finds.
fn looked(transport: &mut ConnectedUdp) -> Incoming<PathIndex> {
    let now = transport.now();
    transport.recv(&mut [0; 4], now, now)
}

#[track_caller]
fn cancelled_unsent(error: &RequestError) {
    assert_eq!((error.failure(), error.transmissions()), (Failure::Cancelled, 0));
    assert_eq!(error.execution(), Execution::NotSent);
    assert!(error.elapsed() < 500 * MS, "nothing was waited for: {:?}", error.elapsed());
}

/// Answers each datagram with itself, tells `then` about it, and then the test.
struct Server {
    address: SocketAddr,
    heard: mpsc::Receiver<Vec<u8>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(then: impl Fn(&[u8]) + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (tell, heard) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            loop {
                // An error is news of a client whose port is closed by now.
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let request = &buffer[..len];
                if request == END {
                    return;
                }
                let _ = socket.send_to(request, from);
                then(request);
                let _ = tell.send(request.to_vec());
            }
        });
        Self { address, heard, thread: Some(thread) }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.recv_timeout(10_000 * MS).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(END, self.address).unwrap();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4))
}

fn by_port() -> Builder {
    ReliableRequester::builder(any_reply())
}

/// On a port that is asked for by its number: below those that the system picks from, so that no other test gets it
/// while it is free for a moment.
fn chosen() -> UdpSocket {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = 10_000 + (std::process::id() * 64 + NEXT.fetch_add(1, Relaxed)) % 10_000;
        if let Ok(socket) = UdpSocket::bind(("127.0.0.1", port.try_into().unwrap())) {
            return socket;
        }
    }
}

const END: &[u8] = b"end";
