//! When a request leaves from a fresh port, and when it must not, over real sockets: what a server sees of it.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::UdpPaths;
use udp_retry::policy::Backoff;
use udp_retry::requester::Builder;
use udp_retry::transaction::{Failure, Request};
use udp_retry::transport::PathIndex;
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::hosts::{Server, echo};
use crate::ports::free_port;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const SILENT: &[u8] = b"0001 silent";

#[test]
fn after_a_timeout_or_a_cancellation_an_own_socket_leaves_from_a_fresh_port() {
    within(MINUTE, || {
        let server = server();
        for ends in [timed_out as fn(&mut ReliableRequester), cancelled] {
            let mut requester = by_id().connect(server.address).unwrap();
            ends(&mut requester);
            let [before, after] = ports_around(&server, &mut requester);
            assert_ne!(before, after);
            answered(&mut requester, "0003 next");
            assert_eq!(one(&server.ports()), after, "once");
        }
        // What never left tells nothing.
        let mut requester = by_id().connect(server.address).unwrap();
        answered(&mut requester, "0001 first");
        requester.cancel_handle().unwrap().cancel();
        assert_eq!(requester.request(SILENT).unwrap_err().failure(), Failure::Cancelled);
        stays(&server, &mut requester);
    });
}

#[test]
fn the_same_bytes_leave_from_the_same_port() {
    within(MINUTE, || {
        let server = server();
        let mut requester = by_id().connect(server.address).unwrap();
        timed_out(&mut requester);
        let port = one(&server.ports());
        for _ in 0..3 {
            timed_out(&mut requester);
            assert_eq!(one(&server.ports()), port);
        }
        timed_out(&mut requester);
        let [before, after] = ports_around(&server, &mut requester);
        assert_ne!(before, after, "it is still due");
    });
}

#[test]
fn the_port_stays_where_it_is_somebodys_choice() {
    within(MINUTE, || {
        let server = server();
        let given = |port| {
            let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
            socket.connect(server.address).unwrap();
            by_id().over(UdpPaths::from(ConnectedUdp::from_socket(socket).unwrap())).unwrap()
        };
        let lent = by_id().connect(server.address).unwrap();
        let _ = lent.transport().socket(PathIndex::FIRST).unwrap().as_socket();
        let kept = by_id().keep_port().connect(server.address).unwrap();
        for mut requester in [given(free_port()), given(0), lent, kept] {
            for ends in [timed_out as fn(&mut ReliableRequester), cancelled] {
                ends(&mut requester);
                stays(&server, &mut requester);
            }
        }
    });
}

#[test]
fn a_refusal_keeps_the_port() {
    within(MINUTE, || {
        let peer = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut requester = by_id().connect(peer).unwrap();
        assert_eq!(requester.request(b"0001 refused").unwrap_err().failure(), Failure::Refused);
        let before = requester.transport().local_addr(PathIndex::FIRST).unwrap().port();
        let server = Server::new(UdpSocket::bind(peer).unwrap(), echo);
        answered(&mut requester, "0002 there");
        assert_eq!(one(&server.ports()), before);
    });
}

#[test]
fn a_stale_mapping_of_a_nat_is_left_after_one_request_in_vain() {
    within(MINUTE, || {
        let nat = Nat::new();
        let mut requester = by_id().connect(nat.0.address).unwrap();
        let mut answers = Vec::new();
        for n in 0..8 {
            let reply = requester.request(format!("{n:04}").as_bytes()).map(|reply| reply.payload()[4..].to_vec());
            answers.push(reply.map_or_else(|_| "none".into(), |by| String::from_utf8(by).unwrap()));
        }
        assert_eq!(answers, ["first", "first", "first", "none", "second", "second", "second", "second"]);
        // A caller who keeps the port keeps the mapping.
        let nat = Nat::new();
        let mut requester = by_id().keep_port().connect(nat.0.address).unwrap();
        let ended = (0..8).map(|n| requester.request(format!("{n:04}").as_bytes()).is_ok());
        assert_eq!(ended.filter(|&answered| answered).count(), 3);
        // Without ids each request makes a mapping of its own.
        let nat = Nat::new();
        let mut requester = ReliableRequester::builder(any_reply()).policy(soon()).connect(nat.0.address).unwrap();
        assert!((0..8).all(|n| requester.request(format!("{n:04}").as_bytes()).is_ok()));
    });
}

/// Stands for a NAT before two servers: a client's port stays with its server for as long as it sends, and the first
/// server dies after its third answer, whereupon new ports get the second.
struct Nat(Server);

impl Nat {
    fn new() -> Self {
        let mut mappings = BTreeMap::new();
        let mut answers = 0;
        Self(Server::answering(UdpSocket::bind("127.0.0.1:0").unwrap(), move |socket, from, datagram| {
            let now = Instant::now();
            let (first, used) = mappings.entry(from).or_insert((answers < 3, now));
            if now.duration_since(*used) > 1500 * MS {
                *first = answers < 3;
            }
            *used = now;
            let by: &[u8] = match *first {
                true if answers >= 3 => return,
                true => b"first",
                false => b"second",
            };
            answers += u32::from(*first);
            socket.send_to(&[&datagram[..4], by].concat(), from).unwrap();
        }))
    }
}

fn timed_out(requester: &mut ReliableRequester) {
    assert!(requester.request(SILENT).unwrap_err().is_timeout());
}

fn cancelled(requester: &mut ReliableRequester) {
    let handle = requester.cancel_handle().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(20 * MS);
            handle.cancel();
        });
        let request = Request::new(SILENT).policy(&RetryPolicy::LAN);
        assert_eq!(requester.request(request).unwrap_err().failure(), Failure::Cancelled);
    });
}

#[track_caller]
fn answered(requester: &mut ReliableRequester, text: &str) {
    let request = Request::new(text.as_bytes()).policy(&RetryPolicy::LAN);
    assert_eq!(requester.request(request).unwrap().payload(), text.as_bytes());
}

/// The port that the latest datagram came from, and that of a request after it.
#[track_caller]
fn ports_around(server: &Server, requester: &mut ReliableRequester) -> [u16; 2] {
    let before = *server.ports().last().unwrap();
    answered(requester, "0002 other");
    [before, one(&server.ports())]
}

/// The port that all came from.
#[track_caller]
fn one(ports: &[u16]) -> u16 {
    assert!(ports.iter().all(|port| port == &ports[0]), "{ports:?}");
    ports[0]
}

#[track_caller]
fn stays(server: &Server, requester: &mut ReliableRequester) {
    let [before, after] = ports_around(server, requester);
    assert_eq!(before, after);
}

fn server() -> Server {
    Server::new(UdpSocket::bind("127.0.0.1:0").unwrap(), echo)
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(soon())
}

fn soon() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(200 * MS).unwrap()).with_max_transmissions(2).unwrap()
}
