//! When a datagram arrived, for a reader that was stopped or busy then.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are used")]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_retry::policy::RttEstimator;
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::watchdog::{MINUTE, within};

const STOPPED: Duration = Duration::from_millis(200);

/// How long after it was asked for the time of arrival of a reply lies, where it is read after a while.
fn seen_after(mut client: ConnectedUdp, server: &UdpSocket) -> Duration {
    let sent = client.now();
    client.send(PathIndex::FIRST, b"ping").unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    server.send_to(b"pong", from).unwrap();
    thread::sleep(STOPPED);
    let Incoming::Datagram(received) = client.recv(&mut [0; 16], sent, sent.after(Duration::from_secs(5))) else {
        panic!("the reply is there")
    };
    assert_eq!((received.len, received.actual), (4, 4));
    received.at.since(sent)
}

#[test]
fn a_reply_arrived_when_it_did_and_not_when_it_was_read_if_the_system_notes_it() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = || ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let read = seen_after(client(), &server);
        assert!(read >= STOPPED, "{read:?}");
        for lent in [false, true] {
            // The system begins to note them a moment after it was asked, and stops with the last socket that asks.
            let asking = client().with_arrival_times();
            thread::sleep(STOPPED);
            let noted = client().with_arrival_times();
            if lent {
                let _ = noted.as_socket();
            }
            let arrived = seen_after(noted, &server);
            if cfg!(all(target_os = "linux", not(udp_retry_portable))) {
                assert!(arrived <= STOPPED / 4, "{arrived:?}");
            }
            drop(asking);
        }
    });
}

#[test]
fn a_process_that_was_busy_poisons_no_estimate() {
    // Elsewhere no system notes arrivals.
    let most = if cfg!(all(target_os = "linux", not(udp_retry_portable))) { STOPPED / 4 } else { STOPPED * 4 };
    within(MINUTE, move || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 16];
            for _ in 0..3 {
                let (len, from) = server.recv_from(&mut buffer).unwrap();
                server.send_to(b"0000 a stray", from).unwrap();
                server.send_to(&buffer[..len], from).unwrap();
            }
        });
        // The stray is shown to the observer, which takes its time, while the reply lies in the queue.
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy("2s x2 5 transmissions".parse::<RetryPolicy>().unwrap())
            .estimator(RttEstimator::default())
            .observer(|_, event| {
                if event.to_string().contains("foreign") {
                    thread::sleep(STOPPED);
                }
            })
            .connect(address)
            .unwrap();
        thread::sleep(STOPPED);
        for id in 1..=3 {
            let reply = requester.request(format!("000{id} ping").as_bytes()).unwrap();
            assert!(reply.round_trip().unwrap() <= most, "{reply:?}");
        }
        let smoothed = requester.estimator().unwrap().srtt(requester.transport().now()).unwrap();
        assert!(smoothed <= most, "{smoothed:?}");
        answering.join().unwrap();
    });
}
