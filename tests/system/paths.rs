//! A client's end with a path to each of several servers, over loopback: whose datagrams and errors are whose, what a wait
//! is for, and what one path does to the others.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::{Cancel, UdpPaths};
use udp_retry::servers::Paths;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ReliableRequester, transaction_id};

use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(20);
const A: PathIndex = PathIndex::FIRST;
const B: PathIndex = PathIndex::new(1);
const C: PathIndex = PathIndex::new(2);

#[test]
fn replies_of_every_path_come_with_its_number() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(3);
        for round in 0..4 {
            for path in [C, A, B] {
                client.send(path, &[path.number() as u8, round]).unwrap();
            }
            for path in [B, C, A] {
                answer(&servers[path.number() as usize]);
                let said = [path.number() as u8, round].to_vec();
                assert_eq!(client.expect(LONG), Came::Datagram(path, said), "round {round}");
            }
        }
    });
}

#[test]
fn a_socket_is_made_when_its_path_is_first_asked() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(3);
        let ports = |client: &UdpPaths| [A, B, C].map(|path| client.local_addr(path).map(|local| local.port()));
        assert_eq!((client.len(), client.open_paths()), (3, Paths::first(1)));
        assert!(matches!(ports(&client), [Some(_), None, None]));
        assert_eq!([A, B, C].map(|path| client.address(path)), [0, 1, 2].map(|n| servers[n].local_addr().ok()));
        client.send(C, b"ping").unwrap();
        let [Some(a), None, Some(c)] = ports(&client) else { panic!("{:?}", ports(&client)) };
        assert_ne!(a, c);
        assert_eq!(answer(&servers[2]).port(), c);
        assert_eq!(client.open_paths(), Paths::first(1).with(C));
        assert_eq!(client.renew(B, Renewal::Advised), Ok(Renewed::FreshPort));
        assert_eq!(client.open_paths(), Paths::first(3));
    });
}

#[test]
fn a_path_that_there_is_not_is_an_error_and_no_panic() {
    within(MINUTE, || {
        let (mut client, _servers) = client_of(2);
        for path in [C, PathIndex::new(63), PathIndex::new(64), PathIndex::new(u32::MAX)] {
            assert_eq!(client.send(path, b"ping"), Err(PathError::Unsupported));
            assert_eq!(client.renew(path, Renewal::Required), Err(PathError::Unsupported));
            assert_eq!((client.address(path), client.local_addr(path), client.max_plpmtu(path)), (None, None, None));
        }
        assert_eq!(client.expect(MS), Came::Nothing);
    });
}

