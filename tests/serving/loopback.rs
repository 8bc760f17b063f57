//! Over real sockets.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "plain clients, in threads of their own")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::net::UnconnectedUdp;
use udp_retry::serving::{Ended, Handled};
use udp_retry::transport::Transport;
use udp_retry::{LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::watchdog::{MINUTE, within};
use crate::{count, over};

const LONG: Duration = Duration::from_secs(20);

fn client(server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    let mut buffer = [0; 64];
    let len = client.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn a_request_is_executed_once_and_a_wait_is_ended_by_the_handle() {
    within(MINUTE, || {
        let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (socket.local_addr(), socket.cancel_handle().unwrap());
        let responder = over(&mut socket);
        let stats = responder.clone();
        let server = thread::spawn(move || {
            let mut executed = 0;
            let ended = responder.serve(&mut socket, |request, reply| count(&mut executed, request, reply));
            (ended, executed)
        });
        let (one, other) = (client(address), client(address));
        for (client, request, reply) in [
            (&one, b"0001", b"00011"),
            (&one, b"0001", b"00011"),
            (&other, b"0001", b"00012"),
            (&one, b"0002", b"00023"),
            (&one, b"0001", b"00011"),
        ] {
            assert_eq!(ask(client, request), reply);
        }
        stop.cancel();
        assert_eq!(server.join().unwrap(), (Ended::Cancelled, 3));
        assert_eq!((stats.stats().replies.fresh, stats.stats().replies.replayed, stats.unsent()), (3, 2, 0));
    });
}

#[test]
fn a_loop_ends_at_its_time() {
    within(MINUTE, || {
        let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let responder = over(&mut socket);
        let until = socket.now().after(Duration::from_millis(50));
        assert_eq!(responder.serve_until(&mut socket, until, |_, _| Handled::Silence), Ended::TimeUp);
        assert!(socket.now() >= until);
    });
}

/// Where a host's addresses are not reported, one that answers from elsewhere is what these clients do not receive.
#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
#[test]
fn a_wildcard_answers_from_the_address_that_was_asked_also_when_a_copy_asks() {
    within(MINUTE, || {
        for (bound, asked) in
            [("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.1.2.3"][..]), ("[::]:0", &["::1", "127.0.0.2"])]
        {
            let mut socket = UnconnectedUdp::bind(bound).unwrap();
            let (port, stop) = (socket.local_addr().port(), socket.cancel_handle().unwrap());
            let responder = over(&mut socket);
            let server = thread::spawn(move || {
                let mut executed = 0;
                responder.serve(&mut socket, |request, reply| count(&mut executed, request, reply));
                executed
            });
            for address in asked {
                let address: SocketAddr = (address.parse::<std::net::IpAddr>().unwrap(), port).into();
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let client = UdpSocket::bind(any).unwrap();
                client.connect(address).unwrap();
                client.set_read_timeout(Some(LONG)).unwrap();
                assert_eq!(ask(&client, b"0001"), ask(&client, b"0001"), "{address}");
            }
            stop.cancel();
            assert_eq!(server.join().unwrap() as usize, asked.len());
        }
    });
}

#[test]
fn another_thread_replies_later_by_a_clone_of_the_socket() {
    within(MINUTE, || {
        let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let (address, mut clone) = (socket.local_addr(), socket.try_clone().unwrap());
        let stop = socket.cancel_handle().unwrap();
        let responder = over(&mut socket);
        let (jobs, taken) = mpsc::channel();
        let worker = responder.clone();
        let server = thread::spawn(move || {
            responder.serve(&mut socket, |request, _| {
                request.provisional(b"wait");
                jobs.send(request.later().unwrap()).unwrap();
                Handled::Silence
            })
        });
        thread::spawn(move || {
            for job in taken {
                worker.finish(&mut clone, job, b"done");
            }
        });
        let client = client(address);
        // Two datagrams, in either order: the worker may be the quicker one.
        let mut buffer = [0; 4];
        client.send(b"0001").unwrap();
        let mut answers = [(); 2].map(|()| {
            client.recv(&mut buffer).unwrap();
            buffer
        });
        answers.sort();
        assert_eq!(answers, [*b"done", *b"wait"]);
        assert_eq!(ask(&client, b"0001"), b"done", "a copy is answered by the reply alone");
        stop.cancel();
        assert_eq!(server.join().unwrap(), Ended::Cancelled);
    });
}

#[test]
fn behind_a_bad_network_of_its_own_a_server_executes_every_request_once() {
    within(MINUTE, || {
        let socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr();
        let profile = Profile::both("loss 30%; duplicate 30%; delay 3ms ~3ms".parse().unwrap());
        let mut sink = LossySink::at_server(socket, profile, Seed::new(1));
        let stop = sink.get_mut().cancel_handle().unwrap();
        let responder = over(&mut sink);
        let server = thread::spawn(move || {
            let mut executed = 0;
            let ended = responder.serve(&mut sink, |request, reply| count(&mut executed, request, reply));
            (ended, executed)
        });
        let policy: RetryPolicy = "20ms x1.5 max 200ms 30 transmissions".parse().unwrap();
        let id = transaction_id(0..4).stamped();
        let mut requester = ReliableRequester::builder(id).policy(policy).connect(address).unwrap();
        for number in 1..=50 {
            assert_eq!(requester.request(b"....+1").unwrap().payload()[4..], *number.to_string().as_bytes());
        }
        stop.cancel();
        assert_eq!(server.join().unwrap(), (Ended::Cancelled, 50));
    });
}
