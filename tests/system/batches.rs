//! Several datagrams that leave in one system call. Over loopback such a batch arrives as one, too, where the receiver asks
//! for that (`UDP_GRO`); so each test sees what left together.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::{Timestamping, UdpGroSegment};
use nix::sys::socket::{TimestampingFlag, setsockopt};
use udp_retry::net::{UdpPaths, UnconnectedUdp};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ConcurrentRequester, ConnectedUdp, transaction_id};

use crate::ports::free_port;
use crate::watchdog::{MINUTE, within};

const FIRST: PathIndex = PathIndex::FIRST;
const LONG: Duration = Duration::from_secs(20);

#[test]
fn datagrams_of_one_length_leave_together() {
    within(MINUTE, || {
        let server = Merging::bind();
        let given = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut own = server.answering(ConnectedUdp::connect(server.address).unwrap());
        let connected = given();
        connected.connect(server.address).unwrap();
        let mut lent = server.answering(ConnectedUdp::from_socket(connected).unwrap());
        let mut paths = server.answering(UdpPaths::connect(&[server.address]).unwrap());
        let mut unconnected = UnconnectedUdp::from_socket(given()).unwrap();
        let mut bound = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        for (lens, expected) in [
            (&[32; 16][..], &[512][..]),
            // The last may be shorter; what follows begins anew.
            (&[32, 32, 32, 20, 32, 32, 32], &[116, 96]),
            (&[32, 32, 32, 33, 33, 33], &[96, 99]),
            (&[1232, 1232, 1232], &[3696]),
            // Not every path carries these whole.
            (&[1233, 1233, 1233], &[1233, 1233, 1233]),
            (&[32], &[32]),
            (&[0, 0, 0], &[0, 0, 0]),
            (&[10; 100], &[640, 360]),
            (&[], &[]),
        ] {
            let sent = datagrams(lens);
            let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
            let all = (lens.len(), Ok(()));
            let check = |what: &str, result| {
                assert_eq!(result, all, "{what}: {lens:?}");
                let arrived = server.receive(expected.len());
                assert_eq!(arrived.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{what}: {lens:?}");
                assert_eq!(arrived.concat(), sent.concat(), "{what}");
            };
            check("own", own.send_many(FIRST, &sent));
            check("given", lent.send_many(FIRST, &sent));
            check("a path of several", paths.send_many(FIRST, &sent));
            check("given, unconnected", unconnected.send_many(server.address.into(), &sent));
            check("unconnected", bound.send_many(server.address.into(), &sent));
        }
    });
}

#[test]
fn they_arrive_one_by_one_where_no_one_asks_for_more() {
    within(MINUTE, || {
        let server = UdpSocket::bind("[::1]:0").unwrap();
        server.set_read_timeout(Some(LONG)).unwrap();
        let mut client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let sent = datagrams(&[100; 50]);
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        assert_eq!(client.send_many(FIRST, &slices), (50, Ok(())));
        for expected in sent {
            let mut buffer = [0; 200];
            let len = server.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], expected);
        }
    });
}

#[test]
fn where_others_have_transmissions_timed_each_leaves_alone() {
    within(MINUTE, || {
        let server = Merging::bind();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address).unwrap();
        setsockopt(&socket, Timestamping, &TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE).unwrap();
        let mut client = server.answering(ConnectedUdp::from_socket(socket).unwrap());
        let sent = datagrams(&[32; 4]);
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        assert_eq!(client.send_many(FIRST, &slices), (4, Ok(())));
        assert_eq!(server.receive(4), sent);
    });
}

/// The kernel reports a refusal on the next call, whichever that is, and sends nothing by it.
#[test]
fn an_earlier_refusal_costs_a_batch_nothing_and_is_reported() {
    within(MINUTE, || {
        let server = Merging::bind();
        let address = server.address;
        let mut client = server.answering(ConnectedUdp::connect(address).unwrap());
        drop(server);
        client.send(FIRST, b"refused").unwrap();
        let server = Merging::at(address);
        let sent = datagrams(&[32; 16]);
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        assert_eq!(client.send_many(FIRST, &slices), (16, Ok(())));
        assert_eq!(server.receive(2).concat(), sent.concat());
        let (mut buffer, now) = ([0; 64], client.now());
        let incoming = client.recv(&mut buffer, now, now);
        let expected = Incoming::PathError { path: Some(FIRST), error: PathError::Refused, quoted: 7 };
        assert_eq!((incoming, &buffer[..7]), (expected, &b"refused"[..]));
        // Each alone again, until it answers.
        assert_eq!(client.send_many(FIRST, &slices), (16, Ok(())));
        assert_eq!(server.receive(16), sent);
    });
}