#[test]
fn one_to_sixty_four_addresses_are_taken_each_once() {
    let addresses = |count: u16| (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect::<Vec<_>>();
    assert_eq!(UdpPaths::connect(&addresses(64)).unwrap().len(), 64);
    let twice: Vec<_> = addresses(64).into_iter().chain(addresses(64)).collect();
    assert_eq!(UdpPaths::connect(&twice).unwrap().len(), 64);
    let twice = ["127.0.0.1:9", "[::ffff:127.0.0.1]:9", "127.0.0.1:8", "127.0.0.1:9"].map(|it| it.parse().unwrap());
    let twice = UdpPaths::connect(&twice).unwrap();
    assert_eq!([A, B, C].map(|path| twice.address(path).map(|address| address.port())), [Some(9), Some(8), None]);
    for wrong in [addresses(65), vec![]] {
        assert_eq!(UdpPaths::connect(&wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_refusal_is_that_of_its_path() {
    within(MINUTE, || {
        let (mut client, mut servers) = client_of(3);
        drop(servers.remove(1));
        for path in [A, B, C] {
            client.send(path, b"ping").unwrap();
        }
        let quoted = if cfg!(all(target_os = "linux", not(udp_retry_portable))) { 4 } else { 0 };
        assert_eq!(client.expect(LONG), Came::Error(Some(B), PathError::Refused, quoted));
        answer(&servers[1]);
        assert_eq!(client.expect(LONG), Came::Datagram(C, b"ping".to_vec()));
        assert_eq!(client.expect(20 * MS), Came::Nothing);
    });
}

/// What a send meets that was an earlier datagram's is kept, and no poll reports it.
#[test]
#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
fn an_error_that_a_send_swallowed_is_reported_without_a_wait() {
    within(MINUTE, || {
        for alone in [false, true] {
            let (mut client, mut servers) = client_of(2);
            client.renew(A, Renewal::Advised).unwrap();
            client.renew(B, Renewal::Advised).unwrap();
            if !alone {
                client.send(B, b"ping").unwrap();
            }
            drop(servers.remove(0));
            client.send(A, b"first").unwrap();
            client.send(A, b"second").unwrap();
            let start = Instant::now();
            assert_eq!(client.expect(LONG), Came::Error(Some(A), PathError::Refused, 5), "alone: {alone}");
            assert!(start.elapsed() < LONG / 2);
            assert_eq!(client.expect(LONG), Came::Error(Some(A), PathError::Refused, 6), "alone: {alone}");
        }
    });
}

#[test]
fn an_address_that_the_system_refuses_fails_its_own_sends_alone() {
    within(MINUTE, || {
        // A broadcast, for which a socket would need permission: so to any host, whatever its routes.
        let refused: SocketAddr = "255.255.255.255:9".parse().unwrap();
        let server = bound();
        let good = server.local_addr().unwrap();
        for (servers, refused, good) in [([refused, good], A, B), ([good, refused], B, A)] {
            let mut client = UdpPaths::connect(&servers).unwrap();
            for _ in 0..3 {
                assert!(client.send(refused, b"ping").is_err(), "again");
                assert!(client.renew(refused, Renewal::Advised).is_err());
                assert_eq!(client.local_addr(refused), None);
                client.send(good, b"pong").unwrap();
                answer(&server);
                assert_eq!(client.expect(LONG), Came::Datagram(good, b"pong".to_vec()));
            }
        }
        // Without any socket there is nothing but time, and cancellation.
        let mut client = UdpPaths::connect(&[refused]).unwrap();
        assert_eq!(client.expect(20 * MS), Came::Nothing);
        client.cancel_handle().unwrap().cancel();
        assert_eq!((client.send(A, b"ping"), client.expect(LONG)), (Err(PathError::Cancelled), Came::Cancelled));
        let (handle, start) = (client.cancel_handle().unwrap(), Instant::now());
        let canceller = thread::spawn(move || {
            thread::sleep(30 * MS);
            handle.cancel();
        });
        assert_eq!(client.expect(LONG), Came::Cancelled);
        assert!(start.elapsed() < LONG / 2);
        canceller.join().unwrap();
    });
}

#[test]
fn a_cancel_ends_a_wait_for_one_path_or_for_three_and_is_taken_once() {
    within(MINUTE, || {
        for asked in [&[A][..], &[A, B, C]] {
            for handle_first in [true, false] {
                let (mut client, _servers) = client_of(3);
                let early = handle_first.then(|| Cancel::cancel_handle(&mut client).unwrap());
                for &path in asked {
                    client.send(path, b"ping").unwrap();
                }
                let handle = early.unwrap_or_else(|| client.cancel_handle().unwrap());
                for _ in 0..3 {
                    let start = Instant::now();
                    let canceller = thread::spawn({
                        let handle = handle.clone();
                        move || {
                            thread::sleep(30 * MS);
                            handle.cancel();
                        }
                    });
                    assert_eq!(client.expect(LONG), Came::Cancelled);
                    assert!(start.elapsed() < LONG / 2);
                    canceller.join().unwrap();
                    assert_eq!(client.expect(10 * MS), Came::Nothing, "taken once");
                    // Ahead: nothing leaves, on a path that is open or not.
                    handle.cancel();
                    for path in [A, C] {
                        assert_eq!(client.send(path, b"not to be sent"), Err(PathError::Cancelled));
                    }
                    assert_eq!(client.open_paths().contains(C), asked.contains(&C), "nothing is opened for it");
                    assert_eq!(client.expect(LONG), Came::Cancelled);
                    assert_eq!(client.expect(Duration::ZERO), Came::Nothing);
                }
            }
        }
    });
}

#[test]
fn a_wait_for_three_ends_when_it_should_and_never_before() {
    within(MINUTE, || {
        let (mut client, _servers) = client_of(3);
        for path in [A, B, C] {
            client.send(path, b"ping").unwrap();
        }
        for wait in [MS / 1000, MS / 2, MS, 7 * MS, 60 * MS, 300 * MS] {
            let (now, mut late) = (client.now(), Duration::MAX);
            let until = now.after(wait);
            let Incoming::TimeUp(at) = client.recv(&mut [0; 4], now, until) else { panic!("no one sent anything") };
            assert!(at >= until, "{wait:?} ended early");
            for _ in 0..20 {
                let until = client.now().after(wait / 20);
                client.recv(&mut [0; 4], client.now(), until);
                late = late.min(client.now().since(until));
            }
            assert!(late < 2 * MS, "{wait:?}: each ended {late:?} late or more");
        }
        let start = Instant::now();
        assert_eq!(client.expect(Duration::ZERO), Came::Nothing);
        assert!(start.elapsed() < 50 * MS, "in the past");
    });
}

#[test]
fn a_moment_in_the_past_never_waits_but_takes_what_is_queued_on_any_path() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(3);
        for path in [A, B, C] {
            client.send(path, &[path.number() as u8]).unwrap();
        }
        for server in &servers {
            answer(server);
        }
        let came = sorted([(); 3].map(|()| client.expect(Duration::ZERO)));
        assert_eq!(came, [A, B, C].map(|path| Came::Datagram(path, vec![path.number() as u8])));
        assert_eq!(client.expect(Duration::ZERO), Came::Nothing);
    });
}

#[test]
fn a_flood_on_one_path_keeps_no_other_from_being_seen() {
    within(MINUTE, || {
        for flooded in [A, B, C] {
            let (mut client, servers) = client_of(3);
            for path in [A, B, C] {
                client.send(path, b"ping").unwrap();
            }
            let mut buffer = [0; 8];
            let to: Vec<_> = servers.iter().map(|server| server.recv_from(&mut buffer).unwrap().1).collect();
            let ended = &AtomicBool::new(false);
            thread::scope(|scope| {
                let (flood, to_flooded) = (&servers[flooded.number() as usize], to[flooded.number() as usize]);
                scope.spawn(move || {
                    while !ended.load(Ordering::Relaxed) {
                        let _ = flood.send_to(b"flood", to_flooded);
                    }
                });
                let _end = End(ended);
                while client.expect(LONG) == Came::Nothing {}
                for path in [A, B, C].into_iter().filter(|&path| path != flooded) {
                    for round in 0..20 {
                        // The queue of the other holds more than can be read meanwhile, or is refilled at once.
                        for _ in 0..100 {
                            flood.send_to(b"flood", to_flooded).unwrap();
                        }
                        servers[path.number() as usize].send_to(&[round], to[path.number() as usize]).unwrap();
                        let before = (0..).find(|_| client.expect(LONG) == Came::Datagram(path, vec![round])).unwrap();
                        assert!(before <= 2, "{before} others came first");
                    }
                }
            });
        }
    });
}

#[test]
fn a_renewal_of_one_path_leaves_the_others_as_they_are() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(3);
        for path in [A, B, C] {
            client.send(path, &[path.number() as u8]).unwrap();
        }
        let clients: Vec<_> = servers.iter().map(answer).collect();
        assert_eq!(client.renew(B, Renewal::Advised), Ok(Renewed::FreshPort));
        let ports = [A, B, C].map(|path| client.local_addr(path).unwrap().port());
        assert_eq!((ports[0], ports[2]), (clients[0].port(), clients[2].port()));
        assert_ne!(ports[1], clients[1].port());
        servers[1].send_to(b"to the old port", clients[1]).unwrap();
        let came = sorted([(); 2].map(|()| client.expect(LONG)));
        assert_eq!(came, [A, C].map(|path| Came::Datagram(path, vec![path.number() as u8])));
        assert_eq!(client.expect(20 * MS), Came::Nothing);
        client.send(B, b"from the new one").unwrap();
        answer(&servers[1]);
        assert_eq!(client.expect(LONG), Came::Datagram(B, b"from the new one".to_vec()));
    });
}

