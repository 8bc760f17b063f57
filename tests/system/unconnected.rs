//! A server's end: what it reports of a datagram, and how its waits end. From which address it answers: `own_address.rs`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets, threads and clocks are used")]

#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_retry::net::{Cancel, UnconnectedUdp};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Route, Transport};
use udp_retry::{ConnectedUdp, Impairments, LossySink, Seed};

use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_datagram_is_reported_with_its_true_length_wherever_the_server_listens() {
    within(MINUTE, || {
        for (bound, asked) in [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
            let mut server = UnconnectedUdp::bind(bound).unwrap();
            let client = UdpSocket::bind((asked, 0)).unwrap();
            for (sent, space) in [(10, 3), (10, 10), (10, 20), (0, 5), (7, 0), (60_000, 1000)] {
                client.send_to(&vec![b'x'; sent], (asked, server.local_addr().port())).unwrap();
                let mut buffer = vec![0; space];
                let received = server.wait(&mut buffer, server.now().after(LONG)).unwrap().unwrap();
                assert_eq!((received.len, received.actual), (sent.min(space), sent), "{bound}");
                assert_eq!(received.from.remote, client.local_addr().unwrap());
                assert!(buffer[..received.len].iter().all(|&byte| byte == b'x'));
            }
        }
    });
}

#[test]
fn a_server_at_one_address_has_that_address_in_every_route() {
    within(MINUTE, || {
        let mut server = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"ping", server.local_addr()).unwrap();
        let received = server.wait(&mut [0; 9], server.now().after(LONG)).unwrap().unwrap();
        assert_eq!(received.from, Route::new(client.local_addr().unwrap(), server.local_addr()));
        assert_eq!(received.from, server.route_to(client.local_addr().unwrap()));
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
fn clones_of_a_server_share_what_comes_and_answer_from_one_port() {
    within(MINUTE, || {
        const DATAGRAMS: usize = 200;
        let mut server = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let mut clone = server.try_clone().unwrap();
        let stops = [server.cancel_handle().unwrap(), clone.cancel_handle().unwrap()];
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        thread::scope(|scope| {
            let ends = [server, clone].map(|mut end| {
                scope.spawn(move || {
                    let (mut buffer, mut taken) = ([0; 8], 0);
                    loop {
                        match end.recv(&mut buffer, end.now(), Timestamp::MAX) {
                            Incoming::Datagram(received) => {
                                taken += 1;
                                end.send(received.from, &buffer[..received.len]).unwrap();
                            }
                            Incoming::Cancelled => return taken,
                            other => panic!("{other:?}"),
                        }
                    }
                })
            });
            for number in 0..DATAGRAMS {
                client.send(&number.to_be_bytes()).unwrap();
                let mut answer = [0; 8];
                assert_eq!((client.recv(&mut answer).unwrap(), usize::from_be_bytes(answer)), (8, number));
            }
            // A handle ends the waits of its own end alone.
            let [first, second] = ends;
            stops[0].cancel();
            let first: usize = first.join().unwrap();
            client.send(b"to other").unwrap();
            assert_eq!(client.recv(&mut [0; 8]).unwrap(), 8);
            stops[1].cancel();
            assert_eq!(first + second.join().unwrap(), DATAGRAMS + 1);
        });
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
fn a_wait_is_ended_from_another_thread_and_so_is_the_next() {
    within(MINUTE, || {
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let mut server = UnconnectedUdp::bind(bound).unwrap();
            let handle = server.cancel_handle().unwrap();
            for _ in 0..2 {
                let start = server.now();
                let canceller = thread::spawn({
                    let handle = handle.clone();
                    move || {
                        thread::sleep(30 * MS);
                        handle.cancel();
                    }
                });
                assert_eq!(server.recv(&mut [0; 9], start, start.after(LONG)), Incoming::Cancelled);
                assert!(server.now().since(start) < LONG / 2);
                canceller.join().unwrap();
            }
            still_answers(server);
        }
    });
}

#[test]
fn a_cancelled_server_sends_nothing_until_a_wait_has_taken_it() {
    within(MINUTE, || {
        for bound in ["127.0.0.1:0", "0.0.0.0:0"] {
            let mut server = UnconnectedUdp::bind(bound).unwrap();
            let handle = server.cancel_handle().unwrap();
            let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
            silent.set_nonblocking(true).unwrap();
            let route = server.route_to(silent.local_addr().unwrap());
            for wait in [Duration::ZERO, LONG] {
                handle.cancel();
                handle.clone().cancel();
                for _ in 0..3 {
                    assert_eq!(server.send(route, b"not to be sent"), Err(PathError::Cancelled));
                }
                let now = server.now();
                assert_eq!(server.recv(&mut [0; 9], now, now.after(wait)), Incoming::Cancelled);
                let now = server.now();
                assert!(matches!(server.recv(&mut [0; 9], now, now), Incoming::TimeUp(_)), "they count as one");
            }
            assert_eq!(silent.recv(&mut [0; 9]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            still_answers(server);
        }
    });
}

#[test]
fn a_cancel_reaches_a_server_behind_a_bad_network() {
    within(MINUTE, || {
        let server = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let mut server = LossySink::new(server, "delay 10s".parse::<Impairments>().unwrap(), Seed::new(7));
        let handle = Cancel::cancel_handle(&mut server).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"ping", ("127.0.0.1", server.get_ref().local_addr().port())).unwrap();
        let start = server.now();
        let canceller = thread::spawn(move || {
            thread::sleep(30 * MS);
            handle.cancel();
        });
        assert_eq!(server.recv(&mut [0; 9], start, start.after(LONG)), Incoming::Cancelled);
        assert!(server.now().since(start) < Duration::from_secs(5), "while it holds a datagram back");
        canceller.join().unwrap();
    });
}

#[track_caller]
fn still_answers(mut server: UnconnectedUdp) {
    let host = if server.local_addr().is_ipv4() { "127.0.0.1" } else { "::1" };
    let client = UdpSocket::bind((host, 0)).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.connect((host, server.local_addr().port())).unwrap();
    client.send(b"ping").unwrap();
    let received = server.wait(&mut [0; 9], server.now().after(LONG)).unwrap().unwrap();
    server.send(received.from, b"pong").unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 4);
}