/// A host may refuse all that left together by one message.
#[test]
fn before_a_peer_has_answered_each_leaves_alone() {
    within(MINUTE, || {
        let server = Merging::bind();
        let mut client = ConnectedUdp::connect(server.address).unwrap();
        let sent = datagrams(&[32; 4]);
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        for expected in [4, 1] {
            assert_eq!(client.send_many(FIRST, &slices), (4, Ok(())));
            assert_eq!(server.receive(expected).concat(), sent.concat());
            client = server.answering(client);
        }
    });
}

#[test]
fn nothing_of_a_batch_leaves_while_a_cancellation_waits() {
    within(MINUTE, || {
        let server = Merging::bind();
        let mut connected = ConnectedUdp::connect(server.address).unwrap();
        let mut unconnected = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let mut paths = UdpPaths::connect(&[server.address]).unwrap();
        connected.cancel_handle().unwrap().cancel();
        unconnected.cancel_handle().unwrap().cancel();
        paths.cancel_handle().unwrap().cancel();
        let both: [&[u8]; 2] = [b"one", b"two"];
        assert_eq!(connected.send_many(FIRST, &both), (0, Err(PathError::Cancelled)));
        assert_eq!(unconnected.send_many(server.address.into(), &both), (0, Err(PathError::Cancelled)));
        assert_eq!(paths.send_many(FIRST, &both), (0, Err(PathError::Cancelled)));
        assert!(server.is_empty());
    });
}

#[test]
fn requests_that_are_ready_together_leave_in_batches() {
    within(MINUTE, || {
        let server = Merging::bind();
        let address = server.address;
        let counting = thread::spawn(move || {
            let mut arrivals = Vec::new();
            while arrivals.iter().sum::<usize>() < 65 * 32 {
                let (from, merged) = server.next();
                for request in merged.chunks(32) {
                    server.socket.send_to(request, from).unwrap();
                }
                arrivals.push(merged.len());
            }
            arrivals
        });
        let mut requester = ConcurrentRequester::builder(transaction_id(0..8).stamped()).connect(address).unwrap();
        requester.submit(&[99; 32], 99).unwrap();
        assert!(requester.wait().unwrap().reply().is_ok());
        for number in 0..64 {
            requester.submit(&[number; 32], number.into()).unwrap();
        }
        while let Some(done) = requester.wait() {
            assert_eq!(done.reply().unwrap()[8..], [u8::try_from(done.token()).unwrap(); 24]);
        }
        assert_eq!(counting.join().unwrap(), [32, 512, 512, 512, 512]);
    });
}

/// A receiver for which the kernel keeps together what left together.
struct Merging {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Merging {
    fn bind() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], free_port())))
    }

    fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        setsockopt(&socket, UdpGroSegment, &true).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// Once it has answered this client.
    fn answering<T: Transport<Peer = PathIndex>>(&self, mut client: T) -> T {
        client.send(FIRST, b"ping").unwrap();
        let (from, ping) = self.next();
        self.socket.send_to(&ping, from).unwrap();
        let now = client.now();
        let incoming = client.recv(&mut [0; 64], now, now.after(LONG));
        assert!(matches!(incoming, Incoming::Datagram(_)), "{incoming:?}");
        client
    }

    fn next(&self) -> (SocketAddr, Vec<u8>) {
        let mut buffer = vec![0; 1 << 16];
        let (len, from) = self.socket.recv_from(&mut buffer).unwrap();
        buffer.truncate(len);
        (from, buffer)
    }

    fn receive(&self, arrivals: usize) -> Vec<Vec<u8>> {
        let received = (0..arrivals).map(|_| self.next().1).collect();
        assert!(self.is_empty());
        received
    }

    fn is_empty(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let is_empty = self.socket.peek(&mut [0]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        is_empty
    }
}

/// Each with bytes of its own.
fn datagrams(lens: &[usize]) -> Vec<Vec<u8>> {
    (1..).zip(lens).map(|(number, &len)| vec![number; len]).collect()
}