/// By then only the second path is waited for, unless a wait ends in vain.
#[test]
fn what_comes_late_on_a_path_out_of_play_is_seen_within_a_second() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(2);
        client.send(A, b"late").unwrap();
        let (_, late) = servers[0].recv_from(&mut [0; 8]).unwrap();
        assert_eq!(client.expect(10 * MS), Came::Nothing);
        let exchange = |client: &mut UdpPaths| {
            client.send(B, b"ping").unwrap();
            answer(&servers[1]);
            client.expect(LONG)
        };
        let pong = Came::Datagram(B, b"ping".to_vec());
        assert_eq!(exchange(&mut client), pong);
        thread::sleep(1100 * MS);
        assert_eq!(exchange(&mut client), pong);
        servers[0].send_to(b"late", late).unwrap();
        let start = Instant::now();
        let seen = (0..).find(|_| exchange(&mut client) == Came::Datagram(A, b"late".to_vec())).unwrap();
        assert!(start.elapsed() < 1500 * MS, "after {seen} exchanges, {:?}", start.elapsed());
        while client.expect(Duration::ZERO) != Came::Nothing {}
        // A wait that the other one does not end.
        thread::sleep(1100 * MS);
        assert_eq!(exchange(&mut client), pong);
        client.send(B, b"silence").unwrap();
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(50 * MS);
                servers[0].send_to(b"late", late).unwrap();
            });
            assert_eq!(client.expect(LONG), Came::Datagram(A, b"late".to_vec()));
        });
        assert!(start.elapsed() < 1500 * MS, "{:?}", start.elapsed());
    });
}

/// A request whose later rounds are far apart.
#[test]
fn after_a_wait_in_vain_a_reply_of_any_path_ends_every_wait_at_once() {
    within(MINUTE, || {
        let (mut client, servers) = client_of(3);
        for path in [A, B, C] {
            client.send(path, b"ping").unwrap();
            assert_eq!(client.expect(10 * MS), Came::Nothing);
        }
        thread::sleep(1100 * MS);
        client.send(C, b"ping").unwrap();
        for path in [A, B] {
            let server = &servers[path.number() as usize];
            let start = Instant::now();
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(20 * MS);
                    answer(server);
                });
                assert_eq!(client.expect(LONG), Came::Datagram(path, b"ping".to_vec()));
            });
            assert!(start.elapsed() < 300 * MS, "{:?}", start.elapsed());
        }
    });
}

#[test]
fn arrival_times_are_had_on_every_path() {
    within(MINUTE, || {
        const STOPPED: Duration = Duration::from_millis(200);
        let servers = [bound(), bound()];
        let addresses = servers.each_ref().map(|server| server.local_addr().unwrap());
        let mut client = UdpPaths::connect(&addresses).unwrap().with_arrival_times();
        client.send(A, b"open").unwrap();
        client.send(B, b"open").unwrap();
        for server in &servers {
            server.recv_from(&mut [0; 8]).unwrap();
        }
        // The system begins to note them a moment after it was asked.
        thread::sleep(STOPPED);
        for path in [A, B] {
            let sent = client.now();
            client.send(path, b"ping").unwrap();
            answer(&servers[path.number() as usize]);
            thread::sleep(STOPPED);
            let Incoming::Datagram(received) = client.recv(&mut [0; 8], sent, sent.after(LONG)) else { panic!() };
            let noted = cfg!(all(target_os = "linux", not(udp_retry_portable)));
            let after = received.at.since(sent);
            assert!(if noted { after < STOPPED / 2 } else { after >= STOPPED }, "{path}: {after:?}");
        }
    });
}

#[test]
fn a_requester_runs_over_one_path_as_over_a_socket() {
    within(MINUTE, || {
        let server = bound();
        let client = UdpPaths::connect(&[server.local_addr().unwrap()]).unwrap();
        let answering = thread::spawn(move || {
            for _ in 0..50 {
                answer(&server);
            }
        });
        let mut requester = ReliableRequester::builder(transaction_id(0..4).stamped()).over(client).unwrap();
        for _ in 0..50 {
            assert_eq!(requester.request(b"....ping").unwrap().payload()[4..], *b"ping");
        }
        answering.join().unwrap();
        requester.cancel_handle().unwrap().cancel();
        assert!(requester.request(b"....not to be sent").is_err());
    });
}

/// What a wait came to, as it is compared.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Came {
    Datagram(PathIndex, Vec<u8>),
    Error(Option<PathIndex>, PathError, usize),
    Nothing,
    Cancelled,
}

pub(crate) trait Expects {
    fn expect(&mut self, wait: Duration) -> Came;
}

impl Expects for UdpPaths {
    fn expect(&mut self, wait: Duration) -> Came {
        let (mut buffer, now) = ([0; 2048], self.now());
        let until = if wait.is_zero() { Timestamp::ZERO } else { now.after(wait) };
        match self.recv(&mut buffer, now, until) {
            Incoming::Datagram(received) => Came::Datagram(received.from, buffer[..received.len].to_vec()),
            Incoming::PathError { path, error, quoted } => Came::Error(path, error, quoted),
            Incoming::TimeUp(_) => Came::Nothing,
            Incoming::Cancelled => Came::Cancelled,
        }
    }
}

struct End<'e>(&'e AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn client_of(count: usize) -> (UdpPaths, Vec<UdpSocket>) {
    let servers: Vec<_> = (0..count).map(|_| bound()).collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.local_addr().unwrap()).collect();
    (UdpPaths::connect(&addresses).unwrap(), servers)
}

/// In no order.
fn sorted<const N: usize>(mut came: [Came; N]) -> [Came; N] {
    came.sort_by_key(|came| format!("{came:?}"));
    came
}

pub(crate) fn bound() -> UdpSocket {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    server
}

/// Sends one datagram back; who had sent it.
pub(crate) fn answer(server: &UdpSocket) -> SocketAddr {
    let mut buffer = [0; 2048];
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..len], from).unwrap();
    from
}
